"""The figures of today beside the committed ones: what differs, key by key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from tests.golden.figures import Section, Value

ABSENT = "(absent)"


@dataclass(frozen=True)
class Change:
    """A key whose figure differs; `ABSENT` stands for one that is not there."""

    key: str
    old: Value
    new: Value

    @property
    def new_key(self) -> bool:
        """Whether the store does not have the key yet."""
        return self.old == ABSENT

    def __str__(self) -> str:
        return f"{self.key}: {self.old!r} -> {self.new!r}"


def same(old: Value, new: Value, tolerance: float) -> bool:
    """Return whether two values are the same figure: exact, but for floats."""
    numbers = [v for v in (old, new) if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < 2 or not any(isinstance(v, float) for v in numbers):
        return type(old) is type(new) and old == new
    a, b = numbers
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= tolerance * max(abs(a), abs(b)) < math.inf


def changes(section: Section, old: Mapping[str, Value], new: Mapping[str, Value]) -> list[Change]:
    """Return every difference, sorted by key."""
    found = list[Change]()
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, ABSENT), new.get(key, ABSENT)
        if not same(before, after, section.tolerance_of(key)):
            found.append(Change(key, before, after))
    return found


def settled(
    section: Section, old: Mapping[str, Value], new: Mapping[str, Value]
) -> dict[str, Value]:
    """Return what to write: the committed value wherever the new one is the same figure.

    Files then change only where figures do, whichever machine writes them.
    """
    return {
        key: old[key] if key in old and same(old[key], value, section.tolerance_of(key)) else value
        for key, value in new.items()
    }


def grouped(found: Sequence[Change], most: int | None = None) -> list[str]:
    """Return lines: the changes under the first two parts of their keys."""

    def head(change: Change) -> str:
        return "/".join(change.key.split("/")[:2])

    lines, shown = list[str](), 0
    for name, group in groupby(sorted(found, key=lambda c: (head(c), c.key)), head):
        members = list(group)
        lines.append(f"{name}: {len(members)} changed")
        room = len(members) if most is None else max(0, most - shown)
        lines += [f"  {change}" for change in members[:room]]
        shown += min(room, len(members))
    if most is not None and len(found) > shown:
        lines.append(f"... and {len(found) - shown} more")
    return lines
