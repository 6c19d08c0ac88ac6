"""Recomposition of row times after a plan has changed the traffic of some memories.

A plan (a schedule or a placement) states how many bytes cross a memory's boundary. With b and t the
bytes and seconds of the kind's own terms, the new seconds are ``t' = t b' / b``, or
``b' / bandwidth`` where there was no traffic before. The time of a row changes by the difference of
the composed times (`perfmodel.cost.compose`) with the new and the old memory times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import bandwidth


def seconds_of(terms: Terms, setting: Setting, memory: str, bytes_: Value) -> Value:
    """Return the seconds of each row for a number of bytes across a memory's boundary.

    The time per byte is that of the original terms where they have traffic, else the inverse
    bandwidth; the shape ``(rows, points)`` is that of `bytes_`. Where the time of the original
    traffic is in another term (weights that a processor loads apart), what is added takes its own.
    """
    rate = bandwidth(setting, memory)
    seconds = terms.memory.get(memory)
    if seconds is None:
        return bytes_ / rate
    xp, before = setting.xp, terms.traffic.get(memory, 0.0)
    scaled = seconds * (bytes_ / xp.where(before > 0, before, 1.0))
    is_elsewhere = (before > 0) & (seconds == 0.0)
    added = xp.maximum(bytes_ - xp.where(is_elsewhere, before, 0.0), 0.0) / rate
    return xp.where((before > 0) & (seconds > 0.0), scaled, added)


def recomposed(
    terms: Terms,
    setting: Setting,
    traffic: Mapping[str, Value],
    memory: Mapping[str, Value],
    traffic_model: str,
    cold: Value = None,
    compute: dict[str, Value] | None = None,
    overhead: dict[str, Value] | None = None,
) -> Terms:
    """Return the terms with replaced memory traffic and times, and recomposed row times.

    Time that a kind adds to its rows outside the composition is preserved.

    Parameters
    ----------
    traffic, memory
        Bytes and seconds of each memory, ``(rows, points)``.
    cold
        Seconds of cold weights; see `perfmodel.cost.compose.compose`.
    compute, overhead
        Seconds of arithmetic and of overheads; by default those of the terms.
    """
    compute = terms.compute if compute is None else compute
    overhead = terms.overhead if overhead is None else overhead
    main = setting.levels[-1]
    # Overlap rules require main memory to be the last.
    times = {name: s for name, s in memory.items() if name != main}
    times |= {main: memory[main]} if main in memory else {}
    pnorm = None if setting.bare else setting.fact("runtime.overlap_pnorm")
    rule = setting.overlap
    before = compose(terms.compute, terms.memory, terms.overhead, rule, terms.cold, pnorm)
    after = compose(compute, times, overhead, rule, cold, pnorm)
    # Remarks of the kind refer to the original times only.
    texts = {name: s for name, s in terms.expressions.items() if times[name] is terms.memory[name]}
    row_s = terms.row_s + (after - before)
    longer = row_s / setting.xp.where(terms.row_s > 0.0, terms.row_s, 1.0)
    powered = {name: terms.energy[name] * longer for name in terms.powered}
    return replace(
        terms,
        traffic=traffic,
        compute=compute,
        memory=times,
        overhead=overhead,
        row_s=row_s,
        energy=terms.energy | powered,
        cold=cold,
        traffic_model=traffic_model,
        expressions=texts,
    )
