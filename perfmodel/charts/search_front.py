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
    ChartAxis,
    Label,
    Lines,
    Note,
    Panel,
    Picture,
    Points,
    ReferenceLine,
    binary,
    fitted,
    percent,
    quantity,
)
from perfmodel.charts.pareto import picked
from perfmodel.columns import dimension_of, more_is_better
from perfmodel.errors import input_error
from perfmodel.search.text import options_of

if TYPE_CHECKING:
    from perfmodel.search.result import SearchResult

#: Gaps below this share of the value are rounding.
_PROVED = 1e-6


class _Metric:
    """A metric of a search: its axis, and how its values read."""

    def __init__(self, r: SearchResult, name: str) -> None:
        self.name, self.dimension = name, dimension_of(name)
        self.unit = r.unit if name == "accuracy_drop" else ""

    def text(self, value: float) -> str:
        if self.dimension == "bytes":
            return binary(value)
        return f"{quantity(value, self.dimension)} {self.unit}".rstrip()

    def axis(self, values: list[float]) -> ChartAxis:
        title = f"{self.name} ({self.unit})" if self.unit else self.name
        return fitted(title, values, self.dimension or "count", zero=False)


@Picture
def front(r: SearchResult) -> Chart:
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
    x = _Metric(r, next((name for name in table if name != r.objective), r.objective))
    y = _Metric(r, r.objective)
    order = np.argsort(np.asarray(table[x.name], dtype=float), kind="stable").tolist()
    points = [(float(table[x.name][i]), float(table[y.name][i])) for i in order]
    bounds = [float(table["bound"][i]) if "bound" in table else math.nan for i in order]
    gaps = [abs(value - bound) for (_, value), bound in zip(points, bounds, strict=True)]
    proved = [gap <= _PROVED * abs(value) for (_, value), gap in zip(points, gaps, strict=True)]
    star = None
    if r.best is not None:
        metrics = r.best.metrics
        star = float(metrics.get(x.name, math.nan)), float(metrics.get(y.name, r.best.value))
    limit = _limit(r, x.name)

    def brief(point: tuple[float, float]) -> str:
        return f"{y.text(point[1])} at {x.text(point[0])}"

    def words(point: tuple[float, float]) -> str:
        return f"{y.name}: {y.text(point[1])}<br>{x.name}: {x.text(point[0])}"

    def hover(i: int) -> str:
        lines = [words(points[i]), *(["proved"] if proved[i] else [])]
        if math.isfinite(gaps[i]) and not proved[i]:
            lines.append(f"within {percent(gaps[i], abs(points[i][1]))} of the bound")
        return "<br>".join([*lines, *options_of(r, table, order[i])[:8]])

    series: list[Points] = [_line(points, star, x.name, y.name)]
    for sure, name in ((True, "proved"), (False, "best found, and its bound")):
        rows = [i for i, is_sure in enumerate(proved) if is_sure == sure]
        down = [] if sure else [gaps[i] if math.isfinite(gaps[i]) else 0.0 for i in rows]
        look: dict[str, Any] = {"size": 10, "edge": BLUE, "edge_width": 2, "down": down}
        look["inside"], meta = (BLUE, "proved") if sure else ("white", "gaps")
        if rows:
            xs, ys = ([points[i][side] for i in rows] for side in (0, 1))
            series.append(
                Points(name, xs, ys, [hover(i) for i in rows], **look, meta={"what": meta})
            )
    named = picked(points, 5)
    labels = [Label(brief(p), *p, 7.0, worst=400.0) for p in named]
    if star is not None:
        look = {"symbol": "star", "size": 18, "color": VERMILION, "legend": False}
        text, at = [f"<b>chosen</b><br>{words(star)}"], ([star[0]], [star[1]])
        series.append(Points("chosen", *at, text, **look, meta={"what": "chosen"}))
        others = [n for n, p in zip(labels, named, strict=True) if not np.allclose(p, star, 1e-6)]
        labels = [Label(f"<b>{brief(star)}</b>", *star, 12.0, worst=400.0), *others]
    across, up = ([v[side] for v in (*points, *([star] if star else []))] for side in (0, 1))
    axes = x.axis(_with_limit(across, limit)), y.axis([*up, *bounds])
    panel = Panel(*axes, series, labels=labels)
    if math.isfinite(limit):
        panel = _limited(panel, limit, x.text(limit), r.limits[0].constraint.at_most)
    ends = f"from {brief(points[0])} to {brief(points[-1])}; {sum(proved)} of them are proved."
    star_text = "" if star is None else f" Chosen: {brief(star)}."
    limit_text = f" Limit: {r.limits[0].constraint.text}." if math.isfinite(limit) else ""
    return Chart(
        f"{r.space.name} on {r.device}: {y.name} against {x.name}",
        "<br>".join(escape(shortened(line), quote=False) for line in _lines(r, proved)),
        f"Front of {y.name} against {x.name} of {r.space.name} on {r.device}, {len(points)} "
        f"points {ends}{star_text}{limit_text}",
        [panel],
        legend="" if all(proved) else "inside",
    )


