"""What a section of the golden net yields: keys by meaning, and plain values."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import numpy as np

from perfmodel.errors import InfeasibleError, InputError

Value: TypeAlias = float | int | str | bool | None
Figures: TypeAlias = Iterator[tuple[str, Value]]

#: Predictions and closed forms: what another order of additions may change is left free.
PREDICTED = 1e-12
#: Figures over measured data that a least-squares solver or a mean of logarithms enters.
MEASURED = 1e-6
#: Constants that a solver refits: they depend on its path and on the arithmetic of BLAS.
REFITTED = 1e-4
#: A list of more entries than this is kept as its length and two sums for each column.
LONG = 12
#: Names of what follows from the file of evidence, which is generated: coverage is what holds it.
EVIDENT = frozenset({"intervals", "latency_low_s", "latency_high_s"})


@dataclass(frozen=True)
class Section:
    """A part of the net with a file of its own.

    Attributes
    ----------
    figures
        Yields every key of the section with its value of today.
    tolerance
        Largest relative difference of two floats that are the same figure.
    looser
        Pattern of keys -> a larger tolerance; the section says why.
    measured
        Whether it needs the measured data sets; such sections belong to ``make test_all``.
    exhaustive
        Whether it belongs there because other tests hold the same things to one another.
    """

    name: str
    figures: Callable[[], Figures] = field(repr=False)
    tolerance: float = PREDICTED
    looser: Mapping[str, float] = field(default_factory=dict[str, float])
    measured: bool = False
    exhaustive: bool = False

    def tolerance_of(self, key: str) -> float:
        """Return the relative tolerance of a key."""
        return max(
            (t for pattern, t in self.looser.items() if fnmatchcase(key, pattern)),
            default=self.tolerance,
        )

    def now(self) -> dict[str, Value]:
        """Return every figure of today.

        Raises
        ------
        ValueError
            Two figures have one key.
        """
        values: dict[str, Value] = {}
        for key, value in self.figures():
            if key in values:
                raise ValueError(f"{self.name}: the key {key} is used twice")
            values[key] = plain(value)
        return values


def plain(value: Any) -> Value:
    """Return a value as JSON has it: numpy's scalars become those of Python."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{value!r} is no plain value")


def refusal(error: Exception) -> str:
    """Return the kind of a refusal; what is no refusal is raised again."""
    if isinstance(error, InputError):
        return "bad input"
    if isinstance(error, InfeasibleError):
        return "infeasible"
    raise error


def tried(key: str, call: Callable[[], Iterable[tuple[str, Value]]]) -> Figures:
    """Yield the figures of a call under a key, or the kind of its refusal."""
    try:
        found = list(call())
    except (InputError, InfeasibleError) as error:
        yield f"{key}/refused", refusal(error)
        return
    for name, value in found:
        yield f"{key}/{name}", value


def digest(*parts: object) -> str:
    """Return a hash of texts and numbers, 16 digits."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def rounded(value: float, digits: int = 12) -> float:
    """Return a number to some significant digits, for a hash that ignores the last bits."""
    return float(f"{value:.{digits - 1}e}") if math.isfinite(value) else value


def numbers(found: Any, drop: Iterable[str] = (), path: str = "") -> Figures:
    """Yield the numbers and truths of nested mappings and lists by path, text left out.

    Parameters
    ----------
    drop
        Names that are left out wherever they stand: seconds of a clock, orders of equal worth.
    """
    dropped = frozenset(drop) | EVIDENT
    if isinstance(found, Mapping):
        for name in sorted(found, key=str):
            if name not in dropped:
                yield from numbers(found[name], dropped, _joined(path, str(name)))
    elif isinstance(found, list | tuple):
        if len(found) > LONG:
            yield from condensed(found, dropped, path)
        else:
            for i, each in enumerate(found):
                yield from numbers(each, dropped, _joined(path, str(i)))
    elif found is None or isinstance(found, bool | int | float | np.generic):
        yield path, plain(found)


def condensed(found: Iterable[Any], drop: Iterable[str], path: str) -> Figures:
    """Yield how long a list is, and of every number in it the sum and the sum by place."""
    rows = list(found)
    columns: dict[str, list[tuple[int, float]]] = {}
    for i, row in enumerate(rows):
        for name, value in numbers(row, drop):
            if value is not None:
                columns.setdefault(name, []).append((i + 1, float(value)))
    yield _joined(path, "length"), len(rows)
    for name, column in sorted(columns.items()):
        finite = [(i, v) for i, v in column if math.isfinite(v)]
        at = _joined(path, f"{name}[]" if name else "[]")
        if len(finite) < len(rows):
            yield f"{at}/finite", len(finite)
        yield f"{at}/sum", math.fsum(v for _, v in finite)
        yield f"{at}/by_place", math.fsum(i * v for i, v in finite)


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
