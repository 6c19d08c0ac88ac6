"""Activity of an engine over time: bits of weights, or dies and channel of a flash.

Bit planes: Chen et al., "BitMoD", HPCA 2025, figure 5 (terms of a group, followed by its scale);
Wei et al., "T-MAC", EuroSys 2025, and Qiao et al., "TeLLMe v2", FPGA 2026 (tables, one pass per bit
plane).

Flash: Yu et al., "Cambricon-LLM", MICRO 2024, figure 6: pages read for the core on one plane, pages
streamed in pieces on the other, both on one channel.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from perfmodel.charts import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, Chart, Picture, percent
from perfmodel.charts.activity_lanes import ActivityBar, lane_panel
from perfmodel.charts.prediction_point import PredictionPoint
from perfmodel.errors import input_error
from perfmodel.kinds.nand.events import simulate
from perfmodel.kinds.nand.geometry import FlashMatrix
from perfmodel.kinds.nand.kind import shares_of
from perfmodel.kinds.nand.timeline import channel_of, geometry
from perfmodel.prediction.prediction import Prediction
from perfmodel.units import show

_COLORS = {
    "weights": BLUE,
    "weights and inputs": BLUE,
    "inputs and outputs": SKY,
    "tables": ORANGE,
    "terms": GREEN,
    "look-ups": GREEN,
    "scale": PURPLE,
}


@Picture
def bit_planes(
    prediction: Prediction, *, row: str | None = None, groups: int | None = None
) -> Chart:
    """Draw the first groups of a row: its bit planes, its tables or scales, and memory.

    Parameters
    ----------
    prediction
        Has an engine of kind ``bit_serial`` or ``lookup_table``; of an array-valued one, the first
        point is drawn.
    row
        Row to draw; by default the product with the longest time.
    groups
        Number of groups of weights (three by default) or sets of tables (all of a token, at most
        24).

    Raises
    ------
    InputError
        The engine is of another kind, or no such row has products by bits.
    """
    subject = PredictionPoint(prediction)
    kinds = {"bit_serial": _BitSerial, "lookup_table": _LookUps}
    kind = subject.job.model.kind.name
    if kind not in kinds:
        raise input_error(
            "no weights are taken bit by bit",
            "prediction",
            expected=f"a prediction on an engine of kind {' or '.join(kinds)}",
        )
    rows = np.flatnonzero(subject.columns["cycles"] > 0)
    seconds = subject.columns["total_s"][rows]
    lacks = "has products by bits"
    planes = kinds[kind](
        subject, int(rows[subject.pick(rows, seconds, row, path="row", lacks=lacks)])
    )
    text = planes.run(groups)
    bars, names, device = planes.bars, planes.lanes, subject.prediction.machine.device.name
    end = show(max(bar.end_s for bar in bars), "time")
    return Chart(
        f"Bit planes: {planes.name} of {subject.prediction.workload.name}",
        f"{device}; {text}",
        f"Timeline of {planes.name} on {device}, {end} of {planes.row_time}: {len(bars)} bars on "
        f"{len(names)} lines, {', '.join(names)}. {text}.",
        # Tables may last only a few clocks.
        [lane_panel(bars, {name: name for name in names}, _COLORS, outlined=("tables",))],
        legend="below",
        margin={"l": 150, "b": 110},
        gap=0.25,
    )


class _Planes:
    """Bars of one row, and their lanes."""

    def __init__(self, subject: PredictionPoint, at: int) -> None:
        self.subject, self.at = subject, at
        self.name = subject.names[at]
        self.bars: list[ActivityBar] = []
        self.level = subject.levels[-1]
        self.lanes = [self.level]
        self.memory_s = self.number(f"{self.level}_s")
        self.row_time = show(self.number("row_s"), "time")
        self.clock = 1.0 / self.fact("clock")

    def number(self, column: str) -> float:
        """Return the number of the drawn row in a column."""
        return float(np.asarray(self.subject.columns[column], dtype=float)[self.at])

    def fact(self, name: str) -> float:
        """Return a fact of the engine."""
        machine = self.subject.prediction.machine
        return float(machine[f"engines.{machine.engine}.{name}"])

    def add(self, lane: str, kind: str, start: float, seconds: float) -> None:
        """Add a bar to a lane."""
        if lane not in self.lanes:
            self.lanes.append(lane)
        self.bars.append(ActivityBar(lane, kind, start, start + seconds, kind))


class _BitSerial(_Planes):
    """Terms of each step of the first groups, scales after them, and memory time.

    All steps have the mean number of terms; where memory is slower, the array waits after each
    group for its share of the bytes.
    """

    def run(self, groups: int | None) -> str:
        count, terms = groups or 3, max(self.number("terms"), 1.0)
        busy_s = self.number("matrix_s")
        steps = max(round(self.fact("group") / self.fact("lanes")), 1)
        slower = max(self.memory_s / busy_s, 1.0)
        dequantise = self.fact("dequantise") * self.clock
        each = max(terms * self.clock, dequantise / steps)
        end = count * steps * each * slower
        share = min(self.memory_s / (busy_s * slower), 1.0)
        self.add(self.level, "weights and inputs", 0.0, end * share)
        for g in range(count):
            start = g * steps * each * slower
            for s in range(steps):
                for t in range(int(np.ceil(terms - 1e-9))):
                    width = min(1.0, terms - t) * self.clock
                    self.add(f"term {t + 1}", "terms", start + s * each + t * self.clock, width)
            if dequantise:
                self.add("scale", "scale", start + steps * each, dequantise)
        busy = percent(min(busy_s / self.memory_s, 1.0), 1.0)
        memory = percent(min(self.memory_s / busy_s, 1.0), 1.0)
        return (
            f"first {count} groups of {self.fact('group'):g} weights of {terms:g} terms; array "
            f"busy {busy}, {self.level} {memory} of the row"
        )


class _LookUps(_Planes):
    """Load of weights, then sets of tables: each built during the previous one, read by planes."""

    def run(self, groups: int | None) -> str:
        planes = round(max(self.number("passes"), 1.0))
        wide = self.fact("group") * self.fact("tables")
        built = self.number("tables_built") / self.fact("tables")
        weights_s, look_s = self.number("weights_s"), self.number("look_up_s")
        build = self.fact("build") * self.clock
        sets = max(int(np.ceil(built - 1e-9)), 1)
        count = min(sets, groups or 24)
        each = look_s / sets / planes
        self.add(self.level, "weights", 0.0, weights_s)
        if self.memory_s > weights_s:
            self.add(self.level, "inputs and outputs", weights_s, self.memory_s - weights_s)
        waits = weights_s if self.subject.terms.cold is not None else 0.0
        first = max(waits, build)
        for s in range(count):
            start = first + s * planes * each
            if build:
                before = first - build if s == 0 else start - planes * each
                self.add("tables", "tables", before, build)
            for plane in range(planes):
                lane = f"plane {plane}" if planes > 1 else "look-ups"
                self.add(lane, "look-ups", start + plane * each, each)
        passes = f"{planes} {'pass' if planes == 1 else 'passes'} each"
        return (
            f"{count} of {sets} sets of tables of {wide:g} activations, {passes}; weights "
            f"{show(weights_s, 'time')}, look-ups {show(look_s, 'time')} of {self.row_time}"
        )


_REQUEST_COLORS = {
    "inputs": BLUE,
    "results": SKY,
    "piece": ORANGE,
    "read for the core": VERMILION,
    "read to stream": PURPLE,
    "multiply": GREEN,
}
_WORDS = {
    "inputs": "inputs to all dies",
    "results": "partial sums of a die",
    "piece": "piece of a streamed page",
    "read for the core": "page read for the core",
    "read to stream": "page read to be streamed",
    "multiply": "page multiplied",
}
#: Transfer on the channel -> lane: short ones would be invisible next to pages.
_LANES = {
    "inputs": "channel: inputs",
    "results": "channel: partial sums",
    "piece": "channel: pages",
}


@Picture
def flash_timeline(
    prediction: Prediction,
    *,
    row: str | None = None,
    requests: int = 5,
    dies: int = 2,
    sliced: bool = True,
) -> Chart:
    """Draw one channel over a few read-compute requests.

    Parameters
    ----------
    prediction
        Has an engine of kind ``nand``; of an array-valued one, the first point is drawn.
    row
        Row whose weights are multiplied; by default the one with the longest time.
    requests
        Read-compute requests to draw.
    dies
        Dies to draw; all others are identical.
    sliced
        Whether streamed pages yield to requests after each piece; otherwise pages are sent whole,
        in order of arrival.

    Raises
    ------
    InputError
        The engine is of another kind, or no such row multiplies weights in flash.
    """
    subject = PredictionPoint(prediction)
    nand = subject.job.model.kind.name == "nand"
    nests = shares_of(subject.table, subject.setting) if nand else None
    if nests is None:
        expected = "a prediction on an engine of kind nand"
        raise input_error("no weights are multiplied in flash", "prediction", expected=expected)
    seconds = subject.columns["total_s"][np.asarray(nests.row)]
    lacks = "multiplies weights in flash"
    at = subject.pick(nests.row, seconds, row, path="row", lacks=lacks)
    machine = subject.prediction.machine
    flash, device = geometry(machine), machine.device.name
    if flash.planes <= flash.cores or flash.cores > 1:
        raise input_error(
            f"{device} has {flash.cores:g} cores on {flash.planes:g} planes a die",
            "prediction",
            expected="one core a die, and a plane beside it to stream from",
        )
    pieces = round(flash.page / flash.piece) if flash.piece else 16
    channel = channel_of(
        flash,
        FlashMatrix(*(_number_of_row(field, at) for field in nests.matrix)),
        columns=_number_of_row(nests.split.tile.columns, at),
        pieces=pieces if sliced else 1,
        requests_first=sliced,
    )
    rounds = _number_of_row(nests.split.rounds, at)
    pages = _number_of_row(nests.split.streamed, at) / flash.page / flash.channels
    requests = min(requests, int(rounds)) if rounds >= 1 else 0
    pages *= requests / rounds if requests else 1.0
    run = simulate(channel, requests, max(round(pages), 0 if requests else 1), record=True)
    parts = list(_LANES.values())
    for die in range(min(dies, channel.dies)):
        parts += [f"die {die} plane 0", f"die {die} core", f"die {die} plane 1"]
    bars = _bars(run.events, parts)
    name = subject.names[int(nests.row[at])]
    busy = percent(run.channel_busy, run.seconds)
    how = "read requests in pieces" if sliced else "whole pages, first come, first served"
    # Inputs and partial sums last a fraction of a microsecond.
    short = ("inputs", "results")
    labels = {part: part for part in parts}
    return Chart(
        f"Flash timeline: {name} of {subject.prediction.workload.name}",
        f"one of {flash.channels:g} channels with {channel.dies} dies of {device}; {how}; channel "
        f"busy {busy}",
        f"Timeline of one channel and its {channel.dies} dies of {device} over {requests} "
        f"read-compute requests of {name}, {show(run.seconds, 'time')}: {len(bars)} bars of "
        "inputs, partial sums and pieces, which share the one channel, of pages read on two planes "
        f"a die, and of pages multiplied by its core. The channel is busy {busy} of the time.",
        [lane_panel(bars, labels, _REQUEST_COLORS, hover_text=_WORDS, outlined=short)],
        legend="below",
        gap=0.25,
    )


def _bars(events: Iterable[Any], parts: Collection[str]) -> list[ActivityBar]:
    """Return the transfers on the channel, and the activity of the parts that are drawn."""
    return [
        ActivityBar(
            _LANES.get(event.what) or event.part,
            f"{_WORDS[event.what]}, number {event.number + 1}",
            event.start,
            event.end,
            event.what,
        )
        for event in events
        if event.what in _LANES or event.part in parts
    ]


def _number_of_row(values: Any, at: int) -> float:
    """Return the number of a row in a column of any shape."""
    array = np.asarray(values, dtype=float)
    return float(array.reshape(len(array), -1)[at, 0]) if array.ndim else float(array)
