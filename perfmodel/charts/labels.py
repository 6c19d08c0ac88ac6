"""Where labels go so that none covers another, in the pixels of a log-log or linear plot."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from perfmodel.charts.chart import ChartAxis, Label, Lines, Note, Panel, Points

#: Mean advance of a character and height of a line, as parts of the font size.
_ADVANCE, _LINE = 0.56, 1.3
#: Points of a series at most that labels keep clear of.
_MOST = 2000


class Box(NamedTuple):
    """A rectangle in pixels, y upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Return the common area."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return width * height if width > 0 and height > 0 else 0.0


def text_size(text: str, size: float = 12.0) -> tuple[float, float]:
    """Return estimated width and height of a text in pixels."""
    lines = text.split("<br>")
    return max(map(len, lines)) * size * _ADVANCE + 4, len(lines) * size * _LINE


class LabelPlacement(NamedTuple):
    """Where a label goes, seen from its point: pixels to its anchor, y upwards."""

    dx: float
    dy: float
    xanchor: str
    yanchor: str
    leader: bool


@dataclass
class Placer:
    """Places labels one after another, each where it covers least.

    Attributes
    ----------
    width, height
        Pixels of the plot area.
    xrange, yrange
        Ends of the axes, in the axes' own coordinates (powers of ten on log axes).
    """

    width: float
    height: float
    xrange: tuple[float, float]
    yrange: tuple[float, float]
    labels: list[Box] = field(default_factory=list[Box])
    marks: list[Box] = field(default_factory=list[Box])
    lines: list[Box] = field(default_factory=list[Box])

    @property
    def per_x(self) -> float:
        """Pixels a unit of the x axis."""
        return self.width / (self.xrange[1] - self.xrange[0])

    @property
    def per_y(self) -> float:
        """Pixels a unit of the y axis."""
        return self.height / (self.yrange[1] - self.yrange[0])

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a point in axis coordinates."""
        return (x - self.xrange[0]) * self.per_x, (y - self.yrange[0]) * self.per_y

    def mark(self, x: float, y: float, radius: float) -> None:
        """Note a marker that labels should not cover."""
        px, py = self.pixel(x, y)
        self.marks.append(Box(px - radius, py - radius, px + radius, py + radius))

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Note a line that labels should rather not cross."""
        self.lines += _chain(self.pixel(*start), self.pixel(*end), 2.0, 8.0)

    def along(self, x: float, y: float, text: str, angle: float, size: float = 12.0) -> bool:
        """Claim the room of a text that starts at a point and runs up at an angle (degrees).

        Returns whether it was free, apart from markers; nothing is claimed where it was not.
        """
        length, height = text_size(text, size)
        px, py = self.pixel(x, y)
        slope = math.radians(angle)
        end = (px + length * math.cos(slope), py + length * math.sin(slope))
        boxes = _chain((px, py), end, height / 2, height / 2)
        inside = all(
            b.left >= 0 and b.bottom >= 0 and b.right <= self.width and b.top <= self.height
            for b in boxes
        )
        if not inside or any(b.overlap(o) for b in boxes for o in (*self.labels, *self.marks)):
            return False
        self.labels += boxes
        return True

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
        """Return where a label of a point goes; ``None`` where every place would hide a label.

        Parameters
        ----------
        radius
            Of the point's marker, pixels.
        leaders
            Allow places farther off, with a leader line.
        worst
            Cost (about the pixels covered, markers thrice) above which there is no place.
        """
        width, height = text_size(text, size)
        px, py = self.pixel(x, y)
        best: tuple[float, LabelPlacement, Box] | None = None
        for penalty, (dx, dy, distance) in enumerate(_COMPASS):
            if distance > _NEAR and not leaders:
                break
            gap = radius + distance
            ax, ay = px + dx * gap, py + dy * gap
            left = ax - width * (1 - dx) / 2
            bottom = ay - height * (1 - dy) / 2
            box = Box(left, bottom, left + width, bottom + height)
            if box.left < 0 or box.right > self.width or box.bottom < 0 or box.top > self.height:
                continue
            if any(box.overlap(other) for other in self.labels):
                continue
            cost = 4.0 * penalty + sum(3.0 * box.overlap(m) for m in self.marks)
            cost += sum(0.5 * box.overlap(m) for m in self.lines)
            place = LabelPlacement(
                dx * gap, dy * gap, _ACROSS[dx], _UP[dy], leader=distance > _NEAR
            )
            if cost < (worst if best is None else best[0]):
                best = cost, place, box
        if best is None:
            return None
        self.labels.append(best[2])
        return best[1]


