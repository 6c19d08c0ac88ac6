"""What every space of architectures has: decisions, segments, and the workload of a choice.

A *choice* is a tuple of option indices, one a decision. A network is a row of *segments*, each a
block of the graph of its own which the others meet in one tensor only: what a segment costs by
itself depends on its own decisions and on no other, so costs may be tabled segment by segment.
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
from perfmodel.workload.image import ImageBuilder, ImageStructure
from perfmodel.workload.symbols import symbol
from perfmodel.workload.workload import Workload

#: Option indices, one a decision.
Choice: TypeAlias = tuple[int, ...]

Choices: TypeAlias = npt.NDArray[np.int64]


class ArchitectureDecision(NamedTuple):
    """What is decided, and the values it may take."""

    name: str
    options: tuple[Any, ...]


class Kin(NamedTuple):
    """What a form of a segment shares with others.

    Attributes
    ----------
    shape
        Forms of equal shape have the same kernels on tensors of one size, but for what their
        operations are.
    operations
        Operations in the order of the graph: of its operators of the kinds `Segment.operations`.
    """

    shape: Hashable
    operations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a network that is a block of its own.

    Attributes
    ----------
    name
        Name of its block in the graph.
    decisions
        Indices of the decisions that decide what it is; empty for a stem or a head. Decisions that
        only bind a free dimension (`ArchitectureSpace.binds`) are not among them.
    count
        Times it stands in a row, each with weights of its own.
    build
        ``(builder, tensor before it, option indices of its decisions) -> tensor after it``; the
        tensor before it where it is empty.
    kin
        For a segment of thousands of forms: option indices of its decisions -> what they share.
    operations
        Kinds of operators that `kin` tells apart.
    """

    name: str
    decisions: tuple[int, ...]
    count: int
    build: Callable[[ImageBuilder, Tensor, Choice], Tensor]
    kin: Callable[[Choice], Kin] | None = None
    operations: frozenset[str] = frozenset()


class SizedSettings(ImageStructure):
    """What a space is set to whose networks take images of one size.

    Attributes
    ----------
    height, width
        Pixels of the input image.
    """

    height: int = Field(224, gt=0, le=10**5)
    width: int = Field(224, gt=0, le=10**5)


class ChoiceSpace:
    """A space of choices: of each of its `decisions` one option."""

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
        """Iterate over all choices, lazily; the last decision varies fastest."""
        return iter(product(*map(range, self._counts)))

    def sample(self, n: int, seed: int = 0) -> Choices:
        """Return `n` choices of shape ``(n, decisions)``, each option equally likely."""
        sizes = np.array(self._counts)
        return np.random.default_rng(seed).integers(0, sizes, (n, len(sizes)), dtype=np.int64)

    def checked(self, choice: Sequence[Any]) -> Choice:
        """Return a choice as a tuple of ints.

        Raises
        ------
        InputError
            Every index that is none of its decision's, at once.
        """
        return checked_choice(self, choice)


