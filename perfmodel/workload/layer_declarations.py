"""Declarations of the operators that a template may use, and of their fields.

`parse_field` reads the declarations in ``workloads/operators/layers.yaml``; a `LayerOperator` maps
an operator's name to the function that adds it to a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from perfmodel.workload.graph import Tensor
from perfmodel.workload.image_builder import ImageBuilder
from perfmodel.workload.sequence_builder import SequenceBuilder
from perfmodel.workload.vector_functions import FUNCTIONS

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

#: Default of a required field.
REQUIRED: Final = object()


class LayerBuilder(ImageBuilder, SequenceBuilder):
    """A builder with the layers of image and of sequence models."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a layer.

    Attributes
    ----------
    kind
        ``extent`` (a size, may be free), ``whole`` and ``wholes`` (one number, or one per axis),
        ``number``, ``flag``, ``text``, ``shape`` (list of extents), ``format``, ``layer`` (name of
        a layer whose weight is shared), ``result`` (name of a layer whose output is read),
        ``nests`` (loop nests: extents of the loops, and axes of the operands), or ``any`` (plain
        data, or an expression).
    default
        Value if it is omitted; `REQUIRED` if it may not be.
    choices
        Accepted texts.
    least
        Least accepted number.
    """

    kind: FieldKind
    default: Any = None
    choices: tuple[str, ...] = ()
    least: float = 1


def parse_field(form: object, least: float = 1) -> Field:
    """Return a field declared in YAML.

    Parameters
    ----------
    form
        Kind of a required value, or ``{kind: default}`` with optional ``choices`` and ``least``
        (``workloads/operators/layers.yaml``).
    least
        Least accepted number if the declaration states none.

    Raises
    ------
    ValueError
        The kind of value is unknown.
    """
    options = cast("dict[str, Any]", form if isinstance(form, Mapping) else {form: "required"})
    kind, default = next(iter(options.items()), ("", None))
    if kind not in get_args(FieldKind):
        raise ValueError(kind)
    choices = options.get("choices", ())
    choices = tuple(FUNCTIONS if choices == "functions" else choices)
    if choices and default == "":
        choices = ("", *choices)
    default = tuple(cast("list[Any]", default)) if isinstance(default, list) else default
    default = REQUIRED if default == "required" else default
    return Field(cast("FieldKind", kind), default, choices, options.get("least", least))


Adder: TypeAlias = Callable[[LayerBuilder, str, Sequence[Tensor], Fields], Tensor]


def calls(method: Callable[..., Tensor]) -> Adder:
    """Return the function that adds an operator by a method accepting the fields by name."""
    return lambda builder, name, x, fields: method(builder, *x, **fields, name=name)


@dataclass(frozen=True, slots=True)
class LayerOperator:
    """An operator of a plain graph.

    Attributes
    ----------
    add
        ``(builder, layer's name, inputs, fields) -> output``; raises `ValueError` if they do not
        fit each other.
    inputs
        Least and greatest number of inputs.
    ranks
        Accepted ranks of the first input; empty for any.
    """

    add: Adder
    fields: Mapping[str, Field] = field(default_factory=dict[str, Field])
    inputs: tuple[int, float] = (1, 1)
    ranks: tuple[int, ...] = ()
