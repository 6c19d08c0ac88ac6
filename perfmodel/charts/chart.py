"""What a chart is, apart from its drawing: panels with axes, series, limits, bands and texts.

A picture is declared with these classes; `perfmodel.charts.draw` alone knows how it is drawn.
Coordinates are values in the units of the axis, on logarithmic axes too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy.typing as npt

from perfmodel.charts.style import BLUE, HEIGHT, INK, WIDTH, spread

#: Numbers and texts along an axis; ``None`` breaks a line.
Values = Sequence[Any] | npt.NDArray[Any]


@dataclass(frozen=True)
class ChartAxis:
    """One side of a panel.

    Attributes
    ----------
    title
        What it shows.
    low, high
        Its ends.
    dimension
        What `perfmodel.charts.style.quantity` knows, which writes the ticks.
    log
        Whether it is logarithmic.
    names
        Categories, from the left or from the top, of an axis that has no numbers.
    ticks
        Value -> text, instead of round values; an empty mapping for none.
    most
        Round values at most.
    grid
        Whether lines cross the panel at the ticks.
    labels
        Whether the ticks have their texts.
    size
        Of the texts at the ticks, pixels.
    angle
        Of the texts at the ticks, degrees.
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
    """Colours of numbers.

    Attributes
    ----------
    title
        What the numbers are.
    stops
        Share of the way from `low` to `high` -> colour, or the name of a scale.
    ticks
        Number -> text.
    reverse
        Whether large numbers take the first colours.
    place
        ``right``, ``corner`` or ``below`` the panel.
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
    """Values that belong together; its subclasses are the forms that there are.

    Attributes
    ----------
    name
        In the legend.
    x, y
        One of each per point.
    hover
        What each point says, or what all of them say.
    color
        One, or one per point.
    ids
        A name of each point for programmes.
    legend
        Whether the legend has it.
    group
        Series that the legend turns on and off together.
    heading
        What stands above the group in the legend.
    meta
        What it is, for programmes.
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
        Form of the markers; a line has none where it is empty.
    size
        Diameter in pixels, one or one per point.
    edge, edge_width
        Outline.
    inside
        Colour of the markers where it is not that of the series.
    down
        How far a bar reaches down from each point, such as to a bound.
    clipped
        Whether markers end at the edge of the panel.
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
    """A line through the points, with markers where it has a symbol.

    Attributes
    ----------
    step
        ``hv``, ``vh`` or ``hvh`` for steps.
    fill
        Colour down to zero.
    most
        Markers at most; 0 for all.
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
    """Bars, or rectangles where they have a base and a width.

    Attributes
    ----------
    across
        Whether they lie, along the x axis.
    base, width
        Where each begins, and how thick it is.
    text, text_color
        Written into each, and its colour; by default one that shows on the bar's.
    edge, edge_width
        Outline, one or one per bar.
    pattern
        Hatching.
    shades
        Where the colours are numbers.
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
    """A grid of colours: `z` has one row per value of `y`, one column per value of `x`.

    Attributes
    ----------
    says
        What each cell says where `hover` does not: ``%{x}``, ``%{y}`` and ``%{z}`` are its values.
    gap
        Pixels between the cells.
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
        Where it stands.
    along
        ``y`` for a level, ``x`` for an upright line.
    text
        Written at its end.
    """

    at: float
    along: str = "y"
    text: str = ""
    color: str = INK
    width: float = 1.4
    dash: str = "dash"


@dataclass(frozen=True)
class Band:
    """A stretch of the x axis that is shaded."""

    start: float
    end: float
    color: str = "#F3F3F3"
    opacity: float = 1.0
    edge: str = ""


@dataclass(frozen=True)
class Note:
    """A text at a place.

    Attributes
    ----------
    frame
        Which of `x` and `y` are values; the others are shares of the panel from 0 to 1, so that
        ``x`` says that `y` is one.
    anchor
        Which part of the text is at the place: two words such as ``left bottom``.
    shift
        Pixels to the right and upwards.
    angle
        Degrees that it is turned to the right.
    veil
        Whether what lies below shines through less.
    arrow
        Pixels from the place to the end of a line to the text, to the right and upwards.
    hover
        What it says where the mouse is.
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
    """A text that the drawing places where it covers least, or leaves out.

    Attributes
    ----------
    x, y
        The point that it names.
    radius
        Pixels of the point's marker.
    leaders
        Whether it may stand farther off, with a line to its point.
    worst
        Cost (about the pixels covered, markers thrice) above which it is left out.
    veil
        Whether what lies below shines through less.
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
    """A pair of axes with what they show.

    Attributes
    ----------
    across, down
        Shares of the area that it takes, from the left and from the bottom.
    square
        Whether a unit is as long on both axes.
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
    """A picture: its words, its panels, and where its legend stands.

    Attributes
    ----------
    alt
        What it shows in words, for those who cannot see it.
    legend
        ``right``, ``below``, ``above`` or ``inside`` the panels; empty for none.
    heading
        Title of the legend.
    margin
        Pixels beside the panels, where the usual ones do not fit.
    stacked
        Whether bars at one place stand upon each other; else they share it.
    gap
        Share of the room between bars.
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
        """Everything that the panels show."""
        return [series for panel in self.panels for series in panel.series]

    @property
    def keyed(self) -> bool:
        """Whether it has a legend: one thing alone needs none."""
        several = len(self.series) > 1
        return several and bool(self.legend) and any(s.legend and s.name for s in self.series)

    @property
    def margins(self) -> dict[str, int]:
        """Pixels beside the panels: ``l``, ``r``, ``t`` and ``b``."""
        above = 16 * ("<br>" in self.subtitle) + 20 * (self.legend == "above")
        beside = any(note.frame == "y" for panel in self.panels for note in panel.notes)
        right = 190 if self.keyed and self.legend == "right" else 160 if beside else 40
        below = 96 if self.legend == "below" else 66
        return {"l": 90, "r": right, "t": 84 + above, "b": below} | dict(self.margin)

    @property
    def area(self) -> tuple[int, int]:
        """Pixels of the panels, across and down."""
        m = self.margins
        return self.width - m["l"] - m["r"], self.height - m["t"] - m["b"]

    def points(self) -> list[tuple[str, str]]:
        """Return the name of the series and the words of each point, one pair per point."""
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
    """Return an axis around values: logarithmic where they differ by more than thirty to one.

    Parameters
    ----------
    pad
        Share of their extent that is free on both sides.
    room
        More of it on the lower side, where that is not zero, and on the upper one.
    zero
        Whether a linear axis begins at zero wherever the values lie, and not only where they are
        near.
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
        # A little below zero, so that markers there are in view.
        low -= (pad if low else 0.02) * wide
        high += (pad + room[1]) * wide
    return ChartAxis(title, low, high, dimension, log=log)
