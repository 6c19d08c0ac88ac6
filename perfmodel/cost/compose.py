"""Overlap rules: how the times of arithmetic and of memory levels make the time of a row."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.arrays import Value, namespace


def compose(
    compute: Mapping[str, Value],
    memory: Mapping[str, Value],
    overhead: Mapping[str, Value],
    overlap: str,
    cold: Value = None,
    pnorm: Value = None,
) -> Value:
    """Return seconds of each row.

    Parameters
    ----------
    compute
        Terms of arithmetic; they add.
    memory
        Seconds of each level, main memory last.
    overhead
        Terms that nothing overlaps.
    overlap
        ``full``: the slowest of arithmetic and each level (roofline); ``none``: their sum (levels
        of older Intel cores, ECM); ``cold_weights_add``: as full, but no arithmetic starts on
        weights that are still in main memory: their time adds to that of arithmetic and of the
        levels before it.
    cold
        Seconds of moving weights from main memory, part of that level's.
    pnorm
        Exponent that joins arithmetic and levels instead of their maximum: 1 adds them.
    """
    total = sum(compute.values(), 0.0)
    if cold is not None:
        levels = list(memory.values())
        xp = namespace(total, *levels, cold)
        for seconds in levels[:-1]:
            total = xp.maximum(total, seconds)
        total = xp.maximum(total + cold, levels[-1])
        return sum(overhead.values(), total)
    xp = namespace(total, *memory.values())
    if pnorm is not None and overlap != "none":
        total = sum((s**pnorm for s in memory.values()), total**pnorm) ** (1.0 / pnorm)
        return sum(overhead.values(), total)
    for seconds in memory.values():
        total = total + seconds if overlap == "none" else xp.maximum(total, seconds)
    for seconds in overhead.values():
        total = total + seconds
    return total
