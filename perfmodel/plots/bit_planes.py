"""What an engine that takes weights bit by bit is busy with: terms, planes, tables and memory.

Chen et al., "BitMoD", HPCA 2025, figure 5 (terms of a group, its scale behind them); Wei et al.,
"T-MAC", EuroSys 2025, and Qiao et al., "TeLLMe v2", FPGA 2026 (tables, a pass a bit plane).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from perfmodel.errors import input_error, nearest, one_of
from perfmodel.plots.style import BLUE, GREEN, ORANGE, PURPLE, SKY, figure, percent
from perfmodel.plots.subject import PredictionPoint
from perfmodel.plots.timelines import TimelineBar, timeline_layout, timeline_traces
from perfmodel.units import show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.prediction.prediction import Prediction

_COLORS = {
    "weights": BLUE,
    "weights and inputs": BLUE,
    "inputs and outputs": SKY,
    "tables": ORANGE,
    "terms": GREEN,
    "look-ups": GREEN,
    "scale": PURPLE,
}


def bit_planes(
    prediction: Prediction, *, row: str | None = None, groups: int | None = None
) -> Figure:
    """Draw the first groups of a row: its bit planes, its tables or scales, and memory.

    Parameters
    ----------
    prediction
        On an engine of kind ``bit_serial`` or ``lookup_table``; of an array-valued one, the first
        point is drawn.
    row
        Row to draw; by default the product that takes the longest.
    groups
        Groups of weights (three by default), or sets of tables (all of a token, at most 24).

    Raises
    ------
    InputError
        The engine is of another kind, or no such row has products by bits.
    """
    subject = PredictionPoint(prediction)
    kind = subject.job.static.kind.name
    if kind not in ("bit_serial", "lookup_table"):
        raise input_error(
            "no weights are taken bit by bit",
            "prediction",
            expected="a prediction on an engine of kind bit_serial or lookup_table",
        )
    at = _chosen(subject, row)
    draw = _serial if kind == "bit_serial" else _looked_up
    bars, lanes, said = draw(subject, at, groups)
    end = max(bar.start + bar.seconds for bar in bars)
    name = subject.names[at]
    device = subject.prediction.machine.device.name
    title = f"Bit planes: {name} of {subject.title.partition(' on ')[0]}"
    alt = (
        f"Timeline of {name} on {device}, {show(end, 'time')} of {_seconds(subject, at)}: "
        f"{len(bars)} bars on {len(lanes)} lines, {', '.join(lanes)}. {said}."
    )
    unit, scale = ("us", 1e6) if end >= 1e-6 else ("ns", 1e9)
    return figure(
        # Tables may take a few clocks.
        timeline_traces(bars, _COLORS, scale, outlined=("tables",)), title, f"{device}; {said}",
        alt, **timeline_layout(lanes, end * scale, unit),
    )  # fmt: skip


def _chosen(subject: PredictionPoint, row: str | None) -> int:
    cycles = np.asarray(subject.columns["cycles"], dtype=float)
    names = [name for name, c in zip(subject.names, cycles, strict=True) if c > 0]
    if row is None:
        if not names:
            raise input_error("no row has products by bits", "prediction")
        seconds = np.asarray(subject.columns["total_s"], dtype=float)
        return int(np.argmax(np.where(cycles > 0, seconds, -1.0)))
    if row not in names:
        raise input_error(
            f"no row '{row}' has products by bits",
            "row",
            expected=one_of(dict.fromkeys(names)),
            suggestion=nearest(row, names),
        )
    return subject.names.index(row)


def _number(subject: PredictionPoint, column: str, at: int) -> float:
    return float(np.asarray(subject.columns[column], dtype=float)[at])


def _fact(subject: PredictionPoint, name: str) -> float:
    machine = subject.prediction.machine
    return float(machine[f"engines.{machine.engine}.{name}"])


def _seconds(subject: PredictionPoint, at: int) -> str:
    return show(_number(subject, "row_s", at), "time")


def _memory(subject: PredictionPoint, at: int) -> tuple[str, float]:
    level = subject.levels[-1]
    return level, _number(subject, f"{level}_s", at)


def _serial(
    subject: PredictionPoint, at: int, groups: int | None
) -> tuple[list[TimelineBar], list[str], str]:
    """Terms of each step of the first groups, scales behind them, and memory's share of the time.

    A step is that of the mean number of terms; where memory is slower, the array waits after each
    group for as long as a group's share of the bytes takes.
    """
    clock, lanes = 1.0 / _fact(subject, "clock"), _fact(subject, "lanes")
    terms = max(_number(subject, "terms", at), 1.0)
    level, memory_s = _memory(subject, at)
    busy_s = _number(subject, "matrix_s", at)
    steps = max(round(_fact(subject, "group") / lanes), 1)
    slower = max(memory_s / busy_s, 1.0)
    dequantise = _fact(subject, "dequantise") * clock
    each = max(terms * clock, dequantise / steps)
    bars: list[TimelineBar] = []
    count = groups or 3
    planes = int(np.ceil(terms - 1e-9))
    for g in range(count):
        start = g * steps * each * slower
        for s in range(steps):
            for t in range(planes):
                at_s = start + s * each + t * clock
                width = min(clock, (terms - t) * clock)
                bars.append(TimelineBar(f"term {t + 1}", "terms", at_s, width))
        if dequantise:
            bars.append(TimelineBar("scale", "scale", start + steps * each, dequantise))
    end = count * steps * each * slower
    bars.append(
        TimelineBar(level, "weights and inputs", 0.0, end * min(memory_s / (busy_s * slower), 1.0))
    )
    names = [level, *(f"term {t + 1}" for t in range(planes)), *(["scale"] if dequantise else [])]
    said = (
        f"first {count} groups of {_fact(subject, 'group'):g} weights of {terms:g} terms; array "
        f"busy {percent(min(busy_s / memory_s, 1.0), 1.0)}, {level} "
        f"{percent(min(memory_s / busy_s, 1.0), 1.0)} of the row"
    )
    return bars, names, said


def _looked_up(
    subject: PredictionPoint, at: int, sets: int | None
) -> tuple[list[TimelineBar], list[str], str]:
    """Weights into their buffer, then sets of tables: built behind the one before, planes read."""
    clock = 1.0 / _fact(subject, "clock")
    planes = round(max(_number(subject, "passes", at), 1.0))
    wide = _fact(subject, "group") * _fact(subject, "tables")
    built = _number(subject, "tables_built", at) / _fact(subject, "tables")
    level, memory_s = _memory(subject, at)
    weights_s = _number(subject, "weights_s", at)
    waits = weights_s if subject.terms.cold is not None else 0.0
    build = _fact(subject, "build") * clock
    tokens_sets = max(int(np.ceil(built - 1e-9)), 1)
    count = min(tokens_sets, sets or 24)
    look_s = _number(subject, "look_up_s", at)
    each = look_s / tokens_sets / planes
    bars = [TimelineBar(level, "weights", 0.0, weights_s)]
    if memory_s > weights_s:
        bars.append(TimelineBar(level, "inputs and outputs", weights_s, memory_s - weights_s))
    first = max(waits, build)
    for s in range(count):
        start = first + s * planes * each
        if build:
            before = first - build if s == 0 else start - planes * each
            bars.append(TimelineBar("tables", "tables", before, build))
        for plane in range(planes):
            lane = f"plane {plane}" if planes > 1 else "look-ups"
            bars.append(TimelineBar(lane, "look-ups", start + plane * each, each))
    lanes = [level, *(["tables"] if build else [])]
    lanes += [f"plane {p}" for p in range(planes)] if planes > 1 else ["look-ups"]
    said = (
        f"{count} of {tokens_sets} sets of tables of {wide:g} activations, {planes} "
        f"{'pass' if planes == 1 else 'passes'} each; weights {show(weights_s, 'time')}, look-ups "
        f"{show(look_s, 'time')} of {_seconds(subject, at)}"
    )
    return bars, lanes, said
