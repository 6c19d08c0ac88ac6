"""Compiled stretches of networks: their rows and costs in all states, live ranges and bytes.

The lifetimes inside a stretch (`perfmodel.search.oracle.stretch_graphs`) are independent of the
remaining network, with two exceptions: the lifetime of the leaving activation depends on its
readers, and the need of the entering activation also depends on the tensors live at its producer.
Both are expressed in steps and bytes, so that a stretch is compiled once for all networks that
contain it. All stretches of a space are compiled together, as disconnected parts of one graph;
each is then a range of rows in the operator table of that graph.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, pairwise
from operator import is_
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.caches import cached
from perfmodel.search.oracle.boundary_blocks import AFTER, BEFORE, END
from perfmodel.search.oracle.kernel_pricing import Floats, Index, NotTabledError, Priced, digits_of
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.stretch_banks import (
    Stretches,
    needs_of,
    pad_rows,
    peaks_of,
    touched_activations,
)
from perfmodel.search.oracle.stretch_graphs import NetworkStretch, side_by_side
from perfmodel.search.oracle.table_structure import TableKey, TableStructure, no_deadline
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.operator_table import Accesses, OperatorTable
from perfmodel.workload.symbols import Dim

#: Rows times states times settings costed at once, so that their columns fit in the caches.
_BATCH = 100_000

#: Typical size in bytes of the table of a thousand kernels at a dozen settings.
_TABLE_BYTES = 8 << 20


class StretchLayout(NamedTuple):
    """Live ranges and bytes of a stretch.

    Attributes
    ----------
    touched
        Activations that each kernel accesses, whose states are the digits of its cost index; 0
        enters, 1 leaves.
    intervals
        First and last kernel of each activation; -1 is the kernel before the stretch.
    sizes : array of shape ``(settings, activations)``
        Bytes of the activations.
    stored : array of shape ``(settings, 3)``
        Bytes of weights, of caches, and peak bytes of live activations.
    """

    touched: tuple[tuple[int, ...], ...]
    intervals: tuple[tuple[int, int], ...]
    sizes: Floats
    stored: Floats


#: A stretch without kernels.
EMPTY_STRETCH = StretchLayout((), ((-1, -1), (-1, -1)), np.zeros((1, 2)), np.zeros((1, 3)))


def stretch_arrays(layouts: Sequence[StretchLayout], settings: int) -> Stretches:
    """Return stretches as arrays, without costs; no two share a shape."""
    starts = np.cumsum([0, *(len(each.touched) for each in layouts)]).tolist()
    most = max(len(each.intervals) for each in layouts)

    @lru_cache(maxsize=1)
    def needs(lengths: tuple[int, ...]) -> Floats:
        out = np.zeros((len(layouts), len(lengths), settings, most))
        for own, each in zip(out, layouts, strict=True):
            first, last = np.array(each.intervals).T[:, None]
            own[..., : len(each.intervals)] = needs_of(first, last, each.sizes[None], lengths)[0]
        return out

    return Stretches(
        (),
        pad_rows([range(start, stop) for start, stop in pairwise(starts)]),
        np.arange(len(layouts)),
        np.arange(len(layouts)),
        touched_activations([each.touched for each in layouts]),
        np.array([each.intervals[0][1] + 1 for each in layouts], dtype=np.intp),
        needs,
        np.stack([np.broadcast_to(each.stored, (settings, 3)) for each in layouts]),
    )


class BoundStretches(NamedTuple):
    """Stretches as ranges of rows of one operator table.

    Attributes
    ----------
    graph
        Graph of all of them, as the runtime executes it.
    table
        Its operator table, with individual accesses even for a bare roofline.
    rows
        Rows of each stretch; None for an empty one.
    """

    graph: Graph
    stretches: Sequence[NetworkStretch]
    table: OperatorTable
    rows: Sequence[range | None]

    def priced_table(self, structure: TableStructure) -> OperatorTable:
        """Return the table whose rows are costed."""
        return replace(self.table, accesses=None) if structure.bare else self.table


class StretchCompiler:
    """Compiler of stretches as disconnected parts of one graph.

    Tables are compiled once for all devices of one structure.
    """

    def __init__(self, name: str, stretches: Sequence[NetworkStretch]) -> None:
        self.stretches = tuple(stretches)
        self.graph = side_by_side(name, stretches)

    def compiled(
        self,
        values: Mapping[str, Value],
        points: int,
        pricing: Pricing,
        check: Callable[[], None],
    ) -> Stretches:
        """Compile and cost all stretches.

        Parameters
        ----------
        values
            Free dimension -> value, or array of shape ``(points,)``.
        check
            Function that raises when the time is over.

        Raises
        ------
        NotTabledError
            Other activations cross the ends of a stretch, or its output is not produced by its
            last kernel.
        """
        key = TableKey.of(pricing.structure, values, points, check)
        bound = bound_stretches(self, key)
        table = bound.priced_table(pricing.structure)
        arrays = _arrays(bound, key)
        rows = [row for own in bound.rows if own is not None for row in own]
        priced, place = priced_rows(table, rows, pricing, check)
        return replace(arrays, priced=priced, kernels=place[arrays.kernels])


def priced_rows(
    table: OperatorTable,
    rows: Sequence[int],
    pricing: Pricing,
    check: Callable[[], None] = no_deadline,
) -> tuple[list[Priced], Index]:
    """Return the costs of rows, in batches of equally many states, and the place of each row.

    Parameters
    ----------
    rows
        Rows to cost, ascending.

    Returns
    -------
    list of Priced
    array of shape ``(rows + 1,)``
        Place of each row among all of them; the last entry is -1, for no row.
    """
    counts = np.array([len(digits) for digits in digits_of(table.accesses, rows)], dtype=np.intp)
    priced: list[Priced] = []
    for count in np.unique(counts).tolist():
        own: list[int] = np.flatnonzero(counts == count).tolist()
        size = max(1, _BATCH // (pricing.states.count**count * table.points))
        for start in range(0, len(own), size):
            check()
            batch = [rows[i] for i in own[start : start + size]]
            priced.append(pricing.priced(table, batch, columns=True))
    place: Index = np.full(len(rows) + 1, -1, dtype=np.intp)
    place[np.argsort(counts, kind="stable")] = np.arange(len(rows))
    return priced, place


@cached(_TABLE_BYTES, identity_keys=1)
def bound_stretches(compiler: StretchCompiler, key: TableKey) -> BoundStretches:
    """Return the operator table of all stretches as the runtime executes them.

    Raises
    ------
    NotTabledError
    """
    structure = key.structure
    stretches: list[NetworkStretch] = []
    for stretch in compiler.stretches:
        key.check()
        stretches.append(stretch.executed(structure.layout))
    unchanged = all(map(is_, stretches, compiler.stretches))
    graph = compiler.graph if unchanged else side_by_side(compiler.graph.name, stretches)
    graph = structure.executed_part(graph)
    table = structure.bound(graph, key.values, key.points, accesses=True)
    rows: dict[int, list[int]] = {}
    for row, kernel in enumerate(structure.lowered(graph).kernels):
        number, _, name = kernel.block.name.partition(":")
        if name not in ("", BEFORE, AFTER):
            rows.setdefault(int(number), []).append(row)
    ranges: list[range | None] = []
    for i, stretch in enumerate(stretches):
        if not stretch.empty and i not in rows:
            raise NotTabledError(f"{stretch.graph.name} moves nothing and is not its input")
        ranges.append(None if stretch.empty else range(rows[i][0], rows[i][-1] + 1))
    return BoundStretches(graph, stretches, table, ranges)


@cached(_TABLE_BYTES, identity_keys=1)
def _arrays(bound: BoundStretches, key: TableKey) -> Stretches:
    """Return the stretches of a table as arrays, without costs."""
    structure = key.structure
    activations = _activations(bound, structure)
    own_rows = [row for own in bound.rows if own is not None for row in own]
    digits = iter(digits_of(bound.priced_table(structure).accesses, own_rows))
    layouts: list[StretchLayout] = []
    for stretch, own in zip(bound.stretches, bound.rows, strict=True):
        if own is None:
            layouts.append(EMPTY_STRETCH)
            continue
        accessed = list(islice(digits, len(own)))
        layouts.append(_layout(stretch, own, accessed, next(activations), key.values, structure))
    return stretch_arrays(layouts, key.points)


def _layout(
    stretch: NetworkStretch,
    rows: range,
    digits: Sequence[tuple[int, ...]],
    activations: _Activations,
    values: Mapping[str, Value],
    structure: TableStructure,
) -> StretchLayout:
    """Return the layout of a stretch from its part of the common table."""
    graph, intervals = stretch.graph, activations.intervals
    if not structure.bare and intervals[1][0] != len(rows) - 1:
        raise NotTabledError(f"{graph.name} makes its output before its last kernel")
    copies: dict[Tensor, Dim] = {}
    for block, operator in reversed(list(graph.walk())):
        copies |= {graph.tensors[access.tensor]: block.stored for access in operator.accesses}
    weight_bytes, cache_bytes = (
        structure.stored({t: n for t, n in copies.items() if t.role in roles}, values)
        for roles in (("weight",), ("kv", "state"))
    )
    first, last = np.array(intervals).T[:, None]
    peak_bytes = peaks_of(first, last, activations.sizes[None])[0]
    stored = np.stack(np.broadcast_arrays(weight_bytes, cache_bytes, peak_bytes), axis=-1)
    touched = tuple(tuple(activations.by_access[i] for i in each) for each in digits)
    return StretchLayout(touched, intervals, activations.sizes, stored)


@dataclass(frozen=True, slots=True)
class _Activations:
    """Activations of a stretch: 0 enters, 1 leaves, the others are internal.

    Attributes
    ----------
    sizes, intervals
        See `StretchLayout`.
    by_access
        Index of an access in the common table -> activation.
    """

    sizes: Floats
    intervals: tuple[tuple[int, int], ...]
    by_access: Mapping[int, int]


def _activations(bound: BoundStretches, structure: TableStructure) -> Iterator[_Activations]:
    """Yield the activations of each non-empty stretch."""
    table, accesses = bound.table, bound.table.accesses
    assert isinstance(accesses, Accesses)
    lives = accesses.lifetimes
    element_bytes = np.array([[structure.precision.bits(slot) / 8.0] for slot in lives.slots])
    sizes = np.broadcast_to(
        np.asarray(accesses.sizes, dtype=float) * element_bytes, (len(lives.names), table.points)
    )
    by_stretch: dict[str, dict[str, int]] = {}
    for tensor, prefixed in enumerate(lives.names):
        number, _, name = prefixed.partition(":")
        if name not in ("", END):
            by_stretch.setdefault(number, {})[name] = tensor
    access_rows: list[int] = accesses.row.tolist()
    access_tensors: list[int] = np.asarray(accesses.tensor).tolist()
    for i, (stretch, own) in enumerate(zip(bound.stretches, bound.rows, strict=True)):
        if own is None:
            continue
        tensors = by_stretch[str(i)]
        (entering,), (leaving,) = stretch.graph.inputs, stretch.graph.outputs
        order = [tensors.pop(entering), tensors.pop(leaving), *tensors.values()]
        # An input of the network has no producing kernel, which would be -1.
        earliest = own.start - (not stretch.first)
        intervals = [
            (max(first, earliest) - own.start, min(last, own.stop - 1) - own.start)
            for first, last in (lives.intervals[tensor] for tensor in order)
        ]
        if not stretch.last:
            # The further lifetime of the leaving activation depends on its readers.
            intervals[1] = (intervals[1][0], intervals[1][0])
        activation = {tensor: place for place, tensor in enumerate(order)}
        by_access = {
            access: activation[access_tensors[access]]
            for access in range(
                bisect_left(access_rows, own.start), bisect_left(access_rows, own.stop)
            )
            if access_tensors[access] >= 0
        }
        yield _Activations(sizes[order].T, tuple(intervals), by_access)
