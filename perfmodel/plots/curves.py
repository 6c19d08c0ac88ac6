"""A sweep as curves: one metric over one axis, a curve for each combination of the other axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perfmodel.columns import TEXT, more_is_better
from perfmodel.errors import InputError, input_error
from perfmodel.plots.style import INK, SERIES, SYMBOLS, axis, decades, figure, quantity, ticks

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.table import Table

#: Curves drawn at most: more cannot be told apart.
CURVES = 16

_MARGIN = {"l": 85, "r": 220, "t": 84, "b": 64}
_DASHES = ("solid", "dash", "dot")


def curves(table: Table, x: str, y: str) -> Figure:
    """Draw a metric of a sweep over one of its axes.

    Parameters
    ----------
    table
        Of a sweep; rows that are not feasible are open markers.
    x, y
        Columns of numbers. An axis of more than thirty to one is logarithmic, where it has no 0.

    Raises
    ------
    InputError
        Unknown columns, columns of texts, more than `CURVES` curves.
    """
    faults = table.objective_faults(dict.fromkeys((x, y)))
    if faults:
        raise InputError(faults)
    groups = _groups(table, x)
    if len(groups) > CURVES:
        raise input_error(
            f"{len(groups)} curves cannot be told apart",
            path="x",
            expected=f"at most {CURVES}: fix other axes with where(...)",
        )
    xs, ys = np.asarray(table[x], dtype=float), np.asarray(table[y], dtype=float)
    known = np.isfinite(xs) & np.isfinite(ys)
    logs = [_log(values[known]) for values in (xs, ys)]
    fits = np.asarray(table["feasible"], dtype=bool) if "feasible" in table else known
    traces: list[dict[str, Any]] = []
    said: list[str] = []
    for i, (name, rows) in enumerate(groups.items()):
        rows = rows[known[rows]]
        rows = rows[np.argsort(xs[rows], kind="stable")]
        if not rows.size:
            continue
        traces.append(_trace(table, name, rows, xs, ys, fits, (x, y), i))
        ends = [quantity(float(ys[r]), table.dimensions[y]) for r in (rows[0], rows[-1])]
        at = [quantity(float(xs[r]), table.dimensions[x]) for r in (rows[0], rows[-1])]
        said.append(f"{name or y}: {ends[0]} at {at[0]}, {ends[1]} at {at[1]}.")
    count = f"{int(known.sum())} points, {len(traces)} curve{'s' if len(traces) != 1 else ''}"
    alt = f"{y} over {x}, {count}. " + " ".join(said)
    return figure(
        traces, f"{y} over {x}", count, alt, margin=_MARGIN,
        xaxis=_axis(table, x, xs[known], logs[0]), yaxis=_axis(table, y, ys[known], logs[1]),
        legend={"x": 1.02, "y": 1.0, "font": {"size": 12}},
    )  # fmt: skip


def _groups(table: Table, x: str) -> dict[str, npt.NDArray[np.intp]]:
    """Return curve -> its rows, named by the axes that vary beside `x`."""
    varied = [n for n in table.axes if n != x and n in table and len(set(table[n].tolist())) > 1]
    found: dict[str, list[int]] = {}
    for row in range(len(table)):
        parts: list[str] = []
        for name in varied:
            value, dimension = table[name][row], table.dimensions[name]
            text = str(value) if dimension == TEXT else quantity(float(value), dimension)
            parts.append(text if dimension == TEXT else f"{name.rpartition('.')[2]} {text}")
        found.setdefault(", ".join(parts), []).append(row)
    return {name: np.array(rows, dtype=np.intp) for name, rows in found.items()}


def _trace(
    table: Table, name: str, rows: npt.NDArray[np.intp], xs: npt.NDArray[np.float64],
    ys: npt.NDArray[np.float64], fits: npt.NDArray[np.bool_], axes: tuple[str, str], i: int,
) -> dict[str, Any]:  # fmt: skip
    color, symbol = SERIES[i % len(SERIES)], SYMBOLS[i % len(SYMBOLS)]
    hover = [
        "<br>".join(
            [*([name] if name else []),
             *(f"{n}: {quantity(float(table[n][r]), table.dimensions[n])}" for n in axes),
             *([] if fits[r] else ["does not fit"])]
        )
        for r in rows
    ]  # fmt: skip
    return {
        "type": "scatter", "mode": "lines+markers", "name": name or axes[1],
        "x": xs[rows].tolist(), "y": ys[rows].tolist(), "ids": [str(int(r)) for r in rows],
        "hoverinfo": "text", "hovertext": hover, "showlegend": bool(name),
        "line": {"color": color, "width": 2, "dash": _DASHES[i // len(SERIES) % len(_DASHES)]},
        "marker": {"color": [color if fits[r] else "white" for r in rows], "size": 8,
                   "symbol": symbol, "line": {"color": color, "width": 1.5}},
        "meta": {"curve": name},
    }  # fmt: skip


def _log(values: npt.NDArray[np.float64]) -> bool:
    return bool(values.size) and float(values.min()) > 0 and values.max() > 30 * values.min()


def _axis(table: Table, name: str, values: npt.NDArray[np.float64], log: bool) -> dict[str, Any]:
    dimension, unit = table.dimensions[name], table.units[name]
    better = ", more is better" if more_is_better(name) else ", less is better"
    if name in table.axes:
        better = ""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if log:
        low, high = math.log10(low), math.log10(high)
        pad = 0.06 * (high - low)
        marks = _asked(table, name, values, np.log10) or decades(low - pad, high + pad, dimension)
        return axis(name + better, type="log", range=[low - pad, high + pad], automargin=False,
                    tickfont={"color": INK}, **marks)  # fmt: skip
    low = min(low, 0.0)
    pad = 0.06 * (high - low) or 1.0
    title = f"{name}{f' ({unit})' if unit and dimension == 'rate' else ''}{better}"
    return axis(title, range=[low - (pad if low < 0 else 0.3 * pad), high + pad],
                automargin=False,
                **_asked(table, name, values) or ticks(high + pad, dimension))  # fmt: skip


def _asked(
    table: Table, name: str, values: npt.NDArray[np.float64],
    place: Callable[[Any], Any] = np.asarray,
) -> dict[str, Any]:  # fmt: skip
    """Return ticks at the values that were asked for, where they are few and have room."""
    asked = np.unique(values)
    if name not in table.axes or not 1 < len(asked) <= 8:
        return {}
    gaps = np.diff(place(asked))
    if float(gaps.min()) <= 0.09 * float(gaps.sum()):
        return {}
    texts = [quantity(float(v), table.dimensions[name]) for v in asked]
    return {"tickmode": "array", "tickvals": asked.tolist(), "ticktext": texts}
