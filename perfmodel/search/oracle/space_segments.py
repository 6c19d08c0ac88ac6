"""Device-independent parts of a space of architectures: its segments as graphs and forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from perfmodel.caches import cached
from perfmodel.search.oracle.compiled_stretches import StretchCompiler
from perfmodel.search.oracle.kernel_pricing import Index, NotTabledError
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.segment_forms import AlikeSegments, SegmentForms, forms_of
from perfmodel.search.oracle.stretch_graphs import NetworkStretch
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image_builder import ImageBuilder
from perfmodel.workload.nas_spaces import ArchitectureSpace, Choice, Segment

#: Largest number of options of a segment that are compiled individually.
MAX_OPTIONS = 4000

#: Placeholder for free extents where only the structure matters.
_EXTENT = 16

#: Cache size in bytes: a space of a thousand stretches, and their lowered table.
_PARTS_BYTES = 16 << 20


class SpaceParts:
    """Segments of a space as stretches and as forms.

    Attributes
    ----------
    numbers
        Index of the stretch of each option of each segment; None for a segment with `forms`.
    compiler
        Compiler of the distinct stretches of all segments whose options are compiled individually.
    """

    def __init__(self, space: ArchitectureSpace) -> None:
        self._space = space
        self._examples: dict[tuple[int, tuple[Choice, ...]], StretchCompiler] = {}
        #: Segment, extents and format that enter it, and option -> the tensor that leaves it.
        self._leaving: dict[tuple[Any, ...], Tensor] = {}
        self.numbers: list[Index | None] = []
        self.compiler = StretchCompiler(space.name, ())

    def prepare(self, check: Callable[[int], None]) -> None:
        """Build the stretches, unless they exist already.

        Parameters
        ----------
        check
            Function of the next segment's index that raises when the time is over.

        Raises
        ------
        NotTabledError
            A segment has too many options, or the first or last segment may be empty, so that
            another one would have the network's input or output.
        """
        if self.numbers:
            return
        space = self._space
        place_of: dict[object, int] = {}
        stretches: list[NetworkStretch] = []
        numbers: list[Index | None] = []
        last = len(space.segments) - 1
        for position, segment in enumerate(space.segments):
            check(position)
            if segment.variant_class is not None and not space.binds and 0 < position < last:
                numbers.append(None)
                continue
            sizes = _sizes(space, segment)
            if prod(sizes) > MAX_OPTIONS:
                raise NotTabledError(f"segment {segment.name} has {prod(sizes)} forms")
            places: list[int] = []
            for option, entering in self._with_inputs(position, _options(sizes)):
                check(position)
                graph = self._graph(position, entering, option)
                stretch = NetworkStretch(graph, position == 0, position == last)
                if stretch.empty and (stretch.first or stretch.last):
                    raise NotTabledError(f"segment {segment.name} at an end may be empty")
                key = (stretch.first, stretch.last, graph.blocks, *graph.tensors.values())
                if key not in place_of:
                    place_of[key] = len(stretches)
                    stretches.append(stretch)
                places.append(place_of[key])
            numbers.append(np.array(places, dtype=np.intp))
        self.compiler, self.numbers = StretchCompiler(space.name, stretches), numbers

    def examples(self, s: int, options: Sequence[Choice]) -> StretchCompiler:
        """Return the compiler of a segment with `forms`, under each of some options."""
        key = s, tuple(options)
        if key not in self._examples:
            entering = self._entering(s, [0] * len(self._space.decisions))
            stretches = [NetworkStretch(self._graph(s, entering, option)) for option in options]
            self._examples[key] = StretchCompiler(self._space.name, stretches)
        return self._examples[key]

    def forms(self, s: int, pricing: Pricing) -> SegmentForms:
        """Return the forms of a segment, which depend on the runtime's fusion and layout."""
        space, segment = self._space, self._space.segments[s]
        assert segment.variant_class is not None
        entering = self._entering(s, [0] * len(space.decisions))
        # Numeric extents: a shape depends on accesses only, and numbers are faster than symbols.
        entering = replace(
            entering,
            shape=tuple(d if isinstance(d, int | float) else _EXTENT for d in entering.shape),
        )
        fusion = pricing.structure.fusion
        return forms_of(
            AlikeSegments(
                segment.build,
                segment.variant_class,
                segment.count,
                segment.operations,
                _folded(space),
                replace(entering, name="", shape=()),
                fusion.elementwise,
                fusion.into,
                pricing.structure.layout,
                tuple(_options(_sizes(space, segment))),
                lambda option: self._graph(s, entering, option),
                fusion,
            )
        )

    def _with_inputs(self, s: int, options: Sequence[Choice]) -> list[tuple[Choice, Tensor]]:
        """Return options of a segment, each with its entering tensor."""
        space = self._space
        decisions = space.segments[s].decisions
        earlier = {i for segment in space.segments[:s] for i in segment.decisions}
        shared = [k for k, i in enumerate(decisions) if i in earlier]
        entering: dict[Choice, Tensor] = {}
        out: list[tuple[Choice, Tensor]] = []
        for option in options:
            key = tuple(option[k] for k in shared)
            if key not in entering:
                choice = [0] * len(space.decisions)
                for k, i in enumerate(decisions):
                    choice[i] = option[k]
                entering[key] = self._entering(s, choice)
            out.append((option, entering[key]))
        return out

    def _entering(self, s: int, choice: Sequence[int]) -> Tensor:
        """Return the tensor that enters a segment of the network of a choice."""
        space = self._space
        builder = ImageBuilder(space.name, folded=_folded(space))
        tensor = builder.image(getattr(space.settings, "image_channels", 3))
        for earlier, segment in enumerate(space.segments[:s]):
            option = tuple(choice[i] for i in segment.decisions)
            key = earlier, tensor.shape, tensor.format, option
            if key not in self._leaving:
                self._graph(earlier, tensor, option)
            tensor = self._leaving[key]
        return tensor

    def _graph(self, s: int, x: Tensor, option: Choice) -> Graph:
        """Return the graph of a segment under an option."""
        space, segment = self._space, self._space.segments[s]
        builder = ImageBuilder(f"{space.name}.{segment.name}", folded=_folded(space))
        entering = builder.input("image", x.shape, format=x.format)
        with builder.repeat(segment.count, segment.name):
            output = segment.build(builder, entering, option)
        builder.output(output)
        self._leaving[s, x.shape, x.format, option] = output
        return builder.build()


@cached(_PARTS_BYTES)
def parts_of(space: ArchitectureSpace) -> SpaceParts:
    """Return the parts of a space, cached across devices and batch sizes."""
    return SpaceParts(space)


def _sizes(space: ArchitectureSpace, segment: Segment) -> list[int]:
    return [len(space.decisions[i].options) for i in segment.decisions]


def _options(sizes: Sequence[int]) -> list[Choice]:
    return list(product(*map(range, sizes)))


def _folded(space: ArchitectureSpace) -> bool:
    return getattr(space.settings, "batch_norm", "") == "folded"
