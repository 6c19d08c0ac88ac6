"""Whatever changes a row keeps an unfinished sweep from being taken up, and its file untouched."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.expressions import parse_expression
from perfmodel.sweep.content_hash import digest
from perfmodel.sweep.plan import SweepPlan, make_plan
from perfmodel.sweep.run import run_plan

MODEL = """schema_version: 1
name: small
family: transformer
structure: {layers: 2, width: 64, heads: 4, ffn_width: 128, vocabulary: 100}
parameters: {batch: 1, context: 16}
precision: w4a16
sources:
  paper: {title: "A paper", year: 2024}
published: {params: 111111, source: paper}
"""


class Stop(Exception):
    """Stands for whatever ends a process."""


def stop(_done: int, _total: int) -> None:
    raise Stop


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(MODEL)
    for name, base in (("parent", "a100"), ("child", "parent")):
        text = f"schema_version: 1\nname: {name}\nbase: {base}\ntitle: A device\n"
        Path(f"{name}.yaml").write_text(text)
    Path("runs.yaml").write_text(pm.runtime("generic").to_yaml().replace("generic", "runs", 1))
    return tmp_path


def plan(**changed: Any) -> SweepPlan:
    asked: dict[str, Any] = {
        "workloads": "./small.yaml",
        "devices": ["./child.yaml"],
        "settings": AXES,
        "zip": (),
        "metrics": None,
        "options": {"runtime": "./runs.yaml"},
        **changed,
    }
    return make_plan(**asked)


AXES = {"batch": [1, 2], "context": [8, 16]}


def rewritten(name: str, old: str, new: str) -> Callable[[pytest.MonkeyPatch], SweepPlan]:
    def change(_patch: pytest.MonkeyPatch) -> SweepPlan:
        text = Path(name).read_text()
        assert old in text
        Path(name).write_text(text.replace(old, new))
        return plan()

    return change


def otherwise(**changed: Any) -> Callable[[pytest.MonkeyPatch], SweepPlan]:
    return lambda _patch: plan(**changed)


def option(**changed: Any) -> Callable[[pytest.MonkeyPatch], SweepPlan]:
    return otherwise(options={"runtime": "./runs.yaml", **changed})


def with_(target: str, value: Any) -> Callable[[pytest.MonkeyPatch], SweepPlan]:
    def change(patch: pytest.MonkeyPatch) -> SweepPlan:
        patch.setattr(target, value)
        return plan()

    return change


IDENTITY = "perfmodel.sweep.identity."
#: What is changed -> what the refusal has to name.
CHANGES: dict[str, tuple[Callable[[pytest.MonkeyPatch], SweepPlan], str]] = {
    "the model's own precision": (
        rewritten("small.yaml", "w4a16", "w8a16"),
        "other contents of small (precision w4a16 there, w8a16 asked for)",
    ),
    "a field of its structure": (rewritten("small.yaml", "layers: 2", "layers: 3"), "workloads"),
    "a default of its parameters": (rewritten("small.yaml", "h: 1,", "h: 3,"), "workloads"),
    "the device's base": (
        rewritten("parent.yaml", "title: A device\n", "title: A device\npower: {idle: 5 W}\n"),
        "devices",
    ),
    "the runtime's file": (rewritten("runs.yaml", "stands for the mean", "none"), "runtime runs"),
    "the device": (otherwise(devices=["a100"]), "devices"),
    "one device more": (otherwise(devices=["./child.yaml", "h100"]), "devices"),
    "a machine with a fact varied": (
        lambda _: plan(devices=[pm.hardware("a100").vary({"memories.main.bandwidth": 1e12})]),
        "devices",
    ),
    "the workload": (otherwise(workloads="tinyllama_1_1b"), "workloads"),
    "an object for a workload": (
        lambda _: plan(workloads=pm.workload("small.yaml", layers=1)),
        "workloads",
    ),
    "a value of an axis": (otherwise(settings={**AXES, "batch": [1, 3]}), "axis batch"),
    "the type of a value": (otherwise(settings={**AXES, "batch": [1, 2.5]}), "axis batch"),
    "one axis more": (otherwise(settings={**AXES, "kv_bits": [8]}), "axis kv_bits"),
    "axes that go together": (otherwise(zip=[("batch", "context")]), "zip"),
    "the metrics": (otherwise(metrics=["latency_s"]), "metrics"),
    "precision": (option(precision="int8"), "option precision"),
    "runtime": (option(runtime=None), "option runtime"),
    "engine": (option(engine="gpu"), "option engine"),
    "model": (option(model="roofline"), "option model"),
    "fuse": (option(fuse=False), "option fuse"),
    "no flash_attention": (option(flash_attention=False), "option flash_attention"),
    "flash_attention": (option(flash_attention=True), "option flash_attention"),
    "relaxed": (option(relaxed=True), "option relaxed"),
    "warm": (option(warm=True), "option warm"),
    "the version": (with_(f"{IDENTITY}__version__", "0.0.1"), "perfmodel"),
    "the code": (with_(f"{IDENTITY}sources_digest", lambda: "0"), "code"),
    "a package": (with_(f"{IDENTITY}packages", lambda: {"perfmodel.kinds:x": "x 2"}), "packages"),
    "numpy": (with_(f"{IDENTITY}np.__version__", "0"), "numpy"),
    "points of a chunk": (with_("perfmodel.sweep.plan.CHUNK", 3), "chunk"),
}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_changes_a_row_is_refused_and_named(
    what: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, named = CHANGES[what]
    begun, finished = files / "begun" / "o.csv", files / "finished" / "o.csv"
    for path in (begun, finished):
        path.parent.mkdir()
    with pytest.raises(Stop):
        run_plan(plan(), output=begun, progress=stop)
    run_plan(plan(), output=finished)
    other = change(monkeypatch)
    for path in (begun, finished):
        before = tree(path.parent)
        with pytest.raises(InputError) as caught:
            run_plan(other, output=path, resume=True)
        (fault,) = caught.value.faults
        assert fault.file == "--resume"
        assert named in fault.message
        assert "no --resume" in fault.expected  # how to start anew
        assert tree(path.parent) == before


def test_a_condition_is_part_of_the_question(files: Path) -> None:
    output = files / "o.csv"
    with pytest.raises(Stop):
        run_plan(plan(), output=output, progress=stop)
    with pytest.raises(InputError, match="where: none there, batch > 1 asked for"):
        run_plan(plan(), output=output, resume=True, where=parse_expression("batch > 1"))


def test_a_sample_and_its_seed_are_part_of_the_question(files: Path) -> None:
    def sampled(points: int, seed: int) -> SweepPlan:
        settings = {"batch": "uniform(1, 64)"}
        return make_plan("./small.yaml", "a100", settings, sobol=points, seed=seed)

    with pytest.raises(Stop):
        run_plan(sampled(4, 0), output=files / "o.csv", progress=stop)
    for other, part in ((sampled(4, 1), "seed: 0 there, 1"), (sampled(8, 0), "sobol: 4 there, 8")):
        with pytest.raises(InputError, match=part):
            run_plan(other, output=files / "o.csv", resume=True)


def test_nothing_changed_is_taken_up(files: Path) -> None:
    output = files / "o.csv"
    run_plan(plan(), output=output)
    expected = output.read_bytes()
    output.unlink()
    with pytest.raises(Stop):
        run_plan(plan(), output=output, progress=stop)
    os.utime(files / "small.yaml", (1, 1))  # when a file was written changes no row
    run_plan(plan(), output=output, resume=True)
    assert output.read_bytes() == expected


@pytest.fixture(scope="module")
def objects() -> list[Any]:
    calibrated = pm.hardware("a100").machine()
    return [
        pm.workload("tinyllama_1_1b"),
        pm.workload("resnet18", batch=[1, 2]),
        pm.hardware("a100"),
        calibrated,
        calibrated.vary({"memories.main.bandwidth": 1e12}),
        {"a": (1, 1.0, True, "1", b"1", None), "b": frozenset({"x", "y", "z"})},
    ]


def test_equal_contents_have_one_digest_in_every_process(
    objects: list[Any], tmp_path: Path
) -> None:
    found = [digest(each) for each in objects]
    assert len(set(found)) == len(objects)
    assert [digest(pickle.loads(pickle.dumps(each))) for each in objects] == found
    sent = tmp_path / "objects"
    sent.write_bytes(pickle.dumps(objects))
    code = (
        "import pickle, sys; from perfmodel.sweep.content_hash import digest; "
        "print([digest(x) for x in pickle.load(open(sys.argv[1], 'rb'))])"
    )
    for seed in ("1", "2"):  # sets and texts hash differently there
        said = subprocess.run(
            [sys.executable, "-c", code, str(sent)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        assert said.strip() == repr(found)


def test_what_was_computed_from_contents_is_no_part_of_them() -> None:
    workload, device = pm.workload("resnet18"), pm.hardware("a100")
    before = [digest(workload), digest(device), digest(device.machine())]
    pm.predict(workload, device)
    pm.sweep(workload, [device, "raspberry_pi_5"], {"batch": [1, 2]}, precision="int8")
    pm.solve(workload, device, "batch", "latency_s <= 1 s")
    assert [digest(workload), digest(device), digest(device.machine())] == before
    assert len(pickle.dumps(workload)) < 2_000  # nor are they sent to other processes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        ("1", 1),
        ((1, 2), [1, 2]),
        ([1, [2]], [[1], 2]),
        (["ab"], ["a", "b"]),
        ({"a": 1}, {"b": 1}),
        (None, ""),
        (0.1, 0.1 + 2**-56),
    ],
)
def test_different_contents_have_different_digests(one: Any, other: Any) -> None:
    assert digest(one) != digest(other)


def test_a_cycle_has_a_digest() -> None:
    cycle: list[Any] = [1]
    cycle.append(cycle)
    assert digest(cycle) == digest(cycle) != digest([1])


def test_a_model_file_is_compared_by_all_that_it_holds(tmp_path: Path) -> None:
    """Weights whose sizes are the same and whose numbers are not: no row changes, and yet."""
    onnx = pytest.importorskip("onnx")
    numpy_helper, helper = onnx.numpy_helper, onnx.helper
    path, output = tmp_path / "net.onnx", tmp_path / "o.csv"

    def write(operator: str, scale: float) -> None:
        weight = numpy_helper.from_array(np.full((8, 8), scale, dtype=np.float32), "w")
        shape = ["n", 8]
        graph = helper.make_graph(
            [
                helper.make_node("MatMul", ["x", "w"], ["h"]),
                helper.make_node(operator, ["h"], ["y"]),
            ],
            "net",
            [helper.make_tensor_value_info("x", 1, shape)],
            [helper.make_tensor_value_info("y", 1, shape)],
            [weight],
        )
        onnx.save(helper.make_model(graph), path)

    write("Relu", 1.0)
    made = make_plan(str(path), "a100", {"n": [1, 2]})
    with pytest.raises(Stop):
        run_plan(made, output=output, progress=stop)
    for operator, scale in (("Exp", 1.0), ("Relu", 2.0)):
        write(operator, scale)
        other = make_plan(str(path), "a100", {"n": [1, 2]})
        with pytest.raises(InputError, match="workloads: other contents of"):
            run_plan(other, output=output, resume=True)
    write("Relu", 1.0)
    run_plan(make_plan(str(path), "a100", {"n": [1, 2]}), output=output, resume=True)
    assert output.is_file()


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("name", "old", "new", "part"),
    [
        ("small.yaml", "w4a16", "w8a16", "workloads: other contents of small"),
        (
            "parent.yaml",
            "title: A device\n",
            "title: A device\npower: {idle: 5 W}\n",
            "devices: other",
        ),
        ("runs.yaml", "stands for the mean", "none", "runtime runs"),
    ],
)
def test_a_file_that_changes_while_a_sweep_reads_it(
    name: str,
    old: str,
    new: str,
    part: str,
    kept: bool,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows before and after are of two contents: there is no such sweep."""
    monkeypatch.setattr("perfmodel.sweep.plan.CHUNK", 2)
    output = files / "o.csv"
    output.write_text("earlier")

    def edit(done: int, _total: int) -> None:
        path = files / name
        if done == 2:
            path.write_text(path.read_text().replace(old, new))

    with pytest.raises(InputError, match="has changed while it ran") as caught:
        run_plan(plan(), output=output if kept else None, progress=edit)
    assert part in str(caught.value)
    assert output.read_text() == "earlier"
    assert not (files / ".o.csv.parts").exists()
