"""Typed access to the configuration of a Keras layer; an invalid field raises a located flaw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from perfmodel.errors import one_of
from perfmodel.pydantic_faults import Flaw
from perfmodel.specfile import shipped

Place = tuple[str | int, ...]

#: Tables of layers, activations and quantisers by name.
LAYERS: Final[Mapping[str, Any]] = shipped("workloads", "operators/keras.yaml")

#: Largest valid size.
_LARGEST: Final = 2**31 - 1


def as_mapping(value: object) -> dict[str, Any]:
    """Return a mapping unchanged, and an empty one for any other value."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return a list unchanged, and an empty one for any other value."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def is_shape(extents: Sequence[object], least: int = 0) -> bool:
    """Return whether a list is a shape: up to 8 extents, None for free ones."""
    return len(extents) <= 8 and all(
        d is None or (type(d) is int and least <= d <= _LARGEST) for d in extents
    )


class LayerError(Exception):
    """Raised for a layer that cannot be read; contains the flaws."""

    def __init__(self, *flaws: Flaw) -> None:
        super().__init__()
        self.flaws = flaws


class LayerFields:
    """The configuration of a layer.

    Parameters
    ----------
    data
        Mapping in the file.
    place
        Path of the mapping in the file, for error messages.
    """

    def __init__(self, data: Mapping[str, Any], place: Place) -> None:
        self.data = data
        self.place = place

    def invalid(self, key: str, expected: str) -> LayerError:
        """Return the error for a missing or invalid field."""
        if key not in self.data:
            return LayerError(Flaw(self.place, f"missing key '{key}'", expected, on_key=True))
        value = cast("object", self.data[key])
        shown = f"a {type(value).__name__}" if type(value) in (dict, list) else repr(value)
        return LayerError(Flaw((*self.place, key), f"{shown[:60]} is not valid", expected))

    def has(self, key: str) -> bool:
        """Return whether a field has a value."""
        return self.data.get(key) is not None

    def integer(self, key: str, default: int | None = None, least: int = 1) -> int:
        """Return an integer field."""
        value = self.data.get(key)
        if value is None and default is not None:
            return default
        if not _is_integer(value, least):
            raise self.invalid(key, f"a whole number from {least}")
        return int(cast("float", value))

    def number(self, key: str, default: float) -> float:
        """Return a numeric field."""
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.invalid(key, "a number")
        return float(value)

    def integers(
        self, key: str, count: int, default: int | None = None, least: int = 1
    ) -> list[int]:
        """Return `count` integers, one per axis; a single one applies to all axes."""
        value: Any = self.data.get(key)
        if isinstance(value, list):
            items = cast("list[Any]", value)
            if len(items) == 1:
                items = items * count
            if len(items) != count or not all(_is_integer(v, least) for v in items):
                raise self.invalid(key, f"{count} whole numbers from {least}")
            return list(map(int, items))
        return [self.integer(key, default, least)] * count

    def pairs(self, key: str, count: int, default: int | None = None) -> list[tuple[int, int]]:
        """Return (before, after) per axis from one number, one per axis, or two per axis."""
        value: Any = self.data.get(key)
        rows = as_list(value)
        if isinstance(value, list) and all(isinstance(v, list) for v in rows):
            if len(rows) != count or any(
                len(r) != 2 or not all(_is_integer(v, 0) for v in r) for r in rows
            ):
                raise self.invalid(key, f"two numbers for each of {count} axes")
            return [(int(a), int(b)) for a, b in rows]
        if count == 1 and len(rows) == 2:
            first, last = self.integers(key, 2, least=0)
            return [(first, last)]
        return [(n, n) for n in self.integers(key, count, default, 0)]

    def flag(self, key: str, default: bool) -> bool:
        """Return a Boolean field."""
        value = self.data.get(key)
        if value is None:
            return default
        if not isinstance(value, int) or value not in (0, 1):
            raise self.invalid(key, "true or false")
        return bool(value)

    def text(self, key: str, default: str, choices: Sequence[str] = ()) -> str:
        """Return a text field."""
        value = self.data.get(key)
        if value is None:
            return default
        if not isinstance(value, str) or (choices and value not in choices):
            raise self.invalid(key, one_of(choices) if choices else "a text")
        return value

    def axes(self, key: str, default: int, rank: int) -> list[int]:
        """Return axes as non-negative indices."""
        value: Any = self.data.get(key)
        items = as_list(value) or [default if value is None else value]
        if not all(_is_integer(v, -rank) and v < rank for v in items):
            raise self.invalid(key, f"axes of {rank} dimensions")
        return [int(v) % rank for v in items]

    @property
    def config(self) -> LayerFields:
        """Configuration in the entry of a layer; empty if absent."""
        return LayerFields(as_mapping(self.data.get("config")), (*self.place, "config"))

    def inner(self, key: str) -> LayerFields:
        """Return a nested mapping as fields."""
        value = self.data.get(key)
        if not isinstance(value, dict):
            raise self.invalid(key, "a mapping")
        return LayerFields(cast("dict[str, Any]", value), (*self.place, key))


def _is_integer(value: object, least: int) -> bool:
    """Return whether a value is a whole number of at least `least`, and not a Boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return float(value).is_integer() and least <= value <= _LARGEST
