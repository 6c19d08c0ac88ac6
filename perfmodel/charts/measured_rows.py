"""Picture of a validation: predictions over measured values, both axes logarithmic."""

from __future__ import annotations

import math

import numpy as np

from perfmodel.charts import (
    GREY,
    Chart,
    ChartAxis,
    Lines,
    Panel,
    Picture,
    Points,
    Series,
    looks,
    quantity,
)
from perfmodel.columns import dimension_of
from perfmodel.errors import input_error
from perfmodel.evaluate.result import ValidationResult

#: Largest number of rows drawn, evenly sampled.
_MOST = 3000
#: Largest number of devices with separate colours.
_DEVICES = 8
_OTHERS = "other devices"


@Picture
def measured(result: ValidationResult) -> Chart:
    """Draw predictions of the primary target over measured values, both axes logarithmic.

    Raises
    ------
    InputError
        No row has a positive measurement and prediction.
    """
    target = result.primary
    rows = [
        (str(p["device"]), str(p["name"]), float(p["measured"]), float(p["predicted"]))
        for p in result.predictions
        if p["measured"] > 0 and p["predicted"] > 0 and p.get("target", target) == target
    ]
    if not rows:
        raise input_error("nothing to draw", expected="at least one predicted row")
    dimension = dimension_of(target)
    devices = list(dict.fromkeys(device for device, *_ in rows))
    own = devices if len(devices) <= _DEVICES else devices[: _DEVICES - 1]
    values = np.array([row[2:] for row in rows])
    low, high = float(values.min()), float(values.max())
    series: list[Series] = [
        Lines("", [low, high], [f * low, f * high], color=GREY, width=1, dash=dash)
        for f, dash in ((1.0, "solid"), (0.9, "dot"), (1.1, "dot"))
    ]
    groups: dict[str, list[tuple[str, str, float, float]]] = {name: [] for name in (*own, _OTHERS)}
    for row in rows[:: max(1, math.ceil(len(rows) / _MOST))]:
        groups[row[0] if row[0] in own else _OTHERS].append(row)
    for i, (name, members) in enumerate((n, each) for n, each in groups.items() if each):
        color, symbol, _ = looks(i)
        series.append(
            Points(
                name,
                [row[2] for row in members],
                [row[3] for row in members],
                [
                    f"{network}, {device}<br>measured {quantity(a, dimension)}, predicted "
                    f"{quantity(b, dimension)}"
                    for device, network, a, b in members
                ],
                color=color,
                symbol=symbol,
                size=7,
                opacity=0.75,
            )
        )
    error = "" if result.mape is None else f", {100 * result.mape:.1f} % off in the mean"
    count = f"{len(rows)} rows{error}"
    alt = f"Predicted over measured {target} of {result.name}: {count}."
    axes = [
        ChartAxis(title, low / 1.2, high * 1.2, dimension, log=True)
        for title in ("measured", "predicted")
    ]
    return Chart(f"{result.name}: {target}", count, alt, [Panel(axes[0], axes[1], series)])
