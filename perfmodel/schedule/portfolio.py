"""Portfolio of scheduling methods for the fewest bytes spilled and reloaded.

From the fastest to the exact one: ``greedy`` (`greedy.py`), ``beam`` (`exact/beam_search.py`),
``ilp`` (`ilp/`) and ``exact`` (`peak/`, then `exact/`). Each method starts from the best schedule
of the faster ones and passes on its lower bound; the schedule is proved when the two meet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import belady, greedy, orders
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.script import Script, outcome_of

Method = Literal["greedy", "beam", "ilp", "exact"]

#: Methods from the fastest to the exact one.
METHODS: tuple[Method, ...] = ("greedy", "beam", "ilp", "exact")

#: Beam widths tried before any slower method.
_WIDTHS = (20, 200)

#: Share of the time for each method before the next one starts, and for the exact search.
_METHOD_SHARE, _EXACT_SHARE = 0.3, 0.85

#: Orders evaluated by each local search that follows an unproved search.
_TRIES = 4000


def fewest_bytes(
    problem: Problem,
    capacity_bytes: int,
    method: Method = "exact",
    deadline: Deadline | None = None,
    incumbent: Script | None = None,
) -> Certified[Script]:
    """Return a schedule that spills and reloads few bytes; by ``exact``, the fewest.

    ``greedy``: three orders with Belady's replacement. ``beam``: also beams over orders and
    evictions. ``ilp``: also the best evictions for the known orders and, on small graphs, the
    integer programme of order and retention. ``exact``: also the least-peak order, and a search
    that ends with a proof or, at the deadline, with a bound. No method is worse than its
    predecessors.

    Parameters
    ----------
    incumbent
        A feasible script, such as one for a smaller capacity.
    """
    deadline = deadline or Deadline()
    best = greedy(problem, capacity_bytes)
    if best.solution is None:
        return best
    if incumbent is not None:
        best = best.or_better(outcome_of(problem, incumbent, capacity_bytes, best.method))
    if method == "greedy" or best.proved:
        return replace(best, method=method)
    if method == "exact":
        best = _search_exactly(problem, capacity_bytes, deadline, best)
        best = _search_orders(problem, capacity_bytes, deadline, best)
    for width in _WIDTHS:
        if best.proved or deadline.passed():
            return replace(best, method=method)
        from perfmodel.schedule.exact import beam

        allowed = deadline.share(_METHOD_SHARE)
        best = best.or_better(beam(problem, capacity_bytes, width, allowed))
    if method == "beam" or best.proved or deadline.passed():
        return replace(best, method=method)
    from perfmodel.schedule.ilp import ilp, retention

    assert best.solution is not None
    if method == "ilp":
        better = ilp(problem, capacity_bytes, deadline, more_orders=(best.solution.order,))
    else:
        better = retention(problem, best.solution.order, capacity_bytes, deadline)
    return replace(best.or_better(better), method=method)


def _search_exactly(
    problem: Problem, capacity_bytes: int, deadline: Deadline, best: Certified[Script]
) -> Certified[Script]:
    """Return the result of the least peak and the exact search, with time left if still open."""
    best = _try_least_peak(problem, capacity_bytes, deadline, best)
    if best.proved:
        return best
    from perfmodel.schedule.exact import search

    allowed = deadline.share(_EXACT_SHARE)
    return best.or_better(search(problem, capacity_bytes, allowed, best.solution))


def _search_orders(
    problem: Problem, capacity_bytes: int, deadline: Deadline, best: Certified[Script]
) -> Certified[Script]:
    """Return the result of local search from schedules that are not proved optimal."""
    if best.proved or best.solution is None:
        return best
    from perfmodel.schedule.order_search import improve_order

    starts = [best.solution, *(belady(problem, o, capacity_bytes) for _, o in orders(problem))]
    for start in starts:
        if start is None or deadline.passed():
            continue
        # Most of the time goes to the best script; some is reserved for what follows.
        allowed = deadline.share(0.4)
        script = improve_order(problem, start, capacity_bytes, allowed, tries=_TRIES)
        best = best.or_better(outcome_of(problem, script, capacity_bytes, best.method))
    return best


def _try_least_peak(
    problem: Problem, capacity_bytes: int, deadline: Deadline, best: Certified[Script]
) -> Certified[Script]:
    """Return the order of least peak: free of spills if it fits, otherwise often close to it."""
    from perfmodel.schedule.peak import minimum_peak

    least = minimum_peak(problem, deadline.share(_METHOD_SHARE))
    assert least.solution is not None
    script = belady(problem, least.solution, capacity_bytes)
    return best.or_better(outcome_of(problem, script, capacity_bytes, best.method))
