"""Spaces of architectures: decisions, segments, and the workload of a choice.

The base class of neural-architecture-search spaces. A *choice* is a tuple of option indices, one
per decision. A network is a sequence of *segments*, each a separate block of the graph that shares
one tensor with the next. The cost of a segment in isolation depends on its own decisions only, so
costs can be tabulated per segment (`perfmodel.search.oracle`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from operator import index
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from pydantic import Field

from perfmodel.arrays import Value
from perfmodel.caches import GRAPH_BYTES, cached
from perfmodel.errors import Fault, InputError, input_error, nearest, one_of
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image_builder import ImageBuilder, ImageStructure
from perfmodel.workload.symbols import symbol
from perfmodel.workload.workload import Workload

#: Option indices, one per decision.
Choice: TypeAlias = tuple[int, ...]

Choices: TypeAlias = npt.NDArray[np.int64]


class ArchitectureDecision(NamedTuple):
    """Name of a decision, and its options."""

    name: str
    options: tuple[Any, ...]


class VariantClass(NamedTuple):
    """Equivalence class of a segment's variants.

    Attributes
    ----------
    shape
        Variants of equal shape have the same kernels on tensors of the same size, except for the
        operations of those kernels.
    operations
        Operations of the operators of kinds `Segment.operations`, in graph order.
    """

    shape: Hashable
    operations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a network that is a separate block of the graph.

    Attributes
    ----------
    name
        Name of its block in the graph.
    decisions
        Indices of the decisions on which it depends; empty for a stem or a head. Decisions that
        only bind a free dimension (`ArchitectureSpace.binds`) are excluded.
    count
        Number of consecutive repetitions, each with separate weights.
    build
        ``(builder, input tensor, option indices of its decisions) -> output tensor``; an empty
        segment returns its input.
    variant_class
        For a segment with thousands of variants: option indices of its decisions -> `VariantClass`.
    operations
        Kinds of operators that `variant_class` distinguishes.
    """

    name: str
    decisions: tuple[int, ...]
    count: int
    build: Callable[[ImageBuilder, Tensor, Choice], Tensor]
    variant_class: Callable[[Choice], VariantClass] | None = None
    operations: frozenset[str] = frozenset()


class SizedSettings(ImageStructure):
    """Settings of a space whose networks accept images of one size.

    Attributes
    ----------
    height, width
        Pixels of the input image.
    """

    height: int = Field(224, gt=0, le=10**5)
    width: int = Field(224, gt=0, le=10**5)


class ChoiceSpace:
    """A space of choices: one option for each of its `decisions`."""

    @property
    def _counts(self) -> list[int]:
        return [len(decision.options) for decision in cast("Any", self).decisions]

    @property
    def size(self) -> int:
        """Number of choices."""
        return math.prod(self._counts)

    def __len__(self) -> int:
        """Return `size` (Python refuses lengths of 2^63 and more; `size` does not)."""
        return self.size

    def __iter__(self) -> Iterator[Choice]:
        """Iterate lazily over all choices; the last decision varies fastest."""
        return iter(product(*map(range, self._counts)))

    def sample(self, n: int, seed: int = 0) -> Choices:
        """Return `n` choices of shape ``(n, decisions)``, drawn uniformly."""
        sizes = np.array(self._counts)
        return np.random.default_rng(seed).integers(0, sizes, (n, len(sizes)), dtype=np.int64)

    def faults(self, choice: Any) -> list[Fault]:
        """Return the faults of a choice, which is one option index per decision."""
        space = cast("Any", self)
        count = len(space.decisions)
        is_list = isinstance(choice, Sequence) or (
            isinstance(choice, np.ndarray) and choice.ndim == 1
        )
        if isinstance(choice, str) or not is_list:
            return [Fault(f"{choice!r} is not a choice", expected="option indices (see encode)")]
        options = cast("Sequence[Any]", choice)
        if len(options) != count:
            message = f"{len(options)} option indices for {count} decisions of '{space.name}'"
            return [Fault(message, expected=f"{count} of them")]
        faults: list[Fault] = []
        for decision, option in zip(space.decisions, options, strict=True):
            last = len(decision.options) - 1
            if not is_index(option) or not 0 <= index(option) <= last:
                expected = f"a whole number from 0 to {last}"
                faults.append(
                    Fault(f"{option!r} is not an option", path=decision.name, expected=expected)
                )
        return faults

    def checked(self, choice: Any) -> Choice:
        """Return a choice as a tuple of ints.

        Raises
        ------
        InputError
            All indices that are out of range, at once.
        """
        if faults := self.faults(choice):
            raise InputError(faults)
        return tuple(index(i) for i in choice)


