"""The kind `hardwired`: laws of a kind and of a pipeline, and published shares of its time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.kinds.hardwired import hardwired_size
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

PRECISION = "w=fp4,a=fp16,kv=fp8_e4m3"
_HEAD = "engines.chips."


class TestHnlpu(KindConformance):
    def device(self) -> Device:
        return hardware("hnlpu")

    def precision(self) -> str:
        return PRECISION

    def workloads(self) -> Sequence[Workload]:
        return [
            find("gpt_oss_120b", {"phase": "decode", "batch": 1, "context": 4096}),
            find("llama_3_8b", {"phase": "decode", "batch": 300, "context": 65536}),
            find("gpt_oss_120b", {"phase": "decode", "batch": 1, "context": 524288}),
            find("resnet18", {}),
        ]

    def rates(self) -> Sequence[str]:
        # Those a clock grow with the clock.
        return [_HEAD + name for name in ("link_bandwidth", "refill_bandwidth")]

    def delays(self) -> Sequence[str]:
        return [_HEAD + name for name in ("collective_latency", "nonlinear_time")]


def decode(context: float, batch: float = 1) -> Prediction:
    net = find("gpt_oss_120b", {"phase": "decode", "batch": batch, "context": context})
    return predict(net, hardware("hnlpu"), precision=PRECISION)


def test_tokens_fill_the_slots_side_by_side() -> None:
    """Up to 216 tokens go through at the latency of one; more wait in proportion."""
    batches = np.array([1, 100, 216, 432, 2160.0])
    found = decode(2048, batches)
    np.testing.assert_allclose(found.latency_s[:3], found.latency_s[0], rtol=1e-12)
    np.testing.assert_allclose(
        found.latency_s[3:], found.latency_s[0] * np.array([2, 10]), rtol=1e-12
    )
    np.testing.assert_allclose(found.tokens_per_s[3:], found.tokens_per_s[2], rtol=1e-12)


def test_a_request_is_its_prompt_and_its_steps() -> None:
    """The time to the first token is the prompt's; a decode step takes what it takes alone."""
    sizes = {"batch": 4, "prompt": 2048}
    request = predict(
        find("gpt_oss_120b", {"phase": "request", "generate": 64, **sizes}),
        hardware("hnlpu"),
        precision=PRECISION,
    )
    prompt = predict(
        find("gpt_oss_120b", {"phase": "prefill", **sizes}), hardware("hnlpu"), precision=PRECISION
    )
    assert request.ttft_s == pytest.approx(prompt.latency_s, rel=0.01)
    # 8,192 tokens over 216 slots.
    assert prompt.latency_s > 30 * decode(2048).latency_s
    assert request.tpot_s == pytest.approx(decode(2080, 4).latency_s, rel=0.02)


@pytest.mark.parametrize("name", ["inputs_per_clock", "cache_elements_per_clock"])
def test_wider_blocks_are_never_slower(name: str) -> None:
    machine = hardware("hnlpu").machine()
    at = machine.facts[_HEAD + name] * np.array([0.5, 1, 2, 8])
    net = find("gpt_oss_120b", {"phase": "decode", "batch": 1, "context": 65536})
    found = predict(net, machine.vary({_HEAD + name: at}), precision=PRECISION)
    assert np.all(np.diff(found.latency_s) < 0)


def test_a_full_batch_at_long_contexts_waits_for_memory() -> None:
    """Keys and values of all sequences cross once a step: never faster than memory gives them."""
    full = decode(131072, 216)
    machine = hardware("hnlpu").machine()
    least = full.traffic_bytes["hbm"] / machine.facts["memories.hbm.bandwidth"]
    assert full.latency_s == pytest.approx(least, rel=1e-9)
    assert full.latency_s > 4 * decode(131072).latency_s


def test_time_is_that_of_layers_by_hand() -> None:
    """36 layers: six collectives, five vectors in, attention over full and sliding windows."""
    context = 8192
    each = 6 * 3.302e-6 + 0.6583e-6 + (720 + 1024 + 720 + 2880 + 2880) / 2.490e9
    moved = 2 * (512 + 4096 + 512 + 2880 + 128 + 5760 + 2880) / 4 / 128e9
    head = 720 / 2.490e9 + 2 * 201088 / 4 / 128e9
    cache = 18 * 2 * 8 * 64 * (context + 128) / (16 * 495e9)
    expected = 36 * (each + moved) + head + cache
    assert decode(context).latency_s == pytest.approx(expected, rel=1e-9)


def test_metal_is_weights_times_bits() -> None:
    net, machine = find("gpt_oss_120b", {}), hardware("hnlpu").machine()
    size = hardwired_size(net, machine, PRECISION)
    assert size.weights + size.looked_up_weights == net.weights
    # The embedding is looked up; norms and biases of matrices are a thousandth.
    assert size.looked_up_weights == pytest.approx(201088 * 2880, rel=0.1)
    assert size.metal_m2 == pytest.approx(size.weights * 4 * 0.01995e-12, rel=1e-2)
    half = hardwired_size(net, machine, "w=int2,a=fp16")
    assert half.metal_m2 == pytest.approx(size.metal_m2 / 2, rel=1e-2)
    # A chip is a reticle at most: the fewest chips that hold the metal beside their other blocks.
    other = size.chip_m2 - size.metal_m2 / 16
    assert size.chips == np.ceil(size.metal_m2 / (858e-6 - other))
    bits = hardwired_size(net, machine.vary({_HEAD + "units": np.array([8, 16, 32])}), PRECISION)
    assert bits.fits.tolist() == [False, True, True]


def test_detail_metal_is_that_of_dense_models() -> None:
    """Row by row the same metal as the whole, where no expert is left out."""
    net = find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 512})
    found = predict(net, hardware("hnlpu"), precision=PRECISION)
    rows = float(np.sum(found.table["count"] * found.table["metal_m2"]))
    size = hardwired_size(find("llama_3_8b", {}), hardware("hnlpu"), PRECISION)
    assert rows == pytest.approx(float(size.metal_m2), rel=1e-3)


def test_another_model_is_another_mask() -> None:
    """What does not fit the metal is said, with the gap."""
    net = find("llama_3_1_405b", {"phase": "decode", "batch": 1, "context": 512})
    found = predict(net, hardware("hnlpu"), precision=PRECISION)
    assert not found.feasible
    assert any("metal" in violation.limit for violation in found.violations)


def test_other_engines_are_refused() -> None:
    with pytest.raises(InputError, match="no weights in its wires"):
        predict(find("resnet18", {}), hardware("h100"), model="hardwired")
    with pytest.raises(InputError, match="no weights in its wires"):
        hardwired_size(find("resnet18", {}), hardware("h100"), "int8")


def test_plots_draw_without_a_memory_that_binds() -> None:
    found = decode(65536, 216)
    assert "stall" in found.plot.bottlenecks().layout.meta["alt"]
    assert "interconnect" in found.plot.energy_stack().layout.meta["alt"]
    assert "bound by stall" in found.plot.roofline().layout.meta["alt"]
