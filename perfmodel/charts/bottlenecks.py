"""Where the time goes: seconds of the latency by class of operator or block, by what binds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from perfmodel.charts import GREY, Chart, Picture, bound_colors, percent
from perfmodel.charts.bars import largest, time_panel, total_of
from perfmodel.charts.subject import PredictionPoint
from perfmodel.errors import input_error, nearest, one_of
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

#: What bars may stand for.
GROUPS = ("class", "block", "phase", "row")

_RUN = "once a run"


@Picture
def bottlenecks(prediction: Prediction, *, by: str = "class") -> Chart:
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
    groups = _spent(subject, by)
    ranked = {n: groups[n] for n in sorted(groups, key=lambda name: -total_of(groups[name]))}
    spent = largest(ranked, 16, "{} others", total_of)
    once = latency - sum(map(total_of, spent.values()))
    if once > 1e-9 * latency:
        spent[_RUN] = {_RUN: once}
    order = [*subject.bounds, *([_RUN] if _RUN in spent else [])]
    colors = bound_colors(subject.levels, subject.bounds) | {_RUN: GREY}
    noun = "class of operator" if by == "class" else by
    panel = time_panel(spent, order, colors, noun=noun, whole=latency)
    texts = [
        f"{bar}: {percent(total_of(row), latency)} ({_inner(row)})." for bar, row in spent.items()
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


def _inner(row: Mapping[str, float]) -> str:
    return ", ".join(f"{show(seconds, 'time')} bound by {name}" for name, seconds in row.items())


def _spent(subject: PredictionPoint, by: str) -> dict[str, dict[str, float]]:
    """Return bar -> what binds -> seconds of its rows."""
    columns, rows = subject.columns, subject.table.rows
    keys: dict[str, Callable[[int], Any]] = {
        "class": lambda i: rows[i].kind,
        "block": lambda i: block_of(subject.names[i], rows[i].phase),
        "phase": lambda i: rows[i].phase or "whole run",
        "row": lambda i: subject.names[i],
    }
    out: dict[str, dict[str, float]] = {}
    for i in range(len(rows)):
        bar = out.setdefault(str(keys[by](i)), {})
        bound = str(columns["bound_by"][i])
        bar[bound] = bar.get(bound, 0.0) + float(columns["total_s"][i])
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
