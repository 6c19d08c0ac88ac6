"""Pictures of sweeps: curves over one axis, heat maps over two, Pareto fronts in two metrics.

They draw any table with axes; `cell` and `row_name` write its cells and name its rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from perfmodel.charts import (
    INK,
    SERIES,
    VERMILION,
    Cells,
    Chart,
    ChartAxis,
    Label,
    Lines,
    Panel,
    Picture,
    Points,
    Shades,
    fitted,
    looks,
    quantity,
    spread,
)
from perfmodel.columns import TEXT, more_is_better
from perfmodel.errors import Fault, InputError, input_error, nearest
from perfmodel.expressions import parse_expression
from perfmodel.pareto import front
from perfmodel.table import Result, Table
from perfmodel.table.sweep_views import CURVES, fitting, varied

#: Largest number of values on an axis of a heat map.
_MOST = 60


@Picture
def curves(result: Result, x: str, y: str) -> Chart:
    """Draw a metric of a sweep over one of its axes, with a curve per combination of the others.

    Parameters
    ----------
    result
        A sweep, or an answer to several questions; infeasible rows have open markers.
    x, y
        Numeric columns. An axis with a ratio above thirty is logarithmic, unless it contains 0.

    Raises
    ------
    InputError
        Unknown columns, text columns, more than `CURVES` curves.
    """
    table = result.table
    faults = table.objective_faults(dict.fromkeys((x, y)))
    if faults:
        raise InputError(faults)
    others = varied(table, [name for name in table.axes if name != x])
    groups: dict[str, list[int]] = {}
    for row in range(len(table)):
        groups.setdefault(row_name(table, others, row), []).append(row)
    if len(groups) > CURVES:
        raise input_error(
            f"{len(groups)} curves cannot be told apart",
            path="x",
            expected=f"at most {CURVES}: fix other axes with where(...)",
        )
    xs, ys = (np.asarray(table[name], dtype=float) for name in (x, y))
    known, fits = np.isfinite(xs) & np.isfinite(ys), fitting(table)
    series: list[Lines] = []
    ends: list[str] = []

    def hover_text(row: int) -> str:
        misfit = "" if fits[row] else f"<br>{_MISFIT}"
        return f"{x}: {cell(table, x, row)}<br>{y}: {cell(table, y, row)}{misfit}"

    for i, (name, members) in enumerate(groups.items()):
        rows = sorted((row for row in members if known[row]), key=lambda row: xs[row])
        if not rows:
            continue
        head = f"{name}<br>" if name else ""
        color, symbol, dash = looks(i)
        series.append(
            Lines(
                name or y,
                xs[rows],
                ys[rows],
                [head + hover_text(row) for row in rows],
                ids=[str(row) for row in rows],
                color=color,
                dash=dash,
                inside=[color if fits[row] else "white" for row in rows],
                symbol=symbol,
                edge=color,
                edge_width=1.5,
                meta={"curve": name},
            )
        )
        both = [f"{cell(table, y, row)} at {cell(table, x, row)}" for row in (rows[0], rows[-1])]
        ends.append(f" {name or y}: {', '.join(both)}.")
    count = f"{known.sum()} points, {len(series)} curve{'s' if len(series) != 1 else ''}"
    alt = f"{y} over {x}, {count}.{''.join(ends) or ' '}"
    panel = Panel(_axis(table, x, xs[known]), _axis(table, y, ys[known]), series)
    return Chart(f"{y} over {x}", count, alt, [panel])


def _axis(table: Table, name: str, values: npt.NDArray[np.float64]) -> ChartAxis:
    """Return an axis with ticks at the sweep's values, if they are few and well separated."""
    axis = column_axis(table, name, values, pad=0.06)
    marks = np.unique(values).tolist()
    if name in table.axes and 1 < len(marks) <= 8:
        gaps = np.diff(np.log10(marks) if axis.log else marks)
        if gaps.min() > 0.09 * gaps.sum():
            return replace(axis, ticks={v: quantity(v, table.dimensions[name]) for v in marks})
    return axis


