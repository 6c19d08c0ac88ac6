"""Uneven tiles: where in the loops each operand may be held, without what another beats.

In uneven tiling there is one loop over tiles for each extent, in one order, but each operand is
held at a depth of its own: outside some of the loops, so that what these touch of it stays, a full
panel. A layout says what order and depths come to: along which extents a panel of an operand
stays, which loops fetch it again, along what its window slides, and which operands are held twice.

Each of these is a bit that is set where it costs something, so that one layout is never worse than
another if its bits are among the other's.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

#: One letter a loop: images, rows, columns, output channels, input channels, kernel rows, columns.
LOOPS = "NPQKCRS"
#: Loops that index the input, the weight, the output.
INDEXED = ("NPQCRS", "KCRS", "NPQK")
OPERANDS = ("input", "weight", "output")
_SLIDING = "PQRS"
_KIND = {loop: tuple(loop in indexed for indexed in INDEXED) for loop in LOOPS}

# Where the bits of each property start.
_PANEL, _REFETCH, _TWICE, _NOT_INNERMOST, _NOT_SLIDING, _NO_PANEL = 0, 21, 42, 45, 52, 56
_INNERMOST_BITS = np.uint64((1 << _NOT_SLIDING) - (1 << _NOT_INNERMOST))
Masks = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Hold:
    """How one operand is held.

    Attributes
    ----------
    panel
        Loops inside: a panel of it stays along them.
    refetch
        Loops that fetch it again although they do not index it.
    twice
        Whether its tile changes at the innermost loop of double buffers.
    """

    panel: frozenset[str]
    refetch: frozenset[str]
    twice: bool


@dataclass(frozen=True, slots=True)
class TileRetentionLayout:
    """How input, weight and output are held together.

    Attributes
    ----------
    slides
        The loop along which the window of the input slides, or empty.
    innermost
        Loops of which one must have several tiles; empty where it does not matter.
    stationary
        Number in `OPERANDS` of the operand whose tile stays at the innermost loop.
    """

    holds: tuple[Hold, Hold, Hold]
    slides: str
    innermost: frozenset[str]
    stationary: int

    @property
    def even(self) -> bool:
        """Whether all operands are held inside all loops."""
        return not any(hold.panel for hold in self.holds)

    def mirrored(self) -> TileRetentionLayout:
        """Return the layout with rows and columns exchanged."""
        swap = str.maketrans("PQRS", "QPSR")

        def turn(loops: frozenset[str]) -> frozenset[str]:
            return frozenset("".join(loops).translate(swap))

        a, b, c = (Hold(turn(h.panel), turn(h.refetch), h.twice) for h in self.holds)
        return TileRetentionLayout(
            (a, b, c), self.slides.translate(swap), turn(self.innermost), self.stationary
        )


@lru_cache(maxsize=256)
def layouts(
    active: str, *, slides: bool, double: bool, square: bool = False
) -> tuple[TileRetentionLayout, ...]:
    """Return the layouts of a nest that no other beats.

    Parameters
    ----------
    active
        Loops with more than one iteration, letters of `LOOPS`.
    slides
        Whether windows keep what they share.
    double
        Whether operands that change at the innermost loop are held twice.
    square
        Whether rows and columns are alike: of a layout and its mirror image one will do.
    """
    if square:
        different: dict[TileRetentionLayout, None] = {}
        for layout in layouts(active, slides=slides, double=double):
            if layout.mirrored() not in different:
                different[layout] = None
        return tuple(different)
    masks: list[Masks] = []
    for order in map("".join, itertools.permutations(active)):
        a, b, c = (
            np.array(_holds(order, x, slides=slides, double=double), dtype=np.uint64)
            for x in range(3)
        )
        others = sum(1 << (_NOT_INNERMOST + i) for i, loop in enumerate(LOOPS) if loop != order[-1])
        masks.append((a[:, None, None] | b[:, None] | c).ravel() | np.uint64(others))
    every = np.unique(np.concatenate(masks))
    # The same holds with several innermost loops are one layout.
    plain, group = np.unique(every & ~_INNERMOST_BITS, return_inverse=True)
    innermost = np.full(len(plain), _INNERMOST_BITS)
    np.bitwise_and.at(innermost, group, every & _INNERMOST_BITS)
    ranked = plain | innermost if double else plain
    best = _undominated(ranked)
    return tuple(
        _layout(int(mask | inner), double=double)
        for mask, inner in zip(plain[best], innermost[best], strict=True)
    )


def _undominated(masks: Masks) -> npt.NDArray[np.intp]:
    """Return the indices of the masks of which no other is a part; they are all different."""
    left = np.argsort(np.bitwise_count(masks), kind="stable")
    best: list[np.intp] = []
    while len(left):
        first = left[0]
        best.append(first)
        left = left[(masks[first] & ~masks[left]) != 0]
    return np.array(best, dtype=np.intp)


def _holds(order: str, operand: int, *, slides: bool, double: bool) -> list[int]:
    """Return the ways to hold an operand in an order of loops, without those that others beat."""
    indexed, offset = INDEXED[operand], operand * len(LOOPS)
    # Outside each depth: loops that fetch again, and the innermost that indexes the operand.
    refetch, beside, window = 0, 0, ""
    outside = [(refetch, window)]
    for loop in order:
        if loop in indexed:
            refetch, window = beside, loop
        else:
            beside |= 1 << (_REFETCH + offset + LOOPS.index(loop))
        outside.append((refetch, window))
    panel, options = 0, list[int]()
    if operand == 0:
        # With panels along rows or columns it fetches no halo: good and bad at once.
        panel |= 15 << _NO_PANEL
    for depth in range(len(order), -1, -1):
        if depth < len(order):
            loop = order[depth]
            if loop not in indexed:
                # Outside a loop that does not index it, an operand holds the same as inside.
                continue
            panel |= 1 << (_PANEL + offset + LOOPS.index(loop))
            if operand == 0 and loop in _SLIDING:
                panel &= ~(1 << (_NO_PANEL + _SLIDING.index(loop)))
        refetch, window = outside[depth]
        bits = panel | refetch
        if double and depth == len(order) and order[-1] in indexed:
            bits |= 1 << (_TWICE + operand)
        if operand == 0:
            bits |= 15 << _NOT_SLIDING
            if slides and window and window in _SLIDING:
                bits &= ~(1 << (_NOT_SLIDING + _SLIDING.index(window)))
        if not any(other & ~bits == 0 for other in options):
            options.append(bits)
    return options


def _layout(mask: int, *, double: bool) -> TileRetentionLayout:
    def loops(start: int, letters: str = LOOPS) -> frozenset[str]:
        return frozenset(d for i, d in enumerate(letters) if mask >> (start + i) & 1)

    a, b, c = (
        Hold(
            loops(_PANEL + x * len(LOOPS)),
            loops(_REFETCH + x * len(LOOPS)),
            bool(mask >> (_TWICE + x) & 1),
        )
        for x in range(3)
    )
    innermost = frozenset(LOOPS) - loops(_NOT_INNERMOST)
    slides = frozenset(_SLIDING) - loops(_NOT_SLIDING, _SLIDING)
    stationary = _KIND[min(innermost)].index(False)
    return TileRetentionLayout(
        (a, b, c), next(iter(slides), ""), innermost if double else frozenset(), stationary
    )
