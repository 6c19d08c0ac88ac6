"""Stacked time: bars add up to the latency, colours to what binds."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.charts.bottlenecks import GROUPS, block_of
from perfmodel.errors import InputError
from perfmodel.prediction import Prediction
from perfmodel.prediction.presentation import seconds_by_bound


@pytest.mark.parametrize("by", GROUPS)
def test_bars_add_up(prediction: Prediction, by: str) -> None:
    p = prediction.at(0) if prediction.shape else prediction
    figure = prediction.plot.bottlenecks(by=by)
    total = sum(sum(trace.x) for trace in figure.data)
    assert total == pytest.approx(float(p.latency_s), rel=1e-9)
    colours = {t.name: sum(t.x) for t in figure.data if t.name != "once a run"}
    assert colours == pytest.approx(seconds_by_bound(p), rel=1e-9)


def test_bars_of_classes_are_sums_over_their_rows(prediction: Prediction) -> None:
    p = prediction.at(0) if prediction.shape else prediction
    figure = prediction.plot.bottlenecks()
    bars: dict[str, float] = {}
    for trace in figure.data:
        for bar, seconds in zip(trace.y, trace.x, strict=True):
            bars[bar] = bars.get(bar, 0.0) + seconds
    bars.pop("once a run", None)
    wanted = {
        kind: float(np.sum(p.table["total_s"][p.table["kind"] == kind]))
        for kind in set(p.table["kind"])
    }
    assert bars == pytest.approx(wanted, rel=1e-9)
    order = [bars[bar] for bar in figure.data[0].y if bar in bars]
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize(
    ("name", "phase", "block"),
    [
        ("layer1.0.conv1", "", "layer1"),
        ("fc", "", "fc"),
        ("prefill/layer.q_proj", "prefill", "prefill/layer"),
        ("decode/head", "decode", "decode/head"),
        ("layer.q_proj", "decode", "layer"),
        ("/features/3/conv/Conv", "", "features/3"),
    ],
)
def test_blocks_by_name(name: str, phase: str, block: str) -> None:
    assert block_of(name, phase) == block


def test_unknown_grouping_is_bad_input(prediction: Prediction) -> None:
    with pytest.raises(InputError, match="did you mean 'class'"):
        prediction.plot.bottlenecks(by="clas")
