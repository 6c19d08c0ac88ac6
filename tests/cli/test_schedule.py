"""``perfmodel schedule``: what it prints, writes and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.schedule.allocate import Lifetime
from tests.schedule.allocate.packings import overlapping

Run = Callable[..., Any]
KIB = 1024

#: A stem that waits beside a wide branch until both are added.
GRAPH: dict[str, Any] = {
    "name": "diamond",
    "unit": "KiB",
    "operators": [
        {"name": "in", "inputs": [], "output_size": 4, "inplace": None, "free_store": True},
        {"name": "stem", "inputs": [0], "output_size": 8, "inplace": None, "free_store": False},
        {"name": "left", "inputs": [1], "output_size": 6, "inplace": None, "free_store": False},
        {"name": "wide", "inputs": [2], "output_size": 12, "inplace": None, "free_store": False},
        {"name": "back", "inputs": [3], "output_size": 8, "inplace": None, "free_store": False},
        {"name": "add", "inputs": [1, 4], "output_size": 8, "inplace": 4, "free_store": True},
    ],
}


@pytest.fixture
def graph(tmp_path: Path) -> str:
    """An operator graph with sizes alone: 'back' needs 20 KiB, 28 with the stem beside it."""
    path = tmp_path / "diamond.json"
    path.write_text(json.dumps(GRAPH))
    return str(path)


def test_numbers_by_hand(run: Run, graph: str) -> None:
    """20 KiB hold the branch at its widest, not the 8 KiB of the stem beside it."""
    done = run("schedule", graph, "--capacity", "20 KiB", "--json")
    assert (done.code, done.err) == (0, "")
    data = done.data
    assert data["spill_bytes"] == data["reload_bytes"] == 8 * KIB
    assert data["lower_bound_bytes"] == 16 * KIB
    assert (data["feasible"], data["proved"]) == (True, True)
    assert data["compulsory_bytes"] == 12 * KIB  # the input and the output
    assert data["offchip_bytes"] == 28 * KIB
    assert data["order"] == ["in", "stem", "left", "wide", "back", "add"]
    assert data["capacity_bytes"] == data["working_set_bytes"] == data["peak_bytes"] == 20 * KIB
    stays = {(s["tensor"], s["first"], s["last"]): s for s in data["residency"]}
    (spilled,) = [s for s in stays.values() if s["spilled"]]
    (back,) = [s for s in stays.values() if s["reloaded"]]
    assert spilled["tensor"] == back["tensor"]
    assert (spilled["last"], back["first"]) == (2, 5)
    assert len(data["addresses"][back["tensor"]]) == 2
    assert data["height_bytes"] <= 20 * KIB
    assert data == pm.schedule(graph, capacity="20 KiB").to_dict()
    text = run("schedule", graph, "--capacity", "20 KiB").out
    assert "spilled + reloaded   8 KiB + 8 KiB = 16 KiB" in text
    assert "proved: no schedule can spill fewer bytes" in text


def test_addresses_do_not_overlap(run: Run) -> None:
    done = run("schedule", "mobilenet_v3_small", "--capacity", "400 KiB", "--no-in-place", "--json")
    stays = done.data["residency"]
    lives = [
        Lifetime(str(i), s["first"], s["last"] + 1, s["size_bytes"]) for i, s in enumerate(stays)
    ]
    assert overlapping(lives, {str(i): s["address"] for i, s in enumerate(stays)}) == []
    assert max(s["address"] + s["size_bytes"] for s in stays) == done.data["height_bytes"]
    assert {s["tensor"]: s["address"] for s in stays if not s["reloaded"]} == {
        name: at[0] for name, at in done.data["addresses"].items()
    }


@pytest.mark.parametrize("method", ["greedy", "beam", "ilp", "exact"])
def test_every_method(run: Run, graph: str, method: str) -> None:
    data = run("schedule", graph, "--capacity", "20 KiB", "--method", method, "--json").data
    assert data["spill_bytes"] + data["reload_bytes"] == 16 * KIB
    assert data["method"] == method


@pytest.mark.parametrize("method", ["ilp", "exact"])
def test_solvers_leave_stdout_alone(graph: str, method: str) -> None:
    """Nothing but JSON at the file descriptor itself, where libraries print past Python."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "perfmodel",
            "schedule",
            graph,
            "--capacity",
            "20 KiB",
            "--method",
            method,
            "--json",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["spill_bytes"] == 8 * KIB


