"""The kind `mcu`: conformance, cores counted from instructions, clusters, soft float, supply."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.kinds.mcu.cores import tile_clocks
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

ENGINE = "engines.cpu."


class _Conformance(KindConformance):
    def precision(self) -> str | None:
        return "int8"

    def workloads(self) -> Sequence[Workload]:
        return [find("mlperf_tiny_vww", {}), find("mlperf_tiny_ad", {})]

    def rates(self) -> Sequence[str]:
        return [ENGINE + name for name in ("simd_macs", "issue")]

    def delays(self) -> Sequence[str]:
        return [ENGINE + name for name in ("load_clocks", "fork_clocks")]

    def test_units_are_si(self) -> None:
        """Clocks are neither seconds nor rates: ten times the clock is ten times the rates."""
        machine = self._machine()
        changes = {ENGINE + "clock": machine.facts[ENGINE + "clock"] * 10.0}
        for path, value in machine.facts.items():
            if path.endswith(".bandwidth") or ".peaks." in path or ".vector_peaks." in path:
                changes[path] = value * 10.0
        for workload in self.workloads():
            slow = self._predict(workload).latency_s
            fast = self._predict(workload, machine.vary(changes)).latency_s
            np.testing.assert_allclose(fast * 10.0, slow, rtol=1e-9)


class TestCortexM4(_Conformance):
    def device(self) -> Device:
        return hardware("stm32l4r5")


class TestCortexM7(_Conformance):
    def device(self) -> Device:
        return hardware("stm32h743")


class TestGap8(_Conformance):
    def device(self) -> Device:
        return hardware("gap8")


def test_clocks_of_the_inner_loops() -> None:
    """Instructions of a 2 x 2 tile: 21 for sixteen MACs with SMLAD, 15 for four without."""
    assert tile_clocks(2.0, 1.0, 1.0) == pytest.approx(21 / 16)
    assert tile_clocks(1.0, 1.0, 1.0) == pytest.approx(15 / 4)
    assert tile_clocks(1.0, 2.0, 1.0) == pytest.approx(19 / 4)
    assert tile_clocks(4.0, 1.0, 1.0) == pytest.approx(8 / 16)
    assert tile_clocks(2.0, 1.0, 2.0) == pytest.approx(21 / 32)


def test_a_core_without_the_dsp_extension_counted() -> None:
    """The count foretells the Cortex-M0+ to a quarter: 8.5 clocks a MAC of the ResNet measured.

    Bosch HALE 1.0, STM32G0B1 at 64 MHz: 1669 ms; the fitted factor left out of the spec.
    """
    device = hardware("stm32g0b1")
    machine = device.machine("bosch_hale_1_0")
    counted = tile_clocks(
        *(machine.facts[ENGINE + name] for name in ("simd_macs", "load_clocks", "issue"))
    ) / (21 / 16)
    fitted = machine.facts[ENGINE + "relative_conv"]
    assert counted == pytest.approx(fitted, rel=0.25)


@given(st.floats(1.0, 64.0), st.floats(1.0, 64.0), st.floats(0.5, 3.0))
def test_more_lanes_are_never_slower(few: float, many: float, load: float) -> None:
    few, many = sorted((few, many))
    assert tile_clocks(many, load, 1.0) <= tile_clocks(few, load, 1.0) + 1e-12


def test_cores_share_by_amdahl() -> None:
    """Eight cores against one: the published 7.2 to 7.8 of convolutions on GAP8."""
    device = hardware("gap8")
    one = device.machine().vary({ENGINE + "units": 1.0})
    work = find("mlperf_tiny_ic", {})
    alone = predict(work, one, precision="int8").latency_s
    together = predict(work, device, precision="int8").latency_s
    assert 6.5 < alone / together < 8.0


def test_float_in_software_takes_its_clocks() -> None:
    """A MAC is two operations, each of them a call of the compiler's library."""
    device = hardware("gap8")
    machine = device.machine().vary({ENGINE + "units": 1.0})
    work = find("mlperf_tiny_ad", {})
    each = machine.facts[ENGINE + "float_clocks"]
    least = 2.0 * work.macs * each / machine.facts[ENGINE + "clock"]
    found = predict(work, machine, precision="fp32")
    assert found.latency_s > least
    assert found.latency_s == pytest.approx(least, rel=0.1)
    native = predict(work, hardware("pulp_open").vary({ENGINE + "units": 1.0}), precision="fp32")
    assert native.latency_s * 50e6 < found.latency_s * 175e6 / 10.0


@pytest.mark.parametrize(("name", "exponent"), [("stm32l4r5", 1.0), ("stm32l4r5_smps", 0.0)])
def test_energy_goes_with_the_supply(name: str, exponent: float) -> None:
    """Behind a linear regulator energy goes with the supply, behind a switching one not."""
    device = hardware(name)
    base = device.machine().facts[ENGINE + "nominal_supply"]
    work = find("mlperf_tiny_kws", {})
    low = predict(work, device, precision="int8")
    high = predict(
        work,
        device.vary({ENGINE + "nominal_supply": base / 2.0, ENGINE + "supply": base}),
        precision="int8",
    )
    assert high.energy_j == pytest.approx(low.energy_j * 2.0**exponent, rel=1e-9)
    assert high.latency_s == pytest.approx(low.latency_s, rel=1e-12)


def test_energy_of_two_points_of_voltage_and_clock() -> None:
    """NDP9120 from 0.9 V and 30.7 MHz to 1.1 V and 98.7 MHz: 1.36 to 1.41 times the energy.

    Published medians of MLPerf Tiny; the square of the voltage alone gives 1.49, leakage for a
    third of the time the rest.
    """
    device = hardware("ndp9120")
    for name in ("mlperf_tiny_ic", "mlperf_tiny_vww", "mlperf_tiny_kws"):
        points = [
            {ENGINE + "clock": hertz, ENGINE + "supply": volts}
            for hertz, volts in ((30.7e6, 0.9), (98.7e6, 1.1))
        ]
        work = find(name, {})
        low, high = (predict(work, device.vary(p), precision="int8").energy_j for p in points)
        assert 1.34 < high / low < 1.42


def test_weights_of_dense_layers_wait_for_flash() -> None:
    """More wait states slow a fully connected net, not convolutions that use weights again."""
    device = hardware("stm32l4r5")
    slow = device.vary({"memories.flash.bandwidth": 20e6})
    for name, waits in (("mlperf_tiny_ad", True), ("mlperf_tiny_ic", False)):
        work = find(name, {})
        ratio = predict(work, slow, precision="int8").latency_s
        ratio /= predict(work, device, precision="int8").latency_s
        assert (ratio > 1.5) is waits


def test_another_kind_of_engine_is_refused() -> None:
    with pytest.raises(InputError, match="microcontroller"):
        predict(find("mlperf_tiny_ic", {}), hardware("zen4_core"), model="mcu")