@dataclass(frozen=True)
class ArchitectureSpace(ChoiceSpace):
    """A space of architectures; equal and hashed by name and settings, pickled as those.

    Attributes
    ----------
    name
        As `space` knows it.
    settings
        Input size, classes and what else shapes every network of the space.
    decisions
        What a choice decides, in order.
    segments
        The parts of a network from input to output.
    binds
        Indices of decisions that change no operator but bind free dimensions of the workload, such
        as the resolution (`parameters`).
    """

    name: str
    settings: ImageStructure
    decisions: tuple[ArchitectureDecision, ...] = field(compare=False, repr=False)
    segments: tuple[Segment, ...] = field(compare=False, repr=False)
    binds: tuple[int, ...] = field(default=(), compare=False, repr=False)

    # what a space of its own says

    @abstractmethod
    def encode(self, native: Any) -> Choice:
        """Return the choice that the space's own notation names.

        Raises
        ------
        InputError
            Every fault of it at once.
        """
        raise NotImplementedError

    @abstractmethod
    def decode(self, choice: Sequence[int]) -> str:
        """Return a choice in the space's own notation; `encode` reads it back."""
        raise NotImplementedError

    def normal(self, choice: Choice) -> Choice:
        """Return the form that all choices of the same network share; see `canonical`."""
        return choice

    def label(self, choice: Choice) -> str:
        """Return a short text that tells choices apart, for the names of workloads."""
        return "-".join(map(str, choice))

    def parameters(self, choice: Sequence[int]) -> dict[str, float]:
        """Return the free dimensions of a choice's workload and their numbers."""
        del choice
        s: Any = self.settings
        return {"batch": 1, "height": s.height, "width": s.width}

    def notes(self, choice: Choice) -> tuple[str, ...]:
        """Return what a reader of a choice's predictions should know."""
        del choice
        return ()

    def parameter_faults(self, values: Mapping[str, Value]) -> list[Fault]:
        """Return the faults of numbers for free dimensions beyond their being extents."""
        del values
        return []

    # choices

    def faults(self, choice: Sequence[Any]) -> list[Fault]:
        """Return what is wrong with a choice."""
        return choice_faults(self, choice)

    def valid(self, choice: Sequence[Any]) -> bool:
        """Return whether a choice has one option index a decision."""
        return not self.faults(choice)

    def canonical(self, choice: Sequence[int]) -> Choice:
        """Return the choice that stands for all choices of the same network.

        Decisions without effect, such as the kernel of a block that is left out, are 0. Two choices
        have equal canonical tuples if and only if their networks have the same operators on the
        same tensors.

        Raises
        ------
        InputError
            The choice is not one of this space.
        """
        return self.normal(self.checked(choice))

    def canonical_rows(self, choices: npt.ArrayLike) -> Choices:
        """Return the canonical choices of rows ``(n, decisions)``."""
        rows: Any = np.asarray(choices)
        made = [self.canonical(row) for row in rows.tolist()]
        return np.array(made, dtype=np.int64).reshape(-1, len(self.decisions))

    def mutate(self, choice: Sequence[int], rng: np.random.Generator) -> Choice:
        """Return another network near a choice.

        One decision takes another option, each other one does so with probability one over their
        number (Cai et al. 2020 and others evolve architectures so); drawn again until the network
        differs. Decisions without effect keep their options: a block that comes back is as it was.
        """
        start = self.checked(choice)
        same = self.normal(start)
        n = len(start)
        while True:
            flips = rng.random(n) < 1.0 / n
            flips[rng.integers(n)] = True
            made = list(start)
            for i in np.flatnonzero(flips).tolist():
                options = len(self.decisions[i].options)
                if options > 1:
                    made[i] = (start[i] + int(rng.integers(1, options))) % options
            if self.normal(tuple(made)) != same:
                return tuple(made)

    def crossover(self, a: Sequence[int], b: Sequence[int], rng: np.random.Generator) -> Choice:
        """Return a choice that takes each decision from one of two parents, evenly."""
        pairs = zip(self.checked(a), self.checked(b), strict=True)
        takes = (rng.random(len(self.decisions)) < 0.5).tolist()
        return tuple(x if first else y for (x, y), first in zip(pairs, takes, strict=True))

    def neighbours(self, choice: Sequence[int]) -> tuple[Choice, ...]:
        """Return the other networks that differ in one decision, canonical, each once."""
        start = self.checked(choice)
        found: dict[Choice, None] = {}
        for i, decision in enumerate(self.decisions):
            for option in range(len(decision.options)):
                if option != start[i]:
                    found[self.normal((*start[:i], option, *start[i + 1 :]))] = None
        found.pop(self.normal(start), None)
        return tuple(found)

    # networks

    def graph(self, choice: Sequence[int]) -> Graph:
        """Return the graph of a choice, ``batch``, ``height`` and ``width`` free.

        Each segment that is not empty is a block of that name. Networks that are the same are the
        same object; those that differ in a resolution only share one in their workloads.
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
            A choice that is not of this space, unknown names, numbers that are no extents.
        """
        indices: Any = choice
        if isinstance(choice, str | Mapping) or is_index(choice):
            indices = self.encode(cast("Any", choice))
        chosen = self.canonical(indices)
        made = Workload(
            f"{self.name}:{self.label(chosen)}",
            ArchitectureBuild(self, self.operators(chosen)),
            self.parameters(chosen),
            ("frames", symbol("batch")),
            origin=self.name,
            notes=self.notes(chosen),
        )
        if not settings:
            return made
        found = self.parameter_faults(settings)
        if found:
            raise InputError(found)
        return made.bind(settings)

    def operators(self, choice: Choice) -> Choice:
        """Return a choice with the decisions that only bind free dimensions at 0."""
        if not self.binds:
            return choice
        return tuple(0 if i in self.binds else option for i, option in enumerate(choice))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.name, self.settings.model_dump())


