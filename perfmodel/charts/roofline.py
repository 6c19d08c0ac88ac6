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
        self.unit = subject.unit
        self.latency = float(subject.prediction.latency_s)
        self.total = subject.columns["total_s"]
        self.colors = bound_colors(subject.levels, subject.bounds)
        top, main = self.formats[:1], self.memories[-1]
        ridges = [roof.value / memory.value for roof in top for memory in self.memories]
        xs = [*self.points.x, *ridges] or [1.0]
        ys = [*self.points.y, *(roof.peak for roof in self.formats)] or [main.value]
        low, high = math.log10(min(xs)) - 0.6, math.log10(max(xs)) + 0.8
        spare = max(0.0, 3 - high + low) / 2
        self.x = 10 ** (low - spare), 10 ** (high + spare)
        # A roof of main memory that leaves through the left edge, not through the bottom.
        bottom = min(min(ys) * 10**-0.5, self.x[0] * main.value * 10**0.3)
        self.y = bottom, max(ys) * 10**0.5

    def chart(self) -> Chart:
        subject, unit = self.subject, self.unit
        only = self.level or (subject.levels[0] if len(subject.levels) == 1 else "")
        across = f"operational intensity: {unit} per byte across {only or 'the slowest memory'}"
        chart = Chart(
            f"Roofline: {subject.title}",
            "<br>".join(filter(None, (subject.subtitle, self._left_out()))),
            self._alt(),
            [
                Panel(
                    ChartAxis(f"{across} ({unit}/B)", *self.x, log=True),
                    ChartAxis(f"performance ({unit}/s)", *self.y, log=True),
                    [*self._lines(), *self._rows(), *self._ridges()],
                )
            ],
            legend="below",
            heading="bound by  ",
        )
        labels = [*self._roof_labels(), *self._ridge_labels(), *self._row_labels(chart.area)]
        return replace(chart, panels=[replace(chart.panels[0], labels=labels)])

    # Roofs

    def _color(self, roof: Roof) -> str:
        if roof in self.formats:
            return SKY if roof.name == "vector" else BLUE
        return self.colors[roof.name]

    def _lines(self) -> list[Lines]:
        """Return the roofs: memories up to the fastest arithmetic, arithmetic from there on."""
        (low, high), bottom = self.x, self.y[0]
        top = self.formats[0] if self.formats else None
        fastest = max(roof.value for roof in self.memories)
        lines: list[Lines] = []
        for roof in self.memories:
            end = top.value / roof.value if top else high
            ends = [max(low, bottom / roof.value), end]
            lines.append(self._line(roof, ends, [roof.value * x for x in ends]))
            if roof.peak > 1.01 * roof.value:
                ends = [low, min(top.peak / roof.peak, end) if top else high]
                lines.append(self._dotted(roof, ends, [roof.peak * x for x in ends]))
        for roof in self.formats:
            lines.append(self._line(roof, [roof.value / fastest, high], [roof.value] * 2))
            if roof.peak > 1.01 * roof.value:
                lines.append(self._dotted(roof, [roof.peak / fastest, high], [roof.peak] * 2))
        return lines

    def _line(self, roof: Roof, x: list[float], y: list[float]) -> Lines:
        return Lines(
            roof.name,
            x,
            y,
            self._words(roof),
            legend=False,
            color=self._color(roof),
            width=2.5,
            meta={"roof": roof.name},
        )

    def _dotted(self, roof: Roof, x: list[float], y: list[float]) -> Lines:
        color = self._color(roof)
        return Lines("", x, y, color=color, width=1, dash="dot", meta={"theoretical": True})

    def _words(self, roof: Roof) -> str:
        unit = "B/s"
        if roof.name.split(", ")[0] in {r.name for r in self.formats}:
            floating = roof.name.startswith(("fp", "bf", "tf"))
            unit = self.unit if roof.name == "vector" else "FLOP" if floating else "OP"
            unit += "/s"
        text = f"{roof.name} {si(roof.value, unit)}"
        return text + (f" of {si(roof.peak, unit)}" if roof.peak > 1.01 * roof.value else "")

    def _roof_labels(self) -> list[Label]:
        labels: list[Label] = []
        (low, high), bottom = self.x, self.y[0]
        for roof in merged(self.memories):
            start = max(low, bottom / roof.value)
            end = self.formats[0].value / roof.value if self.formats else high
            labels.append(
                Label(
                    text=self._words(roof),
                    x=start,
                    y=roof.value * start,
                    end=(end, roof.value * end),
                    # Below where the dotted line of the theoretical bandwidth is above.
                    radius=-1.0 if roof.peak > 1.01 * roof.value else 1.0,
                    color=self.colors[roof.name.split(", ")[-1]],
                    size=12,
                )
            )
        for roof in merged(self.formats):
            color = "#1F7FB8" if roof.name == "vector" else BLUE
            text, x = self._words(roof), 0.97 * high
            labels.append(Label(text, x, roof.value, 0.0, color=color, size=12, leaders=False))
        return labels

    # Points

    def _rows(self) -> list[Series]:
        p, names = self.points, self.subject.names
        bound = self.subject.columns["bound_by"][p.row]
        symbols = bound_symbols(self.subject.levels, self.subject.bounds)
        series: list[Series] = []
        for name in self.subject.bounds:
            rows = np.flatnonzero(bound == name)
            # The large ones first, so that none hides a smaller one.
            rows = rows[np.argsort(-p.diameter[rows], kind="stable")]
            if rows.size:
                series.append(
                    Points(
                        name,
                        p.x[rows],
                        p.y[rows],
                        [self._hover(int(p.row[i])) for i in rows],
                        ids=[names[p.row[i]] for i in rows],
                        size=p.diameter[rows],
                        color=self.colors[name],
                        symbol=symbols[name],
                        edge_width=1,
                        opacity=0.8,
                        meta={"bound_by": name},
                    )
                )
        return series

    def _share(self, seconds: float) -> str:
        return f"{percent(seconds, self.latency)} of the latency"

    def _hover(self, i: int) -> str:
        c = self.subject.columns
        seconds = float(self.total[i])
        lines = [
            f"<b>{self.subject.names[i]}</b> ({c['kind'][i]})",
            f"{show(float(c['row_s'][i]), 'time')} × {c['count'][i]:g} = {show(seconds, 'time')}",
            self._share(seconds),
            f"bound by {c['bound_by'][i]}",
            si(float(c["macs"][i]), "MAC"),
            si(float(c["vector_ops"][i]), "vector operations"),
        ]
        for level in self.subject.levels:
            crossing = float(c[f"{level}_bytes"][i])
            text = f"{level}: {show(crossing, 'bytes')}"
            if crossing:
                text += f", {figures(self.subject.operations[i] / crossing)} {self.unit}/B"
            lines.append(text)
        return "<br>".join(lines)

    def _ridge_pairs(self) -> list[tuple[Roof, Roof]]:
        """Return arithmetic and the memory whose roof meets its own."""
        matrix = [roof for roof in self.formats if roof.name != "vector"] or self.formats
        pairs = [(peak, roof) for peak in matrix[:1] for roof in merged(self.memories)]
        return pairs + [(roof, self.memories[-1]) for roof in matrix[1:]]

    def _ridges(self) -> list[Series]:
        pairs = self._ridge_pairs()
        if not pairs:
            return []
        at = [peak.value / memory.value for peak, memory in pairs]
        return [
            Points(
                "",
                at,
                [peak.value for peak, _ in pairs],
                [
                    f"ridge point of {peak.name} and {memory.name}: {figures(x)} {self.unit}/B"
                    for (peak, memory), x in zip(pairs, at, strict=True)
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
        return [
            Label(
                f"ridge {figures(peak.value / memory.value)}",
                peak.value / memory.value,
                peak.value,
                5.0,
                leaders=False,
                veil=True,
            )
            for peak, memory in self._ridge_pairs()
        ]

    def _row_labels(self, area: tuple[float, float]) -> list[Label]:
        """Return the names of the rows that take the longest; near ones share one."""
        p, names = self.points, self.subject.names
        order = np.argsort(-self.total[p.row], kind="stable")
        scale = [
            pixels / math.log10(high / low)
            for pixels, (low, high) in zip(area, (self.x, self.y), strict=True)
        ]
        places = [(scale[0] * math.log10(p.x[i]), scale[1] * math.log10(p.y[i])) for i in order]
        labels: list[Label] = []
        for group in clusters(places, _REACH)[:_NAMED]:
            rows = [order[g] for g in group]
            if sum(float(self.total[p.row[i]]) for i in rows) < _SMALL * self.latency:
                continue
            first = rows[0]
            # Without the block that repeats it.
            text = names[int(p.row[first])].replace("layer.", "", 1)
            labels.append(
                Label(
                    text + (f" +{len(rows) - 1}" if len(rows) > 1 else ""),
                    float(p.x[first]),
                    float(p.y[first]),
                    float(p.diameter[first]) / 2,
                    size=12,
                    veil=True,
                )
            )
        return labels

    # Words

    def _left_out(self) -> str:
        shown = set(self.points.row.tolist())
        missing = [i for i, s in enumerate(self.total) if i not in shown and s > 0]
        if not missing:
            return ""
        rows = f"{len(missing)} {'row' if len(missing) == 1 else 'rows'}"
        share = self._share(float(sum(self.total[i] for i in missing)))
        return f"not drawn: {rows} without arithmetic or traffic, {share}"

    def _alt(self) -> str:
        subject, p = self.subject, self.points
        roofs = "; ".join(self._words(roof) for roof in (*self.memories, *self.formats))
        latency = show(self.latency, "time")
        parts = [
            f"Roofline of {subject.title} ({subject.subtitle}), latency {latency}.",
            f"Roofs: {roofs}.",
        ]
        for i in np.argsort(-self.total[p.row], kind="stable")[:5]:
            row = int(p.row[i])
            parts.append(
                f"{subject.names[row]}: {figures(float(p.x[i]))} {self.unit}/B, "
                f"{si(float(p.y[i]), self.unit + '/s')}, bound by "
                f"{subject.columns['bound_by'][row]}, {self._share(float(self.total[row]))}."
            )
        return " ".join(parts).replace("&lt;", "<")
