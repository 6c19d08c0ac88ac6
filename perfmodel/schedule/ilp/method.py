"""The method `ilp`: good orders with their best evictions, then the whole programme."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import orders
from perfmodel.schedule.ilp.full import full, full_size
from perfmodel.schedule.ilp.retention import retention
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script

#: Columns above which the whole programme is not tried: it does not even leave its root in seconds.
LARGEST = 4000


def ilp(
    problem: Problem,
    capacity_bytes: int,
    deadline: Deadline | None = None,
    *,
    more_orders: Iterable[Sequence[int]] = (),
    largest: int = LARGEST,
) -> Certified[Script]:
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
    Certified
        Never dearer than `greedy`, from whose scripts it starts. Without a script where a step does
        not fit by itself.
    """
    limit = deadline or Deadline()
    best: Certified[Script] = nothing("ilp")
    tried = 0
    for order in (*(order for _, order in orders(problem)), *more_orders):
        best = best.or_better(retention(problem, order, capacity_bytes, limit))
        tried += 1
        if best.solution is None or best.proved:
            break
    late = best.solution is None or best.proved or limit.passed()
    if not late and full_size(problem) <= largest:
        best = best.or_better(full(problem, capacity_bytes, limit, best.solution))
    return replace(best, method="ilp", work={**best.work, "orders": tried})
