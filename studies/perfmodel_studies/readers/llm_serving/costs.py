"""Kernels of the served models with every fitted share at one, and their times under constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from perfmodel.calibrate import Constant
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.system.serving.serve import exchange_s, exchanged_bytes, room
from perfmodel.system.serving.shard import shard
from perfmodel.workload.library import describe

from perfmodel_studies.readers.llm_serving.rows import ServingRow

__all__ = [
    "CONSTANTS",
    "ENGINES",
    "FIRST",
    "ServingTimeComponents",
    "parts_of",
    "roofline",
    "sparse",
    "stated",
    "tpot",
    "ttft",
]

Vector = npt.NDArray[np.float64]
ENGINES: Final = ("tensorrt_llm", "vllm", "sglang")
#: Shares of the peak by class of kernel and format of its weights; attention reaches its peak.
SHARES: Final = ("attention", "moe", "gemm.bf16", "gemm.fp8", "gemm.fp4")
#: Format of weights -> its share among them; others (integers in bf16 arithmetic) as bf16.
_FORMATS: Final = {"fp8_e4m3": 3, "nvfp4": 4, "mxfp4": 4}
US: Final = 1e-6


class _Pass(NamedTuple):
    """Seconds of kernels of each row, shape ``(rows, kernels)``; shorter rows end in zeros.

    `wait` is the latency of main memory, beside `main`; `share` the place in `SHARES` of what their
    arithmetic reaches of the peak.
    """

    times: Vector
    matrix: Vector
    vector: Vector
    near: Vector
    main: Vector
    wait: Vector
    share: npt.NDArray[np.intp]


class ServingTimeComponents(NamedTuple):
    """What the times of all rows are made of; vectors of shape ``(rows,)``."""

    decode: _Pass
    prefill: _Pass
    exchange: Vector
    read: Vector
    running: Vector
    generate: Vector
    layers: Vector
    sparse: Vector
    latent: Vector
    split: Vector
    groups: Vector
    engine: npt.NDArray[np.intp]


def parts_of(rows: Sequence[ServingRow], devices: Sequence[Any] = ()) -> ServingTimeComponents:
    """Cost the kernels of every row once; rows of one split and batch share them."""
    known: dict[tuple[Any, ...], _Kernels] = {}
    machines: dict[str, Machine] = {}
    decode: list[_Kernels] = []
    prefill: list[_Kernels] = []
    scalars: list[tuple[float, ...]] = []
    for row in rows:
        if row.device not in machines:
            machines[row.device] = _bare(hardware(row.device, devices).machine("vllm"))
        machine = machines[row.device]
        structure = describe(row.model).structure
        group = row.concurrency / row.split.data
        context = row.prompt + row.generate / 2
        at = {"phase": "decode", "context": context}
        one = _kernels(known, row, machine, {**at, "batch": 1.0})
        running = min(max(group, 1.0), float(room(one.weights, one.caches, machine)))
        decode.append(_kernels(known, row, machine, {**at, "batch": running}))
        prompt = {"phase": "prefill", "batch": 1.0, "prompt": row.prompt}
        prefill.append(_kernels(known, row, machine, prompt))
        experts = 0
        if structure.experts is not None:
            experts = structure.layers - structure.experts.dense_layers
        moved = exchanged_bytes(structure, row.split, running * row.split.data)
        read = exchanged_bytes(structure, row.split, row.prompt)
        scalars.append((
            exchange_s(machine, moved, row.split), exchange_s(machine, read, row.split), running,
            row.generate, structure.layers, experts,
            structure.layers * (structure.latent is not None),
            structure.layers * (row.split.tensor > 1), structure.layers * (row.split.data > 1),
        ))  # fmt: skip
    columns = [np.array(column, dtype=np.float64) for column in zip(*scalars, strict=True)]
    engine = np.array([ENGINES.index(row.runtime) for row in rows], dtype=np.intp)
    exchange, read, running, generate, layers, sparse, latent, split, groups = columns
    return ServingTimeComponents(
        _stacked(decode), _stacked(prefill), exchange, read, running, generate, layers, sparse,
        latent, split, groups, engine,
    )  # fmt: skip


class _Kernels(NamedTuple):
    columns: tuple[Vector, ...]
    weights: float
    caches: float


def _bare(machine: Machine) -> Machine:
    """Return the machine with what is fitted at one or nothing."""
    stated = [path for path in machine.facts if path.startswith("runtime.efficiency.")]
    changes: dict[str, float] = dict.fromkeys([*stated, "runtime.efficiency.bandwidth"], 1.0)
    nothing = ("per_run", "per_operator", "per_layer", "per_sequence", "per_layer_parallel")
    share = "runtime.kernels.all_reduce.bandwidth_share"
    if share in machine:
        changes[share] = 1.0
    return machine.vary({**changes, **{f"runtime.{name}": 0.0 for name in nothing}})


def _kernels(
    known: dict[tuple[Any, ...], _Kernels], row: ServingRow, machine: Machine,
    at: Mapping[str, Any],
) -> _Kernels:  # fmt: skip
    key = (row.model, row.device, row.precision, row.wide, row.split, *at.values())
    if key not in known:
        workload = shard(row.model, row.split, at, wide=row.wide)
        known[key] = _opened(predict(workload, machine, precision=row.precision))
    return known[key]


def _opened(found: Prediction) -> _Kernels:
    table = found.table
    *near, main = (np.asarray(table[f"{level}_s"], dtype=float) for level in found.levels)
    job = found._job  # pyright: ignore[reportPrivateUsage]
    formats = [job.precision.format_of(row.pair[0]).name for row in job.lowered.rows]
    share = [
        0 if kind == "attention" else 1 if kind == "moe" else _FORMATS.get(format, 2)
        for kind, format in zip(table["kind"].tolist(), formats, strict=True)
    ]
    latency = float(found.machine.get("memories.main.latency") or 0.0)
    wait = latency * (np.asarray(table[f"{found.levels[-1]}_bytes"], dtype=float) > 0)
    near_s: Vector = np.max([np.zeros_like(main), *near], axis=0)
    columns: tuple[Vector, ...] = (
        np.asarray(table["count"], dtype=np.float64), np.asarray(table["matrix_s"], np.float64),
        np.asarray(table["vector_s"], dtype=np.float64), near_s,
        np.asarray(main - wait, dtype=np.float64), np.asarray(wait, dtype=np.float64),
        np.asarray(share, dtype=np.float64),
    )  # fmt: skip
    return _Kernels(columns, float(found.weight_bytes), float(found.kv_bytes))


def _stacked(kernels: Sequence[_Kernels]) -> _Pass:
    most = max(len(k.columns[0]) for k in kernels)
    out = np.zeros((7, len(kernels), most))
    for i, each in enumerate(kernels):
        for j, column in enumerate(each.columns):
            out[j, i, : len(column)] = column
    return _Pass(out[0], out[1], out[2], out[3], out[4], out[5], out[6].astype(np.intp))


def _seconds(passed: _Pass, c: Mapping[str, float]) -> Vector:
    """Return seconds of a pass as the roofline kind composes its kernels."""
    share = np.array([c.get(name, 1.0) for name in SHARES])
    arithmetic = passed.matrix / share[passed.share] + passed.vector
    main = passed.main / c["bandwidth"] + passed.wait
    row_s = np.maximum(np.maximum(arithmetic, passed.near), main)
    return (passed.times * row_s).sum(axis=1)


def tpot(parts: ServingTimeComponents, c: Mapping[str, float]) -> Vector:
    """Return seconds per output token of every row (`perfmodel.system.serving.serve`)."""
    return _step(parts, c) + _others(parts, c)


def _of_engine(parts: ServingTimeComponents, c: Mapping[str, float], name: str) -> Vector:
    return np.array([c[f"{name}.{engine}"] for engine in ENGINES])[parts.engine]


def _step(parts: ServingTimeComponents, c: Mapping[str, float]) -> Vector:
    layers = parts.layers * _of_engine(parts, c, "per_layer")
    layers = layers + parts.sparse * _of_engine(parts, c, "per_layer_experts")
    layers = layers + parts.latent * c["per_layer_latent"]
    layers = layers + parts.split * c["per_layer_parallel"] + parts.groups * c["per_layer_groups"]
    host = parts.running * _of_engine(parts, c, "per_sequence")
    return _seconds(parts.decode, c) + layers + host + parts.exchange / c["all_reduce"]


def _prompt(parts: ServingTimeComponents, c: Mapping[str, float]) -> Vector:
    return _seconds(parts.prefill, c) + parts.read / c["all_reduce"]


def _others(parts: ServingTimeComponents, c: Mapping[str, float]) -> Vector:
    share = _of_engine(parts, c, "prefill_share")
    return share * (parts.running - 1.0) / parts.generate * _prompt(parts, c)


def ttft(parts: ServingTimeComponents, c: Mapping[str, float]) -> Vector:
    """Return seconds to the first token of every row."""
    first = _of_engine(parts, c, "first_token")
    queued = _of_engine(parts, c, "prompt_share")
    queued = queued + _of_engine(parts, c, "queued_share") * parts.running
    return first + _prompt(parts, c) * queued + tpot(parts, c)


def _engines(name: str, start: float, low: float, high: float, prior: float) -> list[Constant]:
    return [Constant(f"{name}.{engine}", start, low, high, prior) for engine in ENGINES]


#: Of TPOT. Most engines are seen with one or two models, so that constants are held near round
#: values of the right size: those of one engine the more.
CONSTANTS: Final[tuple[Constant, ...]] = (
    Constant("bandwidth", 0.90, 0.5, 1.0, 8.0),
    Constant("gemm.bf16", 0.80, 0.2, 0.9, 2.0),
    Constant("gemm.fp8", 0.60, 0.1, 0.9, 2.0),
    Constant("gemm.fp4", 0.50, 0.1, 0.9, 2.0),
    Constant("moe", 0.30, 0.05, 0.9, 8.0),
    Constant("all_reduce", 0.60, 0.2, 1.0, 8.0),
    *_engines("per_layer", 60 * US, 5 * US, 300 * US, 16.0),
    *_engines("per_layer_experts", 15 * US, 0.5 * US, 200 * US, 16.0),
    Constant("per_layer_latent", 20 * US, 0.5 * US, 200 * US, 8.0),
    Constant("per_layer_parallel", 5 * US, 0.1 * US, 100 * US, 8.0),
    Constant("per_layer_groups", 5 * US, 0.1 * US, 200 * US, 8.0),
    *_engines("per_sequence", 20 * US, 0.5 * US, 300 * US, 16.0),
    *_engines("prefill_share", 1.2, 0.1, 5.0, 16.0),
)
#: Of TTFT beside them.
FIRST: Final[tuple[Constant, ...]] = (
    *_engines("first_token", 0.1, 1e-3, 2.0, 2.0),
    *_engines("prompt_share", 1.0, 0.2, 10.0, 2.0),
    *_engines("queued_share", 0.1, 1e-3, 2.0, 2.0),
)


def stated() -> dict[str, float]:
    """Return the constants that the library's runtimes state, by the names of the fit."""
    out: dict[str, float] = {}
    machines = {name: hardware("h100").machine(name) for name in ENGINES}
    for constant in (*CONSTANTS, *FIRST):
        name, _, engine = constant.name.partition(".")
        machine = machines.get(engine, machines["vllm"])
        out[constant.name] = float(machine[_PATHS.get(constant.name, _PATHS.get(name, ""))])
    return out


