"""Meters: kernels compiled by the host's compiler, or else numpy's products and copies.

The kernels are compiled in a temporary folder. numpy is coarser: a call costs about as much as a
pass over the nearest cache, so that the smallest working sets, latencies and the clock are not
measured.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from perfmodel.calibrate.probe.measure import Measure, MeterError

SOURCE = Path(__file__).with_name("kernels.c")
"""Source of the kernels, in C."""
_FLAGS = ("-O2", "-std=gnu99", "-pthread")
#: Seconds beyond its trials after which a measurement counts as hung.
_PATIENCE_S = 60.0


def compiler(environment: Mapping[str, str] = os.environ) -> list[str] | None:
    """Return the command of the host's C compiler: ``$CC``, cc, gcc or clang; None if none."""
    for text in (environment.get("CC", ""), "cc", "gcc", "clang"):
        words = shlex.split(text)
        if words and shutil.which(words[0], path=environment.get("PATH")):
            return words
    return None


@contextmanager
def compiled(command: list[str]) -> Generator[Compiled]:
    """Compile the kernels, and yield a meter that runs them.

    Raises
    ------
    MeterError
        The compiler fails; the message is its first error.
    """
    with tempfile.TemporaryDirectory(prefix="perfmodel-probe-") as folder:
        program = Path(folder) / "probe"
        try:
            result = subprocess.run(
                [*command, *_FLAGS, str(SOURCE), "-o", str(program)],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise MeterError(f"{command[0]} does not run: {error}") from None
        if result.returncode:
            complaints = [line for line in result.stderr.splitlines() if "error" in line]
            complaints = complaints or result.stderr.splitlines() or ["it says nothing"]
            raise MeterError(f"{command[0]} does not compile the kernels: {complaints[0].strip()}")
        yield Compiled(program, f"{_version(command)}, {' '.join(_FLAGS)}")


def _version(command: list[str]) -> str:
    """Return the first line of the compiler's version."""
    try:
        lines = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=20, check=False
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        lines = []
    return lines[0].strip() if lines else command[0]


class Compiled:
    """Meter that runs a compiled probe, one process per measurement to isolate memory effects."""

    def __init__(self, program: Path, how: str) -> None:
        self._program = program
        self.how = how
        self.kernels = frozenset(self._lines("features", patience_s=_PATIENCE_S))

    def run(self, measure: Measure, trials: int, seconds: float) -> list[float]:
        """Return the rate of each trial."""
        arguments = (measure.size_bytes, measure.threads, trials, f"{seconds:.6f}")
        lines = self._lines(
            measure.kernel, *map(str, arguments), patience_s=_PATIENCE_S + 4.0 * trials * seconds
        )
        try:
            rates = [float(line) for line in lines]
        except ValueError:
            raise MeterError(f"{measure} gave {lines}") from None
        if len(rates) != trials or not all(0.0 < rate < float("inf") for rate in rates):
            raise MeterError(f"{measure} gave {lines}")
        return rates

    def _lines(self, *words: str, patience_s: float) -> list[str]:
        """Run the probe, and return the words that it prints."""
        try:
            ran = subprocess.run(
                [str(self._program), *words],
                capture_output=True,
                text=True,
                timeout=patience_s,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise MeterError(f"{words[0]} does not run: {error}") from None
        if ran.returncode:
            raise MeterError(f"{' '.join(words)} ended with {ran.returncode}")
        return ran.stdout.split()


#: Extent of the square product: long against its overheads, short against a trial.
_SIDE = 384


class WithNumpy:
    """Meter that runs numpy in this process, with the threads of its BLAS."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.how = f"numpy {np.__version__}"
        self.kernels = frozenset({"product", "copy", "triad"})

    def run(self, measure: Measure, trials: int, seconds: float) -> list[float]:
        """Return the rate of each trial."""
        call, work = self._kernel(measure)
        call()
        turns, took = 1, self._time(call, 1)
        while took < 0.2 * seconds and turns < 1 << 30:
            turns *= 4
            took = self._time(call, turns)
        turns = max(1, int(turns * seconds / max(took, 1e-9)))
        return [work * turns / max(self._time(call, turns), 1e-12) for _ in range(trials)]

    def _kernel(self, measure: Measure) -> tuple[Callable[[], object], float]:
        """Return the function to call, and the work of one call."""
        match measure.kernel:
            case "product":
                a = np.full((_SIDE, _SIDE), 0.5, np.float32)
                out = np.empty_like(a)
                return lambda: np.matmul(a, a, out=out), 2.0 * _SIDE**3
            case "copy":
                n = max(1, measure.size_bytes // 8)
                b, c = np.ones(n, np.float32), np.zeros(n, np.float32)
                return lambda: np.copyto(c, b), 8.0 * n
            case "triad":
                n = max(1, measure.size_bytes // 12)
                d, e, f = (np.ones(n, np.float32) for _ in range(3))
                return lambda: np.add(d, e, out=f), 12.0 * n
            case other:
                raise MeterError(f"numpy has no kernel {other}")

    def _time(self, call: Callable[[], object], turns: int) -> float:
        """Return the seconds of some calls."""
        start = self._clock()
        for _ in range(turns):
            call()
        return self._clock() - start
