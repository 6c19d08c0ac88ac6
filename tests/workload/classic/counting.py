"""Classical models in plain Python over numbers that count what is done with them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """What was done: ``mul``, ``add``, ``sub``, ``div``, ``compare``, ``exp``, ``abs`` ..."""

    done: Counter[str] = field(default_factory=Counter[str])

    def number(self, value: float) -> Number:
        return Number(float(value), self)

    def numbers(self, values: Any) -> list[Any]:
        """Nested lists of numbers that count."""
        if hasattr(values, "__len__"):
            return [self.numbers(v) for v in values]
        return self.number(values)  # type: ignore[return-value]


@dataclass
class Number:
    value: float
    tally: Tally

    def _made(self, name: str, value: float) -> Number:
        self.tally.done[name] += 1
        return Number(value, self.tally)

    def __add__(self, other: Number) -> Number:
        return self._made("add", self.value + other.value)

    def __sub__(self, other: Number) -> Number:
        return self._made("sub", self.value - other.value)

    def __mul__(self, other: Number) -> Number:
        return self._made("mul", self.value * other.value)

    def __truediv__(self, other: Number) -> Number:
        return self._made("div", self.value / other.value)

    def __abs__(self) -> Number:
        return self._made("abs", abs(self.value))

    def __gt__(self, other: Number) -> bool:
        self.tally.done["compare"] += 1
        return self.value > other.value

    def exp(self) -> Number:
        return self._made("exp", math.exp(self.value))


def dot(t: Tally, a: Sequence[Number], b: Sequence[Number], start: Number) -> Number:
    for x, y in zip(a, b, strict=True):
        start = start + x * y
    return start


def squared(t: Tally, a: Sequence[Number], b: Sequence[Number]) -> Number:
    total = t.number(0)
    for x, y in zip(a, b, strict=True):
        d = x - y
        total = total + d * d
    return total


def manhattan(t: Tally, a: Sequence[Number], b: Sequence[Number]) -> Number:
    total = t.number(0)
    for x, y in zip(a, b, strict=True):
        total = total + abs(x - y)
    return total


def argmax(values: Sequence[Number]) -> int:
    best = 0
    for i in range(1, len(values)):
        if values[i] > values[best]:
            best = i
    return best


def argmin(values: Sequence[Number]) -> int:
    best = 0
    for i in range(1, len(values)):
        if values[best] > values[i]:
            best = i
    return best


def power(x: Number, degree: int) -> Number:
    """By repeated squaring."""
    result: Number | None = None
    while True:
        if degree & 1:
            result = x if result is None else result * x
        degree >>= 1
        if not degree:
            assert result is not None
            return result
        x = x * x


def nearest(values: Sequence[Number], count: int) -> list[int]:
    """The smallest, by a pass over the rest for each."""
    left = list(range(len(values)))
    found: list[int] = []
    for _ in range(count):
        best = argmin([values[i] for i in left])
        found.append(left.pop(best))
    return found
