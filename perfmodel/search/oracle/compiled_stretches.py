"""Compiled stretches of networks: their costs in all states, live ranges and bytes.

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
from itertools import pairwise
from operator import is_

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.operand_bytes import slot_bytes
from perfmodel.search.oracle.boundary_blocks import AFTER, BEFORE, END
from perfmodel.search.oracle.kernel_pricing import Floats, NotTabledError, Priced
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.stretch_banks import (
    Stretches,
    needs_of,
    pad_rows,
    peaks_of,
    touched_activations,
)
from perfmodel.search.oracle.stretch_graphs import NetworkStretch, side_by_side
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.operator_table import Accesses, OperatorTable
from perfmodel.workload.symbols import Dim

#: Rows times states times settings costed at once, so that their columns fit in the caches.
_BATCH = 100_000


@dataclass(frozen=True, slots=True)
class CompiledStretch:
    """Costs, live ranges and bytes of a stretch.

    Attributes
    ----------
    priced
        Costs of its kernels in all states; None for an empty stretch.
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

    priced: Priced | None
    touched: tuple[tuple[int, ...], ...]
    intervals: tuple[tuple[int, int], ...]
    sizes: Floats
    stored: Floats


#: A stretch without kernels.
EMPTY_STRETCH = CompiledStretch(None, (), ((-1, -1), (-1, -1)), np.zeros((1, 2)), np.zeros((1, 3)))


def stretch_arrays(stretches: Sequence[CompiledStretch], settings: int) -> Stretches:
    """Return compiled stretches as arrays; no two share a shape."""
    starts = np.cumsum([0, *(len(each.touched) for each in stretches)]).tolist()
    most = max(len(each.intervals) for each in stretches)

    def needs(lengths: tuple[int, ...]) -> Floats:
        out = np.zeros((len(stretches), len(lengths), settings, most))
        for own, each in zip(out, stretches, strict=True):
            first, last = np.array(each.intervals).T[:, None]
            own[..., : len(each.intervals)] = needs_of(first, last, each.sizes[None], lengths)[0]
        return out

    return Stretches(
        [each.priced for each in stretches if each.priced is not None],
        pad_rows([range(start, stop) for start, stop in pairwise(starts)]),
        np.arange(len(stretches)),
        np.arange(len(stretches)),
        touched_activations([each.touched for each in stretches]),
        np.array([each.intervals[0][1] + 1 for each in stretches], dtype=np.intp),
        needs,
        np.stack([np.broadcast_to(each.stored, (settings, 3)) for each in stretches]),
    )


class StretchCompiler:
    """Compiler of stretches as disconnected parts of one graph.

    The graph is independent of the device, so oracles of other devices reuse its lowered form.
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
    ) -> list[CompiledStretch]:
        """Compile all stretches.

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
        stretches: list[NetworkStretch] = []
        for stretch in self.stretches:
            check()
            stretches.append(stretch.executed(pricing.layout))
        unchanged = all(map(is_, stretches, self.stretches))
        graph = self.graph if unchanged else side_by_side(self.graph.name, stretches)
        graph = pricing.executed_part(graph)
        table = pricing.bound(graph, values, points, accesses=True)
        rows = self._rows(graph, pricing)
        activations = _activations(stretches, rows, table, pricing)
        if pricing.job.model.bare:
            table = replace(table, accesses=None)
        priced = _priced(table, [own for own in rows if own], pricing, check)
        return [
            EMPTY_STRETCH
            if own is None
            else _compiled(stretch, own, next(priced), next(activations), values, pricing)
            for stretch, own in zip(stretches, rows, strict=True)
        ]

    def _rows(self, graph: Graph, pricing: Pricing) -> list[range | None]:
        """Return the rows of each stretch in the operator table; None for an empty stretch."""
        rows: dict[int, list[int]] = {}
        for row, kernel in enumerate(pricing.lowered(graph).kernels):
            number, _, name = kernel.block.name.partition(":")
            if name not in ("", BEFORE, AFTER):
                rows.setdefault(int(number), []).append(row)
        ranges: list[range | None] = []
        for i, stretch in enumerate(self.stretches):
            if not stretch.empty and i not in rows:
                raise NotTabledError(f"{stretch.graph.name} moves nothing and is not its input")
            ranges.append(None if stretch.empty else range(rows[i][0], rows[i][-1] + 1))
        return ranges


