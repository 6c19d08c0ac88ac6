"""``perfmodel request``: what it prints, writes and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from perfmodel.system.request import request
from tests.cli.conftest import Ran

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "llama_3_8b_q4_k_m.gguf")


def test_the_numbers_are_those_of_the_library(run: Callable[..., Ran]) -> None:
    told = run("request", EXAMPLE, "apple_m2_max", "--prompt", "700", "--generate", "90", "--json")
    assert told.code == 0
    found = request(EXAMPLE, "apple_m2_max", prompt=700, generate=90)
    for name in ("ttft_s", "tpot_s", "latency_s", "energy_j", "peak_memory_bytes"):
        assert told.data[name] == pytest.approx(getattr(found, name), rel=1e-12)
    assert told.data["feasible"] is True
    assert told.data["energy_boundary"] == "wall"


def test_lists_are_asked_in_every_combination(run: Callable[..., Ran], tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    told = run(
        "request",
        "llama_3_8b",
        "apple_m2_max",
        "--precision",
        "q4_0",
        "--prompt",
        "2**8..2**10",
        "--generate",
        "16,32",
        "--output",
        str(output),
    )
    assert told.code == 0
    assert told.out == ""
    lines = output.read_text().splitlines()
    assert lines[0].startswith("prompt,generate,batch,ttft_s")
    asked = [tuple(float(v) for v in line.split(",")[:2]) for line in lines[1:]]
    assert asked == [(p, g) for p in (256, 512, 1024) for g in (16, 32)]
    assert len(lines) == 7


def test_what_does_not_fit_is_an_answer(run: Callable[..., Ran]) -> None:
    told = run("request", "llama_3_70b", "apple_m1", "--precision", "q4_0")
    assert told.code == 1
    assert "does not fit: " in told.out


def test_the_arithmetic(run: Callable[..., Ran]) -> None:
    told = run("request", EXAMPLE, "apple_m2_max", "--explain", "--rows", "1")
    assert told.code == 0
    assert "latency = TTFT + (generate - 1) * TPOT" in told.out
    assert "last decode step:" in told.out
    told = run("request", EXAMPLE, "apple_m2_max", "--explain", "--prompt", "1,2")
    assert told.code == 2
    (fault,) = told.faults
    assert fault.startswith("error: --explain: shows the arithmetic of one request")


def test_every_fault_at_once_by_its_option(run: Callable[..., Ran], tmp_path: Path) -> None:
    told = run(
        "request",
        EXAMPLE,
        "apple_m2_mox",
        "--prompt",
        "0",
        "--generate",
        "1.5",
        "--batch",
        "uniform(1, 2)",
        "--output",
        str(tmp_path / "x.png"),
    )
    assert told.code == 2
    assert told.out == ""
    text = "\n".join(told.faults)
    parts = (
        "--prompt: 0 counts no tokens",
        "--generate: 1.5 counts no tokens",
        "--batch: 'uniform(1, 2)' is not a list of numbers",
        "apple_m2_max",
        "x.png",
    )
    for part in parts:
        assert part in text
    assert not list(tmp_path.iterdir())


def test_json_of_many_is_strict(run: Callable[..., Ran]) -> None:
    told = run("request", "llama_3_8b", "apple_m2_max", "--prompt", "8,16", "--json")
    assert len(told.data["ttft_s"]) == 2
    assert json.dumps(told.data)
