"""The roofline: each row of a prediction as a point under the roofs of its machine.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
architectures", CACM 52(4), 2009; a roof for each memory as in Ilic, Pratas and Sousa, "Cache-aware
roofline model", IEEE CAL 13(1), 2014.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.errors import input_error, nearest, one_of
from perfmodel.plots.labels import Placer, clusters, text_size
from perfmodel.plots.roofs import Points, Roof, compute_roofs, memory_roofs, merged, row_points
from perfmodel.plots.style import (
    BLUE,
    HEIGHT,
    INK,
    SKY,
    WIDTH,
    axis,
    bound_colors,
    bound_symbols,
    decades,
    figure,
    figures,
    percent,
    si,
)
from perfmodel.plots.subject import PredictionPoint
from perfmodel.units import show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.prediction.prediction import Prediction

_MARGIN = {"l": 80, "r": 30, "t": 84, "b": 96}
_VEIL = "rgba(255,255,255,0.65)"


def roofline(prediction: Prediction, *, level: str | None = None) -> Figure:
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
    return _RooflinePlot(subject, row_points(subject, level), level).figure()


class _RooflinePlot:
    """Everything of one roofline that depends on the extent of its axes."""

    def __init__(self, subject: PredictionPoint, points: Points, level: str | None) -> None:
        self.subject, self.points, self.level = subject, points, level
        self.memories = memory_roofs(subject)
        self.formats = compute_roofs(subject)
        if level is not None:
            self.memories = [roof for roof in self.memories if roof.name == level]
        self.unit = subject.unit
        bounds = subject.bounds
        self.colors = bound_colors(subject.levels, bounds)
        self.symbols = bound_symbols(subject.levels, bounds)
        self.traces: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []
        self._extent()

    def _extent(self) -> None:
        main, top = self.memories[-1], self.formats[0] if self.formats else None
        ridges = [top.value / roof.value for roof in self.memories] if top else []
        xs = [*self.points.x.tolist(), *ridges] or [1.0]
        ys = [*self.points.y.tolist(), *(roof.peak for roof in self.formats)] or [main.value]
        low, high = math.log10(min(xs)) - 0.6, math.log10(max(xs)) + 0.8
        if high - low < 3:
            low, high = low - (3 - high + low) / 2, high + (3 - high + low) / 2
        bottom, top_ = math.log10(min(ys)) - 0.5, math.log10(max(ys)) + 0.5
        # A roof of main memory that leaves through the left edge, not through the bottom.
        bottom = min(bottom, low + math.log10(main.value) + 0.3)
        self.place = Placer(
            WIDTH - _MARGIN["l"] - _MARGIN["r"], HEIGHT - _MARGIN["t"] - _MARGIN["b"],
            (low, high), (bottom, top_),
        )  # fmt: skip

    def figure(self) -> Figure:
        p = self.points
        for x, y, d in zip(p.x, p.y, p.diameter, strict=True):
            self.place.mark(math.log10(x), math.log10(y), d / 2)
        self._lines()
        self._roof_labels()
        self._rows()
        self._ridges()
        self._row_labels()
        x_title = f"operational intensity: {self.unit} a byte across "
        one = self.level or (self.subject.levels[0] if len(self.subject.levels) == 1 else "")
        x_title += one or "the row's slowest memory"
        low, high = self.place.xrange
        bottom, top = self.place.yrange
        return figure(
            self.traces, f"Roofline: {self.subject.title}", self._subtitle(), self._alt(),
            margin=_MARGIN,
            xaxis=axis(f"{x_title} ({self.unit}/B)", type="log", range=[low, high],
                       automargin=False, **decades(low, high)),
            yaxis=axis(f"performance ({self.unit}/s)", type="log", range=[bottom, top],
                       automargin=False, **decades(bottom, top)),
            annotations=self.notes,
            legend={"orientation": "h", "x": 0.0, "y": -0.13, "yanchor": "top",
                    "itemsizing": "constant",
                    "title": {"text": "bound by  ", "side": "left", "font": {"size": 13}}},
        )  # fmt: skip

    # lines

    def _lines(self) -> None:
        low, high = (10.0**v for v in self.place.xrange)
        bottom = 10.0 ** self.place.yrange[0]
        top = self.formats[0] if self.formats else None
        fastest = max(roof.value for roof in self.memories)
        for roof in self.memories:
            start = max(low, bottom / roof.value)
            end = top.value / roof.value if top else high
            self._line(roof, [start, end], [roof.value * start, roof.value * end],
                       self.colors[roof.name])  # fmt: skip
            if roof.peak > 1.01 * roof.value:
                end = min(top.peak / roof.peak, end) if top else high
                self._dotted([low, end], [roof.peak * low, roof.peak * end], self.colors[roof.name])
        for roof in self.formats:
            color = SKY if roof.name == "vector" else BLUE
            start = roof.value / fastest
            self._line(roof, [start, high], [roof.value, roof.value], color)
            if roof.peak > 1.01 * roof.value:
                self._dotted([roof.peak / fastest, high], [roof.peak, roof.peak], color)

    def _line(self, roof: Roof, x: list[float], y: list[float], color: str) -> None:
        self.traces.append(
            {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": roof.name,
             "showlegend": False, "hoverinfo": "text", "hovertext": self._words(roof),
             "line": {"color": color, "width": 2.5}, "meta": {"roof": roof.name}}
        )  # fmt: skip
        self.place.line((math.log10(x[0]), math.log10(y[0])), (math.log10(x[1]), math.log10(y[1])))

    def _dotted(self, x: list[float], y: list[float], color: str) -> None:
        self.traces.append(
            {"type": "scatter", "mode": "lines", "x": x, "y": y, "showlegend": False,
             "hoverinfo": "skip", "line": {"color": color, "width": 1, "dash": "dot"},
             "meta": {"theoretical": True}}
        )  # fmt: skip

    def _words(self, roof: Roof) -> str:
        arithmetic = {r.name for r in self.formats}
        unit = f"{self._unit_of(roof)}/s" if roof.name.split(", ")[0] in arithmetic else "B/s"
        text = f"{roof.name} {si(roof.value, unit)}"
        if roof.peak > 1.01 * roof.value:
            text += f" of {si(roof.peak, unit)}"
        return text

    def _unit_of(self, roof: Roof) -> str:
        if roof.name == "vector":
            return self.unit
        return "FLOP" if roof.name.startswith(("fp", "bf", "tf")) else "OP"

    def _roof_labels(self) -> None:
        for roof in merged(self.memories):
            self._slanted(roof, self.colors[roof.name.split(", ")[-1]])
        place = self.place
        # Four pixels inside the right edge.
        x = place.xrange[1] - 4 / place.per_x
        for roof in merged(self.formats):
            text, y = self._words(roof), math.log10(roof.value)
            found = place.place(x, y, text, 0.0, leaders=False)
            if found is not None:
                color = "#1F7FB8" if roof.name == "vector" else BLUE
                self.notes.append(_note(x, y, text, color, **found.annotation()))

    def _slanted(self, roof: Roof, color: str) -> None:
        """Label a memory's roof along its slope, where there is room above or below it."""
        place, text = self.place, self._words(roof)
        turn = math.atan2(place.per_y, place.per_x)
        rise = math.log10(roof.value)
        start = max(place.xrange[0], place.yrange[0] - rise) + 8 / place.per_x
        half = text_size(text)[0] / 2
        end = place.xrange[1]
        if self.formats:
            end = math.log10(self.formats[0].value) - rise
        end -= 2 * half * math.cos(turn) / place.per_x
        sides = (11.0, -11.0, 19.0, -19.0)
        if roof.peak > 1.01 * roof.value:
            # Away from the dotted line of the theoretical bandwidth.
            sides = (-11.0, -19.0, 11.0, 19.0)
        for pixels in sides:
            lift = pixels / place.per_y / math.cos(turn)
            for x in np.arange(start, end, 6 / place.per_x):
                y = float(x) + rise + lift
                if place.along(float(x), y, text, math.degrees(turn)):
                    # The anchor of a turned text is its middle: half its length up the line.
                    self.notes.append(
                        _note(float(x), y, text, color, textangle=-math.degrees(turn),
                              xanchor="center", yanchor="middle",
                              xshift=half * math.cos(turn), yshift=half * math.sin(turn))
                    )  # fmt: skip
                    return

    # points

    def _rows(self) -> None:
        columns, p = self.subject.columns, self.points
        bound = columns["bound_by"][p.row]
        names = self.subject.names
        hover = [self._hover(int(i)) for i in p.row]
        for name in self.subject.bounds:
            mine = np.flatnonzero(bound == name)
            if not mine.size:
                continue
            # The large ones first, so that none hides a smaller one.
            mine = mine[np.argsort(-p.diameter[mine], kind="stable")]
            self.traces.append(
                {"type": "scatter", "mode": "markers", "name": name, "legendgroup": name,
                 "x": p.x[mine].tolist(), "y": p.y[mine].tolist(),
                 "ids": [names[p.row[i]] for i in mine],
                 "hoverinfo": "text", "hovertext": [hover[i] for i in mine],
                 "marker": {"size": p.diameter[mine].tolist(), "color": self.colors[name],
                            "symbol": self.symbols[name], "opacity": 0.8,
                            "line": {"color": "white", "width": 1}},
                 "meta": {"bound_by": name}}
            )  # fmt: skip

    def _hover(self, i: int) -> str:
        c = self.subject.columns
        latency = float(self.subject.prediction.latency_s)
        total = float(c["total_s"][i])
        lines = [
            f"<b>{self.subject.names[i]}</b> ({c['kind'][i]})",
            f"{show(float(c['row_s'][i]), 'time')} × {c['count'][i]:g} = {show(total, 'time')}",
            f"{percent(total, latency)} of the latency",
            f"bound by {c['bound_by'][i]}",
            si(float(c["macs"][i]), "MAC"),
            si(float(c["vector_ops"][i]), "vector operations"),
        ]
        for level in self.subject.levels:
            moved = float(c[f"{level}_bytes"][i])
            text = f"{level}: {show(moved, 'bytes')}"
            if moved:
                text += f", {figures(self.subject.operations[i] / moved)} {self.unit}/B"
            lines.append(text)
        return "<br>".join(lines)

    def _ridges(self) -> None:
        if not self.formats:
            return
        matrix = [roof for roof in self.formats if roof.name != "vector"] or self.formats
        pairs = [(matrix[0], roof) for roof in merged(self.memories)]
        pairs += [(roof, self.memories[-1]) for roof in matrix[1:]]
        x = [peak.value / memory.value for peak, memory in pairs]
        y = [peak.value for peak, _ in pairs]
        hover = [
            f"ridge point of {peak.name} and {memory.name}: {figures(at)} {self.unit}/B"
            for (peak, memory), at in zip(pairs, x, strict=True)
        ]
        self.traces.append(
            {"type": "scatter", "mode": "markers", "x": x, "y": y, "showlegend": False,
             "hoverinfo": "text", "hovertext": hover, "meta": {"ridges": True},
             "marker": {"symbol": "circle-open", "size": 9, "color": INK, "line": {"width": 1.5}}}
        )  # fmt: skip
        for at, height in zip(x, y, strict=True):
            text = f"ridge {figures(at)}"
            self.place.mark(math.log10(at), math.log10(height), 4)
            found = self.place.place(
                math.log10(at), math.log10(height), text, 5.0, 11.0, leaders=False
            )
            if found is not None:
                self.notes.append(
                    _note(math.log10(at), math.log10(height), text, INK, size=11,
                          bgcolor=_VEIL, **found.annotation())
                )  # fmt: skip

    def _row_labels(self, most: int = 7) -> None:
        p, place = self.points, self.place
        total = self.subject.columns["total_s"][p.row]
        order = np.argsort(-total, kind="stable")
        at = [place.pixel(math.log10(p.x[i]), math.log10(p.y[i])) for i in order]
        names = self.subject.names
        latency = float(self.subject.prediction.latency_s)
        for group in clusters(at, 32.0)[:most]:
            members: list[int] = [int(order[g]) for g in group]
            first = members[0]
            if sum(float(total[m]) for m in members) < 0.004 * latency:
                continue
            text = _short(names[int(p.row[first])])
            if len(members) > 1:
                text += f" +{len(members) - 1}"
            x, y = math.log10(p.x[first]), math.log10(p.y[first])
            found = place.place(x, y, text, float(p.diameter[first]) / 2)
            if found is not None:
                self.notes.append(_note(x, y, text, INK, bgcolor=_VEIL, **found.annotation()))

    # words

    def _subtitle(self) -> str:
        text = self.subject.subtitle
        out = self._left_out()
        return text + (f"<br>{out}" if out else "")

    def _left_out(self) -> str:
        shown = set(self.points.row.tolist())
        total = self.subject.columns["total_s"]
        missing = [i for i in range(len(total)) if i not in shown and total[i] > 0]
        if not missing:
            return ""
        share = percent(
            float(sum(total[i] for i in missing)), float(self.subject.prediction.latency_s)
        )
        word = "row" if len(missing) == 1 else "rows"
        what = f"{len(missing)} {word} without arithmetic or traffic"
        return f"not drawn: {what}, {share} of the latency"

    def _alt(self) -> str:
        subject, p = self.subject, self.points
        latency = float(subject.prediction.latency_s)
        roofs = "; ".join(self._words(roof) for roof in (*self.memories, *self.formats))
        head = f"Roofline of {subject.title} ({subject.subtitle}), latency {show(latency, 'time')}."
        parts = [head, f"Roofs: {roofs}."]
        total = subject.columns["total_s"][p.row]
        for i in np.argsort(-total, kind="stable")[:5]:
            row = int(p.row[i])
            parts.append(
                f"{subject.names[row]}: {figures(float(p.x[i]))} {self.unit}/B, "
                f"{si(float(p.y[i]), self.unit + '/s')}, "
                f"bound by {subject.columns['bound_by'][row]}, "
                f"{percent(float(total[i]), latency)} of the latency."
            )
        return " ".join(parts).replace("&lt;", "<")


def _short(name: str) -> str:
    """Return a row's name without the block that repeats it."""
    return name.replace("layer.", "", 1)


def _note(
    x: float, y: float, text: str, color: str, *, size: int = 12, **more: Any
) -> dict[str, Any]:
    return {
        "x": float(x), "y": float(y), "text": text, "showarrow": False, "borderpad": 0,
        "font": {"size": size, "color": color}, **more,
    }  # fmt: skip
