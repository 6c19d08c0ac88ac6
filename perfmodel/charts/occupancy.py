"""Occupancy of a systolic array, per layer and per processing element."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

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
from perfmodel.charts.subject import PredictionPoint
from perfmodel.errors import input_error
from perfmodel.kinds.systolic.folds import ArrayRun, gemm
from perfmodel.prediction.prediction import Prediction

#: Largest number of layers with a bar: those with the most cycles.
_MOST = 24


def busy_elements(run: ArrayRun, replication: str = "none") -> npt.NDArray[np.float64]:
    """Return the share of the cycles in which each processing element multiplies.

    Parameters
    ----------
    run
        Run of one product, with plain numbers.
    replication
        Packing of groups into a fold; see `perfmodel.kinds.systolic.gemm`.

    Returns
    -------
    array of shape ``(rows, columns)``
        Its mean is `ArrayRun.utilization`.
    """
    rows, columns = int(run.rows), int(run.columns)
    high, wide = float(run.spatial_rows), float(run.spatial_columns)
    down, across = int(np.ceil(run.row_folds)), int(np.ceil(run.column_folds))
    # Folds of one group that occupy a row (a column): all, minus the remainder at the edge.
    by_row = down - 1.0 + (np.arange(rows) < high - (down - 1) * rows)
    by_column = across - 1.0 + (np.arange(columns) < wide - (across - 1) * columns)
    groups = float(run.macs) / (high * wide * float(run.streamed))
    folds: npt.NDArray[np.float64] = np.outer(by_row, by_column).astype(np.float64)
    packed = int(np.asarray(run.packed))
    if packed == 1:
        return folds * groups * float(run.streamed) / float(run.cycles)
    # Packed groups: each place is occupied in every pack except possibly the last.
    groups_down, groups_across = (
        max(1, rows // max(int(high), 1)),
        max(1, columns // max(int(wide), 1)),
    )
    packs, remainder = divmod(round(groups), packed)
    out = np.zeros((rows, columns))
    for place in range(packed):
        p, q = (place, place) if replication == "diagonal" else divmod(place, groups_across)
        part = (
            folds
            if groups_down == 1 and groups_across == 1
            else _placed(folds, high, wide, p, q, groups_down, groups_across)
        )
        out += (packs + (place < remainder)) * part
    return out * float(run.streamed) / float(run.cycles)


def _placed(
    folds: npt.NDArray[np.float64], high: float, wide: float, p: int, q: int, tall: int, broad: int
) -> npt.NDArray[np.float64]:
    """Return a group's folds shifted to its place; no shift along an axis that it fills."""
    down = int(high) * p if tall > 1 else 0
    right = int(wide) * q if broad > 1 else 0
    out = np.zeros_like(folds)
    out[down:, right:] = folds[: folds.shape[0] - down, : folds.shape[1] - right]
    return out


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
    used = np.flatnonzero(columns["cycles"] > 0)
    cycles = (columns["cycles"] * columns["count"])[used]
    idle = cycles * (1.0 - columns["array_utilization"][used])
    at = int(used[subject.pick(used, idle, layer, path="layer", lacks="on the array")])
    shown = used[np.sort(np.argsort(-cycles, kind="stable")[:_MOST])]
    return _chart(subject, at, _map(subject, at), shown.tolist())


def _map(subject: PredictionPoint, row: int) -> npt.NDArray[np.float64]:
    """Return the share of the row's cycles in which each element multiplies."""
    nests, setting = subject.table.nests, subject.setting
    assert nests is not None
    facts, head = setting.facts, f"engines.{setting.engine_name}."
    choices: Mapping[str, Any] = setting.choices
    shares: list[npt.NDArray[np.float64]] = []
    cycles: list[float] = []
    for i in np.flatnonzero(nests.row == row).tolist():

        def product(*names: str, i: int = i) -> float:
            return math.prod(float(np.asarray(getattr(nests, name))[i, 0]) for name in names)

        run = gemm(
            product("batch", "out_rows", "out_columns"),
            product("out_channels"),
            product("in_channels", "kernel_rows", "kernel_columns"),
            rows=float(facts[head + "height"]),
            columns=float(facts[head + "width"]),
            dataflow=choices["dataflow"],
            shadow_weights=choices["shadow_weights"],
            overlap_folds=choices["overlap_folds"],
            replication=choices["replicate_groups"],
            groups=product("groups"),
        )
        cycles.append(float(run.cycles) * product("times"))
        shares.append(busy_elements(run, choices["replicate_groups"]))
    return np.average(shares, axis=0, weights=cycles)


def _chart(
    subject: PredictionPoint, at: int, share: npt.NDArray[np.float64], shown: list[int]
) -> Chart:
    columns, name = subject.columns, subject.names[at]
    high, wide = share.shape
    names = [subject.names[i] for i in shown]
    busy = [100.0 * columns["array_utilization"][i] for i in shown]
    flow = str(subject.setting.choices["dataflow"]).replace("_", " ")
    mean, most, least = (100 * f(share) for f in (np.mean, np.max, np.min))
    layers = Bars(
        "",
        busy,
        names,
        [
            f"<b>{n}</b><br>{b:.1f} % of the elements' cycles, {columns['folds'][i]:.0f} folds, "
            f"{columns['cycles'][i]:.0f} cycles"
            for n, b, i in zip(names, busy, shown, strict=True)
        ],
        across=True,
        color=[VERMILION if i == at else BLUE for i in shown],
        edge_width=0.0,
    )
    texts = [f"{n} {b:.0f} %" for n, b in zip(names, busy, strict=True)]
    return Chart(
        f"Occupancy of the array: {subject.title}",
        f"{subject.subtitle}; {high} x {wide}, {flow}",
        f"Occupancy of the {high} x {wide} {flow} array of {subject.title}. {name}: "
        f"{columns['folds'][at]:.0f} folds, elements are busy {mean:.3g} % of its cycles on "
        f"average, {most:.3g} % at most, {least:.3g} % at least. "
        f"Utilisation by layer: {', '.join(texts[:12])}.",
        [
            _elements(share, f"{name}: busy {mean:.3g} % on average"),
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


def _elements(share: npt.NDArray[np.float64], title: str) -> Panel:
    """Return the map of the array's elements."""
    high, wide = share.shape
    stops = [(0.0, "white"), (1e-9, PALE), (1.0, BLUE)]
    cells = Cells(
        "",
        (),
        (),
        z=100.0 * share,
        shades=Shades("busy, % of the cycles", 0.0, 100.0, stops, place="below"),
        says="row %{y}, column %{x}: busy %{z:.1f} % of the cycles",
    )
    return Panel(
        ChartAxis("column of elements", -0.5, wide - 0.5, grid=False),
        ChartAxis("row of elements", high - 0.5, -0.5, grid=False),
        [cells],
        notes=[Note(title, 0.0, 1.0, "", anchor="left bottom", size=13, color=GREY)],
        across=(0.0, 0.45),
        square=True,
    )
