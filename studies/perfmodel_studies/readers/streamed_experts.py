"""Runs of mixtures of experts that a phone streams from its storage.

A row states its own seconds of computing and bytes read a token; what is predicted is the wall time
of a token, which is how long loads take in the batches that layers ask for, and how much of that is
hidden behind computing. Where a run's name says its cache, the bytes that it reads are predicted as
well, from how a trace of another text visits experts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import perfmodel as pm
from perfmodel.evaluate.data_files import DataFolder, measured_table
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.validate import comparison_row, error_of, summarise
from perfmodel.measurement_csv import CsvRow, CsvTable
from perfmodel.schedule.stream import StreamChannel, channel_of
from perfmodel.workload import TransformerStructure, describe

from perfmodel_studies.claims.big_moe_on_edge import QWEN, Geometry, hit_rate, wall_s

__all__ = ["NAME", "PLACES", "TITLE", "load"]

NAME: Final = "bigmoe_flash_streaming_runs"
TITLE: Final = "Mixtures of experts streamed from a phone's storage: seconds and bytes per token"
PLACES: Final = (f"measured/{NAME}.csv", f"{NAME}.csv")
#: The phone that all rows are of.
DEVICE: Final = "ufs_4_phone"

_COLUMNS: Final = (
    "run",
    "wall_ms_mean",
    "compute_ms_mean",
    "read_mib_per_token",
    "stall_ms_mean",
    "model",
)
#: Model of the file -> one of the library, and stored bits of a weight of its experts.
MODELS: Final = {"qwen3-30b-a3b": ("qwen3_30b_a3b", 0.0), "gpt-oss-120b": ("gpt_oss_120b", 4.25)}
_MIB: Final = 2.0**20


@dataclass(frozen=True, slots=True)
class StreamedExpertsRun:
    """A row that can be predicted.

    Attributes
    ----------
    lanes
        Reads in flight; four where its name does not say.
    overlapped
        Whether it loads while it computes: only such runs have stalls.
    cache_mib
        Of the cache of experts; 0 for none, None where the name does not say.
    """

    name: str
    model: str
    geometry: Geometry
    experts: int
    wall_s: float
    compute_s: float
    read_mib: float
    lanes: float
    overlapped: bool
    cache_mib: float | None


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Compare every run with the pipeline of `perfmodel.schedule.stream`."""
    failed: dict[str, list[str]] = {}
    runs: list[StreamedExpertsRun] = []
    seen: set[tuple[str, ...]] = set()
    repeated = 0
    with measured_table(folder, NAME, PLACES, _COLUMNS) as (rows, faults, note):
        for row in rows:
            figures = tuple(row.get(column) for column in _COLUMNS[1:])
            if figures in seen:
                repeated += 1
                continue
            seen.add(figures)
            run = _run(rows, row, faults)
            if isinstance(run, str):
                failed.setdefault(run, []).append(row.get("run"))
            elif run is not None:
                runs.append(run)
    out = _predicted(runs, devices) if runs and not faults else []
    primary = [r for r in out if r["target"] == "tpot_s"]
    notes = (
        "seconds of computing and bytes read are the run's own; lanes are four where it names none",
        f"{repeated} further rows repeat a run under another name",
    )
    return summarise(
        NAME,
        out,
        len(runs) + sum(map(len, failed.values())),
        failed,
        primary="tpot_s",
        references={"roofline": error_of(primary, "roofline")} if primary else {},
        notes=(*notes, *note),
    )


def _run(rows: CsvTable, row: CsvRow, faults: list[Any]) -> StreamedExpertsRun | str | None:
    """Return a run, or why it cannot be predicted."""
    name, model = row.get("run"), row.get("model")
    wall = rows.number(row, "wall_ms_mean", faults, scale=1e-3)
    compute = rows.number(row, "compute_ms_mean", faults, scale=1e-3)
    read = rows.number(row, "read_mib_per_token", faults, above_zero=False)
    stall = rows.number(row, "stall_ms_mean", faults, above_zero=False)
    if wall is None or compute is None or read is None:
        return "a number is missing"
    if model not in MODELS:
        return f"no model of the library is {model}"
    if read == 0.0:
        return "read through the page cache: what comes from storage is not counted"
    match = re.search(r"_k(\d+)", name)
    lanes = re.search(r"_l(\d+)", name)
    cache = re.search(r"_c(\d{4,})|qwen(\d)k_", name)
    mib: float | None = None
    if cache is not None:
        mib = float(cache[1]) if cache[1] else 1000.0 * float(cache[2])
    elif "stream" in name:
        mib = 0.0
    geometry, experts = _geometry(*MODELS[model])
    return StreamedExpertsRun(
        name,
        model,
        geometry,
        int(match[1]) if match else experts,
        wall,
        compute,
        read,
        float(lanes[1]) if lanes else 4.0,
        bool(stall),
        mib,
    )


def _geometry(name: str, bits: float) -> tuple[Geometry, int]:
    """Return a model's geometry, and the experts that a token visits of a layer."""
    if name == "qwen3_30b_a3b":
        return QWEN, 8
    structure = describe(name).structure
    assert isinstance(structure, TransformerStructure)
    assert structure.experts is not None
    width, each = float(structure.width), 3.0 * structure.width * structure.experts.ffn_width
    heads = float(structure.heads * (structure.head_dim or structure.width // structure.heads))
    keys = float((structure.kv_heads or structure.heads) * (structure.head_dim or 0))
    attention = width * (2.0 * heads + 2.0 * keys)
    head = width * float(structure.vocabulary)
    return Geometry(structure.layers, each * bits / 8.0, attention, each, head), int(
        structure.experts.per_token
    )


def _predicted(
    runs: Sequence[StreamedExpertsRun], devices: Sequence[str | Path]
) -> list[dict[str, Any]]:
    device = pm.hardware(DEVICE, devices)
    model = pm.workload("qwen3_30b_a3b", phase="decode")
    channel = channel_of(pm.predict(model, device, precision="w4a16"), "storage")
    out: list[dict[str, Any]] = []
    for run in runs:
        fitting: StreamChannel = replace(channel, depth=run.lanes)
        wall = wall_s(
            fitting, run.compute_s, run.read_mib, run.experts, run.overlapped, run.geometry
        )
        bytes_ = run.read_mib * _MIB
        floor = max(run.compute_s, bytes_ / channel.interface_bytes_per_s)
        out.append(_row(run, "tpot_s", run.wall_s, wall, floor))
        if run.cache_mib is not None and run.model == "qwen3-30b-a3b":
            all_experts_bytes = run.geometry.layers * run.experts * run.geometry.expert_bytes
            hits = hit_rate(run.experts, run.cache_mib) if run.cache_mib else 0.0
            out.append(
                _row(run, "read_bytes", bytes_, (1.0 - hits) * all_experts_bytes, all_experts_bytes)
            )
    return out


def _row(
    run: StreamedExpertsRun, target: str, measured: float, got: float, floor: float
) -> dict[str, Any]:
    kind = "overlapped" if run.overlapped else "in turns"
    return comparison_row(
        run.name,
        DEVICE,
        f"{run.model}, {kind}",
        target,
        measured,
        float(np.asarray(got)),
        roofline=floor,
    )
