"""Costs of a space of architectures: its segments compiled, and choices as rows of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.schedule.deadline import Deadline
from perfmodel.search.oracle.alike import AlikeBank, SegmentShape, needs_of, shape_of
from perfmodel.search.oracle.chain import Bank, DenseBank, NetworkSums, StretchChain, quantities
from perfmodel.search.oracle.fragment import Fragment, compiled
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, Index, NotTabledError
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder
from perfmodel.workload.nas_spaces import ArchitectureSpace, Choice, Kin, Segment

_NOTHING: Mapping[str, float] = {}

#: Options of one segment beyond which they are not compiled one by one.
MOST_OPTIONS = 4000

#: Networks added up at once.
_CHUNK = 2000

#: Stands for free extents where only the structure is looked at.
_EXTENT = 16

#: Combinations of free dimensions (resolutions) that are tabled.
MOST_SETTINGS = 200


class ArchitectureCosts:
    """Sums over any networks of a space.

    Parameters
    ----------
    given
        Numbers for free dimensions that no decision binds (``batch``).

    Raises
    ------
    NotTabledError
        The space or the device does not fall apart into segments.
    OutOfTimeError
        The deadline passed before.
    """

    def __init__(
        self,
        space: ArchitectureSpace,
        pricing: Pricing,
        given: Mapping[str, float] = _NOTHING,
        deadline: Deadline | None = None,
    ) -> None:
        self.space = space
        self.settings, values = _settings(space, given)
        points = prod(len(space.decisions[i].options) for i in self.settings)
        binds_any = bool(self.settings)
        self._setting_places = _places([len(space.decisions[i].options) for i in self.settings])
        self._columns: list[tuple[tuple[int, ...], Index, Index]] = []
        compiled_: list[Fragment] = []
        ends: set[int] = set()
        alike: list[tuple[int, AlikeBank]] = []
        shared: dict[object, _Forms] = {}
        last = len(space.segments) - 1
        for s, segment in enumerate(space.segments):
            _check(deadline, s, last)
            sizes = [len(space.decisions[i].options) for i in segment.decisions]
            options = product(*(range(n) for n in sizes))
            if segment.kin is not None and points == 1 and s not in (0, last) and not binds_any:
                forms = shared.get(segment.kin)
                if forms is None:
                    forms = shared[segment.kin] = _forms(space, s, list(options), pricing)
                alike.append((s, forms.bank(space, s, values, pricing)))
                self._columns.append((segment.decisions, _places(sizes), forms.index))
                continue
            if prod(sizes) > MOST_OPTIONS:
                raise NotTabledError(f"segment {segment.name} has {prod(sizes)} forms")
            numbers: list[int] = []
            known: dict[object, int] = {}
            for option, x in _with_inputs(space, s, list(options)):
                _check(deadline, s, last)
                graph = _graph(space, segment, x, option)
                key = (graph.blocks, *graph.tensors.values())
                if key not in known:
                    known[key] = len(compiled_)
                    compiled_.append(
                        compiled(graph, values, points, pricing, first=s == 0, last=s == last)
                    )
                numbers.append(known[key])
            self._columns.append(
                (segment.decisions, _places(sizes), np.array(numbers, dtype=np.intp))
            )
        ends = _possible_ends(
            compiled_, [c for i, c in enumerate(self._columns) if i not in dict(alike)]
        )
        banks: list[Bank] = [DenseBank(compiled_, frozenset(ends), points, pricing)]
        start = len(compiled_)
        for s, bank in alike:
            decisions, places, index = self._columns[s]
            self._columns[s] = (decisions, places, index + start)
            start += len(bank.lengths)
            banks.append(bank)
        kinds = [priced for _, bank in alike for priced in bank.kinds]
        kinds += [f.priced for f in compiled_ if f.priced is not None]
        self.priced = tuple(dict.fromkeys(p for each in kinds for p in each.terms.priced))
        radix = np.zeros((len(space.decisions), len(self._columns)), dtype=np.intp)
        for column, (decisions, places, _) in enumerate(self._columns):
            radix[list(decisions), column] = places
        self._radix = radix
        self._setting_radix = np.zeros(len(space.decisions), dtype=np.intp)
        self._setting_radix[list(self.settings)] = self._setting_places
        self._flat: Index = np.concatenate([index for _, _, index in self._columns])
        self._offsets: Index = np.cumsum([0, *(len(index) for _, _, index in self._columns[:-1])])
        self.chain = StretchChain(banks, quantities(kinds), pricing.states)

    def one(self, choice: Sequence[int]) -> tuple[Floats, float, float, float] | None:
        """Add up one network quickly; None where it is no quicker alone."""
        if not self.chain.alone:
            return None
        array = np.array(choice, dtype=np.intp)
        stretches = self._flat[array @ self._radix + self._offsets]
        return self.chain.one(stretches, int(array @ self._setting_radix))

    @property
    def names(self) -> tuple[str, ...]:
        """Quantities that are summed."""
        return self.chain.names

    def least(self, allowed: Sequence[Sequence[int]]) -> NetworkSums:
        """Return sums that no network of allowed options is below, as one network's."""
        settings = [int(np.dot(option, self._setting_places))
                    for option in product(*(allowed[i] for i in self.settings))]  # fmt: skip
        stretches = [
            np.unique(index[[int(np.dot(o, places)) for o in
                             product(*(allowed[i] for i in decisions))]])
            for decisions, places, index in self._columns
        ]  # fmt: skip
        return self.chain.least(stretches, settings)

    def sums(self, choices: Index, deadline: Deadline | None = None) -> NetworkSums:
        """Add up networks.

        Parameters
        ----------
        choices : array of shape ``(networks, decisions)``
            Option indices.

        Raises
        ------
        OutOfTimeError
            The deadline passed before.
        """
        parts: list[NetworkSums] = []
        for i in range(0, max(1, len(choices)), _CHUNK):
            if deadline is not None:
                deadline.check(f"{i} of {len(choices)} members had been added up")
            parts.append(self._sums(choices[i : i + _CHUNK]))
        return NetworkSums.joined(parts)

    def _sums(self, choices: Index) -> NetworkSums:
        stretches = np.stack(
            [
                index[choices[:, list(decisions)] @ places]
                for decisions, places, index in self._columns
            ],
            axis=1,
        )
        settings = choices[:, list(self.settings)] @ self._setting_places
        return self.chain.sums(stretches, settings)


