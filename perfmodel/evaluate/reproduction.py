"""What was published beside what is predicted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np

from perfmodel.evaluate.published import Basis, Verdict
from perfmodel.table import Result, Table, plain
from perfmodel.table.text import aligned


@dataclass(frozen=True, slots=True)
class Reproduction:
    """One published claim, and what the model says.

    Attributes
    ----------
    system, claim, title
        Whose, which, and in words.
    published, predicted
        In `unit`; `published` is ``None`` where the number is not public.
    error
        ``predicted / published - 1``; the difference itself where 0 was published. Of a range
        from its nearest end, ``None`` within.
    basis
        ``first_principles``, ``given`` or ``fitted``.
    constants
        What entered beside geometry and physics, in words.
    tolerance
        Largest error that counts as within.
    verdict
        ``within``, ``off`` or ``not_public``.
    between
        Lowest and highest, where a range or a bound was published in place of a number.
    interval
        Of a latency that `perfmodel predict` gives: its ends at 90 %, and what they rest on.
    """

    system: str
    claim: str
    title: str
    published: float | None
    predicted: float
    unit: str
    error: float | None
    basis: Basis
    constants: tuple[str, ...]
    tolerance: float
    verdict: Verdict
    source: str
    note: str
    between: tuple[float | None, float | None] | None = None
    interval: tuple[float, float, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the claim, ready for JSON."""
        return {name: plain(getattr(self, name)) for name in self.__slots__}


class Reproductions(Result, tuple[Reproduction, ...]):
    """Claims in a row; prints as an aligned table."""

    noun = "reproduction"

    def to_dict(self) -> list[dict[str, Any]]:
        """Return each claim, ready for JSON."""
        return plain(list(self))

    @cached_property
    def table(self) -> Table:
        """The claims as columns: `system`, `claim`, `published`, `predicted`, `error` and so on."""
        rows = self.to_dict()
        numbers = ("published", "predicted", "error", "tolerance")
        columns: dict[str, Any] = {}
        for name in Reproduction.__slots__:
            values = [row[name] for row in rows]
            if name in numbers:
                filled = [float("nan") if v is None else v for v in values]
                columns[name] = np.array(filled, dtype=float)
            else:
                columns[name] = np.array([*map(_text, values)], dtype=object)
        return Table(columns)

    @property
    def headline(self) -> str:
        """How many claims are within their tolerance."""
        counts = {v: sum(r.verdict == v for r in self) for v in ("within", "off", "not_public")}
        first = [r for r in self if r.basis == "first_principles" and r.verdict != "not_public"]
        good = sum(r.verdict == "within" for r in first)
        return (
            f"{counts['within']} within, {counts['off']} off, {counts['not_public']} not public; "
            f"of {len(first)} from first principles {good} within"
        )

    def sections(self) -> list[str]:
        """Return a line for each claim."""
        head = ("claim", "published", "predicted", "unit", "error", "basis", "verdict", "90 % in")
        rows = [
            (
                f"{r.system}.{r.claim}",
                _published(r),
                _number(r.predicted),
                r.unit,
                "" if r.error is None else f"{100 * r.error:+.1f} %",
                r.basis,
                r.verdict,
                _ends(r),
            )
            for r in self
        ]
        return ["\n".join(aligned([head, *rows], {1, 2, 4}))]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, cast("list[Any]", value)))
    return "" if value is None else str(value)


def _published(row: Reproduction) -> str:
    """A number, ``20 to 32``, ``<= 8.5`` or ``>= 3``."""
    if row.between is None:
        return _number(row.published)
    low, high = row.between
    if low is None or high is None:
        return f"<= {_number(high)}" if low is None else f">= {_number(low)}"
    return f"{_number(low)} to {_number(high)}"


def _ends(row: Reproduction) -> str:
    """Return the ends of the interval, and what they rest on."""
    if row.interval is None:
        return ""
    low, high, basis = row.interval
    return f"{_number(low)} to {_number(high)}, {basis}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
