"""TeLLMe v2: what the claims' own asks do not give: rates of prompts, joules, resources."""

from __future__ import annotations

import perfmodel as pm

PRECISION = "w=ternary_head_int8,a=int8,kv=fp16"
#: Bytes a second that AMD's DPU draws on the same board (`kv260`).
DPU_BANDWIDTH = 5.7e9


def step(phase: str, tokens: int, bandwidth: float | None = None) -> pm.Prediction:
    """Return a prompt of `tokens`, or a token after as many."""
    machine = pm.hardware("tellme").machine()
    if bandwidth is not None:
        share = bandwidth / float(machine["memories.dram.bandwidth"])
        machine = machine.vary({"runtime.efficiency.bandwidth": share})
    sizes = {"prompt": tokens} if phase == "prefill" else {"context": tokens}
    net = pm.workload("bitnet_b1_58_large", phase=phase, batch=1, **sizes)
    return pm.predict(net, machine, precision=PRECISION)


def predicted() -> dict[str, float]:
    """Return claim -> number, units as in the file of claims."""
    prompt, token = step("prefill", 64), step("decode", 64)
    watts = float(token.machine.facts["power.busy"])
    found = token.resources
    return {
        "prompt_tok_s": 64.0 / float(prompt.latency_s),
        "decode_tok_s_dpu_bandwidth": float(step("decode", 64, DPU_BANDWIDTH).tokens_per_s),
        "decode_tok_j": float(token.tokens_per_s) / watts,
        "prompt_tok_j": 64.0 / float(prompt.latency_s) / watts,
        "uram": float(found["uram"]["used"]),
        "lut": float(found["lut"]["used"]),
    }
