"""Terms of a kind of hardware with other bytes across the boundaries of some memories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import bandwidth


def seconds_of(terms: Terms, setting: Setting, memory: str, bytes_: Value) -> Value:
    """Return seconds of each row if so many bytes crossed a memory's boundary.

    The kind's own time of a byte where it moved any, else that of the bandwidth; ``(rows, points)``
    as `bytes_`.
    """
    plain = bytes_ / bandwidth(setting, memory)
    seconds = terms.memory.get(memory)
    if seconds is None:
        return plain
    xp, before = setting.xp, terms.traffic.get(memory, 0.0)
    scaled = seconds * (bytes_ / xp.where(before > 0, before, 1.0))
    return xp.where(before > 0, scaled, plain)


def recomposed(
    terms: Terms,
    setting: Setting,
    traffic: Mapping[str, Value],
    memory: Mapping[str, Value],
    traffic_model: str,
    cold: Value = None,
) -> Terms:
    """Return the terms with other traffic and times of memories, rows composed again.

    What a kind adds to its rows beside the composition stays.

    Parameters
    ----------
    traffic, memory
        Bytes and seconds of each memory, ``(rows, points)``.
    cold
        As `perfmodel.cost.compose.compose`.
    """
    main = setting.levels[-1]
    # Main memory is the last, as overlap rules take it.
    times = {name: s for name, s in memory.items() if name != main}
    times |= {main: memory[main]} if main in memory else {}
    pnorm = None if setting.bare else setting.fact("runtime.overlap_pnorm")
    parts = (terms.overhead, setting.overlap)
    was = compose(terms.compute, terms.memory, *parts, terms.cold, pnorm)
    now = compose(terms.compute, times, *parts, cold, pnorm)
    # What a kind says of its own times is not true of others.
    said = {name: s for name, s in terms.said.items() if times[name] is terms.memory[name]}
    return replace(
        terms,
        traffic=traffic,
        memory=times,
        row_s=terms.row_s + (now - was),
        cold=cold,
        traffic_model=traffic_model,
        said=said,
    )
