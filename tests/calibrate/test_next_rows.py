"""What to measure next: greedy choices beside all choices, and what they leave open."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.calibrate.next_rows import narrowing
from perfmodel.errors import InputError

NOISE = 0.2


def left_open(before: np.ndarray, rows: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean variance of targets by the inverse of the sum of both precisions."""
    after = np.linalg.inv(np.linalg.inv(before) + rows.T @ rows / NOISE**2)
    return float(np.mean([t @ after @ t for t in targets])) + NOISE**2


def test_each_choice_is_the_best_of_all() -> None:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(3, 3))
    before = root @ root.T
    candidates, targets = rng.uniform(size=(5, 3)), rng.uniform(size=(4, 3))
    steps = narrowing(before, NOISE, candidates, targets, 3)
    taken: list[int] = []
    for step in steps:
        others = [i for i in range(5) if i not in taken]
        after = [left_open(before, candidates[[*taken, i]], targets) for i in others]
        assert step.place == others[int(np.argmin(after))]
        assert step.before == pytest.approx(left_open(before, candidates[taken], targets))
        assert step.after == pytest.approx(min(after))
        taken.append(step.place)
    # No three of them leave much less open than the three that were taken one by one.
    least = min(left_open(before, candidates[list(p)], targets) for p in permutations(range(5), 3))
    assert least <= steps[-1].after <= 1.1 * least
    assert len(narrowing(before, NOISE, candidates, targets, 9)) == 5


def rows(path: Path, models: dict[str, float]) -> Path:
    lines = [f"{model},raspberry_pi_4,ncnn,fp16,{seconds}" for model, seconds in models.items()]
    path.write_text("\n".join(["model,device,runtime,precision,latency_s", *lines]))
    return path


def test_what_was_measured_is_not_named_again(tmp_path: Path) -> None:
    path = rows(tmp_path / "mine.csv", {"resnet18": 0.11, "vgg16": 0.55})
    result = pm.calibrate(None, None, path)
    answer = result.next(3)
    names = [one.model for one in answer.each]
    assert len(set(names)) == 3
    assert not {"resnet18", "vgg16"} & set(names)
    ends = [end for one in answer.each for end in (one.before, one.after)]
    assert np.all(np.diff(ends) < 1e-9)
    assert "resnet18" in answer.targets
    # Named ones are taken as they are; what is to be narrowed decides.
    (one,) = result.next(candidates=["mobilenet_v2", "resnet50"], targets=["resnet50"]).each
    assert one.model == "resnet50"
    assert (
        one.command == "perfmodel predict resnet50 raspberry_pi_4 --precision fp16 --runtime ncnn"
    )
    assert one.row == {
        "model": "resnet50",
        "device": "raspberry_pi_4",
        "runtime": "ncnn",
        "precision": "fp16",
    }


def test_the_interval_after_a_measurement_is_the_one_that_was_promised(tmp_path: Path) -> None:
    path = rows(tmp_path / "mine.csv", {"resnet18": 0.11, "vgg16": 0.55})
    result = pm.calibrate(None, None, path)
    (one,) = result.next(candidates=["resnet50"], targets=["resnet50"]).each
    interval = pm.predict("resnet50", result.machine(), precision="fp16").interval()
    assert interval.high / interval.low == pytest.approx(one.before, rel=1e-3)


def test_nothing_measured_yet() -> None:
    result = pm.calibrate("raspberry_pi_4", "ncnn")
    assert result.rows == 0
    assert result.before is None
    (one,) = result.next().each
    assert one.after < one.before
    # The pool alone says no more than without a calibration.
    assert (
        pm.predict("resnet18", result.machine()).basis_reason
        == pm.predict("resnet18", "raspberry_pi_4", runtime="ncnn").basis_reason
    )
    tokens = pm.calibrate("raspberry_pi_5", "llama_cpp_cpu_neon")
    assert tokens.posterior.workloads == ["tokens/decode"]


def test_every_fault_at_once() -> None:
    result = pm.calibrate("raspberry_pi_4", "ncnn")
    with pytest.raises(InputError) as caught:
        result.next(0, candidates=["resnet5", "vgg16"], targets=["mobilenet_v"])
    text = str(caught.value)
    for part in ("0 measurements", "'resnet5'", "'mobilenet_v'", "did you mean"):
        assert part in text
    with pytest.raises(InputError, match="device"):
        pm.calibrate(None, None)
