"""Multipliers from few rows: found again where they are known, judged on rows left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.calibrate.few_shot import NAMES, few_shot, multipliers, prior, trial
from perfmodel.errors import InputError
from perfmodel.evaluate.calibration import scaled_rows
from perfmodel.evaluate.validation_case import MeasuredQuantity, ValidationCase
from perfmodel.evidence import Scatter
from perfmodel.hardware.calibration_overlay import read_overlay
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import SCALE_CLASSES

MODELS = (
    "resnet18",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "densenet121",
    "bert_base",
    "efficientnet_b0",
)
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


def test_known_factors_are_found_again(tmp_path: Path) -> None:
    rows = truth()
    found = pm.calibrate(None, None, table(tmp_path / "mine.csv", rows))
    assert found.before is not None
    assert found.after is not None
    assert found.before > 0.1
    assert found.after < 0.05
    assert found.left_out is not None
    assert found.left_out < found.before / 2
    assert found.scale["conv"] == pytest.approx(TRUE["conv"], rel=0.05)
    # A network that was not among the rows.
    other = truth(("resnet50",))["resnet50"]
    for machine in (
        found.machine(),
        Machine(found.device, found.runtime, read_overlay(written(tmp_path, found)).values()),
    ):
        again = float(pm.predict("resnet50", machine, precision="fp32").latency_s)
        assert again == pytest.approx(other, rel=0.03)
    said = found.machine().provenance["runtime.scale.conv"]
    assert (said.writer, said.confidence, said.fitted_on) == (
        "calibration",
        "fitted",
        "mine.csv, 6 rows",
    )


def written(folder: Path, found: object) -> Path:
    path = folder / "overlay.yaml"
    path.write_text(found.to_yaml())  # type: ignore[attr-defined]
    return path


#: Evidence that says next to nothing of multipliers, and that rows do not scatter.
WEAK = Scatter(bias=3.0, noise=1e-3, freedom=1.0)


class Sums:
    """Rows whose seconds of each class are known, and add up."""

    def __init__(self, seconds: dict[str, list[float]]) -> None:
        self.seconds = np.array([seconds.get(name, [0.0] * 3) for name in SCALE_CLASSES])

    def __call__(self, constants: Mapping[str, float]) -> np.ndarray:
        return self.points({name: np.array([value]) for name, value in constants.items()})[0]

    def points(self, constants: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the seconds under many factors."""
        return np.stack(list(multipliers(constants).values()), axis=1) @ self.seconds


def test_sums_of_classes_are_solved_as_equations() -> None:
    # Three rows of three classes, and as many equations: the multipliers are their solution.
    rows = {"conv": [3.0, 1.0, 1.0], "gemm": [1.0, 4.0, 1.0], "launch": [0.5, 0.5, 2.0]}
    true = np.array([1.7, 0.6, 1.2])
    measured = np.array(list(rows.values())).T @ true
    (result,) = few_shot(Sums(rows), measured, WEAK, [[True] * 3])
    solved = np.linalg.solve(np.array(list(rows.values())).T, measured)
    np.testing.assert_allclose([result.scale[name] for name in rows], solved, rtol=1e-4)
    np.testing.assert_allclose(solved, true)
    # Slopes are shares of the time, and what no row tells of takes the factor of the device.
    shares = np.array(list(rows.values())).T * true / measured[:, None]
    at = [SCALE_CLASSES.index(name) for name in rows]
    np.testing.assert_allclose(result.slopes[:, at], shares, rtol=1e-4)
    assert result.scale["copy"] == result.scale["depthwise"]


def test_one_row_moves_multipliers_as_the_evidence_lets_it() -> None:
    # One class, one row: a ridge between two normal numbers, whose mean is known.
    pool = Scatter(bias=0.3, noise=0.2, freedom=1e9)
    (result,) = few_shot(Sums({"conv": [1.0, 2.0, 4.0]}), [1.1, 9.0, 9.0], pool, [[0]])
    before = float(prior(pool)[1, 1])
    known = before / (before + pool.noise**2)
    # The soft L1 loss lets go of a little.
    assert np.log(result.scale["conv"]) == pytest.approx(np.log(1.1) * known, rel=0.02)
    left = result.covariance[1, 1]
    assert left == pytest.approx(before * (1.0 - known), rel=1e-6)
    assert result.noise == pytest.approx(pool.noise, rel=1e-6)
    # The others are as sure as it, and a class without a row is less so.
    posterior = result.posterior(["frames"])
    sure, unsure = (posterior.factor(np.eye(len(SCALE_CLASSES))[i], 0.9) for i in (1, 2))
    assert sure == pytest.approx(np.exp(1.6449 * np.sqrt(left + pool.noise**2)), rel=1e-3)
    assert unsure > sure


OVERLAPPING = (
    "resnet18",
    "mobilenet_v2",
    "vgg16",
    "densenet121",
    "bert_base",
    "alexnet",
    "efficientnet_b0",
    "squeezenet1_1",
    "resnext50_32x4d",
    "googlenet",
)


