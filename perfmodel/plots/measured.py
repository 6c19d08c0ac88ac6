"""Measured rows against their predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.columns import dimension_of
from perfmodel.errors import input_error
from perfmodel.plots.style import GREY, SERIES, SYMBOLS, axis, decades, figure, quantity

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.evaluate.result import ValidationResult

#: Rows drawn at most, evenly over all of them.
_MOST = 3000
#: Devices with a colour of their own.
_DEVICES = 8


def measured(result: ValidationResult) -> Figure:
    """Draw predictions of the primary target over measured values, both axes logarithmic.

    Raises
    ------
    InputError
        No row has a positive measurement and prediction.
    """
    found = [
        p
        for p in result.predictions
        if p["measured"] > 0 and p["predicted"] > 0
        and p.get("target", result.primary) == result.primary
    ]  # fmt: skip
    if not found:
        raise input_error("nothing to draw", expected="at least one predicted row")
    step = max(1, math.ceil(len(found) / _MOST))
    dimension = dimension_of(result.primary)
    names = list(dict.fromkeys(str(p["device"]) for p in found))
    named = names if len(names) <= _DEVICES else names[: _DEVICES - 1]
    traces: list[dict[str, Any]] = []
    ends = [f(min(p["measured"], p["predicted"]) if f is min else max(p["measured"], p["predicted"])
              for p in found) for f in (min, max)]  # fmt: skip
    for factor, dash in ((1.0, "solid"), (0.9, "dot"), (1.1, "dot")):
        traces.append(
            {"type": "scatter", "mode": "lines", "x": ends, "y": [factor * e for e in ends],
             "hoverinfo": "skip", "showlegend": False,
             "line": {"color": GREY, "width": 1, "dash": dash}}
        )  # fmt: skip
    for i, name in enumerate([*named, *(["other devices"] if len(named) < len(names) else [])]):
        rest = name not in names
        mine = [
            p
            for p in found[::step]
            if str(p["device"]) == name or (rest and str(p["device"]) not in named)
        ]
        traces.append(
            {"type": "scatter", "mode": "markers", "name": name, "hoverinfo": "text",
             "x": [float(p["measured"]) for p in mine],
             "y": [float(p["predicted"]) for p in mine],
             "hovertext": [_hover(p, dimension) for p in mine],
             "marker": {"color": SERIES[i % len(SERIES)], "symbol": SYMBOLS[i % len(SYMBOLS)],
                        "size": 7, "opacity": 0.75}}
        )  # fmt: skip
    low, high = np.log10(ends[0]) - 0.08, np.log10(ends[1]) + 0.08
    marks = decades(float(low), float(high), dimension)
    sides = {"type": "log", "range": [float(low), float(high)], **marks}
    error = result.mape
    said = f"{len(found)} rows" + (
        f", {100 * error:.1f} % off in the mean" if error is not None else ""
    )
    return figure(
        traces, f"{result.name}: {result.primary}", said,
        f"Predicted over measured {result.primary} of {result.name}: {said}.",
        xaxis=axis("measured", **sides), yaxis=axis("predicted", **sides),
        legend={"font": {"size": 12}},
    )  # fmt: skip


def _hover(row: Mapping[str, Any], dimension: str) -> str:
    said = [quantity(float(row[name]), dimension) for name in ("measured", "predicted")]
    return f"{row['name']}, {row['device']}<br>measured {said[0]}, predicted {said[1]}"
