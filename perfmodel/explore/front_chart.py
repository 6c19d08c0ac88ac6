"""Pareto front on the explorer's page: a sweep over batches and precisions of the selection.

The sweep (`perfmodel.sweep`) covers the selected devices; the chart shows a rate or the latency
against energy, or against memory if the devices state no power.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from perfmodel.charts.chart import Chart, Points
from perfmodel.charts.style import INK
from perfmodel.errors import InputError
from perfmodel.explore.choices import parameters_of
from perfmodel.explore.selection import LIMITS, ExplorerSelection
from perfmodel.prediction import Prediction
from perfmodel.sweep import sweep
from perfmodel.table.sweep_views import is_known

_BATCHES = tuple(2.0**exponent for exponent in range(9))
_PRECISIONS = ("w16a16", "w8a8", "w4a16", "w4a8")


def front_chart(
    selection: ExplorerSelection,
    settings: Mapping[str, Any],
    limits: Mapping[str, float],
    prediction: Prediction,
) -> Chart | None:
    """Return the Pareto front over batches and precisions on the selected devices.

    Parameters
    ----------
    selection, settings, limits
        The reader's selection, its settings, and metric -> upper bound.
    prediction
        Prediction of the selection on its first device, marked in the chart.

    Returns
    -------
    Chart or None
        None if the sweep has a fault: a workload that fixes its formats, or a device that computes
        in few of them, rejects some of the precisions.
    """
    axes: dict[str, Any] = {name: value for name, value in settings.items() if name != "batch"}
    if "batch" in parameters_of(selection.workload, str(settings.get("phase", ""))):
        axes["batch"] = list(_BATCHES)
    precisions = filter(None, (selection.precision.strip(), *_PRECISIONS))
    axes["precision"] = list(dict.fromkeys(precisions))
    devices = list(dict.fromkeys(filter(None, (selection.device, selection.second_device))))
    # The runtime was selected for the first device; a second one may not support it.
    runtime = selection.runtime if len(devices) == 1 else ""
    try:
        table = sweep(selection.workload, devices, axes, runtime=runtime or None)
    except InputError:
        return None
    y = "energy_j" if is_known(table, "energy_j") else "peak_memory_bytes"
    x = next(m for m in ("tokens_per_s", "frames_per_s", "latency_s") if is_known(table, m))
    # Limits enter the condition as they were typed, so that the chart shows the reader's units.
    typed = {LIMITS[name][0]: text.strip() for name, text in selection.limits.items()}
    under = " and ".join(f"{metric} <= {typed[metric]}" for metric in limits)
    chart: Chart = table.plot.pareto.chart(x, y, under=under or None)
    position = [float(getattr(prediction, x))], [float(getattr(prediction, y))]
    mark = Points("chosen", *position, "chosen", symbol="x-thin", size=14, edge=INK, edge_width=3)
    (panel,) = chart.panels
    return replace(chart, panels=[replace(panel, series=[*panel.series, mark])])
