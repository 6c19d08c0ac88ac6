"""Whole transformers in eager PyTorch, fp32, as sums of their kernels: NeuSight's labels.

Lee, Phanishayee and Mahajan, ASPLOS 2025 (arXiv 2407.13853); shapes from the configurations of its
repository (scripts/asplos/data/DLmodel_configs): its GPT3-XL is 3072 wide, not 2048.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from perfmodel.errors import InputError
from perfmodel.measurements import Row, read_rows
from perfmodel.validate.case import Case, Cases, Question
from perfmodel.validate.files import DataFolder
from perfmodel.validate.gpu_kernels.devices import device_named
from perfmodel.workload.families import family
from perfmodel.workload.workload import Workload, from_family

NAME: Final = "neusight_e2e"
TITLE: Final = "Whole transformers in eager PyTorch fp32 on GPUs (NeuSight), sums of their kernels"
#: Where its file lies.
PLACES: Final = ("measured/neusight_e2e.csv", "neusight_e2e.csv")

_BIASED: Final = {"qkv_bias": True, "output_bias": True, "ffn_bias": True}
_DECODER: Final = {
    "phase": "prefill", "gated": False, "norm": "layer_norm", "rotary": False,
    "tied_embeddings": True, **_BIASED,
}  # fmt: skip
_GPT: Final = {**_DECODER, "activation": "gelu_tanh", "vocabulary": 50257}
#: Model of the file -> structure of the family `transformer`.
MODELS: Final[Mapping[str, Mapping[str, Any]]] = {
    "bert_large": {
        "phase": "encode", "causal": False, "layers": 24, "width": 1024, "heads": 16,
        "ffn_width": 4096, "activation": "gelu", "gated": False, "norm": "layer_norm",
        "rotary": False, "norm_position": "after", "final_norm": False, "embedding_norm": True,
        "positions": 512, "token_types": 2, "vocabulary": 30522, "tied_embeddings": True,
        **_BIASED,
    },
    "gpt2_large": {**_GPT, "layers": 36, "width": 1280, "heads": 20, "ffn_width": 5120,
                   "positions": 1024},
    "gpt3_xl": {**_GPT, "layers": 24, "width": 3072, "heads": 24, "ffn_width": 12288,
                "positions": 2048},
    "gpt3_27": {**_GPT, "layers": 32, "width": 2560, "heads": 32, "ffn_width": 10240,
                "positions": 2048},
    "opt_13": {**_DECODER, "activation": "relu", "layers": 24, "width": 2048, "heads": 32,
               "ffn_width": 8192, "positions": 2050, "vocabulary": 50272},
}  # fmt: skip

_SHAPE: Final = re.compile(r"seq=(\d+) batch=(\d+)")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the inference rows as cases; the group is the model."""
    path = folder.need(NAME, *PLACES)
    rows = read_rows(path)
    faults = rows.missing(("hardware", "model_or_op", "shape", "value"))
    if faults:
        raise InputError(faults)
    cases = [_case(row, rows.number(row, "value", faults), devices) for row in rows]
    if faults:
        raise InputError(faults)
    return Cases(NAME, cases, notes=folder.note(path))


def workload(model: str, sequence: int, batch: int) -> Workload:
    """Return a forward pass over a batch of sequences."""
    structure = family("transformer").structure(**MODELS[model])
    tokens = "tokens" if structure.phase == "encode" else "prompt"
    return from_family(
        model, family("transformer"), structure, {"batch": batch, tokens: sequence}
    )


def runtime_of(tags: Sequence[str]) -> str:
    """Return the eager PyTorch for a device with some tags."""
    return "torch_eager_rocm" if "amd" in tags else "torch_eager"


def _case(row: Row, value: float | None, devices: Sequence[str | Path]) -> Case:
    model, *how = row["model_or_op"].split()
    name = f"{row['model_or_op']} {row['shape']}"
    found = _SHAPE.search(row["shape"])
    reason = ""
    if how != ["inf"]:
        reason = {
            ("train",): "a step of training: optimiser and saved activations are not modelled",
            ("inf", "fusion"): "kernels fused by a compiler: no such runtime of the library",
        }.get(tuple(how), "several devices: no parallel plan")
    elif model not in MODELS:
        reason = f"no network of the library is '{model}'"
    elif found is None or value is None:
        reason = "no shape or no time"
    try:
        device = device_named(row["hardware"], devices)
    except InputError as error:
        return Case(name, row["hardware"], reason=str(error.faults[0]))
    if reason or found is None or value is None:
        return Case(name, device.name, reason=reason)
    run = workload(model, int(found.group(1)), int(found.group(2)))
    return Case(
        name, device.name, device, [Question("latency_s", "latency_s", 1e-3 * value, run)], "fp32",
        runtime_of(device.tags), model,
    )  # fmt: skip