def _priced(
    table: OperatorTable, stretches: Sequence[range], pricing: Pricing, check: Callable[[], None]
) -> Iterator[Priced]:
    """Yield the costs of stretches, as ranges of rows, priced in batches."""
    accesses = np.zeros(len(table.rows), dtype=np.intp)
    if table.accesses is not None:
        with_state = table.accesses.row[np.asarray(table.accesses.tensor) >= 0]
        accesses = np.bincount(with_state, minlength=len(table.rows))
    batch: list[range] = []
    most = count = 0
    for rows in stretches:
        check()
        own = int(accesses[rows.start : rows.stop].max())
        most = max(most, own)
        count += len(rows)
        if batch and count * pricing.states.count**most * table.points > _BATCH:
            yield from _priced_together(table, batch, pricing)
            batch, most, count = [], own, len(rows)
        batch.append(rows)
    yield from _priced_together(table, batch, pricing)


def _priced_together(
    table: OperatorTable, stretches: Sequence[range], pricing: Pricing
) -> Iterator[Priced]:
    """Yield the costs of stretches from one pass over all of their rows."""
    priced = pricing.priced(table, [row for rows in stretches for row in rows])
    start = 0
    for rows in stretches:
        yield priced.part(start, start + len(rows))
        start += len(rows)


def _compiled(
    stretch: NetworkStretch,
    rows: range,
    priced: Priced,
    activations: _Activations,
    values: Mapping[str, Value],
    pricing: Pricing,
) -> CompiledStretch:
    """Return a compiled stretch from its part of the common tables."""
    graph, intervals = stretch.graph, activations.intervals
    if not pricing.job.model.bare and intervals[1][0] != len(rows) - 1:
        raise NotTabledError(f"{graph.name} makes its output before its last kernel")
    copies: dict[Tensor, Dim] = {}
    for block, operator in reversed(list(graph.walk())):
        copies |= {graph.tensors[access.tensor]: block.stored for access in operator.accesses}
    weight_bytes, cache_bytes = (
        pricing.stored({t: n for t, n in copies.items() if t.role in roles}, values)
        for roles in (("weight",), ("kv", "state"))
    )
    first, last = np.array(intervals).T[:, None]
    peak_bytes = peaks_of(first, last, activations.sizes[None])[0]
    stored = np.stack(np.broadcast_arrays(weight_bytes, cache_bytes, peak_bytes), axis=-1)
    touched = tuple(tuple(activations.by_access[i] for i in each) for each in priced.digits)
    return CompiledStretch(priced, touched, intervals, activations.sizes, stored)


@dataclass(frozen=True, slots=True)
class _Activations:
    """Activations of a stretch: 0 enters, 1 leaves, the others are internal.

    Attributes
    ----------
    sizes, intervals
        See `CompiledStretch`.
    by_access
        Index of an access in the common table -> activation.
    """

    sizes: Floats
    intervals: tuple[tuple[int, int], ...]
    by_access: Mapping[int, int]


def _activations(
    stretches: Sequence[NetworkStretch],
    rows: Sequence[range | None],
    table: OperatorTable,
    pricing: Pricing,
) -> Iterator[_Activations]:
    """Yield the activations of each non-empty stretch."""
    accesses = table.accesses
    assert isinstance(accesses, Accesses)
    lives = accesses.lifetimes
    element_bytes = slot_bytes(lives.slots, table.points, pricing.setting)
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
    for i, (stretch, own) in enumerate(zip(stretches, rows, strict=True)):
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
