"""Where the time goes: seconds of the latency by class of operator or block, by what binds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from perfmodel.errors import input_error, nearest, one_of
from perfmodel.plots.style import GREY, axis, bound_colors, figure, percent, ticks
from perfmodel.plots.subject import PredictionPoint
from perfmodel.units import show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.prediction.prediction import Prediction

#: What bars may stand for.
GROUPS = ("class", "block", "phase", "row")

_MOST = 16
_RUN = "once a run"


def bottlenecks(prediction: Prediction, *, by: str = "class") -> Figure:
    """Draw stacked bars of seconds by what binds, the longest bar first.

    Parameters
    ----------
    prediction
        Of an array-valued one, the first point is drawn.
    by
        ``class`` of operator, ``block`` of layers, ``phase`` of a request, or ``row``.

    Raises
    ------
    InputError
        Unknown `by`.
    """
    if by not in GROUPS:
        raise input_error(
            f"unknown grouping '{by}'",
            path="by",
            expected=one_of(GROUPS),
            suggestion=nearest(by, GROUPS),
        )
    subject = PredictionPoint(prediction)
    latency = float(subject.prediction.latency_s)
    spent = _spent(subject, by)
    run = spent.pop(_RUN, {})
    bars = sorted(spent, key=lambda bar: -sum(spent[bar].values()))
    if len(bars) > _MOST:
        kept, rest = bars[: _MOST - 1], bars[_MOST - 1 :]
        other = f"{len(rest)} others"
        merged: dict[str, float] = {}
        for bar in rest:
            for name, seconds in spent[bar].items():
                merged[name] = merged.get(name, 0.0) + seconds
        spent = {bar: spent[bar] for bar in kept} | {other: merged}
        bars = [*kept, other]
    if run:
        spent[_RUN], bars = run, [*bars, _RUN]
    colors = bound_colors(subject.levels, subject.bounds) | {_RUN: GREY}
    order = [*subject.bounds, *([_RUN] if run else [])]
    traces = [
        {
            "type": "bar", "orientation": "h", "name": name,
            "y": bars, "x": [spent[bar].get(name, 0.0) for bar in bars],
            "marker": {"color": colors[name], "line": {"color": "white", "width": 1}},
            "hoverinfo": "text",
            "hovertext": [
                f"<b>{bar}</b>, bound by {name}<br>{show(spent[bar].get(name, 0.0), 'time')}, "
                f"{percent(spent[bar].get(name, 0.0), latency)} of the latency"
                for bar in bars
            ],
        }
        for name in order
    ]  # fmt: skip
    longest = max(sum(parts.values()) for parts in spent.values())
    notes = [
        {
            "x": sum(spent[bar].values()), "y": bar, "xanchor": "left", "xshift": 6,
            "showarrow": False, "font": {"size": 12},
            "text": f"{show(sum(spent[bar].values()), 'time')}, "
            f"{percent(sum(spent[bar].values()), latency)}",
        }
        for bar in bars
    ]  # fmt: skip
    noun = {"class": "class of operator", "block": "block", "phase": "phase", "row": "row"}[by]
    return figure(
        traces, f"Time by bottleneck: {subject.title}",
        f"{subject.subtitle}; latency {show(latency, 'time')}", _alt(subject, spent, bars, latency),
        barmode="stack",
        xaxis=axis("time", range=[0, 1.22 * longest], **ticks(1.22 * longest, "time")),
        yaxis=axis(noun, autorange="reversed", showgrid=False, type="category", ticksuffix=" ",
                   tickfont={"size": 13 if len(bars) < 12 else 11}),
        annotations=notes,
        bargap=0.25,
        legend={"orientation": "h", "x": 0.0, "y": -0.14, "yanchor": "top", "traceorder": "normal",
                "title": {"text": "bound by  ", "side": "left", "font": {"size": 13}}},
    )  # fmt: skip


def _spent(subject: PredictionPoint, by: str) -> dict[str, dict[str, float]]:
    """Return bar -> what binds -> seconds; all of them add up to the latency."""
    columns, rows = subject.columns, subject.table.rows
    keys: dict[str, Callable[[int], Any]] = {
        "class": lambda i: rows[i].kind,
        "block": lambda i: block_of(subject.names[i], rows[i].phase),
        "phase": lambda i: rows[i].phase or "whole run",
        "row": lambda i: subject.names[i],
    }
    key = keys[by]
    out: dict[str, dict[str, float]] = {}
    for i in range(len(rows)):
        bar = out.setdefault(str(key(i)), {})
        bound = str(columns["bound_by"][i])
        bar[bound] = bar.get(bound, 0.0) + float(columns["total_s"][i])
    rest = float(subject.prediction.latency_s) - float(sum(columns["total_s"].tolist()))
    if rest > 1e-9 * float(subject.prediction.latency_s):
        out[_RUN] = {_RUN: rest}
    return out


def block_of(name: str, phase: str) -> str:
    """Return the block that a row's name says it is part of.

    ``layer1.0.conv1`` is of ``layer1``, ``prefill/layer.q_proj`` of ``prefill/layer``, the node
    ``/features/3/Conv`` of an ONNX file of ``features/3``.
    """
    head = f"{phase}/" if phase and name.startswith(f"{phase}/") else ""
    parts = name.removeprefix(head).strip("/").split("/")
    if len(parts) > 1:
        return head + "/".join(parts[:-1][:2])
    return head + parts[0].split(".")[0]


def _alt(
    subject: PredictionPoint, spent: dict[str, dict[str, float]], bars: list[str], latency: float
) -> str:
    parts = [
        f"Time of {subject.title} ({subject.subtitle}): {show(latency, 'time')}, by what binds it."
    ]
    for bar in bars[:8]:
        inner = ", ".join(
            f"{show(seconds, 'time')} bound by {name}" for name, seconds in spent[bar].items()
        )
        whole = sum(spent[bar].values())
        parts.append(f"{bar}: {percent(whole, latency)} ({inner}).".replace("&lt;", "<"))
    return " ".join(parts)
