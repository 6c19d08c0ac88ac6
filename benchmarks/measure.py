"""CPU time on one core: rounds that alternate, medians, and children in fresh processes."""

from __future__ import annotations

import gc
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Set before numpy is imported anywhere: a thread pool would make CPU time the sum over threads.
THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM")}


def one_core() -> str:
    """Keep this process and its children on one core; say which."""
    os.environ.update(THREADS)
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned (this system has no affinity calls)"
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return f"pinned to core {core}"


@dataclass(frozen=True)
class Sample:
    """Repeated measurements of one quantity."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def each(self, function: Callable[[float], float]) -> Sample:
        return Sample(tuple(function(v) for v in self.values))


def side_by_side(
    bodies: Mapping[str, tuple[Callable[[int], object], int]], rounds: int
) -> dict[str, Sample]:
    """Return CPU seconds of one call of each body.

    `bodies` maps a name to a function of a running number (so that no two calls are alike) and to
    how many calls a round takes. Rounds alternate between the bodies, so that a slow moment of the
    machine falls on all of them. The first call of each is not counted.
    """
    found: dict[str, list[float]] = {name: [] for name in bodies}
    at = 0
    for body, _ in bodies.values():
        body(at)
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, (body, calls) in bodies.items():
                start = time.process_time()
                for _ in range(calls):
                    at += 1
                    body(at)
                found[name].append((time.process_time() - start) / calls)
            gc.collect()
    finally:
        gc.enable()
    return {name: Sample(tuple(values)) for name, values in found.items()}


def fresh_process(command: Sequence[str], rounds: int) -> Sample:
    """Return user + system CPU seconds of a command in a process of its own, each time anew."""
    found: list[float] = []
    for _ in range(rounds + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return Sample(tuple(found[1:]))  # the first one warmed the file cache


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def command() -> str:
    """Return the installed `perfmodel` command of this interpreter."""
    return str(Path(sys.executable).with_name("perfmodel"))
