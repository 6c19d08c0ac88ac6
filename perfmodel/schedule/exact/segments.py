"""Decomposition of a problem into segments that are scheduled independently.

A cut lies where every schedule passes through one and the same state: after a step that is ordered
before or after every other step (an articulation step), with nothing live but its outputs. The
costs of the segments add up, and their schedules are concatenated.
"""

from __future__ import annotations

from perfmodel.schedule.exact.bitmask_problem import BitmaskProblem
from perfmodel.schedule.masks import bits, union


def segments(core: BitmaskProblem) -> list[BitmaskProblem]:
    """Return the segments of a core, in the order in which they run.

    Inputs that are not yet read may be live at a cut: they are off chip, at no cost.
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
