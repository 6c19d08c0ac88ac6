"""``perfmodel place`` and ``perfmodel stream``: Python's numbers, exit codes, faults, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.schedule.place import PlacementLevel
from perfmodel.table import Table

Run = Callable[..., Any]
MODEL = ("--precision", "w4a16")


def test_place_is_what_python_gives(run: Run) -> None:
    done = run(
        "place",
        "mixtral_8x7b",
        "rtx_4090",
        *MODEL,
        "--set",
        "context=4096",
        "--level",
        "host=64 GB,25 GB/s",
        "--capacity",
        "gddr6x=16 GB",
        "--by",
        "layer",
        "--json",
    )
    found = pm.place(
        "mixtral_8x7b",
        "rtx_4090",
        precision="w4a16",
        set={"context": 4096},
        extra=[PlacementLevel.of("host", "64 GB", "25 GB/s")],
        by="layer",
        capacities={"gddr6x": "16 GB"},
    )
    assert done.code == 0
    assert done.data == json.loads(found.to_json())
    assert done.data["proved"] is True
    used = {level["name"]: level["used_bytes"] for level in done.data["levels"]}
    assert used["gddr6x"] <= 16e9


def test_place_in_words(run: Run) -> None:
    done = run(
        "place",
        "qwen3_30b_a3b",
        "ufs_4_phone",
        *MODEL,
        "--cached",
        "dram",
        "--popularity",
        "geometric:0.08",
        "--capacity",
        "dram=8 GB",
        "--context-limit",
    )
    assert done.code == 0
    assert "of cache" in done.out
    assert "longest context: " in done.out
    pinned = run(
        "place",
        "tinyllama_1_1b",
        "ufs_4_phone",
        *MODEL,
        "--levels",
        "dram,storage",
        "--kv-levels",
        "dram",
        "--pinned",
        "head=storage",
        "--method",
        "greedy",
    )
    assert "storage" in next(x for x in pinned.out.splitlines() if x.startswith("head.weight"))


def test_what_does_not_fit_exits_1(run: Run) -> None:
    done = run("place", "llama_3_70b", "rtx_4090", *MODEL, "--json")
    assert done.code == 1
    assert done.data["feasible"] is False
    assert {"demand", "bound", "gap", "levers"} <= done.data["violations"][0].keys()
    assert run("place", "llama_3_70b", "rtx_4090", *MODEL).code == 1
    small = run("stream", "llama_3_8b", "ufs_4_phone", *MODEL, "--memory", "10 MB", "--json")
    assert small.code == 1
    assert small.data["run_s"] is None


def test_stream_is_what_python_gives(run: Run) -> None:
    done = run(
        "stream",
        "qwen3_30b_a3b",
        "ufs_4_phone",
        *MODEL,
        "--memory",
        "6 GB",
        "--depth",
        "4",
        "--accuracy",
        "0.5",
        "--runs",
        "4",
        "--json",
    )
    found = pm.stream(
        "qwen3_30b_a3b",
        "ufs_4_phone",
        precision="w4a16",
        memory="6 GB",
        depth=4,
        accuracy=0.5,
        runs=4,
    )
    assert done.code == 0
    assert done.data == json.loads(found.to_json())
    beside = run(
        "stream", "llama_3_70b", "rtx_4090", *MODEL, "--source", "host=64 GB,25 GB/s", "--no-keep"
    )
    assert beside.code == 0
    assert "tokens/s" in beside.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("place", "llama_3_8b", "rtx_4090", "--level", "host=64 GB"), "NAME=CAPACITY,BANDWIDTH"),
        (("place", "llama_3_8b", "rtx_4090", "--level", "host=64 GB,25"), "host.bandwidth"),
        (("place", "llama_3_8b", "rtx_4090", "--popularity", "high"), "popularity"),
        (("place", "llama_3_8b", "rtx_4090", "--popularity", "geometric:x"), "geometric:RATE"),
        (("place", "llama_3_8b", "rtx_4090", "--levels", "dramm"), "dramm"),
        (("place", "llama_3_8b", "rtx_4090", "--method", "best"), "best"),
        (("stream", "llama_3_8b", "rtx_4090"), "main memory"),
        (("stream", "llama_3_8b", "ufs_4_phone", "--source", "moon"), "moon"),
        (("stream", "llama_3_8b", "ufs_4_phone", "--depth", "0"), "depth"),
        (("stream", "llama_3_8b", "ufs_4_phone", "--memory", "much"), "much"),
    ],
)
def test_bad_input_exits_2(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert said in done.err
    assert done.out == ""


def test_files(run: Run, tmp_path: Path) -> None:
    for command in ("place", "stream"):
        for suffix in (".json", ".csv", ".txt"):
            path = tmp_path / f"{command}{suffix}"
            assert run(command, "llama_3_8b", "ufs_4_phone", *MODEL, "-o", str(path)).code == 0
            assert path.stat().st_size > 100
        assert len(Table.read(tmp_path / f"{command}.csv")) > 5
    assert run("place", "llama_3_8b", "ufs_4_phone", "-o", str(tmp_path / "x.png")).code == 2


def test_every_fault_of_place_at_once(run: Run, tmp_path: Path) -> None:
    done = run(
        "place",
        "llama_3_8b",
        "rtx_4090",
        "--method",
        "foo",
        "--objective",
        "bar",
        "--by",
        "b",
        "--level",
        "near=1,1 GB/s",
        "--level",
        "far",
        "--levels",
        "gddr6,near,far",
        "--kv-levels",
        "k",
        "--cached",
        "c",
        "--pinned",
        "nosuch=gddr6x",
        "--pinned",
        "head=moon",
        "--capacity",
        "gddr6x=zz",
        "--time-limit",
        "-1",
        "--popularity",
        "high",
        "--set",
        "nothing",
        "-o",
        str(tmp_path / "x.png"),
    )
    assert (done.code, done.out) == (2, "")
    for words in (
        "--set: 'nothing'",
        "-o: 'x.png'",
        "--level: near.capacity: '1'",
        "--level: 'far'",
        "--popularity: 'high'",
        "--method: unknown method 'foo'",
        "--objective: unknown objective 'bar'",
        "--by: unknown granularity 'b'",
        "--time-limit: -1.0",
        "--levels: no memory 'gddr6' feeds the engine",
        "did you mean 'gddr6x'?",
        "--kv-levels: no memory 'k'",
        "--capacity: gddr6x: 'zz'",
        "--cached: no level is named 'c'",
        "--pinned: nothing is named 'nosuch'",
        "--pinned: head: no level is named 'moon'",
    ):
        assert words in done.err, words
    # A level whose numbers are at fault is known by its name.
    assert "'near'" not in done.err
    assert len(done.faults) == 15


def test_every_fault_of_stream_at_once(run: Run, tmp_path: Path) -> None:
    done = run(
        "stream",
        "llama_3_8b",
        "ufs_4_phone",
        "--seed",
        "-1",
        "--source",
        "moon",
        "--depth",
        "-2",
        "--memory",
        "much",
        "--hit-fraction",
        "3",
        "--accuracy",
        "7",
        "--spread",
        "odd",
        "--popularity",
        "high",
        "--runs",
        "0",
        "--set",
        "nothing",
        "-o",
        str(tmp_path / "x.pdf"),
    )
    assert (done.code, done.out) == (2, "")
    for words in (
        "--set: 'nothing'",
        "-o: 'x.pdf'",
        "--seed: -1",
        "--source: no memory 'moon'",
        "--depth: a buffer cannot hold -2 loads",
        "--memory: 'much'",
        "--hit-fraction: 3",
        "--accuracy: 7",
        "--spread: unknown spread 'odd'",
        "--popularity: 'high'",
        "--runs: 0",
    ):
        assert words in done.err, words
    assert len(done.faults) == 11


@pytest.mark.parametrize("command", ["place", "stream", "assign", "patches"])
def test_names_that_are_unknown_hide_no_option(run: Run, command: str) -> None:
    option = {
        "place": "--time-limit",
        "stream": "--runs",
        "assign": "--looks",
        "patches": "--most-patched",
    }[command]
    done = run(command, "llama_3_8", "rtx_409", option, "-1", "--precision", "fp99")
    assert (done.code, done.out) == (2, "")
    for words in ("'llama_3_8b'", "'rtx_4090'", f"{option}: -1", "--precision: 'fp99'"):
        assert words in done.err, words
