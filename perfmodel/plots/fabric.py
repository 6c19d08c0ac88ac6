"""What a design takes of an FPGA: a bar a resource, stacked by layer, against what the part has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.errors import input_error
from perfmodel.plots.style import GREY, SERIES, axis, figure
from perfmodel.plots.subject import PredictionPoint

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.prediction.prediction import Prediction

#: Layers with a colour of their own; the others are drawn as one.
_MOST = 6
_REST, _BESIDE = "other layers", "beside layers"
#: What is what, for the axis.
_NOUNS = {
    "lut": "look-up tables", "ff": "flip-flops", "dsp": "DSP slices", "bram": "18 Kb blocks",
    "uram": "UltraRAM",
}  # fmt: skip


def resources(prediction: Prediction) -> Figure:
    """Draw the share of each resource that the design takes, by layer; the scarcest is marked.

    Parameters
    ----------
    prediction
        Of an array-valued one, the first point is drawn.

    Raises
    ------
    InputError
        The engine has no resources that a network takes a part of.
    """
    subject = PredictionPoint(prediction)
    one = subject.prediction
    taken = {n: p for n, p in one.resources.items() if p["available"] or p["used"]}
    if not taken:
        raise input_error(
            f"{one.device} has no resources to draw", expected="an engine of kind fpga"
        )
    scarce = max(taken, key=lambda name: float(taken[name]["share"]))
    parts = _by_layer(subject, {n: float(p["used"]) for n, p in taken.items()}, scarce)
    names = list(taken)
    labels = [f"{_NOUNS.get(n, n)}{' (scarcest)' if n == scarce else ''}" for n in names]
    whole = {n: max(float(taken[n]["available"]), 1e-9) for n in names}
    colors = dict(zip(parts, SERIES, strict=False)) | {_REST: GREY, _BESIDE: "#C8C8C8"}
    traces = [
        {
            "type": "bar", "orientation": "h", "name": layer, "y": labels,
            "x": [100.0 * amounts[n] / whole[n] for n in names],
            "marker": {"color": colors.get(layer, GREY), "line": {"color": "white", "width": 1}},
            "hoverinfo": "text",
            "hovertext": [f"<b>{layer}</b><br>{amounts[n]:.0f} {n.upper()}" for n in names],
        }
        for layer, amounts in parts.items()
    ]  # fmt: skip
    longest = max(100.0, *(100.0 * float(taken[n]["share"]) for n in names))
    notes = [
        {
            "x": 100.0 * float(taken[n]["share"]), "y": label, "xanchor": "left", "xshift": 6,
            "showarrow": False, "font": {"size": 12}, "bgcolor": "rgba(255,255,255,0.85)",
            "text": f"{float(taken[n]['used']):.0f} of {float(taken[n]['available']):.0f}, "
            f"{100.0 * float(taken[n]['share']):.3g} %",
        }
        for n, label in zip(names, labels, strict=True)
    ]  # fmt: skip
    fits = "fits" if one.feasible else f"does not fit: {scarce.upper()} is short"
    return figure(
        traces, f"Resources: {subject.title}", f"{subject.subtitle}; {fits}",
        _alt(subject, taken, scarce, fits), barmode="stack", bargap=0.3,
        xaxis=axis("share of the part (%)", range=[0, 1.25 * longest], exponentformat="none"),
        yaxis=axis("", autorange="reversed", showgrid=False, type="category", ticksuffix=" "),
        shapes=[{"type": "line", "x0": 100, "x1": 100, "y0": -0.5, "y1": len(names) - 0.5,
                 "line": {"color": "black", "width": 2, "dash": "dash"}}],
        annotations=[*notes, {"x": 100, "y": 1.0, "yref": "paper", "yanchor": "bottom",
                              "showarrow": False, "text": "the part"}],
        legend={"orientation": "h", "x": 0.0, "y": -0.14, "yanchor": "top", "traceorder": "normal"},
    )  # fmt: skip


def _by_layer(
    subject: PredictionPoint, used: dict[str, float], scarce: str
) -> dict[str, dict[str, float]]:
    """Return layer -> resource -> amount; they add up to what the design takes."""
    columns: dict[str, Any] = subject.columns
    count = np.asarray(columns["count"], dtype=float)
    rows = {
        name: np.asarray(columns[name], dtype=float) * count
        if name in columns else np.zeros(len(count))
        for name in used
    }  # fmt: skip
    order = [int(i) for i in np.argsort(-rows[scarce], kind="stable") if _any(rows, int(i))]
    own = sorted(order[:_MOST] if len(order) > _MOST + 1 else order)
    out = {subject.names[i]: {n: float(rows[n][i]) for n in used} for i in own}
    rest = [i for i in order if i not in own]
    if rest:
        out[_REST] = {n: float(rows[n][rest].sum()) for n in used}
    beside = {n: max(used[n] - float(rows[n].sum()), 0.0) for n in used}
    if any(amount > 1e-6 * max(used[n], 1.0) for n, amount in beside.items()):
        out[_BESIDE] = beside
    return out


def _any(rows: dict[str, Any], i: int) -> bool:
    return any(float(amounts[i]) > 0 for amounts in rows.values())


def _alt(subject: PredictionPoint, taken: dict[str, Any], scarce: str, fits: str) -> str:
    said = ", ".join(
        f"{float(p['used']):.0f} of {float(p['available']):.0f} {_NOUNS.get(n, n)} "
        f"({100.0 * float(p['share']):.3g} %)"
        for n, p in taken.items()
    )
    return (
        f"Resources of {subject.title} ({subject.subtitle}): {said}. "
        f"Scarcest: {_NOUNS.get(scarce, scarce)}; it {fits}."
    )