def _check(deadline: Deadline | None, at: int, last: int) -> None:
    if deadline is not None:
        deadline.check(f"{at} of {last + 1} segments had been priced")


def _places(sizes: Sequence[int]) -> Index:
    """Return what turns option indices into one index, the last varying fastest."""
    places = [prod(sizes[i + 1 :]) for i in range(len(sizes))]
    return np.array(places, dtype=np.intp)


def _settings(
    space: ArchitectureSpace, given: Mapping[str, float]
) -> tuple[tuple[int, ...], dict[str, Value]]:
    """Return the decisions that bind free dimensions, and their numbers over all combinations."""
    binds = space.binds
    sizes = [len(space.decisions[i].options) for i in binds]
    if prod(sizes) > MOST_SETTINGS:
        raise NotTabledError(f"free dimensions take {prod(sizes)} combinations of numbers")
    base = [0] * len(space.decisions)
    rows: list[Mapping[str, float]] = []
    for option in product(*(range(n) for n in sizes)):
        choice = list(base)
        for i, chosen in zip(binds, option, strict=True):
            choice[i] = chosen
        rows.append({**space.parameters(tuple(choice)), **given})
    if len(rows) == 1:
        return binds, dict(rows[0])
    return binds, {
        name: np.array([row[name] for row in rows], dtype=float)
        if len({row[name] for row in rows}) > 1
        else rows[0][name]
        for name in rows[0]
    }


#: Forms of the spaces asked last, by what they depend on: an oracle of another device, or of
#: another batch, finds them here.
_KNOWN_FORMS: dict[tuple[Any, ...], _Forms] = {}
_MOST_KNOWN = 16


