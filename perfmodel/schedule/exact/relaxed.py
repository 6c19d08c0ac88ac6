"""Relaxation of a problem to a subset of its steps: its cost is a lower bound on the full cost.

Also the completion of an order of these steps to a schedule of all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.core import BitmaskProblem
from perfmodel.schedule.exact.lattice import StateLattice
from perfmodel.schedule.exact.scripts import Walk, walked
from perfmodel.schedule.exact.search import cheapest
from perfmodel.schedule.masks import bits, union


def relaxed(core: BitmaskProblem, keep: int) -> BitmaskProblem:
    """Return the core of the steps `keep`, whose optimal cost does not exceed that of all steps.

    A buffer written by an omitted step starts off chip like an input: its first load is free, and
    its eviction costs a reload. A buffer read by omitted steps only is freed at once. Precedence
    through omitted steps is preserved by buffers of zero bytes. A schedule of all steps, with the
    omitted ones deleted, is a schedule of this core: each buffer is on chip at most as long as
    before, at no higher cost.
    """
    steps = list(bits(keep))
    written = union(core.writes[s] for s in steps)
    read = union(core.reads[s] for s in steps)
    resident = core.resident & read
    return core.part(
        [(s,) for s in steps],
        steps,
        read,
        inputs=read & ~written & ~resident,
        resident=resident,
        waits=_orders(core, keep),
    )


def _orders(core: BitmaskProblem, keep: int) -> dict[int, list[int]]:
    """Return, for each step of `keep`, those that follow it only because of omitted steps."""
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


def completed(
    core: BitmaskProblem, order: Sequence[int], background: Sequence[int]
) -> tuple[int, ...]:
    """Return an order of all steps that contains `order`, each other step as late as possible.

    Parameters
    ----------
    order
        Steps in an order that respects the dependences.
    background
        An order of all steps, which the other steps follow.
    """
    done, result = 0, list[int]()
    for s in order:
        needed = (core.ancestors[s] | 1 << s) & ~done
        result += [p for p in background if needed >> p & 1]
        done |= needed
    return (*result, *(s for s in background if not done >> s & 1))


def replaced(
    core: BitmaskProblem,
    order: Sequence[int],
    capacity: int,
    limit: int,
    deadline: Deadline,
    expansions: int,
) -> Walk | None:
    """Return the cheapest schedule with all steps in a given order, if it costs below `limit`.

    It is a path through the states of the core in which each step waits for its predecessor in the
    order, enforced by a buffer of zero bytes. None also if time or expansions run out.
    """
    chain = core.part(
        [(s,) for s in order],
        order,
        (1 << len(core.sizes)) - 1,
        inputs=core.inputs,
        resident=core.resident,
        waits={s: [following] for s, following in pairwise(order)},
    )
    lattice = StateLattice(chain, capacity)
    answer = cheapest(lattice, limit, deadline, expansions=expansions)
    if answer.solution is None:
        return None
    walk = walked(lattice, answer.solution)
    return Walk(walk.cost, tuple(order[k] for k in walk.steps), walk.gone)
