"""What the block schedule says of FlexGen's throughput."""

from __future__ import annotations

from typing import Final

import perfmodel as pm
from perfmodel.schedule.place import PlacementLevel

from perfmodel_studies.placement.blocks import (
    BlockModel,
    BlockPolicy,
    BlockRates,
    BlockTimes,
    block_schedule,
)

_GIB: Final = 2.0**30

OPT_30B: Final = BlockModel.dense(48, 7168, 28672)
OPT_175B: Final = BlockModel.dense(96, 12288, 49152)

#: NVIDIA T4: 65 TFLOP/s of fp16 and PCIe 3.0 x16 (15.75 GB/s), by its data sheet; the disk as the
#: paper says. Attention on the host is taken to cost nothing: the host's memory is not described.
DATA_SHEET: Final = BlockRates(15.75e9, 15.75e9, 2e9, 1e9, 65e12, 65e12, float("inf"))
#: Defaults of the authors' cost model, which they fitted by gradient descent to runs on this
#: machine (cost_model.py of their repository, in GiB and 10**12).
FITTED: Final = BlockRates(
    12.89 * _GIB,
    0.97 * _GIB,
    0.473 * _GIB,
    0.746 * _GIB,
    21.24e12,
    9.97e12,
    0.0123e12,
    4.3e12,
    0.079e12,
)
GENERATED: Final = 32
#: Bytes per second from a host over PCIe 4.0 x16: 31.5 GB/s less the headers of packets, as copies
#: from pinned memory usually reach.
LINK: Final = 25e9
A100_MODELS: Final = ("opt_6_7b", "opt_13b", "opt_30b", "opt_66b")

#: Prompt -> policy of the runs: (GPU batch, batches, weights on GPU, host and disk).
POLICIES: Final = {
    "30b": {
        256: (160, 2, (0.1, 0.9, 0.0)),
        512: (48, 3, (0.2, 0.8, 0.0)),
        1024: (20, 4, (0.04, 0.96, 0.0)),
    },
    "175b": {
        256: (64, 8, (0.0, 0.5, 0.5)),
        512: (32, 8, (0.0, 0.5, 0.5)),
        1024: (12, 12, (0.0, 0.5, 0.5)),
    },
}


def run(model: str, prompt: int, rates: BlockRates) -> BlockTimes:
    """Return the times of one of the published runs."""
    batch, batches, weights = POLICIES[model][prompt]
    # OPT-30B keeps its cache on the host, OPT-175B on the disk; activations are on the host.
    kv = (0.0, 1.0, 0.0) if model == "30b" else (0.0, 0.0, 1.0)
    policy = BlockPolicy(batch, batches, weights, kv, (0.0, 1.0, 0.0), attention_on_host=True)
    return block_schedule(OPT_30B if model == "30b" else OPT_175B, policy, rates, prompt, GENERATED)


def offloaded(model: str) -> float:
    """Return tokens per second with all weights on the host of an A100, a layer ahead."""
    workload = pm.workload(model, phase="decode", batch=1, context=1000)
    host = PlacementLevel("host", 1e12, LINK)
    done = pm.stream(workload, "a100", precision="w8a8", source=host, keep=False, runs=3)
    return done.items_per_s


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    out = {f"a100_{model}": offloaded(model) for model in A100_MODELS}
    for model, runs in POLICIES.items():
        for prompt, (batch, batches, _) in runs.items():
            plain = run(model, prompt, DATA_SHEET)
            out[f"opt_{model}_{prompt}"] = float(plain.tokens_per_s)
            out[f"opt_{model}_{prompt}_fitted"] = float(run(model, prompt, FITTED).tokens_per_s)
            out[f"opt_{model}_{prompt}_decode"] = float(batch * batches / plain.decode_s)
    return out
