"""Facts of a host derived from its measurements: rates, latencies, vector widths, scatter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from perfmodel.calibrate.probe.dispatch import Dispatch
from perfmodel.calibrate.probe.identity import HostCache, Identity
from perfmodel.calibrate.probe.measure import Figure, Measure, ProbeResult, ramp
from perfmodel.calibrate.probe.plan import DOTS, WALKERS, WIDTHS, ProbePlan


@dataclass(frozen=True, slots=True)
class LevelFacts:
    """Measured facts of a memory level.

    Attributes
    ----------
    name : str
        l1, l2, l3, dram.
    cache : HostCache or None
        None for main memory.
    size_bytes : int
        Working set of a thread in the measurements.
    bandwidths : Mapping of str to Figure
        read, write, copy, triad: bytes per second, of all threads together.
    latency_s : float or None
        Time of one load in a pointer chase, a chain of dependent loads.
    misses_in_flight : float or None
        Loads per second of twelve pointer chases in parallel over those of a single one.
    """

    name: str
    cache: HostCache | None
    size_bytes: int
    bandwidths: Mapping[str, Figure]
    latency_s: float | None = None
    misses_in_flight: float | None = None

    @property
    def bandwidth(self) -> Figure | None:
        """Bandwidth for a spec: reads, else numpy's copies."""
        return self.bandwidths.get("read") or self.bandwidths.get("copy")


@dataclass(frozen=True, slots=True)
class HostFacts:
    """All measured facts of a host, in SI units.

    Attributes
    ----------
    cores : int
        Cores to which the rates refer.
    width : int
        Bits of the widest vectors, 0 if unknown.
    clock : Figure or None
        Hz.
    peaks : Mapping of str to Figure
        Kernel -> operations per second.
    fma_latency_clocks : float or None
    one_core, every_core : Figure or None
        Bytes per second that one core, and all cores of the host, read from main memory.
    edge : tuple of (int, float)
        Working set of all threads -> bytes per second, around the capacity of the last cache.
    ramp : (int, int) or None
    dispatch : Dispatch or None
    """

    identity: Identity
    how: str
    cores: int
    width: int
    clock: Figure | None
    peaks: Mapping[str, Figure]
    fma_latency_clocks: float | None
    levels: tuple[LevelFacts, ...]
    one_core: Figure | None
    every_core: Figure | None
    edge: tuple[tuple[int, float], ...]
    ramp: tuple[int, int] | None
    rounds: int
    trial_s: float
    dispatch: Dispatch | None = None
    notes: tuple[str, ...] = field(default=())

    def level(self, name: str) -> LevelFacts | None:
        """Return a level by name."""
        return next((level for level in self.levels if level.name == name), None)

    def per_clock(self, rate: float) -> float:
        """Return work per clock and core; the clock must be known."""
        assert self.clock is not None
        return rate / self.clock.best / self.cores

    @property
    def best_width(self) -> int:
        """Bits of the vectors with the fastest multiplication; in a tie the wider ones."""
        rates = {width: self.at_width(width) for width in WIDTHS}
        known = {width: figure.best for width, figure in rates.items() if figure is not None}
        top = max(known.values(), default=0.0)
        return next((width for width, rate in known.items() if rate >= 0.97 * top), 0)

    def at_width(self, width: int) -> Figure | None:
        """Return operations per second in vectors of a width."""
        fastest = self._fastest(f"fma_{width}", f"fused_{width}")
        return None if fastest is None else fastest[1]

    @property
    def int8(self) -> tuple[str, Figure] | None:
        """Fastest products of bytes, with their kernel."""
        return self._fastest(*DOTS, "widen_256")

    def _fastest(self, *kernels: str) -> tuple[str, Figure] | None:
        """Return the kernel with the highest rate."""
        known = ((name, self.peaks[name]) for name in kernels if name in self.peaks)
        return max(known, key=lambda pair: pair[1].best, default=None)


def facts_of_host(
    identity: Identity, plan: ProbePlan, outcome: ProbeResult, how: str, notes: tuple[str, ...] = ()
) -> HostFacts:
    """Return the facts that follow from the figures of a plan."""
    figures = outcome.figures

    def figure(kernel: str, size: int = 4096, threads: int = plan.cores) -> Figure | None:
        return figures.get(Measure(kernel, size, threads))

    clock, wait = figure("clock_64"), figure(f"wait_{plan.width}")
    fused = [f"fma_{w}" for w in WIDTHS]
    names = [*fused, f"add_{plan.width}", "fused_128", "widen_256", "product", *DOTS]
    levels: list[LevelFacts] = []
    for name, cache, size in plan.levels:
        bandwidths = {
            operation: rate
            for operation in ("read", "write", "copy", "triad")
            if (rate := figure(plan.stream(operation), size)) is not None
        }
        if not bandwidths:
            continue
        one, many = figure("chase_1", size, 1), figure(f"chase_{WALKERS}", size, 1)
        in_flight = many.best / one.best if one and many else None
        latency = 1.0 / one.best if one else None
        levels.append(LevelFacts(name, cache, size, bandwidths, latency, in_flight))
    edge = tuple(
        (size, rate.best)
        for size in plan.edge
        if (rate := figure(plan.reading, max(4096, size // plan.cores))) is not None
    )
    failed = [f"{m} was not measured: {why}" for m, why in outcome.failed.items()]
    return HostFacts(
        identity,
        how,
        plan.cores,
        plan.width,
        None if clock is None else _per_thread(clock, plan.cores),
        {name: peak for name in names if (peak := figure(name)) is not None},
        clock.best / wait.best if clock and wait else None,
        tuple(levels),
        figure(plan.reading, plan.uncached, 1),
        figure(plan.reading, plan.uncached, plan.all_cores),
        edge,
        _cache_ramp(levels, edge),
        outcome.rounds,
        outcome.trial_s,
        None,
        (*notes, *failed, *_load_remark(outcome)),
    )


#: An undisturbed machine repeats its results to a few per cent.
_BUSY = 0.15


def _load_remark(outcome: ProbeResult) -> list[str]:
    """Return a remark if other load disturbed the measurements."""
    spreads = {str(measure): figure.spread for measure, figure in outcome.figures.items()}
    busy = [name for name, spread in spreads.items() if spread > _BUSY]
    if not busy:
        return []
    worst = max(busy, key=lambda name: spreads[name])
    seen = f"in {len(busy)} of {len(spreads)} measurements the median trial is"
    most = f"most in {worst} ({spreads[worst]:.0%})"
    return [f"the machine was busy: {seen} more than {_BUSY:.0%} below the best, {most}"]


def _per_thread(figure: Figure, threads: int) -> Figure:
    """Return a figure per thread."""
    return Figure(figure.best / threads, figure.median / threads, figure.trials)


def _cache_ramp(
    levels: list[LevelFacts], edge: tuple[tuple[int, float], ...]
) -> tuple[int, int] | None:
    """Return the working sets between which the last cache fills up."""
    if len(levels) < 2 or levels[-1].cache is not None or not edge:
        return None
    inside, outside = levels[-2].bandwidth, levels[-1].bandwidth
    if inside is None or outside is None:
        return None
    sizes, rates = zip(*edge, strict=True)
    return ramp(sizes, rates, inside.best, outside.best)
