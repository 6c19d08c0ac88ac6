"""The style `dpu` of the kind `fpga`: tiles against a count by hand, boards against their rates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.kinds.fpga.dpu.spec import DpuLayerShape, DpuParallelism, alu_clocks, array_clocks
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

DESIGN = "engines.dpu.design."


class TestDpu(KindConformance):
    def device(self) -> Device:
        return hardware("zcu102")

    def precision(self) -> str:
        return "int8"

    def rates(self) -> tuple[str, ...]:
        return (
            "runtime.kernels.copy.host_bandwidth",
            "runtime.draw_bytes_per_clock_per_unit",
        )

    def test_units_are_si(self) -> None:
        """A draw in bytes a clock goes with the clock: it is no rate of its own here."""
        machine = self._machine()
        facts = {
            p: v * 10
            for p, v in machine.facts.items()
            if p.endswith((".clock", ".host_bandwidth"))
            or (p.startswith("memories.") and p.endswith(".bandwidth"))
        }
        facts |= {p: machine.facts[p] / 10 for p in ("runtime.per_run", "runtime.per_operator")}
        for workload in self.workloads():
            slow = self._predict(workload).latency_s
            fast = self._predict(workload, machine.vary(facts)).latency_s
            np.testing.assert_allclose(fast * 10, slow, rtol=1e-9)


class TestEnginesThatShareWeights(KindConformance):
    def device(self) -> Device:
        return hardware("u50lv_dpu")

    def precision(self) -> str:
        return "int8"

    def workloads(self) -> list[Workload]:
        return [find("resnet18", {}), find("mobilenet_v2", {})]

    def rates(self) -> tuple[str, ...]:
        return (f"{DESIGN}weight_port",)

    def test_units_are_si(self) -> None:
        """Held by `TestDpu`; ports of bytes a clock go with the clock here too."""


class TestMapsKept(KindConformance):
    def device(self) -> Device:
        return hardware("vek280_dpu")

    def precision(self) -> str:
        return "int8"

    def workloads(self) -> list[Workload]:
        return [find("resnet50", {}), find("mobilenet_v2", {})]

    def rates(self) -> tuple[str, ...]:
        return (f"{DESIGN}weight_port",)

    def test_units_are_si(self) -> None:
        """Held by `TestDpu`."""


@given(
    *(st.integers(1, 20) for _ in range(2)),
    *(st.integers(1, 40) for _ in range(2)),
    st.sampled_from([1, 3, 5]),
    st.booleans(),
)
def test_tiles_as_counted_by_hand(
    rows: int, columns: int, ins: int, outs: int, kernel: int, augmented: bool
) -> None:
    """Clocks are the tiles that a loop over the layer steps through, edges as whole ones."""
    pixels, icp, ocp = 4, 8, 8
    steps = 0
    for _ in range(0, rows, pixels):
        for _ in range(columns):
            for _ in range(0, outs, ocp):
                for _ in range(kernel):
                    if augmented and 2 * ins <= icp:
                        steps += len(range(0, ins * kernel, icp))
                    else:
                        steps += kernel * len(range(0, ins, icp))
    layer = DpuLayerShape(rows, columns, ins, outs, kernel, kernel)
    found = array_clocks(layer, DpuParallelism(pixels, icp, ocp, float(augmented)), np)
    assert float(found) == steps
    relaxed = array_clocks(layer, DpuParallelism(pixels, icp, ocp), np, relaxed=True)
    work = rows * columns * ins * outs * kernel * kernel / (pixels * icp * ocp)
    assert float(relaxed) == pytest.approx(work)
    assert found * pixels * icp * ocp >= rows * columns * ins * outs * kernel * kernel


def test_depthwise_goes_to_the_alu() -> None:
    """PG338: the parallelism of depthwise convolution is half that of the pixels."""
    layer = DpuLayerShape(14, 14, 1, 1, 3, 3, groups=512)
    assert float(alu_clocks(layer, 4, 16, np)) == 4 * 14 * 32 * 9
    found = predict(find("mobilenet_v1", {}), hardware("kv260"), precision="int8").table
    deep = np.asarray(found["kind"]) == "depthwise"
    assert np.all(np.asarray(found["array_s"])[deep] == 0.0)
    assert np.all(np.asarray(found["alu_s"])[deep] > 0.0)


def test_peaks_are_what_the_multipliers_make() -> None:
    """Two operations a multiplier and clock, over cores and the engines of each."""
    for name in (
        "kv260",
        "zcu102",
        "zcu104",
        "ultra96_dpu",
        "u55c_dpu",
        "u50lv_dpu",
        "vck190_dpu",
        "vck5000_dpu",
        "vek280_dpu",
        "v70_dpu",
    ):
        facts = hardware(name).machine().facts
        made = (
            2.0
            * np.prod(
                [
                    facts[f"{DESIGN}{n}"]
                    for n in ("pixels", "input_channels", "output_channels", "images")
                ]
            )
            * facts["engines.dpu.units"]
            * facts["engines.dpu.clock"]
        )
        assert facts["engines.dpu.peaks.int8"] == pytest.approx(made, rel=1e-3), name


def test_a_board_that_is_sold_with_its_cores_has_room_for_them() -> None:
    """The DPU's configurations are released for these boards: what they take must be there."""
    for name in ("kv260", "zcu102", "zcu104", "ultra96_dpu"):
        found = predict(find("mlperf_tiny_ic", {}), hardware(name), precision="int8")
        assert found.feasible, (name, [str(v) for v in found.violations])
        assert all(r["share"] <= 1.0 for r in found.resources.values()), name


