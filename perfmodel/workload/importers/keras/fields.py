"""Fields of a layer's configuration, each read with its place; bad ones become flaws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from perfmodel.errors import one_of
from perfmodel.pydantic_faults import Flaw

Place = tuple[str | int, ...]

#: The largest number that a size may be.
_LARGEST: Final = 2**31 - 1


def mapped(value: object) -> dict[str, Any]:
    """Return a mapping; an empty one for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    """Return a list; an empty one for anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def is_shape(extents: Sequence[object], least: int = 0) -> bool:
    """Whether a list holds up to 8 extents, null where one is free."""
    return len(extents) <= 8 and all(
        d is None or (type(d) is int and least <= d <= _LARGEST) for d in extents
    )


class LayerError(Exception):
    """A layer cannot be read; carries the flaws."""

    def __init__(self, *flaws: Flaw) -> None:
        super().__init__()
        self.flaws = flaws


class Fields:
    """The configuration of a layer.

    Parameters
    ----------
    data
        The mapping of the file.
    place
        Where it stands.
    """

    def __init__(self, data: Mapping[str, Any], place: Place) -> None:
        self.data = data
        self.place = place

    def bad(self, key: str, expected: str) -> LayerError:
        """Return the error of a field that is missing or of the wrong kind."""
        if key not in self.data:
            return LayerError(Flaw(self.place, f"missing key '{key}'", expected, on_key=True))
        value = cast("object", self.data[key])
        shown = f"a {type(value).__name__}" if type(value) in (dict, list) else repr(value)
        return LayerError(Flaw((*self.place, key), f"{shown[:60]} is not valid", expected))

    def has(self, key: str) -> bool:
        """Whether a field is there and no null."""
        return self.data.get(key) is not None

    def whole(self, key: str, default: int | None = None, least: int = 1) -> int:
        """Return a whole number."""
        value = self.data.get(key)
        if value is None and default is not None:
            return default
        if not _whole(value, least):
            raise self.bad(key, f"a whole number from {least}")
        return int(cast("float", value))

    def number(self, key: str, default: float) -> float:
        """Return a number."""
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.bad(key, "a number")
        return float(value)

    def wholes(self, key: str, count: int, default: int | None = None, least: int = 1) -> list[int]:
        """Return as many whole numbers as there are axes; a single one stands for all."""
        value: Any = self.data.get(key)
        if isinstance(value, list):
            items = cast("list[Any]", value)
            if len(items) == 1:
                items = items * count
            if len(items) != count or not all(_whole(v, least) for v in items):
                raise self.bad(key, f"{count} whole numbers from {least}")
            return list(map(int, items))
        return [self.whole(key, default, least)] * count

    def pairs(self, key: str, count: int, default: int | None = None) -> list[tuple[int, int]]:
        """Return numbers before and after each axis: one for all, one per axis, or two per axis."""
        value: Any = self.data.get(key)
        rows = listed(value)
        if isinstance(value, list) and all(isinstance(v, list) for v in rows):
            if len(rows) != count or any(
                len(r) != 2 or not all(_whole(v, 0) for v in r) for r in rows
            ):
                raise self.bad(key, f"two numbers for each of {count} axes")
            return [(int(a), int(b)) for a, b in rows]
        if count == 1 and len(rows) == 2:
            first, last = self.wholes(key, 2, least=0)
            return [(first, last)]
        return [(n, n) for n in self.wholes(key, count, default, 0)]

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.data.get(key)
        if value is None:
            return default
        if not isinstance(value, int) or value not in (0, 1):
            raise self.bad(key, "true or false")
        return bool(value)

    def text(self, key: str, default: str, choices: Sequence[str] = ()) -> str:
        """Return a text."""
        value = self.data.get(key)
        if value is None:
            return default
        if not isinstance(value, str) or (choices and value not in choices):
            raise self.bad(key, one_of(choices) if choices else "a text")
        return value

    def axes(self, key: str, default: int, rank: int) -> list[int]:
        """Return axes, counted from the front."""
        value: Any = self.data.get(key)
        items = listed(value) or [default if value is None else value]
        if not all(_whole(v, -rank) and v < rank for v in items):
            raise self.bad(key, f"axes of {rank} dimensions")
        return [int(v) % rank for v in items]

    @property
    def config(self) -> Fields:
        """The configuration of a layer's entry; empty where it has none."""
        return Fields(mapped(self.data.get("config")), (*self.place, "config"))

    def inner(self, key: str) -> Fields:
        """Return a mapping inside this one."""
        value = self.data.get(key)
        if not isinstance(value, dict):
            raise self.bad(key, "a mapping")
        return Fields(cast("dict[str, Any]", value), (*self.place, key))


def _whole(value: object, least: int) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return float(value).is_integer() and least <= value <= _LARGEST
