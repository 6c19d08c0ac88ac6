"""Memory over the schedule: live activations step by step, and what each memory must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import first_number
from perfmodel.cost.capacity import usable
from perfmodel.cost.residency import stored_bytes
from perfmodel.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    PALE,
    PURPLE,
    VERMILION,
    axis,
    bound_colors,
    figure,
    percent,
    size,
    ticks,
)
from perfmodel.plots.subject import PredictionPoint

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.cost.setting import Setting
    from perfmodel.prediction.prediction import Prediction

Column = npt.NDArray[np.float64]


class LiveActivations(NamedTuple):
    """Live activations.

    Attributes
    ----------
    by_level
        Memory -> bytes that live in it at each step, shape ``(steps,)``.
    largest
        The tensor that takes most room at each step, and its bytes.
    home
        Tensor -> the memory where it resides.
    """

    by_level: dict[str, Column]
    largest: list[tuple[str, float]]
    home: dict[str, str]

    @property
    def total(self) -> Column:
        """Bytes live at each step."""
        return np.sum(list(self.by_level.values()), axis=0)


def live_activations(subject: PredictionPoint) -> LiveActivations:
    """Return what is live at each step of the given order, by the memory where it resides.

    The rule is that of `perfmodel.cost.residency`: an activation resides in the nearest memory that
    holds it together with every activation whose lifetime is no longer; a network's inputs and
    outputs, and everything of a bare roofline, in main memory.
    """
    job, setting = subject.job, subject.setting
    table = job.lowered.bind(job.workload.parameters, 1, accesses=True, relaxed=job.relaxed)
    assert table.accesses is not None
    lives = table.accesses.lifetimes
    steps = len(table.rows)
    by_level = {level: np.zeros(steps) for level in setting.levels}
    largest: list[tuple[str, float]] = [("", 0.0)] * steps
    home: dict[str, str] = {}
    if not lives.names:
        return LiveActivations(by_level, largest, home)
    bits = np.array([float(np.asarray(setting.precision.bits(slot))) for slot in lives.slots])
    sizes = np.asarray(table.accesses.sizes, dtype=float)[:, 0] * bits / 8.0
    need = np.maximum.reduceat(
        np.add.reduceat(sizes[lives.shorter], lives.sets), lives.pairs
    )  # fmt: skip
    graph = job.lowered.graph
    outside = {*graph.inputs, *graph.outputs}
    main = setting.levels[-1]
    for name, (first, last), held, room in zip(
        lives.names, lives.intervals, sizes, need, strict=True
    ):
        level = main if name in outside or setting.bare else _nearest(setting, float(room))
        home[name] = level
        by_level[level][first : last + 1] += held
        for step in range(first, last + 1):
            if held > largest[step][1]:
                largest[step] = (name, float(held))
    return LiveActivations(by_level, largest, home)


def _nearest(setting: Setting, room: float) -> str:
    for level in setting.levels[:-1]:
        if room <= _usable(setting, level):
            return level
    return setting.levels[-1]


def _usable(setting: Setting, level: str) -> float:
    return first_number(usable(setting, level))


def memory(prediction: Prediction) -> Figure:
    """Draw live activations over the schedule, and weights, KV cache and peak against capacities.

    A block that repeats is drawn once. Activations are stacked by the memory where they reside.

    Parameters
    ----------
    prediction
        Of an array-valued one, the first point is drawn.
    """
    subject = PredictionPoint(prediction)
    live = live_activations(subject)
    traces, shapes, notes = _steps(subject, live)
    bars, bar_notes, highest = _bars(subject)
    peak = float(live.total.max(initial=0.0))
    for level in subject.setting.levels[:-1]:
        room = _usable(subject.setting, level)
        if room < 1.3 * peak:
            shapes.append(
                {"type": "line", "x0": 0, "x1": 1, "xref": "x domain", "y0": room, "y1": room,
                 "line": {"color": GREY, "width": 1, "dash": "dash"},
                 "label": {"text": f"{level} {size(room)}", "textposition": "end",
                           "font": {"size": 11, "color": GREY}, "padding": 2}}
            )  # fmt: skip
    return figure(
        [*traces, *bars], f"Memory over the schedule: {subject.title}", subject.subtitle,
        _alt(subject, live),
        barmode="stack", bargap=0.35, shapes=shapes, annotations=[*notes, *bar_notes],
        margin={"l": 80, "r": 150, "t": 80, "b": 60},
        xaxis=axis("step of the schedule (kernels in order, repeated blocks once)",
                   domain=[0, 1], anchor="y", range=[0.5, len(live.total) + 0.5],
                   automargin=False, **_step_ticks(len(live.total))),
        yaxis=axis("live activations", domain=[0.46, 1], anchor="x", range=[0, 1.3 * peak or 1],
                   **ticks(1.3 * peak, "bytes", 6)),
        xaxis2=axis("held at the peak", domain=[0, 1], anchor="y2", range=[0, 1.05 * highest],
                    **ticks(1.05 * highest, "bytes", 7)),
        yaxis2=axis("", domain=[0, 0.1 + 0.08 * len(subject.prediction.placement)],
                    anchor="x2", showgrid=False, autorange="reversed", ticksuffix=" "),
        legend={"x": 1.02, "y": 1.0, "traceorder": "grouped", "tracegroupgap": 14,
                "font": {"size": 12}},
    )  # fmt: skip


def _step_ticks(steps: int) -> dict[str, Any]:
    if steps <= 12:
        return {"tickmode": "linear", "tick0": 1, "dtick": 1}
    return {"tickmode": "auto", "nticks": 12}


def _steps(
    subject: PredictionPoint, live: LiveActivations
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    total = live.total
    names = subject.names
    colors = bound_colors(subject.setting.levels, [])
    traces: list[dict[str, Any]] = []
    hover = [
        f"<b>{names[i]}</b><br>live: {size(float(total[i]))}<br>largest: "
        f"{live.largest[i][0]}, {size(live.largest[i][1])}"
        for i in range(len(total))
    ]
    for level, held in live.by_level.items():
        if not np.any(held > 0):
            continue
        traces.append(
            {"type": "bar", "x": list(range(1, len(held) + 1)), "y": held.tolist(), "width": 1.0,
             "name": level, "legendgroup": "level",
             "legendgrouptitle": {"text": "activations in", "font": {"size": 12}},
             "marker": {"color": colors[level], "line": {"width": 0}},
             "hoverinfo": "text",
             "hovertext": [f"{h}<br>in {level}: {size(float(v))}"
                           for h, v in zip(hover, held, strict=True)],
             "meta": {"level": level}}
        )  # fmt: skip
    shapes, notes = _bands(subject)
    step = int(np.argmax(total)) if len(total) else 0
    if len(total) and total[step] > 0:
        left = step < len(total) / 2
        notes.append(
            {"x": step + 1, "y": float(total[step]), "text": f"peak {size(float(total[step]))}"
             f" at {names[step]}", "showarrow": False, "yshift": 10, "yanchor": "middle",
             "xanchor": "left" if left else "right", "font": {"size": 12}}
        )  # fmt: skip
    return traces, shapes, notes


def _bands(subject: PredictionPoint) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return shaded bands, with their counts, for blocks that repeat."""
    rows, count = subject.table.rows, subject.columns["count"]
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    start = 0
    for i in range(1, len(rows) + 1):
        same = i < len(rows) and (rows[i].block, rows[i].phase, count[i]) == (
            rows[start].block, rows[start].phase, count[start]
        )  # fmt: skip
        if same:
            continue
        if count[start] > 1:
            shapes.append(
                {"type": "rect", "x0": start + 0.5, "x1": i + 0.5, "y0": 0, "y1": 1,
                 "xref": "x", "yref": "y domain", "fillcolor": "#F3F3F3", "line": {"width": 0},
                 "layer": "below"}
            )  # fmt: skip
            wide = (i - start) / len(rows)
            text = f"×{count[start]:g}"
            if wide > 0.2:
                text = f"{rows[start].phase} {rows[start].block} ".strip() + f" {text}"
            notes.append(
                {"x": (start + i + 1) / 2, "y": 0.995, "xref": "x", "yref": "y domain",
                 "text": text, "showarrow": False, "yanchor": "top",
                 "font": {"size": 11, "color": GREY}}
            )  # fmt: skip
        start = i
    return shapes, notes


