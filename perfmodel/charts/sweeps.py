"""A sweep over one axis, as curves, and over two, as a grid of colours."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from perfmodel.charts import (
    Cells,
    Chart,
    ChartAxis,
    Lines,
    Panel,
    Picture,
    Shades,
    looks,
    quantity,
    spread,
)
from perfmodel.charts.rows import cell, column_axis, row_name
from perfmodel.columns import TEXT, more_is_better
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.table.views import CURVES, fitting, varied

if TYPE_CHECKING:
    from perfmodel.table import Result, Table

#: Values of an axis of a grid at most, likewise.
_MOST = 60


@Picture
def curves(result: Result, x: str, y: str) -> Chart:
    """Draw a metric of a sweep over one of its axes, a curve for each combination of the others.

    Parameters
    ----------
    result
        A sweep, or an answer to several questions; rows that are not feasible are open markers.
    x, y
        Columns of numbers. An axis of more than thirty to one is logarithmic, where it has no 0.

    Raises
    ------
    InputError
        Unknown columns, columns of texts, more than `CURVES` curves.
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
    for i, (name, members) in enumerate(groups.items()):
        rows = sorted((row for row in members if known[row]), key=lambda row: xs[row])
        if not rows:
            continue
        texts = [(cell(table, x, row), cell(table, y, row)) for row in rows]
        head = f"{name}<br>" if name else ""
        misfit = ["" if fits[row] else "<br>does not fit" for row in rows]
        color, symbol, dash = looks(i)
        series.append(
            Lines(
                name or y,
                xs[rows],
                ys[rows],
                [f"{head}{x}: {a}<br>{y}: {b}{m}" for (a, b), m in zip(texts, misfit, strict=True)],
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
        ends.append(", ".join(f"{b} at {a}" for a, b in (texts[0], texts[-1])))
    count = f"{known.sum()} points, {len(series)} curve{'s' if len(series) != 1 else ''}"
    lines = " ".join(f"{s.name}: {end}." for s, end in zip(series, ends, strict=True))
    panel = Panel(_axis(table, x, xs[known]), _axis(table, y, ys[known]), series)
    return Chart(f"{y} over {x}", count, f"{y} over {x}, {count}. {lines}", [panel])


def _axis(table: Table, name: str, values: npt.NDArray[np.float64]) -> ChartAxis:
    """Return an axis with ticks at the values of the sweep, where they are few and have room."""
    axis = column_axis(table, name, values, pad=0.06)
    marks = np.unique(values).tolist()
    if name in table.axes and 1 < len(marks) <= 8:
        gaps = np.diff(np.log10(marks) if axis.log else marks)
        if gaps.min() > 0.09 * gaps.sum():
            return replace(axis, ticks={v: quantity(v, table.dimensions[name]) for v in marks})
    return axis


@Picture
def heatmap(table: Table, x: str, y: str, metric: str) -> Chart:
    """Draw a metric over two columns; where several rows share a cell, the best of them.

    Parameters
    ----------
    table
        Of a sweep; cells in which nothing fits are left open.
    x, y
        Columns, of numbers or texts.
    metric
        Column of numbers.

    Raises
    ------
    InputError
        Unknown columns, a metric of texts, an axis of more than 60 values.
    """
    faults = table.objective_faults([metric])
    for name in (x, y):
        if name not in table:
            faults.append(Fault(f"there is no column '{name}'", path=name))
        elif len(set(table[name].tolist())) > _MOST:
            faults.append(
                Fault(
                    f"'{name}' has too many values to draw", path=name, expected=f"at most {_MOST}"
                )
            )
    if faults:
        raise InputError(faults)
    across, down = _side(table, x), _side(table, y)
    best = _best(table, x, y, metric)
    dimension, upward = table.dimensions[metric], more_is_better(metric)
    low, high = min(best.values(), default=0.0), max(best.values(), default=1.0)
    log = spread(low, high)
    marks = np.geomspace(low, high, 5) if log else np.linspace(low, high, 5)
    cells = [(a, b, best.get((a, b))) for b in down for a in across]
    place = math.log10 if log else float
    z = [None if value is None else place(value) for _, _, value in cells]
    grid = Cells(
        name=metric,
        x=across,
        y=down,
        z=np.reshape(np.array(z, dtype=object), (len(down), len(across))).tolist(),
        hover=[
            f"{x} {a}, {y} {b}<br>{metric}: "
            + ("nothing fits" if value is None else quantity(value, dimension))
            for a, b, value in cells
        ],
        gap=1,
        # Dark where it is good, whether that is more or less.
        shades=Shades(
            metric,
            place(low),
            place(high),
            "Viridis",
            {place(m): quantity(float(m), dimension) for m in marks.tolist()},
            reverse=upward,
        ),
    )
    count = f"{len(best)} of {len(cells)} cells fit; dark is good"
    alt = f"{metric} over {x} and {y}: {count}."
    if best:
        at = (max if upward else min)(best, key=lambda key: best[key])
        alt += f" Best: {quantity(best[at], dimension)} at {x} {at[0]}, {y} {at[1]}."
    sides = [ChartAxis(n, names=v, grid=False) for n, v in ((x, across), (y, down[::-1]))]
    return Chart(
        f"{metric} over {x} and {y}",
        count,
        alt,
        [Panel(sides[0], sides[1], [grid])],
        legend="",
    )


def _side(table: Table, name: str) -> list[str]:
    """Return the labels of an axis: texts as they come, numbers in order."""
    column = table[name].tolist()
    if table.dimensions[name] != TEXT:
        return [quantity(float(v), table.dimensions[name]) for v in sorted(set(column))]
    return list(dict.fromkeys(map(str, column)))


def _best(table: Table, x: str, y: str, metric: str) -> dict[tuple[str, str], float]:
    """Return the labels of a cell -> the best of its rows that fit."""
    values = np.asarray(table[metric], dtype=float)
    pick = max if more_is_better(metric) else min
    best: dict[tuple[str, str], float] = {}
    for row in np.flatnonzero(fitting(table) & np.isfinite(values)).tolist():
        key = cell(table, x, row), cell(table, y, row)
        best[key] = pick(best.get(key, values[row]), values[row])
    return best
