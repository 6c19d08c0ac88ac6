"""``perfmodel compare`` and ``perfmodel solve``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.table import Table

Run = Callable[..., Any]


def test_compare_is_pythons(run: Run) -> None:
    done = run("compare", "resnet18", "a100", "raspberry_pi_5", "--json")
    assert done.code == 0
    assert done.data == pm.compare("resnet18", "a100", "raspberry_pi_5").to_dict()
    text = run("compare", "resnet18", "a100", "raspberry_pi_5").out
    assert "times slower than a100" in text
    assert "engines.main.clock" in text


def test_compare_precisions_of_one_device(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    done = run("compare", "resnet18", "a100", "a100", "--precision", "fp16:int8", "-o", str(path))
    assert (done.code, done.out) == (0, "")
    expected = pm.compare("resnet18", "a100", "a100", precision=("fp16", "int8"))
    assert Table.read(path)["difference_s"].tolist() == expected.table["difference_s"].tolist()


def test_compare_names_the_times_of_two_runtimes(run: Run) -> None:
    text = run("compare", "yolov5s", "hailo8", "edge_tpu").out
    once = pm.hardware("hailo8").machine().facts["runtime.per_run"]
    assert f"(once a run): {1e6 * once:.4g} us of the runtime on hailo8" in text


def test_compare_faults(run: Run) -> None:
    done = run("compare", "resnet", "a1000", "h10", "--precision", "a:b:c", "--set", "x")
    assert done.code == 2
    assert len(done.faults) == 5


def test_solve_is_pythons(run: Run) -> None:
    done = run(
        "solve",
        "llama_3_8b",
        "jetson_agx_orin",
        "--for",
        "memories.main.bandwidth",
        "--until",
        "tokens_per_s >= 9",
        "--json",
    )
    assert done.code == 0
    found = pm.solve(
        "llama_3_8b", "jetson_agx_orin", "memories.main.bandwidth", "tokens_per_s >= 9"
    )
    assert done.data == found.to_dict()
    assert done.data["unit"] == "B/s"
    text = run(
        "solve",
        "llama_3_8b",
        "jetson_agx_orin",
        "--for",
        "memories.main.bandwidth",
        "--until",
        "tokens_per_s >= 9",
    )
    assert "at least" in text.out


def test_solve_exits_1_where_no_value_reaches_it(run: Run) -> None:
    done = run(
        "solve",
        "llama_3_8b",
        "raspberry_pi_5",
        "--for",
        "memories.main.bandwidth",
        "--until",
        "tokens_per_s >= 1e6",
        "--json",
    )
    assert done.code == 1
    assert done.data["feasible"] is False
    assert done.data["value"] is None
    assert done.data["binds"]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--for", "batc", "--until", "latencys < 1"], 1),
        (["--for", "batch", "--until", "tokens_per_s > 1"], 1),
        (["--until", "latency_s < 1"], 1),
        (["--for", "x", "--until", "latency_s <", "--set", "y", "--precision", "w", "-o", "/"], 4),
    ],
)
def test_solve_faults(run: Run, arguments: list[str], count: int) -> None:
    done = run("solve", "resnet18", "a100", *arguments)
    assert done.code == 2
    assert len(done.faults) >= count
    assert done.out == ""
