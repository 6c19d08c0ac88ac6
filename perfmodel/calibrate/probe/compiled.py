"""A meter whose kernels the compiler of the host makes, in a folder that vanishes afterwards."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

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
                capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
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
                capture_output=True, text=True, timeout=patience_s, check=False,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise MeterError(f"{words[0]} does not run: {error}") from None
        if ran.returncode:
            raise MeterError(f"{' '.join(words)} ended with {ran.returncode}")
        return ran.stdout.split()
