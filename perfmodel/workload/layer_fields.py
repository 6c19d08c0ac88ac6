"""Reader of the fields of a layer in a template, reporting every fault with its location.

A field declares a kind of value (an extent, a shape, a flag ...); `read_values` parses and checks
the text or number of the file by that kind. Values that do not depend on loops or variables are
read once and reused in every iteration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias, TypeVar, cast

from perfmodel.errors import nearest, one_of
from perfmodel.pydantic_faults import Flaw
from perfmodel.source_positions import Path as Place
from perfmodel.workload.layer_declarations import REQUIRED, Field, FieldKind
from perfmodel.workload.layer_expressions import (
    LIMIT,
    FieldError,
    Scope,
    SizeError,
    evaluate_expression,
    fill_expressions,
    interpolate,
    shown,
)
from perfmodel.workload.layer_extents import parse_extent
from perfmodel.workload.symbols import Dim

T = TypeVar("T")

#: Largest rank of a tensor.
_RANK = 8
#: Kinds of fields whose texts are not expressions.
_NAMES = frozenset({"text", "format", "layer", "result"})

#: Values of fields that are the same in every run of a layer, and fields that depend on the scope.
PreparedFields: TypeAlias = tuple[dict[str, Any], tuple[tuple[str, Field, Any], ...]]


class FlawList(list[Flaw]):
    """The flaws of a graph or template."""

    def note(
        self,
        place: Place,
        message: str,
        expected: str = "",
        suggestion: str = "",
        *,
        on_key: bool = False,
    ) -> None:
        """Add a flaw; a suggestion replaces `expected`."""
        self.append(Flaw(place, message, "" if suggestion else expected, suggestion, on_key=on_key))

    def mapping(self, raw: object, place: Place, expected: str) -> Mapping[str, Any]:
        """Return a mapping; for anything else add a flaw and return an empty one."""
        mapping = as_mapping(raw)
        if mapping is None:
            self.note(place, f"{shown(raw)} is not a mapping", expected)
        return mapping or {}

    def unknown_keys(self, raw: Mapping[str, Any], known: Collection[str], place: Place) -> None:
        """Add a flaw for each unknown key."""
        for key in raw:
            if key not in known:
                expected, suggestion = (
                    one_of(known) if known else "no fields",
                    nearest(str(key), known),
                )
                self.note((*place, key), f"unknown key '{key}'", expected, suggestion, on_key=True)


def prepare_fields(
    raw: Mapping[str, Any],
    fields: Mapping[str, Field],
    place: Place,
    scope: Scope,
    flaws: FlawList,
) -> PreparedFields:
    """Check a layer's keys and read the values independent of the scope; faults go to `flaws`."""
    flaws.unknown_keys(raw, fields, place)
    values: dict[str, Any] = {}
    fixed: list[tuple[str, Field, Any]] = []
    varying: list[tuple[str, Field, Any]] = []
    for key, field in fields.items():
        value = raw.get(key)
        if value is None:
            if field.default is REQUIRED:
                flaws.append(Flaw(place, f"missing key '{key}'", _expected(field), on_key=True))
            values[key] = field.default
        else:
            (varying if _varies(value, field) else fixed).append((key, field, value))
    return read_values(values, fixed, place, scope, flaws), tuple(varying)


def read_values(
    values: dict[str, Any],
    items: Iterable[tuple[str, Field, Any]],
    place: Place,
    scope: Scope,
    flaws: FlawList,
) -> dict[str, Any]:
    """Add the values of fields; a value with flaws is replaced by the default."""
    for key, field, value in items:
        try:
            values[key] = _READERS[field.kind](value, field, scope)
        except SizeError as error:
            flaws += error.flaws((*place, key))
            values[key] = field.default
    return values


def _varies(value: Any, field: Field) -> bool:
    """Return whether a field's value may depend on the scope in which it is read."""
    items = as_list(value)
    if field.kind == "nests":
        return True
    if items is not None:
        return any(_varies(item, field) for item in items)
    if not isinstance(value, str) or value in field.choices:
        return False
    return field.kind not in _NAMES or "{" in value


def read_field(value: Any, field: Field, scope: Scope) -> Any:
    """Return the value of a single field.

    Raises
    ------
    SizeError
        All faults of the value.
    """
    return _READERS[field.kind](value, field, scope)


def _each(items: Iterable[tuple[str | int, Any]], read: Callable[[Any], T]) -> list[T]:
    """Read each item, raising the faults of all of them together."""
    values: list[T] = []
    flaws: list[Flaw] = []
    for key, item in items:
        try:
            values.append(read(item))
        except SizeError as error:
            flaws += error.flaws((key,))
    if flaws:
        raise FieldError(*flaws)
    return values


def _extent(value: Any, field: Field, scope: Scope) -> Any:
    return parse_extent(value, scope)


def _shape(value: Any, field: Field, scope: Scope) -> tuple[Any, ...]:
    """Read a list of extents.

    An entry that is itself a list of extents, such as ``input.size``, is expanded.
    """
    if isinstance(value, str):
        value = evaluate_expression(value, scope, "a shape")
    items = as_list(value)
    if items is None or not 1 <= len(items) <= _RANK:
        noun = shown(value) if items is None else f"a list of {len(items)}"
        raise SizeError(f"{noun} is not a shape", expected=f"a list of 1 to {_RANK} extents")

    def read(item: Any) -> list[Dim]:
        inner: Any = evaluate_expression(item, scope) if isinstance(item, str) else item
        many = cast("tuple[Any, ...]", inner if isinstance(inner, tuple) else (inner,))
        return [parse_extent(extent, scope) for extent in many]

    return tuple(chain.from_iterable(_each(enumerate(items), read)))


