"""CoreInfer and PowerInfer: language models that compute a share of their neurons.

Bytes of the weights that a token reads, over the sustained bandwidth of the memory they are in; the
share of neurons is the papers' own. One constant is fitted: what a layer costs the host of a
PyTorch program beside its kernels, on one of the rows, and used for the others.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import perfmodel as pm
from perfmodel.hardware import Semantics

__all__ = ["predicted"]

#: Share of neurons of CoreInfer's core (alpha), as its parameters say.
CORE_SHARE: Final = 0.4
#: Milliseconds a token of PowerInfer's predictors on OPT-6.7B, by CoreInfer's table.
PREDICTOR_S: Final = 15.96e-3
#: Gigabytes a second that a PCIe 3.0 x16 slot carries of the 15.75 it has.
PCIE_3: Final = 12.0e9
#: Bytes of a Titan Xp that weights may have, of 12 GiB: context, activations and caches need some.
TITAN_XP_ROOM: Final = 11.0e9


@lru_cache
def titan_xp() -> pm.Device:
    """Return NVIDIA's Titan Xp by its data sheet: 3840 cores at 1582 MHz, 547.6 GB/s, 12 GB."""
    rate = 2 * 3840 * 1.582e9
    return pm.Device.model_validate(
        {
            "name": "titan_xp",
            "confidence": "datasheet",
            "source": "nvidia",
            "sources": {"nvidia": "NVIDIA Titan Xp, specifications"},
            "engines": [{"name": "gpu", "kind": "roofline", "peaks": {"fp32": rate}}],
            "memories": [
                {
                    "name": "gddr",
                    "kind": "dram",
                    "roles": ["main"],
                    "feeds": ["gpu"],
                    "capacity": 12 * 2**30,
                    "bandwidth": 547.6e9,
                }
            ],
        }
    )


def predicted() -> dict[str, float]:
    """Return claim -> tokens per second."""
    layer_s = fitted_layer_s()
    sparse = _token_s("opt_6_7b", titan_xp(), CORE_SHARE)
    dense = _token_s("opt_6_7b", titan_xp(), 1.0)
    spilled = max(pm.workload("opt_6_7b").weights * 2 - TITAN_XP_ROOM, 0.0)
    return {
        "coreinfer_llama_2_70b_a100": 1.0
        / (_token_s("llama_2_70b", "a100", CORE_SHARE) + 80 * layer_s),
        "coreinfer_opt_6_7b_titan_xp": 1.0 / (sparse + 32 * layer_s),
        "powerinfer_opt_6_7b_titan_xp": 1.0 / (sparse + PREDICTOR_S + 32 * layer_s),
        "transformers_opt_6_7b_titan_xp": 1.0 / (dense + 32 * layer_s + spilled / PCIE_3),
        "dense_relullama_70b_i9": 1.0 / _token_s("llama_2_70b", "core_i9_13900k", 1.0),
    }


def fitted_layer_s() -> float:
    """Return seconds a layer beside its kernels, from LLaMA-2-7B's 57.2 tokens per second."""
    return (1.0 / 57.2 - _token_s("llama_2_7b", "a100", CORE_SHARE)) / 32


def _token_s(model: str, device: str | pm.Device, share: float) -> float:
    """Return seconds of a token's kernels after 64 others in fp16."""
    runtime = pm.Runtime(name="sparse", semantics=Semantics(active_neurons=share))
    card = pm.hardware(device) if isinstance(device, str) else device
    step = pm.workload(model, phase="decode", batch=1, context=64)
    return float(pm.predict(step, card, precision="fp16", runtime=runtime).latency_s)