def test_no_network_is_faster_than_its_multipliers() -> None:
    for name, net in itertools.product(("kv260", "zcu102"), ("resnet50", "mobilenet_v2")):
        found = predict(find(net, {}), hardware(name), precision="int8")
        assert 0.0 < found.utilization < 1.0


def test_cores_share_the_memory() -> None:
    """Three cores finish three images later than one core one, sooner than three times that."""
    board = hardware("zcu102")
    one = predict(find("mobilenet_v1", {}), board, precision="int8", runtime="vitis_ai_threads")
    three = predict(
        find("mobilenet_v1", {"batch": 3}), board, precision="int8", runtime="vitis_ai_threads"
    )
    four = predict(
        find("mobilenet_v1", {"batch": 4}), board, precision="int8", runtime="vitis_ai_threads"
    )
    assert one.latency_s < three.latency_s < 3.0 * one.latency_s
    assert four.latency_s > three.latency_s


#: Frames a second by Vitis AI's model zoo 2.5 (one thread, several threads); ResNet-50, VGG-16,
#: Inception-v3, MobileNetV2.
ZOO = {
    ("kv260", 1, "resnet50"): (84.44, 87.96),
    ("zcu102", 3, "resnet50"): (77.58, 173.16),
    ("kv260", 1, "vgg16"): (21.5, 21.72),
    ("zcu102", 3, "vgg16"): (20.15, 40.94),
    ("kv260", 1, "inception_v3"): (64.03, 67.46),
    ("zcu102", 3, "inception_v3"): (59.83, 136.02),
    ("kv260", 1, "mobilenet_v2"): (290.62, 336.82),
    ("zcu102", 3, "mobilenet_v2"): (268.07, 707.03),
}


@pytest.mark.parametrize(("board", "cores", "net"), list(ZOO))
def test_rates_of_boards(board: str, cores: int, net: str) -> None:
    one, several = ZOO[board, cores, net]
    device = hardware(board)
    found = predict(find(net, {}), device, precision="int8", runtime="vitis_ai")
    assert found.latency_s == pytest.approx(1.0 / one, rel=0.10)
    found = predict(
        find(net, {"batch": cores}), device, precision="int8", runtime="vitis_ai_threads"
    )
    assert found.latency_s == pytest.approx(cores / several, rel=0.17)


def test_one_core_more_does_not_fit_a_small_part() -> None:
    """An Ultra96 (360 DSP slices) holds one B1600 (312), not two."""
    machine = hardware("ultra96_dpu").machine()
    net = find("resnet18", {})
    assert predict(net, machine, precision="int8").feasible
    two = predict(net, machine.vary({"engines.dpu.units": 2.0}), precision="int8")
    assert not two.feasible
    assert "DSP" in two.violations[0].message
