"""Forms of segments with the same structure, independent of any device.

One graph per shape determines the kernels, their accesses and all live ranges. The result is cached
for oracles of other devices, batch sizes and image sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from perfmodel.caches import cached
from perfmodel.search.oracle.kernel_pricing import Floats, Index, NotTabledError
from perfmodel.search.oracle.stretch_banks import needs_of, pad_rows, peaks_of, touched_activations
from perfmodel.search.oracle.stretch_graphs import NetworkStretch
from perfmodel.workload.fuse import FusedKernel, FusionRules, fused_kernels
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.layout_conversions import BlockedChannelLayout
from perfmodel.workload.nas_spaces import Choice, VariantClass

#: Cache size in bytes: the forms of a NAS-Bench-201 cell, with the needs of their activations.
_FORMS_BYTES = 16 << 20

#: Identity of a kernel, independent of the location of its tensors.
Signature: TypeAlias = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class SegmentShape:
    """Kernels of all segments of one shape, in units of their common activation size.

    Attributes
    ----------
    rows
        Kernel -> (signature without the operation, position of its operation in the segment or
        -1, activations that it accesses). Activation 0 enters, 1 leaves.
    intervals
        First and last kernel of each activation; -1 is the kernel before the segment.
    """

    rows: tuple[tuple[Signature, int, tuple[int, ...]], ...]
    intervals: tuple[tuple[int, int], ...]


#: The shape of a segment without kernels.
EMPTY_SHAPE = SegmentShape((), ((-1, -1), (-1, -1)))


@dataclass(frozen=True, slots=True)
class AlikeSegments:
    """Segments with the same structure: they differ in sizes only, and share their forms.

    Attributes
    ----------
    build, variant_class, count, operations
        As in `Segment`.
    folded
        Whether batch normalisation is folded.
    entering
        Entering tensor, without name and shape.
    elementwise, into, layout
        Fusion and layout rules of the runtime (`FusionRules`, `BlockedChannelLayout`).
    options
        All choices of the segment's decisions.
    graph_of
        Choice -> graph of one of the segments, with numeric extents.
    fusion
        All fusion rules of the runtime; those above determine the forms.
    """

    build: Callable[..., Tensor]
    variant_class: Callable[[Choice], VariantClass]
    count: int
    operations: frozenset[str]
    folded: bool
    entering: Tensor
    elementwise: bool
    into: tuple[str, ...]
    layout: BlockedChannelLayout | None
    options: tuple[Choice, ...] = field(compare=False, repr=False)
    graph_of: Callable[[Choice], Graph] = field(compare=False, repr=False)
    fusion: FusionRules = field(compare=False, repr=False)


class SegmentForms:
    """Distinct forms of segments with the same structure, and the form of each choice.

    Parameters
    ----------
    alike
        The segments.

    Attributes
    ----------
    index : array of shape ``(options,)``
        Index of the form of each choice.
    shape : array of shape ``(forms,)``
        Index of the shape of each form.
    ranges : array of shape ``(shapes,)``
        Index of the live ranges of each shape: many differ in their kernels, few in these.
    spans : array of shape ``(shapes,)``
        Kernels for which the entering activation remains live.
    peaks : array of shape ``(shapes, 1)``
        Largest number of activations that are live at once.
    touched : array of shape ``(shapes, kernels, activations)``
        Activations that each kernel accesses; -1 for none.
    rows : array of shape ``(forms, kernels)``
        Each kernel as an index into `examples`; -1 for none.
    options
        Choices that together contain all distinct kernels.
    examples
        Distinct kernels: the index in `options` of a choice that contains it, and its position
        there.

    Raises
    ------
    NotTabledError
        See `shape_of`.
    """

    def __init__(self, alike: AlikeSegments) -> None:
        known: dict[VariantClass, int] = {}
        sample: list[Choice] = []
        index: list[int] = []
        for option in alike.options:
            form = alike.variant_class(option)
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
                shapes.append(shape_of(alike.graph_of(option), alike))
        self.shape: Index = np.array([places[form.shape] for form in known], dtype=np.intp)
        # Missing activations get the interval -1 to -1, which is outside every kernel.
        ends = pad_rows([np.ravel(s.intervals).tolist() for s in shapes])
        ends, ranges = np.unique(ends, axis=0, return_inverse=True)
        self.ranges: Index = ranges.reshape(-1)
        self._first, self._last = np.moveaxis(ends.reshape(len(ends), -1, 2), -1, 0)
        self.spans: Index = self._last[self.ranges, 0] + 1
        self._units = np.ones((len(ends), 1, self._last.shape[1]), dtype=np.float32)
        peaks = peaks_of(self._first, self._last, self._units).astype(float)
        self.peaks: Floats = peaks[self.ranges]
        self.touched: Index = touched_activations([[row[2] for row in s.rows] for s in shapes])
        self.options: list[Choice] = []
        self.examples: list[tuple[int, int]] = []
        self.rows: Index = self._kernels(list(known), sample, shapes)
        self._needs: dict[tuple[int, ...], Floats] = {}

    def _kernels(
        self,
        forms: Sequence[VariantClass],
        sample: Sequence[Choice],
        shapes: Sequence[SegmentShape],
    ) -> Index:
        """Return each kernel of each form as an index; append distinct ones to `examples`."""
        # The number of tensors matters, as a tensor that is accessed twice has one state.
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
                    if self.options[-1:] != [sample[i]]:
                        self.options.append(sample[i])
                    self.examples.append((len(self.options) - 1, step))
                kinds.append(kind)
            rows[i, : len(kinds)] = kinds
        return rows

    def needs(self, lengths: tuple[int, ...]) -> Floats:
        """Return needs in units of the activation size under each of the live ranges.

        Parameters
        ----------
        lengths
            Kernels for which the leaving activation remains live.
        """
        if lengths not in self._needs:
            self._needs[lengths] = needs_of(self._first, self._last, self._units, lengths)
        return self._needs[lengths]


@cached(_FORMS_BYTES)
def forms_of(alike: AlikeSegments) -> SegmentForms:
    """Return the forms of segments, cached across image sizes."""
    return SegmentForms(alike)


def shape_of(graph: Graph, alike: AlikeSegments) -> SegmentShape:
    """Return the shape of a segment from its graph.

    Raises
    ------
    NotTabledError
        Activations differ in size, or the output is not produced by the last kernel.
    """
    (entering,), (leaving,) = graph.inputs, graph.outputs
    if entering == leaving:
        return EMPTY_SHAPE
    if NetworkStretch(graph).executed(alike.layout).graph is not graph:
        raise NotTabledError("conversions of layouts are kernels of their own here")
    labelled = alike.operations
    size = graph.tensors[entering].shape
    fused = fused_kernels(graph, alike.fusion)
    place: dict[str, int] = {entering: 0, leaving: 1}
    first: dict[int, int] = {0: -1}
    last: dict[int, int] = {}
    rows: list[tuple[Signature, int, tuple[int, ...]]] = []
    labels = [op.name for _, op in graph.walk() if op.kind in labelled]
    for step, kernel in enumerate(fused):
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
    if first.get(1) != len(fused) - 1:
        raise NotTabledError(f"{graph.name} makes its output before its last kernel")
    return SegmentShape(tuple(rows), tuple((first[i], last[i]) for i in range(len(place))))


def _signature(kernel: FusedKernel, labelled: frozenset[str]) -> Signature:
    return tuple(
        operator.kind if operator.kind in labelled else (operator.kind, operator.function)
        for operator in kernel.operators
    )
