"""What an engine that takes weights bit by bit is busy with: terms, planes, tables and memory.

Chen et al., "BitMoD", HPCA 2025, figure 5 (terms of a group, its scale behind them); Wei et al.,
"T-MAC", EuroSys 2025, and Qiao et al., "TeLLMe v2", FPGA 2026 (tables, a pass for each bit plane).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from perfmodel.charts import BLUE, GREEN, ORANGE, PURPLE, SKY, Chart, Picture, percent
from perfmodel.charts.lanes import ActivityBar, lane_panel
from perfmodel.charts.subject import PredictionPoint
from perfmodel.errors import input_error
from perfmodel.units import show

if TYPE_CHECKING:
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


@Picture
def bit_planes(
    prediction: Prediction, *, row: str | None = None, groups: int | None = None
) -> Chart:
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
    kinds = {"bit_serial": _BitSerial, "lookup_table": _LookUps}
    kind = subject.job.static.kind.name
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
        # Tables may take a few clocks.
        [lane_panel(bars, {name: name for name in names}, _COLORS, outlined=("tables",))],
        legend="below",
        margin={"l": 150, "b": 110},
        gap=0.25,
    )


class _Planes:
    """Bars of one row, and the lanes that they lie on."""

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
        return float(np.asarray(self.subject.columns[column], dtype=float)[self.at])

    def fact(self, name: str) -> float:
        machine = self.subject.prediction.machine
        return float(machine[f"engines.{machine.engine}.{name}"])

    def add(self, lane: str, kind: str, start: float, seconds: float) -> None:
        if lane not in self.lanes:
            self.lanes.append(lane)
        self.bars.append(ActivityBar(lane, kind, start, start + seconds, kind))


class _BitSerial(_Planes):
    """Terms of each step of the first groups, scales behind them, and memory's share of the time.

    A step is that of the mean number of terms; where memory is slower, the array waits after each
    group for as long as a group's share of the bytes takes.
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
    """Weights into their buffer, then sets of tables: built behind the one before, planes read."""

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
