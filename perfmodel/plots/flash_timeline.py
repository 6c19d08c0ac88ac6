"""What the dies and the channel of a flash that computes are busy with, request by request.

Yu et al., "Cambricon-LLM", MICRO 2024, figure 6: pages read for the core on one plane, pages that
are streamed in pieces on the other, both on one channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.errors import input_error, nearest, one_of
from perfmodel.kinds.nand.events import simulate
from perfmodel.kinds.nand.geometry import FlashMatrix
from perfmodel.kinds.nand.kind import shares_of
from perfmodel.kinds.nand.timeline import channel_of, geometry
from perfmodel.plots.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, figure, percent
from perfmodel.plots.subject import PredictionPoint
from perfmodel.plots.timelines import TimelineBar, timeline_layout, timeline_traces
from perfmodel.units import show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.kinds.nand.kind import FlashNests
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


#: What crosses the channel -> its line of the plot: short transfers would drown beside pages.
_LANES = {
    "inputs": "channel: inputs",
    "results": "channel: partial sums",
    "piece": "channel: pages",
}
#: Inputs and partial sums take a fraction of a microsecond.
_SHORT = ("inputs", "results")


def flash_timeline(
    prediction: Prediction, *, row: str | None = None, requests: int = 5, dies: int = 2,
    sliced: bool = True,
) -> Figure:  # fmt: skip
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
        Whether streamed pages give way to requests after each piece; else whole pages, first come,
        first served.

    Raises
    ------
    InputError
        The engine is of another kind, or no such row multiplies weights in flash.
    """
    subject = PredictionPoint(prediction)
    found = (
        shares_of(subject.table, subject.setting)
        if subject.job.static.kind.name == "nand"
        else None
    )
    if found is None:
        raise input_error(
            "no weights are multiplied in flash",
            "prediction",
            expected="a prediction on an engine of kind nand",
        )
    at = _chosen(subject, found, row)
    machine = subject.prediction.machine
    flash = geometry(machine)
    if flash.planes <= flash.cores or flash.cores > 1:
        said = f"{flash.cores:g} cores on {flash.planes:g} planes a die"
        raise input_error(
            f"{machine.device.name} has {said}",
            "prediction",
            expected="one core a die, and a plane beside it to stream from",
        )
    matrix = FlashMatrix(*(_number(field, at) for field in found.matrix))
    pieces = round(flash.page / flash.piece) if flash.piece else 16
    channel = channel_of(
        flash, matrix, columns=_number(found.split.tile.columns, at),
        pieces=pieces if sliced else 1, requests_first=sliced,
    )  # fmt: skip
    rounds = _number(found.split.rounds, at)
    pages = _number(found.split.streamed, at) / flash.page / flash.channels
    if rounds >= 1:
        requests = min(requests, int(rounds))
        pages *= requests / rounds
    else:
        requests = 0
    run = simulate(channel, requests, max(round(pages), 0 if requests else 1), record=True)
    parts = list(_LANES.values())
    for die in range(min(dies, channel.dies)):
        parts += [f"die {die} plane 0", f"die {die} core", f"die {die} plane 1"]
    shown = [
        TimelineBar(
            _LANES.get(event.what, event.part),
            event.what,
            event.start,
            event.end - event.start,
            event.number,
        )
        for event in run.events
        if event.what in _LANES or event.part in parts
    ]
    name = subject.names[int(found.row[at])]
    busy = percent(run.channel_busy, run.seconds)
    how = "read requests in pieces" if sliced else "whole pages, first come, first served"
    return figure(
        timeline_traces(shown, _COLORS, 1e6, words=_WORDS, outlined=_SHORT),
        f"Flash timeline: {name} of {subject.title.partition(' on ')[0]}",
        f"one of {flash.channels:g} channels with {channel.dies} dies of {machine.device.name}; "
        f"{how}; channel busy {busy}",
        _alt(subject, name, channel.dies, requests, run.seconds, busy, len(shown)),
        **timeline_layout(parts, run.seconds * 1e6, "us"),
    )  # fmt: skip


def _chosen(subject: PredictionPoint, found: FlashNests, row: str | None) -> int:
    names = [subject.names[int(i)] for i in found.row]
    if row is not None:
        if row not in names:
            raise input_error(
                f"no row '{row}' multiplies weights in flash",
                "row",
                expected=one_of(dict.fromkeys(names)),
                suggestion=nearest(row, names),
            )
        return names.index(row)
    seconds = subject.columns["total_s"]
    return int(np.argmax([seconds[int(i)] for i in found.row]))


def _number(values: Any, at: int) -> float:
    array = np.asarray(values, dtype=float)
    return float(array.reshape(len(array), -1)[at, 0]) if array.ndim else float(array)


def _alt(
    subject: PredictionPoint,
    name: str,
    dies: int,
    requests: int,
    seconds: float,
    busy: str,
    bars: int,
) -> str:
    device = subject.prediction.machine.device.name
    return (
        f"Timeline of one channel and its {dies} dies of {device} over {requests} read-compute "
        f"requests of {name}, {show(seconds, 'time')}: {bars} bars of inputs, partial sums and "
        f"pieces, which share the one channel, of pages read on two planes a die, and of pages "
        f"multiplied by its core. The channel is busy {busy} of the time."
    )
