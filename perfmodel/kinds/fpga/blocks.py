"""Memory blocks that a table of some depth and width takes."""

from __future__ import annotations

from perfmodel.arrays import Value, namespace

#: Bits of a block.
BLOCK_BITS = 18432.0

#: Depth up to which a block of 18 Kb is so many bits wide (UG573, simple dual port).
_SHAPES = ((512.0, 36.0), (1024.0, 18.0), (2048.0, 9.0), (4096.0, 4.0), (8192.0, 2.0))


def blocks_18k(depth: Value, width: Value, *, relaxed: bool = False) -> Value:
    """Return blocks of 18 Kb of a memory, ``ceil(width / w) ceil(depth / 16384)``.

    ``w`` is the width of a block at the depth: 36 bits up to 512 words, 18 up to 1024, 9, 4, 2 and
    1 up to 16384. AMD UG573, table of block RAM aspect ratios; so do the estimates of FINN.

    Parameters
    ----------
    depth, width
        Words, and bits of a word; numbers or arrays. Nothing where either is 0.
    relaxed
        Bits over the bits of a block.
    """
    xp = namespace(depth, width)
    if relaxed:
        return depth * width / BLOCK_BITS
    wide = 1.0
    for most, bits in reversed(_SHAPES):
        wide = xp.where(depth <= most, bits, wide)
    return xp.ceil(width / wide - 1e-9) * xp.ceil(depth / 16384.0 - 1e-9)