def choice_faults(space: Any, choice: Any) -> list[Fault]:
    """Return what is wrong with option indices, one for each of the `decisions` of a space."""
    count = len(space.decisions)
    listed = isinstance(choice, Sequence) or (isinstance(choice, np.ndarray) and choice.ndim == 1)
    if isinstance(choice, str) or not listed:
        return [Fault(f"{choice!r} is no choice", expected="option indices (see encode)")]
    options = cast("Sequence[Any]", choice)
    if len(options) != count:
        message = f"{len(options)} option indices for {count} decisions of '{space.name}'"
        return [Fault(message, expected=f"{count} of them")]
    faults: list[Fault] = []
    for decision, option in zip(space.decisions, options, strict=True):
        last = len(decision.options) - 1
        if not is_index(option) or not 0 <= index(option) <= last:
            expected = f"a whole number from 0 to {last}"
            faults.append(Fault(f"{option!r} is no option", path=decision.name, expected=expected))
    return faults


def checked_choice(space: Any, choice: Any) -> Choice:
    """Return option indices of a space as a tuple of ints.

    Raises
    ------
    InputError
        Every index that is none of its decision's, at once.
    """
    faults = choice_faults(space, choice)
    if faults:
        raise InputError(faults)
    return tuple(index(i) for i in choice)


class ArchitectureBuild:
    """Builds the graph of one architecture, once a process."""

    __slots__ = ("choice", "space")

    def __init__(self, space: ArchitectureSpace, choice: Choice) -> None:
        self.space = space
        self.choice = choice

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph; no runtime makes another of it."""
        del semantics
        return _structure(self.space, self.choice)

    def __reduce__(self) -> tuple[Any, ...]:
        return ArchitectureBuild, (self.space, self.choice)


def is_index(value: Any) -> bool:
    """Return whether a value is a whole number (of Python or NumPy), and no truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def preset(dataset: str, known: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the settings that a data set stands for.

    Raises
    ------
    InputError
        It is none of those known.
    """
    found = known.get(dataset)
    if found is None:
        raise input_error(
            f"no data set is called {dataset!r}",
            path="dataset",
            expected=one_of(known),
            suggestion=nearest(str(dataset), known),
        )
    return found


@cached(GRAPH_BYTES)
def _structure(space: ArchitectureSpace, choice: Choice) -> Graph:
    g = ImageBuilder(space.name, folded=space.settings.batch_norm == "folded")
    x = g.image(space.settings.image_channels)
    for segment in space.segments:
        with g.repeat(segment.count, segment.name):
            x = segment.build(g, x, tuple(choice[i] for i in segment.decisions))
    g.output(x)
    return g.build(space.parameters(choice))


@cached(GRAPH_BYTES)
def _graph(space: ArchitectureSpace, choice: Choice) -> Graph:
    graph, numbers = _structure(space, space.operators(choice)), space.parameters(choice)
    return graph if graph.defaults == numbers else replace(graph, defaults=numbers)


def _restore(name: str, settings: Mapping[str, Any]) -> ArchitectureSpace:
    from perfmodel.workload.nas_spaces import space

    return space(name, **settings)
