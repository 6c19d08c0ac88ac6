"""The method `ilp`: good orders with their best evictions, then the whole programme."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.greedy import orders
from perfmodel.schedule.ilp.full import full, full_size
from perfmodel.schedule.ilp.retention import retention
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import ScriptOutcome

#: Columns above which the whole programme is not tried: it does not even leave its root in seconds.
LARGEST = 4000


def ilp(
    problem: Problem,
    capacity_bytes: int,
    deadline: Deadline | None = None,
    *,
    more_orders: Iterable[Sequence[int]] = (),
    largest: int = LARGEST,
) -> ScriptOutcome:
    """Return the cheapest schedule that integer programming finds.

    The greedy orders and `more_orders` get their best evictions (`retention`); from the cheapest of
    them starts the programme of order and evictions together (`full`), where the graph is small.

    Parameters
    ----------
    deadline
        When to stop with the best so far.
    more_orders
        Further orders to try, from beams or from the user.
    largest
        Columns up to which `full` is tried.

    Returns
    -------
    Outcome
        Never dearer than `greedy`, from whose scripts it starts. Without a script where a step does
        not fit by itself.
    """
    limit = deadline or Deadline()
    best = ScriptOutcome(None, 0, 0, False, "ilp")
    tried = 0
    for order in (*(order for _, order in orders(problem)), *more_orders):
        found = retention(problem, order, capacity_bytes, limit)
        tried += 1
        if found.script is None:
            return best
        if best.script is None or found.cost_bytes < best.cost_bytes:
            best = ScriptOutcome(
                found.script, found.cost_bytes, 0, found.cost_bytes == 0, "ilp", found.counts
            )
        if best.proved:
            break
    counts = {**best.counts, "orders": tried}
    if best.proved or limit.passed() or full_size(problem) > largest:
        return ScriptOutcome(best.script, best.cost_bytes, 0, best.proved, "ilp", counts)
    whole = full(problem, capacity_bytes, limit, best.script)
    counts = {**counts, **whole.counts}
    return ScriptOutcome(
        whole.script, whole.cost_bytes, whole.bound_bytes, whole.proved, "ilp", counts
    )
