"""Declarations of charts, independent of drawing: panels with axes, series, limits and texts.

Pictures are declared with these classes; only `perfmodel.charts.draw` draws them. Coordinates are
values in the units of the axis, also on logarithmic axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy.typing as npt

from perfmodel.charts.style import BLUE, HEIGHT, INK, WIDTH, spread

#: Numbers and texts along an axis; ``None`` interrupts a line.
Values = Sequence[Any] | npt.NDArray[Any]


@dataclass(frozen=True)
class ChartAxis:
    """One axis of a panel.

    Attributes
    ----------
    title
        Title of the axis.
    low, high
        Ends of the axis.
    dimension
        Dimension known to `perfmodel.charts.style.quantity`, which formats the ticks.
    log
        Whether the axis is logarithmic.
    names
        Categories from left or top, for an axis without numbers.
    ticks
        Value -> text, instead of automatic ticks; an empty mapping for none.
    most
        Largest number of automatic ticks.
    grid
        Whether grid lines are drawn at the ticks.
    labels
        Whether the ticks are labelled.
    size
        Font size of tick labels, pixels.
    angle
        Rotation of tick labels, degrees.
    """

    title: str = ""
    low: float | None = None
    high: float | None = None
    dimension: str = ""
    log: bool = False
    names: Values | None = None
    ticks: Mapping[float, str] | None = None
    most: int = 8
    grid: bool = True
    labels: bool = True
    size: int = 13
    angle: float | None = None


@dataclass(frozen=True)
class Shades:
    """Colour scale of numbers.

    Attributes
    ----------
    title
        Title of the colour bar.
    stops
        Fraction between `low` and `high` -> colour, or the name of a scale.
    ticks
        Number -> text.
    reverse
        Whether the scale is reversed.
    place
        Position of the colour bar: ``right``, ``corner`` or ``below`` the panel.
    """

    title: str
    low: float
    high: float
    stops: str | Sequence[tuple[float, str]]
    ticks: Mapping[float, str] | None = None
    reverse: bool = False
    place: str = "right"


@dataclass(frozen=True)
class Series:
    """Base class of series of values; subclasses are their graphical forms.

    Attributes
    ----------
    name
        Name in the legend.
    x, y
        Coordinates of each point.
    hover
        Hover text of each point, or a common one.
    color
        One colour, or one per point.
    ids
        Identifier of each point, for programs.
    legend
        Whether the legend lists it.
    group
        Series that the legend toggles together.
    heading
        Heading of the group in the legend.
    meta
        Metadata, for programs.
    """

    name: str
    x: Values
    y: Values
    hover: str | Sequence[str] = ()
    _: KW_ONLY
    color: str | Values = BLUE
    ids: Sequence[str] = ()
    legend: bool = True
    group: str = ""
    heading: str = ""
    opacity: float | None = None
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Points(Series):
    """Markers.

    Attributes
    ----------
    symbol
        Shape of the markers; empty for a line without markers.
    size
        Diameter in pixels, one or one per point.
    edge, edge_width
        Outline.
    inside
        Fill colour of the markers, if different from that of the series.
    down
        Length of a bar from each point downwards, for example to a bound.
    clipped
        Whether markers are clipped at the edge of the panel.
    """

    _: KW_ONLY
    symbol: str = "circle"
    size: float | Values = 8
    edge: str = "white"
    edge_width: float = 1.0
    inside: str | Values = ""
    down: Sequence[float] = ()
    clipped: bool = True


@dataclass(frozen=True)
class Lines(Points):
    """A line through the points, with markers if it has a symbol.

    Attributes
    ----------
    step
        Interpolation: ``hv``, ``vh`` or ``hvh`` for steps.
    fill
        Fill colour down to zero.
    most
        Largest number of markers; 0 for all.
    """

    _: KW_ONLY
    symbol: str = ""
    width: float = 2.0
    dash: str = "solid"
    step: str = "linear"
    fill: str = ""
    most: int = 0


@dataclass(frozen=True)
class Bars(Series):
    """Bars, or rectangles if they have a base and a width.

    Attributes
    ----------
    across
        Whether they are horizontal.
    base, width
        Start of each bar, and its thickness.
    text, text_color
        Text in each bar, and its colour; by default one that contrasts with the bar.
    edge, edge_width
        Outline, one or one per bar.
    pattern
        Hatching pattern.
    shades
        Colour scale, if colours represent numbers.
    """

    _: KW_ONLY
    across: bool = False
    base: Values = ()
    width: float | Values | None = None
    text: Sequence[str] = ()
    text_color: str = ""
    edge: str | Sequence[str] = "white"
    edge_width: float | Sequence[float] = 1.0
    pattern: str = ""
    shades: Shades | None = None


@dataclass(frozen=True)
class Cells(Series):
    """A heat map: `z` has one row per value of `y`, one column per value of `x`.

    Attributes
    ----------
    says
        Hover template if `hover` is empty: ``%{x}``, ``%{y}`` and ``%{z}`` are the cell's values.
    gap
        Pixels between cells.
    """

    _: KW_ONLY
    z: Any
    shades: Shades
    says: str = ""
    gap: int = 0


@dataclass(frozen=True)
class ReferenceLine:
    """A line across a panel at a value.

    Attributes
    ----------
    at
        Position.
    along
        ``y`` for a horizontal line, ``x`` for a vertical one.
    text
        Text at its end.
    """

    at: float
    along: str = "y"
    text: str = ""
    color: str = INK
    width: float = 1.4
    dash: str = "dash"


@dataclass(frozen=True)
class Band:
    """A shaded interval of the x axis."""

    start: float
    end: float
    color: str = "#F3F3F3"
    opacity: float = 1.0
    edge: str = ""


@dataclass(frozen=True)
class Note:
    """A text at a position.

    Attributes
    ----------
    frame
        Coordinates in values of their axes; those not named are fractions of the panel from 0 to 1,
        so that ``x`` makes `y` a fraction.
    anchor
        Part of the text at the position: two words, for example ``left bottom``.
    shift
        Offset in pixels to the right and upwards.
    angle
        Clockwise rotation in degrees.
    veil
        Whether a translucent background covers what is behind.
    arrow
        Offset in pixels, right and up, of the text at the end of a leader line.
    hover
        Hover text.
    """

    text: str
    x: Any
    y: Any
    frame: str = "xy"
    color: str = INK
    size: int = 12
    anchor: str = "auto auto"
    align: str = "center"
    shift: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    veil: bool = False
    arrow: tuple[float, float] | None = None
    hover: str = ""


@dataclass(frozen=True)
class Label:
    """A label that the drawing places where it covers least, or omits.

    Attributes
    ----------
    x, y
        The labelled point.
    radius
        Radius of the point's marker, pixels.
    leaders
        Whether it may be placed farther off, with a leader line.
    worst
        Cost (roughly pixels covered, markers threefold) above which the label is omitted.
    veil
        Whether a translucent background covers what is behind.
    """

    text: str
    x: float
    y: float
    radius: float = 4.0
    color: str = INK
    size: int = 11
    leaders: bool = True
    worst: float = math.inf
    veil: bool = False


@dataclass(frozen=True)
class Panel:
    """A pair of axes with the series on them.

    Attributes
    ----------
    across, down
        Horizontal and vertical extent as fractions of the drawing area, from left and bottom.
    square
        Whether both axes have the same scale.
    """

    x: ChartAxis
    y: ChartAxis
    series: Sequence[Series]
    bands: Sequence[Band] = ()
    limits: Sequence[ReferenceLine] = ()
    notes: Sequence[Note] = ()
    labels: Sequence[Label] = ()
    across: tuple[float, float] = (0.0, 1.0)
    down: tuple[float, float] = (0.0, 1.0)
    square: bool = False


@dataclass(frozen=True)
class Chart:
    """A picture: texts, panels, and position of the legend.

    Attributes
    ----------
    alt
        Text alternative for readers who cannot see it.
    legend
        Position of the legend: ``right``, ``below``, ``above`` or ``inside``; empty for none.
    heading
        Title of the legend.
    margin
        Margins in pixels that replace the default ones.
    stacked
        Whether bars at the same position are stacked; otherwise they overlap.
    gap
        Gap between bars, as a fraction of their pitch.
    """

    title: str
    subtitle: str
    alt: str
    panels: Sequence[Panel]
    legend: str = "right"
    heading: str = ""
    width: int = WIDTH
    height: int = HEIGHT
    margin: Mapping[str, int] = field(default_factory=dict[str, int])
    stacked: bool = False
    gap: float | None = None

    @property
    def series(self) -> list[Series]:
        """Return the series of all panels."""
        return [series for panel in self.panels for series in panel.series]

    @property
    def keyed(self) -> bool:
        """Whether it has a legend, which a single series does not need."""
        several = len(self.series) > 1
        return several and bool(self.legend) and any(s.legend and s.name for s in self.series)

    @property
    def margins(self) -> dict[str, int]:
        """Margins in pixels: ``l``, ``r``, ``t`` and ``b``."""
        above = 16 * ("<br>" in self.subtitle) + 20 * (self.legend == "above")
        beside = any(note.frame == "y" for panel in self.panels for note in panel.notes)
        right = 190 if self.keyed and self.legend == "right" else 160 if beside else 40
        below = 96 if self.legend == "below" else 66
        return {"l": 90, "r": right, "t": 84 + above, "b": below} | dict(self.margin)

    @property
    def area(self) -> tuple[int, int]:
        """Width and height of the drawing area in pixels."""
        m = self.margins
        return self.width - m["l"] - m["r"], self.height - m["t"] - m["b"]

    def points(self) -> list[tuple[str, str]]:
        """Return one pair per point: name of the series and hover text."""
        pairs: list[tuple[str, str]] = []
        for series in self.series:
            name = series.name or series.group
            if series.hover:
                texts = [series.hover] if isinstance(series.hover, str) else series.hover
            elif name and not isinstance(series, Cells):
                places = zip(series.x, series.y, strict=False)
                texts = [f"{_plain(x)}, {_plain(y)}" for x, y in places if x is not None]
            else:
                texts = ()
            for text in texts:
                if text and (name, text) not in pairs[-3:]:
                    pairs.append((name, text))
        return pairs


def _plain(value: Any) -> str:
    """Return a coordinate as text."""
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def fitted(
    title: str,
    values: Iterable[float],
    dimension: str = "",
    *,
    pad: float = 0.08,
    room: tuple[float, float] = (0.0, 0.0),
    zero: bool = True,
) -> ChartAxis:
    """Return an axis around values, logarithmic if their ratio exceeds thirty.

    Parameters
    ----------
    pad
        Free space at both ends, as a fraction of the extent.
    room
        Additional free space at the lower end (unless that is zero) and the upper end.
    zero
        Whether a linear axis always starts at zero, and not only if the values are near.
    """
    known = [float(v) for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
    log = spread(low, high)
    if log:
        low, high = math.log10(low), math.log10(high)
        wide = high - low
        low, high = 10 ** (low - (pad + room[0]) * wide), 10 ** (high + (pad + room[1]) * wide)
    else:
        if zero or low <= 0.3 * (high - low):
            low = min(low, 0.0)
        wide = (high - low) or 0.1 * abs(high) or 1.0
        # Slightly below zero, so that markers at zero are visible.
        low -= (pad if low else 0.02) * wide
        high += (pad + room[1]) * wide
    return ChartAxis(title, low, high, dimension, log=log)
