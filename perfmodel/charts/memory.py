"""Memory over the schedule: live activations per step, and the demand on each memory.

For microcontrollers, demand and capacity of flash and SRAM; for an FPGA, the resources of a design,
one bar per resource, stacked by layer.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.charts import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    SERIES,
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
from perfmodel.charts.bars import Amounts, largest, shares_panel
from perfmodel.charts.subject import Column, PredictionPoint
from perfmodel.cost.capacity import usable
from perfmodel.cost.residency import residency_needs, stored_bytes
from perfmodel.cost.setting import Setting
from perfmodel.errors import input_error
from perfmodel.prediction.prediction import Prediction

#: Contents of memories -> colour.
PARTS = {
    "weights": BLUE,
    "kv cache": PURPLE,
    "activations": GREEN,
    "code": GREY,
}


class LiveActivations(NamedTuple):
    """Live activations per step.

    Attributes
    ----------
    by_level
        Memory -> bytes resident in it at each step, shape ``(steps,)``.
    largest
        Largest tensor at each step, and its bytes.
    home
        Tensor -> memory where it resides.
    """

    by_level: dict[str, Column]
    largest: list[tuple[str, float]]
    home: dict[str, str]

    @property
    def total(self) -> Column:
        """Bytes live at each step."""
        return np.sum(list(self.by_level.values()), axis=0)


def live_activations(subject: PredictionPoint) -> LiveActivations:
    """Return the live activations at each step of the order, by the memory where they reside.

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
    needs = residency_needs(lives, sizes[:, None])[:, 0]
    graph = job.lowered.graph
    outside = {*graph.inputs, *graph.outputs}
    main, rooms = setting.levels[-1], _rooms(setting)
    for name, (first, last), own, room in zip(
        lives.names, lives.intervals, sizes, needs, strict=True
    ):
        inner = () if name in outside or setting.bare else rooms.items()
        level = next((level for level, holds in inner if room <= holds), main)
        home[name] = level
        by_level[level][first : last + 1] += own
        for step in range(first, last + 1):
            if own > largest[step][1]:
                largest[step] = (name, float(own))
    return LiveActivations(by_level, largest, home)


def _rooms(setting: Setting) -> dict[str, float]:
    """Return the usable capacity of each memory except main memory."""
    return {level: first_number(usable(setting, level)) for level in setting.levels[:-1]}


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
        _alt(subject, live),
        [_steps(subject, live), _places(subject)],
        stacked=True,
        gap=0.35,
    )


