"""Operator lists that state only the output size of each operator, as graphs for schedulers.

This is the form of published scheduling instances: predecessors by position, one output each, sizes
in a stated unit. Such a graph has lifetimes and sizes but no work, so that it can be scheduled and
not predicted.
"""

from __future__ import annotations

from dataclasses import replace
from graphlib import CycleError
from typing import Any

from pydantic import BaseModel, Field

from perfmodel.errors import InputError, nearest, one_of
from perfmodel.pydantic_faults import Flaw, locate
from perfmodel.source_positions import Marks
from perfmodel.specfile import validate
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.importers.topological_order import topological_order

#: Bytes of the units in which sizes may be stated.
UNITS = {
    "B": 1,
    "byte": 1,
    "bytes": 1,
    "kB": 10**3,
    "KB": 10**3,
    "KiB": 2**10,
    "MB": 10**6,
    "MiB": 2**20,
    "GB": 10**9,
    "GiB": 2**30,
}

_LIMIT = 2**60


class SizeEntry(BaseModel, frozen=True, extra="forbid", defer_build=True, strict=True):
    """One operator: positions of the operators that it reads, and the size of its single output."""

    name: str = ""
    inputs: list[int] = []
    output_size: float = Field(ge=0, allow_inf_nan=False)
    inplace: int | None = None
    free_store: bool = False


class SizesEntry(BaseModel, frozen=True, extra="forbid", defer_build=True, strict=True):
    """The whole file; the known optima that it may state are not read."""

    name: str = ""
    unit: str = "B"
    note: str = ""
    operators: list[SizeEntry] = Field(min_length=1)
    largest_working_set: float | None = None
    best_known: list[dict[str, Any]] = []


def graph_of_output_sizes(data: object, marks: Marks, file: str) -> Graph:
    """Return the graph of a list of operators with output sizes.

    Each operator writes one ``uint8`` tensor with one element per byte. ``inplace`` is passed to
    the operator. ``free_store`` becomes an attribute: spilling the output costs no store, because
    the tensor already exists off-chip or is written there anyway.

    Raises
    ------
    InputError
        All faults of the file, each with its location.
    """
    entry = validate(SizesEntry, data, marks, file)
    flaws: list[Flaw] = []

    def fault(
        path: tuple[str | int, ...], message: str, expected: str = "", near: str = ""
    ) -> None:
        flaws.append(Flaw(path, message, expected, near))

    if entry.unit not in UNITS:
        near = nearest(entry.unit, UNITS)
        fault(("unit",), f"'{entry.unit}' is not a unit of size", one_of(UNITS), near)
    unit = UNITS.get(entry.unit, 1)
    count = len(entry.operators)
    for i, op in enumerate(entry.operators):
        place = "operators", i
        size = op.output_size * unit
        if size != int(size) or size > _LIMIT:
            message = f"{op.output_size:g} {entry.unit} is not a size"
            fault((*place, "output_size"), message, f"whole bytes up to {_LIMIT}")
        for j, source in enumerate(op.inputs):
            if not 0 <= source < count:
                message = f"there is no operator {source}"
                fault((*place, "inputs", j), message, f"a position from 0 to {count - 1}")
        if op.inplace is not None and op.inplace not in op.inputs:
            expected = " or ".join(["null", *map(str, dict.fromkeys(op.inputs))])
            fault((*place, "inplace"), f"{op.inplace} is not one of its inputs", expected)
    order: list[int] = []
    try:
        if not flaws:
            order = topological_order([op.inputs for op in entry.operators])
    except CycleError as error:
        cycle = sorted(set(error.args[1]))
        message = f"operators depend on each other: {', '.join(map(str, cycle[:8]))}"
        fault(("operators", cycle[0], "inputs"), message, "a graph without a cycle")
    if flaws:
        raise InputError(locate(flaws, marks, file))
    return _build(entry, unit, order)


def _build(entry: SizesEntry, unit: int, order: list[int]) -> Graph:
    """Return the graph of the operators in topological order."""
    builder = GraphBuilder(entry.name or "operators")
    written: dict[int, Tensor] = {}
    read = {source for op in entry.operators for source in op.inputs}
    for i in order:
        op = entry.operators[i]
        name = op.name or f"operator_{i}"
        size = int(op.output_size * unit)
        y = written[i] = builder.tensor(f"{name}.out", (size,), format="uint8")
        builder.operator(
            name,
            "opaque",
            [written[s] for s in dict.fromkeys(op.inputs)],
            [y],
            pair=(y.slot, y.slot),
            inplace=written[op.inplace] if op.inplace is not None else None,
            attributes={"free_store": op.free_store, "index": i, "size": size},
        )
        if not op.inputs:
            builder.inputs.append(y.name)
        if i not in read:
            builder.outputs.append(y.name)
    return replace(builder.build(), schedulable_only=True)
