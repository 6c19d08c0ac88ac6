"""Files: whole or absent, resumable to the same bytes, with a manifest that says everything."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.expressions import parse_expression
from perfmodel.sweep import evaluate as evaluate_module
from perfmodel.sweep.executor import Processes
from perfmodel.sweep.plan import SweepPlan, make_plan
from perfmodel.sweep.run import run_plan
from perfmodel.table import Table

SUFFIXES = [".csv", ".parquet"]


@pytest.fixture(params=SUFFIXES)
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    return tmp_path / f"points{request.param}"


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> SweepPlan:
    monkeypatch.setattr("perfmodel.sweep.plan.CHUNK", 16)
    made = make_plan(
        "llama_3_8b,resnet18",
        "a100,raspberry_pi_5",
        {
            "batch": [1, 2, 4, 8],
            "context": [128, 256, 512],
            "precision": "fp16,w8a8",
            "memories.main.bandwidth": "100 GB/s,1 TB/s",
        },
    )
    assert len(made.chunks) >= 8
    return made


class Stop(Exception):
    """Stands for whatever ends a process."""


def interrupted_after(chunks: int) -> Callable[[int, int], None]:
    count = 0

    def progress(_done: int, _total: int) -> None:
        nonlocal count
        count += 1
        if count == chunks:
            raise Stop

    return progress


def test_the_file_holds_the_rows_of_memory(plan: SweepPlan, output: Path) -> None:
    memory = run_plan(plan).table
    run_plan(plan, output=output)
    assert Table.read(output) == memory
    assert sorted(p.name for p in output.parent.iterdir()) == [
        output.name,
        f"{output.name}.manifest.json",
    ]


def test_resuming_gives_the_same_bytes(
    plan: SweepPlan, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_plan(plan, output=output)
    expected = output.read_bytes()
    output.unlink()
    with pytest.raises(Stop):
        run_plan(plan, output=output, progress=interrupted_after(4))
    assert not output.exists()
    computed: list[int] = []
    real = evaluate_module.evaluate

    def counting(held: SweepPlan, chunk: Any) -> Table:
        computed.append(1)
        return real(held, chunk)

    monkeypatch.setattr("perfmodel.sweep.chunk.evaluate", counting)
    run_plan(plan, output=output, resume=True)
    assert output.read_bytes() == expected
    assert len(computed) == len(plan.chunks) - 4
    assert (
        json.loads((output.parent / f"{output.name}.manifest.json").read_text())["resumed_chunks"]
        == 4
    )
    assert not (output.parent / f".{output.name}.parts").exists()


def test_resuming_with_a_condition(plan: SweepPlan, output: Path) -> None:
    condition = parse_expression("latency_s <= 10 ms")
    run_plan(plan, output=output, where=condition)
    expected = output.read_bytes()
    output.unlink()
    with pytest.raises(Stop):
        run_plan(plan, output=output, where=condition, progress=interrupted_after(3))
    run_plan(plan, output=output, where=condition, resume=True)
    assert output.read_bytes() == expected
    assert Table.read(output)["latency_s"].max() <= 0.01


def test_what_is_unfinished_of_another_sweep_is_not_resumed(plan: SweepPlan, output: Path) -> None:
    with pytest.raises(Stop):
        run_plan(plan, output=output, progress=interrupted_after(2))
    other = make_plan("resnet18", "a100", {"batch": [1, 2]})
    with pytest.raises(InputError, match="of another sweep"):
        run_plan(other, output=output, resume=True)
    with pytest.raises(InputError, match="of another sweep"):
        run_plan(plan, output=output, resume=True, where=parse_expression("batch > 1"))
    run_plan(other, output=output)  # starting anew is always possible
    assert len(Table.read(output)) == 2


def test_a_finished_file_of_another_sweep_is_not_resumed(output: Path) -> None:
    grid = {"batch": [1, 2], "memories.main.bandwidth": "1 TB/s"}
    table = pm.sweep("resnet18", "a100", grid, output=output)
    before = output.read_bytes()
    for devices, settings, more, part in (
        ("h100", grid, {}, "devices: a100 there, h100 asked for"),
        ("a100", {**grid, "batch": [1, 2, 4]}, {}, "axis batch: 1,2 there, 1,2,4 asked for"),
        ("a100", {"batch": [1, 2]}, {}, "axis memories.main.bandwidth: "),
        ("a100", grid, {"model": "roofline"}, "option model: none there, roofline asked for"),
        ("a100", grid, {"where": "batch > 1"}, "where: none there, batch > 1 asked for"),
        ("a100", grid, {"metrics": ["latency_s"]}, "metrics: "),
        ("a100", {**grid, "batch": "uniform(1, 8)"}, {"sobol": 4}, "sobol: none there, 4 asked"),
    ):
        with pytest.raises(InputError, match="holds another sweep") as caught:
            pm.sweep("resnet18", devices, settings, output=output, resume=True, **more)
        (fault,) = caught.value.faults
        assert part in fault.message
        assert fault.file == "--resume"
        assert output.read_bytes() == before
        assert not (output.parent / f".{output.name}.parts").exists()
    manifest = output.parent / f"{output.name}.manifest.json"
    assert pm.sweep("resnet18", "a100", grid, output=output, resume=True) == table
    changed = json.loads(manifest.read_text())
    changed["devices"][0]["hash"] = "0"
    manifest.write_text(json.dumps(changed))
    with pytest.raises(InputError, match="devices: other contents of a100"):
        pm.sweep("resnet18", "a100", grid, output=output, resume=True)
    manifest.write_text("[")
    with pytest.raises(InputError, match="cannot be read as a manifest"):
        pm.sweep("resnet18", "a100", grid, output=output, resume=True)
    # Without resume a finished file is replaced, and one that was begun anew is resumed.
    assert len(pm.sweep("resnet18", "h100", {"batch": [1]}, output=output)) == 1
    begun = make_plan("resnet18", "a100", {"batch": [1, 2], "precision": "fp16"})
    with pytest.raises(Stop):
        run_plan(begun, output=output, progress=interrupted_after(1))
    run_plan(begun, output=output, resume=True)
    assert len(Table.read(output)) == 2


def test_a_part_that_was_being_written_is_no_part(plan: SweepPlan, output: Path) -> None:
    run_plan(plan, output=output)
    expected = output.read_bytes()
    with pytest.raises(Stop):
        run_plan(plan, output=output, progress=interrupted_after(2))
    folder = output.parent / f".{output.name}.parts"
    (folder / f".00000002{output.suffix}.x1y2{output.suffix}").write_bytes(b"half")
    run_plan(plan, output=output, resume=True)
    assert output.read_bytes() == expected


def test_an_interrupted_sweep_leaves_an_earlier_file_alone(plan: SweepPlan, output: Path) -> None:
    output.write_text("earlier")
    with pytest.raises(Stop):
        run_plan(plan, output=output, progress=interrupted_after(1))
    assert output.read_text() == "earlier"
    run_plan(plan, output=output, resume=True)
    assert len(Table.read(output)) == plan.points


def test_bad_input_leaves_no_file_and_keeps_an_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("earlier")
    for settings, where in (
        ({"bacth": [1]}, None),
        ({"batch": [1]}, "latncy_s < 1"),
        ({"batch": [0]}, None),
    ):
        with pytest.raises(InputError):
            pm.sweep("resnet18", "a100", settings, where=where, output=path)
    assert path.read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["points.csv"]


@pytest.mark.parametrize("name", ["points.txt", "points", "absent/points.csv", "."])
def test_an_output_that_cannot_be_is_found_first(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perfmodel.sweep.run.run_plan", None)  # must not be reached
    with pytest.raises(InputError, match="output"):
        pm.sweep("resnet18", "a100", {"batch": [1]}, output=tmp_path / name)


def test_the_manifest_says_what_the_file_is(plan: SweepPlan, output: Path) -> None:
    run_plan(plan, output=output, argv=["perfmodel", "sweep"])
    manifest = json.loads((output.parent / f"{output.name}.manifest.json").read_text())
    assert manifest["perfmodel"] == pm.__version__
    assert manifest["argv"] == ["perfmodel", "sweep"]
    assert manifest["points"] == manifest["rows"] == plan.points
    assert manifest["columns"]["latency_s"] == "s"
    assert manifest["columns"]["memories.main.bandwidth"] == "B/s"
    assert manifest["axes"]["batch"]["values"] == [1, 2, 4, 8]
    assert [d["hash"] for d in manifest["devices"]] == [
        pm.hardware(name).content_hash for name in ("a100", "raspberry_pi_5")
    ]
    assert (
        manifest["workloads"][0]["graph_hash"] == pm.workload("llama_3_8b").graph().content_hash()
    )
    assert set(manifest["runtimes"]) >= {pm.hardware("raspberry_pi_5").default_runtime}
    assert manifest["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert manifest["started"] < manifest["finished"]
    assert manifest["notes"] == ["context does not apply to resnet18"]


def test_other_processes_write_the_same_bytes(plan: SweepPlan, output: Path) -> None:
    from perfmodel.sweep.executor import Processes

    run_plan(plan, output=output)
    expected = output.read_bytes()
    run_plan(plan, output=output, executor=Processes(2))
    assert output.read_bytes() == expected


def test_python_gives_back_what_it_wrote(output: Path) -> None:
    table = pm.sweep("resnet18", "a100", {"batch": [1, 2]}, output=output)
    assert table == pm.sweep("resnet18", "a100", {"batch": [1, 2]})


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfmodel.sweep.store._GROUP", 2)


@pytest.mark.usefixtures("small_groups")
def test_parts_are_joined_while_others_are_computed(plan: SweepPlan, output: Path) -> None:
    """The file has the rows of memory, and the same bytes from any number of processes."""
    joined = output.parent / f".{output.name}.parts" / f".joined{output.suffix}"
    sizes: list[int] = []

    def progress(_done: int, _total: int) -> None:
        sizes.append(joined.stat().st_size if joined.exists() else 0)

    result = run_plan(plan, output=output, progress=progress)
    assert sizes[0] == 0 < sizes[-1]
    assert result.table == run_plan(plan).table
    expected = output.read_bytes()
    manifest = json.loads((output.parent / f"{output.name}.manifest.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(expected).hexdigest()
    run_plan(plan, output=output, executor=Processes(2))
    assert output.read_bytes() == expected
    if output.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        assert parquet.read_metadata(output).num_row_groups == -(-len(plan.chunks) // 2)


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("chunks", [1, 3, 6])
def test_joining_goes_on_after_an_interruption(plan: SweepPlan, output: Path, chunks: int) -> None:
    run_plan(plan, output=output)
    expected = output.read_bytes()
    with pytest.raises(Stop):
        run_plan(plan, output=output, progress=interrupted_after(chunks))
    assert output.read_bytes() == expected  # of the finished sweep before
    run_plan(plan, output=output, resume=True, executor=Processes(2))
    assert output.read_bytes() == expected
