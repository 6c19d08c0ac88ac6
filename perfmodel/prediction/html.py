"""A prediction's time as HTML without a style sheet: a bar by what binds, the slowest kernels."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.prediction.rows import row_columns, seconds_by_bound
from perfmodel.table.html import HtmlCell, rows
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

# Okabe and Ito's colours, as the plots use them: arithmetic, memories from the main one, overheads.
_ARITHMETIC = {"matrix": "#0072B2", "vector": "#56B4E9"}
_MEMORIES = ("#D55E00", "#E69F00", "#CC79A7", "#8F6A00", "#A0522D")
_OTHER = ("#009E73", "#767676")
_ROWS = 8


def slowest(p: Prediction) -> str:
    """Return the slowest kernels, with their share of the latency and what binds them."""
    columns = row_columns(p)
    whole = float(p.latency_s) or 1.0
    body = [
        (
            str(columns["name"][i]),
            HtmlCell(f"{columns['count'][i]:g}", columns["count"][i]),
            HtmlCell(show(float(columns["row_s"][i]), "time"), columns["row_s"][i]),
            HtmlCell(f"{100 * columns['total_s'][i] / whole:.1f} %", columns["total_s"][i]),
            str(columns["bound_by"][i]),
        )
        for i in np.argsort(-columns["total_s"], kind="stable")[:_ROWS]
    ]
    more = len(columns["name"]) - len(body)
    return rows(
        ("kernel", "times", "each", "of latency", "bound by"),
        body,
        f"and {more} kernels more" if more else "",
    )


def _colors(p: Prediction, names: list[str]) -> dict[str, str]:
    memories = {m: _MEMORIES[i % len(_MEMORIES)] for i, m in enumerate(reversed(p.levels))}
    known = memories | _ARITHMETIC
    others = [name for name in names if name not in known]
    return {n: _OTHER[i % len(_OTHER)] for i, n in enumerate(others)} | known


def bar(p: Prediction) -> str:
    """Return one bar of the latency, parted by what binds, with its key."""
    whole, spent = float(p.latency_s) or 1.0, seconds_by_bound(p)
    names = sorted(spent, key=lambda name: -spent[name])
    colors = _colors(p, names)
    parts = "".join(
        f"<span style='width:{100 * spent[n] / whole:.2f}%;background:{colors[n]}' "
        f"title='{escape(n)}: {escape(show(spent[n], 'time'))}'></span>"
        for n in names
    )
    key = " ".join(
        f"<span style='white-space:nowrap;margin-right:1em'><span style='display:inline-block;"
        f"width:.7em;height:.7em;background:{colors[n]}'></span> {escape(n)} "
        f"{100 * spent[n] / whole:.3g} %</span>"
        for n in names
        if spent[n] > 0.0005 * whole
    )
    return (
        "<div style='margin:6px 0 8px;max-width:640px'><div style='display:flex;height:10px;"
        f"background:#8883'>{parts}</div><div style='font-size:smaller'>bound by: {key}</div></div>"
    )
