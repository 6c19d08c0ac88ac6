"""The roofline: each row of a prediction as a point under the roofs of its machine.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
architectures", CACM 52(4), 2009; a roof for each memory as in Ilic, Pratas and Sousa, "Cache-aware
roofline model", IEEE CAL 13(1), 2014. Roofs are the rows' own rates.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.charts import (
    BLUE,
    INK,
    SKY,
    Chart,
    ChartAxis,
    Label,
    Lines,
    Panel,
    Picture,
    Points,
    Series,
    bound_colors,
    bound_symbols,
    figures,
    percent,
    si,
)
from perfmodel.charts.label_placement import clusters
from perfmodel.charts.prediction_point import Column, PredictionPoint, unit_of
from perfmodel.errors import InputError, no_such
from perfmodel.prediction.prediction import Prediction
from perfmodel.units import show

#: Largest number of named rows, and share of the latency below which none is named.
_NAMED, _SMALL = 7, 0.004
#: Distance in pixels within which rows share a name.
_REACH = 32.0


@Picture
def roofline(prediction: Prediction, *, level: str | None = None) -> Chart:
    """Draw rows under roofs, log-log.

    A point's size is its share of the latency, its colour its bottleneck; its rate excludes the
    time that a runtime charges per layer, which belongs to no kernel. Lines are the rates of this
    prediction (sustained bandwidths, peaks times the runtime's efficiency); theoretical ones are
    dotted where they differ.

    Parameters
    ----------
    prediction
        Prediction; of an array-valued one, the first point is drawn.
    level
        Memory whose traffic defines the operational intensity. By default each row's slowest
        memory, so that a memory-bound row is on that memory's roof.

    Raises
    ------
    InputError
        No memory of that name carries traffic.
    """
    subject = PredictionPoint(prediction)
    if level is not None and level not in subject.levels:
        message = f"no traffic crosses a memory '{level}'"
        raise InputError(no_such(message, level, subject.levels, "level"))
    return _RooflinePlot(subject, level).chart()


class _RooflinePlot:
    """Elements of a roofline that depend on the extent of its axes."""

    def __init__(self, subject: PredictionPoint, level: str | None) -> None:
        self.subject, self.level = subject, level
        self.points = row_points(subject, level)
        self.memories = [r for r in memory_roofs(subject) if level in (None, r.name)]
        self.formats = compute_roofs(subject)
        self.latency = float(subject.prediction.latency_s)
        self.total = subject.columns["total_s"]
        #: Indices of points in descending order of time.
        self.order = np.argsort(-self.total[self.points.row], kind="stable").tolist()
        self.colors = bound_colors(subject.levels, subject.bounds)
        matrix = [roof for roof in self.formats if roof.name != "vector"] or self.formats
        pairs = [(peak, roof) for peak in matrix[:1] for roof in merged(self.memories)]
        pairs += [(roof, self.memories[-1]) for roof in matrix[1:]]
        #: Ridge points: intensity, compute roof, and memory roof that meet there.
        self.ridges = [(peak.value / memory.value, peak, memory) for peak, memory in pairs]
        main = self.memories[-1].value
        ridges = [self.formats[0].value / memory.value for memory in self.memories if self.formats]
        xs = [*self.points.x, *ridges] or [1.0]
        ys = [*self.points.y, *(roof.peak for roof in self.formats)] or [main]
        low, high = math.log10(min(xs)) - 0.6, math.log10(max(xs)) + 0.8
        spare = max(0.0, 3 - high + low) / 2
        self.x = 10 ** (low - spare), 10 ** (high + spare)
        # Low enough that the roof of main memory meets the left edge, not the bottom.
        self.y = min(min(ys) * 10**-0.5, self.x[0] * main * 10**0.3), max(ys) * 10**0.5

    def chart(self) -> Chart:
        """Return the chart."""
        subject, unit = self.subject, self.subject.unit
        only = self.level or (subject.levels[0] if len(subject.levels) == 1 else "")
        across = f"operational intensity: {unit} per byte across {only or 'the slowest memory'}"
        roofs = [
            line for roof in (*self.memories, *self.formats) for line in self._roof_lines(roof)
        ]
        labels: list[Label] = []
        for roof in merged(self.memories):
            # At one third of the line on the logarithmic axis.
            start, end = self._ends(roof)
            place = start ** (2 / 3) * end ** (1 / 3)
            color = self.colors[roof.name.split(", ")[-1]]
            text = self._roof_label(roof)
            labels.append(Label(text, place, roof.value * place, 1.0, color=color, size=12))
        for roof in merged(self.formats):
            color = "#1F7FB8" if roof.name == "vector" else BLUE
            text, x = self._roof_label(roof), 0.97 * self.x[1]
            labels.append(Label(text, x, roof.value, 0.0, color=color, size=12, leaders=False))
        chart = Chart(
            f"Roofline: {subject.title}",
            "<br>".join(filter(None, (subject.subtitle, self._undrawn_rows()))),
            self._text_alternative(),
            [],
            legend="below",
            heading="bound by  ",
        )
        panel = Panel(
            ChartAxis(f"{across} ({unit}/B)", *self.x, log=True),
            ChartAxis(f"performance ({unit}/s)", *self.y, log=True),
            [*roofs, *self._row_points(), *self._ridges()],
            labels=[*labels, *self._ridge_labels(), *self._row_labels(chart.area)],
        )
        return replace(chart, panels=[panel])

    # Roofs

    def _ends(self, roof: Roof) -> tuple[float, float]:
        """Return the intensities at which a memory roof begins and meets the compute roof."""
        end = self.formats[0].value / roof.value if self.formats else self.x[1]
        return max(self.x[0], self.y[0] / roof.value), end

    def _roof_lines(self, roof: Roof) -> list[Lines]:
        """Return the line of the rows' rates, and a dotted one for a higher theoretical rate."""
        if roof in self.formats:
            color = SKY if roof.name == "vector" else BLUE
            fastest, high = max(memory.value for memory in self.memories), self.x[1]
            solid, dotted = (
                ((rate / fastest, high), (rate, rate)) for rate in (roof.value, roof.peak)
            )
        else:
            color = self.colors[roof.name]
            start, end = self._ends(roof)
            solid = (start, end), (roof.value * start, roof.value * end)
            start, end = self.x[0], min(end, *(one.peak / roof.peak for one in self.formats[:1]))
            dotted = (start, end), (roof.peak * start, roof.peak * end)
        words, meta = self._roof_label(roof), {"roof": roof.name}
        lines = [Lines(roof.name, *solid, words, legend=False, color=color, width=2.5, meta=meta)]
        if roof.exceeded:
            meta = {"theoretical": True}
            lines.append(Lines("", *dotted, color=color, width=1, dash="dot", meta=meta))
        return lines

    def _roof_label(self, roof: Roof) -> str:
        """Return the name of a roof with its rate."""
        unit = "B/s"
        if roof.name.split(", ")[0] in {r.name for r in self.formats}:
            unit = self.subject.unit if roof.name == "vector" else unit_of([roof.name])
            unit += "/s"
        text = f"{roof.name} {si(roof.value, unit)}"
        return text + (f" of {si(roof.peak, unit)}" if roof.exceeded else "")

    # Points

    def _row_points(self) -> list[Series]:
        """Return the rows as points, one series for each bottleneck."""
        p, subject = self.points, self.subject
        bound = subject.columns["bound_by"][p.row]
        symbols = bound_symbols(subject.levels, subject.bounds)
        series: list[Series] = []
        for name in subject.bounds:
            # Large ones first, so that they hide no smaller ones.
            rows = [i for i in self.order if bound[i] == name]
            if rows:
                series.append(
                    Points(
                        name,
                        p.x[rows],
                        p.y[rows],
                        [self._hover_text(int(p.row[i])) for i in rows],
                        ids=[subject.names[p.row[i]] for i in rows],
                        size=p.diameter[rows],
                        color=self.colors[name],
                        symbol=symbols[name],
                        opacity=0.8,
                        meta={"bound_by": name},
                    )
                )
        return series

    def _share_of_latency(self, seconds: float) -> str:
        """Return seconds as a share of the latency."""
        return f"{percent(seconds, self.latency)} of the latency"

    def _hover_text(self, i: int) -> str:
        """Return the text shown for a row: its time, work and traffic."""
        c, subject = self.subject.columns, self.subject
        seconds = float(self.total[i])
        lines = [
            f"<b>{subject.names[i]}</b> ({c['kind'][i]})",
            f"{show(float(c['row_s'][i]), 'time')} × {c['count'][i]:g} = {show(seconds, 'time')}",
            self._share_of_latency(seconds),
            f"bound by {c['bound_by'][i]}",
            si(float(c["macs"][i]), "MAC"),
            si(float(c["vector_ops"][i]), "vector operations"),
        ]
        for level in subject.levels:
            crossing = float(c[f"{level}_bytes"][i])
            text = f"{level}: {show(crossing, 'bytes')}"
            if crossing:
                text += f", {figures(subject.operations[i] / crossing)} {subject.unit}/B"
            lines.append(text)
        return "<br>".join(lines)

    def _ridges(self) -> list[Series]:
        """Return the ridge points, where a memory roof meets a compute roof."""
        if not self.ridges:
            return []
        return [
            Points(
                "",
                [x for x, *_ in self.ridges],
                [peak.value for _, peak, _ in self.ridges],
                [
                    f"ridge point of {peak.name} and {memory.name}: {figures(x)} "
                    f"{self.subject.unit}/B"
                    for x, peak, memory in self.ridges
                ],
                color=INK,
                symbol="circle-open",
                size=9,
                edge=INK,
                edge_width=1.5,
                meta={"ridges": True},
            )
        ]

    def _ridge_labels(self) -> list[Label]:
        """Return the labels of the ridge points."""
        return [
            Label(f"ridge {figures(x)}", x, peak.value, 5.0, leaders=False, veil=True)
            for x, peak, _ in self.ridges
        ]

    def _row_labels(self, area: tuple[int, int]) -> list[Label]:
        """Return the names of the slowest rows; nearby ones share one label."""
        p = self.points
        across, up = (
            pixels * np.log10(values[self.order]) / math.log10(high / low)
            for pixels, values, (low, high) in ((area[0], p.x, self.x), (area[1], p.y, self.y))
        )
        labels: list[Label] = []
        for group in clusters(zip(across, up, strict=True), _REACH)[:_NAMED]:
            rows = [self.order[g] for g in group]
            first = rows[0]
            # Without the name of the repeated block.
            text = self.subject.names[int(p.row[first])].replace("layer.", "", 1)
            text += f" +{len(rows) - 1}" if len(rows) > 1 else ""
            x, y, width = (float(values[first]) for values in (p.x, p.y, p.diameter))
            if self.total[p.row[rows]].sum() >= _SMALL * self.latency:
                labels.append(Label(text, x, y, width / 2, size=12, veil=True))
        return labels

    # Words

    def _undrawn_rows(self) -> str:
        """Return the number and time of rows without arithmetic or traffic."""
        missing = self.total.copy()
        missing[self.points.row] = 0.0
        count = int(np.count_nonzero(missing > 0))
        if not count:
            return ""
        share = self._share_of_latency(float(missing.sum()))
        rows = f"{count} row{'s' * (count > 1)} without arithmetic or traffic"
        return f"not drawn: {rows}, {share}"

    def _text_alternative(self) -> str:
        """Return the picture as text."""
        subject, p = self.subject, self.points
        roofs = "; ".join(map(self._roof_label, (*self.memories, *self.formats)))
        latency = show(self.latency, "time")
        parts = [
            f"Roofline of {subject.title} ({subject.subtitle}), latency {latency}.",
            f"Roofs: {roofs}.",
        ]
        for i in self.order[:5]:
            row = int(p.row[i])
            share = self._share_of_latency(float(self.total[row]))
            parts.append(
                f"{subject.names[row]}: {figures(float(p.x[i]))} {subject.unit}/B, "
                f"{si(float(p.y[i]), subject.unit + '/s')}, bound by "
                f"{subject.columns['bound_by'][row]}, {share}."
            )
        return " ".join(parts).replace("&lt;", "<")


_LARGEST, _SMALLEST = 46.0, 7.0


class Roof(NamedTuple):
    """One roof: the rate that rows reach, and the theoretical one.

    Attributes
    ----------
    name
        Memory, or compute format.
    value
        Bytes per second of a memory, operations per second of a format, in this prediction.
    peak
        The theoretical rate.
    """

    name: str
    value: float
    peak: float

    @property
    def exceeded(self) -> bool:
        """Whether the theoretical rate exceeds the other by more than rounding."""
        return self.peak > 1.01 * self.value


class RowPoints(NamedTuple):
    """Rows with arithmetic and traffic, as points.

    Attributes
    ----------
    row
        Index of each row.
    x
        Operational intensity: operations per byte of the selected memory.
    y
        Operations per second of the kernel only.
    diameter
        Marker size in pixels; the area is proportional to the share of the latency.
    """

    row: npt.NDArray[np.intp]
    x: Column
    y: Column
    diameter: Column


def row_points(subject: PredictionPoint, level: str | None = None) -> RowPoints:
    """Return the points, by the traffic of one memory or of each row's slowest one."""
    columns, operations = subject.columns, subject.operations
    levels = [level] if level else list(subject.levels)
    bytes_ = np.stack([columns[f"{name}_bytes"] for name in levels])
    seconds = np.stack([columns[f"{name}_s"] for name in levels])
    which = np.argmax(np.where(bytes_ > 0, seconds, -1.0), axis=0)
    crossing = bytes_[which, np.arange(bytes_.shape[1])]
    # The per-layer cost is not a property of the kernel to which it is attributed.
    own = columns["row_s"] - columns.get("layer_s", 0.0)
    index = np.flatnonzero((operations > 0) & (crossing > 0) & (own > 0))
    share = columns["total_s"] / (columns["total_s"].sum() or 1.0)
    diameter = np.maximum(_SMALLEST, _LARGEST * np.sqrt(share))
    return RowPoints(
        index, operations[index] / crossing[index], operations[index] / own[index], diameter[index]
    )


def memory_roofs(subject: PredictionPoint) -> list[Roof]:
    """Return a roof for each memory with traffic, the nearest to the engine first."""
    out: list[Roof] = []
    facts, columns = subject.setting.facts, subject.columns
    for level in subject.levels:
        crossing, seconds = columns[f"{level}_bytes"], columns[f"{level}_s"]
        own: Column = seconds - subject.latency(level)
        # Loops over arrays prefetch their lines: their seconds contain no latency.
        loops = columns["kind"] == "stream"
        own[loops] = seconds[loops]
        busy = (crossing > 0) & (own > 0)
        if level == subject.levels[-1] and "cold_weights_s" in columns:
            busy &= columns["cold_weights_s"] == 0  # a part of the bytes waits there
        peak = float(facts[f"memories.{level}.bandwidth"])
        if busy.any():
            rate = float(np.max(crossing[busy] / own[busy]))
        else:
            rate = peak * float(facts.get(f"memories.{level}.sustained_fraction", 1.0))
        out.append(Roof(level, rate, peak))
    return out


def compute_roofs(subject: PredictionPoint) -> list[Roof]:
    """Return a roof for each format used in products, and ``vector`` for other arithmetic."""
    columns, setting = subject.columns, subject.setting
    # Where memory multiplies too, only the engine's own work determines its rate.
    macs = columns.get("host_macs", columns["macs"])
    # Kinds without a term `matrix` have products in their first term.
    term = "matrix" if "matrix_s" in columns else next(iter(subject.terms.compute))
    products = columns[f"{term}_s"]
    out: list[Roof] = []
    for name, rows in subject.formats().items():
        # Products may run on other units: attention next to in-memory arrays.
        multiplying = rows & (products > 0)
        if multiplying.any():
            best = float(np.max(2.0 * macs[multiplying] / products[multiplying]))
            peak = setting.facts.get(f"engines.{setting.engine_name}.peaks.{name}", best)
            out.append(Roof(name, best, float(peak)))
    vector = columns.get("vector_s", np.zeros(len(macs)))
    some = (columns["vector_ops"] > 0) & (vector > 0)
    if some.any():
        best = float(np.max(columns["vector_ops"][some] / vector[some]))
        out.append(Roof("vector", best, best))
    return sorted(out, key=lambda roof: -roof.value)


def merged(roofs: list[Roof]) -> list[Roof]:
    """Return roofs with coinciding ones merged, their names joined."""
    out: list[Roof] = []
    for roof in roofs:
        if out and abs(out[-1].value / roof.value - 1) < 0.02:
            out[-1] = Roof(f"{out[-1].name}, {roof.name}", roof.value, roof.peak)
        else:
            out.append(roof)
    return out
