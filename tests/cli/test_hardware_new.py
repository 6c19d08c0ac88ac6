"""``perfmodel hardware new`` and ``near``: files, messages, JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_spec_in_a_minute(run: Run, here: Path) -> None:
    made = run(
        "hardware",
        "new",
        "my_board",
        "--from",
        "rk3588",
        "--set",
        "memories.main.bandwidth=25 GB/s",
        "--set",
        "power.busy=12",
    )
    assert (made.code, made.err) == (0, "")
    assert "my_board.yaml: a copy of rk3588" in made.out
    assert "memories.dram.bandwidth: 33.8 GB/s -> 25 GB/s (set)" in made.out
    assert "power.busy: 17 W -> 12 W (set)" in made.out
    assert "(0.888 of the theoretical rate)" in made.out
    checked = run("hardware", "check", "my_board.yaml", "--json").data
    assert checked[0]["ok"]
    assert run("predict", "mobilenet_v2", "my_board.yaml", "--precision", "int8").code == 0
    differs = run("hardware", "diff", "rk3588", "my_board.yaml", "--json").data
    found = {row["fact"] for row in differs if row["ratio"] != pytest.approx(1.0, rel=1e-4)}
    # The price is the other product's, and was left out; energies of the class follow what was set.
    by_class = {
        path
        for name in ("rk3588", "my_board.yaml")
        for path, origin in pm.hardware(name).machine().provenance.items()
        if origin.writer == "table power_classes"
    }
    by_class |= {path.replace("engines.cpu.", "engines.main.") for path in by_class}
    assert found - {"price"} - by_class == {"memories.main.bandwidth", "power.busy"}
    before = (here / "my_board.yaml").read_text()
    again = run("hardware", "new", "my_board", "--from", "rk3576")
    assert again.code == 2
    assert again.faults == [
        "error: -o: 'my_board.yaml' exists already; expected another name, or --force to replace it"
    ]
    assert (here / "my_board.yaml").read_text() == before
    forced = run("hardware", "new", "my_board", "--from", "rk3576", "--force", "--json").data
    assert (forced["file"], forced["base"], forced["changes"]) == ("my_board.yaml", "rk3576", [])
    assert (here / "my_board.yaml").read_text() != before


def test_without_a_device_the_nearest_is_chosen_and_said(run: Run) -> None:
    made = run(
        "hardware",
        "new",
        "my_phone",
        "--like",
        "phone qualcomm",
        "--bandwidth",
        "60 GB/s",
        "--peak",
        "40 TOP/s",
        "--format",
        "int8",
        "-o",
        "p.yaml",
    )
    assert made.code == 0
    assert "p.yaml: a copy of snapdragon_8_gen_" in made.out
    assert "times the wanted; next is" in made.out
    known = run("hardware", "new", "quadro_rtx_5000", "--json").data
    assert known["why"]
    changed = {c["path"]: c["after"] for c in known["changes"]}
    assert changed["engines.gpu.peaks.fp32"] == 11.2e12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("My Board", "--from", "rk3588"), "did you mean 'my_board'?"),
        (("b", "--from", "rk3588x"), "did you mean 'rk3588'?"),
        (("b", "--from", "rk3588", "--set", "memories.main.bandwith=1 GB/s"), "bandwidth'?"),
        (("b", "--from", "rk3588", "--set", "x"), "--set: 'x' sets nothing"),
        (("b", "--from", "rk3588", "--runtime", "rknx"), "no runtime is named 'rknx'"),
        (("b", "--from", "rk3588", "-o", "b.txt"), "a name that ends in .yaml or .yml"),
        (("b", "--from", "rk3588", "-o", "none/b.yaml"), "there is no folder 'none'"),
        (("b", "--bandwidth", "5 lightyears"), "--bandwidth"),
        (("b", "--kind", "npo", "--peak", "3 TOP/s"), "did you mean 'npu'?"),
        (("b", "--like", "fone"), "no device has 'fone'"),
        (("b",), "nothing to choose a device by"),
        (("b", "--from", "h100", "--set", "engines.gpu.sparse_speedup.2:4=3"), "dense peak"),
    ],
)
def test_bad_input_is_named_and_nothing_is_left(
    run: Run, here: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = run("hardware", "new", *arguments)
    assert done.code == 2
    assert done.out == ""
    assert any(words in line for line in done.faults), done.faults
    assert list(here.iterdir()) == []


def test_near_lists_distances(run: Run) -> None:
    rows = run(
        "hardware",
        "near",
        "--bandwidth",
        "25 GB/s",
        "--peak",
        "8 TOP/s",
        "--format",
        "int8",
        "--like",
        "npu",
        "--json",
    ).data
    assert len(rows) == 5
    assert [row["distance"] for row in rows] == sorted(row["distance"] for row in rows)
    assert rows[0]["bandwidth_ratio"] == pytest.approx(1.0, rel=0.05)
    shown = run("hardware", "near", "a11", "--most", "2")
    assert shown.out.count("\n") == 3
    assert "kirin_970" in shown.out
    assert run("hardware", "near").code == 2
    both = run("hardware", "near", "rk3588", "--bandwidth", "3 GB/s")
    assert (both.code, both.out) == (2, "")
