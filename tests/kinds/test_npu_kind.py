"""The kind `npu`: conformance, closed forms, and the policies of weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.kinds.npu.weights import loaded_share
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


class _Vision(KindConformance):
    def precision(self) -> str:
        return "int8"

    def workloads(self) -> list[Workload]:
        return [find("mobilenet_v1", {}), find("resnet18", {})]


class TestStreamedWeights(_Vision):
    def device(self) -> Device:
        return hardware("stm32n6")


class TestContexts(_Vision):
    def device(self) -> Device:
        return hardware("hailo8")


class TestRemainder(_Vision):
    def device(self) -> Device:
        return hardware("edge_tpu")


class TestFunctions(KindConformance):
    def device(self) -> Device:
        return hardware("rk3568")

    def precision(self) -> str:
        return "int8"

    def workloads(self) -> list[Workload]:
        return [find("yolov5n", {}), find("resnet18", {})]


class TestLanguage(KindConformance):
    def device(self) -> Device:
        return hardware("rk3576")

    def precision(self) -> str:
        return "w8a8kv16"

    def workloads(self) -> list[Workload]:
        return [
            find("tinyllama_1_1b", {"phase": "decode", "batch": 1, "context": 160}),
            find("tinyllama_1_1b", {"phase": "prefill", "batch": 1, "prompt": 128}),
        ]


@given(
    st.sampled_from(["streamed", "remainder", "contexts"]),
    st.floats(1.0, 1e9),
    st.floats(0.0, 1e9),
    st.floats(0.0, 1e9),
)
def test_more_room_never_loads_more(policy: str, stored: float, room: float, more: float) -> None:
    less = float(loaded_share(policy, stored, room + more))
    assert 0.0 <= less <= float(loaded_share(policy, stored, room)) <= 1.0
    # What stays is never more than the room: each policy in its own words.
    kept = stored * (1.0 - less)
    assert kept <= room + more + 1e-6 * stored
    if policy == "contexts":
        assert less == float(stored > room + more)


def _on(device: str, name: str, batch: float = 1.0, **options: object) -> Prediction:
    workload = find(name, {}).bind({"batch": batch})
    return predict(workload, hardware(device), precision="int8", **options)  # type: ignore[arg-type]


def test_a_network_that_fits_gains_nothing_from_a_batch() -> None:
    """Hailo's own tables: fps at batches of 1 and 8 are equal where a network fits on chip."""
    machine = hardware("hailo8").machine().vary({"runtime.per_run": 0.0})

    def seconds(name: str, batch: float) -> float:
        found = predict(find(name, {}).bind({"batch": batch}), machine, precision="int8", warm=True)
        return float(found.latency_s) / batch

    # Weights and room of the operators: 11.7 + 0.2 * 30 MB against 40; YOLOv8l has 43.7 M weights.
    # Only the times an operator, microseconds, are shared by the batch.
    assert seconds("resnet18", 8.0) == pytest.approx(seconds("resnet18", 1.0), rel=0.1)
    weights = 43.7e6
    reload = weights / 3.4e9
    gain = seconds("yolov8l", 1.0) - seconds("yolov8l", 8.0)
    assert gain == pytest.approx(7.0 / 8.0 * reload, rel=0.05)


def test_the_first_run_loads_every_weight_and_later_ones_the_remainder() -> None:
    """VGG-16's 138 M weights on an Edge TPU of 8 MiB, 1 MiB of it reserved, behind 500 MB/s."""
    cold, warm = (_on("edge_tpu", "vgg16", warm=warm) for warm in (False, True))
    stays = 7 * 1024.0**2
    table = warm.table
    loaded = float(np.sum(table["count"] * table["loaded_bytes"]))
    assert loaded == pytest.approx(float(warm.weight_bytes) - stays, rel=1e-6)
    share = hardware("edge_tpu").machine().facts["runtime.efficiency.bandwidth"]
    bandwidth = 500e6 * share
    assert float(cold.latency_s - warm.latency_s) == pytest.approx(stays / bandwidth, rel=1e-6)


def test_streamed_weights_add_what_their_memory_takes() -> None:
    """A network with more classes takes its further weights over the flash's 400 MB/s longer.

    The STM32 model zoo's MobileNets that differ in classes alone: 316 to 382 MB/s.
    """
    few, many = (
        predict(
            find("mobilenet_v2", {"classes": classes, "width_multiplier": 0.35}),
            hardware("stm32n6"),
            precision="int8",
        )
        for classes in (101, 1000)
    )
    further = float(many.weight_bytes - few.weight_bytes)
    rate = further / float(many.latency_s - few.latency_s)
    assert 300e6 < rate < 400e6


def test_channels_are_rounded_up_to_the_array() -> None:
    """ResNet-18's first layer has 3 input channels: on 64 rows it takes 64 / 3 of its products."""
    table = _on("edge_tpu", "resnet18").table
    peak = 4e12
    first = 0
    assert table["peak_s"][first] == pytest.approx(
        2 * table["macs"][first] / peak * 64 / 3, rel=1e-9
    )
    # A layer of 512 channels fills the array.
    last = max(i for i, kind in enumerate(table["kind"]) if kind == "conv")
    assert table["peak_s"][last] == pytest.approx(2 * table["macs"][last] / peak, rel=1e-9)


def test_a_function_beside_the_multipliers_takes_its_results_over_its_rate() -> None:
    """YOLOv5s with SiLU against its ReLU twin: the difference is the results over their rate."""
    machine = hardware("rk3588").machine("rknn")
    silu, relu = (
        predict(find(name, {}), machine, precision="int8") for name in ("yolov5s", "yolov5s_relu")
    )
    made = float(np.sum(silu.table["functions_s"] * silu.table["count"]))
    share = machine.facts["runtime.kernels.elementwise.silu.result_share"]
    core = machine.facts["engines.npu.peaks.int8"] / 3
    results = float(
        np.sum((silu.table["results"] * silu.table["count"])[silu.table["functions_s"] > 0])
    )
    assert made == pytest.approx(results / (share * core), rel=1e-9)
    assert float(silu.latency_s - relu.latency_s) == pytest.approx(made, rel=0.02)


def test_a_slow_host_slows_what_it_drives() -> None:
    machine = hardware("rk3576").machine("rkllm")
    step = find("tinyllama_1_1b", {"phase": "decode", "batch": 1, "context": 160})
    fast, slow = (
        predict(step, machine.vary({"engines.npu.host_slowdown": factor}), precision="w8a8kv16")
        for factor in (1.0, 2.0)
    )
    launches = float(np.sum(fast.table["launch_s"] * fast.table["count"]))
    assert launches > 0
    assert float(slow.latency_s - fast.latency_s) >= launches * (1 - 1e-9)


def test_an_engine_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="is no neural processor"):
        predict(find("resnet18", {}), hardware("a100"), model="npu")
