"""Overlap rules: how the times of arithmetic and of memory levels make the time of a row."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.arrays import Value, namespace


def compose(
    compute: Mapping[str, Value], memory: Mapping[str, Value], overhead: Mapping[str, Value],
    overlap: str,
) -> Value:  # fmt: skip
    """Return seconds of each row.

    Parameters
    ----------
    compute
        Terms of arithmetic; they add.
    memory
        Seconds of each level.
    overhead
        Terms that nothing overlaps.
    overlap
        ``full``: the slowest of arithmetic and each level (roofline); ``none``: their sum (levels
        of older Intel cores, ECM).
    """
    total = sum(compute.values(), 0.0)
    xp = namespace(total, *memory.values())
    for seconds in memory.values():
        total = xp.maximum(total, seconds) if overlap == "full" else total + seconds
    for seconds in overhead.values():
        total = total + seconds
    return total
