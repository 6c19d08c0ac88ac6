"""The front of a search: what the objective costs against the metric of the first limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.arrays import Array
from perfmodel.columns import dimension_of, more_is_better
from perfmodel.errors import input_error
from perfmodel.plots.labels import Placer
from perfmodel.plots.style import (
    BLUE,
    GREY,
    HEIGHT,
    INK,
    VERMILION,
    WIDTH,
    axis,
    decades,
    figure,
    percent,
    quantity,
)
from perfmodel.search.text import options_of
from perfmodel.units import binary

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.search.result import SearchResult

_MARGIN = {"l": 95, "r": 40, "t": 100, "b": 70}
#: Gaps below this are rounding.
_PROVED = 1e-6


def front(r: SearchResult) -> Figure:
    """Draw the front: proved points filled, others open with a bar down to their bound.

    The star is the configuration that was asked for; the dashed line the limit that it keeps. No
    configuration lies below the bars, or left of a point and below it, in the model that is named.

    Raises
    ------
    InputError
        There is no constraint, or no point.
    """
    table = r.front
    if not len(table):
        raise input_error("the front has no points", path="front", expected="one at least")
    return _Front(r, table).figure()


class _Front:
    """A front, measured and drawn."""

    def __init__(self, r: SearchResult, table: Any) -> None:
        self.r, self.table = r, table
        self.y = r.objective
        self.x = next((name for name in table if name != r.objective), r.objective)
        order = np.argsort(np.asarray(table[self.x], dtype=float), kind="stable")
        self.order = [int(i) for i in order]
        self.xs: Array = np.asarray(table[self.x], dtype=float)[order]
        self.ys: Array = np.asarray(table[self.y], dtype=float)[order]
        self.bounds: Array = self._bounds()[order]
        gap = np.abs(self.ys - self.bounds) / np.maximum(np.abs(self.ys), 1e-300)
        self.proved = gap <= _PROVED
        self.notes: list[dict[str, Any]] = []

    def _bounds(self) -> Array:
        if "bound" not in self.table:
            return np.full(len(self.table), math.nan)
        return np.asarray(self.table["bound"], dtype=float)

    @property
    def limit(self) -> float:
        """Bound of the first constraint where it is of the metric that is swept; NaN without."""
        for use in self.r.limits[:1]:
            if use.constraint.metric in (self.x, "accuracy_drop", "sensitivity"):
                return use.constraint.bound
        return math.nan

    def figure(self) -> Figure:
        best = self.r.best
        star = None if best is None else (
            float(best.metrics.get(self.x, math.nan)),
            float(best.metrics.get(self.y, best.value)),
        )  # fmt: skip
        shown = [float(v) for v in self.xs], [float(v) for v in self.ys]
        bounds = [float(b) for b in self.bounds[np.isfinite(self.bounds)]]
        shown = shown[0], [*shown[1], *bounds]
        if star is not None:
            shown[0].append(star[0])
            shown[1].append(star[1])
        wide = max(shown[0]) - min(shown[0])
        if min(shown[0]) - 0.8 * wide <= self.limit <= max(shown[0]) + 0.8 * wide:
            shown[0].append(self.limit)
        self.span = [_Span(shown[0], self.x, self.r.unit), _Span(shown[1], self.y, self.r.unit)]
        self.place = Placer(
            WIDTH - _MARGIN["l"] - _MARGIN["r"], HEIGHT - _MARGIN["t"] - _MARGIN["b"],
            self.span[0].range, self.span[1].range,
        )  # fmt: skip
        traces = [self._line(star), *self._points()]
        if star is not None:
            traces.append(self._star(star))
        shapes = self._limit()
        self._labels(star)
        n, sure = len(self.xs), int(self.proved.sum())
        what = f"{n} {'point' if n == 1 else 'points'}, "
        bars = f"{sure} proved, bars down to the bound of the others"
        what += "all proved" if sure == n else bars
        what += f"; {len(self.r.space.decisions)} decisions"
        if self.r.source:
            what += f"; {self.r.source}"
        subtitle = f"{escape(_cut(what), False)}<br>{escape(_cut(self._model()), False)}"
        return figure(
            traces, f"{self.r.space.name} on {self.r.device}: {self.y} against {self.x}",
            subtitle, self._alt(star), margin=_MARGIN, shapes=shapes, annotations=self.notes,
            showlegend=sure < n, legend={"x": 0.99, "y": 0.99, "xanchor": "right"},
            xaxis=self.span[0].axis(self.x), yaxis=self.span[1].axis(self.y),
        )  # fmt: skip

    def _model(self) -> str:
        model = self.r.model.replace(f" ({self.r.source})", "") if self.r.source else self.r.model
        return f"proved of the model: {model}" if self.proved.any() else model

    def _line(self, star: tuple[float, float] | None) -> dict[str, Any]:
        """Return the border of what is dominated, by the points and by the star between them."""
        turned = more_is_better(self.x)
        points = [(float(x), float(y)) for x, y in zip(self.xs, self.ys, strict=True)]
        if star is not None and all(math.isfinite(v) for v in star):
            signs = (-1.0 if turned else 1.0), (-1.0 if more_is_better(self.y) else 1.0)
            a, b = signs[0] * star[0], signs[1] * star[1]
            if not any(signs[0] * x <= a and signs[1] * y <= b for x, y in points):
                points = sorted([*points, star])
        last: tuple[float, float] | None = None
        for x, y in points:
            here = self._where(x, y)
            self.place.mark(*here, 6)
            if last is not None:
                turn = (last[0], here[1]) if turned else (here[0], last[1])
                self.place.line(last, turn)
                self.place.line(turn, here)
            last = here
        return {
            "type": "scatter", "mode": "lines", "x": [x for x, _ in points],
            "y": [y for _, y in points], "line": {"color": INK, "width": 1.2, "dash": "dot",
                     "shape": "vh" if turned else "hv"},
            "hoverinfo": "skip", "showlegend": False, "meta": {"what": "line"},
        }  # fmt: skip

    def _points(self) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for proved in (True, False):
            rows = np.flatnonzero(self.proved == proved)
            if not rows.size:
                continue
            gaps = np.abs(self.ys - self.bounds)[rows]
            bars = {
                "type": "data", "symmetric": False, "array": [0.0] * len(rows),
                "arrayminus": np.where(np.isfinite(gaps), gaps, 0.0).tolist(),
                "color": GREY, "thickness": 1.5, "width": 4, "visible": not proved,
            }  # fmt: skip
            out.append(
                {"type": "scatter", "mode": "markers", "x": self.xs[rows].tolist(),
                 "y": self.ys[rows].tolist(), "error_y": bars,
                 "name": "proved" if proved else "best found, and its bound",
                 "hoverinfo": "text", "hovertext": [self._hover(int(i)) for i in rows],
                 "marker": {"size": 10, "color": BLUE if proved else "white",
                            "symbol": "circle", "line": {"color": BLUE, "width": 2}},
                 "meta": {"what": "proved" if proved else "gaps"}}
            )  # fmt: skip
        return out

    def _star(self, star: tuple[float, float]) -> dict[str, Any]:
        self.place.mark(*self._where(*star), 10)
        return {
            "type": "scatter", "mode": "markers", "x": [star[0]], "y": [star[1]],
            "name": "chosen", "hoverinfo": "text", "showlegend": False,
            "hovertext": [f"<b>chosen</b><br>{self._words(*star)}"],
            "marker": {"symbol": "star", "size": 18, "color": VERMILION,
                       "line": {"color": "white", "width": 1}},
            "meta": {"what": "chosen"},
        }  # fmt: skip

    def _limit(self) -> list[dict[str, Any]]:
        limit = self.limit
        low, high = self.span[0].range
        if not math.isfinite(limit):
            return []
        if not low <= self.span[0].at(limit) <= high:
            beyond = self.span[0].at(limit) > high
            self.notes.append(
                {"x": 1.0 if beyond else 0.0, "xref": "paper", "y": 0.0, "yref": "paper",
                 "text": f"limit {self.span[0].text(limit)} →" if beyond else
                 f"← limit {self.span[0].text(limit)}", "showarrow": False, "yshift": 12,
                 "xanchor": "right" if beyond else "left",
                 "font": {"size": 12, "color": VERMILION}}
            )  # fmt: skip
            return []
        below = self.r.limits[0].constraint.at_most
        at = self.span[0].at(limit)
        text = f"{'at most' if below else 'at least'} {self.span[0].text(limit)}"
        # On the side where nothing is allowed, unless there is no room.
        right = (high - at) * self.place.per_x > 130
        self.notes.append(
            {"x": at, "y": 0.0, "yref": "paper", "text": text, "showarrow": False, "yshift": 12,
             "xanchor": "left" if right else "right", "xshift": 5 if right else -5,
             "font": {"size": 12, "color": VERMILION}}
        )  # fmt: skip
        edge = self.span[0].value(high if below else low)
        fill = {"type": "rect", "xref": "x", "yref": "paper", "x0": limit, "x1": edge, "y0": 0,
                "y1": 1, "fillcolor": VERMILION, "opacity": 0.06, "line": {"width": 0},
                "layer": "below"}  # fmt: skip
        line = {"type": "line", "xref": "x", "yref": "paper", "x0": limit, "x1": limit, "y0": 0,
                "y1": 1, "line": {"color": VERMILION, "width": 1.5, "dash": "dash"}}  # fmt: skip
        return [fill, line]

    def _labels(self, star: tuple[float, float] | None) -> None:
        if star is not None:
            self._label(*star, f"<b>{self._words(*star, brief=True)}</b>", 12.0)
        for i in _picked(len(self.xs)):
            here = float(self.xs[i]), float(self.ys[i])
            if star is None or not np.allclose(here, star, rtol=1e-6):
                self._label(*here, self._words(*here, brief=True), 7.0)

    def _label(self, x: float, y: float, text: str, radius: float) -> None:
        at = self._where(x, y)
        plain = text.replace("<b>", "").replace("</b>", "")
        found = self.place.place(*at, plain, radius, 11.0, worst=400.0)
        if found is not None:
            self.notes.append(
                {"x": at[0], "y": at[1], "text": text, "showarrow": False, "borderpad": 0,
                 "font": {"size": 11, "color": INK}, **found.annotation()}
            )  # fmt: skip

    def _where(self, x: float, y: float) -> tuple[float, float]:
        return self.span[0].at(x), self.span[1].at(y)

    def _words(self, x: float, y: float, *, brief: bool = False) -> str:
        a, b = self.span[0].text(x), self.span[1].text(y)
        return f"{b} at {a}" if brief else f"{self.y}: {b}<br>{self.x}: {a}"

    def _hover(self, i: int) -> str:
        row = self.order[i]
        lines = [self._words(float(self.xs[i]), float(self.ys[i]))]
        gap = abs(float(self.ys[i] - self.bounds[i]))
        if self.proved[i]:
            lines.append("proved")
        elif math.isfinite(gap):
            lines.append(f"within {percent(gap, abs(float(self.ys[i])))} of the bound")
        lines += options_of(self.r, self.table, row)[:8]
        return "<br>".join(lines)

    def _alt(self, star: tuple[float, float] | None) -> str:
        n = len(self.xs)
        ends = f"from {self._words(float(self.xs[0]), float(self.ys[0]), brief=True)} "
        ends += f"to {self._words(float(self.xs[-1]), float(self.ys[-1]), brief=True)}"
        text = (f"Front of {self.y} against {self.x} of {self.r.space.name} on {self.r.device}, "
                f"{n} points {ends}; {int(self.proved.sum())} of them are proved.")  # fmt: skip
        if star is not None:
            text += f" Chosen: {self._words(*star, brief=True)}."
        if math.isfinite(self.limit):
            text += f" Limit: {self.r.limits[0].constraint.text}."
        return text


class _Span:
    """An axis that holds values: linear, or of powers of ten where they differ much."""

    def __init__(self, values: Sequence[float], name: str, unit: str) -> None:
        good = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
        low, high = min(good), max(good)
        self.dimension = dimension_of(name)
        self.unit = unit if name == "accuracy_drop" else ""
        self.log = low > 0 and high > 30.0 * low
        if self.log:
            low, high = math.log10(low), math.log10(high)
        pad = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
        start = low - pad
        if not self.log and low >= 0.0:
            start = max(start, 0.0) if low > 0.3 * (high - low) else -0.02 * (high + pad)
        self.range = (start, high + pad)

    def at(self, value: float) -> float:
        """Return where a value stands in the axis's own coordinates."""
        return math.log10(value) if self.log and value > 0 else value

    def value(self, at: float) -> float:
        """Return the value at a place."""
        return 10.0**at if self.log else at

    def text(self, value: float) -> str:
        """Return a value with its unit."""
        if self.dimension == "bytes":
            return binary(value, digits=4)
        text = quantity(value, self.dimension)
        return f"{text} {self.unit}".rstrip()

    def axis(self, name: str) -> dict[str, Any]:
        """Return the axis as plotly takes it."""
        title = f"{name}{f' ({self.unit})' if self.unit else ''}"
        if self.log:
            return axis(title, type="log", range=list(self.range),
                        **decades(*self.range, self.dimension))  # fmt: skip
        low, high = self.range
        unit = 1.0
        if self.dimension == "bytes":
            unit = 1024.0 ** max(0, math.floor(math.log(max(high, 1.0), 1024)))
        rough = (high - low) / unit / 7.0
        power = 10.0 ** math.floor(math.log10(rough))
        step = unit * next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        marks = [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
        texts = [self._mark(v, unit) for v in marks]
        return axis(title, range=list(self.range), tickmode="array", tickvals=marks, ticktext=texts)

    def _mark(self, value: float, unit: float) -> str:
        if not value:
            return "0"
        if self.dimension == "bytes":
            name = {1.0: "B", 1024.0: "KiB", 2.0**20: "MiB", 2.0**30: "GiB"}.get(unit, "")
            return f"{value / unit:.4g} {name}" if name else binary(value, digits=4)
        return quantity(value, self.dimension)


def _cut(text: str, most: int = 122) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _picked(n: int, most: int = 5) -> list[int]:
    """Return positions that are labelled: the ends and some between."""
    if n <= most:
        return list(range(n))
    return [int(i) for i in np.unique(np.linspace(0, n - 1, most).round())]
