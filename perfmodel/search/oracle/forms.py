"""The forms of segments that are built alike: what of them no number of a device decides.

One graph a shape tells which kernel reads what and how long everything lives, and which kernels
there are at all. Oracles of other devices, batches and images find that again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from perfmodel.search.oracle.banks import needs_of, padded, peaks_of, touched_of
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, Index, NotTabledError
from perfmodel.workload.fuse import FusedKernel, kernels
from perfmodel.workload.graph import Graph
from perfmodel.workload.nas_spaces import Choice, Kin

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


#: The shape of a segment without kernels.
EMPTY_SHAPE = SegmentShape((), ((-1, -1), (-1, -1)))


class SegmentForms:
    """The forms of segments that are built alike: which choices share one.

    Parameters
    ----------
    options
        Every choice of the segment's decisions.
    kin
        Choice -> its shape and its operations.
    build
        Choice -> the graph of one of the segments, with a number for every extent.
    labelled
        Kinds of operators whose operation is told apart (`Kin.kinds`).

    Attributes
    ----------
    index : array of shape ``(options,)``
        Form of each choice.
    shape : array of shape ``(forms,)``
        Shape of each form.
    spans : array of shape ``(shapes,)``
        Kernels for which the entering activation lives on.
    peaks : array of shape ``(shapes, 1)``
        Most activations that are live at once.
    touched : array of shape ``(shapes, kernels, activations)``
        Activations that each kernel touches; -1 for none.
    rows : array of shape ``(forms, kernels)``
        What each kernel is, as an index into `examples`; -1 for none.
    examples
        Each kernel that is distinct: a choice that has it, and its place there.

    Raises
    ------
    NotTabledError
        See `shape_of`.
    """

    def __init__(
        self,
        options: Sequence[Choice],
        kin: Callable[[Choice], Kin],
        build: Callable[[Choice], Graph],
        labelled: frozenset[str],
        pricing: Pricing,
    ) -> None:
        known: dict[Kin, int] = {}
        sample: list[Choice] = []
        index: list[int] = []
        for option in options:
            form = kin(option)
            at = known.setdefault(form, len(known))
            if at == len(sample):
                sample.append(option)
            index.append(at)
        self.index: Index = np.array(index, dtype=np.intp)
        places: dict[Hashable, int] = {}
        shapes: list[SegmentShape] = []
        for form, option in zip(known, sample, strict=True):
            if form.shape not in places:
                places[form.shape] = len(places)
                shapes.append(shape_of(build(option), pricing, labelled))
        self.shape: Index = np.array([places[form.shape] for form in known], dtype=np.intp)
        # What a shape does not have lives from kernel -1 to kernel -1: within it never.
        ends = padded([np.ravel(s.intervals).tolist() for s in shapes])
        self._first, self._last = np.moveaxis(ends.reshape(len(shapes), -1, 2), -1, 0)
        self.spans: Index = self._last[:, 0] + 1
        self._units = np.ones((len(shapes), 1, self._last.shape[1]), dtype=np.float32)
        self.peaks: Floats = peaks_of(self._first, self._last, self._units).astype(float)
        self.touched: Index = touched_of([[row[2] for row in s.rows] for s in shapes])
        self.examples: list[tuple[Choice, int]] = []
        self.rows: Index = self._kernels(list(known), sample, shapes)
        self._needs: dict[tuple[int, ...], Floats] = {}

    def _kernels(
        self,
        forms: Sequence[Kin],
        sample: Sequence[Choice],
        shapes: Sequence[SegmentShape],
    ) -> Index:
        """Return what each kernel of each form is; distinct ones are appended to `examples`."""
        # The same tensor twice takes the same state twice.
        signatures = [
            [((signature, len(tensors)), place) for signature, place, tensors in shape.rows]
            for shape in shapes
        ]
        known: dict[Hashable, int] = {}
        rows = np.full((len(forms), self.touched.shape[1]), -1, dtype=np.intp)
        places: list[int] = self.shape.tolist()
        for i, (form, at) in enumerate(zip(forms, places, strict=True)):
            kinds: list[int] = []
            for step, (signature, place) in enumerate(signatures[at]):
                key = (signature, form.operations[place] if place >= 0 else "")
                kind = known.setdefault(key, len(known))
                if kind == len(self.examples):
                    self.examples.append((sample[i], step))
                kinds.append(kind)
            rows[i, : len(kinds)] = kinds
        return rows

    def needs(self, lengths: tuple[int, ...]) -> Floats:
        """Return needs in activations, as `needs_of` does.

        Parameters
        ----------
        lengths
            Kernels for which the leaving activation lives on.
        """
        if lengths not in self._needs:
            # Many shapes differ in what their kernels are, and few in what lives beside what.
            ends = np.concatenate([self._first, self._last], axis=1)
            distinct, where = np.unique(ends, axis=0, return_inverse=True)
            first, last = np.split(distinct, 2, axis=1)
            needs = needs_of(first, last, self._units[: len(distinct)], lengths)
            self._needs[lengths] = needs[np.reshape(where, -1)]
        return self._needs[lengths]


def shape_of(graph: Graph, pricing: Pricing, labelled: frozenset[str]) -> SegmentShape:
    """Return the shape of a segment's graph.

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
        return EMPTY_SHAPE
    pricing.refuse_conversions(graph)
    size = graph.tensors[x].shape
    made = kernels(graph, pricing.job.model.fusion)
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
        operator.kind
        if operator.kind in labelled
        else (operator.kind, dict(operator.attributes).get("function", ""))
        for operator in kernel.operators
    )
