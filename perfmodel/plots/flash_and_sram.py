"""What fits where on microcontrollers: flash and SRAM that networks need and parts have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from perfmodel.errors import input_error
from perfmodel.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    PALE,
    VERMILION,
    axis,
    figure,
    percent,
    size,
    ticks,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.prediction.prediction import Prediction

_COLORS = {"weights": BLUE, "code": GREY, "activations": GREEN, "free": PALE}


class Need(NamedTuple):
    """What a network takes of a part's two memories, bytes.

    Attributes
    ----------
    name
        Network, part and library.
    stored
        ``weights``, and ``code`` where the runtime says what its code takes.
    live
        Activations at their peak, and weights where they have no memory of their own.
    flash, sram
        Usable capacities; `flash` is 0 where weights lie in main memory.
    """

    name: str
    stored: dict[str, float]
    live: dict[str, float]
    flash: float
    sram: float

    @property
    def fits(self) -> bool:
        """Whether both memories hold what they must."""
        return sum(self.stored.values()) <= self.flash and sum(self.live.values()) <= self.sram


def needs(prediction: Prediction) -> Need:
    """Return what a prediction's network takes of flash and SRAM; of many points the first."""
    p = prediction.at(0) if prediction.shape else prediction
    machine = p.machine
    weights, live = float(p.weight_bytes), float(p.activation_bytes)
    code = machine.facts.get("runtime.code")
    extra = {"code": float(np.asarray(code))} if code is not None else {}
    places = p.placement
    main = machine.main_memory
    store = next((m for m, place in places.items() if "weights" in place["holds"]), main)
    room = float(places[main]["capacity_bytes"])
    name = f"{p.workload.name}, {machine.device.name}, {machine.runtime.name}"
    if store == main:
        return Need(name, {}, {"weights": weights, "activations": live, **extra}, 0.0, room)
    stored = {"weights": weights, **extra}
    return Need(name, stored, {"activations": live}, float(places[store]["capacity_bytes"]), room)


def flash_and_sram(predictions: Sequence[Prediction]) -> Figure:
    """Draw flash on the left and SRAM on the right, a row a prediction, each against its capacity.

    A pale bar is what is left; what is too much is said, in red.

    Raises
    ------
    InputError
        There is no prediction.
    """
    if not predictions:
        raise input_error("nothing to draw", expected="at least one prediction")
    rows = [needs(p) for p in predictions]
    sides = (("stored", "flash", "x", "y"), ("live", "sram", "x2", "y2"))
    traces: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    highest = [0.0, 0.0]
    labels = [row.name.replace(", ", "<br>", 1) for row in rows]
    for side, (held, capacity, x, y) in enumerate(sides):
        for part in _COLORS:
            values = [_part(row, held, capacity, part) for row in rows]
            if any(values):
                traces.append(_bar(labels, values, part, x, y, rows, capacity))
        for label, row in zip(labels, rows, strict=True):
            used, room = sum(getattr(row, held).values()), float(getattr(row, capacity))
            highest[side] = max(highest[side], used, room)
            notes += _notes(label, used, room, x, y)
    count = len(rows)
    return figure(
        traces, "What fits where", "weights and the library's code in flash, activations at their"
        " peak in SRAM; | is the capacity", _alt(rows),
        barmode="stack", bargap=0.55, height=190 + 78 * count,
        margin={"l": 215, "r": 30, "t": 84, "b": 110}, annotations=notes,
        xaxis=axis("flash", domain=[0, 0.47], anchor="y", range=[0, 1.06 * highest[0] or 1.0],
                   **ticks(1.06 * highest[0], "bytes", 5)),
        xaxis2=axis("SRAM", domain=[0.53, 1], anchor="y2", range=[0, 1.06 * highest[1] or 1.0],
                    **ticks(1.06 * highest[1], "bytes", 5)),
        yaxis=axis("", anchor="x", showgrid=False, autorange="reversed", ticksuffix=" ",
                   categoryorder="array", categoryarray=labels),
        yaxis2=axis("", anchor="x2", showgrid=False, autorange="reversed", showticklabels=False,
                    categoryorder="array", categoryarray=labels),
        legend={"orientation": "h", "x": 0.0, "y": 0.0, "yref": "container", "yanchor": "bottom",
                "font": {"size": 12}},
    )  # fmt: skip


def _part(row: Need, held: str, capacity: str, part: str) -> float:
    parts: dict[str, float] = getattr(row, held)
    if part == "free":
        return max(0.0, float(getattr(row, capacity)) - sum(parts.values()))
    return parts.get(part, 0.0)


def _bar(
    labels: list[str], values: list[float], part: str, x: str, y: str, rows: list[Need],
    capacity: str,
) -> dict[str, Any]:  # fmt: skip
    return {
        "type": "bar", "orientation": "h", "y": labels, "x": values, "name": part,
        "xaxis": x, "yaxis": y, "legendgroup": part,
        "showlegend": x == "x" or part == "activations",
        "marker": {"color": _COLORS[part], "line": {"color": "white", "width": 1}},
        "hoverinfo": "text",
        "hovertext": [
            f"{part}: {size(v)}, {percent(v, float(getattr(row, capacity)))}"
            for v, row in zip(values, rows, strict=True)
        ],
        "meta": {"part": part, "memory": capacity},
    }  # fmt: skip


def _notes(label: str, used: float, room: float, x: str, y: str) -> list[dict[str, Any]]:
    if not room:
        return []
    over = used > room
    text = f"{size(used)} of {size(room)}"
    if over:
        text = f"<b>{size(used - room)} too much</b>: {text}"
    color = VERMILION if over else INK
    at: dict[str, Any] = {"xref": x, "yref": y, "y": label, "showarrow": False}
    return [
        {**at, "x": 0.0, "text": text, "yshift": 24, "xanchor": "left",
         "font": {"size": 12, "color": color}},
        {**at, "x": room, "text": "|", "font": {"size": 22, "color": INK}},
    ]  # fmt: skip


def _alt(rows: list[Need]) -> str:
    said: list[str] = []
    for row in rows:
        word = "fits" if row.fits else "does not fit"
        said.append(
            f"{row.name} {word}: {size(sum(row.stored.values()))} of {size(row.flash)} of flash, "
            f"{size(sum(row.live.values()))} of {size(row.sram)} of SRAM."
        )
    return "What fits where. " + " ".join(said)
