"""Data sets: where their files lie, and (with the measured data) what errors they show."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from perfmodel_studies.readers import cpu_zen4

from perfmodel.errors import InputError
from perfmodel.evaluate import ValidationResult, dataset_names, datasets, validate
from perfmodel.evaluate.data_files import data_folder
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.importers.operator_graph import load_operator_graph
from perfmodel.workload.library import find

APPLE = "llamacpp_apple_4167"
HEADER = "chip,gpu_cores,mem_bw_gb_s_as_listed,model,quant,pp512_tok_s,tg128_tok_s,source\n"


def apple_row(chip: str, cores: int, bandwidth: float, quant: str, precision: str) -> str:
    """Return a row of the table whose speeds are the model's own."""
    machine = hardware("apple_" + chip.lower().replace(" ", "_")).machine("llama_cpp_metal")
    machine = machine.vary({"engines.gpu.units": cores, "memories.dram.bandwidth": bandwidth * 1e9})
    decode = find("llama_2_7b", {"phase": "decode", "batch": 1, "context": 64})
    prefill = find("llama_2_7b", {"phase": "prefill", "batch": 1, "prompt": 512})
    step = predict(decode, machine, precision=precision).latency_s
    prompt = predict(prefill, machine, precision=precision).latency_s
    return f"{chip},{cores},{bandwidth},LLaMA 7B v2,{quant},{512 / prompt!r},{1 / step!r},made\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with an open and a held-out file of Apple rows."""
    (tmp_path / "measured").mkdir()
    rows = [apple_row("M1 Pro", 14, 200, "Q8_0", "q8_0"), apple_row("M2", 10, 100, "F16", "fp16")]
    (tmp_path / "measured" / f"{APPLE}.csv").write_text(HEADER + "".join(rows))
    later = [
        apple_row("M3 Max", 30, 300, "Q4_0", "q4_0"),
        apple_row("M4 Pro", 16, 273, "Q8_0", "q8_0"),
        apple_row("M5", 10, 153, "F16", "fp16"),
        "M9 Max,99,900,LLaMA 7B v2,F16,1,1,made\n",
        "M3,10,100,LLaMA 70B,F16,1,1,made\n",
        "M3,10,100,LLaMA 7B v2,Q99,1,1,made\n",
        "M3,10,100,LLaMA 7B v2,F16,,,made\n",
    ]
    (tmp_path / "measured" / f"{APPLE}_heldout.csv").write_text(HEADER + "".join(later))
    return tmp_path


def test_apple_rows_take_cores_and_bandwidth_from_the_table(folder: Path) -> None:
    (found,) = validate(APPLE, data=folder)
    assert (found.rows, found.coverage) == (2, 1.0)
    assert found.mape == pytest.approx(0.0, abs=1e-12)
    assert found.targets["prefill_latency_s"]["mape"] == pytest.approx(0.0, abs=1e-12)
    assert set(found.by_device) == {"M1 Pro", "M2"}
    assert set(found.by_group) == {"Q8_0", "F16"}


def test_a_suffix_picks_the_other_file(folder: Path) -> None:
    (found,) = validate(APPLE, data=folder, suffix="_heldout")
    assert found.rows == 7
    assert found.coverage == pytest.approx(3 / 7)
    assert found.mape == pytest.approx(0.0, abs=1e-12)
    assert set(found.by_device) == {"M3 Max", "M4 Pro", "M5"}
    reasons = [u["reason"] for u in found.unpredicted]
    assert any("no device is named 'apple_m9_max'" in r for r in reasons)
    assert any("no model of the library is 'LLaMA 70B'" in r for r in reasons)
    assert any("'q99' is not a precision" in r for r in reasons)
    assert "no speed was measured" in reasons
    (plain,) = validate(APPLE, data=folder, suffix="_other")
    assert plain.rows == 2
    assert any("no file with the suffix '_other'" in note for note in plain.notes)


def test_faults_of_a_table_have_their_places(folder: Path) -> None:
    path = folder / "measured" / f"{APPLE}.csv"
    path.write_text(HEADER + "M1,8,68,LLaMA 7B v2,F16,100,7\n")
    with pytest.raises(InputError) as caught:
        validate(APPLE, data=folder)
    assert [str(f).partition(": ")[0] for f in caught.value.faults] == [f"{path}:2:1"]
    bad = "M1,8,68,LLaMA 7B v2,F16,fast,7,x\nM1,-8,68,LLaMA 7B v2,F16,100,7,x\n"
    path.write_text(HEADER + bad)
    with pytest.raises(InputError) as caught:
        validate(APPLE, data=folder)
    places = [(f.line, f.column, f.path) for f in caught.value.faults]
    assert places == [(2, 25, "pp512_tok_s"), (3, 4, "gpu_cores")]


GRAPH = {
    "model": "tiny",
    "inputs": {"x": [1, 16, 32, 32]},
    "nodes": [
        {
            "name": "conv",
            "op": "Conv",
            "inputs": ["x", "w"],
            "outputs": ["y"],
            "in_shapes": [[1, 16, 32, 32], [32, 16, 3, 3]],
            "out_shapes": [[1, 32, 32, 32]],
            "weights": ["w"],
            "attrs": {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1], "group": 1},
        },
    ],
}


def zen4_folder(
    root: Path,
    rows: str,
    header: str = "model,heldout,quiet_ms_min,latency_ms_min\n",
    name: str = "models.csv",
    graphs: str = "graphs",
) -> Path:
    place = root / "cpu_zen4"
    (place / graphs).mkdir(parents=True, exist_ok=True)
    (place / graphs / "tiny.json").write_text(json.dumps(GRAPH))
    (place / name).write_text(header + rows)
    return root


