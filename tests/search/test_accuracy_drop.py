"""Accuracies are told as what is lost of the best, for calibrated models and fitted ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.search import accuracy, configurations_of
from perfmodel.search.accuracy import AccuracyModel, LayerOption

NETWORK = "mlperf_tiny_ic"
BITS = [8, 4, 2]
LAYERS = [
    d.layers[0] for d in configurations_of(pm.workload(NETWORK), {"weight_bits": BITS}).decisions
]
COST = {
    layer: {"int8": 0.01, "int4": 0.1 + 0.03 * i, "int2": 1.0 + 0.1 * i}
    for i, layer in enumerate(LAYERS)
}


def top1(configuration: Mapping[str, LayerOption]) -> float:
    """Accuracy that falls in proportion to the summed loss."""
    total = 0.0
    for layer, option in configuration.items():
        assert option.weights is not None
        total += COST[layer][option.weights.name]
    return 90.0 - 3.0 * total


def calibrated() -> AccuracyModel:
    options = [[accuracy.parse_option(f"int{b}") for b in BITS]] * len(LAYERS)
    return accuracy.calibrated(accuracy.table(COST), top1, 12, layers=LAYERS, options=options)


def fitted() -> AccuracyModel:
    draw = np.random.default_rng(0).choice(BITS, size=(80, len(LAYERS)))
    draw[0] = 8
    known = [
        {layer: accuracy.parse_option(f"int{b}") for layer, b in zip(LAYERS, row, strict=True)}
        for row in draw.tolist()
    ]
    return accuracy.fitted(known, [top1(each) for each in known], ridge=1e-9)


@pytest.mark.parametrize("model", [calibrated(), fitted()], ids=["calibrated", "fitted"])
def test_the_drop_is_measured_from_the_best(model: AccuracyModel) -> None:
    found = pm.search(
        NETWORK,
        "gemmini_16x16",
        choices={"weight_bits": BITS},
        precision="int8",
        accuracy=model,
        constraints="accuracy_drop <= 4",
        objective="weight_bytes",
    )
    assert found.best is not None
    drop = found.best.metrics["accuracy_drop"]
    made = {
        name.removesuffix(".weights"): accuracy.parse_option(o)
        for name, o in found.best.configuration.items()
    }
    best = top1({layer: accuracy.parse_option("int8") for layer in LAYERS})
    # The calibrated curve runs between a dozen points.
    assert drop == pytest.approx(best - top1(made), abs=0.5)
    assert 2.0 < drop <= 4.0 * (1 + 1e-9)


@pytest.mark.parametrize("model", [calibrated(), fitted()], ids=["calibrated", "fitted"])
def test_the_least_drop_is_none(model: AccuracyModel) -> None:
    found = pm.search(
        NETWORK, "gemmini_16x16", choices={"weight_bits": BITS}, precision="int8", accuracy=model
    )
    assert found.best is not None
    assert found.objective == "accuracy_drop"
    assert found.proved
    assert found.best.value == pytest.approx(0.0, abs=1e-3)
    assert set(found.best.configuration.values()) == {"int8"}
