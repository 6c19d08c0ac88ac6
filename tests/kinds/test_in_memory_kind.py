"""The kind `in_memory` on networks: laws of a kind, and of arrays that hold weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.formats import parse_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find

_DELAYS = (
    "read_time",
    "pulse_time",
    "conversion_time",
    "conversion_bit_time",
    "adder_time",
    "write_time",
)


class TestIsaac(KindConformance):
    def device(self) -> Device:
        return hardware("isaac")

    def delays(self) -> Sequence[str]:
        return [f"engines.arrays.{name}" for name in _DELAYS]


class TestNeurram(TestIsaac):
    """Too few arrays for any of the networks: written layer by layer, in rounds."""

    def device(self) -> Device:
        return hardware("neurram")

    def precision(self) -> str:
        return "w=int4,a=int8"


class TestDigital(TestIsaac):
    def device(self) -> Device:
        return hardware("cim_colonnade_65nm")


def test_weights_that_fit_stay() -> None:
    """ResNet-18 fits ISAAC: no weight crosses, no row is written; arrays by its shapes."""
    net = find("resnet18", {"batch": 1})
    machine = hardware("isaac").machine()
    found = predict(net, machine, precision="int16")
    table = found.table
    assert float(np.sum(table["written_rows"])) == 0
    # 128 x 16 weights of 16 bits an array; kernels as rows, channels out as columns.
    first = int(np.argmax(np.asarray(table["arrays"]) > 0))
    assert table["arrays"][first] == np.ceil(3 * 49 / 128) * np.ceil(64 / 16)
    used = float(np.sum(table["count"] * table["arrays"] * table["copies"]))
    assert used <= machine.facts["engines.arrays.units"]
    weights = found.peak_memory_bytes
    assert found.traffic_bytes["host"] < weights
    few = predict(net, machine.vary({"engines.arrays.units": 96}), precision="int16")
    assert float(np.sum(few.table["written_rows"])) > 0
    assert few.traffic_bytes["host"] > found.traffic_bytes["host"] + 0.9 * 2 * 11e6
    assert few.latency_s > found.latency_s


@pytest.mark.parametrize("name", ["isaac", "neurram", "cim_wang_22nm"])
def test_more_arrays_are_never_slower(name: str) -> None:
    machine = hardware(name).machine()
    units = np.unique(np.round(np.geomspace(1, 40_000, 60)))
    found = predict(
        find("mobilenet_v2", {}), machine.vary({"engines.arrays.units": units}), precision="int8"
    )
    assert np.all(np.diff(found.latency_s) <= 1e-12 * found.latency_s[0])


def test_energy_follows_the_data() -> None:
    """Fewer spikes or ones: less energy in a straight line, the same time."""
    machine = hardware("cim_sinangil_7nm").machine()
    rates = np.array([0.0, 0.25, 0.5, 1.0])
    net = find("mlperf_tiny_ad", {})
    found = predict(net, machine.vary({"engines.arrays.input_density": rates}), precision="int4")
    np.testing.assert_allclose(found.latency_s, found.latency_s[0], rtol=1e-12)
    rise = np.diff(found.energy_j) / np.diff(rates)
    assert np.all(rise > 0)
    np.testing.assert_allclose(rise, rise[0], rtol=1e-9)
    sparse = predict(net, machine, precision="int4+s0.5")
    assert sparse.energy_j < predict(net, machine, precision="int4").energy_j


def test_array_size_bits_of_cells_and_converters_are_axes() -> None:
    """One call over three axes gives what single calls give."""
    machine = hardware("isaac").machine()
    rows, adc, cell = np.array([64, 128, 256.0]), np.array([4, 6, 8.0]), np.array([1, 2, 4.0])
    head = "engines.arrays."
    varied = machine.vary(
        {
            head + "rows": rows[:, None, None],
            head + "adc_bits": adc[:, None],
            head + "cell_bits": cell,
        }
    )
    net = find("resnet18", {})
    found = predict(net, varied, precision="int8")
    assert found.latency_s.shape == (3, 3, 3)
    one = machine.vary({head + "rows": 256, head + "adc_bits": 4, head + "cell_bits": 1})
    alone = predict(net, one, precision="int8")
    np.testing.assert_allclose(found.latency_s[2, 0, 0], alone.latency_s, rtol=1e-12)
    np.testing.assert_allclose(found.energy_j[2, 0, 0], alone.energy_j, rtol=1e-12)
    # Each further bit of a converter doubles its levels; each further bit of a cell spares columns.
    assert np.all(np.diff(found.energy_j, axis=1) > 0)
    assert np.all(np.diff(found.latency_s, axis=2) <= 1e-12 * found.latency_s[..., :1])
    bits = parse_precision("int8").with_bits(weights=np.array([2.0, 4.0, 8.0]), activations=8.0)
    swept = predict(net, machine, precision=bits)
    assert np.all(np.diff(swept.latency_s) >= -1e-12 * swept.latency_s[:1])
    assert np.all(np.diff(swept.energy_j) > 0)


def test_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="does not compute in memory"):
        predict(find("resnet18", {}), hardware("h100"), model="in_memory")


def test_spikes_cost_energy_and_no_time() -> None:
    """A reservoir's array holds all its rows, whoever fires; its cells work as often as they do."""
    rates = np.array([0.0, 0.05, 0.1, 0.5, 1.0])
    net = find("lsm_n_mnist", {"spike_rate": rates, "input_rate": rates})
    found = predict(net, hardware("isaac"), precision="int8")
    np.testing.assert_allclose(found.latency_s, found.latency_s[-1], rtol=0.02)
    tables = [
        predict(
            find("lsm_n_mnist", {"spike_rate": r, "input_rate": r}),
            hardware("isaac"),
            precision="int8",
        ).table
        for r in rates
    ]
    assert {float(t["arrays"][0]) for t in tables} == {np.ceil(456 / 128) * np.ceil(200 / 32)}
    cells = np.array([float(t["cells energy_j"][0]) for t in tables])
    np.testing.assert_allclose(cells, cells[-1] * rates, rtol=1e-4, atol=1e-18)
    # Who drives the layer makes no difference to an array.
    both = {"spike_rate": rates, "input_rate": rates, "execution": "clocked"}
    clocked = predict(find("lsm_n_mnist", both), hardware("isaac"), precision="int8")
    assert found.energy_j[-1] == pytest.approx(clocked.energy_j[-1], rel=1e-9)
    np.testing.assert_allclose(clocked.energy_j, found.energy_j, rtol=0.01)
    assert np.all(np.diff(found.energy_j) > 0)


def test_a_cell_that_takes_rounds_is_written_in_every_step() -> None:
    """2,240 inputs by 2,048 neurons of 4 bits: 144 arrays of NeuRRAM; it has 48."""
    net = find("lsm_eeg", {"steps": 10})
    machine = hardware("neurram").machine()
    few = predict(net, machine, precision="w=int4,a=int4").table
    assert few["arrays"][0] == np.ceil(2240 / 128) * np.ceil(2048 / 256)
    assert few["written_rows"][0] == 10 * 3 * 256
    many = machine.vary({"engines.arrays.units": 400})
    assert predict(net, many, precision="w=int4,a=int4").table["written_rows"][0] == 0


def test_plots_draw_what_runs_beside_the_arrays() -> None:
    net = find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 512})
    found = predict(net, hardware("isaac"), precision="int8")
    assert "int8" in found.plot.roofline().layout.meta["alt"]
    assert "converters" in found.plot.energy_stack().layout.meta["alt"]
