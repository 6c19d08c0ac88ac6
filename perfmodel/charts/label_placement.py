"""Placement of labels so that none covers another, in pixels of a log-log or linear plot.

A greedy point-feature label placement (Christensen, Marks and Shieber, ACM Transactions on Graphics
14(3), 1995): labels are placed in order of importance, each at the candidate position with the
least overlap with markers, lines and placed labels, and left out if every position hides a label.
Used by the roofline and by other plots with named points.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from perfmodel.charts.chart import ChartAxis, Lines, Note, Panel, Points

#: Mean character width and line height, relative to the font size.
_ADVANCE, _LINE = 0.56, 1.3
#: Largest number of points per series that labels avoid.
_MOST = 2000


class Box(NamedTuple):
    """A rectangle in pixels, y upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Return the common area in square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return width * height if width > 0 and height > 0 else 0.0


def text_size(text: str, size: float = 12.0) -> tuple[float, float]:
    """Return estimated width and height of a text in pixels."""
    lines = text.split("<br>")
    return max(map(len, lines)) * size * _ADVANCE + 4, len(lines) * size * _LINE


class LabelPlacement(NamedTuple):
    """Position of a label relative to its point: pixels to its anchor, y upwards."""

    dx: float
    dy: float
    xanchor: str
    yanchor: str
    leader: bool


_ACROSS = {1: "left", 0: "center", -1: "right"}
_UP = {1: "bottom", 0: "middle", -1: "top"}
_NEAR = 3.0
_SIDES = ((1, 0), (0, 1), (0, -1), (-1, 0), (1, -1), (1, 1), (-1, 1), (-1, -1))
_COMPASS = [(dx, dy, distance) for distance in (_NEAR, 20.0, 38.0) for dx, dy in _SIDES]


@dataclass
class Placer:
    """Greedy placement of labels, each where it covers least.

    Attributes
    ----------
    width, height
        Size of the plot area in pixels.
    xrange, yrange
        Ends of the axes, in axis coordinates (decimal logarithms on log axes).
    """

    width: float
    height: float
    xrange: tuple[float, float]
    yrange: tuple[float, float]
    labels: list[Box] = field(default_factory=list[Box])
    marks: list[Box] = field(default_factory=list[Box])
    lines: list[Box] = field(default_factory=list[Box])

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a point in axis coordinates."""
        (left, right), (low, high) = self.xrange, self.yrange
        return (x - left) * self.width / (right - left), (y - low) * self.height / (high - low)

    def mark(self, x: float, y: float, radius: float) -> None:
        """Register a marker that labels should not cover."""
        self.marks.append(_square(*self.pixel(x, y), radius))

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Register a line that labels should preferably not cross."""
        (x, y), (right, top) = self.pixel(*start), self.pixel(*end)
        steps = max(1, int(math.hypot(right - x, top - y) / 8.0))
        for i in range(steps + 1):
            self.lines.append(_square(x + (right - x) * i / steps, y + (top - y) * i / steps, 2.0))

    def place(
        self,
        x: float,
        y: float,
        text: str,
        radius: float = 4.0,
        size: float = 12.0,
        *,
        leaders: bool = True,
        worst: float = math.inf,
    ) -> LabelPlacement | None:
        """Return the placement of a point's label; ``None`` if every position hides another label.

        Parameters
        ----------
        radius
            Radius of the point's marker, pixels.
        leaders
            Allow positions farther off, with a leader line.
        worst
            Cost (roughly pixels covered, markers threefold) above which no position is accepted.
        """
        width, height = text_size(text, size)
        px, py = self.pixel(x, y)
        best: tuple[LabelPlacement, Box] | None = None
        for penalty, (dx, dy, distance) in enumerate(_COMPASS):
            leader = distance > _NEAR
            if leader and not leaders:
                break
            gap = radius + distance
            left = px + dx * gap - width * (1 - dx) / 2
            bottom = py + dy * gap - height * (1 - dy) / 2
            box = Box(left, bottom, left + width, bottom + height)
            inside = left >= 0 <= bottom and box.right <= self.width and box.top <= self.height
            if not inside or any(map(box.overlap, self.labels)):
                continue
            covered = 3.0 * sum(map(box.overlap, self.marks)) + 0.5 * sum(
                map(box.overlap, self.lines)
            )
            if 4.0 * penalty + covered < worst:
                worst = 4.0 * penalty + covered
                best = LabelPlacement(dx * gap, dy * gap, _ACROSS[dx], _UP[dy], leader), box
        if best is None:
            return None
        self.labels.append(best[1])
        return best[0]


def _square(x: float, y: float, half: float) -> Box:
    """Return a square around a pixel."""
    return Box(x - half, y - half, x + half, y + half)


def clusters(points: Iterable[tuple[float, float]], reach: float) -> list[list[int]]:
    """Group points in order: each joins the first group whose first point is within reach."""
    groups: list[tuple[tuple[float, float], list[int]]] = []
    for i, point in enumerate(points):
        near = (members for first, members in groups if math.dist(point, first) <= reach)
        members = next(near, None)
        if members is None:
            groups.append((point, [i]))
        else:
            members.append(i)
    return [members for _, members in groups]


def labelled(panel: Panel, area: tuple[float, float]) -> list[Note]:
    """Return the labels of a panel that can be placed, each where it covers least.

    Parameters
    ----------
    area
        Width and height of the panel in pixels.
    """
    if not panel.labels:
        return []
    across, up = (
        (_axis_position(axis, axis.low or 0), _axis_position(axis, axis.high or 0))
        for axis in (panel.x, panel.y)
    )
    placer = Placer(*area, across, up)
    for series in panel.series:
        if isinstance(series, Points):
            _register_obstacles(placer, series, panel)
    notes: list[Note] = []
    for label in panel.labels:
        plain = label.text.replace("<b>", "").replace("</b>", "")
        place = placer.place(
            _axis_position(panel.x, label.x),
            _axis_position(panel.y, label.y),
            plain,
            label.radius,
            label.size,
            leaders=label.leaders,
            worst=label.worst,
        )
        if place is not None:
            notes.append(
                Note(
                    label.text,
                    label.x,
                    label.y,
                    color=label.color,
                    size=label.size,
                    veil=label.veil,
                    anchor=f"{place.xanchor} {place.yanchor}",
                    shift=place[:2],
                    arrow=place[:2] if place.leader else None,
                )
            )
    return notes


def _register_obstacles(placer: Placer, series: Points, panel: Panel) -> None:
    """Register markers and lines of a series to be avoided."""
    places = list(zip(series.x, series.y, strict=True))[:_MOST]
    points = [(_axis_position(panel.x, x), _axis_position(panel.y, y)) for x, y in places]
    if isinstance(series, Lines):
        for start, end in itertools.pairwise(points):
            turn = (start[0], end[1]) if series.step == "vh" else (end[0], start[1])
            corners = (start, end) if series.step == "linear" else (start, turn, end)
            for first, second in itertools.pairwise(corners):
                placer.line(first, second)
    if series.symbol:
        for i, point in enumerate(points):
            sizes = series.size
            placer.mark(*point, (sizes if isinstance(sizes, int | float) else sizes[i]) / 2)


def _axis_position(axis: ChartAxis, value: float) -> float:
    """Return a value's position on its axis: its logarithm if that is logarithmic."""
    return math.log10(value) if axis.log else value
