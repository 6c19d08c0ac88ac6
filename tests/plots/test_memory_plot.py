"""Memory over the schedule: live bytes, their memories, and what each memory holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perfmodel.charts.live_activations import live_activations
from perfmodel.charts.prediction_point import PredictionPoint
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


def levels(figure: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {t.meta["level"]: np.asarray(t.y) for t in figure.data if t.meta and "level" in t.meta}


def parts(figure: Any) -> dict[str, dict[str, float]]:
    return {
        t.meta["part"]: dict(zip(t.y, t.x, strict=True))
        for t in figure.data
        if t.meta and "part" in t.meta
    }


def test_the_peak_is_the_prediction_s(prediction: Prediction) -> None:
    p = prediction.at(0) if prediction.shape else prediction
    held = sum(levels(prediction.plot.memory()).values())
    assert len(held) == len(p.table)
    assert float(np.max(held)) == pytest.approx(float(p.activation_bytes), rel=1e-12)


def test_bars_are_what_is_placed(prediction: Prediction) -> None:
    p = prediction.at(0) if prediction.shape else prediction
    figure: Any = prediction.plot.memory()
    bars = parts(figure)
    for memory, place in p.placement.items():
        share = sum(bar[memory] for bar in bars.values())
        wanted = 100.0 * place["demand_bytes"] / place["capacity_bytes"]
        assert share == pytest.approx(wanted, rel=1e-12)
    # The line is where a memory is full.
    assert any(line.x0 == line.x1 == 100.0 for line in figure.layout.shapes)
    if p.shape == () and not p.feasible and not p.unsupported:
        assert "too much" in str(prediction.plot.memory().layout.annotations)


def chain(widths: tuple[int, ...]) -> Workload:
    def build(semantics: ExecutionSemantics) -> Graph:
        g = GraphBuilder("chain")
        x = g.input("x", (64, widths[0]))
        for i, width in enumerate(widths[1:]):
            x = g.linear(x, width, bias=False, name=f"fc{i}")
        g.output(x)
        return g.build()

    return Workload("chain", build, {})


def test_a_chain_by_hand() -> None:
    """Three products: their input and output are live, inner ones in the cache, ends in memory."""
    widths = (256, 512, 128, 1024)
    p = predict(chain(widths), hardware("jetson_agx_orin"), precision="fp16")
    live = live_activations(PredictionPoint(p))
    sizes = [64 * w * 2 for w in widths]
    both = [sizes[i] + sizes[i + 1] for i in range(3)]
    assert live.total.tolist() == both
    near, main = p.levels[0], p.levels[-1]
    assert live.by_level[near].tolist() == [sizes[1], sizes[1] + sizes[2], sizes[2]]
    assert live.by_level[main].tolist() == [sizes[0], 0, sizes[3]]
    assert [name for name, _ in live.largest][1] != ""


@pytest.mark.parametrize("capacity", ["1 MiB", "256 KiB", "1 KiB"])
def test_where_activations_live_is_what_the_traffic_says(capacity: str) -> None:
    """Main memory carries weights, the ends, and each access of what does not stay nearer."""
    machine = (
        hardware("jetson_agx_orin").machine("ideal").vary({"memories.gpu_l2.capacity": capacity})
    )
    p = predict(find("resnet18", {}), machine, precision="int8")
    subject = PredictionPoint(p)
    live = live_activations(subject)
    access = subject.table.accesses
    assert access is not None
    count = subject.columns["count"]
    moved = 0.0
    for row, tensor, slot, elements in zip(
        access.row, access.tensor, access.slots, access.elements[:, 0], strict=True
    ):
        home = live.home[access.lifetimes.names[tensor]] if tensor >= 0 else "dram"
        if home == "dram":
            moved += count[row] * elements * subject.setting.precision.bits(slot) / 8
    assert p.traffic_bytes["dram"] == pytest.approx(moved, rel=1e-12)
    inside = [level for level in live.home.values() if level == "gpu_l2"]
    assert bool(inside) == (capacity != "1 KiB")
    assert live.total.max() == pytest.approx(p.activation_bytes)


def test_more_capacity_never_moves_an_activation_away() -> None:
    device = hardware("jetson_agx_orin").machine("ideal")
    last = np.inf
    for capacity in (1e3, 1e5, 3e5, 1e6, 4e6):
        machine = device.vary({"memories.gpu_l2.capacity": capacity})
        p = predict(find("resnet18", {}), machine, precision="int8")
        away = float(np.sum(live_activations(PredictionPoint(p)).by_level["dram"]))
        assert away <= last
        last = away
