"""The measurement table in its long form: a row for each number, with words of settings."""

from __future__ import annotations

from pathlib import Path

import pytest

import perfmodel as pm
from perfmodel.cli import main
from perfmodel.errors import InputError

HEAD = "model,device,runtime,precision,batch,settings,metric,value,source,date,note\n"


def written(folder: Path, text: str, name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_predictions_as_measurements_have_no_error(tmp_path: Path) -> None:
    """The truth is `pm.predict` with the same settings."""
    facts = {"memories.main.bandwidth": "900 GB/s"}
    step = pm.workload("llama_3_8b", phase="decode", context=512, batch=2)
    decode = pm.predict(step, "rtx_4090", precision="w4a16", set=facts)
    image = pm.predict("resnet18", "a100", precision="fp16", runtime="ideal", set={"batch": 8})
    words = "phase=decode; context=512 memories.main.bandwidth='900 GB/s'"
    path = written(
        tmp_path,
        HEAD + f"llama_3_8b,rtx_4090,,w4a16,2,{words},latency_s,{decode.latency_s!r},a,,\n"
        f"resnet18,a100,ideal,fp16,8,,fps,{image.frames_per_s!r},b,2024,throughput\n"
        f"llama_3_8b,rtx_4090,,w4a16,2,{words},tokens_per_s,{decode.tokens_per_s!r},c,,\n"
        f"resnet18,a100,ideal,fp16,8,,peak_memory_bytes,{image.peak_memory_bytes!r},b,,\n"
        f"resnet18,a100,ideal,fp16,8,,energy_j,{image.energy_j!r},b,,\n",
    )
    (result,) = pm.validate(path)
    assert (result.rows, result.coverage, result.primary) == (2, 1.0, "latency_s")
    assert list(result.targets) == [
        "latency_s",
        "tokens_per_s",
        "fps",
        "energy_j",
        "peak_memory_bytes",
    ]
    assert all(e["mape"] == pytest.approx(0.0, abs=1e-12) for e in result.targets.values())


def test_a_long_table_equals_its_wide_form(tmp_path: Path) -> None:
    runs = [("resnet18", 1, 2e-4, 0.03), ("resnet50", 4, 1e-3, 0.2), ("resnet18", 1, 3e-4, 0.05)]
    wide = written(
        tmp_path,
        "model,device,precision,batch,latency_s,energy_j\n"
        + "".join(f"{m},a100,fp16,{b},{s},{j}\n" for m, b, s, j in runs),
    )
    (expected,) = pm.validate(wide)
    head = "model,device,precision,settings,metric,value\n"
    rows = [
        f"{m},a100,fp16,batch={b},{metric},{value}\n"
        for m, b, s, j in runs
        for metric, value in (("latency_s", s), ("energy_j", j))
    ]
    (result,) = pm.validate(written(tmp_path, head + "".join(rows), "long.csv"))
    numbers = ("measured", "predicted", "error", "roofline", "compute", "device", "group", "target")
    assert [[r[n] for n in numbers] for r in result.predictions] == [
        [r[n] for n in numbers] for r in expected.predictions
    ]
    assert result.to_dict()["targets"] == expected.to_dict()["targets"]
    assert (result.rows, result.coverage) == (expected.rows, expected.coverage)


def test_calibrate_reads_both_forms(tmp_path: Path) -> None:
    runs = [("resnet18", 0.02), ("resnet50", 0.05), ("mobilenet_v2", 0.006), ("vgg16", 0.2)]
    wide = written(
        tmp_path,
        "model,device,runtime,latency_s\n"
        + "".join(f"{m},zen4_core,onnxruntime_cpu,{s}\n" for m, s in runs),
    )
    long = written(
        tmp_path,
        "model,device,runtime,metric,value\n"
        + "".join(f"{m},zen4_core,onnxruntime_cpu,latency_s,{s}\n" for m, s in runs),
        "long.csv",
    )
    expected, result = (pm.calibrate(None, None, path) for path in (wide, long))
    assert result.scale == expected.scale
    assert result.left_out == expected.left_out


def test_every_fault_at_once_with_its_place(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "model,device,settings,metric,value\n"
        "llama_2_7b,apple_m1,phase=decode,latency,0.07\n"
        "llama_2_7b,apple_m1,phase=decode contxt=64,latency_s,0.07\n"
        "llama_2_7b,apple_m1,640x640,latency_s,0.07\n"
        "resnet18,a100,batch=-4,latency_s,soon\n"
        "resnet18,a100,batch=1 batch=2,latency_s,1\n"
        "resnet18,a100,batch='1,latency_s,1\n"
        "resnet18,a100,batch=-4,energy_j,1\n",
    )
    with pytest.raises(InputError) as caught:
        pm.validate(path)
    assert [str(f).removeprefix(str(path)).partition(";")[0] for f in caught.value.faults] == [
        ":2:34: metric: 'latency' is not a metric",
        ":4:21: settings: '640x640' is not a setting",
        ":5:34: value: 'soon' is not a measurement",
        ":5:15: batch: -4 is not an extent",
        ":6:15: settings: 'batch' is stated twice",
        ":7:15: settings: a quote that does not close",
        ":3:21: contxt: no model has a parameter of this name",
    ]
    assert caught.value.faults[0].suggestion == "latency_s"
    assert caught.value.faults[-1].suggestion == "context"


def test_columns_of_both_forms_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "model,device,metric,latency_s\nresnet18,a100,latency_s,1\n")
    with pytest.raises(InputError) as caught:
        pm.validate(path)
    assert [(f.line, f.column, f.path) for f in caught.value.faults] == [
        (1, 1, "value"),
        (1, 21, "latency_s"),
    ]


def test_rows_at_fault_can_be_left_out(tmp_path: Path) -> None:
    head = "model,device,settings,metric,value\n"
    path = written(
        tmp_path,
        head + "resnet18,a100,batch=1,latency_s,1e-4\n"
        "resnet18,a100,224x224,latency_s,1e-4\nresnt18,a100,,latency_s,1e-4\n",
    )
    (result,) = pm.validate(path, skip_bad_rows=True)
    assert (result.rows, result.coverage) == (3, pytest.approx(1 / 3))
    assert "'224x224' is not a setting" in result.notes[0]


def test_the_command_reads_a_long_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = "model,device,precision,settings,metric,value\n"
    path = written(tmp_path, head + "resnet18,a100,fp16,batch=1,fps,9000\n")
    assert main(["validate", str(path), "--json"]) == 0
    assert '"fps"' in capsys.readouterr().out
