"""Style of every chart: palette, markers, ticks, and numbers with their units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial

from perfmodel.table.palette import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILION
from perfmodel.units import DIMENSIONS, show
from perfmodel.units import binary as binary_of

#: Default size of charts in pixels.
WIDTH, HEIGHT = 900, 600

#: Colours of series without a specific one, in order.
SERIES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, INK, GREY)
SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "cross",
    "triangle-down",
    "hexagon",
    "bowtie",
)
DASHES = ("solid", "dash", "dot", "dashdot")


def looks(place: int) -> tuple[str, str, str]:
    """Return colour, marker and dash of a series by its index."""
    turn = place // len(SERIES)
    symbol = SYMBOLS[(place + turn) % len(SYMBOLS)]
    return SERIES[place % len(SERIES)], symbol, DASHES[turn % len(DASHES)]


def bound_symbols(levels: Iterable[str], bounds: Iterable[str]) -> dict[str, str]:
    """Return bottleneck -> marker, so that colour is never the only distinction."""
    memories = set(levels)
    known = {"matrix": "square", "vector": "diamond"}
    return {
        name: "circle" if name in memories else known.get(name, "triangle-up")
        for name in (*memories, *bounds)
    }


def percent(part: float, total: float) -> str:
    """Return a rounded share: ``12 %``, ``0.3 %``, ``< 0.1 %``."""
    share = 100.0 * part / total if total else 0.0
    if 0 < share < 0.1:
        return "&lt; 0.1 %"
    return f"{share:.0f} %" if share >= 10 else f"{share:.1f} %"


def si(value: float, unit: str) -> str:
    """Return a number with an SI prefix before its unit: ``1.3 TFLOP/s``, ``120 GMAC``."""
    for prefix, scale in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * scale:
            return f"{value / scale:.4g} {prefix}{unit}"
    return f"{value:.4g} {unit}"


def figures(value: float) -> str:
    """Return a pure number to three figures, without an exponent where readable."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def binary(value: float) -> str:
    """Return bytes with a binary prefix, to four figures."""
    return binary_of(value, digits=4)


def size(value: float) -> str:
    """Return bytes; sizes of main memories with decimal prefixes, so that they compare."""
    return show(value, "bytes", unit="B" if value >= 2**30 else "")


def _count(value: float) -> str:
    """Return a number without a unit, with an SI prefix from 1000."""
    return si(value, "").replace(" ", "") if value >= 1000 else f"{value:g}"


#: Dimensions of axes besides those of units -> formatting functions.
_WRITERS: dict[str, Callable[[float], str]] = {
    "bytes": size,
    "address": partial(binary_of, digits=5),
    "traffic": partial(show, dimension_name="bytes", unit="B"),
    "bit rate": partial(si, unit="bit/s"),
    "count": _count,
    "rate": lambda value: f"{si(value, '').strip()}/s",
}


def quantity(value: float, dimension: str) -> str:
    """Return a rounded number with the unit of its dimension, if it has one.

    Parameters
    ----------
    value
        In the SI unit of the dimension.
    dimension
        A key of `perfmodel.units.DIMENSIONS`; ``rate`` (per second), ``bit rate``, ``address``
        (bytes with binary prefixes), ``traffic`` (bytes with decimal ones); or empty.
    """
    if dimension in _WRITERS:
        return _WRITERS[dimension](value)
    if dimension in DIMENSIONS:
        return show(value, dimension)
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e7 else f"{value:.4g}"


def decades(low: float, high: float, dimension: str = "count") -> dict[float, str]:
    """Return ticks of a logarithmic axis: powers of ten, of two for bytes, with their units.

    Parameters
    ----------
    low, high
        Ends of the axis.
    dimension
        Dimension known to `quantity`.
    """
    base, steps = 10.0, (1.0,) if high > 20.0 * low else (1.0, 2.0, 5.0)
    write = partial(quantity, dimension=dimension)
    if dimension in ("bytes", "address"):
        base, write = 2.0, binary
        steps = (1.0,) if high >= 8.0 * low else (1.0, 1.25, 1.5, 1.75)
    powers = range(math.floor(math.log(low, base)), math.ceil(math.log(high, base)) + 1)
    values = [m * base**p for p in powers for m in steps]
    inside = [v for v in values if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]
    return {v: write(v) for v in inside[:: max(1, math.ceil(len(inside) / 9))]}


def ticks(low: float, high: float, dimension: str, most: int = 8) -> dict[float, str]:
    """Return ticks of a linear axis, each with its unit.

    Parameters
    ----------
    low, high
        Ends of the axis, in the SI unit of the dimension.
    dimension
        Dimension known to `quantity`.
    most
        Largest number of steps.
    """
    if not high > low:
        return {}
    unit = 1.0
    if dimension == "bytes" and high < 2**30:
        # Binary prefixes, as for cache capacities; from 512 KiB in fractions of a MiB.
        unit = 1024.0 ** max(0, math.floor(math.log(2.0 * high, 1024)))
    rough = (high - low) / unit / most
    if dimension == "address" or (unit > 1.0 and rough < 1.0):
        # Steps of powers of two: a fifth of a MiB is unreadable, a quarter is 256 KiB.
        step = unit * 2.0 ** math.ceil(math.log2(rough))
    else:
        power = 10.0 ** math.floor(math.log10(rough))
        step = unit * next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    write = binary if unit > 1.0 else partial(quantity, dimension=dimension)
    places = range(math.ceil(low / step), math.floor(high / step) + 1)
    return {i * step: write(i * step) if i else "0" for i in places}


def spread(low: float, high: float) -> bool:
    """Return whether positive values span so wide a range that a logarithmic axis is better."""
    return low > 0 and high > 30 * low
