"""Multipliers from few rows: found again where they are known, judged on rows left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.calibrate.few_shot import class_seconds, multipliers, predicted, trial
from perfmodel.calibrate.overlay import read_overlay
from perfmodel.errors import InputError
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import SCALE_CLASSES

MODELS = ("resnet18", "mobilenet_v2", "mobilenet_v3_small", "densenet121", "bert_base",
          "efficientnet_b0")  # fmt: skip
TRUE = {"conv": 1.25, "gemm": 0.9, "depthwise": 1.5, "memory": 1.3, "launch": 1.1}


def truth(models: tuple[str, ...] = MODELS) -> dict[str, float]:
    """What a device takes that the model has wrong by class."""
    overlay = {f"runtime.scale.{name}": value for name, value in TRUE.items()}
    machine = Machine(pm.hardware("zen4_core"), "onnxruntime_cpu", overlay)
    return {m: float(pm.predict(m, machine, precision="fp32").latency_s) for m in models}


def table(path: Path, rows: dict[str, float], device: str = "zen4_core") -> Path:
    lines = ["model,device,runtime,precision,latency_s"]
    lines += [f"{m},{device},onnxruntime_cpu,fp32,{s!r}" for m, s in rows.items()]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("device", ["zen4_core", "raspberry_pi_5", "a100"])
def test_classes_add_up_to_the_latency(device: str) -> None:
    for model in ("resnet18", "mobilenet_v2"):
        found = pm.predict(model, device)
        seconds = class_seconds(found)
        assert sum(seconds.values()) == pytest.approx(float(found.latency_s), rel=1e-12)
        assert min(v for k, v in seconds.items() if k != "fixed") >= 0


@pytest.mark.parametrize("device", ["zen4_core", "raspberry_pi_5_core"])
def test_one_factor_for_all_classes_is_that_factor(device: str) -> None:
    plain = pm.predict("mobilenet_v2", device)
    overlay = {f"runtime.scale.{c}": 2.0 for c in SCALE_CLASSES}
    machine = Machine(pm.hardware(device), plain.machine.runtime, overlay)
    fixed = class_seconds(plain)["fixed"]
    twice = pm.predict("mobilenet_v2", machine)
    assert float(twice.latency_s) == pytest.approx(2 * float(plain.latency_s) - fixed, rel=1e-12)


def test_known_factors_are_found_again(tmp_path: Path) -> None:
    rows = truth()
    found = pm.calibrate(None, None, table(tmp_path / "mine.csv", rows))
    assert found.before > 0.1
    assert found.after < 0.02
    assert found.left_out is not None
    assert found.left_out < found.before / 2
    assert found.scale["conv"] == pytest.approx(TRUE["conv"], rel=0.05)
    # A network that was not among the rows.
    other = truth(("resnet50",))["resnet50"]
    for machine in (found.machine(),
                    Machine(found.device, found.runtime, read_overlay(written(tmp_path, found))
                            .values())):  # fmt: skip
        again = float(pm.predict("resnet50", machine, precision="fp32").latency_s)
        assert again == pytest.approx(other, rel=0.03)
    said = found.machine().provenance["runtime.scale.conv"]
    assert (said.writer, said.confidence, said.fitted_on) == (
        "calibration", "fitted", "mine.csv, 6 rows")  # fmt: skip


def written(folder: Path, found: object) -> Path:
    path = folder / "overlay.yaml"
    path.write_text(found.to_yaml())  # type: ignore[attr-defined]
    return path


def test_what_the_rows_do_not_tell_stays() -> None:
    seconds = np.zeros((3, len(SCALE_CLASSES) + 1))
    seconds[:, SCALE_CLASSES.index("conv")] = [1.0, 2.0, 3.0]
    seconds[:, SCALE_CLASSES.index("copy")] = 1e-9
    found = multipliers(seconds, 1.5 * seconds.sum(axis=1))
    assert found["conv"] == pytest.approx(1.5, rel=0.02)
    assert found["copy"] == pytest.approx(1.0, abs=1e-6)
    assert "gemm" not in found
    np.testing.assert_allclose(predicted(seconds, {}), seconds.sum(axis=1))


@pytest.mark.data
def test_ten_networks_calibrate_the_others(data: Path) -> None:
    (result,) = pm.validate("cpu_zen4", data=data)
    ten = result.details["ten_samples"]
    assert ten["k"] == 10
    assert ten["mape"] < 0.035
    assert ten["low"] <= ten["mape"] <= ten["high"] < 0.04


def test_a_trial_needs_rows_to_judge_on() -> None:
    with pytest.raises(ValueError, match="leave none"):
        trial(np.ones((4, len(SCALE_CLASSES) + 1)), np.ones(4), 4)


def test_every_fault_of_the_rows_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(
        "model,device,latency_s\nresnet18,zen4_core,0.03\nresnet50,a100,0.01\nnone,zen4_core,1\n"
        "vgg16,zen4_core,\n"
    )
    with pytest.raises(InputError) as error:
        pm.calibrate(None, None, path)
    text = str(error.value)
    for part in ("no workload is named 'none'", "several machines", "no measurement in the row"):
        assert part in text
    with pytest.raises(InputError) as error:
        pm.calibrate("a10", "onnxruntim_cpu", {"rows": []})  # type: ignore[arg-type]
    for part in ("a dict is no file", "onnxruntim_cpu"):
        assert part in str(error.value), part
    with pytest.raises(InputError, match="is of zen4_core"):
        pm.calibrate("a100", None, path)


def test_a_broken_overlay_is_refused_with_its_places(tmp_path: Path) -> None:
    path = tmp_path / "overlay.yaml"
    path.write_text("overlay_version: 2\ndevice: zen4_core\nfacts: {a: b}\nmore: 1\n")
    with pytest.raises(InputError) as error:
        read_overlay(path)
    assert len(error.value.faults) >= 4
    assert all(f.line for f in error.value.faults if f.path != "runtime")
