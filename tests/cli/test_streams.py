"""Streams that are closed, full, without a reader or of one column, and characters they lack."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfmodel.cli import BAD_INPUT, BROKEN_PIPE, DONE
from perfmodel.cli.app import COMMANDS, GROUPS
from perfmodel.cli.streams import NARROWEST, WIDEST, console
from tests.broken.conftest import DEVICE

COMMAND = [sys.executable, "-m", "perfmodel"]
#: What prints by itself, what prints help, what prints through the parser, and a fault.
TEXT, HELP, VERSION = ("format", "show", "w4a16"), ("format", "--help"), ("--version",)
FAULT = ("predict", "resnet18", "a100", "--precison", "fp16")
FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
posix = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")


def shell(redirection: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command with streams redirected as a shell does."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **settings},
    )


@posix
@needs_full
@pytest.mark.parametrize(
    "arguments", [TEXT, VERSION, pytest.param(HELP, marks=pytest.mark.exhaustive)]
)
@pytest.mark.parametrize(("redirection", "why"), [(">/dev/full", "No space"), (">&-", "Bad file")])
def test_an_answer_that_cannot_be_printed_is_no_success(
    arguments: tuple[str, ...], redirection: str, why: str
) -> None:
    done = shell(redirection, *arguments)
    assert done.returncode == BAD_INPUT
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: standard output: ")
    assert why in line


@posix
@needs_full
@pytest.mark.parametrize(
    "redirection", ["2>&-", pytest.param("2>/dev/full", marks=pytest.mark.exhaustive)]
)
@pytest.mark.parametrize(("arguments", "code"), [(TEXT, DONE), (FAULT, BAD_INPUT)])
def test_remarks_that_nobody_hears_change_nothing(
    arguments: tuple[str, ...], code: int, redirection: str
) -> None:
    done = shell(redirection, *arguments)
    assert done.returncode == code
    assert bool(done.stdout) == (code == DONE)
    assert done.stderr == ""


@posix
def test_with_every_stream_closed_nothing_is_printed_into_a_file(tmp_path: Path) -> None:
    """The file that is opened next would have the descriptor of standard output."""
    path = tmp_path / "out.json"
    done = shell("<&- >&- 2>&-", "predict", "resnet18", "a100", "--json", "-o", str(path))
    assert done.returncode == BAD_INPUT
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]
    assert path.read_text().count('"workload"') == 1


@posix
@pytest.mark.parametrize("arguments", [VERSION, pytest.param(TEXT, marks=pytest.mark.exhaustive)])
def test_a_reader_that_has_gone_is_told_nothing(arguments: tuple[str, ...]) -> None:
    """rich by itself would end the process with 1, which means that nothing fits."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, *arguments], stdout=write, stderr=subprocess.PIPE, check=False, timeout=120
    )
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == BROKEN_PIPE


@posix
def test_characters_that_a_terminal_lacks_are_spelt_out(tmp_path: Path) -> None:
    spec = tmp_path / "board.yaml"
    spec.write_text(DEVICE.replace("A board", "Löwe ≥ 2"), encoding="utf-8")
    done = shell("", "hardware", "show", str(spec), PYTHONIOENCODING="ascii")
    assert done.returncode == DONE
    assert "L\\xf6we \\u2265 2" in done.stdout


WIDTHS = ["0", "1", "2", "10", "-5", "abc", "²", "100000", "9" * 5000]


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_page_has_the_width_of_a_page(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", columns)
    assert NARROWEST <= console().width <= WIDEST
    assert NARROWEST <= console(stderr=True).size.width <= WIDEST


def test_help_of_every_command_ends_in_one_column(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1")
    lines = [[name] for name in (*COMMANDS, *GROUPS)]
    lines += [[group, name] for group, (_, names) in GROUPS.items() for name in names]
    for line in [[], *lines]:
        done = run(*line, "--help")
        assert done.code == DONE
        assert max(map(len, done.out.splitlines()[1:])) <= NARROWEST, line