@Picture
def heatmap(table: Table, x: str, y: str, metric: str) -> Chart:
    """Draw a metric over two columns; the best of several rows in a cell is shown.

    Parameters
    ----------
    table
        Table of a sweep; cells without a feasible row are empty.
    x, y
        Columns, numeric or text.
    metric
        Numeric column.

    Raises
    ------
    InputError
        Unknown columns, a text metric, an axis with more than 60 values.
    """
    faults = table.objective_faults([metric])
    for name in (x, y):
        if name not in table:
            faults.append(Fault(f"there is no column '{name}'", path=name))
        elif len(set(table[name].tolist())) > _MOST:
            message = f"'{name}' has too many values to draw"
            faults.append(Fault(message, name, expected=f"at most {_MOST}"))
    if faults:
        raise InputError(faults)
    across, down = _axis_labels(table, x), _axis_labels(table, y)
    best = _best_of_cells(table, x, y, metric)
    upward = more_is_better(metric)
    low, high = min(best.values(), default=0.0), max(best.values(), default=1.0)
    log = spread(low, high)
    marks = np.geomspace(low, high, 5) if log else np.linspace(low, high, 5)
    place = math.log10 if log else float

    def shown(value: float) -> str:
        return quantity(value, table.dimensions[metric])

    def hover_text(key: tuple[str, str]) -> str:
        text = shown(best[key]) if key in best else "nothing fits"
        return f"{x} {key[0]}, {y} {key[1]}<br>{metric}: {text}"

    grid = Cells(
        name=metric,
        x=across,
        y=down,
        z=[[place(best[a, b]) if (a, b) in best else None for a in across] for b in down],
        hover=[hover_text((a, b)) for b in down for a in across],
        gap=1,
        # Dark is good, in either direction.
        shades=Shades(
            metric,
            place(low),
            place(high),
            "Viridis",
            {place(mark): shown(mark) for mark in marks.tolist()},
            reverse=upward,
        ),
    )
    count = f"{len(best)} of {len(across) * len(down)} cells fit; dark is good"
    alt = f"{metric} over {x} and {y}: {count}."
    if best:
        at = (max if upward else min)(best, key=lambda key: best[key])
        alt += f" Best: {shown(best[at])} at {x} {at[0]}, {y} {at[1]}."
    sides = [ChartAxis(n, names=v, grid=False) for n, v in ((x, across), (y, down[::-1]))]
    panel = Panel(sides[0], sides[1], [grid])
    return Chart(f"{metric} over {x} and {y}", count, alt, [panel], legend="")


def _axis_labels(table: Table, name: str) -> list[str]:
    """Return the labels of an axis: texts in order of appearance, numbers ascending."""
    column = table[name].tolist()
    if table.dimensions[name] != TEXT:
        return [quantity(float(v), table.dimensions[name]) for v in sorted(set(column))]
    return list(dict.fromkeys(map(str, column)))


def _best_of_cells(table: Table, x: str, y: str, metric: str) -> dict[tuple[str, str], float]:
    """Return labels of a cell -> best value of its feasible rows."""
    pick = max if more_is_better(metric) else min
    best: dict[tuple[str, str], float] = {}
    for row in np.flatnonzero(fitting(table) & table.numbered(metric)).tolist():
        key, value = (cell(table, x, row), cell(table, y, row)), float(table[metric][row])
        best[key] = pick(best.get(key, value), value)
    return best


#: Free shares of an axis at its lower and upper end.
Room = tuple[float, float]


def cell(table: Table, name: str, row: int) -> str:
    """Return a value with its unit."""
    value, dimension = table[name][row], table.dimensions[name]
    return str(value) if dimension == TEXT else quantity(float(value), dimension)


def row_name(table: Table, names: Iterable[str], row: int) -> str:
    """Return a row's name: its values in some columns, numbers with the column's name."""
    heads = {n: "" if table.dimensions[n] == TEXT else f"{n.rpartition('.')[2]} " for n in names}
    return ", ".join(f"{head}{cell(table, name, row)}" for name, head in heads.items())


def costs(table: Table, name: str) -> npt.NDArray[np.float64]:
    """Return a column negated where more is better, so that less always is."""
    values = np.array(table[name], dtype=float)
    return -values if more_is_better(name) else values


