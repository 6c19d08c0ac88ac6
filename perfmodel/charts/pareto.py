"""Rows of a sweep in two metrics: what they cost each other, the front, the best under a limit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from perfmodel.charts import (
    INK,
    SERIES,
    VERMILION,
    Chart,
    Label,
    Lines,
    Panel,
    Picture,
    Points,
    looks,
)
from perfmodel.charts.rows import cell, column_axis, costs, row_name
from perfmodel.columns import TEXT, more_is_better
from perfmodel.errors import Fault, InputError, nearest
from perfmodel.expressions import parse_expression
from perfmodel.pareto import front
from perfmodel.table.views import fitting, varied

if TYPE_CHECKING:
    from perfmodel.table import Table

T = TypeVar("T")

#: Points drawn at most, beside the front: what a browser turns without a stutter.
DRAWN = 20_000
_MISFIT = "does not fit"
#: How what does not fit looks.
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
    within = _within(table, dict.fromkeys((x, y, best)), color, under)
    color = color or _category(table)
    names = varied(table, (color, *table.axes))
    xs, ys = (np.asarray(table[name], dtype=float) for name in (x, y))
    known = np.isfinite(xs) & np.isfinite(ys)
    fits = known & fitting(table)
    rows = _front(table, (x, y), fits)
    values = np.where(fits & within, costs(table, best), np.nan)
    star = None if not under or np.isnan(values).all() else int(np.nanargmin(values))
    marked = [] if star is None else [star]
    # Thinned, so that the drawing stays light.
    shown = np.arange(len(table)) % max(1, math.ceil(len(table) / DRAWN)) == 0
    shown[[*rows, *marked]] = True

    def words(row: int) -> str:
        lines = [f"{n}: {cell(table, n, row)}" for n in dict.fromkeys((*names, x, y, best))]
        return "<br>".join([*lines, *([] if fits[row] else [_MISFIT])])

    def points(name: str, rows: Any, form: type[Points] = Points, **look: Any) -> list[Points]:
        hover, ids = [words(row) for row in rows], [str(row) for row in rows]
        return [form(name, xs[rows], ys[rows], hover, ids=ids, **look)] if len(rows) else []

    series = points(_MISFIT, np.flatnonzero(known & ~fits & shown), **_MISFITS)
    for i, (name, mask) in enumerate(_groups(table, color)):
        hue, symbol, _ = looks(i)
        for inside, opacity in ((True, 0.85), (False, 0.18)):
            look: dict[str, Any] = {"color": hue, "symbol": symbol, "opacity": opacity}
            own = np.flatnonzero(mask & fits & shown & (within == inside))
            series += points(name, own, **look, meta={"feasible": True, "within": inside})
    series += points("Pareto front", rows, Lines, **_front_line(x))
    look = {"color": VERMILION, "symbol": "star", "size": 17, "meta": {"best": True}}
    series += points("best within the limit", marked, **look)
    labels = [
        Label(f"<b>{name}</b>" if row == star else name, xs[row], ys[row], 6.0, worst=250.0)
        for row in [*marked, *(row for row in picked(rows, 6) if row != star)]
        for name in [_name(table, names, row)]
    ]
    count = f"{len(table)} points, {fits.sum()} fit, {len(rows)} on the front"
    missing = int((known & ~shown).sum())
    count += f" ({missing} left out of the drawing)" if missing else ""
    limit = f"<br>limit: {escape(under, quote=False)}" if under else ""
    alt = f"{y} against {x} of {len(table)} points; {fits.sum()} fit, {len(rows)} are on the "
    alt += f"Pareto front.{_ends(table, names, (x, y), rows)}"
    if star is not None:
        value = f"{_name(table, names, star)}, {cell(table, best, star)}"
        alt += f" Best {best} with {under}: {value}."
    else:
        alt += f" No point that fits meets {under}." if under else ""
    # Room for labels on the good side, where no point is.
    room = (0.0, 0.22) if more_is_better(x) else (0.22, 0.0)
    axes = column_axis(table, x, xs[known], room=room), column_axis(table, y, ys[known])
    panel = Panel(*axes, series, labels=labels)
    return Chart(f"{y} against {x}", count + limit, alt, [panel], heading=color or "")


def _name(table: Table, names: list[str], row: int) -> str:
    return row_name(table, names[:3], row) or f"row {row}"


def _ends(table: Table, names: list[str], sides: tuple[str, str], rows: list[int]) -> str:
    """Return the ends and the middle of the front in words."""
    texts = {r: ", ".join(cell(table, side, r) for side in sides) for r in picked(rows, 3)}
    return "".join(f" {_name(table, names, row)}: {text}." for row, text in texts.items())


def _front_line(name: str) -> dict[str, Any]:
    """Return how the front looks: its border turns after each point, or before it."""
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


def _within(table: Table, names: Iterable[str], color: str | None, under: str | None) -> Any:
    """Return which rows keep the limit, with all faults of the question at once."""
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


def _category(table: Table) -> str | None:
    texts = [n for n in (*table.axes, *table) if table.dimensions.get(n) == TEXT]
    few = [n for n in varied(table, texts) if len(set(table[n].tolist())) <= 2 * len(SERIES)]
    return few[0] if few else None


def _groups(table: Table, color: str | None) -> list[tuple[str, Any]]:
    if color is None:
        return [("points", True)]
    values = table[color].astype(str)
    return [(name, values == name) for name in dict.fromkeys(values.tolist())]


def _front(table: Table, names: tuple[str, str], fits: Any) -> list[int]:
    """Return the rows of the front from the left; no bound is on it beside predictions."""
    predicted = fits & table.predicted
    values = np.stack([costs(table, name) for name in names], axis=1)
    values[~(predicted if predicted.any() else fits)] = np.nan
    return sorted(np.flatnonzero(front(values)).tolist(), key=lambda row: table[names[0]][row])


def picked(rows: Sequence[T], most: int) -> list[T]:
    """Return at most so many: the ends, and some between at equal steps."""
    places = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)
    return [rows[i] for i in np.unique(places)]
