"""What is kept of a stream of rows: how many, the best, the front, the fastest few."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perfmodel.columns import more_is_better
from perfmodel.sweep.plan import METRICS
from perfmodel.table import Row, Table

__all__ = ["Summary"]


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
    """

    def __init__(
        self, best: str = "", pareto: Sequence[str] = (), top: int = 10, per: Sequence[str] = ()
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
        self._devices: dict[str, bool] = {}

    def add(self, table: Table, points: int) -> None:
        """Take in the rows that are left of some points."""
        self._order = self._order or _order(table)
        self.points += points
        self.rows += len(table)
        fits = np.asarray(table["feasible"], dtype=bool) if "feasible" in table else None
        self.feasible += len(table) if fits is None else int(fits.sum())
        fitting = table if fits is None or fits.all() else table.where(fits)
        self._note_devices(table, fits)
        if not len(fitting):
            if self._count and len(table) and self.top is None and self._order in table:
                few = self._head(table)
                self.unfit = few if self.unfit is None else self._head(_join(self.unfit, few))
            return
        if self._best:
            mine = fitting if self._best_table is None else _join(self._best_table, fitting)
            values = np.asarray(mine[self._best], dtype=float)
            if not np.isnan(values).all():
                sign = -1.0 if more_is_better(self._best) else 1.0
                at = int(np.nanargmin(sign * values))
                self._best_table = mine[at : at + 1]
                self.best = mine[at]
        if self._best and self._per:
            mine = fitting if self.best_per is None else _join(self.best_per, fitting)
            self.best_per = mine.best(self._best, per=self._per)
        if self._pareto:
            found = fitting.pareto(*self._pareto)
            joined = found if self.front is None else _join(self.front, found)
            self.front = joined.pareto(*self._pareto)
        if self._count and self._order in fitting:
            few = self._head(fitting)
            self.top = few if self.top is None else self._head(_join(self.top, few))

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