_ACROSS = {1: "left", 0: "center", -1: "right"}
_UP = {1: "bottom", 0: "middle", -1: "top"}
_NEAR = 3.0
_SIDES = ((1, 0), (0, 1), (0, -1), (-1, 0), (1, -1), (1, 1), (-1, 1), (-1, -1))
_COMPASS = [(dx, dy, distance) for distance in (_NEAR, 20.0, 38.0) for dx, dy in _SIDES]


def _chain(
    start: tuple[float, float], end: tuple[float, float], half: float, step: float
) -> list[Box]:
    """Return squares along a segment."""
    length = math.hypot(end[0] - start[0], end[1] - start[1])
    n = max(1, int(length / step))
    out: list[Box] = []
    for i in range(n + 1):
        x = start[0] + (end[0] - start[0]) * i / n
        y = start[1] + (end[1] - start[1]) * i / n
        out.append(Box(x - half, y - half, x + half, y + half))
    return out


def clusters(points: Iterable[tuple[float, float]], reach: float) -> list[list[int]]:
    """Group points in the order given: each joins the first group whose first is within reach."""
    groups: list[tuple[tuple[float, float], list[int]]] = []
    for i, point in enumerate(points):
        for first, members in groups:
            if math.hypot(point[0] - first[0], point[1] - first[1]) <= reach:
                members.append(i)
                break
        else:
            groups.append((point, [i]))
    return [members for _, members in groups]


def labelled(panel: Panel, area: tuple[float, float]) -> list[Note]:
    """Return the labels of a panel that have a place, each where it covers least.

    Parameters
    ----------
    area
        Pixels of the panel, across and down.
    """
    if not panel.labels:
        return []
    placer = Placer(*area, _ends(panel.x), _ends(panel.y))
    for series in panel.series:
        if isinstance(series, Points):
            _avoid(placer, series, panel)
    notes: list[Note] = []
    for label in panel.labels:
        note = _along(placer, label, panel) if label.end else _beside(placer, label, panel)
        if note is not None:
            notes.append(note)
    return notes


def _beside(placer: Placer, label: Label, panel: Panel) -> Note | None:
    plain = label.text.replace("<b>", "").replace("</b>", "")
    x, y = _place(panel.x, label.x), _place(panel.y, label.y)
    place = placer.place(
        x, y, plain, label.radius, label.size, leaders=label.leaders, worst=label.worst
    )
    if place is None:
        return None
    offset = place.dx, place.dy
    return replace(
        _note(label),
        anchor=f"{place.xanchor} {place.yanchor}",
        shift=offset,
        arrow=offset if place.leader else None,
    )


def _along(placer: Placer, label: Label, panel: Panel) -> Note | None:
    """Write a text along its line, where there is room on the side that it prefers or the other."""
    assert label.end is not None
    x0, y0 = _place(panel.x, label.x), _place(panel.y, label.y)
    x1, y1 = _place(panel.x, label.end[0]), _place(panel.y, label.end[1])
    turn = math.atan2((y1 - y0) * placer.per_y, (x1 - x0) * placer.per_x)
    half = text_size(label.text)[0] / 2
    across = math.cos(turn) / placer.per_x
    for pixels in (11.0, -11.0, 19.0, -19.0):
        lift = math.copysign(1.0, label.radius) * pixels / placer.per_y / math.cos(turn)
        for i in range(max(0, math.floor((x1 - x0 - 2 * half * across) * placer.per_x / 6)) + 1):
            x = x0 + (8 + 6 * i) / placer.per_x
            y = y0 + (x - x0) * (y1 - y0) / (x1 - x0) + lift
            if placer.along(x, y, label.text, math.degrees(turn)):
                # The anchor of a turned text is its middle: half its length up the line.
                return replace(
                    _note(label),
                    x=10.0**x if panel.x.log else x,
                    y=10.0**y if panel.y.log else y,
                    angle=-math.degrees(turn),
                    anchor="center middle",
                    shift=(half * math.cos(turn), half * math.sin(turn)),
                )
    return None


def _note(label: Label) -> Note:
    return Note(label.text, label.x, label.y, color=label.color, size=label.size, veil=label.veil)


def _avoid(placer: Placer, series: Points, panel: Panel) -> None:
    """Keep clear of markers and, rather, of lines."""
    places = list(zip(series.x, series.y, strict=True))[:_MOST]
    points = [(_place(panel.x, x), _place(panel.y, y)) for x, y in places]
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


def _ends(axis: ChartAxis) -> tuple[float, float]:
    return _place(axis, axis.low or 0.0), _place(axis, axis.high or 0.0)


def _place(axis: ChartAxis, value: float) -> float:
    return math.log10(value) if axis.log else value
