"""AccLLM's rate over FlightLLM's, each with its own share of the memory."""

from __future__ import annotations

from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.library import find


def predicted() -> dict[str, float]:
    """Return claim -> ratio."""
    step = find("llama_2_7b", {"phase": "decode", "context": 512})
    ours = predict(step, hardware("u280_accllm"), precision="w2a8kv4+2:4").latency_s
    theirs = predict(step, hardware("u280_flightllm"), precision="w4a8kv8").latency_s
    return {"over_flightllm": float(theirs / ours)}