def column_axis(
    table: Table, name: str, values: Iterable[float], *, pad: float = 0.08, room: Room = (0.0, 0.0)
) -> ChartAxis:
    """Return an axis around a column's values, with the better direction; see `fitted`."""
    dimension, unit = table.dimensions[name], table.units[name]
    better = ", more is better" if more_is_better(name) else ", less is better"
    title = f"{name}{f' ({unit})' if unit and dimension == 'rate' else ''}"
    title += "" if name in table.axes else better
    return fitted(title, values, dimension, pad=pad, room=room)


T = TypeVar("T")

#: Largest number of points drawn, besides the front, for smooth interaction.
DRAWN = 20_000
_MISFIT = "does not fit"
#: Style of infeasible points.
_MISFITS: dict[str, Any] = {
    "color": "#B0B0B0",
    "symbol": "x",
    "size": 6,
    "opacity": 0.9,
    "meta": {"feasible": False, "within": True},
}


@Picture
def pareto(
    table: Table,
    x: str,
    y: str,
    *,
    under: str | None = None,
    color: str | None = None,
    best: str | None = None,
) -> Chart:
    """Draw rows of a sweep in two metrics, with the Pareto front of the feasible ones.

    Larger rates and utilization are better, for all other metrics smaller values.

    Parameters
    ----------
    table
        Table of a sweep; its column ``feasible``, if any, separates infeasible rows.
    x, y
        Numeric columns.
    under
        A limit such as ``"tpot_s <= 50 ms"``: the best row within it is marked, others fade.
    color
        Column that colours the points; by default the first text axis with several values.
    best
        Column that defines the best row within the limit; by default `y`.

    Raises
    ------
    InputError
        Unknown columns, text columns, an invalid limit.
    """
    best = best or y
    within = _rows_within_limit(table, dict.fromkeys((x, y, best)), color, under)
    color = color or _colour_column(table)
    names = varied(table, (color, *table.axes))
    telling = _distinguishing(table, names)
    xs, ys = (np.asarray(table[name], dtype=float) for name in (x, y))
    known = np.isfinite(xs) & np.isfinite(ys)
    fits = known & fitting(table)
    rows = _front_rows(table, (x, y), fits)
    values = np.where(fits & within, costs(table, best), np.nan)
    star = None if not under or np.isnan(values).all() else int(np.nanargmin(values))
    marked = [] if star is None else [star]
    # Points of large tables are thinned out; the front and the best point are always drawn.
    shown = np.arange(len(table)) % max(1, math.ceil(len(table) / DRAWN)) == 0
    shown[[*rows, *marked]] = True

    def hover_text(row: int) -> str:
        lines = [f"{n}: {cell(table, n, row)}" for n in dict.fromkeys((*names, x, y, best))]
        return "<br>".join([*lines, *([] if fits[row] else [_MISFIT])])

    def points(name: str, rows: Any, form: type[Points] = Points, **look: Any) -> list[Points]:
        hover, ids = [hover_text(row) for row in rows], [str(row) for row in rows]
        return [form(name, xs[rows], ys[rows], hover, ids=ids, **look)] if len(rows) else []

    series = points(_MISFIT, np.flatnonzero(known & ~fits & shown), **_MISFITS)
    for i, (name, mask) in enumerate(_colour_groups(table, color)):
        hue, symbol, _ = looks(i)
        for inside, opacity in ((True, 0.85), (False, 0.18)):
            look: dict[str, Any] = {"color": hue, "symbol": symbol, "opacity": opacity}
            members = np.flatnonzero(mask & fits & shown & (within == inside))
            series += points(name, members, **look, meta={"feasible": True, "within": inside})
    series += points("Pareto front", rows, Lines, **_front_line(x))
    look = {"color": VERMILION, "symbol": "star", "size": 17, "meta": {"best": True}}
    series += points("best within the limit", marked, **look)
    labels = [
        Label(f"<b>{name}</b>" if row == star else name, xs[row], ys[row], 6.0, worst=250.0)
        for row in [*marked, *(row for row in picked(rows, 6) if row != star)]
        for name in [_row_label(table, telling, row)]
    ]
    count = f"{len(table)} points, {fits.sum()} fit, {len(rows)} on the front"
    missing = int((known & ~shown).sum())
    count += f" ({missing} left out of the drawing)" if missing else ""
    limit = f"<br>limit: {escape(under, quote=False)}" if under else ""
    alt = (
        f"{y} against {x} of {len(table)} points; {fits.sum()} fit, {len(rows)} are on the "
        f"Pareto front.{_point_sentences(table, (x, y, best), telling, rows, star, under)}"
    )
    # Space for labels on the better side, where no points are.
    room = (0.0, 0.22) if more_is_better(x) else (0.22, 0.0)
    axes = column_axis(table, x, xs[known], room=room), column_axis(table, y, ys[known])
    panel = Panel(*axes, series, labels=labels)
    return Chart(f"{y} against {x}", count + limit, alt, [panel], heading=color or "")


