"""The kind `bit_serial` on networks, against the published cycles of BitMoD."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.formats import as_precision, parse_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


class TestBitMod(KindConformance):
    def device(self) -> Device:
        return hardware("bitmod")

    def precision(self) -> str:
        return "w=bitmod4,a=fp16,kv=int8"


class TestAnt(KindConformance):
    def device(self) -> Device:
        return hardware("ant")

    def precision(self) -> str:
        return "w=int4,a=fp16"


def product(outer: int, inner: int, tokens: int) -> Workload:
    g = GraphBuilder("product")
    x = g.input("x", (1, tokens, inner))
    g.output(g.linear(x, outer, bias=False))
    graph = g.build()
    return Workload("product", lambda _: graph, {})


@pytest.mark.parametrize(("outer", "inner", "tokens"), [(4096, 4096, 1), (100, 50, 7), (64, 4, 16)])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_a_product_by_hand(outer: int, inner: int, tokens: int, bits: int) -> None:
    """Cycles and bytes of one product, written out."""
    found = predict(
        product(outer, inner, tokens), hardware("bitmod"), precision=f"w=int{bits},a=fp16"
    )
    steps = min(-(-outer // (64 // f)) * -(-tokens // (16 * f)) * -(-inner // 4) for f in (1, 2))
    clocks = steps * -(-bits // 2)
    moved = outer * inner * bits / 8 + 2 * tokens * (inner + outer)
    assert float(found.table["cycles"][0]) == clocks
    assert float(found.table["dram_bytes"][0]) == pytest.approx(moved, rel=1e-12)
    assert float(found.table["row_s"][0]) == pytest.approx(max(clocks / 1e9, moved / 32e9))


def test_more_bits_never_take_less_time() -> None:
    """An array of bits in one call, of a prompt (bound by the array) and a token (by DRAM)."""
    bits = np.arange(1.0, 17.0)
    precision = as_precision("w=int8,a=fp16").with_bits(weights=bits)
    for phase, size in (("prefill", {"prompt": 512}), ("decode", {"context": 512})):
        net = find("tinyllama_1_1b", {"phase": phase, "batch": 1, **size})
        seconds = predict(net, hardware("bitmod"), precision=precision).latency_s
        assert seconds.shape == bits.shape
        assert np.all(np.diff(seconds) >= -1e-12 * seconds[0])
        assert seconds[-1] > 1.5 * seconds[2]
        alone = predict(net, hardware("bitmod"), precision="w=int3,a=fp16").latency_s
        assert seconds[2] == pytest.approx(alone, rel=1e-12)


def test_terms_skipped_save_time_and_no_more_than_all() -> None:
    net = find("tinyllama_1_1b", {"phase": "prefill", "batch": 1, "prompt": 512})
    device = hardware("bitmod")
    array = device.engines[0]
    quantity = type(array.group)
    skipping = device.model_copy(
        update={"engines": (array.model_copy(update={"term_density": quantity(value=0.4)}),)}
    )
    path = "engines.array.term_density"
    varied = skipping.machine().vary({path: np.array([0.2, 0.4, 0.7, 1.0])})
    seconds = predict(net, varied, precision="w=int8,a=fp16").latency_s
    assert np.all(np.diff(seconds) > 0)
    whole = predict(net, device, precision="w=int8,a=fp16").latency_s
    assert seconds[-1] == pytest.approx(whole, rel=1e-9)


def test_relaxed_is_below_and_slopes_are_there() -> None:
    net = find("llama_3_8b", {"phase": "prefill", "batch": 1, "prompt": 200})
    stairs = predict(net, hardware("bitmod"), precision="w=int5,a=fp16").latency_s
    smooth = predict(net, hardware("bitmod"), precision="w=int5,a=fp16", relaxed=True).latency_s
    assert 0.7 * stairs < smooth <= stairs


def test_slopes_are_finite_differences(doubles: Any) -> None:
    for phase, sizes in (("prefill", {"prompt": 512}), ("decode", {"context": 512})):
        net = find("tinyllama_1_1b", {"phase": phase, "batch": 1, **sizes})

        def latency(bits, net=net):
            precision = parse_precision("w=int8,a=fp16").with_bits(weights=bits)
            return predict(net, hardware("bitmod"), precision=precision, relaxed=True).latency_s

        step = 1e-6
        difference = (float(latency(5.3 + step)) - float(latency(5.3 - step))) / (2 * step)
        slope = float(doubles.jit(doubles.grad(latency))(5.3))
        assert slope > 0
        assert slope == pytest.approx(difference, rel=1e-4)


def test_another_kind_of_engine_is_refused() -> None:
    with pytest.raises(InputError, match="no bit-serial array"):
        predict(find("resnet18", {}), hardware("a100"), model="bit_serial")
