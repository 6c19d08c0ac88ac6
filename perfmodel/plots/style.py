"""How every plot looks: palette, layout, a text alternative, numbers with their units."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from perfmodel.units import DIMENSIONS, show
from perfmodel.units import binary as binary_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Size in pixels that the plots are laid out for.
WIDTH, HEIGHT = 900, 600

# Okabe and Ito, "Color universal design", 2008: told apart with any colour vision.
BLUE, SKY, GREEN = "#0072B2", "#56B4E9", "#009E73"
ORANGE, VERMILION, PURPLE = "#E69F00", "#D55E00", "#CC79A7"
INK, GREY, PALE = "#222222", "#767676", "#DDDDDD"

#: Colours of categories in order, for series that have none of their own.
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

_ARITHMETIC = {"matrix": BLUE, "vector": SKY}
# From main memory towards the engine.
_MEMORIES = (VERMILION, ORANGE, PURPLE, "#8F6A00", "#A0522D")
_OVERHEADS = (GREEN, GREY, INK)


def bound_colors(levels: Iterable[str], bounds: Iterable[str]) -> dict[str, str]:
    """Return what binds -> colour.

    Parameters
    ----------
    levels
        Memories, nearest the engine first.
    bounds
        Everything else that may bind: terms of arithmetic and of overhead.
    """
    memories = list(levels)[::-1]
    colors = {name: _MEMORIES[i % len(_MEMORIES)] for i, name in enumerate(memories)}
    others = [name for name in bounds if name not in colors]
    spare = iter(_OVERHEADS * (1 + len(others)))
    for name in others:
        colors[name] = _ARITHMETIC.get(name) or next(spare)
    return colors


def bound_symbols(levels: Iterable[str], bounds: Iterable[str]) -> dict[str, str]:
    """Return what binds -> marker, so that colour is never the only sign."""
    memories = set(levels)
    known = {"matrix": "square", "vector": "diamond"}
    return {
        name: "circle" if name in memories else known.get(name, "triangle-up")
        for name in (*memories, *bounds)
    }


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Return an axis with SI prefixes at its ticks."""
    return {
        "title": {"text": title, "font": {"size": 14}},
        "exponentformat": "SI",
        "showexponent": "all",
        "gridcolor": "#ECECEC",
        "linecolor": GREY,
        "ticks": "outside",
        "tickcolor": GREY,
        "showline": True,
        "zeroline": False,
        "automargin": True,
        **more,
    }


def figure(
    traces: Iterable[Mapping[str, Any]], title: str, subtitle: str, alt: str, **layout: Any
) -> Figure:
    """Return a figure of the size and style of all plots.

    Parameters
    ----------
    traces
        Traces as plotly takes them, each with its ``type``.
    alt
        What the figure shows in words, for those who cannot see it; ``layout.meta["alt"]``.
    layout
        Further entries of the layout.
    """
    import plotly.graph_objects as go

    head = f"<b>{title}</b>"
    if subtitle:
        head += f"<br><span style='font-size:13px;color:{GREY}'>{subtitle}</span>"
    # The title stands as far from the edge in low figures as in high ones.
    top = 1.0 - 24.0 / layout.get("height", HEIGHT)
    whole: dict[str, Any] = {
        "title": {"text": head, "x": 0.0, "xref": "container", "pad": {"l": 20}, "y": top,
                  "yanchor": "top", "font": {"size": 18, "color": INK}},
        "width": WIDTH,
        "height": HEIGHT,
        "margin": {"l": 80, "r": 30, "t": 80, "b": 70},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"family": "Open Sans, DejaVu Sans, Arial, sans-serif", "size": 13, "color": INK},
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"color": INK}},
        "legend": {"title": {"side": "top"}, "itemsizing": "constant"},
        "meta": {"alt": alt},
    }  # fmt: skip
    return go.Figure(data=[_inert(t) for t in traces], layout=_inert(whole | layout))


