"""BERT on an A10: the card's own time, beside a measurement that launches decide."""

from __future__ import annotations

import perfmodel as pm


def predicted() -> dict[str, float]:
    """Return claim -> milliseconds."""
    card = pm.Device.model_validate(
        {
            "name": "a10",
            "confidence": "datasheet",
            "source": "nvidia",
            "sources": {"nvidia": "NVIDIA A10 Tensor Core GPU, data sheet"},
            "engines": [{"name": "gpu", "kind": "roofline", "peaks": {"fp32": 31.2e12}}],
            "memories": [
                {
                    "name": "gddr",
                    "kind": "dram",
                    "roles": ["main"],
                    "feeds": ["gpu"],
                    "capacity": 24e9,
                    "bandwidth": 600e9,
                }
            ],
        }
    )
    prediction = pm.predict(
        pm.workload("bert_base", tokens=128), card, precision="fp32", runtime="generic"
    )
    return {"bert_a10": 1e3 * float(prediction.latency_s)}