def _bars(subject: PredictionPoint) -> tuple[list[dict[str, Any]], list[dict[str, Any]], float]:
    """Return bars of what each memory holds, the room left, and marks at the capacities."""
    p, setting = subject.prediction, subject.setting
    stored = {
        "weights": first_number(stored_bytes(subject.table, setting, "weight")),
        "kv cache": first_number(stored_bytes(subject.table, setting, "kv")),
        "activations": float(p.activation_bytes),
        "code": first_number(setting.fact("runtime.code", 0.0)),
    }
    colors = {"weights": BLUE, "kv cache": PURPLE, "activations": GREEN, "code": GREY}
    places = p.placement
    memories = list(places)
    traces: list[dict[str, Any]] = []
    for part, held in stored.items():
        x = [
            held if (m == setting.weights_memory if part == "code" else part in places[m]["holds"])
            else 0.0 for m in memories
        ]  # fmt: skip
        if any(x):
            traces.append(_bar(memories, x, part, colors[part], [
                f"{part}: {size(v)}, {percent(v, places[m]['capacity_bytes'])} of "
                f"{size(places[m]['capacity_bytes'])} in {m}"
                for m, v in zip(memories, x, strict=True)
            ]))  # fmt: skip
    free = [max(0.0, places[m]["capacity_bytes"] - places[m]["demand_bytes"]) for m in memories]
    lacking = [max(0.0, places[m]["demand_bytes"] - places[m]["capacity_bytes"]) for m in memories]
    if any(free):
        traces.append(_bar(memories, free, "free", PALE, [f"free: {size(v)}" for v in free]))
    notes: list[dict[str, Any]] = []
    for m, over in zip(memories, lacking, strict=True):
        need, capacity = places[m]["demand_bytes"], places[m]["capacity_bytes"]
        text = f"{size(need)} of {size(capacity)}"
        if over:
            text += f"<br><b>{size(over)} too much</b>"
        notes.append(
            {"x": 1.02, "y": m, "xref": "paper", "yref": "y2", "text": text, "showarrow": False,
             "xanchor": "left", "yanchor": "middle", "align": "left",
             "font": {"size": 12, "color": VERMILION if over else INK}}
        )  # fmt: skip
        notes.append(
            {"x": capacity, "y": m, "xref": "x2", "yref": "y2", "text": "|", "showarrow": False,
             "font": {"size": 22, "color": INK}, "xanchor": "center", "yanchor": "middle",
             "hovertext": f"usable capacity of {m}: {size(capacity)}"}
        )  # fmt: skip
    highest = max(max(places[m]["demand_bytes"], places[m]["capacity_bytes"]) for m in memories)
    return traces, notes, highest


def _bar(
    memories: list[str], x: list[float], name: str, color: str, hover: list[str]
) -> dict[str, Any]:
    return {
        "type": "bar", "orientation": "h", "y": memories, "x": x, "name": name,
        "xaxis": "x2", "yaxis": "y2", "legendgroup": "held",
        "legendgrouptitle": {"text": "held at the peak", "font": {"size": 12}},
        "marker": {"color": color, "line": {"color": "white", "width": 1}},
        "hoverinfo": "text", "hovertext": hover, "meta": {"part": name},
    }  # fmt: skip


def _alt(subject: PredictionPoint, live: LiveActivations) -> str:
    p, total = subject.prediction, live.total
    parts = [f"Memory of {subject.title} ({subject.subtitle}) over {len(total)} steps."]
    if len(total):
        step = int(np.argmax(total))
        parts.append(
            f"Live activations peak at {size(float(total[step]))} in step {step + 1}, "
            f"{subject.names[step]}."
        )
    for name, place in p.placement.items():
        parts.append(
            f"{name} must hold {size(place['demand_bytes'])} "
            f"({', '.join(place['holds'])}) and has {size(place['capacity_bytes'])}."
        )
    return " ".join(parts)
