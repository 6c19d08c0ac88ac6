"""Recomputation (rematerialisation) in addition to spills.

As in Checkmate (Jain et al., MLSys 2020, arXiv:1910.02653), with spills as an alternative: a
dropped buffer returns from off chip, at the cost of its bytes, or by running its step again, at the
cost of that step. Exact on small graphs by a uniform-cost search; on large ones reloads of a given
schedule are replaced where that reduces the cost.
"""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import greedy
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.recompute.insert import bettered
from perfmodel.schedule.recompute.repeated import Recomputation
from perfmodel.schedule.recompute.search import RecomputationSearch
from perfmodel.schedule.script import Script

#: Largest number of steps for which the search is tried.
_SMALL = 14


def recompute(
    problem: Problem,
    capacity_bytes: int,
    again_bytes: Sequence[int],
    script: Script | None = None,
    deadline: Deadline | None = None,
    *,
    exact: bool | None = None,
) -> Recomputation | None:
    """Return a schedule of low cost in which steps may run again.

    Parameters
    ----------
    again_bytes
        Cost of running each step again, in bytes of traffic: its time times the bandwidth, or its
        energy divided by that of a byte. Loads of a network input never run again.
    script
        A schedule to improve; by default the one of the fewest bytes.
    exact
        Whether to search all schedules; by default for small numbers of steps.

    Returns
    -------
    Recomputation or None
        None if a step does not fit even with nothing else resident. Proved on small graphs if the
        search ends in time.
    """
    deadline = deadline or Deadline()
    if problem.largest_working_set_bytes > capacity_bytes:
        return None
    if script is None:
        script = _start(problem, capacity_bytes, deadline.within(deadline.left() / 2))
    best = bettered(problem, capacity_bytes, again_bytes, script, deadline)
    if best.proved or exact is False or (exact is None and len(problem.steps) > _SMALL):
        return best
    return RecomputationSearch(problem, capacity_bytes, again_bytes, best, deadline).best_schedule()


def _start(problem: Problem, capacity: int, deadline: Deadline) -> Script:
    if len(problem.steps) <= _SMALL:  # the search needs no good start
        start = greedy(problem, capacity).solution
    else:
        from perfmodel.schedule.portfolio import fewest_bytes

        start = fewest_bytes(problem, capacity, deadline=deadline).solution
    assert start is not None
    return start