@pytest.mark.parametrize(
    ("rows", "suffix", "expected"),
    [
        ("tiny,0,{t},9\ntiny,1,5,5\n", "", 1),  # open rows alone
        ("tiny,0,5,5\ntiny,1,{t},9\n", "_heldout", 1),  # held-out rows of the same file
        ("tiny,0,{t},9\ntiny,0,{t},5\n", "_heldout", 2),  # none is marked: all
        ("tiny,1,{t},9\n", "", 1),  # all are marked: all
        ("tiny,0,,{t}\n", "", 1),  # no quiet session
    ],
)
def test_zen4_rows_by_mark(tmp_path: Path, rows: str, suffix: str, expected: int) -> None:
    zen4_folder(tmp_path, "tiny,0,1,1\n")
    work = load_operator_graph(tmp_path / "cpu_zen4" / "graphs" / "tiny.json")
    device = hardware("zen4_core")
    warm = predict(work, device, runtime="onnxruntime_cpu", warm=True).latency_s
    assert warm < predict(work, device, runtime="onnxruntime_cpu").latency_s
    zen4_folder(tmp_path, rows.format(t=repr(warm * 1e3)))
    (found,) = validate("cpu_zen4", data=tmp_path, suffix=suffix)
    assert found.rows == expected
    assert found.mape == pytest.approx(0.0, abs=1e-9)


def test_zen4_files_with_a_suffix_of_their_own(tmp_path: Path) -> None:
    zen4_folder(tmp_path, "tiny,0,1,1\n")
    zen4_folder(
        tmp_path,
        "tiny,1,1,1\nabsent,1,1,1\ntiny,1,,\n",
        name="models_heldout.csv",
        graphs="graphs_heldout",
    )
    shutil.rmtree(tmp_path / "cpu_zen4" / "graphs")
    (found,) = validate("cpu_zen4", data=tmp_path, suffix="_heldout")
    assert (found.rows, found.coverage) == (3, pytest.approx(1 / 3))
    assert {u["first"]: u["reason"] for u in found.unpredicted} == {
        "absent": "no graph of this network",
        "tiny": "no latency was measured",
    }
    assert found.notes == ()


def test_without_names_what_the_folder_has(folder: Path, tmp_path: Path) -> None:
    assert [r.name for r in validate(data=folder)] == [APPLE]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError) as caught:
        validate(data=empty)
    assert len(caught.value.faults) == len(dataset_names())
    assert set(datasets()) == set(dataset_names())


def test_unknown_names_and_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as caught:
        validate(["cpu_zen5", "absent.csv", APPLE], data=folder)
    assert [str(f) for f in caught.value.faults] == [
        (
            "no data set is named 'cpu_zen5'; expected a path to a .csv file, or one of "
            f"{', '.join(dataset_names())}; did you mean 'cpu_zen4'?"
        ),
        "absent.csv: no such file or directory; expected a readable file",
    ]
    monkeypatch.setenv("PERFMODEL_DATA", str(folder))
    assert validate(APPLE)[0].rows == 2
    monkeypatch.setenv("PERFMODEL_DATA", str(folder / "absent"))
    with pytest.raises(InputError, match="no folder of measured data"):
        validate(APPLE)
    with pytest.raises(InputError, match="not part of a file name"):
        validate(APPLE, data=folder, suffix="/../x")


@pytest.mark.data
def test_llamacpp_on_apple_within_six_per_cent(data: Path) -> None:
    (found,) = validate(APPLE, data=data)
    assert (found.rows, found.coverage) == (45, 1.0)
    assert found.mape is not None
    assert found.mape <= 0.06
    prefill = found.targets["prefill_latency_s"]["mape"]
    assert prefill is not None
    assert prefill <= 0.06
    bare, scaled = (found.baselines[name]["mape"] for name in ("roofline", "roofline_scaled"))
    assert bare is not None
    assert scaled is not None
    # What the declared constants are for: the bare roofline is 30 % off, one efficiency 18 %.
    assert bare > 0.25
    assert scaled > 0.15


@pytest.mark.data
def test_ten_networks_calibrate_the_others(
    validated: Callable[[str], ValidationResult],
) -> None:
    ten = validated("cpu_zen4").details["ten_samples"]
    assert ten["k"] == 10
    assert ten["mape"] < 0.035
    assert ten["low"] <= ten["mape"] <= ten["high"] < 0.045
    assert ten["inside"] > 0.85


@pytest.mark.data
def test_zen4_within_four_per_cent_and_in_order(
    data: Path, validated: Callable[[str], ValidationResult]
) -> None:
    found = validated("cpu_zen4")
    assert (found.rows, found.coverage) == (81, 1.0)
    assert found.mape is not None
    assert found.mape <= 0.035
    assert found.by_group["nas_bench_201"]["kendall"] >= 0.98
    assert found.by_group["once_for_all"]["kendall"] >= 0.94
    bare, compute = (found.baselines[name]["mape"] for name in ("roofline", "compute"))
    assert bare is not None
    assert compute is not None
    assert found.mape < bare < compute
    cold = [
        abs(predict(q.workload, case.machine).latency_s / q.measured - 1)
        for case in cpu_zen4.load(data_folder(data)).cases
        for q in case.quantities
        if case.machine is not None
    ]
    assert sum(cold) / len(cold) <= 0.08
