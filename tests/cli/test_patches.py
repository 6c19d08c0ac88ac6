"""``perfmodel patches``: the command says what Python says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm

Run = Callable[..., Any]
KIB = 1024
NET = "mlperf_tiny_vww"


def test_patches_are_pythons(run: Run, tmp_path: Path) -> None:
    page, out = tmp_path / "page.html", tmp_path / "found.json"
    done = run(
        "patches", NET, "--capacity", "30 KiB", "--json", "--plot", str(page), "-o", str(out)
    )
    assert (done.code, done.err) == (0, "")
    found = pm.patches(NET, capacity=30 * KIB)
    assert done.data == json.loads(out.read_text()) == found.to_dict()
    assert done.data["peak_bytes"] <= 30 * KIB < done.data["layer_by_layer"]["peak_bytes"]
    # Nothing between the layers leaves the chip, only the image comes in.
    assert done.data["map_bytes"] == 96 * 96 * 3
    assert done.data["stages"][0]["first"] == "stem"
    assert "with and without patches" in page.read_text()
    assert "does not fit" in run("patches", NET, "--capacity", "30 KiB").out


def test_what_no_plan_fits_exits_1(run: Run) -> None:
    done = run("patches", NET, "--capacity", "1 KiB", "--objective", "macs", "--json")
    assert done.code == 1
    why = done.data["infeasible"]
    assert why["gap"] == why["demand"] - KIB > 0
    least = run("patches", NET, "--objective", "peak", "--json")
    assert least.code == 0
    assert least.data["peak_bytes"] == why["demand"]


def test_every_fault_at_once(run: Run, tmp_path: Path) -> None:
    done = run(
        "patches",
        NET,
        "--capacity",
        "much",
        "--objective",
        "mac",
        "--mode",
        "cache",
        "--plot",
        str(tmp_path / "x.png"),
        "-o",
        str(tmp_path / "x.pdf"),
        "--set",
        "nothing",
        "--time-limit",
        "0",
        "--most-patched",
        "-1",
        "--memory",
        "sram",
    )
    assert (done.code, done.out) == (2, "")
    assert list(tmp_path.iterdir()) == []
    for words in (
        "-o: 'x.pdf'",
        "--plot: 'x.png'",
        "--set: 'nothing'",
        "--objective: unknown word 'mac'",
        "--mode: unknown word 'cache'",
        "--capacity: 'much'",
        "--time-limit: 0.0",
        "--most-patched: -1",
        "--memory: ",
    ):
        assert words in done.err, words
    assert len(done.faults) == 9


@pytest.mark.parametrize("arguments", [[NET], ["llama_3_8b", "--capacity", "1 MiB"]])
def test_what_is_refused(run: Run, arguments: list[str]) -> None:
    done = run("patches", *arguments)
    assert (done.code, done.out) == (2, "")
    assert len(done.faults) == 1
