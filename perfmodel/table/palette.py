"""Colours of pictures and pages, distinguishable with any colour vision, by bottleneck."""

from __future__ import annotations

from collections.abc import Iterable

# Okabe and Ito, "Color universal design", 2008: distinguishable with any colour vision.
BLUE, SKY, GREEN = "#0072B2", "#56B4E9", "#009E73"
ORANGE, VERMILION, PURPLE = "#E69F00", "#D55E00", "#CC79A7"
INK, GREY, PALE = "#222222", "#767676", "#DDDDDD"

_ARITHMETIC = {"matrix": BLUE, "vector": SKY}
# Ordered from main memory towards the engine.
_MEMORIES = (VERMILION, ORANGE, PURPLE, "#8F6A00", "#A0522D")
_OVERHEADS = (GREEN, GREY, INK)


def bound_colors(levels: Iterable[str], bounds: Iterable[str]) -> dict[str, str]:
    """Return the colour of each bottleneck.

    Parameters
    ----------
    levels
        Memories, nearest the engine first.
    bounds
        All other possible bottlenecks: terms of arithmetic and of overhead.
    """
    memories = list(levels)[::-1]
    colors = {name: _MEMORIES[i % len(_MEMORIES)] for i, name in enumerate(memories)}
    others = [name for name in bounds if name not in colors]
    spare = iter(_OVERHEADS * (1 + len(others)))
    for name in others:
        colors[name] = _ARITHMETIC.get(name) or next(spare)
    return colors
