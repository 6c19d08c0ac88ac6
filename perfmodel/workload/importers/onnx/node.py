"""Nodes of a network file and the values on their edges, as every importer hands them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from perfmodel.errors import printable
from perfmodel.workload.graph import Tensor
from perfmodel.workload.symbols import Dim, constant, product, simplify, symbol

#: Extents; ``None`` where nothing says them.
Shape = tuple[Dim, ...]


@dataclass(slots=True)
class OnnxValue:
    """A value: what a node reads or writes.

    Attributes
    ----------
    kind
        ``data`` (computed from the input), ``weight`` (stored in the file, or derived from weights
        only) or ``constant`` (known when the graph is built: shapes, masks, folded constants).
    format
        Fixed numeric format; empty where the precision decides (plain floating point).
    numbers
        The content, row by row, where it is small and known; entries may be free dimensions.
    depends
        Free dimensions that its numbers, or its shape, were lost to.
    tensor
        Its tensor in the graph, once an operator touched it.
    live
        Whether a runtime that knows the file alone, free dimensions free, learns its content only
        when the network runs.
    vague
        Whether such a runtime does not know its shape either: bodies of an ``If`` make another one.
    """

    name: str
    shape: Shape | None = None
    kind: str = "data"
    format: str = ""
    numbers: tuple[Dim, ...] | None = None
    depends: frozenset[str] = frozenset()
    tensor: Tensor | None = None
    tag: str = ""
    live: bool = False
    vague: bool = False

    @property
    def known(self) -> Shape:
        """The shape.

        Raises
        ------
        UnknownShapeError
            It is not known.
        """
        if self.shape is None:
            raise UnknownShapeError(f"the shape of '{self.name}' is not known")
        return self.shape

    def ranked(self, least: int) -> Shape:
        """Return a shape of at least so many dimensions."""
        if len(self.known) < least:
            raise ContradictionError(f"'{self.name}' has {len(self.known)} dimensions")
        return self.known

    @property
    def elements(self) -> Dim:
        """Number of elements."""
        return product(*self.known)

    @property
    def is_data(self) -> bool:
        """Whether it depends on the network's input."""
        return self.kind == "data"

    def number(self) -> Dim | None:
        """Return the only number it holds, ``None`` where unknown."""
        return self.numbers[0] if self.numbers and len(self.numbers) == 1 else None


