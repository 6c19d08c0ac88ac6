"""Where labels go so that none covers another, in the pixels of a log-log or linear plot."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: Mean advance of a character and height of a line, as parts of the font size.
_ADVANCE, _LINE = 0.56, 1.3


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

    def annotation(self) -> dict[str, Any]:
        """Return the place as plotly's annotations have it, with a leader line to a far label."""
        anchors = {"xanchor": self.xanchor, "yanchor": self.yanchor}
        if not self.leader:
            return {**anchors, "showarrow": False, "xshift": self.dx, "yshift": self.dy}
        return {
            **anchors, "showarrow": True, "ax": self.dx, "ay": -self.dy, "arrowhead": 0,
            "arrowwidth": 0.8, "arrowcolor": "#767676", "standoff": 3,
        }  # fmt: skip


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
        self, x: float, y: float, text: str, radius: float = 4.0, size: float = 12.0,
        *, leaders: bool = True, worst: float = math.inf,
    ) -> LabelPlacement | None:  # fmt: skip
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
        for penalty, (dx, dy, away) in enumerate(_COMPASS):
            if away > _NEAR and not leaders:
                break
            gap = radius + away
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
                dx * gap, dy * gap, _ACROSS[dx], _UP[dy], leader=away > _NEAR
            )  # fmt: skip
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
_COMPASS = [(dx, dy, away) for away in (_NEAR, 20.0, 38.0) for dx, dy in _SIDES]


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