def test_terms_that_hide_one_another_are_told_apart() -> None:
    # Memory behind arithmetic: a sum of classes sees none of it, and no other way round.
    true = {"conv": 0.5, "gemm": 0.6, "memory": 2.0, "launch": 1.3}
    machine = pm.hardware("a100").machine("generic")
    slow = machine.vary({f"runtime.scale.{name}": value for name, value in true.items()})
    rows: list[tuple[ValidationCase, MeasuredQuantity]] = []
    for model in (*OVERLAPPING, "resnet50", "vit_l_16", "inception_v3"):
        work = pm.workload(model, batch=32)
        seconds = float(pm.predict(work, slow, precision="fp16").latency_s)
        quantity = MeasuredQuantity("latency_s", "latency_s", seconds, work)
        case = ValidationCase(model, "a100", machine, (quantity,), "fp16")
        rows.append((case, quantity))
    measured = np.array([quantity.measured for _, quantity in rows])
    ten = np.arange(len(OVERLAPPING))
    forward = scaled_rows(rows)
    plain = forward(dict.fromkeys(NAMES, 1.0))
    assert np.abs(plain / measured - 1.0)[10:].min() > 0.03
    (result,) = few_shot(forward, measured, WEAK, [ten])
    np.testing.assert_allclose(result.predicted, measured, rtol=0.01)
    for name, value in true.items():
        assert result.scale[name] == pytest.approx(value, rel=0.05), name


def test_a_trial_needs_rows_to_judge_on() -> None:
    with pytest.raises(ValueError, match="leave none"):
        trial(Sums({"conv": [1.0, 2.0, 3.0]}), np.ones(3), WEAK, 3)


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
    for part in ("a dict is not a file", "onnxruntim_cpu"):
        assert part in str(error.value), part
    with pytest.raises(InputError, match="is of zen4_core"):
        pm.calibrate("a100", None, path)


def test_a_broken_overlay_is_refused_with_its_places(tmp_path: Path) -> None:
    path = tmp_path / "overlay.yaml"
    path.write_text("overlay_version: 3\ndevice: zen4_core\nfacts: {a: b}\nmore: 1\n")
    with pytest.raises(InputError) as error:
        read_overlay(path)
    assert len(error.value.faults) >= 4
    assert all(f.line for f in error.value.faults if f.path != "runtime")


@pytest.mark.parametrize(
    ("model", "devices"),
    [
        ("resnet18", ("zen4_core", "cortex_a72", "cortex_a76")),
        ("bert_base", ("a100", "h100_sxm")),
        ("mobilenet_v2", ("stm32h7", "coral_edgetpu")),
    ],
)
def test_costs_before_the_multipliers_are_worked_out_once(
    model: str, devices: tuple[str, ...]
) -> None:
    """Questions about multipliers in turn are answered as beside another fact that is varied."""
    machines = [pm.predict(model, device).machine for device in devices]
    for draw in range(2):
        numbers = np.random.default_rng(draw).uniform(0.5, 2.0, (len(SCALE_CLASSES), 3))
        scale = {f"runtime.scale.{n}": v for n, v in zip(SCALE_CLASSES, numbers, strict=True)}
        for machine in machines:
            clock = f"engines.{machine.engine}.clock"
            quick = pm.predict(model, machine.vary(scale))
            full = pm.predict(model, machine.vary({**scale, clock: machine[clock]}))
            np.testing.assert_array_equal(quick.latency_s, full.latency_s)
            np.testing.assert_array_equal(quick.table["row_s"], full.table["row_s"])
            np.testing.assert_array_equal(quick.energy_j, full.energy_j)
            single = machine.vary({path: float(values[1]) for path, values in scale.items()})
            one = pm.predict(model, single)
            np.testing.assert_allclose(one.latency_s, quick.latency_s[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("device", "runtime", "precision", "warm"),
    [("a100", "generic", "fp16", False), ("zen4_core", None, "fp32", True)],
)
def test_rows_scaled_together_equal_predictions_of_varied_machines(
    device: str, runtime: str | None, precision: str, warm: bool
) -> None:
    machine = pm.hardware(device).machine(runtime)
    works = [pm.workload(model, batch=batch) for model in ("resnet18", "vgg16") for batch in (1, 4)]
    rows: list[tuple[ValidationCase, MeasuredQuantity]] = []
    for work in works:
        quantity = MeasuredQuantity("latency_s", "latency_s", 1.0, work)
        rows.append(
            (ValidationCase("", device, machine, (quantity,), precision, warm=warm), quantity)
        )
    factors = np.exp(np.random.default_rng(0).normal(0.0, 0.5, (len(NAMES), 3)))
    seconds = scaled_rows(rows).points(dict(zip(NAMES, factors, strict=True)))
    for point, constants in enumerate(factors.T):
        scale = multipliers(dict(zip(NAMES, constants, strict=True)))
        slow = machine.vary({f"runtime.scale.{name}": value for name, value in scale.items()})
        alone = [pm.predict(w, slow, precision=precision, warm=warm).latency_s for w in works]
        np.testing.assert_allclose(seconds[point], alone, rtol=1e-14)
