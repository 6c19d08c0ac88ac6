"""The kind `fpga`, style `dataflow`: what every kind must hold, and what a design takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.library import find
from perfmodel.workload.symbols import symbol
from perfmodel.workload.workload import Workload
from tests.draws import draws


def test_too_many_dsp_slices_name_the_reuse_factor_that_would_do() -> None:
    device = hardware("xc7z020")
    path = "engines.fabric.design.reuse_factor"
    found = {v.limit: v for v in predict(find("jet_tagger", {}), device).violations}
    few = found["engines.fabric.dsp"]
    levers = [text for text in few.levers if text.startswith(path)]
    assert len(levers) == 1
    wanted = float(levers[0].split(" of ")[1].split()[0])
    assert wanted == -(-few.demand // few.bound)
    assert not any(path in text for text in found["engines.fabric.lut"].levers)
    then = predict(find("jet_tagger", {}), device.vary({path: 2 * wanted}))
    assert float(np.asarray(then.resources["dsp"]["used"])) < few.demand


def mlp(shapes: Sequence[int] = (16, 64, 32, 32, 5)) -> Workload:
    """A perceptron with a free batch."""
    g = GraphBuilder("mlp")
    x = g.input("features", (symbol("batch"), shapes[0]))
    for i, outputs in enumerate(shapes[1:], start=1):
        x = g.linear(x, outputs, name=f"fc{i}")
        last = i == len(shapes) - 1
        x = g.softmax(x) if last else g.elementwise("relu", x, name=f"relu{i}")
    g.output(x)
    graph = g.build({"batch": 1.0})
    return Workload("mlp", lambda _: graph, {"batch": 1.0})


def with_design(name: str, **changes: Any) -> Device:
    """A part of the library with another design in it."""
    device = hardware(name)
    engine = device.engines[0]
    design = engine.design.model_copy(update=changes)
    made = engine.model_copy(update={"design": design})
    return device.model_copy(update={"engines": (made,)})


class TestDataflow(KindConformance):
    def device(self) -> Device:
        return hardware("xc7z020")

    def precision(self) -> str:
        return "int8"

    def workloads(self) -> Sequence[Workload]:
        return [mlp(), find("mlperf_tiny_ad", {})]

    def test_units_are_si(self) -> None:
        """Every rate tenfold: ten times faster; reuse factors are no unit."""
        machine = self._machine()
        rates = [p for p in machine.facts if p.endswith((".bandwidth", ".clock"))]
        delays = [p for p in machine.facts if p.endswith(".latency") or p.startswith("runtime.per")]
        changes = {p: machine.facts[p] * 10 for p in rates}
        changes |= {p: machine.facts[p] / 10 for p in delays}
        for workload in self.workloads():
            slow = self._predict(workload).latency_s
            fast = self._predict(workload, machine.vary(changes)).latency_s
            np.testing.assert_allclose(fast * 10, slow, rtol=1e-9)


class TestStream(TestDataflow):
    def device(self) -> Device:
        return with_design("xc7z045", io="stream", strategy="resource")

    def workloads(self) -> Sequence[Workload]:
        return [find("mlperf_tiny_ic", {}), mlp()]


def test_a_layer_by_hand() -> None:
    """16 x 64 at 8 bits, unrolled: products, adders and interval as the tool's rule has them."""
    machine = hardware("xc7z020").machine("ideal")
    layer = "engines.fabric.design.layers.1."
    given = {layer + "nonzeros": 700, layer + "multipliers": 300, layer + "reuse_factor": 4}
    found = predict(mlp((16, 64)), machine.vary(given), precision="int8")
    table = found.table
    # ceil(1024 / 4) - floor(324 / 4) = 256 - 81; 700 adders of 16 bits in perfect logic.
    assert table["dsp"][0] == 256 - 81
    assert table["lut"][0] == 700 * 16
    assert table["interval"][0] == 4
    # Two products a multiplier at most, then the tree of log2(700 / 64) levels.
    assert table["clocks"][0] == 2 + round(np.log2(700 / 64))


