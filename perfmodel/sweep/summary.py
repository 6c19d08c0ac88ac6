"""What is kept of a stream of rows: how many, the best, the front, the fastest few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from perfmodel.columns import more_is_better
from perfmodel.sweep.plan import METRICS, REASON
from perfmodel.table import Row, Table

#: Reasons that are kept in words; others are counted alone.
_MOST_REASONS: Final = 50
_SHOWN_REASONS: Final = 5
#: Metrics that depend on whether a device's spec states what they are made of.
_STATED: Final = {"energy_j", "power_w"}


class Reason:
    """How many points something holds for, and on which devices."""

    def __init__(self) -> None:
        self.points = 0
        self.devices: dict[str, None] = {}

    def add(self, device: str) -> None:
        """Count one more point."""
        self.points += 1
        self.devices.setdefault(device)


class Summary:
    """Counts and extremes of rows that come chunk by chunk.

    Parameters
    ----------
    best : str
        Objective of the best row; empty for none.
    pareto : sequence of str
        Objectives of the front; empty for none.
    top : int
        How many of the best rows by the first objective (else latency, else the first metric) to
        keep.
    per : sequence of str
        Columns whose values make groups: the best row of each is kept beside the best of all.
    bounds : bool
        Whether bounds are ranked beside predictions, which no bound beats otherwise.
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
        self._order = best or (self._pareto[0] if self._pareto else "")
        self.top: Table | None = None
        self.front: Table | None = None
        self.best: Row | None = None
        self._best_table: Table | None = None
        self._per = tuple(per)
        #: The best row of each group, where groups were asked for and a row qualifies.
        self.best_per: Table | None = None
        #: The best rows of points that do not fit; kept while no row fits.
        self.unfit: Table | None = None
        #: Extremes of the rows that are bounds, which are set apart.
        self.bounds = None if bounds else Summary(best, pareto, top, per, bounds=True)
        self._devices: dict[str, bool] = {}
        #: Points that cannot be predicted, and some of the reasons: how often, on which devices.
        self.refused = 0
        self.reasons: dict[str, Reason] = {}
        #: Objectives -> rows that fit and have no number there.
        self.unnumbered: dict[tuple[str, ...], Reason] = {}

    def refuse(self, table: Table, count: int) -> None:
        """Note rows of points that cannot be predicted, `count` of them, not all in the table."""
        self.refused += count
        if REASON not in table:
            return
        texts = np.asarray(table[REASON], dtype=object)
        for device, text in zip(table["device"][texts != ""], texts[texts != ""], strict=True):
            if text in self.reasons or len(self.reasons) < _MOST_REASONS:
                self.reasons.setdefault(text, Reason()).add(device)

    def add(self, table: Table, points: int) -> None:
        """Take in the rows that are left of some points."""
        self.rows += len(table)
        if REASON in table:
            columns = [name for name in table if name != REASON]
            table = table.where(table[REASON] == "").select(*columns)
        self._order = self._order or _order(table)
        self.points += points
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
            if self._count and len(table) and self.top is None and self._order in table:
                few = self._head(table)
                self.unfit = few if self.unfit is None else self._head(_join(self.unfit, few))
            return
        if self._best:
            self._add_best(self._with_numbers(fitting, (self._best,)))
        if self._pareto:
            known = self._with_numbers(fitting, self._pareto)
            joined = known if self.front is None else _join(self.front, known)
            self.front = joined.pareto(*self._pareto, bounds=True)
        if self._count and self._order in fitting:
            few = self._head(fitting)
            self.top = few if self.top is None else self._head(_join(self.top, few))

    def settle(self) -> None:
        """Rank the bounds where no prediction is there to rank, once all rows are in."""
        apart = self.bounds
        if apart is None or apart.rows < self.feasible or not apart.rows:
            return
        self.top, self.front, self.best = apart.top, apart.front, apart.best
        self.best_per, self.unnumbered = apart.best_per, apart.unnumbered
        self.bounds = None

    def _add_best(self, known: Table) -> None:
        if not len(known):
            return
        mine = known if self._best_table is None else _join(self._best_table, known)
        sign = -1.0 if more_is_better(self._best) else 1.0
        at = int(np.argmin(sign * np.asarray(mine[self._best], dtype=float)))
        self._best_table = mine[at : at + 1]
        self.best = mine[at]
        if self._per:
            mine = known if self.best_per is None else _join(self.best_per, known)
            self.best_per = mine.best(self._best, per=self._per, bounds=True)

    def _with_numbers(self, fitting: Table, objectives: tuple[str, ...]) -> Table:
        """Rows that have a number in every objective; the others are counted."""
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
        for name in dict.fromkeys(names.tolist()):
            mine = names == name
            fit = bool(mine.any()) if fits is None else bool(fits[mine].any())
            self._devices[str(name)] = self._devices.get(str(name), False) or fit

    @property
    def unfit_devices(self) -> tuple[str, ...]:
        """Devices on which no row fits, in the order in which they came."""
        return tuple(name for name, fit in self._devices.items() if not fit)

    def _head(self, table: Table) -> Table:
        ordered = table.sort(self._order, descending=more_is_better(self._order))
        return ordered.head(self._count)


def _order(table: Table) -> str:
    """Return the metric by which rows are sorted where nothing else is asked for."""
    return next((n for n in METRICS if n in table and table[n].dtype.kind == "f"), "latency_s")


def _join(first: Table, second: Table) -> Table:
    return Table.concat([first, second])


def few_names(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if names[8:] else "")


def remarks(summary: Summary) -> list[str]:
    """Return what a reader must know of rows that have no numbers, one text a line."""
    lines: list[str] = []
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
        why = " (their specs do not state enough for it)" if {*objectives} & _STATED else ""
        lines.append(
            f"{lacking.points} of {summary.feasible} rows that fit have no {names} and are left "
            f"out: {few_names(list(lacking.devices))}{why}"
        )
    return lines