def _any(value: Any, field: Field, scope: Scope) -> Any:
    return (
        evaluate_expression(value, scope, "a value")
        if isinstance(value, str)
        else fill_expressions(value, scope)
    )


def _evaluated(value: str, field: Field, scope: Scope) -> Any:
    """Return the value of an expression for a number or flag; ``None`` means the default."""
    try:
        result = evaluate_expression(value, scope, "a number")
    except SizeError as error:
        message = f"{shown(value)} is not {'true or false' if field.kind == 'flag' else 'a number'}"
        suggestion = nearest(value, field.choices)
        if not scope.free:  # the reason is that the name is neither a field nor a variable
            message, suggestion = f"{message}: {error}", suggestion or error.suggestion
        raise FieldError(Flaw((), message, _expected(field), suggestion)) from None
    return field.default if result is None and field.default is not REQUIRED else result


def _number(value: Any, field: Field, scope: Scope) -> Any:
    """Read a number, a list of one per axis (``wholes``), or one of the field's choices."""
    if isinstance(value, str) and value not in field.choices:
        value = _evaluated(value, field, scope)
    if value is field.default or (isinstance(value, str) and value in field.choices):
        return value
    items = as_list(value) if field.kind == "wholes" else None
    if items is None:
        return _checked_number(value, field)
    if not items:
        raise SizeError("an empty list", expected=_expected(field))
    return tuple(_each(enumerate(items), lambda item: _checked_number(item, field)))


def _checked_number(value: Any, field: Field) -> float:
    """Return a number if it is finite, whole where required, and within its limits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        suggestion = nearest(str(value), field.choices)
        raise FieldError(Flaw((), f"{shown(value)} is not a number", _expected(field), suggestion))
    if not math.isfinite(value):
        raise SizeError(f"{value} is not a finite number", expected=_expected(field))
    if field.kind != "number" and value != int(value):
        raise SizeError(f"{value:g} is not whole", expected=_expected(field))
    if not field.least <= value <= LIMIT:
        raise SizeError(f"{value:g} is out of range", expected=_expected(field))
    return float(value) if field.kind == "number" else int(value)


def _flag(value: Any, field: Field, scope: Scope) -> Any:
    if isinstance(value, str):
        value = _evaluated(value, field, scope)
    if not isinstance(value, bool) and value is not field.default:
        message = f"{shown(value)} is neither true nor false"
        raise SizeError(message, expected="true or false")
    return value


def _nests(value: Any, field: Field, scope: Scope) -> tuple[Any, ...]:
    """Read loop nests: loops, and operands with their axes and roles.

    An axis is a loop's letter, or a sum of letters (``t+r``); the last operand is the output.
    """

    def read(item: Any) -> tuple[Any, ...]:
        nest = as_mapping(item) or {}
        loops, rows = as_mapping(nest.get("loops")), as_list(nest.get("operands"))
        operands = [as_list(row) or () for row in rows or ()]
        if loops is None or not operands or {*map(len, operands)} - {2, 3}:
            raise SizeError(f"{shown(item)} is not a loop nest", expected=_expected(field))
        try:
            sizes = _each(loops.items(), lambda size: parse_extent(size, scope))
        except SizeError as error:
            raise FieldError(*error.flaws(("loops",))) from None
        dims = tuple(zip(map(str, loops), sizes, strict=True))
        return dims, tuple(tuple(map(str, operand)) for operand in operands)

    return tuple(_each(enumerate(as_list(value) or (None,)), read))


def _text(value: Any, field: Field, scope: Scope) -> str:
    """Read a text, evaluating the expressions in its braces."""
    value = interpolate(value, scope) if isinstance(value, str) else value
    if not isinstance(value, str) or (field.choices and value not in field.choices):
        suggestion = nearest(str(value), field.choices)
        raise SizeError(f"unknown value {shown(value)}", suggestion, _expected(field))
    return value


def _format(value: Any, field: Field, scope: Scope) -> str:
    """Read the name of a number format, or an empty text."""
    from perfmodel.formats import find, formats

    text = _text(value, field, scope)
    if text and find(text) is None:
        raise SizeError(
            f"no format is named {shown(text)}",
            nearest(text, formats()),
            "a numeric format, such as int8 or fp16",
        )
    return text


#: Kind of field -> function that reads its values.
_READERS: Final[Mapping[FieldKind, Callable[[Any, Field, Scope], Any]]] = {
    "extent": _extent,
    "whole": _number,
    "wholes": _number,
    "number": _number,
    "flag": _flag,
    "text": _text,
    "shape": _shape,
    "format": _format,
    "layer": _text,
    "result": _text,
    "nests": _nests,
    "any": _any,
}

#: Kind of field -> description of accepted values.
_WORDS: Final[Mapping[FieldKind, str]] = {
    "extent": "an extent",
    "whole": "a whole number from {least}",
    "wholes": "a whole number from {least}, or a list of one per axis",
    "number": "a number from {least}",
    "flag": "true or false",
    "text": "a text",
    "shape": "a list of extents",
    "format": "a numeric format",
    "layer": "a layer's name",
    "result": "a layer's name",
    "nests": "a list of {{loops: {{m: rows}}, operands: [[x, mk], [w, kn, weight], [y, mn]]}}",
    "any": "any value",
}


def _expected(field: Field) -> str:
    """Return a description of a field's accepted values."""
    if field.choices and field.kind == "text":
        return one_of(field.choices)
    words = _WORDS[field.kind].format(least=f"{field.least:g}")
    return " or ".join([words + "," * bool(field.choices), *map(repr, field.choices)])


def as_list(value: object) -> Sequence[Any] | None:
    """Return a list or tuple as a sequence, or ``None`` for any other type."""
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else None


def as_mapping(value: object) -> Mapping[str, Any] | None:
    """Return a mapping, or ``None`` for any other type."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None