def test_weights_of_the_resource_strategy_lie_in_blocks() -> None:
    """16 x 64 x 8 bits over R words of 1024 / R x 8 bits, blocks of 36 bits x 512 (UG573)."""
    machine = with_design("xc7z020", strategy="resource").machine("ideal")
    path = "engines.fabric.design.layers.1.reuse_factor"
    for factor in (2, 16, 64, 512, 1024):
        table = predict(mlp((16, 64)), machine.vary({path: factor}), precision="int8").table
        width = 36 if factor <= 512 else 18
        assert table["bram"][0] == np.ceil(1024 / factor * 8 / width), factor
        assert table["dsp"][0] == 1024 / factor
        assert table["interval"][0] == factor


def test_io_stream_takes_a_pixel_an_interval() -> None:
    """A convolution: in_h in_w RF clocks and its depth, as published for io_stream."""
    g = GraphBuilder("conv")
    x = g.input("image", (1, 8, 24, 20))
    g.output(g.conv(x, 16, 3, padding=1, bias=False))
    graph = g.build()
    workload = Workload("conv", lambda _: graph, {})
    machine = with_design("xc7z045", io="stream", strategy="resource").machine("ideal")
    for factor in (1, 8, 72):
        changes = {
            "engines.fabric.design.layers.1.reuse_factor": factor,
            "memories.ddr.bandwidth": 1e15,
        }
        found = predict(workload, machine.vary(changes), precision="int8")
        clocks = found.latency_s * 200e6
        depth = clocks - 24 * 20 * factor
        assert 0 < depth <= factor + 8
        assert found.resources["dsp"]["used"] == 8 * 9 * 16 / factor


def test_frames_wait_for_the_slowest_layer() -> None:
    """N frames: the first takes the depth, each other the largest interval."""
    machine = hardware("xc7z020").machine()
    machine = machine.vary(
        {"engines.fabric.design.reuse_factor": 4, "memories.ddr.bandwidth": 1e15}
    )
    one = predict(mlp(), machine, precision="int8")
    many = predict(mlp().bind({"batch": 101.0}), machine, precision="int8")
    interval = max(one.table["interval"])
    assert interval == 4
    assert (many.latency_s - one.latency_s) * 200e6 == pytest.approx(100 * interval, rel=1e-9)
    assert many.resources["dsp"]["used"] == one.resources["dsp"]["used"]


def test_what_does_not_fit_is_a_result() -> None:
    found = predict(mlp(), hardware("xc7z007s"), precision="int16")
    assert not found.feasible
    limits = [v.limit for v in found.violations]
    assert limits[0] == "engines.fabric.dsp"
    assert "engines.fabric.lut" in limits
    assert found.to_dict()["scarce"] == "dsp"
    part = found.resources["lut"]
    assert part["share"] == pytest.approx(part["used"] / 14400)
    assert predict(mlp(), hardware("vu13p"), precision="int16").feasible


def test_a_sweep_has_the_largest_share_where_asked() -> None:
    from perfmodel.sweep import sweep

    path = "engines.fabric.design.reuse_factor"
    table = sweep(
        "jet_tagger",
        [with_design("xc7z020", strategy="resource"), "a100"],
        {"batch": [1.0, 2.0]},
        metrics=["latency_s", "feasible", "resource_share"],
    )
    found = predict(
        find("jet_tagger", {}), with_design("xc7z020", strategy="resource"), precision="fp16"
    )
    share = max(part["share"] for part in found.resources.values())
    assert np.isnan(table["resource_share"]).tolist() == [False, False, True, True]
    assert table["resource_share"][0] > 1
    assert not table["feasible"][0]
    assert share > 1
    folded = hardware("xc7z020").vary({path: 4.0, "engines.fabric.design.density": 0.1})
    room = sweep("jet_tagger", folded, {"precision": ["int8"]}, metrics=["resource_share"])
    assert 0 < room["resource_share"][0] < 1


