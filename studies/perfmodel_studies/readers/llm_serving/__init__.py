"""LLM servers under load: time per output token and time to first token of three engines.

Rows that repeat a measurement under another label are left out; rows whose columns do not say how
many replicas or nodes were measured, and those that wait for a place in the batch, count against
the coverage (see `perfmodel_studies.readers.llm_serving.rows`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from perfmodel.errors import InputError
from perfmodel.evaluate.files import DataFolder
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evaluate.run import error_of, grouped, worst_of
from perfmodel.hardware.library import hardware

from perfmodel_studies.readers.llm_serving import costs
from perfmodel_studies.readers.llm_serving.costs import Vector
from perfmodel_studies.readers.llm_serving.rows import PLACES, ServingRow, read

__all__ = ["NAME", "PLACES", "TITLE", "load", "refits"]

NAME: Final = "llm_serving_e2e"
TITLE: Final = "LLM servers (TensorRT-LLM, vLLM, SGLang) under load: TPOT and TTFT"


def _sorted(
    folder: DataFolder, devices: Sequence[str | Path]
) -> tuple[list[ServingRow], dict[str, list[str]], int]:
    """Return rows that can be predicted, reasons why others cannot, and how many repeat one."""
    rows, repeated = read(folder)
    kept: list[ServingRow] = []
    failed: dict[str, list[str]] = {}
    known: dict[str, str] = {}
    for row in rows:
        if row.device not in known:
            try:
                hardware(row.device, devices)
                known[row.device] = ""
            except InputError as error:
                known[row.device] = str(error.faults[0])
        reason = row.reason or known[row.device]
        if reason:
            failed.setdefault(reason, []).append(row.name)
        else:
            kept.append(row)
    return kept, failed, repeated


def load(folder: DataFolder, devices: Sequence[str | Path] = ()) -> ValidationResult:
    """Compare every row with `perfmodel.system.serving.serve` under the library's runtimes."""
    rows, failed, repeated = _sorted(folder, devices)
    out: list[dict[str, Any]] = []
    if rows:
        parts = costs.parts_of(rows, devices)
        stated = costs.stated()
        bare = costs.roofline(parts)
        found = {"tpot_s": costs.tpot(parts, stated), "ttft_s": costs.ttft(parts, stated)}
        for target, predicted in found.items():
            out += [
                _row(row, target, float(value), float(floor))
                for row, value, floor in zip(rows, predicted, bare[target], strict=True)
            ]
    primary = [r for r in out if r["target"] == "tpot_s"]
    groups = {
        kind: error_of([r for r in primary if r["sparse"] == sparse])
        for kind, sparse in (("dense", False), ("mixtures of experts", True))
    }
    total = len(rows) + sum(map(len, failed.values()))
    return ValidationResult(
        NAME, total, len(rows) / total if total else 0.0,
        {t: error_of([r for r in out if r["target"] == t]) for t in ("tpot_s", "ttft_s")}, "tpot_s",
        grouped(primary, lambda r: r["device"]), grouped(primary, lambda r: r["group"]),
        {"roofline": error_of(primary, "roofline")} if primary else {},
        tuple({"reason": k, "rows": len(v), "first": v[0]} for k, v in failed.items()),
        worst_of(primary), tuple(out),
        (f"{repeated} further rows repeat a measurement under another label", *folder.note(
            folder.need(NAME, *PLACES))),
        {"tpot_s": groups},
    )  # fmt: skip


def _row(row: ServingRow, target: str, predicted: float, floor: float) -> dict[str, Any]:
    measured = getattr(row, target)
    return {
        "name": row.name, "device": row.device, "group": f"{row.model} {row.runtime}",
        "target": target, "measured": measured, "predicted": predicted,
        "error": predicted / measured - 1.0, "roofline": floor, "sparse": costs.sparse(row.model),
    }  # fmt: skip


def refits(folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
    """Return how the engines' constants were fitted, to leave a model or a system out.

    TPOT decides all constants but those of TTFT, which are fitted beside them.
    """
    rows, _, _ = _sorted(folder, devices)
    parts = costs.parts_of(rows, devices)
    stated = costs.stated()
    kinds = {"model": [row.model for row in rows], "system": [row.device for row in rows]}

    def tpot(constants: Mapping[str, float]) -> Vector:
        return costs.tpot(parts, constants)

    def ttft(constants: Mapping[str, float]) -> Vector:
        return costs.ttft(parts, {**stated, **constants})

    found: list[Refit] = []
    for target, forward, constants, scale in (
        ("tpot_s", tpot, costs.CONSTANTS, 0.1), ("ttft_s", ttft, costs.FIRST, 0.3),
    ):  # fmt: skip
        measured = np.array([getattr(row, target) for row in rows])
        found += [
            Refit(f"{target}, {kind}s", measured, groups, constants, forward, kind, scale)
            for kind, groups in kinds.items()
            if len(set(groups)) > 1
        ]
    return found
