"""Cut where every schedule passes through one and the same state."""

from __future__ import annotations

from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.masks import bits


def segments(core: BitmaskProblem) -> list[BitmaskProblem]:
    """Return cores that are solved each alone: costs add, schedules follow one another.

    A cut lies after a step that every other step comes before or after, if what it writes is all
    that is live then, inputs that nothing has read yet apart (they lie off chip, at no cost).
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
    before, held = 0, core.held
    for done, v in [*cuts, (core.full, -1)]:
        if done != before:
            parts.append(_part(core, done & ~before, held))
        before = done
        held = core.writes[v] & core.live(done) if v >= 0 else 0
    return parts


def _part(core: BitmaskProblem, steps: int, held: int) -> BitmaskProblem:
    """Return the core of some steps, in which buffers that only others touch are left out."""
    kept = list(bits(steps))
    used = held
    for s in kept:
        used |= core.reads[s] | core.writes[s]
    buffers = list(bits(used))
    place = {t: i for i, t in enumerate(buffers)}

    def local(mask: int) -> int:
        return sum(1 << place[t] for t in bits(mask & used))

    return BitmaskProblem(
        [core.names[s] for s in kept],
        [core.buffers[t] for t in buffers],
        [local(core.reads[s]) for s in kept],
        [local(core.writes[s]) for s in kept],
        [core.growth[s] for s in kept],
        [core.sizes[t] for t in buffers],
        local(core.stored),
        local(core.inputs),
        local(held),
        core.merged,
    )
