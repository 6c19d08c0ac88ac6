"""Overlap rules that compose the time of a row from its arithmetic, memory and overhead times.

With full overlap the slowest resource binds (roofline: Williams, Waterman and Patterson, CACM
52(4), 2009); without overlap the times add (the ECM model of older Intel cores: Stengel et al., ICS
2015); a p-norm interpolates between both.
"""

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
    """Return the time of each row in seconds.

    Parameters
    ----------
    compute
        Arithmetic terms in seconds, which add up to ``t_c``.
    memory
        Time of each memory level in seconds, main memory last: ``t_1 ... t_m``.
    overhead
        Terms in seconds that do not overlap with anything.
    overlap
        ``full``: ``max(t_c, t_1, ..., t_m)`` (roofline); ``none``: ``t_c + t_1 + ... + t_m`` (older
        Intel cores, ECM); ``cold_weights_add``: as ``full``, but arithmetic waits for weights from
        main memory, ``max(max(t_c, t_1, ..., t_(m-1)) + t_cold, t_m)``.
    cold
        Time of weight transfers from main memory in seconds, ``t_cold``, a part of ``t_m``.
    pnorm
        Exponent p of ``(t_c^p + t_1^p + ... + t_m^p)^(1/p)``, used instead of the maximum: the sum
        for p = 1, the maximum for p towards infinity.
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