_PATHS: Final = {
    "bandwidth": "runtime.efficiency.bandwidth", "moe": "runtime.efficiency.moe",
    "gemm.bf16": "runtime.efficiency.gemm", "gemm.fp8": "runtime.efficiency.gemm.fp8_e4m3",
    "gemm.fp4": "runtime.efficiency.gemm.nvfp4",
    "all_reduce": "runtime.kernels.all_reduce.bandwidth_share",
    **{name: f"runtime.{name}" for name in ("per_layer", "per_layer_parallel", "per_sequence")},
    **{name: f"runtime.serving.{name}" for name in (
        "per_layer_experts", "per_layer_latent", "per_layer_groups", "prefill_share", "first_token",
        "prompt_share", "queued_share")},
}  # fmt: skip


def sparse(model: str) -> bool:
    """Tell whether a model is a mixture of experts."""
    return describe(model).structure.experts is not None


def roofline(parts: ServingTimeComponents) -> dict[str, Vector]:
    """Return TPOT and TTFT of kernels at their peaks and bandwidths, and nothing else."""
    nothing: dict[str, float] = dict.fromkeys(("bandwidth", *SHARES), 1.0)
    step, prompt = _seconds(parts.decode, nothing), _seconds(parts.prefill, nothing)
    return {"tpot_s": step, "ttft_s": prompt + step}
