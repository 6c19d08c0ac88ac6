"""Traffic against capacity: the staircases of one or several nests, with the tile of each step.

The form of the plot, least data movement over buffer capacity down to the compulsory traffic, is
that of Huang et al., "Mind the gap: attainable data movement and operational intensity bounds for
tensor algorithms", ISCA 2024.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from perfmodel.charts import (
    GREY,
    Chart,
    ChartAxis,
    Label,
    Lines,
    Panel,
    Picture,
    Series,
    binary,
    looks,
)
from perfmodel.errors import input_error
from perfmodel.units import UnitError, parse, show

if TYPE_CHECKING:
    from perfmodel.cost.traffic.staircase import Staircase, Tile

#: Markers on a curve at most.
_MARKERS = 12


@Picture
def staircase(
    staircases: Staircase | Mapping[str, Staircase],
    *,
    capacity: float | str | None = None,
    least: float | str | None = None,
    bounds: Mapping[str, tuple[Any, Any]] | None = None,
) -> Chart:
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
    return _StaircasePlot(staircases, marked, start, bounds or {}).chart()


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


def _traffic(value: float) -> str:
    """Return bytes of traffic, with decimal prefixes as bandwidths have them."""
    return show(value, "bytes", unit="B")


class _StaircasePlot:
    """Curves, their ends and their labels in one pair of axes."""

    def __init__(
        self,
        staircases: Mapping[str, Staircase],
        marked: float | None,
        start: float | None,
        bounds: Mapping[str, tuple[Any, Any]],
    ) -> None:
        self.staircases, self.marked, self.bounds = staircases, marked, bounds
        # A log axis has no place for a buffer of nothing.
        ends = [max(float(c), 0.5) for s in staircases.values() for c in s.capacity_bytes[[0, -1]]]
        ends += [] if marked is None else [marked]
        self.high = max(ends) * 10**0.75
        self.low = min(start or min(ends) / 10**0.1, self.high / 10**0.85)
        crossing = np.concatenate(
            [s.traffic_bytes[max(0, s.index(self.low)) :] for s in staircases.values()]
        )
        crossing = crossing[crossing > 0] if np.any(crossing > 0) else np.ones(1)
        least, most = float(crossing.min()), float(crossing.max())
        pad = max(math.sqrt(10.0), most / least) ** 0.09
        self.bottom, self.top = least / pad, most * pad

    def chart(self) -> Chart:
        series: list[Series] = [
            Lines(
                name,
                np.asarray(x, dtype=float).tolist(),
                np.asarray(y, dtype=float).tolist(),
                [f"{name}: {_traffic(v)}" for v in np.asarray(y, dtype=float).tolist()],
                color=GREY,
                width=1.4,
                dash="dot",
                meta={"bound": name},
            )
            for name, (x, y) in self.bounds.items()
        ]
        labels: list[Label] = []
        for i, (name, stairs) in enumerate(self.staircases.items()):
            series += self._curve(name, stairs, *looks(i)[:2])
        if self.marked is not None:
            series.append(
                Lines(
                    "",
                    [self.marked] * 2,
                    [self.bottom, self.top],
                    color=GREY,
                    width=1,
                    meta={"marked": self.marked},
                )
            )
            labels += self._mark(self.marked)
        several = len(self.staircases) > 1 or bool(self.bounds)
        return Chart(
            "Least traffic against capacity",
            self._subtitle(),
            self._alt(),
            [
                Panel(
                    ChartAxis("capacity of the buffer", self.low, self.high, "bytes", log=True),
                    ChartAxis(
                        "traffic across its boundary", self.bottom, self.top, "traffic", log=True
                    ),
                    series,
                    labels=[*self._ends(), *labels],
                )
            ],
            legend="inside" if several else "",
            heading=f"in {binary(self.marked)}" if self.marked else "",
        )

    def _subtitle(self) -> str:
        kinds = list(dict.fromkeys(str(s.conventions) for s in self.staircases.values()))
        if len(self.staircases) == 1:
            (name,) = self.staircases
            return ": ".join([n for n in (name, kinds[0]) if n])
        return "; ".join(kinds) if len(kinds) < 3 else "under several conventions"

    def _curve(self, name: str, stairs: Staircase, color: str, symbol: str) -> list[Lines]:
        """Return a curve that runs on to the right edge, and its compulsory traffic."""
        y = stairs.traffic_bytes.tolist()
        curve = Lines(
            self._entry(name, stairs),
            [*np.maximum(stairs.capacity_bytes, 0.5).tolist(), self.high],
            [*y, y[-1]],
            [*(_hover(name, stairs, i) for i in range(len(stairs))), ""],
            group=name,
            color=color,
            width=1.8,
            step="hv",
            symbol=symbol,
            size=6,
            most=_MARKERS,
            meta={"steps": len(stairs)},
        )
        if not y[-1] > 0:
            return [curve]
        least = Lines(
            "",
            [self.low, self.high],
            [y[-1]] * 2,
            group=name,
            color=color,
            width=1,
            dash="dash",
            opacity=0.6,
            meta={"compulsory": name},
        )
        return [curve, least]

    def _entry(self, name: str, stairs: Staircase) -> str:
        """Return a curve's line of the legend, with what it moves in the marked capacity."""
        if self.marked is None:
            return name or "traffic"
        bytes_ = stairs(self.marked)
        return f"{name}: {_traffic(bytes_)}" if math.isfinite(bytes_) else f"{name}: does not fit"

    def _ends(self) -> list[Label]:
        """Label where curves reach their compulsory traffic: of equal ends, the first."""
        first: dict[float, tuple[float, str]] = {}
        for name, stairs in self.staircases.items():
            end = max(float(stairs.capacity_bytes[-1]), 0.5), name
            known = first.setdefault(stairs.compulsory_bytes, end)
            if end[0] < known[0]:
                first[stairs.compulsory_bytes] = end
        return [
            Label(
                f"{name}{': ' if name else ''}{_traffic(y)} from {binary(x)} on",
                x,
                y,
                5.0,
                veil=True,
            )
            for y, (x, name) in first.items()
            if y > 0
        ]

    def _mark(self, capacity: float) -> list[Label]:
        """Label what one staircase moves in the marked capacity."""
        (moves, *others) = [stairs(capacity) for stairs in self.staircases.values()]
        if others or not (math.isfinite(moves) and moves > 0):
            return []
        text = f"{_traffic(moves)} in {binary(capacity)}"
        return [Label(text, capacity, moves, 6.0, veil=True)]

    def _alt(self) -> str:
        parts = ["Least traffic across the boundary of a buffer against its capacity."]
        for name, stairs in self.staircases.items():
            first, last = float(stairs.capacity_bytes[0]), float(stairs.capacity_bytes[-1])
            most, least = float(stairs.traffic_bytes[0]), float(stairs.traffic_bytes[-1])
            head = f"{name}: " if name else ""
            parts.append(
                f"{head}{len(stairs)} steps, from {_traffic(most)} in {binary(first)} down to "
                f"the compulsory {_traffic(least)} from {binary(last)} on, {stairs.conventions}."
            )
            if self.marked is not None:
                bytes_, tile = stairs(self.marked), stairs.tile(self.marked)
                words = "no tile fits"
                if tile is not None:
                    words = f"{_traffic(bytes_)}, {_words(stairs, tile)}"
                parts.append(f"In {binary(self.marked)}: {words}.")
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
    bytes_ = [
        f"{operand} {_traffic(float(column[step]))}"
        for operand, column in (
            ("input", stairs.input_bytes),
            ("weight", stairs.weight_bytes),
            ("output", stairs.output_bytes),
        )
    ]
    lines.append(f"capacity {binary(float(stairs.capacity_bytes[step]))}")
    lines.append(f"traffic {_traffic(float(stairs.traffic_bytes[step]))}: {', '.join(bytes_)}")
    lines += _words(stairs, stairs.step_tile(step)).split("; ")
    return "<br>".join(lines)
