"""The parts of a space of architectures: what of its segments depends on no device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from perfmodel.search.oracle.forms import SegmentForms
from perfmodel.search.oracle.fragment import NetworkStretch, StretchSet
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Index, NotTabledError
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder
from perfmodel.workload.nas_spaces import ArchitectureSpace, Choice, Segment

#: Options of one segment beyond which they are not compiled one by one.
MOST_OPTIONS = 4000

#: Stands for free extents where only the structure is looked at.
_EXTENT = 16

#: Parts of the spaces that were asked last: an oracle of another device, or of another batch,
#: finds them here.
_SPACES: dict[tuple[Any, ...], SpaceParts] = {}
#: Forms of segments by all that they depend on; spaces for images of another size share them.
_FORMS: dict[tuple[Any, ...], SegmentForms] = {}
_MOST_KNOWN = 16


class SpaceParts:
    """The segments of a space as stretches and as forms.

    Parameters
    ----------
    check
        Raises where there is no time left; it takes the place of the segment that is next.

    Attributes
    ----------
    stretches
        The distinct stretches of all segments whose options are compiled one by one.

    Raises
    ------
    NotTabledError
        A segment has too many options.
    """

    def __init__(self, space: ArchitectureSpace, check: Callable[[int], None]) -> None:
        self._space = space
        self._numbers: list[Index | None] = []
        self._alike: dict[tuple[int, Choice], NetworkStretch] = {}
        known: dict[object, int] = {}
        stretches: list[NetworkStretch] = []
        last = len(space.segments) - 1
        for s, segment in enumerate(space.segments):
            check(s)
            if segment.kin is not None and not space.binds and 0 < s < last:
                self._numbers.append(None)
                continue
            sizes = self._sizes(segment)
            if prod(sizes) > MOST_OPTIONS:
                raise NotTabledError(f"segment {segment.name} has {prod(sizes)} forms")
            numbers: list[int] = []
            for option, x in _with_inputs(space, s, self._options(segment)):
                check(s)
                graph = _graph(space, segment, x, option)
                key = (graph.blocks, *graph.tensors.values())
                if key not in known:
                    known[key] = len(stretches)
                    stretches.append(NetworkStretch(graph, s == 0, s == last))
                numbers.append(known[key])
            self._numbers.append(np.array(numbers, dtype=np.intp))
        self.stretches = StretchSet(space.name, stretches)

    def _sizes(self, segment: Segment) -> list[int]:
        return [len(self._space.decisions[i].options) for i in segment.decisions]

    def _options(self, segment: Segment) -> list[Choice]:
        return list(product(*(range(n) for n in self._sizes(segment))))

    def numbers(self, s: int) -> Index | None:
        """Return the stretch of each option of a segment; None where its options have `forms`."""
        return self._numbers[s]

    def stretch(self, s: int, option: Choice) -> NetworkStretch:
        """Return a segment under an option, for one whose options have `forms`."""
        if (s, option) not in self._alike:
            x = _entering(self._space, s, [0] * len(self._space.decisions))
            graph = _graph(self._space, self._space.segments[s], x, option)
            self._alike[s, option] = NetworkStretch(graph)
        return self._alike[s, option]

    def forms(self, s: int, pricing: Pricing) -> SegmentForms:
        """Return the forms of a segment, which depend on what the runtime fuses and lays out."""
        space, segment = self._space, self._space.segments[s]
        assert segment.kin is not None
        x = _entering(space, s, [0] * len(space.decisions))
        # Numbers for free extents: a shape is told by what reads what, and numbers are quicker.
        x = replace(x, shape=tuple(d if isinstance(d, int | float) else _EXTENT for d in x.shape))
        fusion = pricing.job.model.fusion
        # Segments that are built alike differ in sizes, and their forms do not.
        key = (
            segment.build,
            segment.kin,
            segment.count,
            segment.operations,
            _folded(space),
            replace(x, name="", shape=()),
            fusion.elementwise,
            fusion.into,
            pricing.layout,
        )
        if key not in _FORMS:
            _forget(_FORMS)
            _FORMS[key] = SegmentForms(
                self._options(segment),
                segment.kin,
                lambda option: _graph(space, segment, x, option),
                segment.operations,
                pricing,
            )
        return _FORMS[key]


def parts_of(space: ArchitectureSpace, check: Callable[[int], None]) -> SpaceParts:
    """Return the parts of a space, found once; see `SpaceParts`."""
    key = (type(space), space)
    if key not in _SPACES:
        _forget(_SPACES)
        _SPACES[key] = SpaceParts(space, check)
    return _SPACES[key]


def _forget(known: dict[Any, Any]) -> None:
    """Make room for one more: the oldest go."""
    while len(known) >= _MOST_KNOWN:
        del known[next(iter(known))]


def _folded(space: ArchitectureSpace) -> bool:
    return getattr(space.settings, "batch_norm", "") == "folded"


def _with_inputs(
    space: ArchitectureSpace, s: int, options: Sequence[Choice]
) -> list[tuple[Choice, Tensor]]:
    """Return options of a segment, each with the tensor that enters it."""
    decisions = space.segments[s].decisions
    earlier = {i for segment in space.segments[:s] for i in segment.decisions}
    shared = [k for k, i in enumerate(decisions) if i in earlier]
    found: dict[Choice, Tensor] = {}
    out: list[tuple[Choice, Tensor]] = []
    for option in options:
        key = tuple(option[k] for k in shared)
        if key not in found:
            choice = [0] * len(space.decisions)
            for k, i in enumerate(decisions):
                choice[i] = option[k]
            found[key] = _entering(space, s, choice)
        out.append((option, found[key]))
    return out


def _entering(space: ArchitectureSpace, s: int, choice: Sequence[int]) -> Tensor:
    settings = space.settings
    g = ImageBuilder(space.name, folded=_folded(space))
    x = g.image(getattr(settings, "image_channels", 3))
    for segment in space.segments[:s]:
        with g.repeat(segment.count, segment.name):
            x = segment.build(g, x, tuple(choice[i] for i in segment.decisions))
    return x


def _graph(space: ArchitectureSpace, segment: Segment, x: Tensor, option: Choice) -> Graph:
    """Return a segment's own graph."""
    g = ImageBuilder(f"{space.name}.{segment.name}", folded=_folded(space))
    entering = g.input("image", x.shape, format=x.format)
    with g.repeat(segment.count, segment.name):
        y = segment.build(g, entering, option)
    g.output(y)
    return g.build()
