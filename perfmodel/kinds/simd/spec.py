"""What a spec file says of cores with vector units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeAlias

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.pydantic_faults import Flaw
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

    WHAT = "cores with vector units,"
    CLOCK = "3.7 GHz"
    OTHERWISE = "has no vector units"

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

    def flaws(self) -> Iterator[Flaw]:
        """Yield that of a peak in fp32 that ports and clock do not make."""
        peak, clock = self.peaks.get("fp32"), self.clock
        if peak is None or clock is None:
            return
        made = self.fma_per_clock.value * self.vector.value / 4.0 * 2.0
        made *= self.units.value * clock.value
        if abs(peak.value / made - 1.0) > _MEASURED:
            product = show(made, "compute")
            message = (
                f"{show(peak.value, 'compute')} as the peak of fp32, but units x clock x "
                f"fma_per_clock x vector make {product}"
            )
            yield Flaw(("peaks", "fp32"), message, product)

    @property
    def fp32_over(self) -> Mapping[str, float]:
        """Peak in fp32 over that of each format: how many more numbers a vector of it holds."""
        base = self.peaks.get("fp32")
        if base is None:
            return {}
        return {name: base.value / peak.value for name, peak in self.peaks.items()}

    @property
    def CONSTANTS(self) -> Mapping[str, Any]:
        """Numbers that the kind takes from the spec itself, whatever facts are varied, by name."""
        return {"fp32_over": self.fp32_over}

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that go in proportion when another is varied: wider vectors have higher peaks."""
        peaks = tuple(f"peaks.{name}" for name in self.peaks)
        peaks += tuple(f"vector_peaks.{name}" for name in self.vector_peaks)
        return {"vector": peaks, "fma_per_clock": tuple(f"peaks.{name}" for name in self.peaks)}
