"""What is declared of dependencies, and homes, folders and characters that a user may not have."""

import inspect
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scipy.stats.qmc as qmc

from perfmodel.axes import parse_axis
from perfmodel.cli import DONE, INFEASIBLE
from perfmodel.cli.app import COMMANDS, GROUPS
from perfmodel.optimise.stdout_filter import filtered_stdout
from perfmodel.sweep.axis_groups import sample
from tests.broken.conftest import MINE, SOUND, onnx_model
from tests.broken.test_random_commands import FILES, LINES
from tests.lowest import EXTRAS, lowest

#: They measure this host, serve until they are interrupted, or have tests of their own.
OTHERWISE = {"doctor", "explore", "hardware schema"}


def test_every_dependency_declares_its_lowest_version(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    pinned = list(lowest(project))
    assert all(text.count("==") == 1 for text in pinned)
    assert len({text.partition("==")[0] for text in pinned}) == len(pinned)
    assert set(EXTRAS) < set(project["optional-dependencies"])
    with pytest.raises(SystemExit, match="no lowest version"):
        list(lowest(project | {"dependencies": ["numpy<3"]}))


def test_the_list_of_sound_lines_has_every_command() -> None:
    every = {*COMMANDS}
    every |= {f"{group} {name}" for group, (_, names) in GROUPS.items() for name in names}
    lines = {
        " ".join(line.split()[:2]) if line.split()[0] in GROUPS else line.split()[0]
        for line in LINES
    }
    assert lines == every - OTHERWISE


def test_scipy_may_call_the_generator_by_either_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """`seed` before SciPy 1.15, `rng` since."""
    real: Callable[..., Any] = qmc.Sobol
    word = "rng" if "rng" in inspect.signature(real).parameters else "seed"
    axes = [parse_axis("batch", "uniform(1, 9)"), parse_axis("height", "32,64")]

    def by_rng(d: int, *, scramble: bool = True, rng: Any = None) -> Any:
        return real(d=d, scramble=scramble, **{word: rng})

    def by_seed(d: int, *, scramble: bool = True, seed: Any = None) -> Any:
        return real(d=d, scramble=scramble, **{word: seed})

    drawn: list[Any] = []
    for maker in (by_rng, by_seed):
        monkeypatch.setattr(qmc, "Sobol", maker)
        drawn.append([axis.values for axis in sample(axes, 8, seed=3)])
    assert drawn[0] == drawn[1]


def test_a_library_is_silenced_where_there_is_no_folder_for_temporary_files(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    with filtered_stdout((b"banner",)):
        os.write(1, b"banner\n")
    os.write(1, b"answer\n")
    assert capfd.readouterr().out == "answer\n"


#: A process that answers every line it is given, and names those that it does not.
ANSWERS = """
import json, sys, tempfile
tempfile._candidate_tempdir_list = lambda: ["/nonexistent"]
from perfmodel.cli import main
from perfmodel.cli.streams import prepare
prepare()
codes = [main(line.split()) for line in json.load(sys.stdin)]
print(json.dumps(codes), file=sys.stderr)
"""
BARE = {
    "HOME": "/nonexistent",
    "XDG_CACHE_HOME": "relative",
    "XDG_CONFIG_HOME": "",
    "TMPDIR": "/nonexistent",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii",
    "PATH": "/nonexistent",
}


@pytest.mark.parametrize(
    "lines",
    [
        ["assign net.yaml board.yaml", "schedule net.yaml gemmini_16x16 --json"],
        pytest.param(LINES, marks=pytest.mark.exhaustive),
    ],
)
def test_no_home_no_temporary_files_and_no_characters_but_ascii(
    lines: list[str], tmp_path: Path, checkout: Path
) -> None:
    for name in FILES:
        (tmp_path / name).write_text(SOUND[name][0])
    (tmp_path / "net.onnx").write_bytes(onnx_model().SerializeToString())
    (tmp_path / "mine.csv").write_text(MINE)
    # SciPy itself takes a temporary file when it is imported for a sample.
    lines = [line for line in lines if "--sobol" not in line]
    done = subprocess.run(
        [sys.executable, "-c", ANSWERS],
        input=json.dumps(lines),
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        env=BARE | {"PYTHONPATH": str(checkout)},
    )
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stderr.splitlines()[-1])
    assert [
        line for line, code in zip(lines, codes, strict=True) if code not in (DONE, INFEASIBLE)
    ] == [], done.stderr
    assert "Traceback" not in done.stderr
