"""CPU time on one core: rounds that alternate, medians, and children in fresh processes."""

from __future__ import annotations

import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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


class ProcessCost(NamedTuple):
    """What runs of one command cost, each in a process of its own."""

    seconds: Sample
    """User and system CPU seconds, those of its children included."""
    bytes: Sample
    """The most memory that the process, or one of its children, held."""


def process_cost(
    arguments: Sequence[str], rounds: int, status: int | None = 0, warm: bool = True
) -> ProcessCost:
    """Return the CPU time and memory of a command, run anew `rounds` times.

    `status` is the exit code that it must return (None: 0 or 1, found feasible or not). Unless
    `warm` is false one more run comes first, which fills the file cache.
    """
    costs: list[tuple[float, float]] = []
    for _ in range(rounds + warm):
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=errors)
            _, wait_status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(wait_status)
            if process.returncode not in ((0, 1) if status is None else (status,)):
                errors.seek(0)
                code = process.returncode
                raise RuntimeError(f"{' '.join(arguments)} ended with {code}:\n{errors.read()}")
        costs.append((usage.ru_utime + usage.ru_stime, float(usage.ru_maxrss * _MEMORY_UNIT)))
    seconds, peaks = zip(*costs[warm:], strict=True)
    return ProcessCost(Sample(seconds), Sample(peaks))


#: Bytes of the unit in which the system states the memory of a process.
_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MEMORY_UNIT


def command() -> str:
    """Return the installed `perfmodel` command of this interpreter."""
    return str(Path(sys.executable).with_name("perfmodel"))