@dataclass(slots=True)
class OnnxNode:
    """A node: operator type, attributes, and the values it reads and writes.

    Absent optional inputs and outputs are ``None``.

    Attributes
    ----------
    bound
        Numbers that free dimensions are bound to for good.
    opened
        Free dimensions that this node brings in (how many are not zero, say), with defaults.
    failure
        Why its outputs have no shape, where they have none.
    contradiction
        What the file says of it that cannot be: no runtime would run it.
    runs
        Whether a runtime dispatches it: neither folded nor left out when the file is loaded.
    """

    op: str
    name: str
    inputs: tuple[OnnxValue | None, ...]
    outputs: tuple[OnnxValue | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    domain: str = ""
    bound: Mapping[str, int] = field(default_factory=dict[str, int])
    opened: dict[str, float] = field(default_factory=dict[str, float])
    failure: str = ""
    contradiction: str = ""
    runs: bool = False

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"{self.op} at {self.name}"

    def get(self, index: int) -> OnnxValue | None:
        """Return an input, ``None`` where it is absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def need(self, index: int) -> OnnxValue:
        """Return an input that the operator requires.

        Raises
        ------
        NotPricedError
            It is absent.
        """
        edge = self.get(index)
        if edge is None:
            raise ContradictionError(f"input {index} is missing")
        return edge

    def shape(self, index: int, least: int = 0) -> Shape:
        """Return the shape of an input that the operator requires, of at least so many axes.

        Raises
        ------
        NotPricedError
            It is absent, or its shape is not known or has fewer axes.
        """
        return self.need(index).ranked(least)

    def numbers(self, index: int, what: str) -> tuple[Dim, ...]:
        """Return the numbers of an input that a shape hangs on.

        Raises
        ------
        UnknownShapeError
            They are computed from data.
        """
        edge = self.get(index)
        if edge is None:
            raise ContradictionError(f"{what} is missing")
        if edge.numbers is None:
            raise UnknownShapeError(f"{what} ('{edge.name}') is not known before the network runs")
        return edge.numbers

    def number(self, index: int, what: str) -> Dim:
        """Return the first of the numbers of an input."""
        return self.numbers(index, what)[0]

    @property
    def out(self) -> OnnxValue:
        """The first output.

        Raises
        ------
        NotPricedError
            The node has none.
        """
        first = next((o for o in self.outputs if o is not None), None)
        if first is None:
            raise NotPricedError("it has no output")
        return first

    @property
    def present(self) -> list[OnnxValue]:
        """The inputs that are there."""
        return [e for e in self.inputs if e is not None]

    @property
    def made(self) -> list[OnnxValue]:
        """The outputs that are there."""
        return [e for e in self.outputs if e is not None]

    def whole(self, name: str, default: int) -> int:
        """Return an attribute that is a whole number.

        Raises
        ------
        NotPricedError
            It is something else.
        """
        value = self.attributes.get(name, default)
        if type(value) is not int:
            raise ContradictionError(f"attribute '{name}' is no whole number: {value!r}")
        return value

    def axis(self, default: int, rank: int) -> int:
        """Return attribute ``axis``, counted from the front.

        Raises
        ------
        NotPricedError
            There is no such axis.
        """
        return axis_of(self.whole("axis", default), rank)

    def wholes(self, name: str) -> tuple[int, ...] | None:
        """Return an attribute that is a list of whole numbers, ``None`` where it is absent.

        Raises
        ------
        NotPricedError
            It is something else.
        """
        value: object = self.attributes.get(name)
        if value is None:
            return None
        numbers = cast("Sequence[int]", value) if isinstance(value, list | tuple) else (None,)
        if not all(type(number) is int for number in numbers):
            raise ContradictionError(f"attribute '{name}' is no list of whole numbers: {value!r}")
        return cast("tuple[int, ...]", tuple(numbers))

    def open(self, index: int, axis: int, default: float = 1) -> Dim:
        """Return an extent of an output that only running the network tells: a free dimension."""
        edge = self.outputs[index] if index < len(self.outputs) else None
        name = printable(f"dim_{(edge or self).name}_{axis}")
        if name in self.bound:
            return self.bound[name]
        self.opened[name] = default
        return symbol(name)

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is text."""
        value = self.attributes.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class NotPricedError(Exception):
    """An operator has no price; the message says why."""


class UnknownShapeError(NotPricedError):
    """An operator has no price because an extent is unknown."""


class ContradictionError(NotPricedError):
    """An operator's fixed attributes and shapes contradict each other."""


class BeyondRangeError(ContradictionError):
    """A number that no element type holds, whatever free dimensions are."""


def replaced(shape: Shape, axis: int, *dims: Dim) -> Shape:
    """Return a shape with other extents, any number of them, in place of an axis."""
    return (*shape[:axis], *dims, *shape[axis + 1 :])


def turned(shape: Shape) -> Shape:
    """Return the shape of a stack of matrices, each transposed."""
    return (*shape[:-2], shape[-1], shape[-2])


def axis_of(axis: int, rank: int) -> int:
    """Return an axis counted from the front.

    Raises
    ------
    NotPricedError
        There is no such axis.
    """
    if not -rank <= axis < rank:
        raise ContradictionError(f"there is no axis {axis} in {rank} dimensions")
    return axis % rank


def fixed(dim: Dim, what: str) -> int:
    """Return a dimension as a whole number.

    Raises
    ------
    UnknownShapeError
        It is free.
    """
    number = constant(dim)
    if number is None or number != int(number):
        raise UnknownShapeError(f"{what} is not a fixed whole number: {simplify(dim)}")
    return int(number)
