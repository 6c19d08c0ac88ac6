"""Machines: facts by path, provenance, and variation by numbers, arrays, texts and tracers."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.engine import Engine, Peak, register_engine
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.memory import Memory
from perfmodel.hardware.quantity import Quantity, Rate
from perfmodel.hardware.runtime import Runtime

Load = Callable[..., Device]


@pytest.fixture
def machine(card: Device, bare: Runtime) -> Machine:
    return Machine(card, bare)


def test_facts_are_si_by_path(machine: Machine) -> None:
    wanted = {
        "area": 826e-6,
        "price": 15000.0,
        "engines.tensor.clock": 1e9,
        "engines.tensor.units": 100.0,
        "engines.tensor.peaks.fp16": 300e12,
        "engines.tensor.peaks.int8": 600e12,  # given as the 2:4 figure
        "engines.tensor.vector_peaks.fp32": 20e12,
        "engines.tensor.energy_per_op.fp16": 0.3e-12,
        "engines.tensor.launch_overhead": 0.0,
        "engines.tensor.sparse_speedup.2:4": 2.0,
        "engines.host.units": 1.0,
        "memories.cache.capacity": 40 * 2.0**20,
        "memories.cache.bandwidth": 5000e9,
        "memories.cache.sustained_fraction": 1.0,
        "memories.hbm.bandwidth": 2e12,
        "memories.hbm.sustained_fraction": 0.75,
        "memories.hbm.reserved": 1e9,
        "memories.hbm.latency": 400e-9,
        "memories.hbm.energy_per_byte": 31e-12,
        "links.nvlink.bandwidth": 600e9,
        "power.idle": 50.0,
        "power.busy": 400.0,
        "runtime.per_run": 0.0,
        "runtime.pnorm": 4.0,
    }
    assert {path: machine.facts[path] for path in wanted} == wanted
    assert "memories.cache.energy_per_byte" not in machine.facts
    assert "memories.cache.energy_per_byte" in machine.paths


def test_a_peak_at_another_clock_is_brought_to_the_engine_s(load: Load, spec: str) -> None:
    text = spec.replace("sparsity: dense}", 'sparsity: dense, clock: "1.5 GHz"}')
    assert Machine(load(text), Runtime(name="bare"))["engines.tensor.peaks.fp16"] == 200e12


def test_roles_are_aliases(machine: Machine) -> None:
    assert machine["memories.main.bandwidth"] == machine.facts["memories.hbm.bandwidth"]
    assert machine["engines.main.clock"] == 1e9
    assert machine.get("memories.main.energy") is None
    assert machine.get("memories.main.energy", 1.5) == 1.5
    assert "memories.main.capacity" in machine
    assert machine.resolve("memories.main.capacity") == "memories.hbm.capacity"
    assert machine.dimension("memories.main.capacity") == "bytes"
    assert machine.dimension("memories.main.speed") == ""
    assert (machine.engine, machine.main_memory) == ("tensor", "hbm")
    assert [m.name for m in machine.hierarchy()] == ["cache", "hbm"]


def test_a_missing_fact_says_so(machine: Machine) -> None:
    with pytest.raises(InputError, match="card does not state this number"):
        machine["memories.cache.energy_per_byte"]
    with pytest.raises(InputError, match=r"did you mean 'memories.main.bandwidth'"):
        machine["memories.main.bandwith"]


def test_provenance_falls_back_from_number_to_entry_to_device(machine: Machine) -> None:
    found = machine.provenance
    assert found["memories.hbm.bandwidth"].source == "sheet"
    assert found["memories.hbm.bandwidth"].confidence == "datasheet"
    assert found["memories.hbm.sustained_fraction"].source == "shop"
    assert found["memories.hbm.sustained_fraction"].confidence == "measured"
    assert found["engines.host.clock"].source == "sheet"
    assert found["engines.host.clock"].confidence == "estimated"
    assert found["engines.tensor.clock"].writer == "device card"
    assert found["memories.cache.latency"].writer == "default"


def test_vary_takes_numbers_texts_lists_arrays(machine: Machine) -> None:
    varied = machine.vary(
        {
            "memories.main.bandwidth": "25 GB/s",
            "memories.main.capacity": np.array([1e9, 2e9]),
            "memories.main.latency": ["1 us", 2e-6],
            "power.idle": 3,
            "memories.cache.energy_per_byte": Quantity(value=1e-12),
            "power.busy": np.int64(500),
        }
    )
    assert varied["memories.hbm.bandwidth"] == 25e9
    np.testing.assert_array_equal(varied["memories.hbm.capacity"], [1e9, 2e9])
    np.testing.assert_array_equal(varied["memories.hbm.latency"], [1e-6, 2e-6])
    assert varied["power.idle"] == 3.0
    assert isinstance(varied["power.busy"], float)
    assert varied["memories.cache.energy_per_byte"] == 1e-12
    assert varied.provenance["memories.hbm.bandwidth"].writer == "vary"
    assert machine["memories.hbm.bandwidth"] == 2e12, "the machine varied from is unchanged"
    assert set(varied.varied) >= {"memories.hbm.bandwidth", "power.idle"}
    assert machine.vary({}) is machine


def test_a_clock_takes_peaks_and_clocked_bandwidths_with_it(machine: Machine) -> None:
    varied = machine.vary({"engines.main.clock": "500 MHz"})
    assert varied["engines.tensor.peaks.fp16"] == 150e12
    assert varied["engines.tensor.vector_peaks.fp32"] == 10e12
    assert varied["memories.cache.bandwidth"] == 2500e9
    assert varied["memories.hbm.bandwidth"] == 2e12
    assert varied["engines.host.peaks.fp32"] == 1e12
    assert "in proportion" in varied.provenance["engines.tensor.peaks.fp16"].writer
    assert varied.provenance["engines.tensor.peaks.fp16"].source == "sheet"


def test_units_take_peaks_with_them_unless_varied_themselves(machine: Machine) -> None:
    varied = machine.vary(
        {"engines.tensor.units": [50, 200], "engines.tensor.peaks.int8": 1e12}
    ).vary({"engines.tensor.clock": 2e9})
    np.testing.assert_array_equal(varied["engines.tensor.peaks.fp16"], [300e12, 1200e12])
    assert varied["engines.tensor.peaks.int8"] == 1e12


@given(st.permutations(["engines.tensor.clock", "engines.tensor.units", "memories.main.latency"]))
def test_the_order_of_variations_is_of_no_consequence(order: list[str]) -> None:
    values = {
        "engines.tensor.clock": 3e9,
        "engines.tensor.units": 7.0,
        "memories.main.latency": 1e-6,
    }
    machine = small()
    stepwise = machine
    for path in order:
        stepwise = stepwise.vary({path: values[path]})
    assert stepwise.facts == machine.vary(values).facts


def small() -> Machine:
    engine = Engine(
        name="tensor",
        clock=Quantity(value=1e9),
        units=Quantity(value=2.0),
        peaks={"fp16": Peak(value=1e12)},
    )
    memory = Memory(
        name="dram",
        kind="dram",
        capacity=Quantity(value=1e9),
        bandwidth=Rate(value=1e10),
        feeds=("tensor",),
    )
    device = Device(name="small", engines=(engine,), memories=(memory,))
    return Machine(device, Runtime(name="bare"))


def test_tracers_are_kept_as_they_are(machine: Machine) -> None:
    class Tracer:
        shape, dtype = (), "float32"

        def __truediv__(self, other: float) -> str:
            return f"ratio to {other}"

    tracer = Tracer()
    varied = machine.vary({"memories.main.bandwidth": tracer})
    assert varied["memories.main.bandwidth"] is tracer


def test_gradients_flow_through_a_varied_clock(machine: Machine) -> None:
    jax = pytest.importorskip("jax")

    def peak(clock: object) -> object:
        return machine.vary({"engines.tensor.clock": clock})["engines.tensor.peaks.fp16"]

    assert float(jax.grad(peak)(1e9)) == pytest.approx(300e3)


def test_every_unknown_path_is_reported(machine: Machine) -> None:
    changes = {"memories.main.bandwith": 1.0, "engine.tensor.clock": 1.0, "power.busy": "3 GB"}
    with pytest.raises(InputError) as caught:
        machine.vary(changes)
    assert [str(fault) for fault in caught.value.faults] == [
        "memories.main.bandwith: no such fact; did you mean 'memories.main.bandwidth'?",
        "engine.tensor.clock: no such fact; did you mean 'engines.tensor.clock'?",
        (
            "power.busy: '3 GB' is a size, not a power; expected a power with its unit, such as "
            '"400 W"'
        ),
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("memories.main", "expected one of memories.main.capacity, memories.main.reserved"),
        ("memories.zzz.bandwidth", "expected one of memories.cache, memories.hbm"),
        (
            "foo",
            "of area, price, volume, engines, memories, links, power, site, use, runtime",
        ),
        ("memories.main.bandwidth.x", "did you mean 'memories.main.bandwidth'?"),
        ("engines.main.peaks.fp61", "did you mean 'engines.main.peaks.fp16'?"),
        ("runtime.efficiency.conf", "did you mean 'runtime.efficiency.conv'?"),
    ],
)
def test_unknown_paths_are_mended_part_by_part(machine: Machine, path: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        machine.vary({path: 1.0})
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        ("memories.main.bandwidth", 0, "0 B/s is zero; expected a bandwidth above zero"),
        ("memories.main.bandwidth", [1e9, -1.0], "-1 B/s is negative"),
        ("memories.main.bandwidth", np.array([1.0, np.nan]), "is not finite"),
        ("memories.main.bandwidth", 1e19, "10 EB/s is absurd; expected at most 1 EB/s"),
        ("memories.main.bandwidth", True, "a bool is not a bandwidth"),
        ("memories.main.bandwidth", None, "a NoneType is not a bandwidth"),
        ("memories.main.bandwidth", np.array(["a"]), "a ndarray is not a bandwidth"),
        ("memories.main.latency", -1e-9, "-1 ns is negative; expected a time of zero or more"),
    ],
)
def test_values_out_of_range(machine: Machine, path: str, value: object, part: str) -> None:
    with pytest.raises(InputError) as caught:
        machine.vary({path: value})
    assert part in str(caught.value)


def test_zero_is_fine_where_it_makes_sense(machine: Machine) -> None:
    assert machine.vary({"memories.main.latency": 0})["memories.main.latency"] == 0.0


def test_a_calibration_overlay_lies_below_vary(card: Device, bare: Runtime) -> None:
    overlay = {
        "engines.main.peaks.fp16": Quantity(value=200e12, fitted_on="rows"),
        "runtime.efficiency.gemm": 0.9,
    }
    machine = Machine(card, bare, overlay)
    assert machine["engines.tensor.peaks.fp16"] == 200e12
    origin = machine.provenance["engines.tensor.peaks.fp16"]
    assert (origin.writer, origin.confidence, origin.fitted_on) == ("calibration", "fitted", "rows")
    assert machine.vary({"engines.tensor.clock": 2e9})["engines.tensor.peaks.fp16"] == 400e12
    assert Machine(card, bare)["engines.tensor.peaks.fp16"] == 300e12


def test_the_runtime_chooses_the_engine(card: Device) -> None:
    assert Machine(card, Runtime(name="r", engine="host")).engine == "host"
    machine = Machine(card, Runtime(name="r", engine="cpu"))
    assert machine["engines.main.clock"] == 3e9
    assert [m.name for m in machine.hierarchy()] == ["hbm"]
    with pytest.raises(InputError, match=r"drives an engine 'npu'.*expected one of tensor \(gpu\)"):
        Machine(card, Runtime(name="r", engine="npu"))


def test_runtime_numbers_are_facts_with_their_own_provenance(card: Device) -> None:
    runtime = Runtime.model_validate(
        {
            "name": "r",
            "sources": {"fit": "A fit"},
            "source": "fit",
            "confidence": "fitted",
            "per_run": "5 us",
            "draw_bytes_per_clock_per_unit": {"value": 13.3, "fitted_on": "45 rows"},
            "efficiency": {"gemm": 0.9, "gemm.q4_0": {"value": 0.65, "confidence": "estimated"}},
        }
    )
    machine = Machine(card, runtime)
    assert machine["runtime.per_run"] == pytest.approx(5e-6)
    assert machine["runtime.efficiency.gemm.q4_0"] == 0.65
    assert machine.provenance["runtime.efficiency.gemm.q4_0"].confidence == "estimated"
    assert machine.provenance["runtime.efficiency.gemm"].source == "fit"
    assert machine.provenance["runtime.draw_bytes_per_clock_per_unit"].fitted_on == "45 rows"
    assert machine.provenance["runtime.pnorm"].writer == "default"
    assert machine.get("runtime.efficiency.conv", 1.0) == 1.0
    assert machine.vary({"runtime.efficiency.conv": 0.5})["runtime.efficiency.conv"] == 0.5


class Array(Engine):
    """A kind with a plain number and a quantity of its own."""

    rows: int


def test_numbers_of_a_kind_s_own_class_can_be_varied(load: Load, spec: str, bare: Runtime) -> None:
    register_engine("test_array", Array)
    text = spec.replace("    kind: roofline\n", "    kind: test_array\n    rows: 128\n")
    machine = Machine(load(text), bare)
    assert machine["engines.tensor.rows"] == 128.0
    assert machine.vary({"engines.tensor.rows": [64, 32]})["engines.tensor.rows"].tolist() == [
        64.0,
        32.0,
    ]


def test_machines_of_one_pair_share_their_facts(card: Device, bare: Runtime) -> None:
    assert Machine(card, bare).facts is Machine(card, bare).facts


def test_machines_pickle(card: Device, bare: Runtime) -> None:
    machine = Machine(card, bare, {"power.busy": 300}).vary({"engines.tensor.clock": [1e9, 2e9]})
    again = pickle.loads(pickle.dumps(machine))
    assert again.device == card
    assert again["power.busy"] == 300.0
    np.testing.assert_array_equal(again["engines.tensor.peaks.fp16"], [300e12, 600e12])
    assert repr(again) == repr(machine)
    assert "engines.tensor.clock" in repr(again)