def _forms(space: ArchitectureSpace, s: int, options: Sequence[Choice], pricing: Pricing) -> _Forms:
    """Return the forms of a segment, which depend on the device in what it fuses and lays out."""
    static = pricing.job.static
    execution = None if pricing.job.bare else static.execution
    layout = None if execution is None else execution.layout
    key = (type(space), space, s, static.fusion, layout)
    if key not in _KNOWN_FORMS:
        while len(_KNOWN_FORMS) >= _MOST_KNOWN:
            del _KNOWN_FORMS[next(iter(_KNOWN_FORMS))]
        _KNOWN_FORMS[key] = _Forms(space, s, options, pricing)
    return _KNOWN_FORMS[key]


class _Forms:
    """The forms of segments that are built alike: which choices share one."""

    def __init__(
        self, space: ArchitectureSpace, s: int, options: Sequence[Choice], pricing: Pricing
    ) -> None:
        segment = space.segments[s]
        assert segment.kin is not None
        known: dict[Kin, int] = {}
        self.sample: list[Choice] = []
        index: list[int] = []
        for option in options:
            kin = segment.kin(option)
            at = known.get(kin)
            if at is None:
                at = known[kin] = len(known)
                self.sample.append(option)
            index.append(at)
        self.kin = list(known)
        self.index: Index = np.array(index, dtype=np.intp)
        x = _entering(space, s, [0] * len(space.decisions))
        # Numbers for free extents: a shape is told by what reads what, and numbers are quicker.
        x = replace(x, shape=tuple(d if isinstance(d, int | float) else _EXTENT for d in x.shape))
        self._needs: dict[tuple[int, ...], Floats] = {}
        self.shapes: dict[Hashable, SegmentShape | None] = {}
        for kin, option in zip(self.kin, self.sample, strict=True):
            if kin.shape not in self.shapes:
                graph = _graph(space, segment, x, option)
                self.shapes[kin.shape] = shape_of(graph, pricing, segment.operations)

    def bank(
        self, space: ArchitectureSpace, s: int, values: Mapping[str, Value], pricing: Pricing
    ) -> AlikeBank:
        """Return the costs of the forms of one segment."""
        x = _entering(space, s, [0] * len(space.decisions))
        segment = space.segments[s]
        return AlikeBank(
            self.kin, self.shapes, self.sample, lambda option: _graph(space, segment, x, option),
            values, pricing, self.needs,
        )  # fmt: skip

    def needs(self, lengths: tuple[int, ...]) -> Floats:
        """Return the needs of every shape, found once for all segments."""
        found = self._needs.get(lengths)
        if found is None:
            found = self._needs[lengths] = needs_of(list(self.shapes.values()), lengths)
        return found


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
    g = ImageBuilder(space.name, folded=getattr(settings, "batch_norm", "") == "folded")
    x = g.image(getattr(settings, "image_channels", 3))
    for segment in space.segments[:s]:
        with g.repeat(segment.count, segment.name):
            x = segment.build(g, x, tuple(choice[i] for i in segment.decisions))
    return x


def _graph(space: ArchitectureSpace, segment: Segment, x: Tensor, option: Choice) -> Graph:
    """Return a segment's own graph."""
    folded = getattr(space.settings, "batch_norm", "") == "folded"
    g = ImageBuilder(f"{space.name}.{segment.name}", folded=folded)
    entering = g.input("image", x.shape, format=x.format)
    with g.repeat(segment.count, segment.name):
        y = segment.build(g, entering, option)
    g.output(y)
    return g.build()


def _possible_ends(
    fragments: Sequence[Fragment], columns: Sequence[tuple[tuple[int, ...], Index, Index]]
) -> set[int]:
    """Return fragments that may stand last because all that follow may be empty."""
    found: set[int] = set()
    for _, _, index in reversed(columns):
        mine: list[int] = index.tolist()
        found |= set(mine)
        if all(fragments[i].kernels for i in mine):
            break
    return found
