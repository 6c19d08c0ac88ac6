"""The kind `lookup_table` on networks, against TeLLMe's published figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.formats import as_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find

PRECISION = "w=ternary_head_int8,a=int8,kv=fp16"


class TestTellMe(KindConformance):
    def device(self) -> Device:
        return hardware("tellme")

    def precision(self) -> str:
        return "w=ternary,a=int8,kv=fp16"

    def rates(self) -> tuple[str, ...]:
        return ("runtime.efficiency.bandwidth",)

    def delays(self) -> tuple[str, ...]:
        return ("engines.tables.build",)

    def test_units_are_si(self) -> None:
        """Bandwidth and clock tenfold, and the peaks that the clock does not scale: a tenth."""
        machine = self._machine()
        changes = {
            path: 10 * value
            for path, value in machine.facts.items()
            if path.endswith((".clock", "dram.bandwidth")) or "peaks." in path
        }
        for workload in self.workloads():
            slow = self._predict(workload).latency_s
            fast = self._predict(workload, machine.vary(changes)).latency_s
            np.testing.assert_allclose(fast * 10, slow, rtol=1e-9)


def bit_planes() -> Device:
    """TeLLMe's fabric with tables of bit planes."""
    device = hardware("tellme")
    engine = device.engines[0].model_copy(update={"takes": "bit_planes"})
    return device.model_copy(update={"engines": (engine,)})


class TestBitPlanes(KindConformance):
    def device(self) -> Device:
        return bit_planes()

    def precision(self) -> str:
        return "w=int3,a=int8,kv=fp16"

    def test_units_are_si(self) -> None:
        TestTellMe.test_units_are_si(self)  # pyright: ignore[reportArgumentType]


def step(phase: str, size: int, precision: str = PRECISION) -> Prediction:
    sizes = {"prompt": size} if phase == "prefill" else {"context": size}
    net = find("bitnet_b1_58_large", {"phase": phase, "batch": 1, **sizes})
    return predict(net, hardware("tellme"), precision=precision)


def test_prompts_follow_from_the_token() -> None:
    """One constant, declared on 25 tokens/s; first tokens of 0.45 and 0.96 s within 10 %."""
    assert float(step("decode", 64).tokens_per_s) == pytest.approx(25.0, rel=0.01)
    assert float(step("prefill", 64).latency_s) == pytest.approx(0.45, rel=0.10)
    assert float(step("prefill", 128).latency_s) == pytest.approx(0.96, rel=0.10)


def test_rows_by_hand() -> None:
    """A matrix of 1536 x 4096: 19 sets of 84, 683 reads; 19 x 4096 vectors, five in 96 bytes."""
    table = step("decode", 64).table
    row = [str(n) for n in table["name"]].index("layer.ffn_up")
    assert float(table["cycles"][row]) == 19 * 683
    assert float(table["index_bytes"][row]) == -(-19 * 4096 // 5) * 96
    assert float(table["look_ups"][row]) == 512 * 4096
    assert float(table["tables_built"][row]) == 512
    seconds = float(table["weights_s"][row]) + 19 * 683 / 250e6
    assert float(table["row_s"][row]) == pytest.approx(seconds, rel=1e-12)
    head = [str(n) for n in table["name"]].index("head")
    assert float(table["row_s"][head]) == pytest.approx(2 * 1536 * 32002 / 10.9e9, rel=1e-12)


def test_what_the_design_takes() -> None:
    """98,303 LUT, 610 DSP and 48 UltraRAM for weights, as published; twice the reads do not fit."""
    found = step("decode", 64)
    assert float(found.resources["lut"]["used"]) == pytest.approx(98303, rel=1e-3)
    assert float(found.resources["uram"]["used"]) == 48
    assert found.feasible
    machine = hardware("tellme").machine().vary({"engines.tables.reads": np.array([6.0, 12.0])})
    net = find("bitnet_b1_58_large", {"phase": "decode", "batch": 1, "context": 64})
    wider = predict(net, machine, precision=PRECISION)
    assert wider.feasible.tolist() == [True, False]
    # 56 tables have indices of 280 bits: four blocks side by side, half as deep.
    more = hardware("tellme").machine().vary({"engines.tables.tables": 56})
    assert float(predict(net, more, precision=PRECISION).resources["uram"]["used"]) == 48


def test_planes_take_time_with_the_bits() -> None:
    """Of prompts, which the tables bind; bits as an array, whole ones as by themselves."""
    net = find("bitnet_b1_58_large", {"phase": "prefill", "batch": 1, "prompt": 64})
    bits = np.array([1.0, 2.0, 3.0, 4.0, 8.0])
    precision = as_precision("w=int4,a=int8,kv=fp16").with_bits(weights=bits)
    found = predict(net, bit_planes(), precision=precision)
    assert np.all(np.diff(found.latency_s) > 0)
    passes = found.table
    row = [str(n) for n in passes["name"]].index("layer.ffn_up")
    assert float(np.asarray(passes["passes"])[row].reshape(-1)[0]) == 1.0
    alone = predict(net, bit_planes(), precision="w=int3,a=int8,kv=fp16").latency_s
    assert found.latency_s[2] == pytest.approx(float(alone), rel=1e-12)


def test_double_buffers_never_cost_time() -> None:
    device = hardware("tellme")
    engine = device.engines[0].model_copy(update={"double_buffered": True})
    both = device.model_copy(update={"engines": (engine,)})
    for phase, size in (("decode", {"context": 64}), ("prefill", {"prompt": 64})):
        net = find("bitnet_b1_58_large", {"phase": phase, "batch": 1, **size})
        one, two = (float(predict(net, d, precision=PRECISION).latency_s) for d in (device, both))
        assert two < one


def test_another_kind_of_engine_is_refused() -> None:
    with pytest.raises(InputError, match="no tables"):
        predict(find("resnet18", {}), hardware("a100"), model="lookup_table")


def test_relaxed_is_below_and_slopes_are_there(doubles: Any) -> None:
    """Without ceilings; slopes in attention's rate and the bandwidth are finite differences."""
    net = find("bitnet_b1_58_large", {"phase": "prefill", "batch": 1, "prompt": 64})
    machine = hardware("tellme").machine()

    def latency(path: str, value: object) -> object:
        varied = machine.vary({path: value})
        return predict(net, varied, precision=PRECISION, relaxed=True).latency_s

    whole = float(predict(net, machine, precision=PRECISION).latency_s)
    for path in ("engines.tables.attention_macs", "runtime.efficiency.bandwidth"):
        at = float(machine[path])
        assert 0.9 * whole < float(latency(path, at)) <= whole  # pyright: ignore[reportArgumentType]
        step = 1e-5 * at
        ends = [float(latency(path, at + s)) for s in (step, -step)]  # pyright: ignore[reportArgumentType]
        slope = float(doubles.jit(doubles.grad(lambda v, p=path: latency(p, v)))(at))
        assert slope < 0
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4)
