"""What was published beside what is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from perfmodel.evaluate.published import Basis, Verdict

if TYPE_CHECKING:
    from perfmodel.table import Table


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
        """Return the claim ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "constants": list(self.constants),
            "between": None if self.between is None else list(self.between),
            "interval": None if self.interval is None else list(self.interval),
        }


class Reproductions(tuple[Reproduction, ...]):
    """Claims in a row; prints as an aligned table."""

    __slots__ = ()

    @property
    def table(self) -> Table:
        """The claims as columns: `system`, `claim`, `published`, `predicted`, `error` and so on."""
        from perfmodel.table import Table

        rows = [row.to_dict() for row in self]
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

    def __repr__(self) -> str:
        return "\n".join(lines(self))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, cast("list[Any]", value)))
    return "" if value is None else str(value)


def lines(found: Sequence[Reproduction]) -> list[str]:
    """Return the claims as an aligned text, a line a claim, with a count at the end."""
    out: list[str] = []
    rows = [
        (
            f"{r.system}.{r.claim}", _published(r), _number(r.predicted), r.unit,
            "" if r.error is None else f"{100 * r.error:+.1f} %", r.basis, r.verdict, _ends(r),
        )
        for r in found
    ]  # fmt: skip
    head = ("claim", "published", "predicted", "unit", "error", "basis", "verdict", "90 % in")
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    right = {1, 2, 4}
    for row in (head, *rows):
        cells = (
            text.rjust(widths[i]) if i in right else text.ljust(widths[i])
            for i, text in enumerate(row)
        )
        out.append("  ".join(cells).rstrip())
    counts = {v: sum(r.verdict == v for r in found) for v in ("within", "off", "not_public")}
    first = [r for r in found if r.basis == "first_principles" and r.verdict != "not_public"]
    good = sum(r.verdict == "within" for r in first)
    out.append(
        f"{counts['within']} within, {counts['off']} off, {counts['not_public']} not public; "
        f"of {len(first)} from first principles {good} within"
    )
    return out


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
