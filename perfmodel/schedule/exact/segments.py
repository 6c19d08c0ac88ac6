"""Decomposition at states that every schedule passes through."""

from __future__ import annotations

from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.masks import bits, union


def segments(core: BitmaskProblem) -> list[BitmaskProblem]:
    """Return cores that are solved independently: costs add, and schedules are concatenated.

    A cut follows a step that is ordered before or after every other step, if its outputs are the
    only live buffers then, apart from inputs not yet read (which are off chip, at no cost).
    """
    cuts: list[tuple[int, int]] = []
    for v in range(core.steps):
        done = core.ancestors[v] | 1 << v
        if done != core.full and done | core.descendants[v] == core.full:
            live = core.live(done) & ~core.writes[v]
            if not any(not core.inputs >> t & 1 or core.readers[t] & done for t in bits(live)):
                cuts.append((done, v))
    cuts.sort(key=lambda cut: cut[0].bit_count())
    parts: list[BitmaskProblem] = []
    before, resident = 0, core.resident
    for done, v in [*cuts, (core.full, -1)]:
        if done != before:
            steps = list(bits(done & ~before))
            used = resident | union(core.reads[s] | core.writes[s] for s in steps)
            names = [core.names[s] for s in steps]
            inputs = core.inputs & used
            parts.append(core.part(names, steps, used, inputs=inputs, resident=resident, waits={}))
        before = done
        resident = core.writes[v] & core.live(done) if v >= 0 else 0
    return parts
