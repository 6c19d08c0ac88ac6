"""Nodes of a network and the values on their edges: what shape rules and prices work on.

A shape rule reads the shapes of a node's inputs and sets those of its outputs; a price adds the
node's operator to a graph. The walk makes nodes from the records of a file (`records`), whatever
its format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from perfmodel.errors import printable
from perfmodel.workload.graph import Tensor
from perfmodel.workload.symbols import Dim, constant, product, simplify, symbol

#: Extents of a value.
Shape = tuple[Dim, ...]


@dataclass(slots=True)
class OnnxValue:
    """A value on an edge: output of a node, stored tensor or network input.

    Attributes
    ----------
    kind
        ``data`` (computed from the input), ``weight`` (stored in the file, or derived from weights
        only) or ``constant`` (known when the graph is built: shapes, masks, folded constants).
    format
        Fixed numeric format; empty if the precision chooses it (plain floating point).
    numbers
        The content in row-major order if it is small and known; entries may be free dimensions.
    depends_on
        Free dimensions that prevented its numbers, or its shape, from being computed.
    tensor
        Its tensor in the graph, declared when an operator first uses it.
    tag
        Tag of its tensor in the graph, such as ``embedding`` or ``vector``.
    is_live
        Whether a runtime that knows only the file, with free dimensions unbound, learns the content
        only when the network runs.
    has_unknown_shape
        Whether such a runtime does not know the shape either, as when both branches of an ``If``
        have different shapes.
    """

    name: str
    shape: Shape | None = None
    kind: str = "data"
    format: str = ""
    numbers: tuple[Dim, ...] | None = None
    depends_on: frozenset[str] = frozenset()
    tensor: Tensor | None = None
    tag: str = ""
    is_live: bool = False
    has_unknown_shape: bool = False

    @property
    def extents(self) -> Shape:
        """Shape of the value.

        Raises
        ------
        UnknownShapeError
            The shape is unknown.
        """
        if self.shape is None:
            raise UnknownShapeError(f"the shape of '{self.name}' is not known")
        return self.shape

    def extents_of_rank_at_least(self, least: int) -> Shape:
        """Return the shape if it has at least `least` dimensions."""
        if len(self.extents) < least:
            raise ContradictionError(f"'{self.name}' has {len(self.extents)} dimensions")
        return self.extents

    @property
    def elements(self) -> Dim:
        """Number of elements."""
        return product(*self.extents)

    @property
    def is_data(self) -> bool:
        """Whether the value depends on the network's input."""
        return self.kind == "data"

    def number(self) -> Dim | None:
        """Return the single number of the value; ``None`` if it is unknown or not a scalar."""
        return self.numbers[0] if self.numbers and len(self.numbers) == 1 else None