@dataclass(frozen=True)
class ArchitectureSpace(ChoiceSpace):
    """A space of architectures, identified and pickled by its name and settings.

    Attributes
    ----------
    name
        Name for `space`.
    settings
        Input size, classes and other properties of every network of the space.
    decisions
        The decisions, in order.
    segments
        Parts of a network, from input to output.
    binds
        Indices of decisions that change no operator but bind free dimensions of the workload, such
        as the resolution (`parameters`).
    """

    name: str
    settings: ImageStructure
    decisions: tuple[ArchitectureDecision, ...] = field(compare=False, repr=False)
    segments: tuple[Segment, ...] = field(compare=False, repr=False)
    binds: tuple[int, ...] = field(default=(), compare=False, repr=False)

    # Overridden by each space.

    @abstractmethod
    def encode(self, native: Any) -> Choice:
        """Return the choice written in the space's own notation.

        Raises
        ------
        InputError
            All faults at once.
        """
        raise NotImplementedError

    @abstractmethod
    def decode(self, choice: Sequence[int]) -> str:
        """Return a choice in the space's own notation, the inverse of `encode`."""
        raise NotImplementedError

    def normal(self, choice: Choice) -> Choice:
        """Return the representative of all choices of the same network; see `canonical`."""
        return choice

    def label(self, choice: Choice) -> str:
        """Return a short text that identifies a choice in names of workloads."""
        return "-".join(map(str, choice))

    def parameters(self, choice: Sequence[int]) -> dict[str, float]:
        """Return the free dimensions of a choice's workload and their default numbers."""
        del choice
        settings: Any = self.settings
        return {"batch": 1, "height": settings.height, "width": settings.width}

    def notes(self, choice: Choice) -> tuple[str, ...]:
        """Return notes for the user about predictions of a choice."""
        del choice
        return ()

    def parameter_faults(self, values: Mapping[str, Value]) -> list[Fault]:
        """Return faults of numbers for free dimensions other than invalid extents."""
        del values
        return []

    # Choices.

    def valid(self, choice: Sequence[Any]) -> bool:
        """Return whether a choice has one option index per decision."""
        return not self.faults(choice)

    def canonical(self, choice: Sequence[int]) -> Choice:
        """Return the representative of all choices of the same network.

        Decisions without effect, such as the kernel of an omitted block, are 0. Two choices have
        equal canonical tuples if and only if their networks have the same operators on the same
        tensors.

        Raises
        ------
        InputError
            The choice is not one of this space.
        """
        return self.normal(self.checked(choice))

    def canonical_rows(self, choices: npt.ArrayLike) -> Choices:
        """Return the canonical choices of rows ``(n, decisions)``."""
        rows: Any = np.asarray(choices)
        canonical = [self.canonical(row) for row in rows.tolist()]
        return np.array(canonical, dtype=np.int64).reshape(-1, len(self.decisions))

    def mutate(self, choice: Sequence[int], rng: np.random.Generator) -> Choice:
        """Return a random network near a choice.

        One random decision changes its option, and each other decision does so with probability
        ``1 / decisions`` (as in the evolutionary search of Cai et al. 2020 and others), repeated
        until the network differs. Decisions without effect retain their options, so that a block
        that was omitted for a while returns unchanged.
        """
        start = self.checked(choice)
        same = self.normal(start)
        n = len(start)
        while True:
            is_changed = rng.random(n) < 1.0 / n
            is_changed[rng.integers(n)] = True
            mutated = list(start)
            for i in np.flatnonzero(is_changed).tolist():
                options = len(self.decisions[i].options)
                if options > 1:
                    mutated[i] = (start[i] + int(rng.integers(1, options))) % options
            if self.normal(tuple(mutated)) != same:
                return tuple(mutated)

    def crossover(self, a: Sequence[int], b: Sequence[int], rng: np.random.Generator) -> Choice:
        """Return a choice with each decision from either of two parents with equal probability."""
        pairs = zip(self.checked(a), self.checked(b), strict=True)
        takes = (rng.random(len(self.decisions)) < 0.5).tolist()
        return tuple(x if first else y for (x, y), first in zip(pairs, takes, strict=True))

    def neighbours(self, choice: Sequence[int]) -> tuple[Choice, ...]:
        """Return the distinct other networks that differ in one decision, as canonical choices."""
        start = self.checked(choice)
        neighbours: dict[Choice, None] = {}
        for i, decision in enumerate(self.decisions):
            for option in range(len(decision.options)):
                if option != start[i]:
                    neighbours[self.normal((*start[:i], option, *start[i + 1 :]))] = None
        neighbours.pop(self.normal(start), None)
        return tuple(neighbours)

    # Networks.

    def graph(self, choice: Sequence[int]) -> Graph:
        """Return the graph of a choice, with ``batch``, ``height`` and ``width`` free.

        Each nonempty segment is a block of its name. Equal networks are the same object; networks
        that differ only in resolution share one graph in their workloads.
        """
        return _graph(self, self.canonical(choice))

    def workload(self, choice: Any, **settings: Value) -> Workload:
        """Return the workload of a choice.

        Parameters
        ----------
        choice
            Option indices, or the space's own notation (`encode`).
        settings
            Numbers or arrays for its free dimensions: ``batch``, ``height``, ``width``.

        Raises
        ------
        InputError
            A choice that is not in this space, unknown names, invalid extents.
        """
        indices: Any = choice
        if isinstance(choice, str | Mapping) or is_index(choice):
            indices = self.encode(cast("Any", choice))
        canonical = self.canonical(indices)
        workload = Workload(
            f"{self.name}:{self.label(canonical)}",
            ArchitectureBuild(self, self.operators(canonical)),
            self.parameters(canonical),
            ("frames", symbol("batch")),
            origin=self.name,
            notes=self.notes(canonical),
        )
        if not settings:
            return workload
        faults = self.parameter_faults(settings)
        if faults:
            raise InputError(faults)
        return workload.bind(settings)

    def operators(self, choice: Choice) -> Choice:
        """Return a choice with the decisions that only bind free dimensions set to 0."""
        if not self.binds:
            return choice
        return tuple(0 if i in self.binds else option for i, option in enumerate(choice))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.name, self.settings.model_dump())


