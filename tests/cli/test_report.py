"""``--report FILE`` of the commands, and ``perfmodel report``."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

PREDICT = ("predict", "resnet18", "a100")


def test_the_page_carries_the_words_that_were_typed(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    page = tmp_path / "r.html"
    words = (*PREDICT, "--set", "batch=8", "--report", str(page))
    done = run(*words)
    assert (done.code, done.err) == (0, "")
    assert "latency" in done.out
    assert shlex.join(("perfmodel", *words)) in unescape(page.read_text(encoding="utf-8"))


def test_report_is_the_same_page_with_other_words(run: Callable[..., Any], tmp_path: Path) -> None:
    one, two = tmp_path / "one.html", tmp_path / "two.html"
    assert run(*PREDICT, "--report", str(one)).code == 0
    assert run("report", *PREDICT, "-o", str(two)).code == 0
    first, second = (p.read_text(encoding="utf-8") for p in (one, two))
    assert first.replace(f"{shlex.join(PREDICT)} --report {one}", "Q") == second.replace(
        f"report {shlex.join(PREDICT)} -o {two}", "Q"
    )
    assert run("report", *PREDICT, "--date", "1 May", f"--output={two}").code == 0
    assert "; 1 May</footer>" in two.read_text(encoding="utf-8")


def test_infeasible_is_exit_code_1_with_a_page(run: Callable[..., Any], tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    done = run("report", "predict", "llama_3_8b", "raspberry_pi_5", "-o", str(page))
    assert done.code == 1
    assert "Does not fit." in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words",
    [
        ("sweep", "resnet18", "-d", "a100,h100_sxm", "--set", "batch=1,2,4"),
        (
            "sweep",
            "resnet18",
            "-d",
            "a100",
            "--set",
            "batch=1,2,4",
            "--where",
            "latency_s <= 1 s",
            "--best",
            "energy_j",
            "--pareto",
            "latency_s,peak_memory_bytes",
        ),
        ("compare", "resnet18", "a100", "jetson_agx_orin"),
        ("schedule", "mlperf_tiny_kws", "gemmini_16x16"),
        ("schedule", "mlperf_tiny_kws", "gemmini_16x16", "--capacity", "12 KiB,64 KiB"),
        ("search", "resnet18", "a100", "--choice", "weight_bits=4,8", "--objective", "energy_j"),
    ],
    ids=lambda words: f"{words[0]}-{len(words)}",
)
def test_every_command_that_says_so_writes_one(
    run: Callable[..., Any], tmp_path: Path, words: tuple[str, ...]
) -> None:
    page = tmp_path / "r.html"
    done = run(*words, "--report", str(page))
    assert done.code in (0, 1)
    assert done.faults == []
    assert "<!doctype html>" in page.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_a_sweep_to_a_file_is_read_back(run: Callable[..., Any], tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    done = run(
        "sweep",
        "resnet18",
        "-d",
        "a100",
        "--set",
        "batch=1..4",
        "-o",
        str(tmp_path / "s.csv"),
        "--report",
        str(page),
    )
    assert done.code == 0
    assert "4 points, 4 of them fit." in page.read_text(encoding="utf-8")


def test_too_many_rows_leave_the_best_and_no_front_of_a_part(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perfmodel.cli.sweep._MOST_ROWS", 100)
    monkeypatch.setattr("perfmodel.cli.sweep._REPORTED", 7)
    page = tmp_path / "r.html"
    words = ("sweep", "resnet18", "-d", "a100", "--set", "batch=1..300", "--top", "3")
    done = run(*words, "--report", str(page))
    text = page.read_text(encoding="utf-8")
    assert "300 points, 300 of them fit." in text
    assert "the front and the best 7 of 300 rows" in text
    assert ">Front<" not in text
    assert len(done.out.splitlines()) == 2 + 3


def test_faults_of_both_are_told_at_once(run: Callable[..., Any], tmp_path: Path) -> None:
    done = run("predict", "resnet81", "a100", "--report", str(tmp_path / "r.pdf"))
    assert done.code == 2
    assert len(done.faults) == 2
    assert any("--report" in line and ".html" in line for line in done.faults)
    done = run("report", *PREDICT, "-o", str(tmp_path / "r.pdf"))
    assert done.faults == [
        (
            "error: -o: 'r.pdf' has no suffix that states its format; "
            "expected a name that ends in .html"
        )
    ]
    done = run("report", "perdict", "resnet18", "a100")
    assert done.code == 2
    assert "did you mean 'predict'" in done.err
    assert "-o" in done.err
    done = run(
        "report", "predict", "resnet18", "a100", "--bathc", "3", "-o", str(tmp_path / "r.html")
    )
    assert done.code == 2
    assert "--bathc" in done.err
    assert list(tmp_path.iterdir()) == []
