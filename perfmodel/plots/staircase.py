"""Traffic against capacity: the staircases of one or several nests, with the tile of each step.

The form of the plot, least data movement over buffer capacity down to the compulsory traffic, is
that of Huang et al., "Mind the gap: attainable data movement and operational intensity bounds for
tensor algorithms", ISCA 2024.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.errors import input_error
from perfmodel.plots.labels import Placer
from perfmodel.plots.style import GREY, HEIGHT, SERIES, SYMBOLS, WIDTH, axis, binary, figure
from perfmodel.units import UnitError, parse, show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from perfmodel.cost.traffic.staircase import Staircase, Tile

_MARGIN = {"l": 90, "r": 30, "t": 92, "b": 70}
#: Markers on a curve at most.
_MARKERS = 12


def staircase(
    staircases: Staircase | Mapping[str, Staircase],
    *,
    capacity: float | str | None = None,
    least: float | str | None = None,
    bounds: Mapping[str, tuple[Any, Any]] | None = None,
) -> Figure:
    """Draw least traffic against the capacity of the buffer, log-log.

    Hovering over a step shows its tile, what stays and the bytes of each operand. Dashed lines are
    the compulsory traffic, each operand once; a curve ends in it.

    Parameters
    ----------
    staircases
        One, or a name for each of several.
    capacity
        A capacity to mark, bytes or a text such as ``"64 KiB"``.
    least
        Where the axis of capacities starts; by default at the smallest tile.
    bounds
        Further curves, such as lower bounds: name -> capacities and bytes.

    Raises
    ------
    InputError
        Nothing to draw, or a capacity that is none.
    """
    if not isinstance(staircases, Mapping):
        staircases = {"": staircases}
    if not staircases:
        raise input_error("there is no staircase to draw", path="staircases")
    marked = None if capacity is None else _capacity(capacity, "capacity")
    start = None if least is None else _capacity(least, "least")
    return _StaircasePlot(staircases, marked, start, bounds or {}).figure()


def _capacity(capacity: float | str, path: str) -> float:
    try:
        value = parse(capacity, "bytes") if isinstance(capacity, str) else float(capacity)
    except UnitError as error:
        raise input_error(
            error.message, path=path, expected=error.expected, suggestion=error.suggestion
        ) from None
    if not (math.isfinite(value) and value > 0):
        raise input_error(f"{capacity} is no capacity", path=path, expected="bytes above 0")
    return value


def _moved(value: float) -> str:
    """Return bytes of traffic, with decimal prefixes as bandwidths have them."""
    return show(value, "bytes", unit="B")


def _ticks(low: float, high: float, base: int, write: Callable[[float], str]) -> dict[str, Any]:
    """Return at most nine ticks of a log axis at powers of a base, or of a power of it."""
    first, last = math.ceil(low / math.log10(base)), math.floor(high / math.log10(base))
    step = max(1, math.ceil((last - first + 1) / 9))
    values = [float(base) ** p for p in range(first + (-first) % step, last + 1, step)]
    return {"tickmode": "array", "tickvals": values, "ticktext": [write(v) for v in values]}


class _StaircasePlot:
    """Curves, their ends and their labels in one pair of axes."""

    def __init__(
        self, staircases: Mapping[str, Staircase], marked: float | None, start: float | None,
        bounds: Mapping[str, tuple[Any, Any]],
    ) -> None:  # fmt: skip
        self.staircases, self.marked, self.bounds = staircases, marked, bounds
        self.traces: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []
        # A log axis has no place for a buffer of nothing.
        lows = [max(float(s.capacity_bytes[0]), 0.5) for s in staircases.values()]
        highs = [max(float(s.capacity_bytes[-1]), 0.5) for s in staircases.values()]
        if marked is not None:
            lows, highs = [*lows, marked], [*highs, marked]
        self.low, self.high = math.log10(min(lows)) - 0.1, math.log10(max(highs)) + 0.75
        if start is not None:
            self.low = min(math.log10(start), self.high - 0.85)
        self.start: float = 10.0**self.low
        moved = np.concatenate([
            s.traffic_bytes[max(0, s.index(self.start)) :] for s in staircases.values()
        ])  # fmt: skip
        moved = moved[moved > 0] if np.any(moved > 0) else np.ones(1)
        pad = 0.09 * max(0.5, math.log10(float(moved.max() / moved.min())))
        self.bottom = math.log10(float(moved.min())) - pad
        self.top = math.log10(float(moved.max())) + pad
        self.place = Placer(
            WIDTH - _MARGIN["l"] - _MARGIN["r"], HEIGHT - _MARGIN["t"] - _MARGIN["b"],
            (self.low, self.high), (self.bottom, self.top),
        )  # fmt: skip

    def figure(self) -> Figure:
        for name, (x, y) in self.bounds.items():
            self.traces.append(
                {"type": "scatter", "mode": "lines", "name": name,
                 "x": np.asarray(x, dtype=float).tolist(), "y": np.asarray(y, dtype=float).tolist(),
                 "line": {"color": GREY, "width": 1.4, "dash": "dot"}, "meta": {"bound": name},
                 "hovertemplate": "%{y:.4s}B<extra>" + name + "</extra>"}
            )  # fmt: skip
        for i, (name, stairs) in enumerate(self.staircases.items()):
            self._curve(name, stairs, SERIES[i % len(SERIES)], SYMBOLS[i % len(SYMBOLS)])
        if self.marked is not None:
            self._mark(self.marked)
        self._ends()
        several = len(self.staircases) > 1 or bool(self.bounds)
        return figure(
            self.traces, "Least traffic against capacity", self._subtitle(), self._alt(),
            margin=_MARGIN, annotations=self.notes, showlegend=several,
            xaxis=axis("capacity of the buffer", type="log", range=[self.low, self.high],
                       automargin=False, **_ticks(self.low, self.high, 2, binary)),
            yaxis=axis("traffic across its boundary", type="log", range=[self.bottom, self.top],
                       automargin=False, **_ticks(self.bottom, self.top, 10, _moved)),
            legend={"x": 0.99, "y": 0.99, "xanchor": "right", "bgcolor": "rgba(255,255,255,0.8)",
                    "title": {"text": f"in {binary(self.marked)}" if self.marked else "",
                              "font": {"size": 13}}},
        )  # fmt: skip

    def _subtitle(self) -> str:
        kinds = list(dict.fromkeys(str(s.conventions) for s in self.staircases.values()))
        if len(self.staircases) == 1:
            (name,) = self.staircases
            return ": ".join([n for n in (name, kinds[0]) if n])
        return "; ".join(kinds) if len(kinds) < 3 else "under several conventions"

    def _curve(self, name: str, stairs: Staircase, color: str, symbol: str) -> None:
        x = np.maximum(stairs.capacity_bytes, 0.5)
        y = stairs.traffic_bytes
        self.traces.append(
            {"type": "scatter", "mode": "lines+markers", "legendgroup": name,
             "name": self._entry(name, stairs),
             "x": [*x.tolist(), 10.0**self.high], "y": [*y.tolist(), float(y[-1])],
             "line": {"color": color, "width": 1.8, "shape": "hv"},
             "marker": {"size": 6, "symbol": symbol, "color": color, "maxdisplayed": _MARKERS},
             "hoverinfo": "text", "meta": {"steps": len(stairs)},
             "hovertext": [*(_hover(name, stairs, i) for i in range(len(stairs))), ""]}
        )  # fmt: skip
        if y[-1] > 0:
            self.traces.append(
                {"type": "scatter", "mode": "lines", "name": f"{name} compulsory".strip(),
                 "legendgroup": name, "showlegend": False, "x": [10.0**self.low, 10.0**self.high],
                 "y": [float(y[-1])] * 2, "hoverinfo": "skip",
                 "line": {"color": color, "width": 1, "dash": "dash"}, "opacity": 0.6,
                 "meta": {"compulsory": name}}
            )  # fmt: skip
        ends = np.append(np.maximum(np.log10(x), self.low), self.high)
        for i in range(max(0, stairs.index(self.start)), len(x)):
            if y[i] > 0:
                level = math.log10(y[i])
                self.place.line((ends[i], level), (ends[i + 1], level))
                if i and y[i - 1] > 0:
                    self.place.line((ends[i], math.log10(y[i - 1])), (ends[i], level))

    def _entry(self, name: str, stairs: Staircase) -> str:
        """Return a curve's line of the legend, with what it moves in the marked capacity."""
        if self.marked is None:
            return name or "traffic"
        moved = stairs(self.marked)
        return f"{name}: {_moved(moved)}" if math.isfinite(moved) else f"{name}: does not fit"

    def _ends(self) -> None:
        """Label where curves reach their compulsory traffic: of equal ends, the first."""
        first: dict[float, str] = {}
        for name, stairs in self.staircases.items():
            other = first.setdefault(stairs.compulsory_bytes, name)
            if stairs.capacity_bytes[-1] < self.staircases[other].capacity_bytes[-1]:
                first[stairs.compulsory_bytes] = name
        for name in first.values():
            stairs = self.staircases[name]
            x, y = max(float(stairs.capacity_bytes[-1]), 0.5), float(stairs.traffic_bytes[-1])
            if not y > 0:
                continue
            at = math.log10(x), math.log10(y)
            self.place.mark(*at, 5)
            text = f"{_moved(y)} from {binary(x)} on"
            text = f"{name}: {text}" if name else text
            found = self.place.place(*at, text, 5.0, 11.0)
            if found is not None:
                self.notes.append(
                    {"x": at[0], "y": at[1], "text": text, "font": {"size": 11}, "borderpad": 0,
                     "bgcolor": "rgba(255,255,255,0.7)", **found.annotation()}
                )  # fmt: skip

    def _mark(self, capacity: float) -> None:
        at = math.log10(capacity)
        self.traces.append(
            {"type": "scatter", "mode": "lines", "showlegend": False, "hoverinfo": "skip",
             "x": [capacity] * 2, "y": [10.0**self.bottom, 10.0**self.top],
             "line": {"color": GREY, "width": 1}, "meta": {"marked": capacity}}
        )  # fmt: skip
        self.place.line((at, self.bottom), (at, self.top))
        for stairs in self.staircases.values():
            moved = stairs(capacity)
            if not (math.isfinite(moved) and moved > 0):
                continue
            self.place.mark(at, math.log10(moved), 5)
            if len(self.staircases) > 1:
                continue
            text = f"{_moved(moved)} in {binary(capacity)}"
            found = self.place.place(at, math.log10(moved), text, 6.0, 11.0)
            if found is not None:
                self.notes.append(
                    {"x": at, "y": math.log10(moved), "text": text, "font": {"size": 11},
                     "bgcolor": "rgba(255,255,255,0.7)", "borderpad": 0, **found.annotation()}
                )  # fmt: skip

    def _alt(self) -> str:
        parts = ["Least traffic across the boundary of a buffer against its capacity."]
        for name, stairs in self.staircases.items():
            first, last = float(stairs.capacity_bytes[0]), float(stairs.capacity_bytes[-1])
            most, least = float(stairs.traffic_bytes[0]), float(stairs.traffic_bytes[-1])
            head = f"{name}: " if name else ""
            parts.append(
                f"{head}{len(stairs)} steps, from {_moved(most)} in {binary(first)} down to "
                f"the compulsory {_moved(least)} from {binary(last)} on, {stairs.conventions}."
            )
            if self.marked is not None:
                moved, tile = stairs(self.marked), stairs.tile(self.marked)
                there = f"In {binary(self.marked)}: "
                if tile is None:
                    parts.append(there + "no tile fits.")
                else:
                    parts.append(f"{there}{_moved(moved)}, {_words(stairs, tile)}.")
        return " ".join(parts)


