"""Sets of steps or buffers as bit masks: bit i represents number i.

All exact searches represent sets this way: unions and differences are single operations on
integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def bits(mask: int) -> Iterator[int]:
    """Yield the positions of the set bits of a mask, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def mask_of(numbers: Iterable[int]) -> int:
    """Return the mask of distinct numbers."""
    return sum(1 << i for i in numbers)


def union(masks: Iterable[int]) -> int:
    """Return the union of masks."""
    result = 0
    for mask in masks:
        result |= mask
    return result


def nearest(mask: int, further: Sequence[int], *, ascending: bool = False) -> Iterator[int]:
    """Yield the members of a mask that are not implied by another member.

    Parameters
    ----------
    further
        Mask, for each member, of the members that it implies: its ancestors, all with smaller
        numbers; or, if `ascending`, its descendants, all with larger numbers.
    """
    while mask:
        i = (mask & -mask).bit_length() - 1 if ascending else mask.bit_length() - 1
        yield i
        mask &= ~(further[i] | 1 << i)


def closures(before: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return masks of all ancestors and all descendants of each step.

    Parameters
    ----------
    before
        Mask of the direct predecessors of each step; the steps are in topological order.
    """
    ancestors: list[int] = []
    descendants = [0] * len(before)
    for direct in before:
        ancestors.append(direct | union(ancestors[p] for p in bits(direct)))
    for s in range(len(before) - 1, -1, -1):
        for p in bits(before[s]):
            descendants[p] |= descendants[s] | 1 << s
    return tuple(ancestors), tuple(descendants)
