"""Summary of rows that arrive chunk by chunk: counts, best row, Pareto front, first rows.

Summaries of chunks are computed by workers and merged in order; the merged summary equals that of
all rows at once, without keeping them. Lower bounds are ranked separately from predictions, which
none of them may beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from perfmodel.columns import more_is_better
from perfmodel.sweep.plan import EXTRA, METRICS, REASON
from perfmodel.table import Row, Table
from perfmodel.table.column_arrays import is_repeated, sorted_rows

#: Number of distinct reasons stored; further ones are only counted.
_MOST_REASONS: Final = 50
_SHOWN_REASONS: Final = 5
#: Metrics whose absence `perfmodel predict` explains.
_EXPLAINED: Final = {"energy_j", "power_w"}
_OF_PERIOD: Final = "energy_per_period_j"


class Reason:
    """Number of points and their devices, for one reason."""

    def __init__(self) -> None:
        self.points = 0
        self.devices: dict[str, None] = {}

    def add(self, device: str) -> None:
        """Count one more point."""
        self.points += 1
        self.devices.setdefault(device)

    def merge(self, other: Reason) -> None:
        """Add the points of another instance."""
        self.points += other.points
        self.devices |= other.devices


class Summary:
    """Counts and extremes of rows that arrive chunk by chunk.

    Parameters
    ----------
    best : str
        Objective of the best row; empty for none.
    pareto : sequence of str
        Objectives of the front; empty for none.
    top : int
        Number of best rows to keep, by the first objective (else latency, else the first metric).
    per : sequence of str
        Columns whose values form groups: the best row of each is kept besides the overall best.
    bounds : bool
        Whether bounds are ranked together with predictions, which no bound beats otherwise.
    """

    def __init__(
        self,
        best: str = "",
        pareto: Sequence[str] = (),
        top: int = 10,
        per: Sequence[str] = (),
        *,
        bounds: bool = False,
    ) -> None:
        self.points = 0
        self.rows = 0
        self.feasible = 0
        self._best, self._pareto, self._count = best, tuple(pareto), top
        self._ranks_bounds = bounds
        self._order = best or (self._pareto[0] if self._pareto else "")
        self.top: Table | None = None
        self.front: Table | None = None
        self.best: Row | None = None
        self._best_table: Table | None = None
        self._per = tuple(per)
        #: Best row of each group, if groups were requested and a row qualifies.
        self.best_per: Table | None = None
        #: Best infeasible rows; kept while no row is feasible.
        self.unfit: Table | None = None
        #: Extremes of the rows that are bounds, ranked separately.
        self.bounds = None if bounds else Summary(best, pareto, top, per, bounds=True)
        self._devices: dict[str, bool] = {}
        #: Points that cannot be predicted, and some of the reasons with counts and devices.
        self.refused = 0
        self.reasons: dict[str, Reason] = {}
        #: Objectives -> feasible rows without a number in them.
        self.unnumbered: dict[tuple[str, ...], Reason] = {}
        #: Whether a row has no energy of its period.
        self.lacks_period = False

    def empty_copy(self) -> Summary:
        """Return an empty summary with the same questions."""
        return Summary(self._best, self._pareto, self._count, self._per, bounds=self._ranks_bounds)

    def refuse(self, table: Table, count: int) -> None:
        """Record `count` unpredictable points, whose rows in the table may be incomplete."""
        self.refused += count
        if REASON not in table:
            return
        texts = np.asarray(table[REASON], dtype=object)
        for device, text in zip(table["device"][texts != ""], texts[texts != ""], strict=True):
            if text in self.reasons or len(self.reasons) < _MOST_REASONS:
                self.reasons.setdefault(text, Reason()).add(device)

    def add(self, table: Table, points: int) -> None:
        """Add the rows that remain of some points."""
        self.rows += len(table)
        if REASON in table:
            columns = [name for name in table if name != REASON]
            table = table.where(table[REASON] == "").select(*columns)
        self._order = self._order or _order(table)
        self.points += points
        if _OF_PERIOD in table:
            self.lacks_period |= bool(np.isnan(table[_OF_PERIOD]).any())
        fits = np.asarray(table["feasible"], dtype=bool) if "feasible" in table else None
        self.feasible += len(table) if fits is None else int(fits.sum())
        fitting = table if fits is None or fits.all() else table.where(fits)
        self._note_devices(table, fits)
        if self.bounds is not None and len(fitting):
            predicted = fitting.predicted
            if not predicted.all():
                self.bounds.add(fitting.where(~predicted), 0)
                fitting = fitting.where(predicted)
                if not len(fitting):
                    return
        if not len(fitting):
            if self._order in table:
                self._add_unfit(table)
            return
        if self._best:
            best = self._with_numbers(fitting, (self._best,))
            self._add_best(best, best)
        if self._pareto:
            self._add_front(self._with_numbers(fitting, self._pareto))
        if self._order in fitting:
            self._add_top(fitting)

    def merge(self, other: Summary) -> None:
        """Add another summary of the same questions, of later rows."""
        self.points += other.points
        self.rows += other.rows
        self.feasible += other.feasible
        self.refused += other.refused
        self.lacks_period |= other.lacks_period
        self._order = self._order or other._order
        for device, fits in other._devices.items():
            self._devices[device] = self._devices.get(device, False) or fits
        for text, reason in other.reasons.items():
            if text in self.reasons or len(self.reasons) < _MOST_REASONS:
                self.reasons.setdefault(text, Reason()).merge(reason)
        for objectives, lacking in other.unnumbered.items():
            self.unnumbered.setdefault(objectives, Reason()).merge(lacking)
        if self.bounds is not None and other.bounds is not None:
            self.bounds.merge(other.bounds)
        if other.unfit is not None:
            self._add_unfit(other.unfit)
        if other._best_table is not None:
            self._add_best(other._best_table, other.best_per)
        if other.front is not None:
            self._add_front(other.front)
        if other.top is not None:
            self._add_top(other.top)

    def settle(self) -> None:
        """Rank the bounds if there are no predictions, once all rows have been added."""
        bounds = self.bounds
        if bounds is None or bounds.rows < self.feasible or not bounds.rows:
            return
        self.top, self.front, self.best = bounds.top, bounds.front, bounds.best
        self.best_per, self.unnumbered = bounds.best_per, bounds.unnumbered
        self.bounds = None

    def _add_best(self, candidates: Table, of_groups: Table | None) -> None:
        """Update the best row, and the best row of each group."""
        if not len(candidates):
            return
        rows = _join(self._best_table, candidates)
        sign = -1.0 if more_is_better(self._best) else 1.0
        at = int(np.argmin(sign * np.asarray(rows[self._best], dtype=float)))
        self._best_table = rows[at : at + 1]
        self.best = rows[at]
        if self._per and of_groups is not None:
            rows = _join(self.best_per, of_groups)
            self.best_per = rows.best(self._best, per=self._per, bounds=True)

    def _add_front(self, rows: Table) -> None:
        self.front = _join(self.front, rows).pareto(*self._pareto, bounds=True)

    def _add_top(self, rows: Table) -> None:
        if self._count:
            self.top = self._head(_join(self.top, self._head(rows)))

    def _add_unfit(self, rows: Table) -> None:
        """Record infeasible rows, while no row is feasible."""
        if self._count and len(rows) and self.top is None:
            self.unfit = self._head(_join(self.unfit, self._head(rows)))

    def _with_numbers(self, fitting: Table, objectives: tuple[str, ...]) -> Table:
        """Return the rows with a number in every objective; count the others."""
        known = fitting.numbered(*objectives)
        if known.all():
            return fitting
        lacking = self.unnumbered.setdefault(objectives, Reason())
        for device in fitting["device"][~known].tolist():
            lacking.add(device)
        return fitting.where(known)

    def _note_devices(self, table: Table, fits: np.ndarray | None) -> None:
        if "device" not in table:
            return
        names = np.asarray(table["device"], dtype=object)
        if is_repeated(names):
            names, fits = names[:1], None if fits is None else np.array([fits.any()])
        for name in dict.fromkeys(names.tolist()):
            selected = names == name
            fit = bool(selected.any()) if fits is None else bool(fits[selected].any())
            self._devices[str(name)] = self._devices.get(str(name), False) or fit

    @property
    def unfit_devices(self) -> tuple[str, ...]:
        """Devices without a feasible row, in order of appearance."""
        return tuple(name for name, fit in self._devices.items() if not fit)

    def _head(self, table: Table) -> Table:
        order = sorted_rows([table[self._order]], more_is_better(self._order))
        return table[order[: self._count]]


def _order(table: Table) -> str:
    """Return the default metric by which rows are sorted."""
    known = (n for n in (*METRICS, *EXTRA) if n in table and table[n].dtype.kind == "f")
    return next(known, "latency_s")


def _join(first: Table | None, second: Table) -> Table:
    return second if first is None else Table.concat([first, second])


def few_names(names: Sequence[str]) -> str:
    """Return the first names, and the number of further ones."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if names[8:] else "")


