"""A chain of operators: capacity against least traffic, layer by layer, fused, and best cut.

The form of the plot is that of Huang et al., "Mind the gap: attainable data movement and
operational intensity bounds for tensor algorithms", ISCA 2024.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perfmodel.errors import Fault, InputError
from perfmodel.plots.labels import Placer
from perfmodel.plots.style import BLUE, GREY, HEIGHT, ORANGE, VERMILION, WIDTH, axis, binary, figure
from perfmodel.units import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plotly.graph_objects import Figure

    from perfmodel.cost.traffic.chains import ChainGroup, ChainStaircase

_MARGIN = {"l": 90, "r": 30, "t": 92, "b": 96}
#: Points that a curve is drawn with at most.
_POINTS = 400

Column = npt.NDArray[np.float64]


def chain(
    chains: ChainStaircase, *, names: Sequence[str] = (), least: float | None = None
) -> Figure:  # fmt: skip
    """Draw least traffic of a chain against the capacity of the buffer, log-log.

    One curve has all operators run one by one, one all of them fused, and one the best cuts into
    fused groups. Hovering over the last shows its groups with their tiles. A band below the curves
    shows which operators run together.

    Parameters
    ----------
    chains
        The chain.
    names
        A name for each operator.
    least
        Capacity in bytes where the axis starts; by default where all operators fit.

    Raises
    ------
    InputError
        Names of another number than operators.
    """
    number = len(chains.nests)
    labels = list(names) or [f"{i + 1}" for i in range(number)]
    if len(labels) != number:
        raise InputError(
            Fault(f"{len(labels)} names for {number} operators", path="names",
                  expected="a name for each operator")
        )  # fmt: skip
    start = float(chains.capacity_bytes[0]) if least is None else float(least)
    if not (math.isfinite(start) and start > 0):
        raise InputError(Fault(f"{start} is no capacity", path="least", expected="bytes above 0"))
    return _ChainPlot(chains, labels, start).figure()


def _moved(value: float) -> str:
    return show(value, "bytes", unit="B")


class _ChainPlot:
    """Curves, their ends and the bands of groups."""

    def __init__(self, chains: ChainStaircase, names: list[str], start: float) -> None:
        self.chains, self.names = chains, names
        end = max(chains.effectual_capacity_bytes, 2 * start)
        self.low, self.high = math.log10(start), math.log10(end) + 0.35
        steps = chains.capacity_bytes[chains.capacity_bytes >= start]
        grid: Column = 10.0 ** np.linspace(self.low, self.high, _POINTS // 2)
        every = np.unique(
            np.concatenate([grid, steps[:: max(1, 2 * len(steps) // _POINTS)], steps[-1:]])
        )
        self.capacity: Column = every
        self.best = np.asarray(chains(every))
        self.alone = np.asarray(chains.unfused(every))
        self.together = np.asarray(chains.fused(every))
        finite = np.concatenate([self.best, self.alone])
        finite = finite[np.isfinite(finite) & (finite > 0)]
        if not finite.size:
            finite = np.ones(1)
        pad = 0.07 * max(0.5, math.log10(float(finite.max() / finite.min())))
        self.bottom = math.log10(float(finite.min())) - pad
        self.top = math.log10(float(finite.max())) + pad

    def figure(self) -> Figure:
        traces = self._curves()
        bands, notes = self._bands()
        several = len(self.chains.nests) > 1
        return figure(
            [*traces, *bands], "Least traffic of a chain against capacity",
            f"{', '.join(self.names)}; {self.chains.conventions}", self._alt(),
            margin=_MARGIN, annotations=[*notes, *self._ends()], showlegend=several,
            xaxis=axis("capacity of the buffer", type="log", range=[self.low, self.high],
                       automargin=False, anchor="y2", **self._x_ticks()),
            yaxis=axis("traffic across its boundary", type="log", range=[self.bottom, self.top],
                       automargin=False, domain=[0.23, 1], **self._y_ticks()),
            yaxis2=axis("", domain=[0, 0.16], anchor="x", showgrid=False, automargin=False,
                        range=[len(self.names) - 0.4, -0.6], tickmode="array",
                        tickvals=list(range(len(self.names))), ticktext=self.names,
                        tickfont={"size": 11}),
            legend={"x": 0.99, "y": 0.99, "xanchor": "right", "bgcolor": "rgba(255,255,255,0.8)"},
            bargap=0,
        )  # fmt: skip

    def _x_ticks(self) -> dict[str, Any]:
        first, last = math.ceil(self.low / math.log10(4)), math.floor(self.high / math.log10(4))
        step = max(1, math.ceil((last - first + 1) / 9))
        values = [4.0**p for p in range(first, last + 1, step)]
        return {"tickmode": "array", "tickvals": values, "ticktext": [binary(v) for v in values]}

    def _y_ticks(self) -> dict[str, Any]:
        first, last = math.ceil(self.bottom), math.floor(self.top)
        several = (1.0,) if last - first >= 2 else (1.0, 2.0, 5.0)
        values = [
            m * 10.0**p for p in range(first - 1, last + 1) for m in several
            if self.bottom <= math.log10(m * 10.0**p) <= self.top
        ]  # fmt: skip
        return {"tickmode": "array", "tickvals": values, "ticktext": [_moved(v) for v in values]}

    def _curves(self) -> list[dict[str, Any]]:
        kinds = [
            ("one by one", self.alone, GREY, "dash"),
            ("all fused", self.together, ORANGE, "dot"),
            ("best cuts", self.best, BLUE, "solid"),
        ]
        traces: list[dict[str, Any]] = []
        for name, values, color, dash in kinds:
            shown = np.isfinite(values) & (values > 0)
            hover = {
                "hovertemplate": "%{x:.4s}B: %{y:.4s}B<extra>" + name + "</extra>"
            }  # fmt: skip
            if name == "best cuts":
                hover = {
                    "hoverinfo": "text",
                    "hovertext": [self._hover(float(c)) for c in self.capacity[shown]],
                }
            traces.append(
                {"type": "scatter", "mode": "lines", "name": name,
                 "x": self.capacity[shown].tolist(), "y": values[shown].tolist(),
                 "line": {"color": color, "width": 2.2 if name == "best cuts" else 1.8,
                          "dash": dash, "shape": "hv"},
                 "meta": {"curve": name}, **hover}
            )  # fmt: skip
        if len(self.chains.nests) == 1:
            traces = traces[2:]
        least = self.chains.compulsory_bytes
        traces.append(
            {"type": "scatter", "mode": "lines", "name": "compulsory", "showlegend": False,
             "x": [10.0**self.low, 10.0**self.high], "y": [least, least], "hoverinfo": "skip",
             "line": {"color": BLUE, "width": 1, "dash": "dash"}, "opacity": 0.6,
             "meta": {"compulsory": True}}
        )  # fmt: skip
        return traces

    def _hover(self, capacity: float) -> str:
        lines = [f"{binary(capacity)}: {_moved(float(self.chains(capacity)))}"]
        lines += [self._words(group) for group in self.chains.partition(capacity)]
        return "<br>".join(lines)

    def _words(self, group: ChainGroup) -> str:
        names = " + ".join(self.names[group.first : group.last + 1])
        text = f"{names}: {_moved(group.traffic_bytes)}"
        if group.lies_on_chip[1]:
            text += ", output stays on chip"
        if group.first == group.last:
            return text
        images, rows, columns = group.tile
        if rows:
            tile = f"{rows} rows" if columns == 1 else f"{rows} x {columns}"
            text += f", tiles of {tile}" + (f", {images} images" if images > 1 else "")
        if group.slice_channels:
            text += f", {group.slice_channels} channels between at a time"
        if group.kept_weights:
            text += f", weights of {', '.join(self.names[i] for i in group.kept_weights)} kept"
        if group.recomputed > 1:
            text += f", {100 * (group.recomputed - 1):.0f} % recomputed"
        return text

    def _bands(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return one bar a group over the capacities at which it is the best cut."""
        if len(self.chains.nests) == 1:
            return [], []
        spans: list[tuple[float, tuple[tuple[int, int], ...]]] = []
        for at in range(160):
            capacity = 10.0 ** (self.low + (self.high - self.low) * at / 159)
            cuts = tuple((g.first, g.last) for g in self.chains.partition(capacity))
            if not spans or spans[-1][1] != cuts:
                spans.append((capacity, cuts))
        ends = [*(s[0] for s in spans[1:]), 10.0**self.high]
        traces: list[dict[str, Any]] = []
        for (start, cuts), end in zip(spans, ends, strict=True):
            for first, last in cuts:
                color = VERMILION if last > first else "#BBBBBB"
                names = " + ".join(self.names[first : last + 1])
                traces.append(
                    {"type": "scatter", "mode": "lines", "fill": "toself", "yaxis": "y2",
                     "x": [start, end, end, start, start],
                     "y": [first - 0.38, first - 0.38, last + 0.38, last + 0.38, first - 0.38],
                     "line": {"width": 0.5, "color": "white"}, "fillcolor": color,
                     "opacity": 0.75, "showlegend": False, "hoveron": "fills",
                     "hoverinfo": "text", "text": names,
                     "meta": {"group": [first, last], "from": start, "to": end}}
                )  # fmt: skip
        note = {
            "x": 1, "y": 0.185, "xref": "x domain", "yref": "paper", "showarrow": False,
            "xanchor": "right", "yanchor": "middle", "font": {"size": 11, "color": GREY},
            "text": "operators that run together at the best cuts, grey: one alone",
        }  # fmt: skip
        return traces, [note]

    def _ends(self) -> list[dict[str, Any]]:
        """Label where fusion starts to pay, and from where more room saves nothing."""
        place = Placer(
            WIDTH - _MARGIN["l"] - _MARGIN["r"], 0.77 * (HEIGHT - _MARGIN["t"] - _MARGIN["b"]),
            (self.low, self.high), (self.bottom, self.top),
        )  # fmt: skip
        bottom = math.log10(self.chains.compulsory_bytes)
        place.line((self.low, bottom), (self.high, bottom))
        for values in (self.best, self.alone, self.together):
            good = np.isfinite(values) & (values > 0)
            x, y = np.log10(self.capacity[good]), np.log10(values[good])
            for i in range(len(x) - 1):
                place.line((float(x[i]), float(y[i])), (float(x[i + 1]), float(y[i + 1])))
        notes: list[dict[str, Any]] = []
        marks = [
            (self.chains.effectual_capacity_bytes, "{moved} from {held} on"),
            (self._saving(), "fusion first saves 1 % in {held}"),
        ]
        for capacity, text in marks:
            if not (math.isfinite(capacity) and capacity >= 10.0**self.low):
                continue
            moved = float(self.chains(capacity))
            at = math.log10(capacity), math.log10(moved)
            place.mark(*at, 5)
            words = text.format(moved=_moved(moved), held=binary(capacity))
            found = place.place(*at, words, 5.0, 11.0)
            if found is not None:
                notes.append(
                    {"x": at[0], "y": at[1], "text": words, "font": {"size": 11}, "borderpad": 0,
                     "bgcolor": "rgba(255,255,255,0.7)", **found.annotation()}
                )  # fmt: skip
        return notes

    def _saving(self) -> float:
        """Return the least capacity at which the best cuts move 1 % less than one by one."""
        rooms = self.chains.capacity_bytes
        found = np.flatnonzero(self.chains.traffic_bytes <= 0.99 * self.chains.unfused(rooms))
        return float(rooms[found[0]]) if found.size else math.inf

    def _alt(self) -> str:
        chains = self.chains
        first = float(chains.capacity_bytes[0])
        text = (
            f"Least traffic of {len(self.names)} operators ({', '.join(self.names)}) against the "
            f"capacity of a buffer: from {_moved(float(chains.traffic_bytes[0]))} in "
            f"{binary(first)} down to the compulsory {_moved(chains.compulsory_bytes)} from "
            f"{binary(chains.effectual_capacity_bytes)} on, {chains.conventions}."
        )
        if math.isfinite(self._saving()):
            text += f" Fusion first saves 1 % in {binary(self._saving())}."
        alone = float(chains.unfused(chains.effectual_capacity_bytes))
        return f"{text} One by one the operators move {_moved(alone)} at least."
