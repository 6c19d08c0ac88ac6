"""Problems with some of the steps left out: what they cost, the whole costs at least.

And what leads back from an order of those steps to a schedule of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.exact.lattice import StateLattice
from perfmodel.schedule.exact.scripts import Walk, walked
from perfmodel.schedule.exact.search import cheapest
from perfmodel.schedule.masks import bits


def relaxed(core: BitmaskProblem, keep: int) -> BitmaskProblem:
    """Return the core of the steps `keep`, of which no schedule costs more than one of all steps.

    What a step left out writes lies off chip at the start, like an input: its first load is free
    and to evict it costs a reload. What only steps left out read vanishes at once. Orders through
    steps left out stay, as buffers without bytes. A schedule of all steps without those left out
    is then one of the core returned: each buffer is on chip at most where it was, for no more.
    """
    kept = list(bits(keep))
    made = 0
    for s in kept:
        made |= core.writes[s]
    reads = {s: core.reads[s] for s in kept}
    read = 0
    for mask in reads.values():
        read |= mask
    held = core.held & read
    inputs = read & ~made & ~held
    sizes, buffers = list(core.sizes), list(core.buffers)
    writes = {s: core.writes[s] & read for s in kept}
    for s, readers in _orders(core, keep).items():
        bit = 1 << len(sizes)
        sizes.append(0)
        buffers.append(-1)
        writes[s] |= bit
        for r in readers:
            reads[r] |= bit
    used = list(bits(read | (1 << len(sizes)) - (1 << len(core.sizes))))
    place = {t: i for i, t in enumerate(used)}

    def local(mask: int) -> int:
        return sum(1 << place[t] for t in bits(mask) if t in place)

    ordering = (1 << len(sizes)) - (1 << len(core.sizes))
    return BitmaskProblem(
        [(s,) for s in kept],
        [buffers[t] for t in used],
        [local(reads[s]) for s in kept],
        [local(writes[s]) for s in kept],
        [core.growth[s] for s in kept],
        [sizes[t] for t in used],
        local(core.stored | inputs | ordering),
        local(inputs),
        local(held),
    )


def _orders(core: BitmaskProblem, keep: int) -> dict[int, list[int]]:
    """Return, for steps of `keep`, those that come after only because of steps left out."""
    after: dict[int, list[int]] = {}
    for s in bits(keep):
        known = core.before[s] & keep
        for p in bits(known):
            known |= core.ancestors[p]
        missing = core.ancestors[s] & keep & ~known
        # The last of them imply the others.
        while missing:
            p = missing.bit_length() - 1
            missing &= ~(core.ancestors[p] | 1 << p)
            after.setdefault(p, []).append(s)
    return after


def completed(core: BitmaskProblem, order: Sequence[int], rest: Sequence[int]) -> tuple[int, ...]:
    """Return an order of all steps that has `order` in it, each other step as late as it may be.

    Parameters
    ----------
    order
        Steps in an order that the data allow.
    rest
        An order of all steps, that of those between.
    """
    done, result = 0, list[int]()
    for s in order:
        needed = (core.ancestors[s] | 1 << s) & ~done
        result += [p for p in rest if needed >> p & 1]
        done |= needed
    return (*result, *(s for s in rest if not done >> s & 1))


def replaced(
    core: BitmaskProblem,
    order: Sequence[int],
    capacity: int,
    limit: int,
    deadline: Deadline,
    expansions: int,
) -> Walk | None:
    """Return the cheapest schedule with all steps in a given order, if it costs below `limit`.

    It is a path through the states of the core in which each step, by a buffer without bytes, waits
    for the one before. None also where the search runs out of time or expansions.
    """
    first = len(core.sizes)
    last = len(order) - 1
    links = [1 << first + k for k in range(last)]
    chain = BitmaskProblem(
        [(s,) for s in order],
        [*core.buffers, *[-1] * last],
        [core.reads[s] | (links[k - 1] if k else 0) for k, s in enumerate(order)],
        [core.writes[s] | (links[k] if k < last else 0) for k, s in enumerate(order)],
        [core.growth[s] for s in order],
        [*core.sizes, *[0] * last],
        core.stored | sum(links),
        core.inputs,
        core.held,
    )
    lattice = StateLattice(chain, capacity)
    found = cheapest(lattice, limit, deadline, expansions=expansions)
    if found.solution is None:
        return None
    walk = walked(lattice, found.solution)
    return Walk(walk.cost, tuple(order[k] for k in walk.steps), walk.gone)
