"""The kind `spatial` on whole networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from perfmodel_studies.row_stationary.eyeriss import eyeriss_layers

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


class TestEyeriss(KindConformance):
    def device(self) -> Device:
        return hardware("eyeriss")

    def precision(self) -> str:
        return "int16"


class TestEyeriss256(KindConformance):
    def device(self) -> Device:
        return hardware("eyeriss_256")

    def precision(self) -> str:
        return "int16"

    def workloads(self) -> Sequence[Workload]:
        return [find("mobilenet_v2", {}), find("vit_b_16", {})]

    def batch_slack(self) -> float:
        """Mappings are those of least energy, which may be slow ones."""
        return 0.2


def test_network_is_its_layers() -> None:
    """Dense feature maps: every convolution of AlexNet takes what its layer takes by itself."""
    found = predict(find("alexnet", {"batch": 4}), hardware("eyeriss"), precision="int16")
    by_name = dict(zip(found.table["name"], range(len(found.table["name"])), strict=True))
    for name, layer in eyeriss_layers("alexnet", "chosen").items():
        row = by_name[name.lower()]
        cycles = float(found.table["cycles"][row])
        assert cycles / 200e6 == pytest.approx(layer.processing_s, rel=1e-9)
        words = float(found.table["buffer_words"][row])
        assert 2 * words == pytest.approx(layer.buffer_bytes, rel=1e-9)


def test_published_totals_of_the_convolutions() -> None:
    """AlexNet at batch 4: 103.5 ms of processing, within 10 % with zeros or without."""
    found = predict(find("alexnet", {"batch": 4}), hardware("eyeriss"), precision="int16")
    rows = [i for i, n in enumerate(found.table["name"]) if str(n).startswith("conv")]
    assert float(np.sum(found.table["cycles"][rows])) / 200e6 == pytest.approx(0.1035, rel=0.1)


def test_zeros_save_traffic_and_energy_never_time_of_the_array() -> None:
    machine = hardware("eyeriss").machine()
    zeros = np.array([0.01, 0.2, 0.5, 0.8, 0.99])
    varied = machine.vary({"engines.array.input_zeros": zeros, "engines.array.output_zeros": zeros})
    found = predict(find("alexnet", {"batch": 4}), varied, precision="int16")
    assert np.all(np.diff(found.energy_j) < 0)
    moved = found.traffic_bytes["dram"]
    # A code of 4/3 words a value saves nothing below a quarter.
    assert moved[0] == pytest.approx(moved[1], rel=1e-12)
    assert np.all(np.diff(moved[1:]) < 0)
    each = [
        predict(
            find("alexnet", {"batch": 4}),
            machine.vary({"engines.array.input_zeros": z}),
            precision="int16",
        ).table["cycles"]
        for z in (0.01, 0.99)
    ]
    np.testing.assert_allclose(each[0], each[1], rtol=1e-12)


def test_larger_arrays_and_buffers() -> None:
    """Array-valued geometry in one call equals one device at a time; more of it pays."""
    machine, net = hardware("eyeriss_256").machine(), find("resnet18", {})
    sizes, buffers = np.array([8.0, 16.0, 32.0]), np.array([[32e3], [512e3]])
    varied = machine.vary(
        {
            "engines.array.height": sizes,
            "engines.array.width": sizes,
            "engines.array.buffer": buffers,
        }
    )
    found = predict(net, varied, precision="int16")
    assert found.latency_s.shape == (2, 3)
    one = predict(
        net,
        machine.vary(
            {
                "engines.array.height": 32.0,
                "engines.array.width": 32.0,
                "engines.array.buffer": 512e3,
            }
        ),
        precision="int16",
    )
    np.testing.assert_allclose(found.latency_s[1, 2], one.latency_s, rtol=1e-12)
    assert np.all(found.traffic_bytes["dram"][1] <= found.traffic_bytes["dram"][0])


def test_parts_of_the_energy_by_name() -> None:
    found = pm.predict(find("alexnet", {"batch": 4}), hardware("eyeriss"), precision="int16")
    parts = found.energy.parts
    assert {"scratchpads", "array wires", "global buffer", "clock network"} <= set(parts)
    total = sum(float(v) for v in parts.values())
    assert total == pytest.approx(float(found.energy_j), rel=1e-9)
    assert "operations int16" not in parts


def test_wider_buses_leave_the_products() -> None:
    """With buses that never wait, VGG-16 takes what 168 elements need, and little more."""
    machine = hardware("eyeriss").machine()
    wide = {f"engines.array.{name}_bus": 1e6 for name in ("filter", "input", "sum")}
    net = find("vgg16", {"batch": 3})
    now = predict(net, machine, precision="int16").table
    then = predict(net, machine.vary(wide), precision="int16").table
    rows = [i for i, name in enumerate(now["name"]) if str(name).startswith("conv")]
    least = now["macs"][rows] / 168
    assert np.all(then["cycles"][rows] >= least * (1 - 1e-12))
    assert np.sum(then["cycles"][rows]) < 1.12 * np.sum(least)
    assert np.sum(now["cycles"][rows]) > 1.12 * np.sum(least)


def test_an_array_without_a_clock_is_refused(tmp_path: Path) -> None:
    data = yaml.safe_load(hardware("eyeriss").to_yaml())
    del data["engines"][0]["clock"]
    path = tmp_path / "eyeriss.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(InputError, match="without a clock"):
        hardware(path)


def test_an_engine_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="engine 'gpu' is no row-stationary array"):
        predict(find("resnet18", {}), hardware("h100"), model="spatial")


def test_spec_limits() -> None:
    """A buffer of a byte, a word of a kilobyte, half a bus, more zeros than values: refused."""
    machine = hardware("eyeriss").machine()
    for fact, value in {
        "buffer": "1 B",
        "word": "1 KiB",
        "sum_bus": 2.5,
        "height": 1e9,
        "input_zeros": 1.5,
        "filter_words": 0.0,
    }.items():
        with pytest.raises(InputError, match=f"engines.array.{fact}"):
            machine.vary({f"engines.array.{fact}": value})


def test_a_buffer_below_three_words_is_refused(tmp_path: Path) -> None:
    data = yaml.safe_load(hardware("eyeriss").to_yaml())
    data["engines"][0] |= {"buffer": "100 B", "word": "64 B"}
    path = tmp_path / "eyeriss.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(InputError, match="an input, a filter word and a partial sum"):
        hardware(path)


def test_relaxed_is_smooth_under_a_mapping() -> None:
    """Width moves the seconds at every step, by little but where another mapping takes over."""
    widths = np.linspace(0.8, 1.0, 201)
    net, device = find("resnet18", {}), hardware("eyeriss")
    hard, soft = (
        predict(net.bind({"width_multiplier": widths}), device, precision="int16", relaxed=r)
        for r in (False, True)
    )
    assert soft.latency_s[-1] <= hard.latency_s[-1] * (1 + 1e-9)  # channels are whole there
    steps = np.abs(np.diff(soft.latency_s)) / soft.latency_s[-1]
    assert np.all(steps > 0)
    assert np.quantile(steps, 0.97) < 0.005
    assert np.max(steps) < 0.05
    assert np.mean(np.abs(np.diff(hard.latency_s)) <= 1e-12 * hard.latency_s[-1]) > 0.5
