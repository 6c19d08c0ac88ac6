"""AccLLM's rate over FlightLLM's, each with its own share of the memory."""

from __future__ import annotations

import perfmodel as pm


def predicted() -> dict[str, float]:
    """Return claim -> ratio."""
    step = pm.workload("llama_2_7b", phase="decode", context=512)
    ours = pm.predict(step, pm.hardware("u280_accllm"), precision="w2a8kv4+2:4").latency_s
    theirs = pm.predict(step, pm.hardware("u280_flightllm"), precision="w4a8kv8").latency_s
    return {"over_flightllm": float(theirs / ours)}
