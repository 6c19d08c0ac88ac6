"""What takes the time of two phases, of two sides, of the answers of a server: bars of parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from perfmodel.charts import SERIES, Chart, Picture
from perfmodel.charts.bars import time_panel, total_of
from perfmodel.charts.rows import row_name
from perfmodel.prediction.rows import seconds_by_bound
from perfmodel.table.views import varied
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.arrays import Value
    from perfmodel.charts.bars import Amounts
    from perfmodel.compare import Comparison
    from perfmodel.system.request import Request
    from perfmodel.system.serving import Served
    from perfmodel.table import Result

#: Bars of a panel at most: the first of them.
_MOST = 16


def _chart(result: Result, title: str, panels: Mapping[str, Amounts]) -> Chart:
    """Return a chart of panels below each other, with their bars of seconds by part."""
    parts = dict.fromkeys(part for bars in panels.values() for row in bars.values() for part in row)
    colors = {part: SERIES[i % len(SERIES)] for i, part in enumerate(parts)}
    high = 1.0 / len(panels)
    places = [(1.0 - (i + 0.75) * high, 1.0 - i * high) for i in range(len(panels))]
    sums = [
        f"{axis} of {name} {show(total_of(row), 'time')}"
        for axis, bars in panels.items()
        for name, row in bars.items()
    ]
    return Chart(
        title,
        result.headline,
        f"{title}: {', '.join(sums)}. Parts: {', '.join(parts)}.",
        [
            time_panel(bars, list(parts), colors, title=axis, down=place)
            for (axis, bars), place in zip(panels.items(), places, strict=True)
        ],
        legend="below",
        height=220 + sum(90 + 34 * len(bars) for bars in panels.values()),
        stacked=True,
        gap=0.3,
    )


def _bars(result: Result, parts: Mapping[str, Value], axes: Sequence[str]) -> Amounts:
    """Return a bar for each question, by what varies among them."""
    table = result.table
    every = {part: np.broadcast_to(value, len(table)).ravel() for part, value in _flat(parts)}
    names = [row_name(table, varied(table, axes), row) or "all" for row in range(len(table))]
    rows = [{part: float(seconds[i]) for part, seconds in every.items()} for i in range(len(names))]
    return dict(zip(names[:_MOST], rows, strict=False))


def _flat(parts: Mapping[str, Value]) -> Iterable[tuple[str, Value]]:
    shape = np.broadcast_shapes(*(np.shape(value) for value in parts.values()))
    return ((part, np.broadcast_to(value, shape).reshape(-1)) for part, value in parts.items())


@Picture
def parts(served: Served) -> Chart:
    """Draw what both times of a server are made of, a bar for each load."""
    axes = served.table.axes
    first, each = (_bars(served, parts, axes) for parts in (served.ttft_parts, served.parts))
    return _chart(served, "Parts of TTFT and TPOT", {"TTFT": first, "TPOT": each})


@Picture
def phases(request: Request) -> Chart:
    """Draw how long prompt and answer take: of one request by what binds, of many the sums."""
    if request.shape:
        both = {"prompt": request.ttft_s, "answer": request.decode_s}
        bars = _bars(request, both, request.table.axes)
    else:
        bars: Amounts = {}
        for name, phase, seconds in (
            ("prompt", request.prefill, float(request.ttft_s)),
            ("answer", request.last, float(request.decode_s)),
        ):
            spent = seconds_by_bound(phase)
            whole = sum(spent.values()) or 1.0
            bars[name] = {part: value * seconds / whole for part, value in spent.items()}
    return _chart(request, "Time of prompt and answer", {"time": bars})


@Picture
def both(comparison: Comparison) -> Chart:
    """Draw the time of both sides by what binds it."""
    sides = {
        f"{name}: {each.device}, {each.precision}": seconds_by_bound(each)
        for name, each in (("a", comparison.a), ("b", comparison.b))
    }
    return _chart(comparison, "Time by bottleneck, side by side", {"time": sides})