class ArchitectureBuild:
    """Builder of the graph of one architecture, cached per process."""

    __slots__ = ("choice", "space")

    def __init__(self, space: ArchitectureSpace, choice: Choice) -> None:
        self.space = space
        self.choice = choice

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph, which is the same under all semantics."""
        del semantics
        return _built_graph(self.space, self.choice)

    def __reduce__(self) -> tuple[Any, ...]:
        return ArchitectureBuild, (self.space, self.choice)


def is_index(value: Any) -> bool:
    """Return whether a value is an integer (of Python or NumPy) other than a bool."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def preset(dataset: str, known: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the settings of a data set.

    Raises
    ------
    InputError
        The data set is unknown.
    """
    values = known.get(dataset)
    if values is None:
        raise input_error(
            f"no data set is called {dataset!r}",
            path="dataset",
            expected=one_of(known),
            suggestion=nearest(str(dataset), known),
        )
    return values


@cached(GRAPH_BYTES)
def _built_graph(space: ArchitectureSpace, choice: Choice) -> Graph:
    builder = ImageBuilder(space.name, folded=space.settings.batch_norm == "folded")
    x = builder.image(space.settings.image_channels)
    for segment in space.segments:
        with builder.repeat(segment.count, segment.name):
            x = segment.build(builder, x, tuple(choice[i] for i in segment.decisions))
    builder.output(x)
    return builder.build(space.parameters(choice))


@cached(GRAPH_BYTES)
def _graph(space: ArchitectureSpace, choice: Choice) -> Graph:
    graph, numbers = _built_graph(space, space.operators(choice)), space.parameters(choice)
    return graph if graph.defaults == numbers else replace(graph, defaults=numbers)


def _restore(name: str, settings: Mapping[str, Any]) -> ArchitectureSpace:
    from perfmodel.workload.nas_spaces import space

    return space(name, **settings)
