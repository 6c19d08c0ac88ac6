"""What the dies and the channel of a flash that computes are busy with, request by request.

Yu et al., "Cambricon-LLM", MICRO 2024, figure 6: pages read for the core on one plane, pages that
are streamed in pieces on the other, both on one channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.kinds.nand.events import Event, simulate
from perfmodel.kinds.nand.geometry import Matrix
from perfmodel.kinds.nand.kind import shares_of
from perfmodel.kinds.nand.timeline import channel_of, geometry
from perfmodel.plots.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    axis,
    figure,
    percent,
)
from perfmodel.plots.subject import Subject
from perfmodel.units import show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.kinds.nand.kind import Shares
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
_SHORT = ("inputs", "results")
#: Width of the outline of transfers that may be narrower than a pixel.
_OUTLINE = 1.6


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
    subject = Subject(prediction)
    found = (
        shares_of(subject.table, subject.setting)
        if subject.job.static.kind.name == "nand"
        else None
    )
    if found is None:
        raise InputError(
            Fault("no weights are multiplied in flash", "prediction",
                  expected="a prediction on an engine of kind nand")
        )  # fmt: skip
    at = _chosen(subject, found, row)
    machine = subject.prediction.machine
    flash = geometry(machine)
    if flash.planes <= flash.cores or flash.cores > 1:
        said = f"{flash.cores:g} cores on {flash.planes:g} planes a die"
        raise InputError(
            Fault(f"{machine.device.name} has {said}", "prediction",
                  expected="one core a die, and a plane beside it to stream from")
        )  # fmt: skip
    matrix = Matrix(*(_number(field, at) for field in found.matrix))
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
        event._replace(part=_LANES.get(event.what, event.part))
        for event in run.events
        if event.what in _LANES or event.part in parts
    ]
    name = subject.names[int(found.row[at])]
    busy = percent(run.channel_busy, run.seconds)
    how = "read requests in pieces" if sliced else "whole pages, first come, first served"
    return figure(
        _traces(shown), f"Flash timeline: {name} of {subject.title.partition(' on ')[0]}",
        f"one of {flash.channels:g} channels with {channel.dies} dies of {machine.device.name}; "
        f"{how}; channel busy {busy}",
        _alt(subject, name, channel.dies, requests, run.seconds, busy, len(shown)),
        barmode="overlay", bargap=0.25,
        xaxis=axis("time (us)", range=[0, run.seconds * 1e6]),
        yaxis=axis("", type="category", categoryorder="array", categoryarray=parts[::-1],
                   showgrid=False, ticksuffix=" "),
        legend={"orientation": "h", "x": 0.0, "y": -0.13, "yanchor": "top"},
        margin={"l": 150, "r": 30, "t": 84, "b": 110},
    )  # fmt: skip


def _chosen(subject: Subject, found: Shares, row: str | None) -> int:
    names = [subject.names[int(i)] for i in found.row]
    if row is not None:
        if row not in names:
            raise InputError(
                Fault(f"no row '{row}' multiplies weights in flash", "row",
                      expected="one of " + ", ".join(dict.fromkeys(names)),
                      suggestion=nearest(row, names))
            )  # fmt: skip
        return names.index(row)
    seconds = subject.columns["total_s"]
    return int(np.argmax([seconds[int(i)] for i in found.row]))


def _number(values: Any, at: int) -> float:
    array = np.asarray(values, dtype=float)
    return float(array.reshape(len(array), -1)[at, 0]) if array.ndim else float(array)


def _traces(events: list[Event]) -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = []
    for what, color in _COLORS.items():
        mine = [event for event in events if event.what == what]
        if not mine:
            continue
        traces.append(
            {"type": "bar", "orientation": "h", "name": _WORDS[what],
             "y": [event.part for event in mine],
             "base": [event.start * 1e6 for event in mine],
             "x": [(event.end - event.start) * 1e6 for event in mine],
             # Inputs and partial sums of a fraction of a microsecond keep a width that is seen.
             "marker": {"color": color,
                        "line": {"color": color, "width": _OUTLINE} if what in _SHORT else
                        {"color": "white", "width": 0.5}},
             "hoverinfo": "text",
             "hovertext": [
                 f"{_WORDS[what]}, number {event.number + 1}<br>{event.part}: "
                 f"{show(event.start, 'time')} to {show(event.end, 'time')}"
                 for event in mine
             ],
             "textfont": {"color": INK}, "meta": {"what": what}}
        )  # fmt: skip
    return traces


def _alt(
    subject: Subject, name: str, dies: int, requests: int, seconds: float, busy: str, bars: int
) -> str:
    device = subject.prediction.machine.device.name
    return (
        f"Timeline of one channel and its {dies} dies of {device} over {requests} read-compute "
        f"requests of {name}, {show(seconds, 'time')}: {bars} bars of inputs, partial sums and "
        f"pieces, which share the one channel, of pages read on two planes a die, and of pages "
        f"multiplied by its core. The channel is busy {busy} of the time."
    )
