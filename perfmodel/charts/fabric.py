"""What a design takes of an FPGA: a bar for each resource, stacked by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.charts import GREY, SERIES, Chart, Picture
from perfmodel.charts.bars import Amounts, largest, shares_panel
from perfmodel.charts.subject import PredictionPoint
from perfmodel.errors import input_error

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

_BESIDE = "beside layers"
#: What is what, for the axis.
_RESOURCES = {
    "lut": "look-up tables",
    "ff": "flip-flops",
    "dsp": "DSP slices",
    "bram": "18 Kb blocks",
    "uram": "UltraRAM",
}


@Picture
def resources(prediction: Prediction) -> Chart:
    """Draw the share of each resource of an FPGA that a design takes, by layer.

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
    used = {n: float(p["used"]) for n, p in taken.items()}
    room = {n: float(p["available"]) for n, p in taken.items()}
    shares = {n: 100.0 * float(p["share"]) for n, p in taken.items()}
    scarce = max(shares, key=lambda name: shares[name])
    nouns = {n: _RESOURCES.get(n, n) for n in taken}
    labels = [f"{noun}{' (scarcest)' if n == scarce else ''}" for n, noun in nouns.items()]
    layers = _by_layer(subject, used, scarce)
    colors = dict(zip(layers, SERIES, strict=False)) | {"other layers": GREY, _BESIDE: "#C8C8C8"}
    order = list(taken)
    amounts = {layer: [row[n] for n in order] for layer, row in layers.items()}
    texts = [f"{used[n]:.0f} of {room[n]:.0f} {nouns[n]} ({shares[n]:.3g} %)" for n in order]
    fits = "fits" if one.feasible else f"does not fit: {scarce.upper()} is short"
    rooms = [room[n] for n in order]
    return Chart(
        f"Resources: {subject.title}",
        f"{subject.subtitle}; {fits}",
        f"Resources of {subject.title} ({subject.subtitle}): {', '.join(texts)}. "
        f"Scarcest: {nouns[scarce]}; it {fits}.",
        [
            shares_panel(
                labels, amounts, rooms, colors, "{:.0f}".format, title="share of the part (%)"
            )
        ],
        legend="below",
        stacked=True,
        gap=0.3,
    )


def _by_layer(subject: PredictionPoint, used: dict[str, float], scarce: str) -> Amounts:
    """Return layer -> resource -> amount; they add up to what the design takes."""
    columns: dict[str, Any] = subject.columns
    count = np.asarray(columns["count"], dtype=float)
    amounts = {n: np.asarray(columns.get(n, 0.0), dtype=float) * count for n in used}
    rows = {
        name: {n: float(amounts[n][i]) for n in used}
        for i, name in enumerate(subject.names)
        if any(amounts[n][i] > 0 for n in used)
    }
    layers = largest(rows, 7, "other layers", lambda row: row[scarce])
    beside = {n: max(used[n] - float(amounts[n].sum()), 0.0) for n in used}
    if any(amount > 1e-6 * max(used[n], 1.0) for n, amount in beside.items()):
        layers[_BESIDE] = beside
    return layers
