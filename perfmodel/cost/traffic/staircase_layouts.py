"""Undominated retention layouts of uneven tiles: the loop depth at which each operand is held.

Uneven tiling has one loop over tiles per extent in a common order, but each operand is held at a
separate loop depth. The part of an operand that the loops inside this depth access stays in the
buffer as a full panel. A layout summarises loop order and depths: the extents along which each
operand has a panel, the loops that refetch it, the loop along which the input window slides, and
the operands that are double-buffered.

Every property is encoded as a bit that is set where it increases footprint or traffic. A layout
dominates another if its bits are a subset of the other's.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmodel.caches import cached

#: Extent of a nest -> the letter of its loop.
LOOP_OF = {
    "batch": "N",
    "out_rows": "P",
    "out_columns": "Q",
    "out_channels": "K",
    "in_channels": "C",
    "kernel_rows": "R",
    "kernel_columns": "S",
}
LOOPS = "".join(LOOP_OF.values())
#: Loops that index the input, the weight and the output.
INDEXED = ("NPQCRS", "KCRS", "NPQK")
OPERANDS = ("input", "weight", "output")
_SLIDING = "PQRS"
_KIND = {loop: tuple(loop in indexed for indexed in INDEXED) for loop in LOOPS}

# First bit of each property.
_PANEL, _REFETCH, _DOUBLE, _NOT_INNERMOST, _NOT_SLIDING, _NO_PANEL = 0, 21, 42, 45, 52, 56
_INNERMOST_BITS = np.uint64((1 << _NOT_SLIDING) - (1 << _NOT_INNERMOST))
Masks = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class OperandRetention:
    """Retention of one operand in the buffer.

    Attributes
    ----------
    panel
        Loops inside the operand's depth, along which a full panel is held.
    refetch
        Loops that refetch the operand although they do not index it.
    double_buffered
        Whether the operand is double-buffered, as its tile changes at the innermost loop.
    """

    panel: frozenset[str]
    refetch: frozenset[str]
    double_buffered: bool


@dataclass(frozen=True, slots=True)
class TileRetentionLayout:
    """Retention of input, weight and output under one loop order.

    Attributes
    ----------
    retentions
        Retention of each operand, in the order of `OPERANDS`.
    slides
        Loop along which the input window slides, or empty.
    innermost
        Loops of which at least one must have several tiles; empty with single buffers.
    stationary
        Index into `OPERANDS` of the operand that is stationary at the innermost loop.
    """

    retentions: tuple[OperandRetention, OperandRetention, OperandRetention]
    slides: str
    innermost: frozenset[str]
    stationary: int

    @property
    def even(self) -> bool:
        """Whether no operand has a panel."""
        return not any(retention.panel for retention in self.retentions)

    def mirrored(self) -> TileRetentionLayout:
        """Return the layout with rows and columns exchanged."""
        swap = str.maketrans("PQRS", "QPSR")

        def turn(loops: frozenset[str]) -> frozenset[str]:
            return frozenset("".join(loops).translate(swap))

        a, b, c = (
            OperandRetention(turn(h.panel), turn(h.refetch), h.double_buffered)
            for h in self.retentions
        )
        return TileRetentionLayout(
            (a, b, c), self.slides.translate(swap), turn(self.innermost), self.stationary
        )


@cached()
def layouts(
    active: str, *, slides: bool, double: bool, square: bool = False
) -> tuple[TileRetentionLayout, ...]:
    """Return the undominated layouts of a nest.

    Parameters
    ----------
    active
        Loops with more than one iteration, letters of `LOOPS`.
    slides
        Whether sliding windows retain shared input.
    double
        Whether operands that change at the innermost loop are double-buffered.
    square
        Whether the row and the column axis are equal, so that only one of a layout and its mirror
        image is returned.
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
            np.array(_retention_masks(order, x, slides=slides, double=double), dtype=np.uint64)
            for x in range(3)
        )
        others = sum(1 << (_NOT_INNERMOST + i) for i, loop in enumerate(LOOPS) if loop != order[-1])
        masks.append((a[:, None, None] | b[:, None] | c).ravel() | np.uint64(others))
    every = np.unique(np.concatenate(masks))
    # Layouts that differ only in the innermost loop are merged.
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
    """Return the indices of the masks that have no other mask as a subset; masks are distinct."""
    left = np.argsort(np.bitwise_count(masks), kind="stable")
    best: list[np.intp] = []
    while len(left):
        first = left[0]
        best.append(first)
        left = left[(masks[first] & ~masks[left]) != 0]
    return np.array(best, dtype=np.intp)


def _retention_masks(order: str, operand: int, *, slides: bool, double: bool) -> list[int]:
    """Return the masks of an operand at every depth of a loop order, without redundant ones."""
    indexed, offset = INDEXED[operand], operand * len(LOOPS)
    # For each depth: outer loops that refetch the operand, and the innermost outer loop that
    # indexes it.
    refetch, free_loops, sliding_loop = 0, 0, ""
    outside = [(refetch, sliding_loop)]
    for loop in order:
        if loop in indexed:
            refetch, sliding_loop = free_loops, loop
        else:
            free_loops |= 1 << (_REFETCH + offset + LOOPS.index(loop))
        outside.append((refetch, sliding_loop))
    panel, options = 0, list[int]()
    if operand == 0:
        # A panel along rows or columns costs footprint but avoids halo fetches: both have a bit.
        panel |= 15 << _NO_PANEL
    for depth in range(len(order), -1, -1):
        if depth < len(order):
            loop = order[depth]
            if loop not in indexed:
                # A loop that does not index the operand does not change its panel.
                continue
            panel |= 1 << (_PANEL + offset + LOOPS.index(loop))
            if operand == 0 and loop in _SLIDING:
                panel &= ~(1 << (_NO_PANEL + _SLIDING.index(loop)))
        refetch, sliding_loop = outside[depth]
        bits = panel | refetch
        if double and depth == len(order) and order[-1] in indexed:
            bits |= 1 << (_DOUBLE + operand)
        if operand == 0:
            bits |= 15 << _NOT_SLIDING
            if slides and sliding_loop and sliding_loop in _SLIDING:
                bits &= ~(1 << (_NOT_SLIDING + _SLIDING.index(sliding_loop)))
        if not any(other & ~bits == 0 for other in options):
            options.append(bits)
    return options


def _layout(mask: int, *, double: bool) -> TileRetentionLayout:
    def loops(start: int, letters: str = LOOPS) -> frozenset[str]:
        return frozenset(d for i, d in enumerate(letters) if mask >> (start + i) & 1)

    a, b, c = (
        OperandRetention(
            loops(_PANEL + x * len(LOOPS)),
            loops(_REFETCH + x * len(LOOPS)),
            bool(mask >> (_DOUBLE + x) & 1),
        )
        for x in range(3)
    )
    innermost = frozenset(LOOPS) - loops(_NOT_INNERMOST)
    slides = frozenset(_SLIDING) - loops(_NOT_SLIDING, _SLIDING)
    stationary = _KIND[min(innermost)].index(False)
    return TileRetentionLayout(
        (a, b, c), next(iter(slides), ""), innermost if double else frozenset(), stationary
    )
