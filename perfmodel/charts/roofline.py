"""The roofline: each row of a prediction as a point under the roofs of its machine.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
architectures", CACM 52(4), 2009; a roof for each memory as in Ilic, Pratas and Sousa, "Cache-aware
roofline model", IEEE CAL 13(1), 2014.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

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
from perfmodel.charts.labels import clusters
from perfmodel.charts.roofs import Roof, compute_roofs, memory_roofs, merged, row_points
from perfmodel.charts.subject import PredictionPoint
from perfmodel.errors import input_error, nearest, one_of
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction

#: Rows that are named at most, and the share of the latency below which none is.
_NAMED, _SMALL = 7, 0.004
#: Pixels within which rows share a name.
_REACH = 32.0


@Picture
def roofline(prediction: Prediction, *, level: str | None = None) -> Chart:
    """Draw rows under roofs, log-log.

    A point's size is its share of the latency, its colour what binds it; its rate leaves out the
    time that a runtime charges to a whole layer, which is no kernel's own. Lines are what this
    prediction used (sustained bandwidths, peaks times the runtime's efficiency); the theoretical
    ones are dotted where they differ.

    Parameters
    ----------
    prediction
        Of an array-valued one, the first point is drawn.
    level
        Memory whose traffic gives the operational intensity. By default each row's slowest memory,
        so that a row that a memory binds lies on that memory's roof.

    Raises
    ------
    InputError
        No memory of that name carries traffic.
    """
    subject = PredictionPoint(prediction)
    if level is not None and level not in subject.levels:
        raise input_error(
            f"no traffic crosses a memory '{level}'",
            path="level",
            expected=one_of(subject.levels),
            suggestion=nearest(level, subject.levels),
        )
    return _RooflinePlot(subject, level).chart()


class _RooflinePlot:
    """Everything of one roofline that depends on the extent of its axes."""

    def __init__(self, subject: PredictionPoint, level: str | None) -> None:
        self.subject, self.level = subject, level
        self.points = row_points(subject, level)
        self.memories = [r for r in memory_roofs(subject) if level in (None, r.name)]
        self.formats = compute_roofs(subject)
        self.latency = float(subject.prediction.latency_s)
        self.total = subject.columns["total_s"]
        #: Points, those that take longest first.
        self.order = np.argsort(-self.total[self.points.row], kind="stable").tolist()
        self.colors = bound_colors(subject.levels, subject.bounds)
        matrix = [roof for roof in self.formats if roof.name != "vector"] or self.formats
        #: Arithmetic, and the memory whose roof meets its own.
        self.ridges = [(peak, roof) for peak in matrix[:1] for roof in merged(self.memories)]
        self.ridges += [(roof, self.memories[-1]) for roof in matrix[1:]]
        main = self.memories[-1].value
        ridges = [
            roof.value / memory.value for roof in self.formats[:1] for memory in self.memories
        ]
        xs = [*self.points.x, *ridges] or [1.0]
        ys = [*self.points.y, *(roof.peak for roof in self.formats)] or [main]
        low, high = math.log10(min(xs)) - 0.6, math.log10(max(xs)) + 0.8
        spare = max(0.0, 3 - high + low) / 2
        self.x = 10 ** (low - spare), 10 ** (high + spare)
        # A roof of main memory that leaves through the left edge, not through the bottom.
        self.y = min(min(ys) * 10**-0.5, self.x[0] * main * 10**0.3), max(ys) * 10**0.5

    def chart(self) -> Chart:
        subject, unit = self.subject, self.subject.unit
        only = self.level or (subject.levels[0] if len(subject.levels) == 1 else "")
        across = f"operational intensity: {unit} per byte across {only or 'the slowest memory'}"
        series: list[Series] = []
        labels: list[Label] = []
        for roof in self.memories:
            self._memory(roof, series)
        for roof in self.formats:
            self._arithmetic(roof, series)
        for roof in merged(self.memories):
            # Where the line is at a third of its way.
            start, end = self._ends(roof)
            place = start ** (2 / 3) * end ** (1 / 3)
            color = self.colors[roof.name.split(", ")[-1]]
            text = self._words(roof)
            labels.append(Label(text, place, roof.value * place, 1.0, color=color, size=12))
        for roof in merged(self.formats):
            color = "#1F7FB8" if roof.name == "vector" else BLUE
            text, x = self._words(roof), 0.97 * self.x[1]
            labels.append(Label(text, x, roof.value, 0.0, color=color, size=12, leaders=False))
        chart = Chart(
            f"Roofline: {subject.title}",
            "<br>".join(filter(None, (subject.subtitle, self._left_out()))),
            self._alt(),
            [],
            legend="below",
            heading="bound by  ",
        )
        panel = Panel(
            ChartAxis(f"{across} ({unit}/B)", *self.x, log=True),
            ChartAxis(f"performance ({unit}/s)", *self.y, log=True),
            [*series, *self._rows(), *self._ridges()],
            labels=[*labels, *self._ridge_labels(), *self._row_labels(chart.area)],
        )
        return replace(chart, panels=[panel])

    # Roofs

    def _ends(self, roof: Roof) -> tuple[float, float]:
        """Return where the roof of a memory begins, and where it meets the arithmetic."""
        end = self.formats[0].value / roof.value if self.formats else self.x[1]
        return max(self.x[0], self.y[0] / roof.value), end

    def _memory(self, roof: Roof, series: list[Series]) -> None:
        start, end = self._ends(roof)
        self._line(roof, (start, end), (roof.value * start, roof.value * end), series)
        if self.formats:
            end = min(self.formats[0].peak / roof.peak, end)
        start = self.x[0]
        self._dotted(roof, (start, end), (roof.peak * start, roof.peak * end), series)

    def _arithmetic(self, roof: Roof, series: list[Series]) -> None:
        fastest, high = max(memory.value for memory in self.memories), self.x[1]
        self._line(roof, (roof.value / fastest, high), (roof.value, roof.value), series)
        self._dotted(roof, (roof.peak / fastest, high), (roof.peak, roof.peak), series)

    def _line(
        self, roof: Roof, x: tuple[float, float], y: tuple[float, float], series: list[Series]
    ) -> None:
        color, meta = self._color(roof), {"roof": roof.name}
        words = self._words(roof)
        series.append(
            Lines(roof.name, x, y, words, legend=False, color=color, width=2.5, meta=meta)
        )

    def _dotted(
        self, roof: Roof, x: tuple[float, float], y: tuple[float, float], series: list[Series]
    ) -> None:
        """Draw what the data sheet says, where that is more."""
        if roof.peak > 1.01 * roof.value:
            color, meta = self._color(roof), {"theoretical": True}
            series.append(Lines("", x, y, color=color, width=1, dash="dot", meta=meta))

    def _color(self, roof: Roof) -> str:
        if roof in self.formats:
            return SKY if roof.name == "vector" else BLUE
        return self.colors[roof.name]

    def _words(self, roof: Roof) -> str:
        unit = "B/s"
        if roof.name.split(", ")[0] in {r.name for r in self.formats}:
            floating = roof.name.startswith(("fp", "bf", "tf"))
            unit = self.subject.unit if roof.name == "vector" else "FLOP" if floating else "OP"
            unit += "/s"
        text = f"{roof.name} {si(roof.value, unit)}"
        return text + (f" of {si(roof.peak, unit)}" if roof.peak > 1.01 * roof.value else "")

    # Points

    def _rows(self) -> list[Series]:
        p, subject = self.points, self.subject
        bound = subject.columns["bound_by"][p.row]
        symbols = bound_symbols(subject.levels, subject.bounds)
        series: list[Series] = []
        for name in subject.bounds:
            # The large ones first, so that none hides a smaller one.
            rows = [i for i in self.order if bound[i] == name]
            if rows:
                series.append(
                    Points(
                        name,
                        p.x[rows],
                        p.y[rows],
                        [self._hover(int(p.row[i])) for i in rows],
                        ids=[subject.names[p.row[i]] for i in rows],
                        size=p.diameter[rows],
                        color=self.colors[name],
                        symbol=symbols[name],
                        opacity=0.8,
                        meta={"bound_by": name},
                    )
                )
        return series

    def _share(self, seconds: float) -> str:
        return f"{percent(seconds, self.latency)} of the latency"

    def _hover(self, i: int) -> str:
        c, subject = self.subject.columns, self.subject
        seconds = float(self.total[i])
        lines = [
            f"<b>{subject.names[i]}</b> ({c['kind'][i]})",
            f"{show(float(c['row_s'][i]), 'time')} × {c['count'][i]:g} = {show(seconds, 'time')}",
            self._share(seconds),
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
        if not self.ridges:
            return []
        at = [peak.value / memory.value for peak, memory in self.ridges]
        hover = [
            f"ridge point of {peak.name} and {memory.name}: {figures(x)} {self.subject.unit}/B"
            for (peak, memory), x in zip(self.ridges, at, strict=True)
        ]
        return [
            Points(
                "",
                at,
                [peak.value for peak, _ in self.ridges],
                hover,
                color=INK,
                symbol="circle-open",
                size=9,
                edge=INK,
                edge_width=1.5,
                meta={"ridges": True},
            )
        ]

    def _ridge_labels(self) -> list[Label]:
        return [
            Label(f"ridge {figures(x)}", x, peak.value, 5.0, leaders=False, veil=True)
            for peak, memory in self.ridges
            for x in (peak.value / memory.value,)
        ]

    def _row_labels(self, area: tuple[int, int]) -> list[Label]:
        """Return the names of the rows that take the longest; near ones share one."""
        p = self.points
        scale = [
            pixels / math.log10(high / low)
            for pixels, (low, high) in zip(area, (self.x, self.y), strict=True)
        ]
        places = [
            (scale[0] * math.log10(p.x[i]), scale[1] * math.log10(p.y[i])) for i in self.order
        ]
        labels: list[Label] = []
        for group in clusters(places, _REACH)[:_NAMED]:
            rows = [self.order[g] for g in group]
            first = rows[0]
            # Without the block that repeats it.
            text = self.subject.names[int(p.row[first])].replace("layer.", "", 1)
            text += f" +{len(rows) - 1}" if len(rows) > 1 else ""
            radius = float(p.diameter[first]) / 2
            if self.total[p.row[rows]].sum() >= _SMALL * self.latency:
                place = float(p.x[first]), float(p.y[first])
                labels.append(Label(text, *place, radius, size=12, veil=True))
        return labels

    # Words

    def _left_out(self) -> str:
        missing = self.total.copy()
        missing[self.points.row] = 0.0
        count = int(np.count_nonzero(missing > 0))
        if not count:
            return ""
        rows = f"{count} row{'s' * (count > 1)}"
        share = self._share(float(missing.sum()))
        return f"not drawn: {rows} without arithmetic or traffic, {share}"

    def _alt(self) -> str:
        subject, p = self.subject, self.points
        roofs = "; ".join(map(self._words, (*self.memories, *self.formats)))
        latency = show(self.latency, "time")
        parts = [
            f"Roofline of {subject.title} ({subject.subtitle}), latency {latency}.",
            f"Roofs: {roofs}.",
        ]
        for i in self.order[:5]:
            row = int(p.row[i])
            parts.append(
                f"{subject.names[row]}: {figures(float(p.x[i]))} {subject.unit}/B, "
                f"{si(float(p.y[i]), subject.unit + '/s')}, bound by "
                f"{subject.columns['bound_by'][row]}, {self._share(float(self.total[row]))}."
            )
        return " ".join(parts).replace("&lt;", "<")
