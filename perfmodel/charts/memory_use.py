"""Picture of a prediction's memory use: live activations over the schedule, and memory contents.

The upper panel has the bytes of live activations at each step, stacked by the memory where they
reside; the lower one compares the contents of each memory at the peak with its capacity.
"""

from __future__ import annotations

from itertools import groupby

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
from perfmodel.charts.live_activations import LiveActivations, inner_capacities, live_activations
from perfmodel.charts.prediction_point import PredictionPoint
from perfmodel.charts.stacked_bars import shares_panel
from perfmodel.cost.operand_bytes import stored_bytes
from perfmodel.prediction.prediction import Prediction

#: Contents of memories -> colour.
CONTENT_COLORS = {
    "weights": BLUE,
    "kv cache": PURPLE,
    "activations": GREEN,
    "code": GREY,
}


@Picture
def memory(prediction: Prediction) -> Chart:
    """Draw live activations over the schedule, and weights, KV cache and peak against capacities.

    A block that repeats is drawn once. Activations are stacked by the memory where they reside.

    Parameters
    ----------
    prediction
        Prediction; of an array-valued one, the first point is drawn.
    """
    subject = PredictionPoint(prediction)
    live = live_activations(subject)
    return Chart(
        f"Memory over the schedule: {subject.title}",
        subject.subtitle,
        _text_alternative(subject, live),
        [_live_panel(subject, live), _contents_panel(subject)],
        stacked=True,
        gap=0.35,
    )


def _live_panel(subject: PredictionPoint, live: LiveActivations) -> Panel:
    """Return the panel of live activations over the steps, with the peak and the capacities."""
    total, names = live.total, subject.names
    step_count, peak = len(total), float(total.max(initial=0.0))
    top = 1.3 * peak
    bands, notes = _repeated_blocks(subject)
    if peak > 0:
        step = int(np.argmax(total))
        anchor = f"{'left' if step < step_count / 2 else 'right'} middle"
        text = f"peak {size(peak)} at {names[step]}"
        notes.append(Note(text, step + 1, peak, anchor=anchor, shift=(0, 10)))
    ticks = {float(i): str(i) for i in range(1, step_count + 1)} if step_count <= 12 else None
    title = "step of the schedule (kernels in order, repeated blocks once)"
    return Panel(
        ChartAxis(title, 0.5, step_count + 0.5, ticks=ticks),
        ChartAxis("live activations", 0.0, top or 1.0, "bytes", most=6),
        _level_bars(subject, live),
        bands=bands,
        limits=[
            ReferenceLine(capacity, text=f"{level} {size(capacity)}", color=GREY, width=1)
            for level, capacity in inner_capacities(subject.setting).items()
            if capacity < top
        ],
        notes=notes,
        down=(0.46, 1.0),
    )


def _level_bars(subject: PredictionPoint, live: LiveActivations) -> list[Bars]:
    """Return the bars of live activations in each memory, one for each step."""
    colors = bound_colors(subject.setting.levels, [])
    hover = [
        f"<b>{name}</b><br>live: {size(float(live_bytes))}<br>largest: {tensor}, {size(most)}"
        for name, live_bytes, (tensor, most) in zip(
            subject.names, live.total, live.largest, strict=True
        )
    ]
    return [
        Bars(
            level,
            list(range(1, len(hover) + 1)),
            resident,
            [
                f"{text}<br>in {level}: {size(float(step_bytes))}"
                for text, step_bytes in zip(hover, resident, strict=True)
            ],
            width=1.0,
            color=colors[level],
            edge_width=0.0,
            group="level",
            heading="activations in",
            meta={"level": level},
        )
        for level, resident in live.by_level.items()
        if np.any(resident > 0)
    ]


def _repeated_blocks(subject: PredictionPoint) -> tuple[list[Band], list[Note]]:
    """Return shaded bands with repetition counts for repeated blocks."""
    rows = subject.table.rows
    counted = zip(rows, subject.columns["count"], strict=True)
    bands: list[Band] = []
    notes: list[Note] = []
    end = 0
    for (phase, block, times), steps in groupby((row.phase, row.block, n) for row, n in counted):
        start, end = end, end + len(list(steps))
        if times > 1:
            bands.append(Band(start + 0.5, end + 0.5))
            text = f"×{times:g}"
            if end - start > 0.2 * len(rows):
                text = f"{phase} {block} ".strip() + f" {text}"
            middle = (start + end + 1) / 2
            notes.append(Note(text, middle, 0.995, "x", anchor="auto top", size=11, color=GREY))
    return bands, notes


def _contents_panel(subject: PredictionPoint) -> Panel:
    """Return bars of the contents of each memory, relative to its capacity."""
    prediction, setting = subject.prediction, subject.setting
    content_bytes = {
        "weights": first_number(stored_bytes(subject.table, setting, "weight")),
        "kv cache": first_number(stored_bytes(subject.table, setting, "kv")),
        "activations": float(prediction.activation_bytes),
        "code": first_number(setting.fact("runtime.code", 0.0)),
    }
    memories = list(prediction.placement)
    # Code resides with the weights only, also where a placement names it for other memories.
    contents = {name: {*place["holds"]} - {"code"} for name, place in prediction.placement.items()}
    if setting.weights_memory in contents:
        contents[setting.weights_memory].add("code")
    return shares_panel(
        memories,
        {
            content: [amount * (content in contents[name]) for name in memories]
            for content, amount in content_bytes.items()
        },
        [float(place["capacity_bytes"]) for place in prediction.placement.values()],
        CONTENT_COLORS,
        title="held at the peak, share of the capacity (%)",
        group="held",
        heading="held at the peak",
        down=(0.0, 0.1 + 0.08 * len(memories)),
    )


def _text_alternative(subject: PredictionPoint, live: LiveActivations) -> str:
    """Return the picture as text."""
    total = live.total
    sentences = [f"Memory of {subject.title} ({subject.subtitle}) over {len(total)} steps."]
    if len(total):
        step = int(np.argmax(total))
        sentences.append(
            f"Live activations peak at {size(float(total[step]))} in step {step + 1}, "
            f"{subject.names[step]}."
        )
    sentences += [
        f"{name} must hold {size(place['demand_bytes'])} ({', '.join(place['holds'])}) and has "
        f"{size(place['capacity_bytes'])}."
        for name, place in subject.prediction.placement.items()
    ]
    return " ".join(sentences)
