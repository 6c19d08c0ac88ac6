"""A sweep that is killed at any moment resumes to the same bytes and leaves nothing behind."""

import multiprocessing
import random
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from perfmodel.sweep import make_plan, run_plan
from perfmodel.sweep.plan import Plan

KILLS = 50
_POINTS = 192


def small_chunks() -> Plan:
    from perfmodel.sweep import plan as module

    module.CHUNK = 4  # of this process alone
    return make_plan("resnet18", "a100,raspberry_pi_5", {
        "batch": "1..8", "memories.main.bandwidth": "logspace(1e10, 1e12, 6)",
        "precision": "fp16,w8a8",
    })  # fmt: skip


def run(output: str, resume: bool, begun: Connection) -> None:
    plan = small_chunks()
    assert plan.points == _POINTS
    begun.send(True)
    run_plan(plan, output=Path(output), resume=resume)


class Runs:
    """Processes that start warm and say when the sweep itself begins."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([
            "numpy", "pyarrow.parquet", "perfmodel.sweep.run", "perfmodel.predict",
        ])  # fmt: skip

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
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
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
