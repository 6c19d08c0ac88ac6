"""A server under a closed load: Little's law, waiting beyond saturation, and what is counted."""

from __future__ import annotations

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.system.serving import serve
from perfmodel.system.serving.serve import prompts_together

LOADS = np.array([1.0, 2, 7, 72, 276, 277, 278, 300, 2_000, 1_000_000])
PROMPT, GENERATE = 512, 256


@pytest.mark.parametrize("runtime", ["vllm", "sglang", "generic"])
@pytest.mark.parametrize(("tensor", "data"), [(1, 1), (2, 2)])
def test_littles_law_holds_at_every_load(runtime: str, tensor: int, data: int) -> None:
    found = serve(
        "llama_3_8b",
        "h100",
        runtime=runtime,
        prompt=PROMPT,
        generate=GENERATE,
        concurrency=LOADS,
        tensor=tensor,
        data=data,
    )
    residence = found.ttft_s + (GENERATE - 1) * found.tpot_s
    rate = found.tokens_per_s / GENERATE
    # The law itself, of clients and of those that run; sums of a dozen floats.
    assert rate * residence == pytest.approx(LOADS, rel=1e-12)
    assert rate * (residence - found.waiting_s) == pytest.approx(found.served, rel=1e-12)
    assert sum(found.ttft_parts.values()) == pytest.approx(found.ttft_s, rel=1e-12)
    assert np.all(np.diff(found.ttft_s) > -1e-12 * found.ttft_s[1:])
    # One more waits than before wherever there is no place, and nobody before that.
    full = found.running * data < LOADS
    assert full.any()
    assert not full.all()
    assert np.all(found.waiting_s[~full] == 0.0)
    assert np.all(np.diff(found.waiting_s[full]) > 0)
    # A server that is full answers no faster for longer queues.
    assert np.ptp(found.tokens_per_s[full]) <= 1e-12 * found.tokens_per_s[-1]


def test_fewer_clients_than_groups_make_no_more_requests_than_they_are() -> None:
    """One client of four groups of devices has the rate of one client of one group."""
    one = serve("llama_3_8b", "h100", prompt=PROMPT, generate=GENERATE)
    groups = serve("llama_3_8b", "h100", prompt=PROMPT, generate=GENERATE, data=4)
    assert groups.tokens_per_s == pytest.approx(
        GENERATE / (groups.ttft_s + (GENERATE - 1) * groups.tpot_s), rel=1e-12
    )
    assert groups.tokens_per_s <= one.tokens_per_s


def test_a_full_server_says_how_many_run_and_how_long_the_others_wait() -> None:
    full = serve("llama_3_8b", "h100", concurrency=2000)
    told = full.notes[0]
    for part in (
        "2,000",
        f"holds {full.served:,.0f} of",
        f"{2000 - full.served:,.0f} wait",
        "Little",
    ):
        assert part in told
    assert full.to_dict()["notes"] == list(full.notes)
    assert full.to_dict()["waiting_s"] > 100.0
    assert not any("wait, on average" in note for note in serve("llama_3_8b", "h100").notes)


@pytest.mark.parametrize("runtime", ["vllm", "generic"])
def test_request_and_serve_differ_by_what_serve_says_it_adds(runtime: str) -> None:
    alone = pm.request("llama_3_8b", "h100", runtime=runtime, prompt=PROMPT, generate=2)
    served = serve("llama_3_8b", "h100", runtime=runtime, prompt=PROMPT, generate=2)
    parts = served.ttft_parts
    machine = pm.hardware("h100").machine(runtime)
    fixed = machine.get("runtime.serving.first_token") or 0.0
    share = machine.get("runtime.serving.prompt_share") or 1.0
    launch = machine.get("runtime.serving.host_per_kernel") or 0.0
    assert parts["server"] == pytest.approx(fixed)
    assert parts["host"] == pytest.approx(launch * sum(alone.prefill.table["count"]))
    assert parts["prompts"] <= (share + 0.1) * alone.ttft_s
    assert served.ttft_s > alone.ttft_s
    assert "prefill alone" in repr(alone)
    assert "prefill" in alone.to_dict()["ttft_counts"]
    assert "`request`" in served.notes[-1]


