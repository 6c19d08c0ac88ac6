"""A user's own CSV, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perfmodel.errors import InputError
from perfmodel.evaluate import validate
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.library import find

DECODE = {"phase": "decode", "batch": 1, "context": 64}


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.csv"
    path.write_text(text)
    return path


def test_the_published_figures_of_the_example(checkout: Path) -> None:
    """Eight figures of llama.cpp discussion 4167, one a chip: tokens a second of Q4_0."""
    (found,) = validate(checkout / "examples" / "measurements.csv")
    assert (found.rows, found.coverage, found.primary) == (8, 1.0, "tokens_per_s")
    errors = found.targets["tokens_per_s"]
    assert errors["mape"] is not None
    assert errors["mape"] <= 0.06
    assert errors["spearman"] == 1.0
    assert set(found.by_device) == {
        f"apple_m{n}{s}" for n in (1, 2) for s in ("", "_pro", "_max", "_ultra")
    }
    bare = found.baselines["roofline"]["mape"]
    assert bare is not None
    assert bare > 5 * errors["mape"]


def test_what_is_predicted_is_what_predict_says(tmp_path: Path) -> None:
    workload, device = find("llama_3_8b", DECODE), hardware("rtx_4090")
    machine = device.machine().vary({"memories.main.bandwidth": "900 GB/s"})
    truth = predict(workload, machine, precision="w4a16").latency_s
    path = written(
        tmp_path,
        "model,device,precision,phase,batch,context,memories.main.bandwidth,latency_s,note\n"
        f"llama_3_8b,rtx_4090,w4a16,decode,1,64,900 GB/s,{truth / 1.25!r},25 % off\n"
        f"llama_3_8b,rtx_4090,w4a16,decode,1,64,900e9,{truth!r},\n",
    )
    (found,) = validate([path])
    assert [r["error"] for r in found.predictions] == pytest.approx([0.25, 0.0])
    assert found.mape == pytest.approx(0.125)
    assert found.targets["latency_s"]["within_10"] == 0.5


def test_energy_and_memory_are_targets_too(tmp_path: Path) -> None:
    run = predict(find("resnet18", {"batch": 8}), hardware("a100"), precision="fp16")
    path = written(
        tmp_path,
        "model,device,precision,batch,latency_s,energy_j,peak_memory_bytes,traffic_bytes\n"
        f"resnet18,a100,fp16,8,{run.latency_s!r},{2 * run.energy_j!r},"
        f"{run.peak_memory_bytes!r},{run.traffic_bytes['hbm']!r}\n",
    )
    (found,) = validate(path)
    assert found.targets["energy_j"]["bias"] == pytest.approx(-0.5)
    for target in ("latency_s", "peak_memory_bytes", "traffic_bytes"):
        assert found.targets[target]["mape"] == pytest.approx(0.0, abs=1e-12)
    assert found.primary == "latency_s"


def test_every_fault_at_once_with_its_place(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "model,device,precision,batch,contxt,latency_s,warm\n"
        "llama_2_7b,apple_m1,q4_0,1,64,0.07,no\n"
        "llama_2_7b,apple_m1,q4_0,1,64,-1,maybe\n"
        "resnet18,a100,fp16,-4,,0.1,\n"
        ",a100,fp16,1,,0.1,\n",
    )
    with pytest.raises(InputError) as caught:
        validate(path)
    told = [str(f).removeprefix(str(path)) for f in caught.value.faults]
    assert [t.partition(";")[0] for t in told] == [
        ":3:31: latency_s: '-1' is not a measurement",
        ":3:34: warm: 'maybe' is neither",
        ":4:20: batch: -4 is not an extent",
        ":5:1: model: is empty",
        ":1:30: contxt: no model has a parameter of this name",
    ]
    assert told[-1].endswith("did you mean 'context'?")


def test_a_file_without_what_is_needed(tmp_path: Path) -> None:
    path = written(tmp_path, "model,devise,latency\nresnet18,a100,1\n")
    with pytest.raises(InputError) as caught:
        validate(path)
    assert [str(f).removeprefix(str(path)) for f in caught.value.faults] == [
        ":1:1: device: no column 'device'; expected column 'devise' renamed",
        (
            ":1:14: latency: no column of measurements; expected one or more of latency_s, "
            "tokens_per_s, frames_per_s, fps, ttft_s, tpot_s, energy_j, power_w, "
            "peak_memory_bytes, process_bytes, traffic_bytes; or 'metric' and 'value'; "
            "did you mean 'latency_s'?"
        ),
    ]


def test_rows_that_cannot_be_predicted_are_counted_with_reasons(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "model,device,precision,batch,context,latency_s,ttft_s\n"
        "llama_9_7b,apple_m1,q4_0,1,,0.2,\n"
        "resnet18,aple_m1,fp16,1,,0.1,\n"
        "resnet18,a100,fp1,1,,0.1,\n"
        "resnet18,a100,fp16,1,5,0.1,\n"
        "resnet18,a100,fp16,1,,,\n"
        "llama_3_8b,a100,fp16,1,5,0.1,\n"
        "resnet18,apple_m1_max,fp16,1,,0.1,7\n",  # an image has no first token
    )
    (found,) = validate(path)
    assert found.rows == 7
    assert found.coverage == pytest.approx(1 / 7)
    reasons = {u["first"]: u["reason"] for u in found.unpredicted}
    assert "did you mean 'llama_2_7b'?" in reasons["line 2 llama_9_7b"]
    assert "did you mean 'apple_m1'?" in reasons["line 3 resnet18"]
    assert "'fp1' is not a precision" in reasons["line 4 resnet18"]
    assert "has no setting 'context'" in reasons["line 5 resnet18"]
    assert reasons["line 6 resnet18"] == "no measurement in the row"
    assert "no ttft_s" in reasons["line 8 resnet18"]
    assert sum(u["rows"] for u in found.unpredicted) == 6


def test_specs_of_the_users_own(tmp_path: Path) -> None:
    specs = tmp_path / "specs"
    specs.mkdir()
    (specs / "twice.yaml").write_text(
        "name: twice\nbase: a100\nmemories:\n  - name: hbm\n    bandwidth: 4078 GB/s\n"
        "    sustained_bandwidth: 3.5 TB/s\n"
    )
    run = predict(find("llama_3_8b", DECODE), hardware("a100"), precision="fp16").latency_s
    path = written(
        tmp_path,
        "model,device,precision,phase,batch,context,latency_s\n"
        f"llama_3_8b,twice,fp16,decode,1,64,{run!r}\n",
    )
    with pytest.raises(InputError, match="no device is named 'twice'"):
        validate(path)
    (found,) = validate(path, devices=specs)
    assert found.coverage == 1.0
    assert found.predictions[0]["error"] < -0.3
    with pytest.raises(InputError, match="no such folder"):
        validate(path, devices=tmp_path / "absent")


def test_json_has_the_agreed_keys(checkout: Path) -> None:
    (result,) = validate([checkout / "examples" / "measurements.csv"])
    found = result.to_dict()
    assert {"name", "rows", "coverage", "targets", "mape", "by_device"} <= set(found)
    keys = {"mape", "median_ape", "bias", "within_10", "spearman", "kendall"}
    assert set(found["targets"]["tokens_per_s"]) == keys
    assert found["mape"] == found["targets"][found["primary"]]["mape"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_nothing_predictable_is_null_not_nan(tmp_path: Path) -> None:
    # An image has no first token.
    path = written(tmp_path, "model,device,ttft_s\nresnet18,apple_m1_max,1\n")
    found = validate(path)[0].to_dict()
    assert found["coverage"] == 0.0
    assert found["mape"] is None
    assert found["baselines"] == {}
    json.dumps(found, allow_nan=False)
    assert "0.0 % predicted" in str(validate(path)[0])


def test_a_folder_of_devices_with_faults_is_bad_input(tmp_path: Path, checkout: Path) -> None:
    folder = tmp_path / "devices"
    folder.mkdir()
    (folder / "half.yaml").write_text("name: half\nengines: 3\n")
    (folder / "torn.yaml").write_text("name: torn\nengines: [\n")
    with pytest.raises(InputError) as caught:
        validate(checkout / "examples" / "measurements.csv", devices=folder)
    places = {(Path(f.file).name, f.line) for f in caught.value.faults}
    assert ("half.yaml", 2) in places
    assert any(name == "torn.yaml" and line > 0 for name, line in places)


def test_unknown_names_of_all_rows_are_reported_with_the_bad_values(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "model,device,precision,runtime,batch,latency_s\n"
        "resnet18,a100,fp16,,1,0.1\n"  # nothing wrong
        "resnet18,a100,fp16,,1,soon\n"
        "resnt18,aple_m1,fp16,,1,0.1\n"
        "resnet18,aple_m1,fp1,ideel,-4,0.1\n",
    )
    with pytest.raises(InputError) as caught:
        validate(path)
    told = [str(f).removeprefix(str(path)) for f in caught.value.faults]
    assert [t.partition(";")[0] for t in told] == [
        ":3:23: latency_s: 'soon' is not a measurement",
        ":5:28: batch: -4 is not an extent",
        ":4:1: model: no workload is named 'resnt18'",
        ":4:9: device: no device is named 'aple_m1'",
        ":5:22: runtime: no runtime is named 'ideel'",
        ":5:18: precision: 'fp1' is not a precision",
    ]
    assert told[2].endswith("did you mean 'resnet18'?")


def test_a_file_of_nothing_but_unknown_names_is_refused(tmp_path: Path) -> None:
    head = "model,device,latency_s\n"
    bad = "resnt18,a100,1\nresnet18,nowhere,1\nresnet18,nowhere,2\n"
    path = written(tmp_path, head + bad)
    with pytest.raises(InputError) as caught:
        validate(path)
    assert [(f.line, f.path) for f in caught.value.faults] == [(2, "model"), (3, "device")]
    (found,) = validate(written(tmp_path, head + bad + "resnet18,a100,1\n"))
    assert (found.rows, found.coverage) == (4, 0.25)
    assert sum(u["rows"] for u in found.unpredicted) == 3
