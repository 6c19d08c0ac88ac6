"""A sweep as points in two metrics: the Pareto front, what does not fit, the best under a limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perfmodel.columns import TEXT, more_is_better
from perfmodel.errors import Fault, InputError, nearest
from perfmodel.expressions import parse_expression
from perfmodel.pareto import front
from perfmodel.plots.labels import Placer
from perfmodel.plots.style import (
    HEIGHT,
    INK,
    PALE,
    SERIES,
    SYMBOLS,
    VERMILION,
    WIDTH,
    axis,
    decades,
    figure,
    quantity,
    ticks,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.table import Table

Mask = npt.NDArray[np.bool_]

#: Points drawn at most, beside the front: what a browser turns without a stutter.
DRAWN = 20_000
_MARGIN = {"l": 85, "r": 190, "t": 84, "b": 64}
_LABELS = 6


def pareto(
    table: Table, x: str, y: str, *, under: str | None = None, color: str | None = None,
    best: str | None = None,
) -> Figure:  # fmt: skip
    """Draw rows of a sweep in two metrics, with the front of the feasible ones.

    Rates and utilization are better when larger, everything else when smaller.

    Parameters
    ----------
    table
        Of a sweep; its column ``feasible``, where there is one, sets apart what does not fit.
    x, y
        Columns of numbers.
    under
        A limit such as ``"tpot_s <= 50 ms"``: the best row within it is marked, rows past it fade.
    color
        Column that colours the points; by default the first axis of texts with several values.
    best
        Column in which a row within the limit is the best; by default `y`.

    Raises
    ------
    InputError
        Unknown columns, columns of texts, a limit that is no condition.
    """
    best = best or y
    faults = table.objective_faults(dict.fromkeys((x, y, best)))
    if color is not None and color not in table:
        faults.append(
            Fault(f"there is no column '{color}'", path="color",
                  suggestion=nearest(color, table.columns))
        )  # fmt: skip
    condition = parse_expression(under) if under else None
    columns: dict[str, Any] = {name: table[name] for name in table}
    if condition is not None:
        faults += condition.condition_faults(columns, table.dimensions)
    if faults:
        raise InputError(faults)
    within = np.ones(len(table), dtype=bool)
    if condition is not None:
        within = np.broadcast_to(np.asarray(condition(columns), dtype=bool), within.shape)
    return _Cloud(table, x, y, color or _category(table), within, under or "", best).figure()


def _category(table: Table) -> str | None:
    texts = [n for n in (*table.axes, *table) if table.dimensions.get(n) == TEXT and n in table]
    for name in dict.fromkeys(texts):
        if 1 < len(set(table[name].tolist())) <= 2 * len(SERIES):
            return name
    return None


class _Cloud:
    """The rows as points, sorted into what is drawn how."""

    def __init__(
        self, table: Table, x: str, y: str, color: str | None, within: Mask, under: str, best: str
    ) -> None:
        self.table, self.x, self.y, self.color = table, x, y, color
        self.under, self.best = under, best
        self.xs = np.asarray(table[x], dtype=float)
        self.ys = np.asarray(table[y], dtype=float)
        known = np.isfinite(self.xs) & np.isfinite(self.ys)
        fits = np.asarray(table["feasible"], dtype=bool) if "feasible" in table else known
        self.fits, self.misfit = known & fits, known & ~fits
        # No bound is on the front beside predictions.
        predicted = self.fits & table.predicted
        self.ranked = predicted if predicted.any() else self.fits
        self.within = self.fits & within
        self.front = self._front()
        self.chosen = self._best()
        self.notes: list[dict[str, Any]] = []
        self.traces: list[dict[str, Any]] = []
        self._extent(known)

    def _front(self) -> npt.NDArray[np.intp]:
        values = np.stack([
            -self.xs if more_is_better(self.x) else self.xs,
            -self.ys if more_is_better(self.y) else self.ys,
        ], axis=1)  # fmt: skip
        values[~self.ranked] = np.nan
        chosen = np.flatnonzero(front(values))
        return chosen[np.argsort(self.xs[chosen], kind="stable")]

    def _best(self) -> int | None:
        values = np.array(self.table[self.best], dtype=float)
        if more_is_better(self.best):
            values = -values
        values = np.where(self.within, values, np.nan)
        return None if np.isnan(values).all() else int(np.nanargmin(values))

    def _extent(self, known: Mask) -> None:
        self.logs: list[bool] = []
        self.ranges: list[tuple[float, float]] = []
        for values in (self.xs, self.ys):
            shown = values[known]
            low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
            log = low > 0 and high > 30 * low
            self.logs.append(log)
            if log:
                low, high = math.log10(low), math.log10(high)
                pad = 0.08 * (high - low)
            else:
                low = min(low, 0.0)
                pad = 0.08 * (high - low) or 1.0
            # Room for labels on the good side of x, where no point is.
            wide = 0.3 * (high - low) if values is self.xs else pad
            good = more_is_better(self.x)
            below = pad if log or low < 0 else 0.0
            self.ranges.append((
                low - (max(below, wide) if log and not good else below),
                high + (wide if good else pad),
            ))  # fmt: skip
        self.place = Placer(
            WIDTH - _MARGIN["l"] - _MARGIN["r"], HEIGHT - _MARGIN["t"] - _MARGIN["b"],
            self.ranges[0], self.ranges[1],
        )  # fmt: skip

    def _at(self, i: int) -> tuple[float, float]:
        """Return a row's place in the axes' coordinates."""
        x, y = float(self.xs[i]), float(self.ys[i])
        return (math.log10(x) if self.logs[0] else x), (math.log10(y) if self.logs[1] else y)

    def figure(self) -> Figure:
        thinned = self._points()
        self._front_line()
        self._star()
        self._labels()
        fit = int(self.fits.sum())
        count = f"{len(self.table)} points, {fit} fit, {len(self.front)} on the front"
        if thinned:
            count += f" ({thinned} left out of the drawing)"
        subtitle = count + (f"<br>limit: {_escape(self.under)}" if self.under else "")
        return figure(
            self.traces, f"{self.y} against {self.x}", subtitle, self._alt(),
            margin=_MARGIN, annotations=self.notes,
            xaxis=self._axis(0, self.x), yaxis=self._axis(1, self.y),
            legend={"x": 1.02, "y": 1.0, "itemsizing": "constant", "font": {"size": 12},
                    "title": {"text": self.color or "", "font": {"size": 13}}},
        )  # fmt: skip

    def _axis(self, which: int, name: str) -> dict[str, Any]:
        low, high = self.ranges[which]
        dimension = self.table.dimensions[name]
        unit = self.table.units[name]
        better = ", more is better" if more_is_better(name) else ", less is better"
        if name in self.table.axes:
            better = ""
        if self.logs[which]:
            marks = decades(low, high, dimension)
            return axis(name + better, type="log", range=[low, high], automargin=False, **marks)
        title = f"{name}{f' ({unit})' if unit and dimension == 'rate' else ''}{better}"
        return axis(title, range=[low, high], automargin=False, **ticks(high, dimension))

    def _points(self) -> int:
        """Add the points; return how many were left out to keep the drawing light."""
        kept = np.zeros(len(self.table), dtype=bool)
        step = max(1, math.ceil(len(self.table) / DRAWN))
        kept[::step] = True
        kept[self.front] = True
        if self.chosen is not None:
            kept[self.chosen] = True
        gone = self.misfit & kept
        if gone.any():
            self._trace(np.flatnonzero(gone), "does not fit", PALE, "x", 0.9, size=6)
        groups = [("points", self.fits)]
        if self.color is not None:
            values = self.table[self.color].astype(str)
            groups = [(v, self.fits & (values == v)) for v in dict.fromkeys(values.tolist())]
        for i, (name, mask) in enumerate(groups):
            color, symbol = SERIES[i % len(SERIES)], SYMBOLS[(i + i // len(SERIES)) % len(SYMBOLS)]
            for part, opacity in ((mask & self.within, 0.85), (mask & ~self.within, 0.18)):
                rows = np.flatnonzero(part & kept)
                if rows.size:
                    self._trace(rows, name, color, symbol, opacity)
        return int((~kept & (self.fits | self.misfit)).sum())

    def _trace(
        self, rows: npt.NDArray[np.intp], name: str, color: str, symbol: str, opacity: float,
        size: int = 8,
    ) -> None:  # fmt: skip
        known = any(t.get("legendgroup") == name for t in self.traces)
        self.traces.append(
            {"type": "scatter", "mode": "markers", "name": name, "legendgroup": name,
             "showlegend": not known, "x": self.xs[rows].tolist(), "y": self.ys[rows].tolist(),
             "ids": [str(int(r)) for r in rows], "hoverinfo": "text",
             "hovertext": [self._hover(int(r)) for r in rows],
             "marker": {"color": color if name != "does not fit" else "#B0B0B0", "size": size,
                        "symbol": symbol, "opacity": opacity},
             "meta": {"feasible": name != "does not fit", "within": opacity > 0.5}}
        )  # fmt: skip

    def _front_line(self) -> None:
        if not self.front.size:
            return
        # The border of what the front dominates turns after each point, or before it.
        shape = "vh" if more_is_better(self.x) else "hv"
        self.traces.append(
            {"type": "scatter", "mode": "lines+markers", "name": "Pareto front",
             "x": self.xs[self.front].tolist(), "y": self.ys[self.front].tolist(),
             "ids": [str(int(r)) for r in self.front],
             "hoverinfo": "text", "hovertext": [self._hover(int(r)) for r in self.front],
             "line": {"color": INK, "width": 1.2, "dash": "dot", "shape": shape},
             "marker": {"size": 12, "symbol": "circle-open", "color": INK, "line": {"width": 1.2}},
             "meta": {"front": True}}
        )  # fmt: skip
        self._obstacles()

    def _obstacles(self) -> None:
        """Tell the labels where points and the front's steps are."""
        corner: tuple[float, float] | None = None
        for row in self.front:
            at = self._at(int(row))
            self.place.mark(*at, 6)
            if corner is not None:
                turn = (corner[0], at[1]) if more_is_better(self.x) else (at[0], corner[1])
                self.place.line(corner, turn)
                self.place.line(turn, at)
            corner = at
        for row in np.flatnonzero(self.fits | self.misfit)[:2000]:
            self.place.mark(*self._at(int(row)), 4)

    def _star(self) -> None:
        if self.chosen is None or not self.under:
            return
        i = self.chosen
        self.traces.append(
            {"type": "scatter", "mode": "markers", "x": [float(self.xs[i])],
             "y": [float(self.ys[i])], "name": "best within the limit",
             "hoverinfo": "text", "hovertext": [self._hover(i)], "ids": [str(i)],
             "marker": {"symbol": "star", "size": 17, "color": VERMILION,
                        "line": {"color": "white", "width": 1}},
             "meta": {"best": True}}
        )  # fmt: skip
        self._label(i, f"<b>{self._words(i)}</b>", 9.0)

    def _labels(self) -> None:
        rows = [int(r) for r in self.front if not self.under or int(r) != self.chosen]
        if len(rows) > _LABELS:
            picked = np.linspace(0, len(rows) - 1, _LABELS).round().astype(int)
            rows = [rows[int(i)] for i in np.unique(picked)]
        for row in rows:
            self._label(row, self._words(row), 6.0)

    def _label(self, row: int, text: str, radius: float) -> None:
        x, y = self._at(row)
        plain = text.replace("<b>", "").replace("</b>", "")
        found = self.place.place(x, y, plain, radius, 11.0, worst=250.0)
        if found is not None:
            self.notes.append(
                {"x": x, "y": y, "text": text, "showarrow": False, "borderpad": 0,
                 "font": {"size": 11, "color": INK}, **found.annotation()}
            )  # fmt: skip

    @property
    def _varied(self) -> list[str]:
        """Return the axes with more than one value, the colour's first."""
        table = self.table
        names = [n for n in (self.color, *table.axes) if n is not None and n in table]
        return [n for n in dict.fromkeys(names) if len(set(table[n].tolist())) > 1]

    def _words(self, row: int) -> str:
        parts: list[str] = []
        for name in self._varied[:3]:
            value, dimension = self.table[name][row], self.table.dimensions[name]
            if dimension == TEXT:
                parts.append(str(value))
            else:
                parts.append(f"{name.rpartition('.')[2]} {quantity(float(value), dimension)}")
        return ", ".join(parts) or f"row {row}"

    def _hover(self, row: int) -> str:
        lines: list[str] = []
        for name in dict.fromkeys((*self._varied, self.x, self.y, self.best)):
            value, dimension = self.table[name][row], self.table.dimensions[name]
            text = str(value) if dimension == TEXT else quantity(float(value), dimension)
            lines.append(f"{name}: {text}")
        if self.misfit[row]:
            lines.append("does not fit")
        return "<br>".join(lines)

    def _alt(self) -> str:
        dims = self.table.dimensions
        parts = [
            f"{self.y} against {self.x} of {len(self.table)} points;",
            f"{int(self.fits.sum())} fit, {len(self.front)} are on the Pareto front.",
        ]
        parts += [
            f"{self._words(row)}: {quantity(float(self.xs[row]), dims[self.x])}, "
            f"{quantity(float(self.ys[row]), dims[self.y])}."
            for row in _ends(self.front)
        ]  # fmt: skip
        if self.under:
            if self.chosen is None:
                parts.append(f"No point that fits meets {self.under}.")
            else:
                found = quantity(float(self.table[self.best][self.chosen]), dims[self.best])
                parts.append(
                    f"Best {self.best} with {self.under}: {self._words(self.chosen)}, {found}."
                )
        return " ".join(parts)


def _ends(rows: Sequence[int] | npt.NDArray[np.intp]) -> list[int]:
    """Return the first, the middle and the last."""
    found = [int(r) for r in rows]
    return list(dict.fromkeys([found[0], found[len(found) // 2], found[-1]])) if found else []


def _escape(text: str) -> str:
    from html import escape

    return escape(text, quote=False)
