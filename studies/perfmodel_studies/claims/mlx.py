"""BERT on an A10: the card's own time, beside a measurement that launches decide."""

from __future__ import annotations

from perfmodel.hardware.device import Device
from perfmodel.predict import predict
from perfmodel.workload.library import find


def predicted() -> dict[str, float]:
    """Return claim -> milliseconds."""
    card = Device.model_validate({
        "name": "a10", "confidence": "datasheet", "source": "nvidia",
        "sources": {"nvidia": "NVIDIA A10 Tensor Core GPU, data sheet"},
        "engines": [{"name": "gpu", "kind": "roofline", "peaks": {"fp32": 31.2e12}}],
        "memories": [{"name": "gddr", "kind": "dram", "roles": ["main"], "feeds": ["gpu"],
                      "capacity": 24e9, "bandwidth": 600e9}],
    })  # fmt: skip
    found = predict(find("bert_base", {"tokens": 128}), card, precision="fp32", runtime="generic")
    return {"bert_a10": 1e3 * float(found.latency_s)}
