"""Read the fields of one layer of a plain graph; every fault with its place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

from perfmodel.errors import nearest, one_of
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.layer_expressions import (
    LIMIT,
    Scope,
    SizeError,
    evaluated,
    filled,
    interpolated,
    shown,
)
from perfmodel.workload.layer_forms import REQUIRED, Field
from perfmodel.workload.layer_sizes import parse_extent

Place = tuple[str | int, ...]

#: Axes a tensor may have.
_RANK = 8
#: Kinds of fields whose texts are no expressions.
_NAMES = frozenset({"text", "format", "layer", "result"})
#: Kinds of fields that an expression may stand for, beside extents and shapes.
_EVALUATED = frozenset({"whole", "wholes", "number", "flag"})


#: Values of fields that are the same at every run of a layer, and those that a scope decides.
PreparedFields: TypeAlias = tuple[dict[str, Any], tuple[tuple[str, Field, Any], ...]]


class FlawList(list[Flaw]):
    """What is wrong with a graph or template."""

    def note(
        self,
        place: Place,
        message: str,
        expected: str = "",
        suggestion: str = "",
        *,
        on_key: bool = False,
    ) -> None:
        """Add a flaw; where a name is suggested, that says what was expected."""
        self.append(Flaw(place, message, "" if suggestion else expected, suggestion, on_key=on_key))


def read_fields(
    raw: Mapping[str, Any],
    fields: Mapping[str, Field],
    place: Place,
    scope: Scope,
    flaws: list[Flaw],
    ready: dict[int, PreparedFields],
) -> dict[str, Any]:
    """Return the values of all fields, defaults included; faults go to `flaws`.

    Fields of kind ``layer`` stay names. What no scope decides is read once and stays in `ready`.
    """
    prepared = ready.get(id(fields))
    if prepared is None:
        before = len(flaws)
        prepared = _prepared(raw, fields, place, scope, flaws)
        if len(flaws) == before:
            ready[id(fields)] = prepared
    values, varying = prepared
    if not varying:
        return dict(values)
    values = dict(values)
    for key, field, value in varying:
        if field.kind == "extent":
            try:
                values[key] = parse_extent(value, scope)
                continue
            except SizeError:
                pass  # told below, with its place
        values[key] = _value(value, field, (*place, key), scope, flaws)
    return values


def _prepared(
    raw: Mapping[str, Any],
    fields: Mapping[str, Field],
    place: Place,
    scope: Scope,
    flaws: list[Flaw],
) -> PreparedFields:
    """Check the keys of a layer, and read the values that no scope decides."""
    for key in raw:
        if key not in fields:
            meant = nearest(key, fields)
            expected = "" if meant else one_of(fields) if fields else "no fields"
            message = f"unknown key '{key}'"
            flaws.append(Flaw((*place, key), message, expected, meant, on_key=True))
    values: dict[str, Any] = {}
    varying: list[tuple[str, Field, Any]] = []
    for key, field in fields.items():
        value = raw.get(key)
        if value is None:
            if field.default is REQUIRED:
                flaws.append(Flaw(place, f"missing key '{key}'", _expected(field), on_key=True))
            values[key] = field.default
        elif _varies(value, field):
            varying.append((key, field, value))
        else:
            values[key] = _value(value, field, (*place, key), scope, flaws)
    return values, tuple(varying)


def _varies(value: Any, field: Field) -> bool:
    """Tell whether a field's value may depend on the scope that it is read in."""
    items = as_list(value)
    if field.kind == "nests":
        return True
    if items is not None:
        return any(_varies(item, field) for item in items)
    if not isinstance(value, str) or value in field.choices:
        return False
    return field.kind not in _NAMES or "{" in value


def _value(value: Any, field: Field, place: Place, scope: Scope, flaws: list[Flaw]) -> Any:
    """Return the value of one field, or its default where there are faults."""
    read = list(_read(value, field, place, scope))
    flaws += (item for item in read if isinstance(item, Flaw))
    return next((item for item in read if not isinstance(item, Flaw)), field.default)


def read_shape(value: object, place: Place, scope: Scope) -> Iterator[Any]:
    """Yield the faults of a list of extents, then its tuple if there were none.

    An entry that is a list of extents itself, such as ``input.size``, stands for all of them.
    """
    if isinstance(value, str):
        try:
            value = evaluated(value, scope, "a shape")
        except SizeError as error:
            yield Flaw(place, str(error), error.expected, error.suggestion)
            return
    items = as_list(value)
    if items is None or not 1 <= len(items) <= _RANK:
        what = shown(value) if items is None else f"a list of {len(items)}"
        yield Flaw(place, f"{what} is not a shape", f"a list of 1 to {_RANK} extents")
        return
    extents: list[Any] = []
    sound = True
    for i, item in enumerate(items):
        try:
            inner: Any = evaluated(item, scope) if isinstance(item, str) else item
            many = cast("tuple[Any, ...]", inner if isinstance(inner, tuple) else (inner,))
            extents += (parse_extent(extent, scope) for extent in many)
        except SizeError as error:
            yield Flaw((*place, i), str(error), error.expected, error.suggestion)
            sound = False
    if sound:
        yield tuple(extents)


