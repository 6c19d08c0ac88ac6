"""Energy of each layer as a stack of its parts: arithmetic, scratchpads, wires, buffer, memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.cost.energy import run_energy
from perfmodel.errors import input_error
from perfmodel.plots.style import GREY, INK, SERIES, axis, figure, percent
from perfmodel.plots.subject import Column, PredictionPoint
from perfmodel.units import show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.prediction.prediction import Prediction

#: Layers that a bar each is drawn for, at most; those with the least energy share the last one.
_MOST = 24
_REST = "all others"
#: Parts that run whether or not anything is computed; drawn last.
_AT_REST = ("static", "idle", "background")


def row_energy(prediction: Prediction) -> dict[str, dict[str, float]]:
    """Return row -> part -> joule of all its executions, of one point.

    The parts are those of `Prediction.energy`; what a run costs beside its rows is in none.
    """
    subject = PredictionPoint(prediction)
    terms, count = subject.terms, subject.columns["count"]
    rows = len(subject.names)

    def column(value: Any) -> Column:
        whole = np.broadcast_to(np.asarray(value, dtype=float), (rows, np.shape(value)[-1]))
        return whole[:, 0] * count

    totals: dict[str, Any] = {"latency_s": subject.columns["total_s"]}
    totals |= {f"operations {name}": column(v) for name, v in terms.operations.items()}
    totals |= {f"traffic {name}": column(v) for name, v in terms.traffic.items()}
    totals |= {f"energy {name}": column(v) for name, v in terms.energy.items()}
    parts = run_energy(totals, subject.setting, terms.priced if terms.energy else ()).parts
    spread = {n: np.broadcast_to(np.asarray(v, dtype=float), (rows,)) for n, v in parts.items()}
    found: dict[str, dict[str, float]] = {}
    for i, name in enumerate(subject.names):
        row = found.setdefault(name, dict.fromkeys(spread, 0.0))
        for part, joule in spread.items():
            row[part] += float(joule[i])
    return found


def energy_stack(
    energies: Prediction | Mapping[str, Mapping[str, float]],
    *,
    measured: Mapping[str, float] | None = None,
    title: str = "",
) -> Figure:
    """Draw a bar a layer, stacked by part, in joule.

    Parameters
    ----------
    energies
        A prediction (of an array-valued one the first point), or layer -> part -> joule.
    measured
        Layer -> joule, marked beside the bars.
    title
        What is drawn, where no prediction says it.

    Raises
    ------
    InputError
        The device states neither energies nor power, or there is nothing to draw.
    """
    subtitle = "energy by layer and part"
    if isinstance(energies, Mapping):
        layers: Mapping[str, Mapping[str, float]] = energies
    else:
        subject = PredictionPoint(energies)
        layers, title = row_energy(energies), title or subject.title
        subtitle = f"{subject.subtitle}; {energies.energy_boundary} boundary"
    parts = list(dict.fromkeys(part for row in layers.values() for part in row))
    if not parts:
        message = "there is no energy to draw: the device states neither energies nor power"
        raise input_error(message, path="energies", expected="energies, or power.busy")
    layers = _largest(layers, parts)
    names = list(layers)
    joule = np.array([[layers[n].get(part, 0.0) for n in names] for part in parts])
    whole = joule.sum(axis=0)
    order = sorted(range(len(parts)), key=lambda k: parts[k].startswith(_AT_REST))
    traces: list[dict[str, Any]] = [
        {
            "type": "bar", "name": parts[k], "x": names, "y": joule[k].tolist(),
            "marker": {"color": _color(parts[k], i), "line": {"color": "white", "width": 0.5}},
            "hovertext": [
                f"<b>{n}</b><br>{parts[k]}: {show(v, 'energy')}, {percent(v, t)} of "
                f"{show(t, 'energy')}"
                for n, v, t in zip(names, joule[k].tolist(), whole.tolist(), strict=True)
            ],
            "hoverinfo": "text",
        }
        for i, k in enumerate(order)
    ]  # fmt: skip
    if measured:
        there = [n for n in names if n in measured]
        traces.append({
            "type": "scatter", "mode": "markers", "name": "measured", "x": there,
            "y": [measured[n] for n in there],
            "marker": {"symbol": "line-ew", "size": 26, "line": {"color": INK, "width": 3}},
            "hovertext": [f"<b>{n}</b><br>measured: {show(measured[n], 'energy')}" for n in there],
            "hoverinfo": "text",
        })  # fmt: skip
    total = float(whole.sum())
    shares = ", ".join(
        f"{part} {100 * float(v) / total if total else 0:.3g} %"
        for part, v in zip(parts, joule.sum(axis=1), strict=True)
    )
    most = int(np.argmax(whole))
    alt = (
        f"Energy of {title or 'a network'} in {len(names)} bars, {show(total, 'energy')} in all: "
        f"{shares}. {names[most]} takes the most, {show(float(whole[most]), 'energy')}."
    )
    return figure(
        traces, f"Energy: {title}" if title else "Energy", subtitle, alt,
        barmode="stack", bargap=0.25,
        xaxis=axis("", type="category", showgrid=False, tickangle=-45 if len(names) > 8 else 0),
        yaxis=axis("energy", rangemode="tozero", tickformat="~s", ticksuffix="J"),
        legend={"traceorder": "reversed", "font": {"size": 12}, "title": {"text": ""}},
        margin={"l": 90, "r": 30, "t": 92, "b": 90},
    )  # fmt: skip


def _color(part: str, place: int) -> str:
    return GREY if part.startswith(_AT_REST) else SERIES[place % 6]


def _largest(
    layers: Mapping[str, Mapping[str, float]], parts: list[str]
) -> Mapping[str, Mapping[str, float]]:
    """Return the layers with the most energy in their order; the others as one."""
    if len(layers) <= _MOST:
        return layers
    ranked = sorted(layers, key=lambda n: -sum(layers[n].values()))
    kept = set(ranked[: _MOST - 1])
    out: dict[str, Mapping[str, float]] = {n: row for n, row in layers.items() if n in kept}
    rest = [row for n, row in layers.items() if n not in kept]
    out[f"{_REST} ({len(rest)})"] = {p: sum(row.get(p, 0.0) for row in rest) for p in parts}
    return out
