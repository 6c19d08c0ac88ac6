"""What the tables of llama.cpp share: names of devices and models, questions, machines."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from perfmodel.errors import Fault, InputError
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.files import DataFolder
from perfmodel.formats import Precision, as_precision
from perfmodel.formats.gguf import for_rows
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.measurements import CsvRow, CsvTable, read_rows
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

from perfmodel_studies.words import bare_name

__all__ = [
    "CHIP", "decode", "device_named", "precision_of", "prefill", "read", "read_cases", "slug",
    "token", "whole_prompt",
]  # fmt: skip

#: An Apple chip with its GPU cores: ``M1 Max 32-Core GPU``, ``M1 Ultra (48 GPU Core)``.
CHIP: Final = re.compile(
    r"\b(M\d)( Pro| Max| Ultra)?\b(?:[^\d]*(\d+)[ \u2010-\u2015-]+(?:GPU )?[Cc]ore)?"
)


def read(folder: DataFolder, name: str, places: Sequence[str], columns: Sequence[str]) -> tuple[
    Path, CsvTable
]:  # fmt: skip
    """Return the file of a data set and its rows.

    Raises
    ------
    InputError
        No such file; columns that it lacks.
    """
    path = folder.need(name, *places)
    rows = read_rows(path)
    faults = rows.missing(columns)
    if faults:
        raise InputError(faults)
    return path, rows


def read_cases(
    folder: DataFolder, name: str, places: Sequence[str], columns: Sequence[str],
    case: Callable[[CsvTable, CsvRow, list[Fault]], ValidationCase], notes: Sequence[str] = (),
) -> Cases:  # fmt: skip
    """Return the cases of a data set, one a row of its file, with notes of its own.

    Raises
    ------
    InputError
        Every fault of every row at once.
    """
    path, rows = read(folder, name, places, columns)
    faults: list[Fault] = []
    cases = [case(rows, row, faults) for row in rows]
    if faults:
        raise InputError(faults)
    return Cases(name, cases, notes=(*notes, *folder.note(path)))


def slug(text: str) -> str:
    """Return a name in snake case: ``RTX 4070 Ti SUPER (Vulkan)`` -> ``rtx_4070_ti_super``."""
    bare = re.sub(
        r"\(.*?\)|\b(?:NVIDIA|AMD|Intel|GeForce)\b|\b\d+ ?GB\b|\bECO\b", " ", text, flags=re.I
    )
    return re.sub(r"[^a-z0-9]+", "_", bare.lower()).strip("_")


def device_named(text: str, devices: Sequence[str | Path] = ()) -> Device:
    """Return the library's device that a table means.

    Raises
    ------
    InputError
        None has such a name.
    """
    found = slug(text)
    last: InputError | None = None
    for name in (found, *(f"{head}_{found}" for head in ("rtx", "radeon", "radeon_rx", "apple"))):
        try:
            return hardware(name, devices)
        except InputError as error:
            last = last or error
    assert last is not None
    raise last


def precision_of(quant: str, workload: Workload) -> Precision:
    """Return the precision of a GGUF file of a model, by the lengths of its tensors' rows."""
    found = as_precision(quant.lower())
    lengths = {
        tensor.tag: int(tensor.shape[-1])
        for tensor in workload.graph().tensors.values()
        if tensor.role == "weight"
        and tensor.tag not in ("", "vector")
        and isinstance(tensor.shape[-1], int)
    }
    return replace(found, weights=for_rows(found.weights, lengths, tied="head" not in lengths))


@cache
def token(model: str, context: float, batch: float = 1) -> Workload:
    """Return a decode step of a model of the library."""
    return find(model, {"phase": "decode", "batch": batch, "context": context})


@cache
def whole_prompt(model: str, tokens: float) -> Workload:
    """Return the reading of a prompt by a model of the library."""
    return find(model, {"phase": "prefill", "batch": 1, "prompt": tokens})


def decode(model: str, context: float, tokens_per_s: float, batch: float = 1) -> MeasuredQuantity:
    """Return the question of a token's seconds (of a step, for a batch)."""
    return MeasuredQuantity(
        "latency_s", "latency_s", batch / tokens_per_s, token(model, context, batch)
    )


def prefill(model: str, tokens: float, tokens_per_s: float) -> MeasuredQuantity:
    """Return the question of a prompt's seconds."""
    work = whole_prompt(model, tokens)
    return MeasuredQuantity("prefill_latency_s", "latency_s", tokens / tokens_per_s, work)


def model_named(text: str, known: Mapping[str, str]) -> str:
    """Return the library's name of a model of a table, of which the formats may follow.

    Raises
    ------
    InputError
    """
    name = known.get(bare_name(text))
    if name is None:
        raise InputError(Fault(f"no model of the library is '{text}'"))
    return name


def split_over(machine: Machine, count: int) -> Machine:
    """Return a machine whose layers lie on so many equal devices, with all their memory."""
    if count == 1:
        return machine
    size = f"memories.{machine.main_memory}.capacity"
    return machine.vary({"runtime.split": float(count), size: machine.facts[size] * count})


def number(
    rows: CsvTable, row: CsvRow, column: str, faults: list[Fault], scale: float = 1.0
) -> float:
    """Return a number that a row must have (1.0 beside a fault where it has none)."""
    found = rows.number(row, column, faults, scale=scale)
    return 1.0 if found is None else found
