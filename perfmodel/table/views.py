"""By what a table of a sweep is looked at: what varies, what fits, metrics, pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from perfmodel.columns import TEXT, TRUTH
from perfmodel.table.result import ShownPicture

if TYPE_CHECKING:
    from perfmodel.table.columnar import Table

#: Metrics that a sweep is looked at by, in this order.
METRICS = (
    "latency_s",
    "tpot_s",
    "energy_j",
    "tokens_per_s",
    "frames_per_s",
    "peak_memory_bytes",
)
#: Curves in a picture at most: more cannot be told apart; and pictures over axes.
CURVES, _PICTURES = 16, 4


def varied(table: Table, names: Iterable[str | None]) -> list[str]:
    """Return those of the columns that have more than one value."""
    there = [name for name in dict.fromkeys(names) if name is not None and name in table]
    return [name for name in there if len(set(table[name].tolist())) > 1]


def varied_choices(table: Table) -> list[str]:
    """Return the columns of what was asked for that have more than one value, axes first."""
    return varied(table, [*table.axes, "workload", "device", "runtime", "precision"])


def fitting(table: Table) -> npt.NDArray[np.bool_]:
    """Return which rows are feasible; all of them where nothing says so."""
    if "feasible" in table:
        return np.asarray(table["feasible"], dtype=bool)
    return np.ones(len(table), dtype=bool)


def is_known(table: Table, name: str) -> bool:
    """Tell whether a column is there with a number in it."""
    return name in table and bool(np.isfinite(np.asarray(table[name], dtype=float)).any())


def known_metrics(table: Table) -> list[str]:
    """Return the metrics that the table has numbers of."""
    return [name for name in METRICS if is_known(table, name)]


def trade(table: Table) -> list[str]:
    """Return the two metrics that a sweep is weighed by: a time, and energy or memory."""
    metrics = known_metrics(table)
    pairs = (("latency_s", "tpot_s"), ("energy_j", "peak_memory_bytes"))
    names = [next((n for n in pair if n in metrics), "") for pair in pairs]
    return names if all(names) else []


def sweep_pictures(table: Table, best: str = "", pareto: Sequence[str] = ()) -> list[ShownPicture]:
    """Return the pictures of a sweep: its front, and metrics over what varies.

    Parameters
    ----------
    best, pareto
        Metrics of interest; by default the first that is known, and `trade`.
    """
    objectives = list(pareto) or trade(table)
    pictures: list[ShownPicture] = []
    if len(objectives) > 1 and len(table):
        words = "Every point in two metrics; the line joins those that no other beats in both."
        pictures.append(ShownPicture("pareto", words, dict(zip("xy", objectives, strict=False))))
    return pictures + _over_axes(table, [best or next(iter(known_metrics(table)), ""), *objectives])


def _over_axes(table: Table, metrics: Sequence[str]) -> list[ShownPicture]:
    """Return curves over each axis of numbers; a grid of colours where they would be too many."""
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
