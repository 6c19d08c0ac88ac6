"""Plan of the measurements on a host: which kernels run on which working sets and threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from perfmodel.calibrate.probe.identity import HostCache, Identity
from perfmodel.calibrate.probe.measure import Measure

WIDTHS = (512, 256, 128)
"""Vector widths in bits, widest first."""
_KIB, _MIB = 1 << 10, 1 << 20
#: Working sets around the capacity of the last cache, as shares of it.
_EDGE = (0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0)
#: Working set for main memory as a multiple of the caches, and its limits.
_BEYOND, _LEAST, _MOST = 4, 128 * _MIB, 512 * _MIB
#: Dot-product kernels of bytes: name -> bits.
DOTS = {"dot_512": 512, "dot_256": 256, "avxvnni_256": 256, "dot_128": 128}
WALKERS = 12
#: Clock, widths and rates per clock are ratios of arithmetic kernels: one bad value spoils all.
_REPEATS = 4


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """Planned measurements, by purpose.

    Attributes
    ----------
    width : int
        Bits of the widest vectors; 0 for numpy's kernels.
    cores : int
        Threads of every measurement, except additional ones on one core.
    levels : tuple of (str, Cache or None, int)
        Level, its cache (None: main memory), and the working set per thread.
    edge : tuple of int
        Working sets around the capacity of the last cache, ascending; all threads together.
    kernels : frozenset of str
    all_cores : int
        Cores of the host, for the main-memory bandwidth of all of them.
    """

    width: int
    cores: int
    levels: tuple[tuple[str, HostCache | None, int], ...]
    edge: tuple[int, ...]
    kernels: frozenset[str]
    all_cores: int = 1

    def stream(self, operation: str) -> str:
        """Return the kernel of a memory operation at the widest vectors."""
        return f"{operation}_{self.width}" if self.width else operation

    @property
    def uncached(self) -> int:
        """Working set of a thread that no cache holds."""
        return self.levels[-1][2]

    def measures(self) -> tuple[Measure, ...]:
        """Return all measurements once, cheapest and most needed first."""
        return tuple(dict.fromkeys(self._all()))

    def _all(self) -> Iterator[Measure]:
        """Yield all measurements by purpose; some occur twice."""
        for kernel in self.arithmetic():
            yield Measure(kernel, 4096, self.cores, _REPEATS)
        for operation in ("read", "write", "copy", "triad"):
            if self.stream(operation) in self.kernels:
                for _, _, size in self.levels:
                    yield Measure(self.stream(operation), size, self.cores)
        for walkers in (1, WALKERS):
            if f"chase_{walkers}" in self.kernels:
                for _, _, size in self.levels:
                    yield Measure(f"chase_{walkers}", size)
        for size in self.edge:
            yield Measure(self.reading, max(4096, size // self.cores), self.cores)
        for threads in sorted({1, self.cores, self.all_cores} - {self.cores}):
            yield Measure(self.reading, self.uncached, threads)

    @property
    def reading(self) -> str:
        """Kernel whose rate is a level's bandwidth: reads, or numpy's copies."""
        read = self.stream("read")
        return read if read in self.kernels else self.stream("copy")

    def arithmetic(self) -> Iterable[str]:
        """Return the arithmetic kernels that this processor can run."""
        wanted = ["clock_64", f"wait_{self.width}", f"add_{self.width}"]
        wanted += [f"fma_{width}" for width in WIDTHS] + [
            "fused_128",
            *DOTS,
            "widen_256",
            "product",
        ]
        return [name for name in wanted if name in self.kernels]


def plan_of(identity: Identity, kernels: frozenset[str], cores: int) -> ProbePlan:
    """Plan the measurements of a host.

    Parameters
    ----------
    identity : Identity
        Identity; without caches only main memory is measured.
    kernels : frozenset of str
        Kernels that the meter can run.
    cores : int
        Cores that the spec describes.
    """
    width = next((w for w in WIDTHS if f"fma_{w}" in kernels), 0)
    caches = [c for c in identity.caches if width or c.level > 1]
    levels: list[tuple[str, HostCache | None, int]] = []
    below = 0
    for cache in caches:
        # Well inside this cache, and well above the capacity of the previous ones; several threads
        # share the last ones.
        share = cache.size_bytes // max(1, min(cores, cache.shared_by or 1))
        size = max(share // (4 if below else 2), min(2 * below, share * 3 // 4))
        if cache.level > 2:
            size = max(min(4 * below, share // 2), share // 8)
        levels.append((f"l{cache.level}", cache, _rounded(size)))
        below = cache.size_bytes
    total = sum(c.size_bytes for c in identity.caches)
    main_set = min(max(_BEYOND * total, _LEAST), _MOST)
    if identity.memory_bytes:
        main_set = min(main_set, identity.memory_bytes // (8 * max(1, cores)))
    levels.append(("dram", None, _rounded(main_set)))
    last = caches[-1].size_bytes if caches else 0
    inner = caches[-2].size_bytes if len(caches) > 1 else 0
    edge = tuple(_rounded(int(last * part)) for part in _EDGE if last * part > 2 * inner)
    every = identity.cores or identity.threads or cores
    return ProbePlan(width, cores, tuple(levels), edge if last else (), kernels, max(cores, every))


def _rounded(size: int) -> int:
    """Return a size rounded down to full pages, at least one."""
    return max(4096, size // 4096 * 4096)