def _read(value: Any, field: Field, place: Place, scope: Scope) -> Iterator[Any]:
    """Yield faults, or the value."""
    kind = field.kind
    if isinstance(value, str) and kind in _EVALUATED and value not in field.choices:
        try:
            value = evaluated(value, scope, "a number")
        except SizeError as error:
            what = f"{shown(value)} is not {'true or false' if kind == 'flag' else 'a number'}"
            meant = nearest(value, field.choices)
            if not scope.free:  # among fields and variables, that it is none of them is the reason
                what, meant = f"{what}: {error}", meant or error.suggestion
            yield Flaw(place, what, _expected(field), meant)
            return
        if value is None and field.default is not REQUIRED:
            yield field.default
            return
        if isinstance(value, float) and value.is_integer():
            value = int(value)
    match kind:
        case "extent":
            try:
                yield parse_extent(value, scope)
            except SizeError as error:
                yield Flaw(place, str(error), error.expected, error.suggestion)
        case "shape":
            yield from read_shape(value, place, scope)
        case "nests":
            yield from _read_nests(value, place, scope)
        case "any":
            try:
                plain = isinstance(value, str)
                yield evaluated(value, scope, "a value") if plain else filled(value, scope)
            except SizeError as error:
                yield Flaw(place, str(error), error.expected, error.suggestion)
        case "wholes" if (items := as_list(value)) is not None:
            faults = [
                fault
                for i, item in enumerate(items)
                if (fault := _number_fault(item, field, (*place, i))) is not None
            ]
            if not items:
                faults.append(Flaw(place, "an empty list", _expected(field)))
            yield from faults or [tuple(int(item) for item in items)]
        case "wholes" if isinstance(value, str) and value in field.choices:
            yield value
        case "whole" | "wholes" | "number":
            fault = _number_fault(value, field, place)
            number = cast("float", value)
            yield fault or (float(number) if kind == "number" else int(number))
        case "flag":
            yield (
                value
                if isinstance(value, bool)
                else Flaw(place, f"{shown(value)} is neither true nor false", "true or false")
            )
        case "format":
            for text in _read_text(value, field, place, scope):
                yield from [text] if isinstance(text, Flaw) else read_format(text, place)
        case "text" | "layer" | "result":
            yield from _read_text(value, field, place, scope)


def _read_nests(value: Any, place: Place, scope: Scope) -> Iterator[Any]:
    """Yield faults of loop nests, or all of them: loops, and operands with their axes and roles.

    An axis is a loop's letter, or a sum of them (``t+r``); the last operand is what is made.
    """
    nests: list[Any] = []
    sound = True
    for i, item in enumerate(as_list(value) or (None,)):
        nest = as_mapping(item) or {}
        loops, rows = as_mapping(nest.get("loops")), as_list(nest.get("operands"))
        operands = [as_list(row) or () for row in rows or ()]
        if loops is None or not operands or {*map(len, operands)} - {2, 3}:
            yield Flaw((*place, i), f"{shown(item)} is no loop nest", _expected(Field("nests")))
            return
        dims: list[tuple[str, Any]] = []
        for name, size in loops.items():
            try:
                dims.append((str(name), parse_extent(size, scope, mean=True)))
            except SizeError as error:
                yield Flaw((*place, i, "loops", name), str(error), error.expected, error.suggestion)
                sound = False
        nests.append((tuple(dims), tuple(tuple(map(str, operand)) for operand in operands)))
    if sound:
        yield tuple(nests)


def _read_text(value: Any, field: Field, place: Place, scope: Scope) -> Iterator[Any]:
    """Yield the fault of a text, or the text with what stands in its braces."""
    try:
        value = interpolated(value, scope) if isinstance(value, str) else value
    except SizeError as error:
        yield Flaw(place, str(error), error.expected, error.suggestion)
        return
    if not isinstance(value, str) or (field.choices and value not in field.choices):
        meant = nearest(str(value), field.choices)
        expected = "" if meant else _expected(field)
        yield Flaw(place, f"unknown value {shown(value)}", expected, meant)
    else:
        yield value


def read_format(value: object, place: Place) -> Iterator[Any]:
    """Yield the fault of a format's name, or the name."""
    from perfmodel.formats import find, formats

    if value == "" or (isinstance(value, str) and find(value) is not None):
        yield value
    else:
        meant = nearest(str(value), formats())
        yield Flaw(
            place,
            f"no format is named {shown(value)}",
            "" if meant else "a numeric format, such as int8 or fp16",
            meant,
        )


def _number_fault(value: Any, field: Field, place: Place) -> Flaw | None:
    """Return what is wrong with a number."""
    expected = _expected(field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Flaw(
            place, f"{shown(value)} is not a number", expected, nearest(str(value), field.choices)
        )
    if not math.isfinite(value):
        return Flaw(place, f"{value} is not a finite number", expected)
    if field.kind != "number" and value != int(value):
        return Flaw(place, f"{value:g} is not whole", expected)
    if not field.least <= value <= LIMIT:
        return Flaw(place, f"{value:g} is out of range", expected)
    return None


def _expected(field: Field) -> str:
    """Return what a field takes, in words."""
    least = f"{field.least:g}"
    words = {
        "extent": "an extent",
        "whole": f"a whole number from {least}",
        "wholes": f"a whole number from {least}, or a list of one per axis",
        "number": f"a number from {least}",
        "flag": "true or false",
        "text": "a text",
        "shape": "a list of extents",
        "format": "a numeric format",
        "layer": "a layer's name",
        "result": "a layer's name",
        "nests": "a list of {loops: {m: rows}, operands: [[x, mk], [w, kn, weight], [y, mn]]}",
        "any": "any value",
    }[field.kind]
    if not field.choices:
        return words
    if field.kind == "text":
        return one_of(field.choices)
    return f"{words}, or " + " or ".join(f"'{choice}'" for choice in field.choices)


def as_list(value: object) -> Sequence[Any] | None:
    """Return a list or tuple as a sequence, ``None`` for anything else."""
    return cast("Sequence[Any]", value) if isinstance(value, list | tuple) else None


def as_mapping(value: object) -> Mapping[str, Any] | None:
    """Return a mapping, ``None`` for anything else."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None
