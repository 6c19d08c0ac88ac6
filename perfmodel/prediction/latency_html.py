"""HTML fragments of a prediction's latency: bar divided by bottleneck, table of slowest kernels.

Notebooks and reports embed them; they use inline styles only.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.prediction.presentation import seconds_by_bound
from perfmodel.table import Table
from perfmodel.table.palette import bound_colors
from perfmodel.table.text import data_table
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

#: Number of kernels in the summary.
_ROWS = 8


def slowest(p: Prediction) -> str:
    """Return the slowest kernels with their shares of the latency and their bottlenecks."""
    table = kernel_table(p)
    more = len(table) - _ROWS
    shown = table.head(_ROWS).select("kernel", "count", "row_s", "share", "bound_by")
    return data_table(shown, f"and {more} kernels more" if more > 0 else "", sorts=False)


def kernel_table(p: Prediction) -> Table:
    """Return the table of kernels, slowest first, with their shares of the latency."""
    table = p.table.sort("total_s", descending=True)
    shares = {"kernel": table["name"], "share": table["total_s"] / (float(p.latency_s) or 1.0)}
    levels = [n for n in (f"{level}_bytes" for level in p.levels) if np.any(table[n] > 0)]
    names = ("kernel", "kind", "count", "macs", *levels, "row_s", "total_s", "share", "bound_by")
    return Table({**table, **shares}, table.dimensions).select(*names)


def bar(p: Prediction) -> str:
    """Return a bar of the latency divided by bottleneck, with its legend."""
    latency, seconds = float(p.latency_s) or 1.0, seconds_by_bound(p)
    names = sorted(seconds, key=lambda name: -seconds[name])
    colors = bound_colors(p.levels, names)
    parts = "".join(
        f"<span style='width:{100 * seconds[n] / latency:.2f}%;background:{colors[n]}' "
        f"title='{escape(n)}: {escape(show(seconds[n], 'time'))}'></span>"
        for n in names
    )
    key = " ".join(
        f"<span style='white-space:nowrap;margin-right:1em'><span style='display:inline-block;"
        f"width:.7em;height:.7em;background:{colors[n]}'></span> {escape(n)} "
        f"{100 * seconds[n] / latency:.3g} %</span>"
        for n in names
        if seconds[n] > 0.0005 * latency
    )
    return (
        "<div style='margin:6px 0 8px;max-width:640px'><div style='display:flex;height:10px;"
        f"background:#8883'>{parts}</div><div style='font-size:smaller'>bound by: {key}</div></div>"
    )
