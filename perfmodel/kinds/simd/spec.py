"""Spec of CPU cores with vector units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeAlias

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.field_types import PositiveSize
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.pydantic_faults import Flaw
from perfmodel.units import show

Rate: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=16.0)]
#: Boost clocks or other load may make a measured peak differ from that of ports and clock.
_MEASURED = 0.1


class Simd(Engine):
    """CPU cores with vector units.

    `units` are cores, each running one thread. Rates are per core and in full vectors (registers of
    `vector` bytes): a core that needs two clocks per vector states 0.5.
    """

    WHAT = "cores with vector units,"
    CLOCK = "3.7 GHz"
    OTHERWISE = "has no vector units"

    vector: PositiveSize
    """Bytes of the registers that kernels compute in: "64 B" for AVX-512, "32 B" for AVX2."""
    fma_per_clock: Rate
    """Vector multiply-accumulates per clock."""
    fma_latency: Annotated[Quantity, Of("clocks", positive=True, ceiling=100.0)]
    """Clocks between dependent multiply-accumulates."""
    loads_per_clock: Rate
    """Vectors loaded from the nearest cache per clock."""
    stores_per_clock: Rate
    """Vectors stored to the nearest cache per clock."""

    def flaws(self) -> Iterator[Flaw]:
        """Yield a flaw where the fp32 peak contradicts ports and clock."""
        peak, clock = self.peaks.get("fp32"), self.clock
        if peak is None or clock is None:
            return
        computed = self.fma_per_clock.value * self.vector.value / 4.0 * 2.0
        computed *= self.units.value * clock.value
        if abs(peak.value / computed - 1.0) > _MEASURED:
            product = show(computed, "compute")
            message = (
                f"{show(peak.value, 'compute')} as the peak of fp32, but units x clock x "
                f"fma_per_clock x vector make {product}"
            )
            yield Flaw(("peaks", "fp32"), message, product)

    @property
    def fp32_over(self) -> Mapping[str, float]:
        """Peak in fp32 over that of each format: inverse of its gain in elements per vector."""
        base = self.peaks.get("fp32")
        if base is None:
            return {}
        return {name: base.value / peak.value for name, peak in self.peaks.items()}

    @property
    def CONSTANTS(self) -> Mapping[str, Any]:
        """Numbers that the kind reads from the spec itself, even if facts are varied, by name."""
        return {"fp32_over": self.fp32_over}

    @property
    def SCALES(self) -> Mapping[str, tuple[str, ...]]:
        """Facts that scale when another is varied: wider vectors have higher peaks."""
        peaks = tuple(f"peaks.{name}" for name in self.peaks)
        peaks += tuple(f"vector_peaks.{name}" for name in self.vector_peaks)
        return {"vector": peaks, "fma_per_clock": tuple(f"peaks.{name}" for name in self.peaks)}
