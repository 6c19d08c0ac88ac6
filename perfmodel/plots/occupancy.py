"""Which processing elements of a systolic array are busy, layer by layer and element by element."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perfmodel.errors import input_error, nearest
from perfmodel.kinds.systolic.folds import ArrayRun, gemm
from perfmodel.plots.style import BLUE, GREY, PALE, VERMILION, axis, figure
from perfmodel.plots.subject import PredictionPoint

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.prediction.prediction import Prediction

#: Layers that a bar each is drawn for, at most: those with the most cycles.
_MOST = 24


def busy_elements(run: ArrayRun, replication: str = "none") -> npt.NDArray[np.float64]:
    """Return the share of the cycles in which each processing element multiplies.

    Parameters
    ----------
    run
        Of one product, with plain numbers.
    replication
        How groups share a fold; see `perfmodel.kinds.systolic.gemm`.

    Returns
    -------
    array of shape ``(rows, columns)``
        Its mean is `ArrayRun.utilization`.
    """
    rows, columns = int(run.rows), int(run.columns)
    high, wide = float(run.spatial_rows), float(run.spatial_columns)
    down, across = int(np.ceil(run.row_folds)), int(np.ceil(run.column_folds))
    i, j = np.arange(rows), np.arange(columns)
    # Folds of one group in which a row (a column) holds something: all, less the edge's rest.
    by_row = down - 1.0 + (i < high - (down - 1) * rows)
    by_column = across - 1.0 + (j < wide - (across - 1) * columns)
    groups = float(run.macs) / (high * wide * float(run.streamed))
    folds: npt.NDArray[np.float64] = np.outer(by_row, by_column).astype(np.float64)
    packed = int(np.asarray(run.packed))
    if packed == 1:
        return folds * groups * float(run.streamed) / float(run.cycles)
    # Groups that fit several times: each place is taken in every pack but, perhaps, the last.
    tall, broad = max(1, rows // max(int(high), 1)), max(1, columns // max(int(wide), 1))
    whole, rest = divmod(round(groups), packed)
    out = np.zeros((rows, columns))
    for place in range(packed):
        if replication == "diagonal":
            p, q = place, place
        else:
            p, q = divmod(place, broad)
        times = whole + (place < rest)
        part = folds if tall == 1 and broad == 1 else _placed(folds, high, wide, p, q, tall, broad)
        out += times * part
    return out * float(run.streamed) / float(run.cycles)


def _placed(
    folds: npt.NDArray[np.float64], high: float, wide: float, p: int, q: int, tall: int, broad: int
) -> npt.NDArray[np.float64]:
    """Return a group's folds shifted to its place; along an axis that it fills, place 0."""
    down = int(high) * p if tall > 1 else 0
    right = int(wide) * q if broad > 1 else 0
    out = np.zeros_like(folds)
    out[down:, right:] = folds[: folds.shape[0] - down, : folds.shape[1] - right]
    return out


def occupancy(prediction: Prediction, *, layer: str | None = None) -> Figure:
    """Draw the array's occupancy: a map of its elements, and the utilisation of each layer.

    Parameters
    ----------
    prediction
        On an engine of kind ``systolic``; of an array-valued one, the first point is drawn.
    layer
        Row to draw the map of; by default that with the most cycles in which elements wait.

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
    names = [subject.names[int(i)] for i in used]
    idle = columns["cycles"] * columns["count"] * (1.0 - columns["array_utilization"])
    if layer is None:
        at = int(used[np.argmax(idle[used])])
    elif layer in names:
        at = int(used[names.index(layer)])
    else:
        raise input_error(
            f"no row '{layer}' on the array",
            path="layer",
            suggestion=nearest(layer, names),
            expected=f"one of {', '.join(names[:8])}",
        )
    share = _map(subject, at)
    if len(used) > _MOST:
        cycles = columns["cycles"] * columns["count"]
        kept = set(np.argsort(-cycles[used], kind="stable")[:_MOST].tolist())
        used = np.array([i for k, i in enumerate(used.tolist()) if k in kept])
    return _drawn(subject, at, share, used)


def _map(subject: PredictionPoint, row: int) -> npt.NDArray[np.float64]:
    """Return the share of the row's cycles in which each element multiplies."""
    nests, setting = subject.table.nests, subject.setting
    assert nests is not None
    facts, head = setting.facts, f"engines.{setting.engine}."
    choices: Mapping[str, Any] = setting.choices
    total, cycles = 0.0, 0.0
    for i in np.flatnonzero(nests.row == row).tolist():
        n = {
            key: float(np.asarray(getattr(nests, key))[i, 0])
            for key in ("batch", "out_rows", "out_columns", "out_channels", "in_channels",
                        "kernel_rows", "kernel_columns", "groups", "times")
        }  # fmt: skip
        run = gemm(
            n["batch"] * n["out_rows"] * n["out_columns"], n["out_channels"],
            n["in_channels"] * n["kernel_rows"] * n["kernel_columns"],
            rows=float(facts[head + "height"]), columns=float(facts[head + "width"]),
            dataflow=choices["dataflow"], shadow_weights=choices["shadow_weights"],
            overlap_folds=choices["overlap_folds"], replication=choices["replicate_groups"],
            groups=n["groups"],
        )  # fmt: skip
        spent = float(run.cycles) * n["times"]
        total = total + busy_elements(run, choices["replicate_groups"]) * spent
        cycles += spent
    return np.asarray(total) / cycles