def test_layers_that_keep_state_are_refused() -> None:
    with pytest.raises(InputError, match="no circuit for"):
        predict(
            find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 64}), hardware("vu13p")
        )


@settings(max_examples=draws(30), deadline=None)
@given(
    st.integers(2, 64), st.integers(2, 64), st.floats(0.1, 1.0), st.sampled_from([1, 2, 4, 16, 100])
)
def test_physics_of_a_layer(n: int, m: int, density: float, factor: int) -> None:
    """More zeros take no more of anything; a larger reuse factor no more multipliers."""
    machine = hardware("xc7z020").machine()
    head = "engines.fabric.design."

    def made(dense: float, reuse: int) -> dict[str, Any]:
        changes = {head + "density": dense, head + "reuse_factor": reuse}
        return predict(mlp((n, m)), machine.vary(changes), precision="int8").resources

    here = made(density, factor)
    sparse, folded = made(0.5 * density, factor), made(density, 2 * factor)
    for name in ("lut", "ff", "dsp"):
        assert sparse[name]["used"] <= here[name]["used"] * (1 + 1e-9) + 64 * 16
    assert folded["dsp"]["used"] <= here["dsp"]["used"]
    assert made(density, 1)["dsp"]["used"] >= here["dsp"]["used"]


@pytest.mark.parametrize("strategy", ["latency", "resource"])
def test_relaxed_has_a_slope_and_is_near(doubles: Any, strategy: str) -> None:
    """Without ceilings: the derivative by the reuse factor, and a few clocks from the staircase."""
    machine = with_design("xc7z020", strategy=strategy).machine()
    path = "engines.fabric.design.reuse_factor"

    def seconds(factor: Any) -> Any:
        varied = machine.vary({path: factor})
        return predict(mlp(), varied, precision="int8", relaxed=True).latency_s

    at = 32.0
    slope = float(doubles.jit(doubles.grad(seconds))(at))
    step = float(seconds(at + 1) - seconds(at - 1)) / 2
    assert slope == pytest.approx(step, rel=0.02)
    assert slope > 0
    whole = predict(mlp(), machine.vary({path: at}), precision="int8").latency_s
    assert float(seconds(at)) == pytest.approx(float(whole), abs=12 / 200e6)


def test_resources_and_the_interval_are_metrics_everywhere() -> None:
    """At 200 MHz a reuse factor of R is a sample every R x 5 ns, whatever the depth."""
    reuse = "engines.main.design.reuse_factor"
    folded = with_design("xc7z020", strategy="resource")
    found = predict(mlp(), folded.vary({reuse: 64}), precision="int16")
    assert found.interval_s == pytest.approx(64 * 5e-9)
    assert found.samples_per_s == pytest.approx(1 / (64 * 5e-9))
    assert found.dsp_share == found.dsp / 220
    assert found.resource_share >= found.dsp_share
    assert found.glance()[0][0] == "interval"
    assert predict(mlp(), "a100", precision="int16").interval_s is None
    table = pm.sweep(
        "jet_tagger",
        folded,
        {reuse: [16, 32, 64, 128]},
        where="dsp_share <= 0.7 and interval_s <= 200 ns",
        precision="int16",
    )
    assert table[reuse].tolist() == [32]
    least = pm.solve("jet_tagger", folded, reuse, "dsp <= 100", precision="int16").value
    assert predict("jet_tagger", folded.vary({reuse: least}), precision="int16").dsp <= 100
    best = pm.search(
        "jet_tagger",
        "vu9p",
        choices={"weight_bits": [4, 8]},
        constraints=["lut_share <= 1"],
        objective="interval_s",
        share="network",
        precision="int16",
    ).best
    assert best is not None
    assert best.metrics["interval_s"] == pytest.approx(5e-9)