def period_notes(summary: Summary) -> list[str]:
    """Return why the energy of a period may be empty, if it is in a row."""
    text = (
        f"an empty {_OF_PERIOD}: a run that does not end in its period or has no energy, or a "
        "device that states no power between runs (power.idle, power.sleep)"
    )
    return [text] if summary.lacks_period else []


def remarks(summary: Summary) -> list[str]:
    """Return remarks on rows without numbers, one line each."""
    lines = period_notes(summary)
    if summary.refused:
        lines.append(f"{summary.refused} of {summary.points} points cannot be predicted:")
        reasons = list(summary.reasons.items())
        for text, why in reasons[:_SHOWN_REASONS]:
            lines.append(f"  {why.points} on {few_names(list(why.devices))}: {text}")
        if reasons[_SHOWN_REASONS:]:
            lines.append(f"  and {len(reasons) - _SHOWN_REASONS} more reasons")
    if summary.bounds is not None and summary.bounds.rows:
        lines.append(
            f"{summary.bounds.rows} of {summary.feasible} rows that fit are bounds, which no "
            "software reaches, and are set apart: --bounds ranks them beside predictions"
        )
    for objectives, lacking in summary.unnumbered.items():
        names = " or ".join(objectives)
        why = " (perfmodel predict says why)" if {*objectives} & _EXPLAINED else ""
        lines.append(
            f"{lacking.points} of {summary.feasible} rows that fit have no {names} and are left "
            f"out: {few_names(list(lacking.devices))}{why}"
        )
    return lines
