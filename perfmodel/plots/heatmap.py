"""A metric over two axes of a sweep, as a grid of colours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.columns import TEXT, more_is_better
from perfmodel.errors import Fault, InputError
from perfmodel.plots.style import axis, figure, quantity

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.table import Table

#: Values of an axis at most: more cells than that cannot be told apart.
_MOST = 60
#: Dark where it is good, whether that is more or less.
_COLORS = "Viridis"


def heatmap(table: Table, x: str, y: str, metric: str) -> Figure:
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
            faults.append(Fault(f"'{name}' has too many values to draw", path=name,
                                expected=f"at most {_MOST}"))  # fmt: skip
    if faults:
        raise InputError(faults)
    values = np.asarray(table[metric], dtype=float)
    fits = np.asarray(table["feasible"], dtype=bool) if "feasible" in table else np.isfinite(values)
    upward = more_is_better(metric)
    sides = [_side(table, name) for name in (x, y)]
    best: dict[tuple[str, str], float] = {}
    for i in np.flatnonzero(fits & np.isfinite(values)):
        key = (sides[0][1][i], sides[1][1][i])
        known = best.get(key)
        if known is None or (values[i] > known if upward else values[i] < known):
            best[key] = float(values[i])
    found = list(best.values())
    log = bool(found) and min(found) > 0 and max(found) > 30 * min(found)
    dimension = table.dimensions[metric]
    grid: list[list[float | None]] = []
    hover: list[list[str]] = []
    for below in sides[1][0]:
        line = [best.get((across, below)) for across in sides[0][0]]
        grid.append([None if v is None else math.log10(v) if log else v for v in line])
        hover.append([
            f"{x} {across}, {y} {below}<br>{metric}: "
            + ("nothing fits" if v is None else quantity(v, dimension))
            for across, v in zip(sides[0][0], line, strict=True)
        ])  # fmt: skip
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    marks = np.geomspace(low, high, 5) if log else np.linspace(low, high, 5)
    trace: dict[str, Any] = {
        "type": "heatmap", "x": sides[0][0], "y": sides[1][0], "z": grid, "colorscale": _COLORS,
        "reversescale": upward, "hoverinfo": "text", "hovertext": hover, "xgap": 1, "ygap": 1,
        "name": metric,
        "colorbar": {"title": {"text": metric}, "tickmode": "array",
                     "tickvals": [math.log10(m) if log else float(m) for m in marks],
                     "ticktext": [quantity(float(m), dimension) for m in marks]},
    }  # fmt: skip
    count = f"{len(best)} of {len(sides[0][0]) * len(sides[1][0])} cells fit; dark is good"
    said = f"{metric} over {x} and {y}: {count}."
    if best:
        at = (max if upward else min)(best, key=lambda key: best[key])
        said += f" Best: {quantity(best[at], dimension)} at {x} {at[0]}, {y} {at[1]}."
    kind: dict[str, Any] = {"type": "category", "showgrid": False}
    return figure(
        [trace], f"{metric} over {x} and {y}", count, said,
        xaxis=axis(x, **kind), yaxis=axis(y, **kind), margin={"l": 110, "r": 30, "t": 80, "b": 80},
    )  # fmt: skip


def _side(table: Table, name: str) -> tuple[list[str], list[str]]:
    """Return the labels of an axis in order, and that of each row."""
    column, dimension = table[name], table.dimensions[name]
    if dimension == TEXT:
        texts = [str(v) for v in column]
        return list(dict.fromkeys(texts)), texts
    numbers = [float(v) for v in column]
    return [quantity(v, dimension) for v in sorted(set(numbers))], [
        quantity(v, dimension) for v in numbers
    ]