#: What plots mark up themselves; a browser would read the rest of what plotly takes for HTML, such
#: as links and images, from names in files.
_FOREIGN = re.compile(
    r"<(?=[A-Za-z/!])(?!/?b>|br>|/?extra>|span style='font-size:13px;color:#|/span>)"
)


def _inert(value: Any) -> Any:
    """Return a part of a figure with markup in its texts escaped, that of plots aside."""
    if isinstance(value, str):
        return _FOREIGN.sub("&lt;", value) if "<" in value else value
    if isinstance(value, Mapping):
        parts = cast("Mapping[str, Any]", value)
        # What is in "meta" is for other programmes, and never drawn.
        return {k: inner if k == "meta" else _inert(inner) for k, inner in parts.items()}
    if isinstance(value, list | tuple):
        return [_inert(inner) for inner in cast("Sequence[Any]", value)]
    if isinstance(value, np.ndarray):
        array = cast("np.ndarray[Any, np.dtype[Any]]", value)
        return _inert(array.tolist()) if array.dtype.kind in "OU" else array
    return value


def percent(part: float, whole: float) -> str:
    """Return a share as people read it: ``12 %``, ``0.3 %``, ``< 0.1 %``."""
    share = 100.0 * part / whole if whole else 0.0
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
    """Return a pure number to three figures, never as a power of ten where it is readable."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def decades(low: float, high: float, dimension: str = "") -> dict[str, Any]:
    """Return ticks of a log axis at powers of ten, with SI prefixes, and units where there is one.

    Parameters
    ----------
    low, high
        Ends of the axis, as powers of ten.
    dimension
        A key of `perfmodel.units.DIMENSIONS`, ``"rate"``, or empty.
    """
    steps = (1,) if high - low > 1.3 else (1, 2, 5)
    powers = range(math.floor(low), math.floor(high) + 1)
    values = [m * 10.0**p for p in powers for m in steps if low <= math.log10(m) + p <= high]
    if dimension:
        texts = [quantity(v, dimension) for v in values]
    else:
        texts = [si(v, "").replace(" ", "") if v >= 1000 else f"{v:g}" for v in values]
    return {"tickmode": "array", "tickvals": values, "ticktext": texts}


def quantity(value: float, dimension: str) -> str:
    """Return a number as people read it, with the unit of its dimension where it has one."""
    if dimension == "bytes":
        return size(value)
    if dimension == "rate":
        return f"{si(value, '').strip()}/s"
    if dimension in DIMENSIONS:
        return show(value, dimension)
    whole = float(value).is_integer() and abs(value) < 1e7
    return f"{value:.0f}" if whole else f"{value:.4g}"


def ticks(high: float, dimension: str, most: int = 8) -> dict[str, Any]:
    """Return ticks of a linear axis from 0, each with its unit.

    Parameters
    ----------
    high
        End of the axis, in the dimension's SI unit.
    dimension
        A key of `perfmodel.units.DIMENSIONS`.
    """
    if not high > 0:
        return {}
    unit = 1.0
    if dimension == "bytes" and high < 2**30:
        # Binary prefixes, as capacities of caches are written; from 512 KiB on parts of a MiB.
        unit = 1024.0 ** max(0, math.floor(math.log(2.0 * high, 1024)))
    rough = high / unit / most
    if unit > 1.0 and rough < 1.0:
        # A fifth of a MiB is no number to read; a quarter is 256 KiB.
        step = unit * 2.0 ** math.ceil(math.log2(rough))
    else:
        power = 10.0 ** math.floor(math.log10(rough))
        step = unit * next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    write = binary if unit > 1.0 else partial(quantity, dimension=dimension)
    values = [i * step for i in range(math.floor(high / step) + 1)]
    return {
        "tickmode": "array",
        "tickvals": values,
        "ticktext": [write(v) if v else "0" for v in values],
    }


def binary(value: float) -> str:
    """Return bytes with a binary prefix, to four figures."""
    return binary_of(value, digits=4)


def size(value: float) -> str:
    """Return bytes, those of main memories with decimal prefixes so that they compare."""
    return show(value, "bytes", unit="B" if value >= 2**30 else "")
