"""What the dies and the channel of a flash that computes are busy with, request by request.

Yu et al., "Cambricon-LLM", MICRO 2024, figure 6: pages read for the core on one plane, pages that
are streamed in pieces on the other, both on one channel.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.charts import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, Chart, Picture, percent
from perfmodel.charts.lanes import ActivityBar, lane_panel
from perfmodel.charts.subject import PredictionPoint
from perfmodel.errors import input_error
from perfmodel.kinds.nand.events import simulate
from perfmodel.kinds.nand.geometry import FlashMatrix
from perfmodel.kinds.nand.kind import shares_of
from perfmodel.kinds.nand.timeline import channel_of, geometry
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

_COLORS = {
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
#: What crosses the channel -> its lane: short transfers would drown beside pages.
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
        On an engine of kind ``nand``; of an array-valued one, the first point is drawn.
    row
        Row whose weights are multiplied; by default the one that takes the longest.
    requests
        Read-compute requests to draw.
    dies
        Dies to draw; the others do the same.
    sliced
        Whether streamed pages give way to requests after each piece; else pages in one piece,
        first come, first served.

    Raises
    ------
    InputError
        The engine is of another kind, or no such row multiplies weights in flash.
    """
    subject = PredictionPoint(prediction)
    nand = subject.job.static.kind.name == "nand"
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
        FlashMatrix(*(_number(field, at) for field in nests.matrix)),
        columns=_number(nests.split.tile.columns, at),
        pieces=pieces if sliced else 1,
        requests_first=sliced,
    )
    rounds = _number(nests.split.rounds, at)
    pages = _number(nests.split.streamed, at) / flash.page / flash.channels
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
    # Inputs and partial sums take a fraction of a microsecond.
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
        [lane_panel(bars, labels, _COLORS, words=_WORDS, outlined=short)],
        legend="below",
        gap=0.25,
    )


def _bars(events: Iterable[Any], parts: Collection[str]) -> list[ActivityBar]:
    """Return what crosses the channel, and what the parts do that are drawn."""
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


def _number(values: Any, at: int) -> float:
    array = np.asarray(values, dtype=float)
    return float(array.reshape(len(array), -1)[at, 0]) if array.ndim else float(array)
