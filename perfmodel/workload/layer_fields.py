"""Read the fields of one layer of a plain graph; every fault with its place."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast

from perfmodel.errors import nearest, one_of
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.layer_operators import REQUIRED, Field
from perfmodel.workload.layer_sizes import LIMIT, SizeError, parse_extent

Place = tuple[str | int, ...]

#: Axes a tensor may have.
_RANK = 8


def read_fields(
    given: Mapping[str, Any], fields: Mapping[str, Field], place: Place, names: Collection[str],
    flaws: list[Flaw],
) -> dict[str, Any]:  # fmt: skip
    """Return the values of all fields, defaults included; faults go to `flaws`.

    Fields of kind ``layer`` stay names.
    """
    values: dict[str, Any] = {}
    for key in given:
        if key not in fields:
            meant = nearest(key, fields)
            expected = one_of(fields) if fields else "no fields"
            flaws.append(Flaw((*place, key), f"unknown key '{key}'", "" if meant else expected,
                              meant, on_key=True))  # fmt: skip
    for key, field in fields.items():
        if key not in given or given[key] is None:
            if field.default is REQUIRED:
                flaws.append(Flaw(place, f"missing key '{key}'", _expected(field), on_key=True))
            values[key] = field.default
            continue
        found = list(_read(given[key], field, (*place, key), names))
        flaws += (item for item in found if isinstance(item, Flaw))
        values[key] = next((item for item in found if not isinstance(item, Flaw)), field.default)
    return values


def read_shape(value: object, place: Place, names: Collection[str]) -> Iterator[Any]:
    """Yield the faults of a list of extents, then its tuple if there were none."""
    items = as_list(value)
    if items is None or not 1 <= len(items) <= _RANK:
        what = shown(value) if items is None else f"a list of {len(items)}"
        yield Flaw(place, f"{what} is not a shape", f"a list of 1 to {_RANK} extents")
        return
    extents: list[Any] = []
    for i, item in enumerate(items):
        try:
            extents.append(parse_extent(item, names))
        except SizeError as error:
            yield Flaw((*place, i), str(error), error.expected, error.suggestion)
    if len(extents) == len(items):
        yield tuple(extents)


def _read(value: Any, field: Field, place: Place, names: Collection[str]) -> Iterator[Any]:
    """Yield faults, or the value."""
    match field.kind:
        case "extent":
            try:
                yield parse_extent(value, names)
            except SizeError as error:
                yield Flaw(place, str(error), error.expected, error.suggestion)
        case "shape":
            yield from read_shape(value, place, names)
        case "wholes" if (items := as_list(value)) is not None:
            faults = [
                fault for i, item in enumerate(items)
                if (fault := _number_fault(item, field, (*place, i))) is not None
            ]  # fmt: skip
            if not items:
                faults.append(Flaw(place, "an empty list", _expected(field)))
            yield from faults or [tuple(int(item) for item in items)]
        case "wholes" if isinstance(value, str) and value in field.choices:
            yield value
        case "whole" | "wholes" | "number":
            fault = _number_fault(value, field, place)
            yield fault or (float(value) if field.kind == "number" else int(value))
        case "flag":
            yield value if isinstance(value, bool) else Flaw(
                place, f"{shown(value)} is neither true nor false", "true or false"
            )  # fmt: skip
        case "format":
            yield from read_format(value, place)
        case "text" | "layer":
            if not isinstance(value, str) or (field.choices and value not in field.choices):
                meant = nearest(str(value), field.choices)
                yield Flaw(place, f"unknown value {shown(value)}", "" if meant else
                           _expected(field), meant)  # fmt: skip
            else:
                yield value


def read_format(value: object, place: Place) -> Iterator[Any]:
    """Yield the fault of a format's name, or the name."""
    from perfmodel.formats import find, formats

    if value == "" or (isinstance(value, str) and find(value) is not None):
        yield value
    else:
        meant = nearest(str(value), formats())
        yield Flaw(place, f"no format is named {shown(value)}",
                   "" if meant else "a numeric format, such as int8 or fp16", meant)  # fmt: skip


def _number_fault(value: Any, field: Field, place: Place) -> Flaw | None:
    """Return what is wrong with a number."""
    expected = _expected(field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Flaw(place, f"{shown(value)} is not a number", expected,
                    nearest(str(value), field.choices))  # fmt: skip
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
        "extent": "an extent", "whole": f"a whole number from {least}",
        "wholes": f"a whole number from {least}, or a list of one an axis",
        "number": f"a number from {least}", "flag": "true or false", "text": "a text",
        "shape": "a list of extents", "format": "a numeric format", "layer": "a layer's name",
    }[field.kind]  # fmt: skip
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


def shown(value: object) -> str:
    """Return a value for a message."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
