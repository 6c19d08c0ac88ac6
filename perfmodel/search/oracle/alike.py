"""Segments of very many forms: the same kernels on tensors of one size but for the operations.

A NAS-Bench-201 cell has thousands of forms, of which few differ in more than which operation stands
where. One graph a shape tells which kernel reads what and how long everything lives; one row a kind
of kernel tells what it costs in every state.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.search.oracle.chain import Context
from perfmodel.search.oracle.fragment import surrounded
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, Index, NotTabledError, Priced
from perfmodel.workload.fuse import FusedKernel, kernels
from perfmodel.workload.graph import Graph
from perfmodel.workload.nas_spaces import Choice, Kin
from perfmodel.workload.symbols import evaluate

#: What a kernel is, apart from where its tensors live.
Signature: TypeAlias = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class SegmentShape:
    """Kernels of all segments of one shape, in units of the one size of their activations.

    Attributes
    ----------
    rows
        Kernel -> (signature without the operation, place of its operation among those of the
        segment or -1, activations that it touches). Activations: 0 enters, 1 leaves.
    intervals
        First and last kernel of each activation; -1 is the kernel before.
    """

    rows: tuple[tuple[Signature, int, tuple[int, ...]], ...]
    intervals: tuple[tuple[int, int], ...]

    @property
    def peak(self) -> int:
        """Most activations live at once."""
        steps = range(len(self.rows))
        return max(sum(a <= step <= b for a, b in self.intervals) for step in steps)


def needs_of(shapes: Sequence[SegmentShape | None], lengths: Sequence[int]) -> Floats:
    """Return needs in activations, ``(shapes, lengths, tensors)``; see `Fragment.need`.

    Parameters
    ----------
    lengths
        Kernels for which the leaving activation lives on.
    """
    most = max((len(s.intervals) for s in shapes if s), default=2)
    first = np.full((len(shapes), most), 1, dtype=np.int16)
    last = np.zeros((len(shapes), most), dtype=np.int16)
    for i, shape in enumerate(shapes):
        if shape is not None:
            pairs = np.array(shape.intervals, dtype=np.int16)
            first[i, : len(pairs)], last[i, : len(pairs)] = pairs.T
    out = np.zeros((len(shapes), len(lengths), most))
    for k, length in enumerate(lengths):
        lasts = last - first
        lasts[:, 1] = length
        # [shape, t, j]: whether activation j counts beside t.
        counts = (lasts[:, None, :] <= lasts[:, :, None]) | np.eye(most, dtype=bool)
        for step in range(int(last.max(initial=0)) + 1):
            live = (first <= step) & (step <= last)
            beside = (counts & live[:, None, :]).sum(axis=2) * live
            out[:, k] = np.maximum(out[:, k], beside)
    return out


def shape_of(graph: Graph, pricing: Pricing, labelled: frozenset[str]) -> SegmentShape | None:
    """Return the shape of a segment's graph; None for one without kernels.

    Parameters
    ----------
    labelled
        Kinds of operators whose operation is told apart (`Kin.kinds`).

    Raises
    ------
    NotTabledError
        Activations of several sizes, or an output that is not made by the last kernel.
    """
    (x,), (y,) = graph.inputs, graph.outputs
    if x == y:
        return None
    pricing.refuse_conversions(graph)
    size = graph.tensors[x].shape
    made = kernels(graph, pricing.job.static.fusion)
    place: dict[str, int] = {x: 0, y: 1}
    first: dict[int, int] = {0: -1}
    last: dict[int, int] = {}
    rows: list[tuple[Signature, int, tuple[int, ...]]] = []
    labels = [op.name for _, op in graph.walk() if op.kind in labelled]
    for step, kernel in enumerate(made):
        touched: list[int] = []
        for side in (kernel.reads, kernel.writes):
            for name in side:
                tensor = graph.tensors[name]
                if tensor.role != "activation":
                    continue
                if tensor.shape != size:
                    raise NotTabledError(f"activations of {graph.name} differ in size")
                at = place.setdefault(name, len(place))
                first.setdefault(at, step)
                last[at] = step
                touched.append(at)
        own = [labels.index(op.name) for op in kernel.operators if op.kind in labelled]
        if len(own) > 1:
            raise NotTabledError(f"a kernel of {graph.name} has two operations")
        rows.append((_signature(kernel, labelled), own[0] if own else -1, tuple(touched)))
    if first.get(1) != len(made) - 1:
        raise NotTabledError(f"{graph.name} makes its output before its last kernel")
    return SegmentShape(tuple(rows), tuple((first[i], last[i]) for i in range(len(place))))


def _signature(kernel: FusedKernel, labelled: frozenset[str]) -> Signature:
    return tuple(
        operator.kind if operator.kind in labelled
        else (operator.kind, dict(operator.attributes).get("function", ""))
        for operator in kernel.operators
    )  # fmt: skip


class AlikeBank:
    """The forms of one segment; a `perfmodel.search.oracle.chain.Bank`.

    Parameters
    ----------
    kin
        Of each form: its shape and its operations.
    shapes
        Shape of each key.
    sample
        One choice of each form, to build the graph of.
    build
        Choice -> the graph of the segment.
    needs
        `needs_of` the shapes.
    """

    def __init__(
        self, kin: Sequence[Kin], shapes: Mapping[Hashable, SegmentShape | None],
        sample: Sequence[Choice], build: Callable[[Choice], Graph], values: Mapping[str, Value],
        pricing: Pricing, needs: Callable[[tuple[int, ...]], Floats],
    ) -> None:  # fmt: skip
        self._pricing, self._values, self._needs = pricing, values, needs
        keys = list(shapes)
        at = {key: i for i, key in enumerate(keys)}
        self._shapes = [shapes[key] for key in keys]
        self._shape: Index = np.array([at[k.shape] for k in kin], dtype=np.intp)
        spans = [s.intervals[0][1] + 1 if s else 0 for s in self._shapes]
        self.lengths: Index = np.array(spans, dtype=np.intp)[self._shape]
        rows = self._price(kin, sample, build)
        unit = self._unit
        peaks = np.array([s.peak if s else 0 for s in self._shapes], dtype=float)
        self.peak_bytes: Floats = (peaks * unit)[self._shape][:, None]
        self._row: Index = rows
        real = rows >= 0
        self.weight_bytes: Floats = np.where(real, self._stored[0][rows], 0.0).sum(axis=1)[:, None]
        self.kv_bytes: Floats = np.where(real, self._stored[1][rows], 0.0).sum(axis=1)[:, None]
        most = max((len(t) for s in self._shapes if s for _, _, t in s.rows), default=0)
        self._touched: Index = np.full((len(keys), rows.shape[1], most), -1, dtype=np.intp)
        for i, shape in enumerate(self._shapes):
            for r, (_, _, tensors) in enumerate(shape.rows if shape else ()):
                self._touched[i, r, : len(tensors)] = tensors

    def _price(
        self, kin: Sequence[Kin], sample: Sequence[Choice], build: Callable[[Choice], Graph]
    ) -> Index:
        """Price every kind of kernel once; return the kind of each kernel of each form."""
        most = max((len(s.rows) for s in self._shapes if s), default=0)
        known: dict[Hashable, int] = {}
        rows = np.full((len(kin), most), -1, dtype=np.intp)
        self._kinds: list[Priced] = []
        stored: list[tuple[float, float]] = []
        self._unit = 0.0
        for i, each in enumerate(kin):
            shape = self._shapes[int(self._shape[i])]
            if shape is None:
                continue
            line: list[int] = []
            for r, (signature, operation, tensors) in enumerate(shape.rows):
                label = each.operations[operation] if operation >= 0 else ""
                # The same tensor twice takes the same state twice.
                key = (signature, label, len(tensors))
                kind = known.get(key)
                if kind is None:
                    kind = known[key] = len(self._kinds)
                    priced, held, self._unit = self._row_of(build(sample[i]), r)
                    self._kinds.append(priced)
                    stored.append(held)
                line.append(kind)
            rows[i, : len(line)] = line
        self._stored = np.array([*stored, (0.0, 0.0)], dtype=float).T
        return rows

    def _row_of(self, graph: Graph, row: int) -> tuple[Priced, tuple[float, float], float]:
        pricing = self._pricing
        whole, start = surrounded(graph)
        table = pricing.bound(whole, self._values, 1)
        priced = pricing.priced(table, [start + row])
        kernel = kernels(graph, pricing.job.static.fusion)[row]
        held = (self._kept(graph, kernel, ("weight",)), self._kept(graph, kernel, ("kv", "state")))
        entering = graph.tensors[graph.inputs[0]]
        elements = float(np.ravel(evaluate(entering.elements, self._values))[0])
        return priced, held, elements * (pricing.bits(entering) / 8.0)

    def _kept(self, graph: Graph, kernel: FusedKernel, roles: tuple[str, ...]) -> float:
        """Return the stored bytes of what a kernel, and it alone, reads."""
        total = 0.0
        for name in kernel.reads:
            tensor = graph.tensors[name]
            if tensor.role in roles:
                copies = evaluate(kernel.block.stored, self._values)
                elements = evaluate(tensor.elements, self._values)
                total += copies * elements * self._pricing.bits(tensor) / 8.0
        return total

    def prepare(self, lengths: Sequence[int], names: Sequence[str]) -> tuple[Floats, Floats]:
        """See `Bank.prepare`."""
        unit = self._unit
        states = self._pricing.states
        needs = self._needs(tuple(lengths))
        self._state = states.of(needs * unit)
        read, made = needs[:, :, 0] * unit, needs[:, :, 1] * unit
        # Every kind of kernel in every state, one after the other.
        self._first: Index = np.zeros(len(self._kinds) + 1, dtype=np.intp)
        parts: list[Any] = []
        for i, priced in enumerate(self._kinds):
            columns = [list(names).index(name) for name in priced.names]
            values = priced.values[:, 0, :, 0]
            full = np.zeros((values.shape[1], values.shape[0], len(names)))
            full[:, :, columns] = np.moveaxis(values, 0, 1)
            self._first[i + 1] = self._first[i] + len(full)
            parts.append(full)
        nothing = np.zeros((1, self._pricing.modes, len(names)))
        self._costs: Floats = np.concatenate([*parts, nothing])
        return made[self._shape][:, :, None], read[self._shape][:, :, None]

    @property
    def kinds(self) -> tuple[Priced, ...]:
        """The distinct kernels."""
        return tuple(self._kinds)

    def costs(self, stretches: Index, context: Context) -> Floats:
        """See `Bank.costs`."""
        c = self._pricing.states.count
        shape = self._shape[stretches]
        state = self._state[shape, context.following]
        state[:, 0] = context.enters
        state[:, 1] = context.leaves
        touched, rows = self._touched[shape], self._row[stretches]
        out: Floats | None = None
        n = np.arange(len(stretches))
        for r in range(rows.shape[1]):
            index = self._first[rows[:, r]].copy()
            for k in range(touched.shape[2]):
                at = touched[:, r, k]
                index += np.where(at >= 0, state[n, at] * c**k, 0)
            index[rows[:, r] < 0] = len(self._costs) - 1
            part = self._costs[index]
            out = part if out is None else out + part
        if out is None:
            return np.zeros((len(stretches), *self._costs.shape[1:]))
        return out

    def least(self, stretches: Index, settings: Sequence[int]) -> Floats:
        """See `Bank.least`."""
        del settings
        rows = self._row[stretches]
        lowest = np.array(
            [self._costs[a:b].min(axis=0) for a, b in pairwise(self._first.tolist())]
            + [np.zeros_like(self._costs[0])]
        )
        return lowest[rows].sum(axis=1).min(axis=0)
