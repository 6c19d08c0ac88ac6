"""What an operator of a plain graph and a field of it are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from perfmodel.workload.graph import Operator, Tensor
from perfmodel.workload.image import ImageBuilder
from perfmodel.workload.sequence import SequenceBuilder

FieldKind = Literal[
    "extent",
    "whole",
    "wholes",
    "number",
    "flag",
    "text",
    "shape",
    "format",
    "layer",
    "result",
    "nests",
    "any",
]
Fields = Mapping[str, Any]

#: Marks a field that must be given.
REQUIRED: Final = object()


class LayerBuilder(ImageBuilder, SequenceBuilder):
    """A builder of images and sequences that remembers the operators it added."""

    def __init__(self, name: str, *, folded: bool = False) -> None:
        super().__init__(name, folded=folded)
        self.added: list[Operator] = []

    def operator(self, *args: Any, **kwargs: Any) -> Operator:
        """Add an operator; see `GraphBuilder.operator`."""
        self.added.append(super().operator(*args, **kwargs))
        return self.added[-1]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a layer.

    Attributes
    ----------
    kind
        ``extent`` (a size, may be free), ``whole`` and ``wholes`` (one number, or one per axis),
        ``number``, ``flag``, ``text``, ``shape`` (list of extents), ``format``, ``layer`` (the name
        of another layer, whose weight is meant), ``result`` (what another layer makes), ``nests``
        (loop nests: extents of the loops, and axes of the operands), or ``any`` (plain data, or an
        expression).
    default
        Value where it is left out; `REQUIRED` has none.
    choices
        Accepted texts.
    least
        Least accepted number.
    """

    kind: FieldKind
    default: Any = None
    choices: tuple[str, ...] = ()
    least: float = 1


Adder: TypeAlias = Callable[[LayerBuilder, str, Sequence[Tensor], Fields], Tensor]


def calls(method: Callable[..., Tensor]) -> Adder:
    """Return what adds an operator by a method of the builder that takes the fields by name."""
    return lambda g, name, x, f: method(g, *x, **f, name=name)


@dataclass(frozen=True, slots=True)
class LayerOperator:
    """An operator of a plain graph.

    Attributes
    ----------
    add
        ``(builder, layer's name, inputs, fields) -> output``; raises `ValueError` with what does
        not fit.
    inputs
        Least and greatest number of inputs.
    ranks
        Accepted ranks of the first input; empty for any.
    """

    add: Adder
    fields: Mapping[str, Field] = field(default_factory=dict[str, Field])
    inputs: tuple[int, int] = (1, 1)
    ranks: tuple[int, ...] = ()
