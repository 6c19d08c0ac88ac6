"""What measures: kernels that the host's compiler makes, else numpy's products and copies.

The kernels lie in a folder that vanishes afterwards. numpy is coarser: a call of it costs about as
much as a pass over the nearest cache, so the smallest working sets are not measured, and neither
are latencies nor the clock.
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
"""The kernels, in C."""
_FLAGS = ("-O2", "-std=gnu99", "-pthread")
#: A measurement that takes longer than its trials by this is hung.
_PATIENCE_S = 60.0


def compiler(environment: Mapping[str, str] = os.environ) -> list[str] | None:
    """Command of the host's C compiler: ``$CC``, cc, gcc or clang; None where there is none."""
    for text in (environment.get("CC", ""), "cc", "gcc", "clang"):
        words = shlex.split(text)
        if words and shutil.which(words[0], path=environment.get("PATH")):
            return words
    return None


@contextmanager
def compiled(command: list[str]) -> Generator[Compiled]:
    """Compile the kernels, and give a meter that runs them.

    Raises
    ------
    MeterError
        Where the compiler refuses, with what it says first.
    """
    with tempfile.TemporaryDirectory(prefix="perfmodel-probe-") as folder:
        program = Path(folder) / "probe"
        try:
            made = subprocess.run(
                [*command, *_FLAGS, str(SOURCE), "-o", str(program)],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise MeterError(f"{command[0]} does not run: {error}") from None
        if made.returncode:
            said = [line for line in made.stderr.splitlines() if "error" in line]
            said = said or made.stderr.splitlines() or ["it says nothing"]
            raise MeterError(f"{command[0]} does not compile the kernels: {said[0].strip()}")
        yield Compiled(program, f"{_version(command)}, {' '.join(_FLAGS)}")


def _version(command: list[str]) -> str:
    try:
        said = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=20, check=False
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        said = []
    return said[0].strip() if said else command[0]


class Compiled:
    """Runs a compiled probe, a process a measurement: what one does to memory ends with it."""

    def __init__(self, program: Path, how: str) -> None:
        self._program = program
        self.how = how
        self.kernels = frozenset(self._lines("features", patience_s=_PATIENCE_S))

    def run(self, measure: Measure, trials: int, seconds: float) -> list[float]:
        """Rate of each trial."""
        given = (measure.size_bytes, measure.threads, trials, f"{seconds:.6f}")
        lines = self._lines(
            measure.kernel, *map(str, given), patience_s=_PATIENCE_S + 4.0 * trials * seconds
        )
        try:
            rates = [float(line) for line in lines]
        except ValueError:
            raise MeterError(f"{measure} gave {lines}") from None
        if len(rates) != trials or not all(0.0 < rate < float("inf") for rate in rates):
            raise MeterError(f"{measure} gave {lines}")
        return rates

    def _lines(self, *words: str, patience_s: float) -> list[str]:
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


#: Rows and columns of the product: large beside its overheads, small beside the time of a trial.
_SIDE = 384


class WithNumpy:
    """Runs numpy in this process; threads are those that its BLAS takes."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.how = f"numpy {np.__version__}"
        self.kernels = frozenset({"product", "copy", "triad"})

    def run(self, measure: Measure, trials: int, seconds: float) -> list[float]:
        """Rate of each trial."""
        call, work = self._kernel(measure)
        call()
        turns, took = 1, self._time(call, 1)
        while took < 0.2 * seconds and turns < 1 << 30:
            turns *= 4
            took = self._time(call, turns)
        turns = max(1, int(turns * seconds / max(took, 1e-9)))
        return [work * turns / max(self._time(call, turns), 1e-12) for _ in range(trials)]

    def _kernel(self, measure: Measure) -> tuple[Callable[[], object], float]:
        """What is called, and the work of one call."""
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
        start = self._clock()
        for _ in range(turns):
            call()
        return self._clock() - start
