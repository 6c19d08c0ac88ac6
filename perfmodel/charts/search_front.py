"""The front of a search: what the objective costs against the metric of the first limit."""

from __future__ import annotations

import math
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.charts import (
    BLUE,
    INK,
    VERMILION,
    Band,
    Chart,
    Label,
    Lines,
    Panel,
    Picture,
    Points,
    ReferenceLine,
    fitted,
    percent,
)
from perfmodel.charts.pareto import picked
from perfmodel.columns import dimension_of, more_is_better
from perfmodel.errors import input_error
from perfmodel.pareto import front as front_rows
from perfmodel.search.text import options_of, quantity

if TYPE_CHECKING:
    from perfmodel.charts import ChartAxis
    from perfmodel.search.constraints import Constraint
    from perfmodel.search.result import SearchResult

#: Gaps below this share of the value are rounding.
_PROVED = 1e-6

Point = tuple[float, float]


@Picture
def front(r: SearchResult) -> Chart:
    """Draw the front: proved points filled, others open with a bar down to their bound.

    The star is the configuration that was asked for; the line the limit that it keeps. No
    configuration lies below the bars, or left of a point and below it, in the model that is named.

    Raises
    ------
    InputError
        There is no constraint, or no point.
    """
    table, y = r.front, r.objective
    if not len(table):
        raise input_error("the front has no points", path="front", expected="one at least")
    x = next((name for name in table if name != y), y)
    order = np.argsort(np.asarray(table[x], dtype=float), kind="stable").tolist()
    points = [(float(table[x][i]), float(table[y][i])) for i in order]
    bounds = [float(table["bound"][i]) if "bound" in table else math.nan for i in order]
    gaps = [abs(value - bound) for (_, value), bound in zip(points, bounds, strict=True)]
    proved = [gap <= _PROVED * abs(value) for (_, value), gap in zip(points, gaps, strict=True)]
    star: list[Point] = []
    if r.best is not None:
        metrics = r.best.metrics
        star = [(float(metrics.get(x, math.nan)), float(metrics.get(y, r.best.value)))]

    def texts(point: Point) -> tuple[str, str]:
        unit = r.unit if x == "accuracy_drop" else ""
        return quantity(x, point[0], unit), quantity(y, point[1], r.unit)

    def brief(point: Point) -> str:
        return " at ".join(texts(point)[::-1])

    def hover(i: int) -> str:
        across, up = texts(points[i])
        lines = [f"{y}: {up}<br>{x}: {across}", *(["proved"] if proved[i] else [])]
        if math.isfinite(gaps[i]) and not proved[i]:
            lines.append(f"within {percent(gaps[i], abs(points[i][1]))} of the bound")
        return "<br>".join([*lines, *options_of(r, table, order[i])[:8]])

    series: list[Points] = [_border([*points, *star], x, y)]
    for sure, name in ((True, "proved"), (False, "best found, and its bound")):
        rows = [i for i, is_sure in enumerate(proved) if is_sure == sure]
        down = [] if sure else [gaps[i] if math.isfinite(gaps[i]) else 0.0 for i in rows]
        look: dict[str, Any] = {"size": 10, "edge": BLUE, "edge_width": 2, "down": down}
        look["inside"], meta = (BLUE, "proved") if sure else ("white", "gaps")
        if rows:
            xs, ys = ([points[i][side] for i in rows] for side in (0, 1))
            text = [hover(i) for i in rows]
            series.append(Points(name, xs, ys, text, **look, meta={"what": meta}))
    labels = [Label(brief(p), *p, 7.0, worst=400.0) for p in picked(points, 5)]
    for p in star:
        look = {"symbol": "star", "size": 18, "color": VERMILION, "legend": False}
        text = f"<b>chosen</b><br>{brief(p)}"
        series.append(Points("chosen", [p[0]], [p[1]], text, **look, meta={"what": "chosen"}))
        others = [n for n in labels if not np.allclose((n.x, n.y), p, 1e-6)]
        labels = [Label(f"<b>{brief(p)}</b>", *p, 12.0, worst=400.0), *others]
    across, up = ([point[side] for point in (*points, *star)] for side in (0, 1))
    limit = _limit(r, x)
    near = abs(limit - (min(across) + max(across)) / 2) <= 1.3 * (max(across) - min(across))
    axes = _axis(r, x, across + [limit] * near), _axis(r, y, up + bounds)
    panel = Panel(*axes, series, labels=labels)
    panel = _limited(panel, r.limits[0].constraint) if near else panel
    ends = f"from {brief(points[0])} to {brief(points[-1])}; {sum(proved)} of them are proved."
    star_text = "".join(f" Chosen: {brief(p)}." for p in star)
    limit_text = f" Limit: {r.limits[0].constraint.text}." if math.isfinite(limit) else ""
    return Chart(
        f"{r.space.name} on {r.device}: {y} against {x}",
        "<br>".join(escape(shortened(line), quote=False) for line in _lines(r, proved)),
        f"Front of {y} against {x} of {r.space.name} on {r.device}, {len(points)} points {ends}"
        f"{star_text}{limit_text}",
        [panel],
        legend="" if all(proved) else "inside",
    )


def _limited(panel: Panel, limit: Constraint) -> Panel:
    """Return a panel with the limit, and with where nothing is allowed."""
    text = f"{'at most' if limit.at_most else 'at least'} {quantity(limit.metric, limit.bound)}"
    start, end = (limit.bound, panel.x.high) if limit.at_most else (panel.x.low, limit.bound)
    return replace(
        panel,
        bands=[Band(start or 0.0, end or 0.0, color=VERMILION, opacity=0.06)],
        limits=[ReferenceLine(limit.bound, "x", text, VERMILION, 1.5)],
    )


def _axis(r: SearchResult, name: str, values: list[float]) -> ChartAxis:
    title = f"{name} ({r.unit})" if r.unit and name == "accuracy_drop" else name
    return fitted(title, values, dimension_of(name) or "count", zero=False)


def _limit(r: SearchResult, name: str) -> float:
    """Bound of the first constraint where it is of the metric that is swept; NaN without."""
    for use in r.limits[:1]:
        if use.constraint.metric in (name, "accuracy_drop", "sensitivity"):
            return use.constraint.bound
    return math.nan


def _lines(r: SearchResult, proved: list[bool]) -> tuple[str, str]:
    """Return how many points there are and are proved, and of what model."""
    count, sure = len(proved), sum(proved)
    text = f"{count} {'point' if count == 1 else 'points'}, "
    bars = f"{sure} proved, bars down to the bound of the others"
    text += f"{'all proved' if sure == count else bars}; {len(r.space.decisions)} decisions"
    source = f" ({r.source})" if r.source else ""
    model = r.model.replace(source, "") if source else r.model
    return (
        text + (f"; {r.source}" if r.source else ""),
        f"proved of the model: {model}" if sure else model,
    )


def _border(points: list[Point], x: str, y: str) -> Lines:
    """Return the border of what is dominated."""
    turned = more_is_better(x)
    signs = (-1.0 if turned else 1.0, -1.0 if more_is_better(y) else 1.0)
    rows = front_rows(np.asarray(points) * signs)
    corners = sorted(point for point, inside in zip(points, rows.tolist(), strict=True) if inside)
    look: dict[str, Any] = {"color": INK, "width": 1.2, "dash": "dot", "meta": {"what": "line"}}
    sides = zip(*corners, strict=True)
    return Lines("", *map(list, sides), step="vh" if turned else "hv", **look)


def shortened(text: str, most: int = 122) -> str:
    """Return a text that fits one line of a subtitle."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