def _words(stairs: Staircase, tile: Tile) -> str:
    """Return a tile in words: extents that are cut, what stays, panels."""
    if tile.stationary == "all":
        return "everything held whole"
    cut = [
        f"{name.replace('_', ' ')} {t} of {getattr(stairs.tiled, name)}"
        for name, t in tile._asdict().items()
        if isinstance(t, int) and getattr(stairs.tiled, name) > 1
    ]
    text = f"{tile.stationary} stationary, {', '.join(cut)}" if cut else tile.stationary
    for operand, along in tile.panels.items():
        text += f"; {operand} whole along {', '.join(n.replace('_', ' ') for n in along)}"
    return text


def _hover(name: str, stairs: Staircase, step: int) -> str:
    lines = [f"<b>{name}</b>"] if name else []
    moved = [
        f"{operand} {_moved(float(column[step]))}"
        for operand, column in (
            ("input", stairs.input_bytes),
            ("weight", stairs.weight_bytes),
            ("output", stairs.output_bytes),
        )
    ]
    lines.append(f"capacity {binary(float(stairs.capacity_bytes[step]))}")
    lines.append(f"traffic {_moved(float(stairs.traffic_bytes[step]))}: {', '.join(moved)}")
    lines += _words(stairs, stairs.step_tile(step)).split("; ")
    return "<br>".join(lines)
