"""Running a command in this process: its exit code, what it printed, what it complained of."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from perfmodel.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its JSON; strict, so that a NaN fails."""

        def refuse(word: str) -> float:
            raise AssertionError(f"{word} is no JSON")

        return json.loads(self.out, parse_constant=refuse)

    @property
    def faults(self) -> list[str]:
        """Lines that name a fault."""
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run ``perfmodel`` with arguments."""

    def run_command(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert "internal error" not in err
        return Ran(code, out, err)

    return run_command
