"""The roofline: each point, line and ridge against the prediction's own columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


def traces(figure: Any, key: str) -> list[Any]:
    return [t for t in figure.data if t.meta and key in t.meta]


def point(prediction: Prediction) -> Prediction:
    return prediction.at(0) if prediction.shape else prediction


def test_points_are_rows_at_their_intensity_and_rate(prediction: Prediction) -> None:
    figure = prediction.plot.roofline()
    p = point(prediction)
    table = p.table
    levels = [c[:-6] for c in table.columns if c.endswith("_bytes")]
    drawn: dict[str, tuple[float, float]] = {}
    for trace in traces(figure, "bound_by"):
        for name, x, y in zip(trace.ids, trace.x, trace.y, strict=True):
            assert name not in drawn
            drawn[name] = (x, y)
            (row,) = np.flatnonzero(table["name"] == name)
            assert table["bound_by"][row] == trace.meta["bound_by"]
    for row in table.rows():
        operations = 2 * row.macs + row.vector_ops
        moved = {level: row[f"{level}_bytes"] for level in levels if row[f"{level}_bytes"] > 0}
        if not operations or not moved:
            assert row.name not in drawn
            continue
        slowest = max(moved, key=lambda level: row[f"{level}_s"])
        x, y = drawn[row.name]
        assert x == pytest.approx(operations / moved[slowest], rel=1e-12)
        layer = row.get("layer_s", 0.0)
        assert y == pytest.approx(operations / (row.row_s - layer), rel=1e-12)


def gemm(m: int, n: int, k: int) -> Workload:
    def build(semantics: ExecutionSemantics) -> Graph:
        g = GraphBuilder("gemm")
        x = g.input("x", (m, k))
        g.output(g.linear(x, n, bias=False, name="product"))
        return g.build()

    return Workload("gemm", build, {})


@pytest.mark.parametrize(("m", "bound"), [(1, "hbm"), (4096, "matrix")])
def test_a_gemm_lies_on_the_roof_that_binds_it(m: int, bound: str) -> None:
    n, k = 4096, 2048
    device = hardware("a100")
    facts = device.machine("ideal").facts
    peak, rate = facts["engines.gpu.peaks.fp16"], facts["memories.hbm.bandwidth"]
    figure = predict(
        gemm(m, n, k), device, precision="fp16", model="roofline", runtime="ideal"
    ).plot.roofline()
    (trace,) = traces(figure, "bound_by")
    intensity = 2 * m * n * k / (2 * (m * k + k * n + m * n))
    assert trace.meta["bound_by"] == bound
    assert list(trace.x) == pytest.approx([intensity], rel=1e-12)
    assert list(trace.y) == pytest.approx([min(peak, rate * intensity)], rel=1e-12)
    roofs = {t.meta["roof"]: t for t in traces(figure, "roof")}
    assert set(roofs) == {"hbm", "fp16"}
    memory = roofs["hbm"]
    assert np.asarray(memory.y) == pytest.approx(rate * np.asarray(memory.x), rel=1e-12)
    assert list(roofs["fp16"].y) == pytest.approx([peak, peak], rel=1e-12)
    (ridges,) = traces(figure, "ridges")
    assert list(ridges.x) == pytest.approx([peak / rate], rel=1e-12)
    # The roofs meet at the ridge.
    assert memory.x[-1] == pytest.approx(peak / rate, rel=1e-12)


def test_sustained_roofs_stand_beside_the_theoretical_ones() -> None:
    device = hardware("raspberry_pi_5")
    figure = predict(
        find("mobilenet_v2", {}), device, precision="fp16", runtime="generic"
    ).plot.roofline()
    facts = device.machine("generic").facts
    theory = facts["memories.dram.bandwidth"]
    share = facts["memories.dram.sustained_fraction"]
    roof = next(t for t in traces(figure, "roof") if t.meta["roof"] == "dram")
    assert roof.y[0] / roof.x[0] == pytest.approx(theory * share, rel=1e-9)
    dotted = [t.y[0] / t.x[0] for t in traces(figure, "theoretical")]
    assert any(slope == pytest.approx(theory, rel=1e-9) for slope in dotted)


def test_areas_are_shares_of_the_latency() -> None:
    p = predict(find("vit_b_16", {}), hardware("jetson_agx_orin"))
    figure = p.plot.roofline()
    total = dict(zip(p.table["name"], p.table["total_s"], strict=True))
    pairs = [
        (total[name], size)
        for trace in traces(figure, "bound_by")
        for name, size in zip(trace.ids, trace.marker.size, strict=True)
    ]
    largest = max(pairs)
    for seconds, size in pairs:
        wanted = largest[1] * np.sqrt(seconds / largest[0])
        assert size == pytest.approx(max(wanted, 7.0), rel=1e-9)


def test_one_memory_alone() -> None:
    p = predict(find("resnet18", {}), hardware("jetson_agx_orin"))
    figure = p.plot.roofline(level="dram")
    drawn = {
        name: x
        for trace in traces(figure, "bound_by")
        for name, x in zip(trace.ids, trace.x, strict=True)
    }
    for row in p.table.rows():
        if row.dram_bytes and row.macs:
            wanted = (2 * row.macs + row.vector_ops) / row.dram_bytes
            assert drawn[row.name] == pytest.approx(wanted, rel=1e-12)
    memories = {t.meta["roof"] for t in traces(figure, "roof")} - {"fp16", "vector"}
    assert memories == {"dram"}
    with pytest.raises(InputError, match="did you mean 'dram'"):
        p.plot.roofline(level="drm")


def test_rows_without_arithmetic_are_named_as_left_out() -> None:
    p = predict(
        find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 128}), hardware("a100")
    )
    figure = p.plot.roofline()
    gathers = sum(1 for kind in p.table["kind"] if kind in {"gather", "copy"})
    assert f"not drawn: {gathers} row" in figure.layout.title.text


def test_integers_are_operations_not_flop() -> None:
    p = predict(find("resnet18", {}), hardware("h100"), precision="w8a8")
    figure = p.plot.roofline()
    assert "(OP/s)" in figure.layout.yaxis.title.text
    assert "FLOP" not in figure.layout.xaxis.title.text


def test_loops_over_arrays_have_roofs() -> None:
    """Their seconds of a memory hold no latency, which may be more than all of them."""
    figure = predict(find("schoenauer_triad"), hardware("zen4_core")).plot.roofline()
    drawn = {t.name: t.y[0] / t.x[0] for t in traces(figure, "roof")}
    for level, stated in (("l2", 118e9), ("l3", 99.63e9), ("dram", 32e9)):
        assert 0.9 * stated < drawn[level] < 1.3 * stated


def test_cold_weights_raise_no_roof() -> None:
    """What they wait for is no time of the memory, though their bytes are counted there."""
    net = predict(find("mobilenet_v2"), hardware("zen4_core"), precision="fp32", warm=True)
    figure = net.plot.roofline()
    (roof,) = (t for t in traces(figure, "roof") if t.name == "dram")
    assert roof.y[0] / roof.x[0] == pytest.approx(32e9, rel=1e-6)
