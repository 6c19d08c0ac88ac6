"""``perfmodel sweep``: rows, best, front, files, dry runs, faults."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.table import Table

Run = Callable[..., Any]
GRID = ("--set", "batch=1,2,4", "--set", "context=2**7..2**9", "--precision", "w4a16,w16a16")
SETTINGS = {"batch": [1, 2, 4], "context": [128, 256, 512], "precision": ["w4a16", "w16a16"]}


def test_json_rows_are_those_of_python(run: Run) -> None:
    done = run("sweep", "llama_3_8b", "--device", "a100,tag:phone", *GRID, "--json")
    assert done.code == 0
    table = pm.sweep("llama_3_8b", ["a100", "tag:phone"], SETTINGS)
    assert done.data["points"] == done.data["kept"] == len(table)
    assert done.data["rows"] == table.to_records()
    assert done.data["columns"]["latency_s"] == "s"


def test_where_best_and_pareto(run: Run) -> None:
    questions = (
        "--where",
        "tpot_s <= 20 ms",
        "--best",
        "energy_j",
        "--pareto",
        "latency_s,energy_j",
    )
    done = run("sweep", "llama_3_8b", "-d", "a100", "-d", "rtx_4090", *GRID, *questions, "--json")
    kept = pm.sweep("llama_3_8b", ["a100", "rtx_4090"], SETTINGS).where("tpot_s <= 20 ms")
    best = kept.best("energy_j")
    assert best is not None
    assert done.data["best"]["energy_j"] == best["energy_j"]
    assert done.data["pareto"] == kept.pareto("latency_s", "energy_j").to_records()
    assert done.data["kept"] == len(kept)
    text = run("sweep", "llama_3_8b", "-d", "a100", "-d", "rtx_4090", *GRID, *questions)
    assert "best energy_j:" in text.out
    assert "on the front of latency_s, energy_j" in text.out
    assert "36 points" in text.err  # remarks go to stderr


def test_without_an_output_the_fastest_rows_are_shown(run: Run) -> None:
    done = run(
        "sweep", "resnet18,mobilenet_v2", "-d", "a100,h100", "--set", "batch=1..8", "--top", "3"
    )
    lines = done.out.splitlines()
    assert lines[0].split()[:3] == ["workload", "device", "runtime"]
    assert len(lines) == 2 + 3


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_with_its_manifest(run: Run, tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"points{suffix}"
    done = run(
        "sweep", "llama_3_8b", "--device", "a100", *GRID, "-o", str(path), "--executor", "process:2"
    )
    assert (done.code, done.out) == (0, "")
    assert Table.read(path) == pm.sweep("llama_3_8b", "a100", SETTINGS)
    manifest = json.loads((tmp_path / f"points{suffix}.manifest.json").read_text())
    assert manifest["points"] == 18
    assert manifest["executor"] == "processes:2"


def test_a_dry_run_writes_nothing(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    done = run(
        "sweep", "llama_3_8b", "--device", "a100", *GRID, "-o", str(path), "--dry-run", "--json"
    )
    assert done.data["points"] == 18
    assert done.data["bytes"] > 0
    assert list(tmp_path.iterdir()) == []
    assert "18 points" in run("sweep", "llama_3_8b", "--device", "a100", *GRID, "--dry-run").out


def test_nothing_that_fits_exits_1(run: Run) -> None:
    assert run("sweep", "llama_3_8b", "-d", "stm32h743", "--set", "batch=1,2").code == 1
    done = run(
        "sweep",
        "llama_3_8b",
        "-d",
        "a100",
        *GRID,
        "--where",
        "latency_s > 1 h",
        "--best",
        "energy_j",
    )
    assert done.code == 1
    assert "no point qualifies" in done.out


def test_what_does_not_fit_is_named_and_shown_where_nothing_does(run: Run) -> None:
    some = run("sweep", "resnet18", "-d", "a100,stm32h743")
    assert some.code == 0
    assert "fits at no point: stm32h743" in some.err
    assert "stm32h743" not in some.out
    none = run("sweep", "resnet18", "-d", "stm32h743", "--set", "batch=1,2")
    assert none.code == 1
    lines = none.out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["resnet18", "resnet18"]
    assert all("no" in line.split() for line in lines[2:])


def test_zip_and_sample(run: Run) -> None:
    done = run(
        "sweep",
        "llama_3_8b",
        "-d",
        "a100",
        "--set",
        "batch=1,2",
        "--set",
        "context=3,4",
        "--zip",
        "batch,context",
        "--json",
    )
    assert [(r["batch"], r["context"]) for r in done.data["rows"]] == [(1, 3), (2, 4)]
    arguments = (
        "sweep",
        "llama_3_8b",
        "-d",
        "a100",
        "--set",
        "batch=uniform(1, 64)",
        "--set",
        "memories.main.bandwidth=loguniform(100 GB/s, 10 TB/s)",
        "--sobol",
        "16",
        "--json",
    )
    first, again = run(*arguments).data["rows"], run(*arguments).data["rows"]
    assert first == again
    assert len(first) == 16
    assert run(*arguments, "--seed", "1").data["rows"] != first


def test_all_faults_of_one_line_at_once(run: Run, tmp_path: Path) -> None:
    done = run(
        "sweep",
        "llama_3_8b",
        "lama",
        "--device",
        "a1000,tag:fone",
        "--device",
        "a100",
        "--set",
        "memories.main.bandwidth=25 GB",
        "--set",
        "bacth=1",
        "--set",
        "context=9..1",
        "--where",
        "tpt_s < 1",
        "--best",
        "enrgy_j",
        "--pareto",
        "latency_s,device",
        "--zip",
        "batch,y",
        "--executor",
        "proces:2",
        "--metrics",
        "latency",
        "-o",
        str(tmp_path / "no" / "x.txt"),
    )
    assert done.code == 2
    assert done.out == ""
    for part in (
        "no workload is named 'lama'",
        "no device is named 'a1000'",
        "tag:phone",
        "did you mean '25 GB/s'",
        "did you mean 'batch'",
        "is in descending order",
        "no column 'tpt_s'",
        "no column 'enrgy_j'",
        "--pareto",
        "no axis 'y'",
        "did you mean 'process:2'",
        "did you mean 'latency_s'",
        "x.txt",
        "there is no folder",
    ):
        assert part in done.err, part
    assert list(tmp_path.iterdir()) == []


def test_remarks_go_to_stderr(run: Run) -> None:
    done = run("sweep", "llama_3_8b", "resnet18", "-d", "a100", "--set", "context=1,2", "--json")
    assert "context does not apply to resnet18" in done.err
    assert done.data["notes"] == ["context does not apply to resnet18"]


def test_an_empty_energy_of_a_period_is_explained_where_there_is_one(run: Run) -> None:
    """The slowest of four modes takes 173 ms."""
    asked = ("sweep", "mlperf_tiny_kws", "-d", "stm32u575", "--set", "operating_point=all")
    asked += ("--metrics", "energy_per_period_j", "--json", "--set")
    reason = "an empty energy_per_period_j: a run that does not end in its period"
    for period, empties in (("250 ms", 0), ("100 ms", 1)):
        done = run(*asked, f"use.period={period}")
        assert [row["energy_per_period_j"] for row in done.data["rows"]].count(None) == empties
        assert sum(reason in note for note in done.data["notes"]) == empties
        shown = run(*asked[:-2], "--set", f"use.period={period}")
        assert (reason in shown.err) == bool(empties)


def test_requested_metrics_that_nothing_has_are_named(run: Run) -> None:
    metrics = ("--metrics", "latency_s,usd_per_million_tokens,battery_hours")
    done = run("sweep", "resnet18", "-d", "h100,galaxy_s24", *metrics, "--json")
    assert "resnet18 yields frames: no usd_per_million_tokens" in done.data["notes"]
    assert "h100: no battery is stated (power.battery)" in done.data["notes"]
    battery = ("--set", "power.battery=10 Wh")
    given = run("sweep", "llama_3_8b", "-d", "h100", *battery, *metrics, "--json")
    assert not any("battery" in note or "yields" in note for note in given.data["notes"])


def test_devices_without_blocks_have_no_area_of_them(run: Run) -> None:
    done = run("sweep", "resnet18", "-d", "raspberry_pi_5,h100", "--metrics", "area_mm2", "--json")
    assert [row["area_mm2"] is None for row in done.data["rows"]] == [True, False]
    assert "raspberry_pi_5: the spec states no structure of its engines" in done.data["notes"]
    assert not any("raspberry_pi_5" in note and "blocks" in note for note in done.data["notes"])


def test_bounds_without_a_number_are_counted_and_not_listed(run: Run) -> None:
    """Eyeriss has a bound and no price."""
    devices = ("-d", "stm32h743,eyeriss", "--precision", "int8")
    metrics = "energy_j,usd_per_inference"
    asked = ("--metrics", metrics, "--pareto", metrics)
    done = run("sweep", "mobilenet_v2", *devices, *asked)
    ending = "bounds, set apart (1 rows) (none of the 1 rows that fit has a number):"
    assert done.out.rstrip().endswith(ending)


def test_a_design_that_is_none_lacks_an_energy_for_the_reason_that_predict_gives(run: Run) -> None:
    best = ("--metrics", "energy_j", "--best", "energy_j", "--precision", "int16")
    done = run("sweep", "jet_tagger", "-d", "xc7z020,vu9p", *best)
    assert "are left out: xc7z020 (perfmodel predict says why)" in done.err
    reason = "the design takes more than the part has"
    assert reason in run("predict", "jet_tagger", "xc7z020", "--precision", "int16").out


def test_resume_needs_an_output(run: Run) -> None:
    done = run("sweep", "resnet18", "-d", "a100", "--resume")
    assert done.code == 2
    assert "nothing to resume" in done.err
    assert run("sweep").code == 2


def test_resume_keeps_the_file_of_another_sweep(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    base = ("sweep", "resnet18", "-o", str(path), "--set")
    assert run(*base, "batch=1,2", "-d", "a100").code == 0
    before = path.read_bytes()
    done = run(*base, "batch=1,4", "-d", "h100", "--resume")
    assert done.code == 2
    (line,) = done.faults
    assert line.startswith("error: --resume: ")
    assert "devices: a100 there, h100 asked for; axis batch: 1,2 there, 1,4 asked for" in line
    assert path.read_bytes() == before
    assert run(*base, "batch=1,2", "-d", "a100", "--resume").code == 0
    assert path.read_bytes() == before
    assert run(*base, "batch=1,4", "-d", "h100").code == 0
    assert path.read_bytes() != before


def test_empty_items_of_lists_are_faults(run: Run) -> None:
    done = run(
        "sweep",
        "resnet18,",
        "-d",
        "a100,,h100",
        "--set",
        "batch=1,,2",
        "--set",
        "memories.main.bandwidth=,1 TB/s",
        "--precision",
        "fp16,,int8",
        "--metrics",
        "latency_s,",
        "--set",
        "device=a100,",
    )
    assert done.code == 2
    expected = "; expected a value on both sides of each comma; did you mean "
    assert sorted(done.faults) == sorted(
        [
            f"error: item 2 of 'resnet18,' is empty{expected}'resnet18'?",
            f"error: --device: item 2 of 'a100,,h100' is empty{expected}'a100,h100'?",
            f"error: --set: device: item 2 of 'a100,' is empty{expected}'a100'?",
            f"error: --set: batch: item 2 of '1,,2' is empty{expected}'1,2'?",
            (
                "error: --set: memories.main.bandwidth: item 1 of ',1 TB/s' is empty"
                f"{expected}'1 TB/s'?"
            ),
            f"error: --set: precision: item 2 of 'fp16,,int8' is empty{expected}'fp16,int8'?",
            f"error: --metrics: item 2 of 'latency_s,' is empty{expected}'latency_s'?",
        ]
    )
    with pytest.raises(pm.errors.InputError, match="item 2 of 'a100,,h100' is empty"):
        pm.sweep("resnet18", "a100,,h100")


def test_the_command_line_says_how_many_and_why(run: Run, tmp_path: Path) -> None:
    given = ("sweep", "resnet18", "-d", "a100,finn_kws_w3a3,raspberry_pi_5", "--set", "batch=1,2")
    done = run(*given, "-o", str(tmp_path / "points.csv"))
    assert done.code == 0
    assert "2 of 6 points cannot be predicted" in done.err
    assert "2 on finn_kws_w3a3: " in done.err
    assert "147" in done.err
    data = run(*given, "--best", "latency_s", "--json").data
    assert data["refused"] == 2
    assert data["reasons"][0]["devices"] == ["finn_kws_w3a3"]
    assert data["best"]["device"] == "a100"
    none = run("sweep", "resnet18", "-d", "finn_kws_w3a3")
    assert none.code == 2
    assert "147" in none.err
    report = tmp_path / "report.html"
    assert run(*given, "--report", str(report)).code == 0
    assert "2 of 6 points cannot be predicted" in report.read_text()


def test_the_best_says_of_how_many_it_is_the_best(run: Run) -> None:
    """A few phones of the library state a price: the cheapest of them wins among those alone."""
    table = pm.sweep("resnet18", "tag:phone", metrics=["latency_s", "cost_usd"])
    known = int(np.isfinite(table["cost_usd"]).sum())
    assert 0 < known < len(table)
    done = run(
        "sweep",
        "resnet18",
        "-d",
        "tag:phone",
        "--best",
        "cost_usd",
        "--pareto",
        "latency_s,cost_usd",
    )
    assert done.code == 0
    told = f"of those that have a number ({known} of {len(table)} that fit)"
    assert done.out.count(told) == 2
    assert f"{len(table) - known} of {len(table)} rows that fit have no cost_usd" in done.err
    data = run("sweep", "resnet18", "-d", "tag:phone", "--best", "cost_usd", "--json").data
    assert data["without_number"] == {"cost_usd": len(table) - known}


def test_what_has_no_number_anywhere_is_no_answer(run: Run) -> None:
    done = run("sweep", "resnet18", "-d", "apple_a14,apple_a15", "--best", "cost_usd")
    assert done.code == 1
    assert "none of the 2 rows that fit has a number" in done.out
    assert "no cost_usd" in done.err
    assert run("sweep", "resnet18", "-d", "apple_a14", "--pareto", "cost_usd").code == 1


@pytest.mark.parametrize(
    "command",
    [
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=uniform(1, 9)", "--sobol", "8"),
        ("search", "resnet18", "a100", "--choice", "weight_bits=4,8"),
        ("stream", "llama_3_8b", "raspberry_pi_5"),
        ("allocate", "resnet18"),
    ],
)
def test_a_seed_below_zero_is_refused(run: Run, command: tuple[str, ...]) -> None:
    done = run(*command, "--seed", "-1")
    assert done.code == 2
    assert "--seed" in done.err
    assert "-1" in done.err
    assert "internal error" not in done.err


def test_python_refuses_a_seed_that_is_none() -> None:
    for seed in (-1, 1.5, True, "1"):
        with pytest.raises(pm.errors.InputError, match="is not a valid seed"):
            pm.sweep("resnet18", "a100", {"batch": "uniform(1, 9)"}, sobol=4, seed=seed)  # pyright: ignore[reportArgumentType]


def test_a_sweep_needs_a_file_and_no_pipe(run: Run, tmp_path: Path) -> None:
    pipe = tmp_path / "points.csv"
    os.mkfifo(pipe)
    done = run("sweep", "resnet18", "-d", "a100", "-o", str(pipe))
    assert done.code == 2
    assert "is a pipe or a device" in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["points.csv"]


def test_a_report_says_of_how_many_rows_the_best_is(run: Run, tmp_path: Path) -> None:
    costs = pm.sweep("resnet18", "tag:phone", metrics=["cost_usd"])["cost_usd"]
    known = int(np.isfinite(costs).sum())
    page = tmp_path / "r.html"
    done = run(
        "sweep",
        "resnet18",
        "-d",
        "tag:phone,finn_kws_w3a3",
        "--best",
        "cost_usd",
        "--report",
        str(page),
    )
    assert done.code == 0
    text = page.read_text()
    assert f"Best cost_usd of those that have a number ({known} of " in text
    assert "have no cost_usd" in text
    assert "1 of 62 points cannot be predicted" in text