def _steps(subject: PredictionPoint, live: LiveActivations) -> Panel:
    total, names = live.total, subject.names
    count, peak = len(total), float(total.max(initial=0.0))
    colors = bound_colors(subject.setting.levels, [])
    hover = [
        f"<b>{name}</b><br>live: {size(float(bytes_))}<br>largest: {tensor}, {size(most)}"
        for name, bytes_, (tensor, most) in zip(names, total, live.largest, strict=True)
    ]
    bands, notes = _repeats(subject)
    if peak > 0:
        step = int(np.argmax(total))
        anchor = f"{'left' if step < count / 2 else 'right'} middle"
        text = f"peak {size(peak)} at {names[step]}"
        notes.append(Note(text, step + 1, peak, anchor=anchor, shift=(0, 10)))
    steps = range(1, count + 1)
    few = {float(i): str(i) for i in steps} if count <= 12 else None
    title = "step of the schedule (kernels in order, repeated blocks once)"
    return Panel(
        ChartAxis(title, 0.5, count + 0.5, ticks=few),
        ChartAxis("live activations", 0.0, 1.3 * peak or 1.0, "bytes", most=6),
        [
            Bars(
                level,
                list(steps),
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
            for level, room in _rooms(subject.setting).items()
            if room < 1.3 * peak
        ],
        notes=notes,
        down=(0.46, 1.0),
    )


def _repeats(subject: PredictionPoint) -> tuple[list[Band], list[Note]]:
    """Return shaded bands with repetition counts for repeated blocks."""
    rows = subject.table.rows
    keys = zip(rows, subject.columns["count"], strict=True)
    bands: list[Band] = []
    notes: list[Note] = []
    end = 0
    for (phase, block, times), same in groupby((row.phase, row.block, n) for row, n in keys):
        start, end = end, end + len(list(same))
        if times > 1:
            bands.append(Band(start + 0.5, end + 0.5))
            text = f"×{times:g}"
            if end - start > 0.2 * len(rows):
                text = f"{phase} {block} ".strip() + f" {text}"
            middle = (start + end + 1) / 2
            notes.append(Note(text, middle, 0.995, "x", anchor="auto top", size=11, color=GREY))
    return bands, notes


def _places(subject: PredictionPoint) -> Panel:
    """Return bars of the contents of each memory, relative to its capacity."""
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


class Need(NamedTuple):
    """Demand of a network on the two memories of a microcontroller.

    Attributes
    ----------
    name
        Network, part and library.
    stored
        ``weights``, and ``code`` if the runtime states its size.
    live
        Peak of activations, and weights if they have no separate memory.
    flash, sram
        Usable capacities; `flash` is 0 if weights are in main memory.
    """

    name: str
    stored: dict[str, float]
    live: dict[str, float]
    flash: float
    sram: float

    @property
    def fits(self) -> bool:
        """Whether both memories hold their contents."""
        return sum(self.stored.values()) <= self.flash and sum(self.live.values()) <= self.sram


def needs(prediction: Prediction) -> Need:
    """Return a prediction's demand on flash and SRAM; of many points the first."""
    p = prediction.at(0) if prediction.shape else prediction
    machine, places = p.machine, p.placement
    stored, live = {"weights": float(p.weight_bytes)}, {"activations": float(p.activation_bytes)}
    code = machine.facts.get("runtime.code")
    if code is not None:
        stored["code"] = float(np.asarray(code))
    main = machine.main_memory
    store = next((m for m, place in places.items() if "weights" in place["holds"]), main)
    room, flash = (float(places[memory]["capacity_bytes"]) for memory in (main, store))
    name = f"{p.workload.name}, {machine.device.name}, {machine.runtime.name}"
    if store == main:
        return Need(name, {}, stored | live, 0.0, room)
    return Need(name, stored, live, flash, room)


@Picture
def flash_and_sram(*predictions: Prediction) -> Chart:
    """Draw flash above and SRAM below, a row for each prediction.

    The line marks the capacity; an excess is written next to it in red.

    Parameters
    ----------
    *predictions
        Predictions, one per row.

    Raises
    ------
    InputError
        There is no prediction.
    """
    if not predictions:
        raise input_error("nothing to draw", expected="at least one prediction")
    rows = [needs(p) for p in predictions]
    texts = [
        f"{row.name} {'fits' if row.fits else 'does not fit'}: {size(sum(row.stored.values()))} of "
        f"{size(row.flash)} of flash, {size(sum(row.live.values()))} of {size(row.sram)} of SRAM."
        for row in rows
    ]
    return Chart(
        "What fits where",
        "weights and the library's code in flash, activations at their peak in SRAM",
        f"What fits where. {' '.join(texts)}",
        [
            shares_panel(
                [row.name.replace(", ", "<br>", 1) for row in rows],
                {part: [getattr(row, parts).get(part, 0.0) for row in rows] for part in PARTS},
                [getattr(row, memory.lower()) for row in rows],
                PARTS,
                title=f"share of {memory} (%)",
                meta={"memory": memory.lower()},
                down=down,
            )
            for memory, parts, down in (
                ("flash", "stored", (0.6, 1.0)),
                ("SRAM", "live", (0.0, 0.4)),
            )
        ],
        legend="below",
        height=300 + 110 * len(rows),
        stacked=True,
        gap=0.55,
    )


_BESIDE = "beside layers"
#: Names of resources on the axis.
_RESOURCES = {
    "lut": "look-up tables",
    "ff": "flip-flops",
    "dsp": "DSP slices",
    "bram": "18 Kb blocks",
    "uram": "UltraRAM",
}


@Picture
def resources(prediction: Prediction) -> Chart:
    """Draw the share of each FPGA resource that a design uses, by layer.

    Parameters
    ----------
    prediction
        Prediction; of an array-valued one, the first point is drawn.

    Raises
    ------
    InputError
        The engine has no such resources.
    """
    subject = PredictionPoint(prediction)
    one = subject.prediction
    taken = {n: p for n, p in one.resources.items() if p["available"] or p["used"]}
    if not taken:
        raise input_error(
            f"{one.device} has no resources to draw", expected="an engine of kind fpga"
        )
    scarce = max(taken, key=lambda name: float(taken[name]["share"]))
    nouns = {n: _RESOURCES.get(n, n) for n in taken}
    labels = [f"{noun}{' (scarcest)' if n == scarce else ''}" for n, noun in nouns.items()]
    layers = _by_layer(subject, {n: float(p["used"]) for n, p in taken.items()}, scarce)
    colors = dict(zip(layers, SERIES, strict=False)) | {"other layers": GREY, _BESIDE: "#C8C8C8"}
    amounts = {layer: [row[n] for n in taken] for layer, row in layers.items()}
    rooms = [float(p["available"]) for p in taken.values()]
    texts = [
        f"{p['used']:.0f} of {p['available']:.0f} {nouns[n]} ({100.0 * p['share']:.3g} %)"
        for n, p in taken.items()
    ]
    fits = "fits" if one.feasible else f"does not fit: {scarce.upper()} is short"
    return Chart(
        f"Resources: {subject.title}",
        f"{subject.subtitle}; {fits}",
        f"Resources of {subject.title} ({subject.subtitle}): {', '.join(texts)}. "
        f"Scarcest: {nouns[scarce]}; it {fits}.",
        [
            shares_panel(
                labels, amounts, rooms, colors, "{:.0f}".format, title="share of the part (%)"
            )
        ],
        legend="below",
        stacked=True,
        gap=0.3,
    )


def _by_layer(subject: PredictionPoint, used: dict[str, float], scarce: str) -> Amounts:
    """Return layer -> resource -> amount; the amounts add up to those of the design."""
    columns: dict[str, Any] = subject.columns
    count = np.asarray(columns["count"], dtype=float)
    amounts = {n: np.asarray(columns.get(n, 0.0), dtype=float) * count for n in used}
    rows = {
        name: {n: float(amounts[n][i]) for n in used}
        for i, name in enumerate(subject.names)
        if any(amounts[n][i] > 0 for n in used)
    }
    layers = largest(rows, 7, "other layers", lambda row: row[scarce])
    beside = {n: max(used[n] - float(amounts[n].sum()), 0.0) for n in used}
    if any(amount > 1e-6 * max(used[n], 1.0) for n, amount in beside.items()):
        layers[_BESIDE] = beside
    return layers