def test_what_does_not_fit_exits_1(run: Run, graph: str, tmp_path: Path) -> None:
    plan, page = tmp_path / "plan.json", tmp_path / "page.html"
    done = run(
        "schedule",
        graph,
        "--capacity",
        "20479",
        "--json",
        "--save-plan",
        str(plan),
        "--plot",
        str(page),
    )
    assert done.code == 1
    why = done.data["infeasible"]
    assert (why["demand"], why["bound"], why["gap"]) == (20480, 20479, 1)
    assert sum(term["amount"] for term in why["terms"]) == why["demand"]
    assert why["levers"]
    assert "order" not in done.data
    assert not plan.exists()
    assert "plan.json is not written: infeasible" in done.err
    assert "needs too much" in page.read_text()
    text = run("schedule", graph, "--capacity", "19 KiB").out
    assert "needs 20 KiB on chip at once, of 19 KiB: 1 KiB too much" in text
    assert "what would help:" in text


def test_a_curve(run: Run, graph: str, tmp_path: Path) -> None:
    page = tmp_path / "curve.html"
    done = run("schedule", graph, "--capacity", "16KiB..64KiB", "--json", "--plot", str(page))
    assert done.code == 1  # 16 KiB are too few
    found = done.data["schedules"]
    assert [s["capacity_bytes"] // KIB for s in found] == [16, 32, 64]
    assert [s["feasible"] for s in found] == [False, True, True]
    assert [s.get("spill_bytes") for s in found] == [None, 0, 0]
    assert "4 KiB too much" in done.err
    assert "What more memory saves diamond" in page.read_text()
    text = run("schedule", graph, "--capacity", "20 KiB,21504,28 KiB")
    assert text.code == 0
    lines = text.out.splitlines()
    assert lines[0].startswith("diamond: ")
    assert "largest working set 20 KiB" in lines[0]
    assert [line.split()[:2] for line in lines[3:]] == [["20", "KiB"], ["21", "KiB"], ["28", "KiB"]]
    assert all(line.endswith("  proved") for line in lines[3:])
    steps = run("schedule", graph, "--capacity", "20 KiB..28 KiB:2 KiB", "--json").data["schedules"]
    costs = [s["spill_bytes"] + s["reload_bytes"] for s in steps]
    assert costs == sorted(costs, reverse=True)
    assert (costs[0], costs[-1]) == (16 * KIB, 0)


def test_a_plan_is_predicted(run: Run, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    room = ("--set", "memories.scratchpad.capacity=384 KiB")
    on = ("transformer_base", "gemmini_16x16", "--precision", "int8", *room)
    made = run("schedule", *on, "--save-plan", str(plan), "--json")
    assert (made.code, made.err) == (0, "")
    planned = run("predict", *on, "--plan", str(plan), "--json")
    assert (planned.code, planned.err) == (0, "")
    free = run("predict", *on, "--json").data
    # What the schedule keeps on chip no longer crosses, what it spills and reloads does.
    moved = planned.data["traffic_bytes"]["main_memory"]
    assert moved == pytest.approx(made.data["offchip_bytes"], rel=1e-6)
    assert moved < free["traffic_bytes"]["main_memory"]
    small = run("predict", *on[:4], "--plan", str(plan))
    assert small.code == 1
    assert "scratchpad must hold" in small.out
    other = run("predict", "tiny_cnn", "gemmini_16x16", "--precision", "int8", "--plan", str(plan))
    assert other.code == 2


def test_files_are_pythons(run: Run, graph: str, tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    done = run("schedule", graph, "--capacity", "28 KiB", "-o", str(out))
    assert (done.code, done.out, done.err) == (0, "", "")
    found = pm.schedule(graph, capacity="28 KiB")
    assert json.loads(out.read_text()) == found.to_dict()
    text = tmp_path / "found.txt"
    run(
        "schedule",
        graph,
        "--capacity",
        "28 KiB",
        "-o",
        str(text),
        "--plot",
        str(tmp_path / "p.html"),
    )
    assert text.read_text() == str(found) + "\n"
    assert "Order of diamond" in (tmp_path / "p.html").read_text()


def test_every_fault_at_once_and_nothing_written(run: Run, tmp_path: Path) -> None:
    done = run(
        "schedule",
        "resnet19",
        "gemini_16x16",
        "--capacity",
        "10 parsecs,0",
        "--method",
        "exakt",
        "--objective",
        "byte",
        "--weights",
        "here",
        "--alignment",
        "0",
        "--time-limit",
        "-1",
        "--set",
        "nonsense",
        "-o",
        str(tmp_path / "x.png"),
        "--save-plan",
        str(tmp_path / "p.csv"),
        "--plot",
        str(tmp_path / "none" / "q.html"),
    )
    assert (done.code, done.out) == (2, "")
    assert list(tmp_path.iterdir()) == []
    for words in (
        "--set: 'nonsense' sets nothing",
        "-o: 'x.png' has no suffix that states its format",
        "--save-plan: 'p.csv' has no suffix that states its format",
        "--save-plan: a plan is of one capacity",
        "--plot: there is no folder",
        "'parsecs' is not a unit of size",
        "0 is not a valid size",
        "--method: unknown method 'exakt'",
        "did you mean 'exact'",
        "--objective: unknown objective 'byte'",
        "--weights: unknown weights 'here'",
        "--alignment: 0",
        "--time-limit: -1.0",
        "--capacity: ",
        "resnet19",
        "did you mean 'gemmini_16x16'",
    ):
        assert words in done.err, words
    assert len(done.faults) == 14


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet18"], "no capacity is stated; expected a size such as '256 KiB', or a device"),
        (["resnet18", "--capacity", "1 MiB..64 KiB"], "runs backwards"),
        (["resnet18", "--capacity", "1 MiB", "--memory", "sram"], "a memory belongs to a device"),
        (["resnet18", "gemmini_16x16", "--memory", "sram"], "no memory 'sram'"),
        (["resnet18", "--capacity", "1 MiB", "--runtime", "ideal"], "requires a device"),
        (["resnet18", "--capacity", "1 MiB", "--objective", "latency_s"], "needs a device"),
        (["resnet18", "--capacity", "1 MiB", "--alignment", "1.5"], "expected a whole number"),
        (
            ["resnet18", "tpu_v1", "--objective", "offchip_energy_j"],
            "states no energy of transfers and no power",
        ),
        (["llama_3_8b", "--set", "context=0", "--capacity", "1 MiB"], "context"),
    ],
)
def test_what_is_refused(run: Run, arguments: list[str], words: str) -> None:
    done = run("schedule", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert len(done.faults) == 1


def test_objectives_say_what_they_prove(run: Run) -> None:
    on = ("transformer_base", "gemmini_16x16", "--capacity", "384 KiB", "--precision", "int8")
    fast = run("schedule", *on, "--objective", "latency_s", "--json").data
    few = run("schedule", *on, "--json").data
    assert fast["latency_s"] <= few["latency_s"]
    assert fast["lower_bound"] <= fast["latency_s"]
    assert fast["timing"]["fewest_bytes"]["noncompulsory_bytes"] == (
        few["spill_bytes"] + few["reload_bytes"]
    )
    peak = run("schedule", "transformer_base", "--objective", "peak", "--json").data
    assert peak["proved"]
    assert peak["peak_bytes"] == peak["lower_bound"]
    assert peak["spill_bytes"] == 0
    enough = str(peak["peak_bytes"])
    assert (
        run("schedule", "transformer_base", "--capacity", enough, "--json").data["spill_bytes"] == 0
    )
