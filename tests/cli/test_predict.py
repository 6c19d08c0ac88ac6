"""``perfmodel predict``: the numbers of Python, every fault, exit codes, files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.metrics import metrics_of
from perfmodel.prediction import METRICS
from perfmodel.table import Table

Run = Callable[..., Any]


def test_json_is_what_python_gives(run: Run) -> None:
    done = run(
        "predict",
        "llama_3_8b",
        "raspberry_pi_5",
        "--set",
        "batch=2",
        "--set",
        "memories.main.bandwidth=25 GB/s",
        "--precision",
        "w4a16",
        "--json",
    )
    found = pm.predict(
        "llama_3_8b",
        "raspberry_pi_5",
        precision="w4a16",
        set={"batch": 2, "memories.main.bandwidth": "25 GB/s"},
    )
    assert done.code == 0
    assert done.err == ""
    assert done.data == found.to_dict()
    # Metrics of designs are those of machines with a design.
    assert set(METRICS) - set(metrics_of("request")) <= done.data.keys()


def test_text_is_the_predictions_own(run: Run) -> None:
    done = run("predict", "resnet18", "a100")
    assert done.out == str(pm.predict("resnet18", "a100")) + "\n"
    opened = run("predict", "resnet18", "a100", "--explain", "--rows", "2")
    assert "latency_s = " in opened.out
    assert "bound_by" in opened.out


def test_bare_roofline_and_relaxed(run: Run) -> None:
    done = run(
        "predict", "resnet18", "zen4_core", "--model", "roofline", "--runtime", "ideal", "--json"
    )
    assert (
        done.data["latency_s"]
        == pm.predict("resnet18", "zen4_core", model="roofline", runtime="ideal").latency_s
    )
    assert run("predict", "mobilenet_v2", "a100", "--relaxed", "--warm", "--no-fuse").code == 0


def test_plain_numbers_are_si_and_precision_may_be_set(run: Run) -> None:
    by_unit = run(
        "predict",
        "resnet18",
        "a100",
        "--set",
        "memories.main.bandwidth=1 TB/s",
        "--precision",
        "int8",
        "--json",
    ).data
    plain = run(
        "predict",
        "resnet18",
        "a100",
        "--set",
        "memories.main.bandwidth=1e12",
        "--set",
        "precision=int8",
        "--json",
    ).data
    assert plain == by_unit


def test_what_does_not_fit_exits_1_and_says_why(run: Run) -> None:
    done = run("predict", "resnet18", "stm32h743", "--json")
    assert done.code == 1
    assert done.data["feasible"] is False
    assert {"demand", "bound", "gap", "levers"} <= done.data["violations"][0].keys()
    assert "infeasible" in run("predict", "resnet18", "stm32h743").out


def test_all_faults_of_one_line_at_once(run: Run, tmp_path: Path) -> None:
    done = run(
        "predict",
        "lama_3_8b",
        "a1000",
        "--set",
        "batch",
        "--set",
        "context=1,2",
        "--set",
        "x=1",
        "--set",
        "x=2",
        "--precision",
        "w9",
        "--runtime",
        "vlm",
        "-o",
        str(tmp_path / "a.xls"),
    )
    assert done.code == 2
    assert done.out == ""
    text = done.err
    for part in (
        "'batch' sets nothing",
        "'1,2' is a list",
        "'x' is set twice",
        "lama_3_8b",
        "a1000",
        "'w9'",
        "did you mean 'vllm'",
        "a.xls",
    ):
        assert part in text, part
    assert len(done.faults) == len(done.err.splitlines()) == 8
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".json", ".csv", ".txt"])
def test_files(run: Run, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    done = run("predict", "resnet18", "a100", "-o", str(path))
    assert (done.code, done.out) == (0, "")
    found = pm.predict("resnet18", "a100")
    if suffix == ".csv":
        assert Table.read(path)["total_s"].tolist() == found.table["total_s"].tolist()
    elif suffix == ".json":
        assert path.read_text() == run("predict", "resnet18", "a100", "--json").out
    else:
        assert path.read_text() == str(found) + "\n"


def test_a_fault_keeps_an_earlier_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("earlier")
    assert run("predict", "resnet18", "a100", "--set", "bacth=1", "-o", str(path)).code == 2
    assert path.read_text() == "earlier"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "memories.main.bandwith=1 GB/s"], "did you mean 'memories.main.bandwidth'"),
        (["--set", "memories.main.bandwidth=1 GB"], "did you mean '1 GB/s'"),
        (["--set", "memories.main.bandwidth=-1 GB/s"], "negative"),
        (["--set", "memories.main.bandwidth=nan"], "nan"),
        (["--set", "memories.main.capacity=1e30"], "absurd"),
        (["--set", "batch=0"], "not an extent"),
        (["--set", "batch=-4"], "not an extent"),
        (["--set", "batch=many"], "many"),
        (["--set", "batch=1e30"], "not an extent"),
        (["--set", "batch=2**99999"], "not an extent"),
        (["--set", "hieght=320"], "did you mean 'height'"),
        (["--set", "device=a100"], "cannot be set here"),
        (["--precision", "fp15"], "did you mean 'fp1"),
        (["--engine", "gppu"], "did you mean 'gpu'"),
        (["--model", "rooofline"], "did you mean 'roofline'"),
        (["--runtime", "/absent/r.yaml"], "/absent/r.yaml"),
    ],
)
def test_each_fault_is_named(run: Run, arguments: list[str], message: str) -> None:
    done = run("predict", "resnet18", "a100", *arguments)
    assert done.code == 2
    assert done.out == ""
    assert message in done.err