@pytest.mark.parametrize("name", ["prompt", "generate", "concurrency"])
@pytest.mark.parametrize("value", [1e9, 2.0**24 + 1, np.nan, np.inf, 0.0])
def test_counts_that_are_slips_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name}: .*16,777,216"):
        serve("llama_3_8b", "h100", **{name: value})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("running", "prompt", "generate", "expected"),
    [
        (1, 1024, 1024, 1),  # no other request
        (64, 1024, 1024, 1),  # less than one arrives in a step
        (2049, 128, 128, 16),  # 2048 / 128
        (2049, 2048, 128, 4),  # 16 arrive, 8192 tokens of a step hold 4
        (2049, 20_000, 128, 1),  # a prompt longer than a step
    ],
)
def test_prompts_that_arrive_in_a_step_are_read_together(
    running: float, prompt: float, generate: float, expected: float
) -> None:
    assert float(prompts_together(running, prompt, generate)) == expected


def test_a_token_takes_the_energy_of_a_step_over_the_running_sequences() -> None:
    """Kernels cost what a prediction says; a device idles while hosts and links work."""
    busy_w, idle_w = 700.0, 140.0
    for model, tensor in (("llama_3_8b", 1), ("llama_3_70b", 4)):
        loads = np.array([1.0, 16])
        served = serve(model, "h100", concurrency=loads, prompt=PROMPT, tensor=tensor)
        waiting = served.step_s - served.decode.latency_s
        prompts = served.prefill.power_w * served.parts["prefills"]
        # Two ring all-reduces of 16-bit activations in each of 80 layers of 8192, 10 pJ a bit.
        share = served.decode.machine.get("runtime.serving.prefill_share")
        arriving = share * (served.running - 1.0) / served.generate * PROMPT
        tokens = (served.running + arriving) * (tensor > 1)
        links = tokens * 2 * 80 * 8192 * 2 * 2 * (tensor - 1) / tensor * 80e-12
        one = served.decode.energy_j + idle_w * waiting + prompts + links
        joule = tensor * one / served.running
        assert (served.energy_parts["exchange"] > 0.0).all() == (tensor > 1)
        assert served.energy_boundary == served.decode.energy_boundary
        assert ("switches not counted" in served.energy_model) == (tensor > 1)
        assert served.energy_per_token_j == pytest.approx(joule, rel=1e-12)
        power = served.energy_per_token_j * served.running / served.tpot_s / tensor
        assert np.all((idle_w < power) & (power < busy_w))


def test_scales_of_blocks_take_time_in_every_layer() -> None:
    plain, blocks = (
        serve("llama_3_8b", "h100", runtime="vllm", precision=f"w={name},a=fp8,kv=fp16")
        for name in ("fp8", "fp8_block")
    )
    each = hardware("h100").machine("vllm")["runtime.serving.per_layer_blocks"]
    assert blocks.parts["layers"] - plain.parts["layers"] == pytest.approx(32 * each)
    assert blocks.parts["kernels"] == pytest.approx(plain.parts["kernels"], rel=1e-3)


def test_rounding_for_scales_of_blocks_is_work_of_the_device() -> None:
    """The step draws the power of its kernels in that time, and not that of an idle device."""
    served = serve("llama_3_8b", "h100", runtime="vllm", precision="w=fp8_block,a=fp8,kv=fp16")
    each = hardware("h100").machine("vllm")["runtime.serving.per_layer_blocks"]
    step = served.decode.energy_j + served.decode.power_w * 32 * each
    prompts = served.prefill.power_w * served.parts["prefills"]
    assert served.energy_per_token_j * served.running == pytest.approx(step + prompts, rel=1e-9)


def test_a_model_with_a_state_is_served_by_one_device() -> None:
    served = serve("nemotron_nano_9b_v2", "h100", runtime="vllm", concurrency=[8, 64])
    assert served.running == pytest.approx([8, 64])
    assert served.tpot_s[0] < served.tpot_s[1]
    with pytest.raises(InputError, match="is not split over devices"):
        serve("nemotron_nano_9b_v2", "h100", tensor=2)


def test_sampling_moves_bytes_of_every_logit() -> None:
    """Choosing a token adds the same time per sequence and word of the vocabulary."""
    loads = np.array([1.0, 8, 64])
    plain, sampled = (
        serve("llama_3_8b", "h100", runtime=name, concurrency=loads, prompt=PROMPT)
        for name in ("vllm", "vllm_sampling")
    )
    each = 128256 * 628 / 3.35e12
    assert sampled.step_s - plain.step_s == pytest.approx(loads * each, rel=1e-9)
    assert sum(sampled.parts.values()) == pytest.approx(sampled.tpot_s, rel=1e-12)
