"""Views of a sweep's table for pictures and reports: varied columns, feasible rows, metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from perfmodel.columns import TEXT, TRUTH
from perfmodel.metrics import metrics_of
from perfmodel.table.result import ShownPicture

if TYPE_CHECKING:
    from perfmodel.table.columnar import Table

#: Metrics shown for a sweep, in this order.
METRICS = (
    "latency_s",
    "tpot_s",
    "energy_j",
    "tokens_per_s",
    "frames_per_s",
    "peak_memory_bytes",
    *metrics_of("view"),
)
#: Largest number of curves that can be told apart in a picture, and of pictures over axes.
CURVES, _PICTURES = 16, 4


def varied(table: Table, names: Iterable[str | None]) -> list[str]:
    """Return the given columns that have more than one value."""
    existing = [name for name in dict.fromkeys(names) if name is not None and name in table]
    return [name for name in existing if len(set(table[name].tolist())) > 1]


def varied_choices(table: Table) -> list[str]:
    """Return the input columns that have more than one value, axes first."""
    return varied(table, [*table.axes, "workload", "device", "runtime", "precision"])


def fitting(table: Table) -> npt.NDArray[np.bool_]:
    """Return a mask of feasible rows; all rows if the table has no such column."""
    if "feasible" in table:
        return np.asarray(table["feasible"], dtype=bool)
    return np.ones(len(table), dtype=bool)


def is_known(table: Table, name: str) -> bool:
    """Return whether a column exists and contains a number."""
    return name in table and bool(np.isfinite(np.asarray(table[name], dtype=float)).any())


def known_metrics(table: Table) -> list[str]:
    """Return the metrics of which the table has numbers."""
    return [name for name in METRICS if is_known(table, name)]


def trade(table: Table) -> list[str]:
    """Return the two metrics of a sweep's trade-off: a time, and energy or memory."""
    metrics = known_metrics(table)
    pairs = (("latency_s", "tpot_s"), ("energy_j", "peak_memory_bytes"))
    names = [next((n for n in pair if n in metrics), "") for pair in pairs]
    return names if all(names) else []


def sweep_pictures(table: Table, best: str = "", pareto: Sequence[str] = ()) -> list[ShownPicture]:
    """Return the pictures of a sweep: its Pareto front, and metrics over varied columns.

    Parameters
    ----------
    best, pareto
        Metrics of interest; by default the first known one, and `trade`.
    """
    objectives = list(pareto) or trade(table)
    pictures: list[ShownPicture] = []
    if len(objectives) > 1 and len(table):
        words = "Every point in two metrics; the line joins those that no other beats in both."
        pictures.append(ShownPicture("pareto", words, dict(zip("xy", objectives, strict=False))))
    return pictures + _over_axes(table, [best or next(iter(known_metrics(table)), ""), *objectives])


def _over_axes(table: Table, metrics: Sequence[str]) -> list[ShownPicture]:
    """Return curves over each numeric axis, or heat maps where there would be too many curves."""
    choices = varied_choices(table)
    numbers = [name for name in choices if table.dimensions[name] not in (TEXT, TRUTH)]
    pictures: list[ShownPicture] = []
    for y in dict.fromkeys(filter(None, metrics)):
        for x in numbers[:2] or choices[:1] * (len(choices) == 2):
            others = [name for name in choices if name != x]
            columns = [table[name].tolist() for name in others if name in table.axes]
            if x in numbers and len(set(zip(*columns, strict=True))) <= CURVES:
                pictures.append(ShownPicture("curves", f"{y} over {x}.", {"x": x, "y": y}))
            elif others:
                words = f"{y} over {x} and {others[0]}, the best of each cell."
                axes = {"x": x, "y": others[0], "metric": y}
                pictures.append(ShownPicture("heatmap", words, axes))
    return pictures[:_PICTURES]
