"""The method ``ilp``: known orders with their best evictions, then order and evictions together.

Proved only by the programme of order and evictions (`order_and_retention.py`), or if nothing is
spilled; the other programme (`retention.py`) proves the evictions of one order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import orders
from perfmodel.schedule.ilp.order_and_retention import full, full_size
from perfmodel.schedule.ilp.retention import retention
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script

#: Columns above which the full programme is not tried: its root is not solved within seconds.
_MOST_COLUMNS = 4000


def ilp(
    problem: Problem,
    capacity_bytes: int,
    deadline: Deadline | None = None,
    *,
    more_orders: Iterable[Sequence[int]] = (),
    largest: int = _MOST_COLUMNS,
) -> Certified[Script]:
    """Return the cheapest schedule found by integer programming.

    The greedy orders and `more_orders` get their best evictions (`retention`); from the cheapest of
    them starts the programme of order and evictions together (`full`), if the graph is small.

    Parameters
    ----------
    deadline
        Time at which to stop with the best script so far.
    more_orders
        Further orders to try, from beams or from the user.
    largest
        Maximum number of columns for which `full` is tried.

    Returns
    -------
    Certified
        Never more expensive than `greedy`, from whose scripts it starts. Without a script if a step
        does not fit at all.
    """
    limit = deadline or Deadline()
    best: Certified[Script] = nothing("ilp")
    count = 0
    for order in (*(order for _, order in orders(problem)), *more_orders):
        best = best.or_better(retention(problem, order, capacity_bytes, limit))
        count += 1
        if best.solution is None or best.proved:
            break
    is_over = best.solution is None or best.proved or limit.passed()
    if not is_over and full_size(problem) <= largest:
        best = best.or_better(full(problem, capacity_bytes, limit, best.solution))
    return replace(best, method="ilp", work={**best.work, "orders": count})