@dataclass(slots=True)
class OnnxNode:
    """A node: operator type, attributes, and the values it reads and writes.

    Absent optional inputs and outputs are ``None``.

    Attributes
    ----------
    bound
        Numbers of the free dimensions that the structure depends on.
    opened_extents
        Free dimensions that the node introduces (such as the number of nonzeros), with defaults.
    failure
        Reason why the outputs have no shape; empty if they have one.
    contradiction
        Contradiction in the file that no runtime would accept; empty if there is none.
    is_dispatched
        Whether a runtime dispatches the node: loading neither folds nor removes it.
    """

    op: str
    name: str
    inputs: tuple[OnnxValue | None, ...]
    outputs: tuple[OnnxValue | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    domain: str = ""
    bound: Mapping[str, int] = field(default_factory=dict[str, int])
    opened_extents: dict[str, float] = field(default_factory=dict[str, float])
    failure: str = ""
    contradiction: str = ""
    is_dispatched: bool = False

    @property
    def label(self) -> str:
        """Name of the node in messages."""
        return f"{self.op} at {self.name}"

    def get(self, index: int) -> OnnxValue | None:
        """Return an input, or ``None`` if it is absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def require(self, index: int) -> OnnxValue:
        """Return a required input.

        Raises
        ------
        NotPricedError
            The input is absent.
        """
        edge = self.get(index)
        if edge is None:
            raise ContradictionError(f"input {index} is missing")
        return edge

    def shape(self, index: int, least: int = 0) -> Shape:
        """Return the shape of a required input with at least `least` axes.

        Raises
        ------
        NotPricedError
            The input is absent, or its shape is unknown or has fewer axes.
        """
        return self.require(index).extents_of_rank_at_least(least)

    def numbers(self, index: int, what: str) -> tuple[Dim, ...]:
        """Return the numbers of an input that determines a shape.

        Raises
        ------
        UnknownShapeError
            The numbers are computed from data.
        """
        edge = self.get(index)
        if edge is None:
            raise ContradictionError(f"{what} is missing")
        if edge.numbers is None:
            raise UnknownShapeError(f"{what} ('{edge.name}') is not known before the network runs")
        return edge.numbers

    def number(self, index: int, what: str) -> Dim:
        """Return the first number of an input that determines a shape."""
        return self.numbers(index, what)[0]

    @property
    def first_output(self) -> OnnxValue:
        """The first output.

        Raises
        ------
        NotPricedError
            The node has no output.
        """
        first = next((o for o in self.outputs if o is not None), None)
        if first is None:
            raise NotPricedError("it has no output")
        return first

    @property
    def present_inputs(self) -> list[OnnxValue]:
        """The inputs that are not absent."""
        return [e for e in self.inputs if e is not None]

    @property
    def present_outputs(self) -> list[OnnxValue]:
        """The outputs that are not absent."""
        return [e for e in self.outputs if e is not None]

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute.

        Raises
        ------
        NotPricedError
            The attribute is not an integer.
        """
        value = self.attributes.get(name, default)
        if type(value) is not int:
            raise ContradictionError(f"attribute '{name}' is not a whole number: {value!r}")
        return value

    def axis(self, default: int, rank: int) -> int:
        """Return attribute ``axis`` as a non-negative index.

        Raises
        ------
        NotPricedError
            The axis is out of range.
        """
        return normalise_axis(self.integer("axis", default), rank)

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Return an attribute that is a list of integers, or ``None`` if it is absent.

        Raises
        ------
        NotPricedError
            The attribute is not a list of integers.
        """
        value: object = self.attributes.get(name)
        if value is None:
            return None
        numbers = cast("Sequence[int]", value) if isinstance(value, list | tuple) else (None,)
        if not all(type(number) is int for number in numbers):
            raise ContradictionError(
                f"attribute '{name}' is not a list of whole numbers: {value!r}"
            )
        return cast("tuple[int, ...]", tuple(numbers))

    def open_extent(self, index: int, axis: int, default: float = 1) -> Dim:
        """Return a new free dimension for an output extent that depends on the data."""
        edge = self.outputs[index] if index < len(self.outputs) else None
        name = printable(f"dim_{(edge or self).name}_{axis}")
        if name in self.bound:
            return self.bound[name]
        self.opened_extents[name] = default
        return symbol(name)

    def text(self, name: str, default: str) -> str:
        """Return a text attribute."""
        value = self.attributes.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class NotPricedError(Exception):
    """An operator has no price; the message says why."""


class UnknownShapeError(NotPricedError):
    """An operator has no price because an extent is unknown."""


class ContradictionError(NotPricedError):
    """An operator's fixed attributes and shapes contradict each other."""


class BeyondRangeError(ContradictionError):
    """A number outside the range of every element type, whatever the free dimensions are."""


def replace_axis(shape: Shape, axis: int, *dims: Dim) -> Shape:
    """Return ``shape[:axis] + dims + shape[axis + 1:]``."""
    return (*shape[:axis], *dims, *shape[axis + 1 :])


def swap_last_axes(shape: Shape) -> Shape:
    """Return a shape with the last two axes exchanged: that of transposed matrices."""
    return (*shape[:-2], shape[-1], shape[-2])


def normalise_axis(axis: int, rank: int) -> int:
    """Return an axis of ``[-rank, rank)`` as a non-negative index.

    Raises
    ------
    NotPricedError
        The axis is out of range.
    """
    if not -rank <= axis < rank:
        raise ContradictionError(f"there is no axis {axis} in {rank} dimensions")
    return axis % rank


def require_integer(dim: Dim, what: str) -> int:
    """Return a dimension as an integer.

    Raises
    ------
    UnknownShapeError
        The dimension is free or fractional.
    """
    number = constant(dim)
    if number is None or number != int(number):
        raise UnknownShapeError(f"{what} is not a fixed whole number: {simplify(dim)}")
    return int(number)
