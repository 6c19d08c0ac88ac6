"""Whole transformers in eager PyTorch, fp32, as sums of their kernels: NeuSight's labels.

Lee, Phanishayee and Mahajan, ASPLOS 2025 (arXiv 2407.13853); shapes from the configurations of its
repository (scripts/asplos/data/DLmodel_configs): its GPT3-XL is 3072 wide, not 2048.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.calibrate import Constant
from perfmodel.evaluate.data_files import DataFolder, measured_table
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.validation_case import Cases, MeasuredQuantity, ValidationCase, subject_of
from perfmodel.evidence import Subject
from perfmodel.kinds.tensor_core.gemm import Processor
from perfmodel.measurement_csv import CsvRow
from perfmodel.workload import family, from_family

from perfmodel_studies.readers.gpu_kernels import neusight
from perfmodel_studies.readers.gpu_kernels.devices import fact_columns, finder
from perfmodel_studies.tables import table

NAME: Final = "neusight_e2e"
TITLE: Final = "Whole transformers in eager PyTorch fp32 on GPUs (NeuSight), sums of their kernels"
#: Where its file lies.
PLACES: Final = ("measured/neusight_e2e.csv", "neusight_e2e.csv")

#: Model of the file -> structure of the family `transformer`.
MODELS: Final[Mapping[str, Mapping[str, Any]]] = table("neusight_transformers")

_UNPREDICTED: Final = {
    "train": "a step of training: optimiser and saved activations are not modelled",
    "inf fusion": "kernels fused by a compiler: no such runtime of the library",
}
_SHAPE: Final = re.compile(r"seq=(\d+) batch=(\d+)")


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
    """Return the inference rows as cases; the group is the model."""
    find = finder(devices)
    columns = ("hardware", "model_or_op", "shape", "value")
    with measured_table(folder, NAME, PLACES, columns) as (rows, faults, note):
        cases = [
            _case(row, rows.number(row, "value", faults), find(row["hardware"])) for row in rows
        ]
    return Cases(NAME, cases, notes=note)


def workload(model: str, sequence: int, batch: int) -> pm.Workload:
    """Return a forward pass over a batch of sequences."""
    structure: Any = family("transformer").structure(**MODELS[model])
    tokens = "tokens" if structure.phase == "encode" else "prompt"
    return from_family(model, family("transformer"), structure, {"batch": batch, tokens: sequence})


def runtime_of(tags: Sequence[str]) -> str:
    """Return the eager PyTorch for a device with some tags."""
    return "torch_eager_rocm" if "amd" in tags else "torch_eager"


def _case(row: CsvRow, value: float | None, device: pm.Device | str) -> ValidationCase:
    model, *how = row["model_or_op"].split()
    name = f"{row['model_or_op']} {row['shape']}"
    shape = _SHAPE.search(row["shape"])
    reason = ""
    if how != ["inf"]:
        reason = _UNPREDICTED.get(" ".join(how), "several devices: no parallel plan")
    elif model not in MODELS:
        reason = f"no network of the library is '{model}'"
    elif shape is None or value is None:
        reason = "no shape or no time"
    if isinstance(device, str):
        return ValidationCase(name, row["hardware"], reason=device)
    if reason or shape is None or value is None:
        return ValidationCase(name, device.name, reason=reason)
    run = workload(model, int(shape.group(1)), int(shape.group(2)))
    return ValidationCase(
        name,
        device.name,
        device,
        [MeasuredQuantity("latency_s", "latency_s", 1e-3 * value, run)],
        "fp32",
        runtime_of(device.tags),
        model,
    )


Floats = npt.NDArray[np.float64]

#: Passes over the scores beside the softmax, and of the unfused GELU: facts of the framework, see
#: `hardware_specs/runtimes/torch_eager.yaml`.
_SCORE_PASSES: Final = 2.0
_GELU_PASSES: Final = 9.0


@dataclass(frozen=True, slots=True)
class _TransformerKernels:
    """A forward pass as kernels: products, batched products, bytes of streams.

    Attributes
    ----------
    products, batched
        ``(groups, m, n, k)`` of each, shape ``(kinds, 4)``; `counts` of either.
    streams
        Class -> (kernels, bytes).
    """

    products: Floats
    product_counts: Floats
    batched: Floats
    batched_counts: Floats
    streams: Mapping[str, tuple[float, float]]


def _network(model: str, sequence: int, batch: int) -> _TransformerKernels:
    """Return the kernels of a forward pass, as the graph of `workload` has them."""
    s = family("transformer").structure(**MODELS[model])
    structure: Any = s
    t, w, f = float(sequence * batch), float(structure.width), float(structure.ffn_width)
    layers, heads = float(structure.layers), float(structure.heads * batch)
    size, long = w / structure.heads, float(sequence)
    products = [(1.0, t, w, w), (1.0, t, f, w), (1.0, t, w, f), (1.0, t, structure.vocabulary, w)]
    batched = [(heads, long, long, size), (heads, long, size, long)]
    row = 4.0 * t * w  # bytes of the residual stream
    scores = 4.0 * heads * long * long
    embedding = 1.0 if structure.embedding_norm else 0.0
    final = 1.0 if structure.final_norm else 0.0
    tables = 1.0 + (1.0 if structure.token_types else 0.0)
    hidden = 8.0 * t * f
    unfused = structure.activation == "gelu_tanh"
    return _TransformerKernels(
        np.array(products),
        np.array([4.0 * layers, layers, layers, 1.0]),
        np.array(batched),
        np.array([layers, layers]),
        {
            "elementwise": (
                2.0 * layers
                + (8.0 if unfused else 1.0) * layers
                + 1.0
                + tables
                + _SCORE_PASSES * layers,
                layers * (2.0 * 3.0 * row + (_GELU_PASSES if unfused else 1.0) * hidden)
                + (1.0 + tables) * 2.0 * row
                + _SCORE_PASSES * layers * 2.0 * scores,
            ),
            "norm": (
                2.0 * layers + embedding + final,
                (2.0 * layers + embedding + final) * 2.0 * row,
            ),
            "softmax": (layers, layers * 2.0 * scores),
        },
    )


def network_seconds(
    networks: Sequence[_TransformerKernels],
    machine: Processor,
    bandwidth: Floats,
    k: Mapping[str, float],
    rocm: npt.NDArray[np.bool_],
) -> Floats:
    """Return the seconds of networks, one a row, by constants ``class.field``."""
    total = np.zeros(len(networks))
    for kind in ("gemm", "batched_gemm"):
        shapes = [n.products if kind == "gemm" else n.batched for n in networks]
        counts = [n.product_counts if kind == "gemm" else n.batched_counts for n in networks]
        at = np.repeat(np.arange(len(networks)), [len(c) for c in counts])
        each = Processor(*(np.asarray(part)[at] for part in machine))
        values: dict[str, Any] = _of(kind, k)
        share = values["peak_share"]
        values["peak_share"] = np.where(rocm[at], k["rocm peak_share"] * share, share)
        seconds = neusight.product_seconds(np.concatenate(shapes), each, values)
        np.add.at(total, at, seconds * np.concatenate(counts))
    for kind in ("elementwise", "norm", "softmax"):
        launches, traffic = np.array([n.streams[kind] for n in networks]).T
        values = _of(kind, k)
        total += launches * values["launch"] + traffic / (values["bandwidth_share"] * bandwidth)
    return total


def _of(kind: str, k: Mapping[str, float]) -> dict[str, float]:
    head = f"{kind}."
    return {name.removeprefix(head): v for name, v in k.items() if name.startswith(head)}


#: Every so many-th kernel is fitted on.
_SPARSE: Final = {"linear": 24, "bmm": 48, "elem": 12, "softmax": 4, "ln": 4}
#: Target of kernels -> class whose constants they determine.
_CLASSES: Final = {
    "linear_s": "gemm",
    "batched_s": "batched_gemm",
    "elementwise_s": "elementwise",
    "norm_s": "norm",
    "softmax_s": "softmax",
}


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how constants fitted on kernels predict networks of a device that no fit has seen.

    Kernels of the device are left out with it. rocBLAS has no kernel rows: what it reaches of a
    peak, beside cuBLAS, is one constant of the networks of the other AMD devices.
    """
    known: list[tuple[_TransformerKernels, pm.Device, float]] = []
    subjects: list[Subject | None] = []
    for case in load(folder, devices).cases:
        if isinstance(case.machine, pm.Device):
            run = case.quantities[0].workload
            values = run.parameters
            tokens: Any = values["tokens"] if "tokens" in values else values["prompt"]
            batch: Any = values["batch"]
            network = _network(run.name, int(tokens), int(batch))
            known.append((network, case.machine, case.quantities[0].measured))
            subjects.append(subject_of(case, case.quantities[0]))
    there = folder.find(*neusight.PLACES) is not None
    kernels = neusight.refits(folder, devices, _SPARSE) if there else ()
    gpus = [d for _, d, _ in known]
    if len({d.name for d in gpus} | {g for r in kernels for g in r.groups}) < 2:
        return []
    rocm = np.array(["amd" in d.tags for d in gpus])
    machine, bandwidth = neusight.processors(gpus), fact_columns(gpus, neusight.FACTS)["bandwidth"]
    constants = [
        Constant(f"{_CLASSES[r.target]}.{c.name}", c.start, c.low, c.high)
        for r in kernels
        for c in r.constants
    ]
    constants.append(Constant("rocm peak_share", 1.0, 0.2, 1.2, prior=0.05))
    networks = [n for n, _, _ in known]

    def forward(k: Mapping[str, float]) -> Floats:
        parts = [r.forward(_of(_CLASSES[r.target], k)) for r in kernels]
        return np.concatenate([*parts, network_seconds(networks, machine, bandwidth, k, rocm)])

    before = sum(len(r.measured) for r in kernels)
    measured = np.concatenate([*(r.measured for r in kernels), [t for _, _, t in known]])
    groups = [*(g for r in kernels for g in r.groups), *(d.name for d in gpus)]
    # A network of the other AMD devices counts as ten kernels; those of NVIDIA's not at all.
    weights = np.concatenate([np.ones(before), np.where(rocm, 10.0, 0.0)])
    judged = np.concatenate([np.zeros(before, dtype=np.bool_), np.ones(len(gpus), dtype=np.bool_)])
    return [
        Refit(
            "latency_s",
            measured,
            groups,
            constants,
            forward,
            weights=weights,
            judged=judged,
            subjects=[*[None] * before, *subjects],
        )
    ]
