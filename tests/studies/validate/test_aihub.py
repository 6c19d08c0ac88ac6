"""Qualcomm's AI Hub: networks by transfer and by graph, language models."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from perfmodel_studies.readers.npus import aihub

from perfmodel.errors import InputError
from perfmodel.evaluate import ValidationResult, validate
from perfmodel.hardware.library import hardware

HEADER = "model,component,precision,device,runtime,latency_ms,primary_unit\n"


@pytest.mark.data
def test_transfer_is_within_fifteen_per_cent_and_graphs_rank(
    validated: Callable[[str], ValidationResult],
) -> None:
    found = validated("qualcomm_aihub_perf")
    assert found.rows == 4354
    assert found.coverage > 0.92
    assert found.mape is not None
    assert found.mape < 0.13
    assert found.mape < 0.6 * (found.baselines["one_factor"]["mape"] or 0)
    assert (found.targets["latency_s"]["spearman"] or 0) > 0.99
    graph = found.targets["latency_s, graph"]
    assert (graph["mape"] or 1) < 0.4
    assert (graph["spearman"] or 0) > 0.95
    bare = found.details["graphs"]["baselines"]["roofline_scaled"]
    assert (graph["mape"] or 1) < bare["mape"]


@pytest.mark.data
def test_a_device_held_out_is_predicted_as_it_is_among_the_others(
    data: Path,
    validated: Callable[[str], ValidationResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = "QCS8550 (Proxy)"
    with gzip.open(data / "measured" / "qualcomm_aihub_perf.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    (tmp_path / "measured").mkdir()
    for suffix, inside in (("", False), ("_heldout", True)):
        place = tmp_path / "measured" / f"qualcomm_aihub_perf{suffix}.csv.gz"
        with gzip.open(place, "wt", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(row for row in rows if (row["device"] == device) == inside)
    (found,) = validate("qualcomm_aihub_perf", data=tmp_path, suffix="_heldout")
    among = validated("qualcomm_aihub_perf")
    assert found.mape == pytest.approx(among.by_device[device]["mape"])
    assert "predicted from 7 other devices" in found.notes[0]
    assert ".csv" not in found.notes[0]
    # Alone in a folder its sources are another file's, or its own devices: that is said.
    (tmp_path / "measured" / "qualcomm_aihub_perf.csv.gz").unlink()
    monkeypatch.setenv("PERFMODEL_DATA", str(data))
    (away,) = validate("qualcomm_aihub_perf", data=tmp_path, suffix="_heldout")
    assert away.mape == pytest.approx(found.mape)
    assert str(data / "measured" / "qualcomm_aihub_perf.csv.gz") in away.notes[0]
    monkeypatch.setenv("PERFMODEL_DATA", str(tmp_path))
    (alone,) = validate("qualcomm_aihub_perf", data=tmp_path, suffix="_heldout")
    assert "no file without the suffix" in alone.notes[0]
    assert alone.coverage == 0.0


@pytest.mark.data
def test_language_models(data: Path) -> None:
    (found,) = validate("qualcomm_aihub_llm", data=data)
    assert (found.rows, found.coverage > 0.9) == (33, True)
    assert (found.targets["latency_s"]["mape"] or 1) < 0.17
    assert (found.targets["ttft_s"]["mape"] or 1) < 0.2
    scaled = found.baselines["roofline_scaled"]["mape"] or 0
    assert (found.targets["latency_s"]["mape"] or 1) < scaled


@pytest.mark.parametrize(
    "chip",
    [
        "samsung_galaxy_s24",
        "samsung_galaxy_s25",
        "snapdragon_8_elite_gen_5",
        "qcs8550",
        "dragonwing_iq_9075",
        "qcs8275",
        "sa8295p",
        "snapdragon_7_gen_4",
        "dragonwing_rb3_gen_2",
        "snapdragon_8_elite",
        "sa8775p",
        "qcs8450",
        "snapdragon_x_elite",
        "dragonwing_q_6690",
        "sa7255p",
    ],
)
def test_every_chip_has_a_neural_processor_of_its_kind(chip: str) -> None:
    device = hardware(chip)
    assert {engine.name: engine.kind for engine in device.engines}["npu"] == "npu"


def test_rows_on_other_units_and_faults(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEADER + "a,A,float,X,tflite,2,NPU\nb,B,w8a8,X,onnx,3,CPU\n")
    rows, others = aihub.measured(path)
    assert [(r.name, r.seconds, r.kind) for r in rows] == [("a A float tflite", 2e-3, "float")]
    assert others == {"runs on the CPU, not on the neural processor": ["X b B w8a8 onnx"]}
    path.write_text(HEADER + "a,A,float,X,tflite,many,NPU\n")
    with pytest.raises(InputError) as caught:
        aihub.measured(path)
    assert [f.path for f in caught.value.faults] == ["latency_ms"]
