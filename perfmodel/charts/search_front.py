"""Picture of the Pareto front of a search: the objective over the metric of the first limit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape

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
    Panel,
    Picture,
    Points,
    ReferenceLine,
    fitted,
    percent,
)
from perfmodel.charts.sweeps import picked
from perfmodel.columns import dimension_of, more_is_better
from perfmodel.errors import input_error
from perfmodel.pareto import front as front_rows
from perfmodel.search.constraints import Constraint
from perfmodel.search.search_result import SearchResult
from perfmodel.search.search_text import model_of, options_of, quantity

#: Relative gap below which a point counts as proved.
_PROVED = 1e-6

Point = tuple[float, float]


@Picture
def front(r: SearchResult) -> Chart:
    """Draw the front: proved points filled, others open with a bar down to their bound.

    The star is the resulting configuration; the line is its limit. Under the model
    named in the subtitle, no configuration lies below a bar or dominates a proved point.

    Raises
    ------
    InputError
        There is no constraint, or no point.
    """
    y = r.objective
    if not len(r.front):
        raise input_error("the front has no points", path="front", expected="one at least")
    x = next((name for name in r.front if name != y), y)
    table = r.front.sort(x)
    points: list[Point] = list(zip(table[x].tolist(), table[y].tolist(), strict=True))
    bounds = table["bound"].tolist() if "bound" in table else [math.nan] * len(points)
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
        return "<br>".join([*lines, *options_of(r, table, i)[:8]])

    bars = [gap if math.isfinite(gap) else 0.0 for gap in gaps]
    across, up = map(list, zip(*points, *star, strict=True))
    hovers = [hover(i) for i in range(len(points))]
    series = [_front_line(across, up, x, y), *_marks(across, up, hovers, bars, proved)]
    labels = [Label(brief(p), *p, 7.0, worst=400.0) for p in picked(points, 5)]
    for p in star:
        series.append(_result_mark(p, brief(p)))
        others = [n for n in labels if not np.allclose((n.x, n.y), p, 1e-6)]
        labels = [Label(f"<b>{brief(p)}</b>", *p, 12.0, worst=400.0), *others]
    limit = _swept_limit(r, x)
    middle, reach = (min(across) + max(across)) / 2, 1.3 * (max(across) - min(across))
    near = limit is not None and abs(limit.bound - middle) <= reach
    axis = _axis(r, x, [*across, limit.bound] if limit and near else across)
    panel = Panel(axis, _axis(r, y, up + bounds), series, labels=labels)
    panel = _panel_with_limit(panel, limit) if limit and near else panel
    ends = f"from {brief(points[0])} to {brief(points[-1])}; {sum(proved)} of them are proved."
    star_text = "".join(f" Chosen: {brief(p)}." for p in star)
    limit_text = f" Limit: {limit.text}." if limit else ""
    return Chart(
        f"{r.space.name} on {r.device}: {y} against {x}",
        "<br>".join(escape(shortened(line), quote=False) for line in _subtitle_lines(r, proved)),
        f"Front of {y} against {x} of {r.space.name} on {r.device}, {len(points)} points {ends}"
        f"{star_text}{limit_text}",
        [panel],
        legend="" if all(proved) else "inside",
    )


def _marks(
    across: Sequence[float],
    up: Sequence[float],
    hovers: Sequence[str],
    bars: Sequence[float],
    proved: Sequence[bool],
) -> Iterator[Points]:
    """Yield the proved points, and those with a lower bound."""
    for sure, key, name, inside in (
        (True, "proved", "proved", BLUE),
        (False, "gaps", "best found, and its bound", "white"),
    ):
        rows = [i for i, is_sure in enumerate(proved) if is_sure == sure]
        if rows:
            yield Points(
                name,
                [across[i] for i in rows],
                [up[i] for i in rows],
                [hovers[i] for i in rows],
                size=10,
                inside=inside,
                edge=BLUE,
                edge_width=2,
                down=() if sure else [bars[i] for i in rows],
                meta={"what": key},
            )


def _result_mark(point: Point, text: str) -> Points:
    """Return the mark of the resulting configuration."""
    return Points(
        "chosen",
        [point[0]],
        [point[1]],
        f"<b>chosen</b><br>{text}",
        symbol="star",
        size=18,
        color=VERMILION,
        legend=False,
        meta={"what": "chosen"},
    )


def _panel_with_limit(panel: Panel, limit: Constraint) -> Panel:
    """Return a panel with the limit, and the infeasible side shaded."""
    text = f"{'at most' if limit.at_most else 'at least'} {quantity(limit.metric, limit.bound)}"
    start, end = (limit.bound, panel.x.high) if limit.at_most else (panel.x.low, limit.bound)
    return replace(
        panel,
        bands=[Band(start or 0.0, end or 0.0, color=VERMILION, opacity=0.06)],
        limits=[ReferenceLine(limit.bound, "x", text, VERMILION, 1.5)],
    )


def _axis(r: SearchResult, name: str, values: list[float]) -> ChartAxis:
    """Return an axis around the values of a metric."""
    title = f"{name} ({r.unit})" if r.unit and name == "accuracy_drop" else name
    return fitted(title, values, dimension_of(name) or "count", zero=False)


def _swept_limit(r: SearchResult, name: str) -> Constraint | None:
    """Return the first constraint if it is on the swept metric."""
    first = r.limits[0].constraint if r.limits else None
    swept = first and first.metric in (name, "accuracy_drop", "sensitivity")
    return first if swept else None


def _subtitle_lines(r: SearchResult, proved: list[bool]) -> tuple[str, str]:
    """Return the number of points and of proved ones, and the model."""
    count, sure = len(proved), sum(proved)
    model = model_of(r)
    bars = f"{sure} proved, bars down to the bound of the others"
    text = f"{count} {'point' if count == 1 else 'points'}, "
    text += f"{'all proved' if sure == count else bars}; {len(r.space.decisions)} decisions"
    text += f"; {r.source}" if r.source else ""
    return text, f"proved under the model: {model}" if sure else model


def _front_line(across: list[float], up: list[float], x: str, y: str) -> Lines:
    """Return the boundary of the dominated region."""
    turned = more_is_better(x)
    signs = (-1.0 if turned else 1.0, -1.0 if more_is_better(y) else 1.0)
    points = np.stack([across, up], axis=1)
    corners = sorted(points[front_rows(points * signs)].tolist())
    return Lines(
        "",
        *map(list, zip(*corners, strict=True)),
        color=INK,
        width=1.2,
        dash="dot",
        step="vh" if turned else "hv",
        meta={"what": "line"},
    )


def shortened(text: str, most: int = 122) -> str:
    """Return a text shortened to one line of a subtitle."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
