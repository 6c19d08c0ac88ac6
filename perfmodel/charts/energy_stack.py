"""Picture of the energy of each layer: arithmetic, scratchpads, wires and memories, stacked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from perfmodel.charts import (
    GREY,
    INK,
    SERIES,
    Chart,
    ChartAxis,
    Panel,
    Picture,
    Points,
    Series,
    percent,
)
from perfmodel.charts.prediction_point import PredictionPoint
from perfmodel.charts.stacked_bars import Amounts, largest, stacked, total_of
from perfmodel.errors import input_error
from perfmodel.prediction.prediction import Prediction
from perfmodel.prediction.stages import row_energies
from perfmodel.units import show

#: Prefixes of parts that do not depend on activity; drawn last.
_AT_REST = ("static", "idle", "background")


def row_energy(prediction: Prediction) -> dict[str, dict[str, float]]:
    """Return row -> part -> joules over all its executions, for one point.

    The parts are those of `Prediction.energy`; costs of a run outside its rows are excluded.
    """
    subject = PredictionPoint(prediction)
    out: dict[str, dict[str, float]] = {}
    for part, joule in row_energies(subject.table, subject.terms, subject.setting).items():
        for name, value in zip(subject.names, joule.tolist(), strict=True):
            row = out.setdefault(name, {})
            row[part] = row.get(part, 0.0) + value
    return out


@Picture
def energy_stack(
    energies: Prediction | Amounts,
    *,
    measured: Mapping[str, float] | None = None,
    title: str = "",
) -> Chart:
    """Draw a bar for each layer, stacked by part: arithmetic, scratchpads, wires, memories.

    Parameters
    ----------
    energies
        A prediction (the first point of an array-valued one), or layer -> part -> joules.
    measured
        Layer -> joules, marked on the bars.
    title
        Title, if there is no prediction.

    Raises
    ------
    InputError
        The device states neither energies nor power, or there is nothing to draw.
    """
    subtitle, reason = "energy by layer and part", "the device states neither energies nor power"
    if isinstance(energies, Mapping):
        layers: Amounts = energies
    else:
        subject = PredictionPoint(energies)
        layers, title = row_energy(energies), title or subject.title
        if energies.flat_energy.joule is None:
            layers, reason = {}, energies.energy_model.removeprefix("unknown: ")
        subtitle = f"{subject.subtitle}; {energies.energy_boundary} boundary"
    parts = list(dict.fromkeys(part for row in layers.values() for part in row))
    if not parts:
        message = f"there is no energy to draw: {reason}"
        raise input_error(message, path="energies", expected="energies, or engines.*.busy_power")
    layers = largest(layers, 24, "all others ({})", total_of)
    names, totals = list(layers), [total_of(row) for row in layers.values()]
    order = sorted(parts, key=lambda part: part.startswith(_AT_REST))
    joule = {part: [row.get(part, 0.0) for row in layers.values()] for part in order}
    colors = dict(zip(order, SERIES[:6] * len(order), strict=False))
    colors |= {part: GREY for part in order if part.startswith(_AT_REST)}

    def hover_text(part: str, i: int) -> str:
        value, total = joule[part][i], totals[i]
        share = f"{percent(value, total)} of {show(total, 'energy')}"
        return f"<b>{names[i]}</b><br>{part}: {show(value, 'energy')}, {share}"

    marks = {n: joules for n, joules in (measured or {}).items() if n in layers}
    series: list[Series] = [
        *stacked(names, joule, colors, hover_text, across=False, edge_width=0.5),
        *_measured(marks),
    ]
    total, most = sum(totals), int(np.argmax(totals))
    shares = ", ".join(
        f"{part} {100 * sum(joule[part]) / total if total else 0:.3g} %" for part in parts
    )
    highest = 1.06 * max(*totals, *marks.values(), 1e-15)
    return Chart(
        f"Energy: {title}" if title else "Energy",
        subtitle,
        f"Energy of {title or 'a network'} in {len(names)} bars, {show(total, 'energy')} in all: "
        f"{shares}. {names[most]} takes the most, {show(totals[most], 'energy')}.",
        [
            Panel(
                ChartAxis(names=names, grid=False, angle=-45 if len(names) > 8 else 0),
                ChartAxis("energy", 0.0, highest, "energy"),
                series,
            )
        ],
        stacked=True,
        gap=0.25,
    )


def _measured(marks: Mapping[str, float]) -> list[Points]:
    """Return measured energies as horizontal marks."""
    hover = [f"<b>{name}</b><br>measured: {show(v, 'energy')}" for name, v in marks.items()]
    look: dict[str, Any] = {"symbol": "line-ew", "size": 26, "edge": INK, "edge_width": 3}
    return [Points("measured", list(marks), list(marks.values()), hover, **look)] if marks else []
