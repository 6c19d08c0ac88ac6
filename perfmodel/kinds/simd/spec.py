"""What a spec file says of cores with vector units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import model_validator

from perfmodel.hardware.engine import Engine, register_engine
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.pydantic_faults import Flaw, checked
from perfmodel.units import show

Rate: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=16.0)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks", positive=True, ceiling=100.0)]
Size: TypeAlias = Annotated[Quantity, Of("bytes", positive=True)]
#: A measured peak may miss what ports and clock make by boost clocks or by a busy neighbour.
_MEASURED = 0.1


class Simd(Engine):
    """CPU cores with vector units.

    `units` are cores, each of which runs one thread. Rates are of one core and of whole vectors
    (registers of `vector` bytes): a core that takes two clocks for one such vector says 0.5.
    """

    vector: Size
    """Bytes of the registers that kernels compute in: "64 B" for AVX-512, "32 B" for AVX2."""
    fma_per_clock: Rate
    """Vector multiply-accumulates a clock."""
    fma_latency: Clocks
    """Clocks from one multiply-accumulate to another that needs its sum."""
    loads_per_clock: Rate
    """Vectors loaded from the nearest cache a clock."""
    stores_per_clock: Rate
    """Vectors stored to the nearest cache a clock."""

    @model_validator(mode="after")
    def _clocked(self) -> Simd:
        clock = self._needed_clock("cores with vector units,", "3.7 GHz")
        flaws: list[Flaw] = []
        peak = self.peaks.get("fp32")
        if peak is not None:
            made = self.fma_per_clock.value * self.vector.value / 4.0 * 2.0
            made *= self.units.value * clock
            if abs(peak.value / made - 1.0) > _MEASURED:
                message = (
                    f"{show(peak.value, 'compute')} as the peak of fp32, but units x clock x "
                    f"fma_per_clock x vector make {show(made, 'compute')}"
                )
                flaws.append(Flaw(("peaks", "fp32"), message, show(made, "compute")))
        return checked(self, flaws)

    @property
    def CONSTANTS(self) -> Mapping[str, float]:
        """Peak in fp32 over that of each format: how many more numbers a vector of it holds."""
        base = self.peaks.get("fp32")
        if base is None:
            return {}
        return {f"fp32_over.{name}": base.value / peak.value for name, peak in self.peaks.items()}

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that go in proportion when another is varied: wider vectors have higher peaks."""
        peaks = tuple(f"peaks.{name}" for name in self.peaks)
        peaks += tuple(f"vector_peaks.{name}" for name in self.vector_peaks)
        return {"vector": peaks, "fma_per_clock": tuple(f"peaks.{name}" for name in self.peaks)}


register_engine("simd", Simd)
