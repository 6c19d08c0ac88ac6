"""A machine whose facts are known, and a meter that reads them off it."""

from dataclasses import dataclass, field

from perfmodel.calibrate.probe import HostCache, Identity
from perfmodel.calibrate.probe.measure import Measure, MeterError

KIB, MIB = 1 << 10, 1 << 20


@dataclass
class Machine:
    """One core: clock, vectors, caches, a last cache that misses along a ramp."""

    clock_hz: float = 3e9
    width: int = 256
    fma_per_clock: float = 2.0
    fma_latency: float = 5.0
    loads: float = 2.0
    stores: float = 1.0
    l2: float = 90e9
    l3: float = 60e9
    dram: float = 12e9
    ramp: tuple[int, int] = (6 * MIB, 24 * MIB)
    latencies: dict[int, float] = field(
        default_factory=lambda: {1: 1.5e-9, 2: 4e-9, 3: 14e-9, 4: 90e-9}
    )

    def level(self, size: int) -> int:
        return 1 + sum(size > edge for edge in (32 * KIB, 512 * KIB, 32 * MIB))

    def rate(self, measure: Measure) -> float:
        name, _, bits = measure.kernel.partition("_")
        lanes, cores = self.width / 32, measure.threads
        match name:
            case "clock":
                return self.clock_hz * cores
            case "wait":
                return self.clock_hz / self.fma_latency * cores
            case "fma" | "fused":
                return 2.0 * self.clock_hz * self.fma_per_clock * int(bits) / 32 * cores
            case "add":
                return self.clock_hz * self.fma_per_clock * lanes * cores
            case "dot":
                return 8.0 * self.clock_hz * lanes * cores
            case "chase":
                alone = 1.0 / self.latencies[self.level(measure.size_bytes)]
                return alone * min(int(bits), 8)
            case "read" | "copy" | "triad" | "write":
                ports = self.stores if name == "write" else self.loads
                return self.stream(measure.size_bytes, ports * self.clock_hz * self.width / 8)
            case _:
                raise MeterError(f"no {name}")

    def stream(self, size: int, nearest: float) -> float:
        level = self.level(size)
        if level < 3:
            return (nearest, self.l2)[level - 1]
        start, end = self.ramp
        missed = min(max((size - start) / (end - start), 0.0), 1.0)
        return 1.0 / ((1.0 - missed) / self.l3 + missed / self.dram)


@dataclass
class FakeMeter:
    """Gives the machine's rate in the first trial, less in the others."""

    machine: Machine
    kernels: frozenset[str]
    how: str = "a machine made up"
    asked: list[Measure] = field(default_factory=list)

    def run(self, measure: Measure, trials: int, seconds: float) -> list[float]:
        self.asked.append(measure)
        rate = self.machine.rate(measure)
        return [rate * (1.0 - 0.01 * trial / trials) for trial in range(trials)]


def kernels(*widths: int) -> frozenset[str]:
    names = {"clock_64", "chase_1", "chase_12", "fused_128", "dot_256"}
    for width in widths:
        names |= {
            f"{op}_{width}" for op in ("fma", "add", "wait", "read", "write", "copy", "triad")
        }
    return frozenset(names)


IDENTITY = Identity(
    "Linux",
    "x86_64",
    "GenuineIntel",
    "A made up processor",
    6,
    4,
    8,
    ("sse2", "avx2", "fma"),
    (
        HostCache(1, 32 * KIB, 8, 64, 2),
        HostCache(2, 512 * KIB, 8, 64, 2),
        HostCache(3, 16 * MIB, 16, 64, 8),
    ),
    16 << 30,
)


class Ticks:
    """A clock that goes on by a second each time it is asked."""

    def __init__(self, step: float = 1.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now
