"""The command as a process: parsing, help, pipes, signals, and what it loads."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfmodel.cli import BROKEN_PIPE, INTERRUPTED, main

Run = Callable[..., Any]
COMMAND = [sys.executable, "-m", "perfmodel"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predic", "x"], "did you mean 'predict'"),
        (["nothing"], "expected one of allocate, assign, calibrate"),
        (["hardware", "shw"], "did you mean 'show'"),
        (["predict", "resnet18"], "DEVICE is missing"),
        (["predict", "resnet18", "a100", "--precison", "fp16"], "did you mean '--precision'?"),
        (
            ["predict", "resnet18", "a100", "--rows", "x"],
            "'x' does not fit --rows; expected a whole number",
        ),
        (["predict", "resnet18", "a100", "h100"], "'h100' is one argument too many"),
        (["predict", "resnet18", "a100", "--set"], "--set has no value"),
        (["hardware", "schema", "devise"], "did you mean 'device'?"),
        (["sweep", "resnet18", "--top", "1.5", "-d", "a100"], "'1.5' does not fit --top"),
        (["validate", "--foo"], "perfmodel validate: there is no option --foo; expected what"),
        (["validate", "genz", "--model=x"], "--model is an option of `perfmodel predict`"),
        (["validate", "--sufix", "_x"], "no option --sufix; did you mean '--suffix'?"),
        (["sweep", "resnet18", "--devise", "a100"], "did you mean '--device'?"),
        (["validate", "genz", "--trust", "none/x.md"], "--trust: there is no folder 'none'"),
        (["predict", "", ""], "no workload is named ''"),
        (["predict", "a" * 5000, "a100"], "no workload is named"),
        (["predict", "resnet18", "a100\udcff"], "no device is named"),
        (["predict", "/", "a100"], "/"),
        (["predict", "resnet18", "/dev/null"], "/dev/null"),
    ],
)
def test_what_cannot_be_parsed_exits_2(run: Run, arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert message in done.err
    assert done.faults


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["predict", "--help"], ["hardware"], ["sweep", "-h"]]
)
def test_help(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.code == 0
    assert "Usage: perfmodel" in done.out


def test_help_loads_neither_the_model_nor_the_library() -> None:
    code = (
        "import json, sys\n"
        "from perfmodel.cli import main\n"
        "assert main(['--help']) == 0\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & {"numpy", "pydantic", "yaml", "plotly", "pandas", "perfmodel.predict"}


def test_a_reader_that_leaves_is_no_error() -> None:
    """``perfmodel ... | head -1``."""
    command = subprocess.Popen(
        [*COMMAND, "format", "list", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout is not None
    command.stdout.readline()
    command.stdout.close()
    assert command.stderr is not None
    with command.stderr as errors:
        assert errors.read() == b""
    assert command.wait(timeout=60) in (0, BROKEN_PIPE)


def test_a_closed_stdout_is_silent(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "workload", "list"],
        stdout=os.open(os.devnull, os.O_RDONLY),
        stderr=subprocess.PIPE,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode != 0


#: A job in the background of a shell ignores interrupts, and hands that down.
HEARS_INTERRUPTS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from perfmodel.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_an_interrupt_says_so_and_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    arguments = [
        "sweep",
        "llama_3_8b",
        "--device",
        "a100",
        "--set",
        "batch=1..400",
        "--set",
        "context=1..1000",
        "--metrics",
        "latency_s",
        "-o",
        str(path),
    ]
    command = subprocess.Popen(
        [sys.executable, "-c", HEARS_INTERRUPTS, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    parts = tmp_path / ".points.csv.parts"
    for _ in range(6000):
        if parts.is_dir() and list(parts.glob("[0-9]*.csv")):
            break
        time.sleep(0.01)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=60)
    assert command.returncode == INTERRUPTED
    assert out == ""
    assert "--resume goes on" in err
    assert "Traceback" not in err
    assert not path.exists()
    assert main([*arguments, "--resume"]) == 0
    resumed = path.read_bytes()
    assert main(arguments) == 0
    assert path.read_bytes() == resumed


def test_an_unexpected_failure_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("x")

    monkeypatch.setattr("perfmodel.cli.doctor.report", fail)
    assert main(["doctor"]) == 2
    assert capsys.readouterr().err.startswith("error: internal error, which is a bug: KeyError")
    monkeypatch.setenv("PERFMODEL_DEBUG", "1")
    with pytest.raises(KeyError):
        main(["doctor"])


def test_a_full_disk_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr("tempfile.mkstemp", fail)
    assert main(["predict", "resnet18", "a100", "-o", str(tmp_path / "x.json")]) == 2
    assert "no space left on device" in capsys.readouterr().err


def test_a_disk_that_fills_up_later_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr("perfmodel.sweep.store.Path.write_bytes", fail)
    path = tmp_path / "x.csv"
    assert main(["sweep", "resnet18", "-d", "a100", "--set", "batch=1,2", "-o", str(path)]) == 2
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert "internal error" not in err
    assert not path.exists()


def test_progress_is_for_terminals_alone(run: Run) -> None:
    done = run("sweep", "resnet18", "-d", "a100", "--set", "batch=1,2")
    assert "\x1b" not in done.err + done.out
