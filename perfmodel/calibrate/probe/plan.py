"""What is measured on a host: kernels, working sets, threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from perfmodel.calibrate.probe.identity import HostCache, Identity
from perfmodel.calibrate.probe.measure import Measure

WIDTHS = (512, 256, 128)
"""Vector widths in bits, widest first."""
_KIB, _MIB = 1 << 10, 1 << 20
#: Working sets along the edge of the last cache, as parts of it.
_EDGE = (0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0)
#: Working set that stands for main memory, as a multiple of the caches, and its limits.
_BEYOND, _LEAST, _MOST = 4, 128 * _MIB, 512 * _MIB
#: Kernels of dot products of bytes: name -> bits.
DOTS = {"dot_512": 512, "dot_256": 256, "avxvnni_256": 256, "dot_128": 128}
WALKERS = 12
#: Clock, widths and rates a clock are ratios of arithmetic kernels: one disturbed spoils them all.
_REPEATS = 4


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What is measured, by the part that it plays.

    Attributes
    ----------
    width : int
        Bits of the widest vectors; 0 where kernels are numpy's.
    cores : int
        Threads of every measurement, but those of one core that stand beside them.
    levels : tuple of (str, Cache or None, int)
        Level, its cache (None: main memory), and the working set of a thread in it.
    edge : tuple of int
        Working sets about the capacity of the last cache, rising; all threads together.
    kernels : frozenset of str
    all_cores : int
        Cores of the host, for what all of them together read from main memory.
    """

    width: int
    cores: int
    levels: tuple[tuple[str, HostCache | None, int], ...]
    edge: tuple[int, ...]
    kernels: frozenset[str]
    all_cores: int = 1

    def stream(self, operation: str) -> str:
        """Kernel of an operation on memory at the widest vectors."""
        return f"{operation}_{self.width}" if self.width else operation

    @property
    def beyond(self) -> int:
        """Working set of a thread that no cache holds."""
        return self.levels[-1][2]

    def measures(self) -> tuple[Measure, ...]:
        """Everything once, cheapest and most needed first."""
        return tuple(dict.fromkeys(self._all()))

    def _all(self) -> Iterator[Measure]:
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
            yield Measure(self.reading, self.beyond, threads)

    @property
    def reading(self) -> str:
        """The kernel whose rate is a level's bandwidth: reads, or numpy's copies."""
        read = self.stream("read")
        return read if read in self.kernels else self.stream("copy")

    def arithmetic(self) -> Iterable[str]:
        """Kernels of arithmetic that this processor can run."""
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
        Without caches there is main memory alone.
    kernels : frozenset of str
        What the meter can run.
    cores : int
        Cores that the spec is to describe.
    """
    width = next((w for w in WIDTHS if f"fma_{w}" in kernels), 0)
    caches = [c for c in identity.caches if width or c.level > 1]
    levels: list[tuple[str, HostCache | None, int]] = []
    below = 0
    for cache in caches:
        # Well inside the cache, and well above what the caches before it hold; several threads
        # share the last ones.
        share = cache.size_bytes // max(1, min(cores, cache.shared_by or 1))
        size = max(share // (4 if below else 2), min(2 * below, share * 3 // 4))
        if cache.level > 2:
            size = max(min(4 * below, share // 2), share // 8)
        levels.append((f"l{cache.level}", cache, _rounded(size)))
        below = cache.size_bytes
    total = sum(c.size_bytes for c in identity.caches)
    beyond = min(max(_BEYOND * total, _LEAST), _MOST)
    if identity.memory_bytes:
        beyond = min(beyond, identity.memory_bytes // (8 * max(1, cores)))
    levels.append(("dram", None, _rounded(beyond)))
    last = caches[-1].size_bytes if caches else 0
    inner = caches[-2].size_bytes if len(caches) > 1 else 0
    edge = tuple(_rounded(int(last * part)) for part in _EDGE if last * part > 2 * inner)
    every = identity.cores or identity.threads or cores
    return ProbePlan(width, cores, tuple(levels), edge if last else (), kernels, max(cores, every))


def _rounded(size: int) -> int:
    """Whole pages, one at least."""
    return max(4096, size // 4096 * 4096)
