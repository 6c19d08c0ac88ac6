"""Retention layouts of uneven tiles: which part of each operand a buffer retains, and how long.

Under uneven tiling the tiles of all operands have one common loop order, but each operand is
fetched at a loop depth of its own. The part of an operand that the loops inside this depth access
is retained in the buffer as a full panel. A layout summarises loop order and depths by what affects
the footprint and the traffic: the extents along which each operand has a panel, the loops that
refetch it, the loop along which the input window slides, and the operands that are double-buffered.

`layouts` enumerates all loop orders and depths and returns the undominated layouts. Each property
is encoded as a bit that is set where it increases footprint or traffic, so that a layout dominates
another if its bits are a subset of the other's.
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
#: Names of the operands, in the order of all sequences of three operands in this module.
OPERANDS = ("input", "weight", "output")
INPUT, WEIGHT, OUTPUT = range(3)
#: Loops that index each operand.
INDEXED = ("NPQCRS", "KCRS", "NPQK")
_SLIDING = "PQRS"

# First bit of each property: one bit per operand and loop for panels and refetches, per operand for
# double buffers, per loop for innermost loops, and per loop of `_SLIDING` for the last two.
_PANEL, _REFETCH, _DOUBLE, _NOT_INNERMOST, _NOT_SLIDING, _NO_PANEL = 0, 21, 42, 45, 52, 56
_ALL_SLIDING = (1 << len(_SLIDING)) - 1
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

        def mirror(loops: frozenset[str]) -> frozenset[str]:
            return frozenset("".join(loops).translate(swap))

        input, weight, output = (
            OperandRetention(mirror(old.panel), mirror(old.refetch), old.double_buffered)
            for old in self.retentions
        )
        return TileRetentionLayout(
            (input, weight, output),
            self.slides.translate(swap),
            mirror(self.innermost),
            self.stationary,
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
        input, weight, output = (
            np.array(
                _retention_masks(order, operand, slides=slides, double=double), dtype=np.uint64
            )
            for operand in (INPUT, WEIGHT, OUTPUT)
        )
        others = sum(1 << (_NOT_INNERMOST + i) for i, loop in enumerate(LOOPS) if loop != order[-1])
        masks.append((input[:, None, None] | weight[:, None] | output).ravel() | np.uint64(others))
    all_masks = np.unique(np.concatenate(masks))
    # Layouts that differ only in the innermost loop are merged.
    merged, group = np.unique(all_masks & ~_INNERMOST_BITS, return_inverse=True)
    innermost = np.full(len(merged), _INNERMOST_BITS)
    np.bitwise_and.at(innermost, group, all_masks & _INNERMOST_BITS)
    undominated = _undominated_masks(merged | innermost if double else merged)
    return tuple(
        _decoded_layout(int(mask), double=double)
        for mask in merged[undominated] | innermost[undominated]
    )


def _undominated_masks(masks: Masks) -> npt.NDArray[np.intp]:
    """Return the indices of the masks that have no other mask as a subset; masks are distinct."""
    remaining = np.argsort(np.bitwise_count(masks), kind="stable")
    undominated: list[np.intp] = []
    while len(remaining):
        first = remaining[0]
        undominated.append(first)
        remaining = remaining[(masks[first] & ~masks[remaining]) != 0]
    return np.array(undominated, dtype=np.intp)


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
    if operand == INPUT:
        # A panel along rows or columns costs footprint but avoids halo fetches: both have a bit.
        panel |= _ALL_SLIDING << _NO_PANEL
    for depth in range(len(order), -1, -1):
        if depth < len(order):
            loop = order[depth]
            if loop not in indexed:
                # A loop that does not index the operand does not change its panel.
                continue
            panel |= 1 << (_PANEL + offset + LOOPS.index(loop))
            if operand == INPUT and loop in _SLIDING:
                panel &= ~(1 << (_NO_PANEL + _SLIDING.index(loop)))
        refetch, sliding_loop = outside[depth]
        bits = panel | refetch
        if double and depth == len(order) and order[-1] in indexed:
            bits |= 1 << (_DOUBLE + operand)
        if operand == INPUT:
            bits |= _ALL_SLIDING << _NOT_SLIDING
            if slides and sliding_loop and sliding_loop in _SLIDING:
                bits &= ~(1 << (_NOT_SLIDING + _SLIDING.index(sliding_loop)))
        if not any(other & ~bits == 0 for other in options):
            options.append(bits)
    return options


def _loops_of(mask: int, first_bit: int, letters: str = LOOPS) -> frozenset[str]:
    """Return the loops whose bits are set, from the first bit of a property on."""
    return frozenset(loop for i, loop in enumerate(letters) if mask >> (first_bit + i) & 1)


def _decoded_layout(mask: int, *, double: bool) -> TileRetentionLayout:
    """Return the layout of a bit mask."""
    input, weight, output = (
        OperandRetention(
            _loops_of(mask, _PANEL + operand * len(LOOPS)),
            _loops_of(mask, _REFETCH + operand * len(LOOPS)),
            bool(mask >> (_DOUBLE + operand) & 1),
        )
        for operand in (INPUT, WEIGHT, OUTPUT)
    )
    innermost = frozenset(LOOPS) - _loops_of(mask, _NOT_INNERMOST)
    slides = frozenset(_SLIDING) - _loops_of(mask, _NOT_SLIDING, _SLIDING)
    indexes = [min(innermost) in indexed for indexed in INDEXED]
    return TileRetentionLayout(
        (input, weight, output),
        next(iter(slides), ""),
        innermost if double else frozenset(),
        indexes.index(False),
    )


def panel_mask(layout: TileRetentionLayout) -> int:
    """Return the bit mask of a layout's panels, one bit per operand and loop."""
    return sum(
        1 << (_PANEL + operand * len(LOOPS) + LOOPS.index(loop))
        for operand, retention in enumerate(layout.retentions)
        for loop in retention.panel
    )


def panels_of(mask: int) -> dict[str, tuple[str, ...]]:
    """Return operand -> extents along which it has a panel, from `panel_mask`."""
    panels: dict[str, tuple[str, ...]] = {}
    for i, operand in enumerate(OPERANDS):
        loops = _loops_of(mask, _PANEL + i * len(LOOPS))
        if loops:
            panels[operand] = tuple(name for name, loop in LOOP_OF.items() if loop in loops)
    return panels
