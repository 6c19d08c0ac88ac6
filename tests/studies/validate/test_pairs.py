"""Decisions on pairs of measured rows: the score is that of brute force over all pairs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.evaluate.pairwise_ranking import pair_scores
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.validate import row_of
from perfmodel.evaluate.validation_case import MeasuredQuantity, ValidationCase

NETWORKS = ("mobilenet_v2", "resnet50", "resnet18")
DEVICES = ("a100", "t4", "l4")


def result(seed: int, metric: str = "latency_s", precisions: Any = ("fp16", "int8")) -> Any:
    """Return rows of every network on every device, measured and predicted at random."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for name, device, precision in itertools.product(NETWORKS, DEVICES, precisions):
        measured, predicted, floor = rng.uniform(1.0, 3.0, 3).tolist()
        workload = pm.workload(name)
        quantity = MeasuredQuantity(metric, metric, measured, workload)
        case = ValidationCase(
            f"{name} {precision}", device, pm.hardware(device), [quantity], precision, "tensorrt"
        )
        row = row_of(case, quantity, predicted, "tensorrt")
        rows.append(row | {"roofline": floor, "compute": None})
    return ValidationResult("made", len(rows), 1.0, {}, metric, {}, {}, {}, predictions=tuple(rows))


def by_hand(rows: Any, alike: Any, differ: Any, key: str) -> tuple[float, int]:
    """Return the share in the right order among all pairs, and how many there are."""
    right: list[bool] = []
    for a, b in itertools.combinations(rows, 2):
        if alike(a) != alike(b) or differ(a) == differ(b):
            continue
        low, high = sorted([a["measured"], b["measured"]])
        if high > 1.2 * low:
            right.append((a[key] > b[key]) == (a["measured"] > b["measured"]))
    return float(np.mean(right)), len(right)


def network(row: Any) -> str:
    return row["origin"].quantity.workload.name


def precision(row: Any) -> str:
    return row["origin"].case.precision


def device(row: Any) -> str:
    return row["device"]


@pytest.mark.parametrize("metric", ["latency_s", "frames_per_s"])
def test_shares_are_those_of_all_pairs(metric: str) -> None:
    made = result(1, metric)
    scores = {one.differ_in: one for one in pair_scores([made])}
    for name, alike, differ in (
        ("device", lambda r: (network(r), precision(r)), device),
        ("network", lambda r: (device(r), precision(r)), network),
        ("precision", lambda r: (device(r), network(r)), precision),
    ):
        for key in ("predicted", "roofline"):
            assert scores[name].accuracy[key] == pytest.approx(
                by_hand(made.predictions, alike, differ, key)
            )
        assert "compute" not in scores[name].accuracy
        assert "left_out" not in scores[name].accuracy


def test_fewer_pairs_are_drawn_at_random_and_alike_for_a_seed() -> None:
    made = result(2)
    few = pair_scores([made], pairs=7, seed=3)
    assert [(one.dataset, one.pairs) for one in few] == 3 * [("", 7), ("made", 7)]
    assert few == pair_scores([made], pairs=7, seed=3)
    assert few != pair_scores([made], pairs=7, seed=4)


def test_constants_refitted_without_the_device_are_scored_on_their_rows() -> None:
    made = result(4)
    refitted = [
        {
            "subject": row["origin"].subject,
            "way": "left_out",
            "measured": row["measured"],
            "predicted": row["measured"],
        }
        for row in made.predictions
        if row["device"] != "t4"
    ]
    tried = ValidationResult(
        "made",
        made.rows,
        1.0,
        {},
        made.primary,
        {},
        {},
        {},
        predictions=made.predictions,
        left_out={"latency_s": {"predictions": refitted}},
    )
    scores = {one.differ_in: one for one in pair_scores([tried])}
    of = [row for row in made.predictions if row["device"] != "t4"]
    share, pairs = by_hand(of, lambda r: (network(r), precision(r)), device, "measured")
    assert scores["device"].accuracy["left_out"] == (share, pairs) == (1.0, pairs)
