"""Two sweeps into one file, and parts that are not what was written."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.sweep.lock import locked
from perfmodel.sweep.plan import SweepPlan, make_plan
from perfmodel.sweep.run import run_plan
from perfmodel.sweep.store import Store
from perfmodel.table import Table

GRID = {"batch": "1..8", "memories.main.bandwidth": "100 GB/s,1 TB/s"}


class Stop(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture(params=[".csv", ".parquet"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    return tmp_path / f"points{request.param}"


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> SweepPlan:
    monkeypatch.setattr("perfmodel.sweep.plan.CHUNK", 4)
    return make_plan("resnet18", "a100", GRID)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("device", ["a100", "h100"])
def test_a_second_sweep_into_a_file_fails_at_once_and_harms_nothing(
    plan: SweepPlan, output: Path, device: str, resume: bool
) -> None:
    run_plan(plan, output=output)
    expected = output.read_bytes()
    output.unlink()
    other = make_plan("resnet18", device, GRID)
    told: list[str] = []

    def second(_done: int, _total: int) -> None:
        with pytest.raises(InputError) as caught:
            run_plan(other, output=output, resume=resume)
        told.append(str(caught.value))

    run_plan(plan, output=output, progress=second)
    assert len(told) == len(plan.chunks)
    for part in (str(os.getpid()), socket.gethostname(), "is being written by"):
        assert part in told[0]
    assert output.read_bytes() == expected
    assert {p.name for p in output.parent.iterdir()} == {
        output.name,
        f"{output.name}.manifest.json",
    }


def test_one_file_under_two_names_has_one_lock(plan: SweepPlan, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "points.csv", tmp_path / "link.csv"
    link.symlink_to(real)

    def second(_done: int, _total: int) -> None:
        for name in (real, tmp_path / "real" / ".." / "real" / "points.csv"):
            with pytest.raises(InputError, match="is being written"):
                run_plan(plan, output=name)

    done = run_plan(plan, output=link, progress=second)
    assert link.is_symlink()
    assert done.manifest == real.parent / "points.csv.manifest.json"
    assert done.table == Table.read(real)
    assert {p.name for p in tmp_path.iterdir()} == {"real", "link.csv"}


def test_two_files_are_written_at_one_time(plan: SweepPlan, tmp_path: Path) -> None:
    def second(done: int, _total: int) -> None:
        run_plan(plan, output=tmp_path / f"other{done}.csv")

    run_plan(plan, output=tmp_path / "points.csv", progress=second)
    contents = {p.read_bytes() for p in tmp_path.glob("*.csv")}
    assert len(contents) == 1


HOLDER = """
import sys
from pathlib import Path
from perfmodel.sweep.lock import locked
with locked(Path(sys.argv[1]), Path("points.csv")):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    path, output = tmp_path / "lock", tmp_path / "points.csv"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(InputError, match=rf"process {holder.pid} on \S+ since 20\d\d-"),
            locked(path, output),
        ):
            pass
        holder.kill()
        holder.wait()
    assert path.exists()
    with locked(path, output):
        assert json.loads(path.read_text())["process"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [b"", b"{", b"[]", b'{"process": 1, "host": "elsewhere"}'])
def test_what_stands_in_a_lock_that_nobody_holds_does_not_matter(
    tmp_path: Path, left: bytes
) -> None:
    path = tmp_path / "lock"
    path.write_bytes(left)
    with locked(path, tmp_path / "points.csv"):
        pass
    assert not path.exists()


def test_without_locks_of_the_system_a_signature_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perfmodel.sweep.lock._lock", lambda _number: None)
    path, output = tmp_path / "lock", tmp_path / "points.csv"
    with (
        locked(path, output),
        pytest.raises(InputError, match="is being written"),
        locked(path, output),
    ):
        pass
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    signature = {"process": int(ended.stdout), "host": socket.gethostname(), "has_locks": False}
    path.write_text(json.dumps(signature))
    with locked(path, output):
        pass


def test_python_has_the_rows_that_it_wrote_and_not_another_sweeps(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows come back before the lock is given up."""
    real = Store.table

    def table(store: Store) -> Table:
        with pytest.raises(InputError, match="is being written"):
            pm.sweep("resnet18", "h100", {"batch": [1]}, output=output)
        return real(store)

    monkeypatch.setattr(Store, "table", table)
    found = pm.sweep("resnet18", "a100", {"batch": [1, 2]}, output=output)
    assert found["device"].tolist() == ["a100", "a100"]


def emptied(data: bytes) -> bytes:
    return data[:0]


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    at = len(data) // 3
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def one_row_less(data: bytes) -> bytes:
    return data[: data[:-1].rfind(b"\n") + 1]


@pytest.mark.parametrize("harm", [emptied, truncated, flipped, one_row_less])
def test_a_damaged_part_is_computed_again(plan: SweepPlan, output: Path, harm: object) -> None:
    run_plan(plan, output=output)
    expected = output.read_bytes()
    output.unlink()

    def stop(done: int, _total: int) -> None:
        if done == 12:
            raise Stop

    with pytest.raises(Stop):
        run_plan(plan, output=output, progress=stop)
    parts = sorted((output.parent / f".{output.name}.parts").glob("[0-9]*"))
    assert len(parts) == 3
    assert callable(harm)
    parts[1].write_bytes(harm(parts[1].read_bytes()))
    done = run_plan(plan, output=output, resume=True)
    assert output.read_bytes() == expected
    assert done.damaged == 1
    assert done.manifest is not None
    said = json.loads(done.manifest.read_text())
    assert (said["resumed_chunks"], said["recomputed_chunks"]) == (2, 1)
    assert done.summary.rows == plan.points


def test_a_head_that_is_damaged_is_of_no_sweep(plan: SweepPlan, output: Path) -> None:
    def stop(_done: int, _total: int) -> None:
        raise Stop

    for content in ("", "{", "[]", '"x"'):
        with pytest.raises(Stop):
            run_plan(plan, output=output, progress=stop)
        (output.parent / f".{output.name}.parts" / "plan.json").write_text(content)
        with pytest.raises(InputError, match="of another sweep"):
            run_plan(plan, output=output, resume=True)
        run_plan(plan, output=output)  # starting anew is always possible
        assert len(Table.read(output)) == plan.points


def test_parts_say_their_number_and_checksum(plan: SweepPlan, output: Path) -> None:
    names: list[str] = []

    def look(_done: int, _total: int) -> None:
        names[:] = sorted(p.name for p in (output.parent / f".{output.name}.parts").iterdir())

    run_plan(plan, output=output, progress=look)
    parts = [name for name in names if name != "plan.json"]
    suffix = {".csv": ".csv", ".parquet": ".arrow"}[output.suffix]
    pattern = rf"(\d{{8}})-0-n-[0-9a-f]{{32}}{re.escape(suffix)}"
    matches = [re.fullmatch(pattern, name) for name in parts]
    assert [int(m[1]) for m in matches if m] == list(range(len(plan.chunks)))
