"""Report of a sweep: best row, Pareto front, metrics over the axes, first rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import ClassVar, NamedTuple

from perfmodel.charts.style import quantity
from perfmodel.columns import TEXT, TRUTH, more_is_better
from perfmodel.errors import InputError
from perfmodel.report.base import Part, ResultReport, verdict
from perfmodel.report.document import ReportDocument
from perfmodel.table import Table
from perfmodel.table.html import cards, paragraph
from perfmodel.table.sweep_views import (
    METRICS,
    fitting,
    is_known,
    known_metrics,
    trade,
    varied_choices,
)
from perfmodel.table.text import data_table

#: Columns of the tables besides the varied ones.
_SHOWN = (*METRICS, "ttft_s", "bottleneck", "feasible")
_ROWS = 200


class Counted(NamedTuple):
    """Row counts of a sweep of which only some rows are in memory.

    Attributes
    ----------
    points, rows, feasible
        Predicted points; rows that satisfy the condition; feasible ones among them.
    """

    points: int
    rows: int
    feasible: int


@dataclass
class SweepReport(ResultReport):
    """Report of a sweep: best row, front, metrics over the axes, rows.

    Attributes
    ----------
    best, pareto
        Metrics of interest; by default latency, and latency against energy (or memory).
    counted
        Total counts, if the table contains only part of the rows.
    notes
        Remarks of the sweep.

    Raises
    ------
    InputError
        Unknown columns.
    """

    WORDS: ClassVar = ("latency", "energy", "memory", "bound by", "front")

    result: Table
    best: str = ""
    pareto: Sequence[str] = ()
    counted: Counted | None = None
    notes: Sequence[str] = field(default_factory=tuple[str, ...])

    def __post_init__(self) -> None:
        table = self.result
        #: Whether all rows are in memory: a partial front is drawn only on request.
        self.all_rows = self.counted is None or self.counted.rows == len(table)
        self.draws = bool(len(table)) and (self.all_rows or bool(self.pareto))
        self.best = self.best or next(iter(known_metrics(table)), "")
        self.objectives = list(self.pareto) or trade(table)
        faults = table.objective_faults([*filter(None, [self.best]), *self.objectives])
        if faults:
            raise InputError(faults)

    @property
    def title(self) -> str:
        """Workloads and devices."""
        one, other = (_names_or_count(self.result, name) for name in ("workload", "device"))
        return f"Sweep: {one} on {other}" if one and other else "Sweep"

    @property
    def subtitle(self) -> str:
        """The axes with their ranges."""
        return "; ".join(f"{name}: {_extent(self.result, name)}" for name in self._varied())

    def answer(self) -> str:
        """Return the best row, and the number of candidates."""
        table, best = self.result, self.best
        count = self.counted or Counted(len(table), len(table), int(fitting(table).sum()))
        rows = "" if count.rows == count.points else f", {count.rows} satisfy the condition"
        text = escape(f"{count.points} points{rows}, {count.feasible} of them fit.")
        notes = "".join(paragraph(note, "note") for note in self.notes)
        row = table.where(table.numbered(best)).best(best) if best else None
        of = self._candidates_text([best]) if best and self.all_rows else ""
        if row is None:
            return verdict(False, f"No point qualifies{of}.", f" {text}") + notes

        def text_of(name: str) -> str:
            return quantity(float(row[name]), table.dimensions[name])

        places = [
            str(row[n]) if _is_text(table, n) else f"{n} {text_of(n)}" for n in self._varied()
        ]
        where = escape(", ".join(places) or "the only point")
        head = f"Best {best}{of}: {text_of(best)}"
        numbers = [(n, text_of(n), "") for n in METRICS if n in row and row[n] == row[n]]
        return verdict(True, head, f" at {where}.<p>{text}</p>") + cards(numbers) + notes

    def parts(self, page: ReportDocument) -> Iterator[Part]:
        """Yield the pictures, the front, the first rows."""
        table, best, objectives = self.result, self.best, self.objectives
        if self.draws:
            yield "Pictures", self.pictures(page, best=best, pareto=objectives)
        if self.draws and len(objectives) > 1:
            front = table.where(table.numbered(*objectives)).pareto(*objectives)
            of = self._candidates_text(objectives) if self.all_rows else ""
            caption = f"{len(front)} rows on the front of {', '.join(objectives)}{of}"
            yield "Front", [data_table(self._brief_columns(front), caption, most=_ROWS)]
        order = table.sort(best, descending=more_is_better(best)) if best else table
        order = Table.concat([order.where(order.predicted), order.where(~order.predicted)])
        caption = f"by {best}, the best first" if best else ""
        if self.counted is not None and self.counted.rows > len(table):
            caption += f"; the front and the best {len(table)} of {self.counted.rows} rows"
        yield "Rows", [data_table(self._brief_columns(order), caption, most=_ROWS)]

    def _varied(self) -> list[str]:
        """Return the columns of choices that vary."""
        return varied_choices(self.result)

    def _candidates_text(self, objectives: Sequence[str]) -> str:
        """Return the number of candidate rows, if some have no number in the objectives."""
        fits = fitting(self.result)
        known, every = int((fits & self.result.numbered(*objectives)).sum()), int(fits.sum())
        text = f" of those that have a number ({known} of {every} that fit)"
        return "" if known == every else text

    def _brief_columns(self, table: Table) -> Table:
        """Return the columns of subjects, axes and objectives."""
        names = ["workload", "device", *self._varied(), *table.axes, *self.objectives, *_SHOWN]
        names = [name for name in dict.fromkeys(names) if name in table]
        return table.select(
            *(n for n in names if _is_text(table, n) or is_known(table, n) or n in self.objectives)
        )


def _is_text(table: Table, name: str) -> bool:
    """Return whether a column is of texts or truth values."""
    return table.dimensions[name] in (TEXT, TRUTH)


def _names_or_count(table: Table, name: str) -> str:
    """Return the names in a column, or their number if there are many."""
    values = list(dict.fromkeys(map(str, table[name].tolist()))) if name in table else []
    return f"{len(values)} {name}s" if len(values) > 2 else " and ".join(values)


def _extent(table: Table, name: str) -> str:
    """Return the values of a column, or its range."""
    values = list(dict.fromkeys(table[name].tolist()))
    if _is_text(table, name):
        more = f" and {len(values) - 6} more" if values[6:] else ""
        return ", ".join(map(str, values[:6])) + more
    low, high = (quantity(float(v), table.dimensions[name]) for v in (min(values), max(values)))
    return f"{len(values)} values from {low} to {high}"