def _point_sentences(
    table: Table,
    columns: tuple[str, str, str],
    names: list[str],
    front_rows: list[int],
    star: int | None,
    under: str | None,
) -> str:
    """Return sentences on some points of the front, and on the best row within the limit."""
    x, y, best = columns
    text = "".join(
        f" {_row_label(table, names, row)}: {cell(table, x, row)}, {cell(table, y, row)}."
        for row in picked(front_rows, 3)
    )
    if star is not None:
        value = f"{_row_label(table, names, star)}, {cell(table, best, star)}"
        return f"{text} Best {best} with {under}: {value}."
    return f"{text} No point that fits meets {under}." if under else text


def _distinguishing(table: Table, names: list[str]) -> list[str]:
    """Return columns without those that follow from an earlier one, such as a zipped axis."""
    by_groups: dict[bytes, str] = {}
    for name in names:
        _, first, group = np.unique(table[name], return_index=True, return_inverse=True)
        by_groups.setdefault(first[group].tobytes(), name)
    return list(by_groups.values())


def _row_label(table: Table, names: list[str], row: int) -> str:
    """Return the name of a row by at most three columns."""
    return row_name(table, names[:3], row) or f"row {row}"


def _front_line(name: str) -> dict[str, Any]:
    """Return the style of the front: its steps turn after each point, or before it."""
    return {
        "color": INK,
        "width": 1.2,
        "dash": "dot",
        "step": "vh" if more_is_better(name) else "hv",
        "symbol": "circle-open",
        "size": 12,
        "edge": INK,
        "edge_width": 1.2,
        "meta": {"front": True},
    }


def _rows_within_limit(
    table: Table, names: Iterable[str], color: str | None, under: str | None
) -> Any:
    """Return the mask of rows within the limit; raise all faults of the question at once."""
    faults = table.objective_faults(names)
    if color is not None and color not in table:
        near = nearest(color, table.columns)
        faults.append(Fault(f"there is no column '{color}'", path="color", suggestion=near))
    condition = parse_expression(under) if under else None
    columns: dict[str, Any] = {name: table[name] for name in table}
    faults += condition.condition_faults(columns, table.dimensions) if condition else []
    if faults:
        raise InputError(faults)
    within = np.ones(len(table), dtype=bool)
    return within & np.asarray(condition(columns), dtype=bool) if condition else within


def _colour_column(table: Table) -> str | None:
    """Return the column of texts by which points are coloured, if one has few values."""
    texts = [n for n in (*table.axes, *table) if table.dimensions.get(n) == TEXT]
    few = [n for n in varied(table, texts) if len(set(table[n].tolist())) <= 2 * len(SERIES)]
    return few[0] if few else None


def _colour_groups(table: Table, color: str | None) -> list[tuple[str, Any]]:
    """Return the name and rows of each colour."""
    if color is None:
        return [("points", True)]
    values = table[color].astype(str)
    return [(name, values == name) for name in dict.fromkeys(values.tolist())]


def _front_rows(table: Table, names: tuple[str, str], fits: Any) -> list[int]:
    """Return the rows of the front from the left; bounds are excluded if there are predictions."""
    predicted = fits & table.predicted
    values = np.stack([costs(table, name) for name in names], axis=1)
    values[~(predicted if predicted.any() else fits)] = np.nan
    return sorted(np.flatnonzero(front(values)).tolist(), key=lambda row: table[names[0]][row])


def picked(rows: Sequence[T], most: int) -> list[T]:
    """Return at most `most` items: the ends, and others at equal steps."""
    places = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)
    return [rows[i] for i in np.unique(places)]
