"""Memory over the schedule: live activations step by step, and what each memory must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.charts import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    Band,
    Bars,
    Chart,
    ChartAxis,
    Note,
    Panel,
    Picture,
    ReferenceLine,
    bound_colors,
    size,
)
from perfmodel.charts.bars import shares_panel
from perfmodel.charts.subject import Column, PredictionPoint
from perfmodel.cost.capacity import usable
from perfmodel.cost.residency import stored_bytes

if TYPE_CHECKING:
    from perfmodel.cost.setting import Setting
    from perfmodel.prediction.prediction import Prediction

#: What memories hold -> its colour.
PARTS = {
    "weights": BLUE,
    "kv cache": PURPLE,
    "activations": GREEN,
    "code": GREY,
}


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
    need = np.maximum.reduceat(np.add.reduceat(sizes[lives.shorter], lives.sets), lives.pairs)
    graph = job.lowered.graph
    outside = {*graph.inputs, *graph.outputs}
    main = setting.levels[-1]
    for name, (first, last), own, room in zip(
        lives.names, lives.intervals, sizes, need, strict=True
    ):
        level = main if name in outside or setting.bare else _nearest(setting, float(room))
        home[name] = level
        by_level[level][first : last + 1] += own
        for step in range(first, last + 1):
            if own > largest[step][1]:
                largest[step] = (name, float(own))
    return LiveActivations(by_level, largest, home)


def _nearest(setting: Setting, room: float) -> str:
    for level in setting.levels[:-1]:
        if room <= _usable(setting, level):
            return level
    return setting.levels[-1]


def _usable(setting: Setting, level: str) -> float:
    return first_number(usable(setting, level))


@Picture
def memory(prediction: Prediction) -> Chart:
    """Draw live activations over the schedule, and weights, KV cache and peak against capacities.

    A block that repeats is drawn once. Activations are stacked by the memory where they reside.

    Parameters
    ----------
    prediction
        Of an array-valued one, the first point is drawn.
    """
    subject = PredictionPoint(prediction)
    live = live_activations(subject)
    return Chart(
        f"Memory over the schedule: {subject.title}",
        subject.subtitle,
        _alt(subject, live),
        [_steps(subject, live), _places(subject)],
        stacked=True,
        gap=0.35,
    )


def _steps(subject: PredictionPoint, live: LiveActivations) -> Panel:
    total, names, setting = live.total, subject.names, subject.setting
    count, peak = len(total), float(total.max(initial=0.0))
    colors = bound_colors(setting.levels, [])
    hover = [
        f"<b>{name}</b><br>live: {size(float(bytes_))}<br>largest: {tensor}, {size(most)}"
        for name, bytes_, (tensor, most) in zip(names, total, live.largest, strict=True)
    ]
    bands, notes = _repeats(subject)
    if peak > 0:
        step = int(np.argmax(total))
        notes.append(
            Note(
                f"peak {size(peak)} at {names[step]}",
                step + 1,
                peak,
                anchor=f"{'left' if step < count / 2 else 'right'} middle",
                shift=(0, 10),
            )
        )
    rooms = {level: _usable(setting, level) for level in setting.levels[:-1]}
    few = {float(i): str(i) for i in range(1, count + 1)} if count <= 12 else None
    return Panel(
        ChartAxis(
            "step of the schedule (kernels in order, repeated blocks once)",
            0.5,
            count + 0.5,
            ticks=few,
        ),
        ChartAxis("live activations", 0.0, 1.3 * peak or 1.0, "bytes", most=6),
        [
            Bars(
                level,
                list(range(1, count + 1)),
                bytes_,
                [
                    f"{words}<br>in {level}: {size(float(v))}"
                    for words, v in zip(hover, bytes_, strict=True)
                ],
                width=1.0,
                color=colors[level],
                edge_width=0.0,
                group="level",
                heading="activations in",
                meta={"level": level},
            )
            for level, bytes_ in live.by_level.items()
            if np.any(bytes_ > 0)
        ],
        bands=bands,
        limits=[
            ReferenceLine(room, text=f"{level} {size(room)}", color=GREY, width=1)
            for level, room in rooms.items()
            if room < 1.3 * peak
        ],
        notes=notes,
        down=(0.46, 1.0),
    )


def _repeats(subject: PredictionPoint) -> tuple[list[Band], list[Note]]:
    """Return shaded bands, with their counts, for blocks that repeat."""
    rows, count = subject.table.rows, subject.columns["count"]
    keys = [(row.phase, row.block, count[i]) for i, row in enumerate(rows)]
    starts = [i for i, key in enumerate(keys) if not i or key != keys[i - 1]]
    bands: list[Band] = []
    notes: list[Note] = []
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        phase, block, times = keys[start]
        if times <= 1:
            continue
        bands.append(Band(start + 0.5, end + 0.5))
        text = f"×{times:g}"
        if end - start > 0.2 * len(rows):
            text = f"{phase} {block} ".strip() + f" {text}"
        middle = (start + end + 1) / 2
        notes.append(Note(text, middle, 0.995, "x", anchor="auto top", size=11, color=GREY))
    return bands, notes


def _places(subject: PredictionPoint) -> Panel:
    """Return bars of what each memory holds, up to its capacity."""
    p, setting = subject.prediction, subject.setting
    stored = {
        "weights": first_number(stored_bytes(subject.table, setting, "weight")),
        "kv cache": first_number(stored_bytes(subject.table, setting, "kv")),
        "activations": float(p.activation_bytes),
        "code": first_number(setting.fact("runtime.code", 0.0)),
    }
    memories = list(p.placement)
    holds = {name: {*place["holds"]} - {"code"} for name, place in p.placement.items()}
    if setting.weights_memory in holds:
        holds[setting.weights_memory].add("code")
    return shares_panel(
        memories,
        {part: [v * (part in holds[m]) for m in memories] for part, v in stored.items()},
        [float(place["capacity_bytes"]) for place in p.placement.values()],
        PARTS,
        title="held at the peak, share of the capacity (%)",
        group="held",
        heading="held at the peak",
        down=(0.0, 0.1 + 0.08 * len(memories)),
    )


def _alt(subject: PredictionPoint, live: LiveActivations) -> str:
    total = live.total
    parts = [f"Memory of {subject.title} ({subject.subtitle}) over {len(total)} steps."]
    if len(total):
        step = int(np.argmax(total))
        parts.append(
            f"Live activations peak at {size(float(total[step]))} in step {step + 1}, "
            f"{subject.names[step]}."
        )
    parts += [
        f"{name} must hold {size(place['demand_bytes'])} ({', '.join(place['holds'])}) and has "
        f"{size(place['capacity_bytes'])}."
        for name, place in subject.prediction.placement.items()
    ]
    return " ".join(parts)
