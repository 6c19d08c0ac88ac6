"""Picture of an FPGA's resources: the share of each that a design uses, stacked by layer.

The resources are look-up tables, flip-flops, DSP slices and memory blocks. The share of a resource
is ``used / available``; the resource with the largest share is the scarcest and limits the design.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.charts import GREY, SERIES, Chart, Picture
from perfmodel.charts.prediction_point import PredictionPoint
from perfmodel.charts.stacked_bars import Amounts, largest, shares_panel
from perfmodel.errors import input_error
from perfmodel.prediction.prediction import Prediction

#: Resources that belong to no layer, such as the control of the design.
_OUTSIDE_LAYERS = "beside layers"
#: Resource -> its name on the axis.
_NAMES = {
    "lut": "look-up tables",
    "ff": "flip-flops",
    "dsp": "DSP slices",
    "bram": "18 Kb blocks",
    "uram": "UltraRAM",
}


@Picture
def resources(prediction: Prediction) -> Chart:
    """Draw the share of each FPGA resource that a design uses, by layer.

    Parameters
    ----------
    prediction
        Prediction; of an array-valued one, the first point is drawn.

    Raises
    ------
    InputError
        The engine has no such resources.
    """
    subject = PredictionPoint(prediction)
    point = subject.prediction
    usage = {n: use for n, use in point.resources.items() if use["available"] or use["used"]}
    if not usage:
        raise input_error(
            f"{point.device} has no resources to draw", expected="an engine of kind fpga"
        )
    scarcest = max(usage, key=lambda name: float(usage[name]["share"]))
    names = {n: _NAMES.get(n, n) for n in usage}
    labels = [f"{name}{' (scarcest)' if n == scarcest else ''}" for n, name in names.items()]
    layers = _usage_by_layer(subject, {n: float(use["used"]) for n, use in usage.items()}, scarcest)
    colors = dict(zip(layers, SERIES, strict=False)) | {
        "other layers": GREY,
        _OUTSIDE_LAYERS: "#C8C8C8",
    }
    amounts = {layer: [row[n] for n in usage] for layer, row in layers.items()}
    available = [float(use["available"]) for use in usage.values()]
    texts = [
        f"{use['used']:.0f} of {use['available']:.0f} {names[n]} ({100.0 * use['share']:.3g} %)"
        for n, use in usage.items()
    ]
    verdict = "fits" if point.feasible else f"does not fit: {scarcest.upper()} is short"
    title = "share of the part (%)"
    return Chart(
        f"Resources: {subject.title}",
        f"{subject.subtitle}; {verdict}",
        f"Resources of {subject.title} ({subject.subtitle}): {', '.join(texts)}. "
        f"Scarcest: {names[scarcest]}; it {verdict}.",
        [shares_panel(labels, amounts, available, colors, "{:.0f}".format, title=title)],
        legend="below",
        stacked=True,
        gap=0.3,
    )


def _usage_by_layer(subject: PredictionPoint, used: dict[str, float], scarcest: str) -> Amounts:
    """Return layer -> resource -> amount; the amounts add up to those of the design.

    There are at most seven rows: the layers that use most of the scarcest resource, and the sum of
    all others.
    """
    columns: dict[str, Any] = subject.columns
    count = np.asarray(columns["count"], dtype=float)
    amounts = {n: np.asarray(columns.get(n, 0.0), dtype=float) * count for n in used}
    rows = {
        name: {n: float(amounts[n][i]) for n in used}
        for i, name in enumerate(subject.names)
        if any(amounts[n][i] > 0 for n in used)
    }
    layers = largest(rows, 7, "other layers", lambda row: row[scarcest])
    outside = {n: max(used[n] - float(amounts[n].sum()), 0.0) for n in used}
    if any(amount > 1e-6 * max(used[n], 1.0) for n, amount in outside.items()):
        layers[_OUTSIDE_LAYERS] = outside
    return layers