def _drawn(
    subject: PredictionPoint, at: int, share: npt.NDArray[np.float64], used: npt.NDArray[np.intp]
) -> Figure:
    columns = subject.columns
    rows, width = share.shape
    name = subject.names[at]
    shown: list[int] = [int(i) for i in used]
    names = [subject.names[i] for i in shown]
    busy = [100.0 * float(columns["array_utilization"][i]) for i in shown]
    top = float(share.max())
    traces: list[dict[str, Any]] = [
        {
            "type": "heatmap", "z": 100.0 * share, "zmin": 0.0, "zmax": 100.0,
            "colorscale": [[0.0, "white"], [1e-9, PALE], [1.0, BLUE]],
            "xaxis": "x", "yaxis": "y",
            "colorbar": {"orientation": "h", "len": 0.45, "x": 0.0, "xanchor": "left", "y": -0.14,
                         "yanchor": "top", "thickness": 12,
                         "title": {"text": "busy, % of the cycles", "side": "bottom",
                                   "font": {"size": 13}}},
            "hovertemplate": "row %{y}, column %{x}: busy %{z:.1f} % of the cycles<extra></extra>",
        },
        {
            "type": "bar", "orientation": "h", "x": busy, "y": names, "xaxis": "x2", "yaxis": "y2",
            "marker": {"color": [VERMILION if i == at else BLUE for i in shown]},
            "hovertext": [
                f"<b>{n}</b><br>{b:.1f} % of the elements' cycles, "
                f"{columns['folds'][i]:.0f} folds, {columns['cycles'][i]:.0f} cycles"
                for n, b, i in zip(names, busy, shown, strict=True)
            ],
            "hoverinfo": "text",
        },
    ]  # fmt: skip
    flow = str(subject.setting.choices["dataflow"]).replace("_", " ")
    mean = 100.0 * float(share.mean())
    alt = (
        f"Occupancy of the {rows} x {width} {flow} array of {subject.title}. {name}: "
        f"{columns['folds'][at]:.0f} folds, elements are busy {mean:.3g} % of its cycles on "
        f"average, {100 * top:.3g} % at most, {100 * float(share.min()):.3g} % at least. "
        "Utilisation by layer: "
        + ", ".join(f"{n} {b:.0f} %" for n, b in list(zip(names, busy, strict=True))[:12])
        + "."
    )
    small = 10 if len(names) > 16 else 12
    return figure(
        traces, f"Occupancy of the array: {subject.title}",
        f"{subject.subtitle}; {rows} x {width}, {flow}", alt,
        xaxis=axis("column of elements", domain=[0.0, 0.45], range=[-0.5, width - 0.5],
                   constrain="domain", showgrid=False),
        yaxis=axis("row of elements", range=[rows - 0.5, -0.5], scaleanchor="x", constrain="domain",
                   showgrid=False),
        xaxis2=axis("utilisation, %", domain=[0.68, 1.0], range=[0, 100], anchor="y2"),
        yaxis2=axis("", autorange="reversed", type="category", anchor="x2", showgrid=False,
                    tickfont={"size": small}, ticksuffix=" "),
        showlegend=False, bargap=0.25, margin={"l": 80, "r": 30, "t": 100, "b": 150},
        annotations=[
            {"xref": "paper", "yref": "paper", "x": 0.0, "y": 1.0, "xanchor": "left",
             "yanchor": "bottom", "showarrow": False, "font": {"size": 13, "color": GREY},
             "text": f"{name}: busy {mean:.3g} % on average"},
        ],
    )  # fmt: skip
