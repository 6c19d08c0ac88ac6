"""A sweep that is killed at any moment, or has another beside it, gives its own rows or none."""

import hashlib
import json
import multiprocessing
import random
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from perfmodel.errors import InputError
from perfmodel.sweep.plan import SweepPlan, make_plan
from perfmodel.sweep.run import run_plan

KILLS = 50
_POINTS = 192


def small_chunks() -> SweepPlan:
    from perfmodel.sweep import plan as module

    module.CHUNK = 4  # of this process alone
    return make_plan(
        "resnet18",
        "a100,raspberry_pi_5",
        {
            "batch": "1..8",
            "memories.main.bandwidth": "logspace(1e10, 1e12, 6)",
            "precision": "fp16,w8a8",
        },
    )


def run(output: str, resume: bool, begun: Connection) -> None:
    plan = small_chunks()
    assert plan.points == _POINTS
    begun.send(True)
    run_plan(plan, output=Path(output), resume=resume)


class Runs:
    """Processes that start warm and say when the sweep itself begins."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(
            [
                "numpy",
                "pyarrow.parquet",
                "perfmodel.sweep.run",
                "perfmodel.predict",
            ]
        )

    def begun(self, output: Path, resume: bool) -> multiprocessing.process.BaseProcess:
        here, there = self.context.Pipe(duplex=False)
        process = self.context.Process(target=run, args=(str(output), resume, there))
        process.start()
        there.close()
        assert here.recv()
        here.close()
        return process


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("suffix", [".csv", pytest.param(".parquet", marks=pytest.mark.exhaustive)])
def test_fifty_kills(suffix: str, tmp_path: Path) -> None:
    runs = Runs()
    alone, output = tmp_path / f"alone{suffix}", tmp_path / f"points{suffix}"
    first = runs.begun(alone, False)
    begin = time.monotonic()
    first.join()
    whole = time.monotonic() - begin
    assert first.exitcode == 0
    expected = alone.read_bytes()
    parts = tmp_path / f".{output.name}.parts"
    rng = random.Random(7)
    amid = 0
    resume = False
    for _ in range(KILLS // 2):  # the other half in the other format
        process = runs.begun(output, resume)
        process.join(rng.uniform(0.0, 0.9) * whole)
        process.kill()
        process.join()
        process.close()
        amid += parts.exists()
        if output.exists():
            assert output.read_bytes() == expected
            if not parts.exists():  # it was through: begin anew
                output.unlink()
                (tmp_path / f"{output.name}.manifest.json").unlink()
        # Some begin anew in the middle of another's parts.
        resume = rng.random() < 0.8
    # Half the kills fall into the work where the machine is as busy as it was at first.
    assert amid > KILLS // 10, "hardly a kill fell into the work itself"
    last = runs.begun(output, True)
    last.join()
    assert last.exitcode == 0
    assert output.read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        name for made in (alone, output) for name in (made.name, f"{made.name}.manifest.json")
    )


def small_chunks_of(device: str) -> SweepPlan:
    return make_plan(
        "resnet18",
        device,
        {
            "batch": "1..24",
            "memories.main.bandwidth": "logspace(1e10, 1e12, 6)",
        },
    )


def write(device: str, output: str, resume: bool, begun: Connection, go: Connection) -> None:
    from perfmodel.sweep import plan as module

    module.CHUNK = 4  # of this process alone
    plan = small_chunks_of(device)
    begun.send(True)
    go.recv()
    try:
        run_plan(plan, output=Path(output), resume=resume)
        begun.send("")
    except InputError as error:
        begun.send(str(error))


class Writer:
    """A process that is ready to write a sweep, and begins when it is told to."""

    def __init__(self, runs: Runs, device: str, output: Path, resume: bool) -> None:
        self.begun, there = runs.context.Pipe(duplex=False)
        here, self.go = runs.context.Pipe(duplex=False)
        self.process = runs.context.Process(
            target=write, args=(device, str(output), resume, there, here)
        )
        self.process.start()
        assert self.begun.recv()

    def ended(self) -> str:
        """What it was told, at its end; empty where it wrote the file."""
        said: str = self.begun.recv()
        self.process.join()
        return said


@pytest.mark.skipif(sys.platform == "win32", reason="no forkserver")
@pytest.mark.parametrize(
    "pairs", [4, pytest.param(30, marks=[pytest.mark.exhaustive, pytest.mark.slow])]
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_two_writers_of_one_file(
    suffix: str, pairs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is refused harms nothing; whoever is not has the rows of its own sweep alone."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr("perfmodel.sweep.plan.CHUNK", 4)  # as in the processes: sums are theirs
    runs = Runs()
    expected: dict[str, bytes] = {}
    for device in ("a100", "h100"):
        alone = tmp_path / f"{device}{suffix}"
        run_plan(small_chunks_of(device), output=alone)
        expected[device] = alone.read_bytes()
    rng = random.Random(3)
    for pair in range(pairs):
        output = tmp_path / f"o{pair}{suffix}"
        devices = ("a100", rng.choice(["a100", "h100"]))
        writers = [Writer(runs, d, output, rng.random() < 0.3) for d in devices]
        writers[0].go.send(True)
        if rng.random() < 0.7:  # when the first has parts; else both at once
            parts = tmp_path / f".{output.name}.parts"
            wanted = rng.randrange(1, 20)
            while writers[0].process.is_alive() and len([*parts.glob("0*")]) < wanted:
                if output.exists():
                    break
        writers[1].go.send(True)
        said = [writer.ended() for writer in writers]
        wrote = [d for d, text in zip(devices, said, strict=True) if not text]
        assert wrote, said
        assert all(
            not text or "is being written by " in text or "--resume" in text for text in said
        ), said
        assert output.read_bytes() in [expected[d] for d in wrote]
        manifest = json.loads((tmp_path / f"{output.name}.manifest.json").read_text())
        assert manifest["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
        assert output.read_bytes() == expected[manifest["devices"][0]["name"]]
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_parts_without_a_head_are_nobodys(tmp_path: Path) -> None:
    """What a process left that was killed while it cleared away an older sweep."""
    output = tmp_path / "points.csv"
    first = make_plan("resnet18", "a100", {"batch": [1, 2]})
    second = make_plan("resnet18", "h100", {"batch": [1, 2]})
    run_plan(second, output=output)
    expected = output.read_bytes()
    run_plan(first, output=output)
    rows = output.read_text().partition("\n")[2]
    output.unlink()
    folder = tmp_path / ".points.csv.parts"
    folder.mkdir()
    (folder / "00000000.csv").write_text(rows)
    run_plan(second, output=output, resume=True)
    assert output.read_bytes() == expected
