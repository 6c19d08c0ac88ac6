"""Relaxation of a segment to a few of its steps, and schedules of all steps from its solution.

The least cost of the relaxed problem is a lower bound on that of the segment, since deleting steps
from a schedule costs nothing. Conversely an order of the few steps is completed to one of all
steps, whose cheapest evictions are a shortest path. `refinement.py` alternates between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.bitmask_problem import BitmaskProblem
from perfmodel.schedule.exact.segment_schedule import SegmentSchedule, schedule_of_path
from perfmodel.schedule.exact.shortest_path import cheapest_path
from perfmodel.schedule.exact.state_graph import StateGraph
from perfmodel.schedule.masks import bits, nearest, union


def relax_to_steps(core: BitmaskProblem, included: int) -> BitmaskProblem:
    """Return the core of some steps, whose least cost does not exceed that of all steps.

    A buffer written by an omitted step starts off chip like an input: its first load is free, and
    its eviction costs a reload. A buffer read by omitted steps only is freed at once. Precedence
    through omitted steps is preserved by buffers of zero bytes. A schedule of all steps, with the
    omitted ones deleted, is a schedule of this core: each buffer is on chip at most as long as
    before, at no higher cost.

    Parameters
    ----------
    included
        Mask of the steps of the new core.
    """
    steps = list(bits(included))
    written = union(core.writes[s] for s in steps)
    read = union(core.reads[s] for s in steps)
    resident = core.resident & read
    return core.part(
        [(s,) for s in steps],
        steps,
        read,
        inputs=read & ~written & ~resident,
        resident=resident,
        waits=_indirect_successors(core, included),
    )


def _indirect_successors(core: BitmaskProblem, included: int) -> dict[int, list[int]]:
    """Return, for each included step, those that follow it only because of omitted steps."""
    after: dict[int, list[int]] = {}
    for s in bits(included):
        known = core.before[s] & included
        for p in bits(known):
            known |= core.ancestors[p]
        for p in nearest(core.ancestors[s] & included & ~known, core.ancestors):
            after.setdefault(p, []).append(s)
    return after


def complete_order(
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


def cheapest_evictions(
    core: BitmaskProblem,
    order: Sequence[int],
    capacity: int,
    limit: int,
    deadline: Deadline,
    expansions: int,
) -> SegmentSchedule | None:
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
    graph = StateGraph(chain, capacity)
    answer = cheapest_path(graph, limit, deadline, expansions=expansions)
    if answer.solution is None:
        return None
    schedule = schedule_of_path(graph, answer.solution)
    return SegmentSchedule(schedule.cost, tuple(order[k] for k in schedule.steps), schedule.evicted)