def _limit(r: SearchResult, name: str) -> float:
    """Bound of the first constraint where it is of the metric that is swept; NaN without."""
    for use in r.limits[:1]:
        if use.constraint.metric in (name, "accuracy_drop", "sensitivity"):
            return use.constraint.bound
    return math.nan


def _with_limit(values: list[float], limit: float) -> list[float]:
    """Return values, and the limit where it is near enough to be drawn."""
    low, high = np.nanmin(values), np.nanmax(values)
    near = 0.8 * (high - low)
    return [*values, *([limit] if low - near <= limit <= high + near else [])]


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


def _line(
    points: list[tuple[float, float]], star: tuple[float, float] | None, x: str, y: str
) -> Lines:
    """Return the border of what is dominated, by the points and by the star between them."""
    turned, upward = more_is_better(x), more_is_better(y)

    def beats(point: tuple[float, float], other: tuple[float, float]) -> bool:
        first = point[0] >= other[0] if turned else point[0] <= other[0]
        return first and (point[1] >= other[1] if upward else point[1] <= other[1])

    if star and all(map(math.isfinite, star)) and not any(beats(p, star) for p in points):
        points = sorted([*points, star])
    xs, ys = ([point[side] for point in points] for side in (0, 1))
    look: dict[str, Any] = {"color": INK, "width": 1.2, "dash": "dot", "meta": {"what": "line"}}
    return Lines("", xs, ys, step="vh" if turned else "hv", **look)


def _limited(panel: Panel, limit: float, text: str, below: bool) -> Panel:
    """Return a panel with where nothing is allowed, the limit, and its words."""
    low, high = panel.x.low or 0.0, panel.x.high or 0.0
    note = Note(text, limit, 0.0, "x", shift=(0, 12), color=VERMILION)
    if not low <= limit <= high:
        right = limit > high
        text = f"limit {text} →" if right else f"← limit {text}"
        anchor = "right auto" if right else "left auto"
        note = replace(note, text=text, x=float(right), frame="", anchor=anchor)
        return replace(panel, notes=[note])
    ends = sorted((limit, high if below else low))
    # On the side where nothing is allowed, unless there is no room.
    share = (high - limit) / (high - low)
    if panel.x.log:
        share = math.log(high / limit, high / low)
    anchor, shift = ("left auto", (5, 12)) if share > 0.17 else ("right auto", (-5, 12))
    text = f"{'at most' if below else 'at least'} {text}"
    return replace(
        panel,
        bands=[Band(*ends, color=VERMILION, opacity=0.06)],
        limits=[ReferenceLine(limit, "x", color=VERMILION, width=1.5)],
        notes=[replace(note, text=text, anchor=anchor, shift=shift)],
    )


def shortened(text: str, most: int = 122) -> str:
    """Return a text that fits one line of a subtitle."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
