"""The continuous form of staircases: within a step of them, and equal at their corners."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import METRICS
from perfmodel.workload.library import find
from tests.draws import draws

devices = st.sampled_from(("a100", "apple_m2_max", "rk3588", "stm32h743", "zen4_core"))
models = st.sampled_from((None, "roofline"))


def runtime_of(device: str) -> str | None:
    """Return one without stairs of its own, such as the tiles of a GPU's kernels."""
    return {"a100": "ideal", "apple_m2_max": "generic"}.get(device)


@settings(max_examples=draws(40))
@given(st.floats(0.5, 2.0), st.integers(64, 320), devices, models)
def test_the_relaxed_form_stays_within_a_step_of_the_staircase(
    multiplier: float, size: int, device: str, model: str | None
) -> None:
    """Relaxed between the hard forms of one step less and one step more.

    Channels round to a multiple of 8 and never below 90 % (so a channel moves by less than 8);
    five halvings of the image move its size by at most 62.
    """
    narrowest = 64

    def ask(m: float, s: int, *, relaxed: bool = False) -> float:
        workload = find("resnet18", {"width_multiplier": m, "height": float(s), "width": float(s)})
        return predict(
            workload, hardware(device), runtime=runtime_of(device), model=model, relaxed=relaxed
        ).latency_s

    relaxed = ask(multiplier, size, relaxed=True)
    assert ask(multiplier - 8 / narrowest, size) <= relaxed * (1 + 1e-9)
    assert relaxed <= ask(multiplier / 0.9, size + 62) * (1 + 1e-9)


@given(st.integers(1, 9), st.integers(4, 24), devices, models)
def test_the_relaxed_form_meets_the_staircase_at_its_corners(
    halvings: int, eighths: int, device: str, model: str | None
) -> None:
    """Sizes of 32 n + 1 halve to whole numbers, and eighths of the width are multiples of 8."""
    size = 32.0 * halvings + 1
    bound = {"width_multiplier": eighths / 8, "height": size, "width": size}
    workload = find("resnet18", bound)
    hard, relaxed = (
        predict(workload, hardware(device), runtime=runtime_of(device), model=model, relaxed=r)
        for r in (False, True)
    )
    for metric in METRICS:
        value = getattr(hard, metric)
        if value is not None:
            same = pytest.approx(value, rel=1e-12, nan_ok=True)
            assert getattr(relaxed, metric) == same, metric


def test_what_does_not_vary_keeps_its_stairs() -> None:
    """An image of 224 ends in 7 rows where only the width is relaxed; a free size in 7.97."""
    fixed = find("resnet18", {"width_multiplier": 1.0, "height": 224, "width": 224})
    free = find("resnet18", {"width_multiplier": 1.0, "height": 224.0, "width": 224.0})
    device = hardware("a100")
    assert predict(fixed, device, relaxed=True).macs == predict(fixed, device).macs
    assert predict(free, device, relaxed=True).macs > 1.05 * predict(free, device).macs
    assert predict(free, device).macs == predict(fixed, device).macs
