"""Pictures of where the time goes: stacked bars of seconds by bottleneck or by part.

`bottlenecks` draws a prediction by class of operator or block; `phases` the two phases of a
request, `parts` TTFT and TPOT of a server over its loads, and `both` two predictions side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from perfmodel.arrays import Value
from perfmodel.charts import GREY, SERIES, Chart, Picture, bound_colors, percent
from perfmodel.charts.prediction_point import PredictionPoint
from perfmodel.charts.stacked_bars import Amounts, largest, time_panel, total_of
from perfmodel.charts.sweeps import row_name
from perfmodel.compare import Comparison
from perfmodel.errors import InputError, no_such
from perfmodel.prediction.prediction import Prediction
from perfmodel.prediction.presentation import seconds_by_bound
from perfmodel.system.request import Request
from perfmodel.system.serving import Served
from perfmodel.table import Result
from perfmodel.table.sweep_views import varied
from perfmodel.units import show

#: Groupings of rows into bars.
GROUPS = ("class", "block", "phase", "row")

_RUN = "once a run"


@Picture
def bottlenecks(prediction: Prediction, *, by: str = "class") -> Chart:
    """Draw stacked bars of seconds by bottleneck, the longest bar first.

    Parameters
    ----------
    prediction
        Prediction; of an array-valued one the first point is drawn.
    by
        ``class`` of operator, ``block`` of layers, ``phase`` of a request, or ``row``.

    Raises
    ------
    InputError
        Unknown `by`.
    """
    if by not in GROUPS:
        raise InputError(no_such(f"unknown grouping '{by}'", by, GROUPS, "by"))
    subject = PredictionPoint(prediction)
    latency = float(subject.prediction.latency_s)
    groups = _seconds_of_bars(subject, by)
    ranked = dict(sorted(groups.items(), key=lambda pair: -total_of(pair[1])))
    spent = largest(ranked, 16, "{} others", total_of)
    once = latency - sum(map(total_of, spent.values()))
    order = list(subject.bounds)
    if once > 1e-9 * latency:
        spent[_RUN] = {_RUN: once}
        order.append(_RUN)
    colors = bound_colors(subject.levels, subject.bounds) | {_RUN: GREY}
    noun = "class of operator" if by == "class" else by
    panel = time_panel(spent, order, colors, noun=noun, total=latency)
    texts = [
        f"{bar}: {percent(total_of(row), latency)} ({_seconds_by_bottleneck(row)})."
        for bar, row in spent.items()
    ]
    return Chart(
        f"Time by bottleneck: {subject.title}",
        f"{subject.subtitle}; latency {show(latency, 'time')}",
        f"Time of {subject.title} ({subject.subtitle}): {show(latency, 'time')}, by what binds it. "
        + " ".join(texts[:8]).replace("&lt;", "<"),
        [panel],
        legend="below",
        heading="bound by  ",
        stacked=True,
        gap=0.25,
    )


def _seconds_by_bottleneck(row: Mapping[str, float]) -> str:
    """Return the seconds of a bar by bottleneck, as a text."""
    return ", ".join(f"{show(seconds, 'time')} bound by {name}" for name, seconds in row.items())


def _seconds_of_bars(subject: PredictionPoint, by: str) -> dict[str, dict[str, float]]:
    """Return bar -> bottleneck -> seconds of its rows."""
    out: dict[str, dict[str, float]] = {}
    columns = zip(*(subject.columns[n].tolist() for n in ("bound_by", "total_s")), strict=True)
    for name, row, (bound, seconds) in zip(subject.names, subject.table.rows, columns, strict=True):
        keys = {
            "class": row.kind,
            "block": block_of(name, row.phase),
            "phase": row.phase or "whole run",
            "row": name,
        }
        bar = out.setdefault(keys[by], {})
        bar[bound] = bar.get(bound, 0.0) + seconds
    return out


def block_of(name: str, phase: str) -> str:
    """Return the block to which a row's name belongs.

    ``layer1.0.conv1`` is of ``layer1``, ``prefill/layer.q_proj`` of ``prefill/layer``, the node
    ``/features/3/Conv`` of an ONNX file of ``features/3``.
    """
    head = f"{phase}/" if phase and name.startswith(f"{phase}/") else ""
    parts = name.removeprefix(head).strip("/").split("/")
    if len(parts) > 1:
        return head + "/".join(parts[:-1][:2])
    return head + parts[0].split(".")[0]


#: Largest number of bars in a panel.
_MOST = 16


def _time_chart(result: Result, title: str, panels: Mapping[str, Amounts]) -> Chart:
    """Return a chart of panels in a column, each with bars of seconds by part."""
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


def _bars_of_rows(result: Result, parts: Mapping[str, Value], axes: Sequence[str]) -> Amounts:
    """Return a bar for each question, named by the columns that vary."""
    table = result.table
    every = {part: np.broadcast_to(value, len(table)).ravel() for part, value in _flattened(parts)}
    names = [row_name(table, varied(table, axes), row) or "all" for row in range(len(table))]
    rows = [{part: float(seconds[i]) for part, seconds in every.items()} for i in range(len(names))]
    return dict(zip(names[:_MOST], rows, strict=False))


def _flattened(parts: Mapping[str, Value]) -> Iterable[tuple[str, Value]]:
    """Return the parts with equal shapes, flattened."""
    shape = np.broadcast_shapes(*(np.shape(value) for value in parts.values()))
    return ((part, np.broadcast_to(value, shape).reshape(-1)) for part, value in parts.items())


@Picture
def parts(served: Served) -> Chart:
    """Draw the parts of TTFT and TPOT of a server, a bar for each load."""
    axes = served.table.axes
    first, each = (
        _bars_of_rows(served, parts, axes) for parts in (served.ttft_parts, served.parts)
    )
    return _time_chart(served, "Parts of TTFT and TPOT", {"TTFT": first, "TPOT": each})


@Picture
def phases(request: Request) -> Chart:
    """Draw the time of prompt and answer: of one request by bottleneck, of many as totals."""
    if request.shape:
        both = {"prompt": request.ttft_s, "answer": request.decode_s}
        bars = _bars_of_rows(request, both, request.table.axes)
    else:
        bars: Amounts = {}
        for name, phase, seconds in (
            ("prompt", request.prefill, float(request.ttft_s)),
            ("answer", request.last, float(request.decode_s)),
        ):
            spent = seconds_by_bound(phase)
            total = sum(spent.values()) or 1.0
            bars[name] = {part: value * seconds / total for part, value in spent.items()}
    return _time_chart(request, "Time of prompt and answer", {"time": bars})


@Picture
def both(comparison: Comparison) -> Chart:
    """Draw the time of both sides by bottleneck."""
    sides = {
        f"{name}: {each.device}, {each.precision}": seconds_by_bound(each)
        for name, each in (("a", comparison.a), ("b", comparison.b))
    }
    return _time_chart(comparison, "Time by bottleneck, side by side", {"time": sides})
