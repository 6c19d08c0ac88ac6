"""Picture of the occupancy of a systolic array, per layer and per processing element.

A map shows the share of one layer's cycles in which each element multiplies, which is the
utilisation by element of `perfmodel.kinds.systolic.element_utilization`; bars next to it show the
utilisation of each layer, ``multiply-accumulates / (cycles * rows * columns)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.charts import (
    BLUE,
    GREY,
    PALE,
    VERMILION,
    Bars,
    Cells,
    Chart,
    ChartAxis,
    Note,
    Panel,
    Picture,
    Shades,
)
from perfmodel.charts.prediction_point import PredictionPoint
from perfmodel.errors import input_error
from perfmodel.kinds.systolic.element_utilization import FloatGrid, element_utilization
from perfmodel.kinds.systolic.folds import gemm
from perfmodel.prediction.prediction import Prediction

#: Largest number of layers with a bar, so that their names stay legible.
_MAX_BARS = 24


@Picture
def occupancy(prediction: Prediction, *, layer: str | None = None) -> Chart:
    """Draw the array's occupancy: a map of its elements, and the utilisation of each layer.

    Parameters
    ----------
    prediction
        Has an engine of kind ``systolic``; of an array-valued one, the first point is drawn.
    layer
        Row for the map; by default that with the most idle cycles of elements.

    Raises
    ------
    InputError
        Another kind of engine, an unknown row, or one that does not use the array.
    """
    subject = PredictionPoint(prediction)
    columns = subject.columns
    if "array_utilization" not in columns:
        message = f"{subject.prediction.machine.device.name} computes on no systolic array"
        raise input_error(message, path="occupancy", expected="an engine of kind systolic")
    on_array = np.flatnonzero(columns["cycles"] > 0)
    cycles = (columns["cycles"] * columns["count"])[on_array]
    idle_cycles = cycles * (1.0 - columns["array_utilization"][on_array])
    picked = subject.pick(on_array, idle_cycles, layer, path="layer", lacks="on the array")
    row = int(on_array[picked])
    # Layers with the most cycles, in the order of the network.
    bars = on_array[np.sort(np.argsort(-cycles, kind="stable")[:_MAX_BARS])]
    return _occupancy_chart(subject, row, _row_utilization(subject, row), bars.tolist())


def _row_utilization(subject: PredictionPoint, row: int) -> FloatGrid:
    """Return the utilisation of each element during a row of the table.

    A row may consist of several products, such as the two of attention: their utilisations are
    averaged, weighted by cycles.
    """
    nests, setting = subject.table.nests, subject.setting
    assert nests is not None
    facts, engine = setting.facts, f"engines.{setting.engine_name}"
    choices: Mapping[str, Any] = setting.choices
    utilizations: list[FloatGrid] = []
    cycles: list[float] = []
    for nest in np.flatnonzero(nests.row == row).tolist():

        def product(*names: str, nest: int = nest) -> float:
            return math.prod(float(np.asarray(getattr(nests, name))[nest, 0]) for name in names)

        run = gemm(
            product("batch", "out_rows", "out_columns"),
            product("out_channels"),
            product("in_channels", "kernel_rows", "kernel_columns"),
            rows=float(facts[f"{engine}.height"]),
            columns=float(facts[f"{engine}.width"]),
            dataflow=choices["dataflow"],
            shadow_weights=choices["shadow_weights"],
            overlap_folds=choices["overlap_folds"],
            replication=choices["replicate_groups"],
            groups=product("groups"),
        )
        cycles.append(float(run.cycles) * product("times"))
        utilizations.append(element_utilization(run, choices["replicate_groups"]))
    return np.average(utilizations, axis=0, weights=cycles)


def _occupancy_chart(
    subject: PredictionPoint, row: int, utilization: FloatGrid, bars: list[int]
) -> Chart:
    """Return the chart of the element map of a row, and of the utilisation of the rows in bars."""
    columns, name = subject.columns, subject.names[row]
    height, width = utilization.shape
    names = [subject.names[i] for i in bars]
    percents = [100.0 * columns["array_utilization"][i] for i in bars]
    flow = str(subject.setting.choices["dataflow"]).replace("_", " ")
    mean, most, least = (100 * reduce(utilization) for reduce in (np.mean, np.max, np.min))
    layers = Bars(
        "",
        percents,
        names,
        [
            f"<b>{layer}</b><br>{share:.1f} % of the elements' cycles, {columns['folds'][i]:.0f} "
            f"folds, {columns['cycles'][i]:.0f} cycles"
            for layer, share, i in zip(names, percents, bars, strict=True)
        ],
        across=True,
        color=[VERMILION if i == row else BLUE for i in bars],
        edge_width=0.0,
    )
    texts = [f"{layer} {share:.0f} %" for layer, share in zip(names, percents, strict=True)]
    return Chart(
        f"Occupancy of the array: {subject.title}",
        f"{subject.subtitle}; {height} x {width}, {flow}",
        f"Occupancy of the {height} x {width} {flow} array of {subject.title}. {name}: "
        f"{columns['folds'][row]:.0f} folds, elements are busy {mean:.3g} % of its cycles on "
        f"average, {most:.3g} % at most, {least:.3g} % at least. "
        f"Utilisation by layer: {', '.join(texts[:12])}.",
        [
            _element_map(utilization, f"{name}: busy {mean:.3g} % on average"),
            Panel(
                ChartAxis("utilisation, %", 0.0, 100.0),
                ChartAxis(names=names, grid=False, size=10 if len(names) > 16 else 12),
                [layers],
                across=(0.68, 1.0),
            ),
        ],
        legend="",
        margin={"b": 150},
        gap=0.25,
    )


def _element_map(utilization: FloatGrid, title: str) -> Panel:
    """Return the map of the array's elements, row 0 at the top; idle elements are white."""
    height, width = utilization.shape
    stops = [(0.0, "white"), (1e-9, PALE), (1.0, BLUE)]
    cells = Cells(
        "",
        (),
        (),
        z=100.0 * utilization,
        shades=Shades("busy, % of the cycles", 0.0, 100.0, stops, place="below"),
        says="row %{y}, column %{x}: busy %{z:.1f} % of the cycles",
    )
    return Panel(
        ChartAxis("column of elements", -0.5, width - 0.5, grid=False),
        ChartAxis("row of elements", height - 0.5, -0.5, grid=False),
        [cells],
        notes=[Note(title, 0.0, 1.0, "", anchor="left bottom", size=13, color=GREY)],
        across=(0.0, 0.45),
        square=True,
    )
