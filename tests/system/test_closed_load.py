"""A server under a closed load: Little's law, waiting beyond saturation, and what is counted."""

from __future__ import annotations

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
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
    assert parts["server"] == pytest.approx(fixed)
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
