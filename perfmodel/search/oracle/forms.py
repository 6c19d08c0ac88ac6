"""The forms of segments that are built alike: what of them no number of a device decides.

One graph a shape tells which kernel reads what and how long everything lives, and which kernels
there are at all. Oracles of other devices, batches and images find that again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, Index, NotTabledError
from perfmodel.workload.fuse import FusedKernel, kernels
from perfmodel.workload.graph import Graph
from perfmodel.workload.nas_spaces import Choice, Kin

#: What a kernel is, apart from where its tensors live.
Signature: TypeAlias = tuple[Hashable, ...]

#: Numbers of kernels of a segment, which are few.
Steps: TypeAlias = npt.NDArray[np.int16]


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
    spans, peaks : arrays of shape ``(shapes,)``
        Kernels for which the entering activation lives on; most activations live at once.
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
        shapes: list[SegmentShape | None] = []
        for form, option in zip(known, sample, strict=True):
            if form.shape not in places:
                places[form.shape] = len(places)
                shapes.append(shape_of(build(option), pricing, labelled))
        self.shape: Index = np.array([places[form.shape] for form in known], dtype=np.intp)
        self._first, self._last = _intervals(shapes)
        self.spans: Index = self._last[:, 0].astype(np.intp) + 1
        self.peaks: Index = self._peaks()
        self.touched: Index = _touched(shapes)
        self.examples: list[tuple[Choice, int]] = []
        self.rows: Index = self._kernels(list(known), sample, shapes)
        self._needs: dict[tuple[int, ...], Floats] = {}

    def _kernels(
        self,
        forms: Sequence[Kin],
        sample: Sequence[Choice],
        shapes: Sequence[SegmentShape | None],
    ) -> Index:
        """Return what each kernel of each form is; distinct ones are appended to `examples`."""
        # The same tensor twice takes the same state twice.
        signatures: list[list[tuple[Hashable, int]]] = [[] for _ in shapes]
        for shape, line in zip(shapes, signatures, strict=True):
            if shape is not None:
                line += [((s, len(tensors)), place) for s, place, tensors in shape.rows]
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

    def _peaks(self) -> Index:
        peaks = np.zeros(len(self._first), dtype=np.intp)
        for step in range(self.steps):
            live = (self._first <= step) & (step <= self._last)
            np.maximum(peaks, live.sum(axis=1), out=peaks)
        return peaks

    @property
    def steps(self) -> int:
        """Kernels of the longest shape."""
        return int(self._last.max(initial=-1)) + 1

    def needs(self, lengths: tuple[int, ...]) -> Floats:
        """Return needs in activations, ``(shapes, lengths, tensors)``; see `Fragment.need`.

        Parameters
        ----------
        lengths
            Kernels for which the leaving activation lives on.
        """
        if lengths not in self._needs:
            self._needs[lengths] = self._needs_of(lengths)
        return self._needs[lengths]

    def _needs_of(self, lengths: Sequence[int]) -> Floats:
        # Many shapes differ in what their kernels are, and few in what lives beside what.
        pairs = np.concatenate([self._first, self._last], axis=1)
        distinct, where = np.unique(pairs, axis=0, return_inverse=True)
        most = self._first.shape[1]
        first, last = distinct[:, :most], distinct[:, most:]
        steps = np.arange(self.steps)
        # [shape, activation, step]: whether it is live; whole numbers that singles hold exactly.
        live = (first[:, :, None] <= steps) & (steps <= last[:, :, None])
        count = live.astype(np.float32)
        out = np.zeros((len(distinct), len(lengths), most))
        for k, length in enumerate(lengths):
            lasts = last - first
            lasts[:, 1] = length
            # [shape, t, j]: whether activation j counts beside t.
            counts = (lasts[:, None, :] <= lasts[:, :, None]) | np.eye(most, dtype=bool)
            beside = counts.astype(np.float32) @ count
            out[:, k] = np.where(live, beside, 0.0).max(axis=2, initial=0.0)
        return out[np.reshape(where, -1)]


def _intervals(shapes: Sequence[SegmentShape | None]) -> tuple[Steps, Steps]:
    """Return first and last kernels of activations, ``(shapes, activations)``.

    What a shape does not have is never live.
    """
    most = max((len(s.intervals) for s in shapes if s), default=2)
    first = np.full((len(shapes), most), 1, dtype=np.int16)
    last = np.full((len(shapes), most), -1, dtype=np.int16)
    for i, shape in enumerate(shapes):
        if shape is not None:
            pairs = np.array(shape.intervals, dtype=np.int16)
            first[i, : len(pairs)], last[i, : len(pairs)] = pairs.T
    return first, last


def _touched(shapes: Sequence[SegmentShape | None]) -> Index:
    """Return the activations that each kernel touches; see `SegmentForms.touched`."""
    rows = max((len(s.rows) for s in shapes if s), default=0)
    most = max((len(tensors) for s in shapes if s for _, _, tensors in s.rows), default=0)
    out = np.full((len(shapes), rows, most), -1, dtype=np.intp)
    for i, shape in enumerate(shapes):
        for step, (_, _, tensors) in enumerate(shape.rows if shape else ()):
            out[i, step, : len(tensors)] = tensors
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
        operator.kind
        if operator.kind in labelled
        else (operator.kind, dict(operator.attributes).get("function", ""))
        for operator in kernel.operators
    )
