"""Schedules of least cost in which steps may run again instead of spilling their outputs.

The problem is Checkmate's (Jain et al., MLSys 2020, arXiv:1910.02653), with spills as an
alternative: a dropped buffer returns from off chip, at the cost of its bytes, or by running its
step again, at the cost of that step. First reruns are inserted greedily into a schedule
(`greedy_insertion.py`); on small graphs a uniform-cost search over all schedules
(`exact_search.py`) follows, which proves its result.
"""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.greedy import greedy
from perfmodel.schedule.problem import Problem
from perfmodel.schedule.recompute.exact_search import RecomputationSearch
from perfmodel.schedule.recompute.greedy_insertion import insert_reruns
from perfmodel.schedule.recompute.recomputation import Recomputation
from perfmodel.schedule.script import Script

#: Largest number of steps for which the exact search is tried.
_MOST_STEPS_PROVED = 14


def recompute(
    problem: Problem,
    capacity_bytes: int,
    rerun_bytes: Sequence[int],
    script: Script | None = None,
    deadline: Deadline | None = None,
    *,
    exact: bool | None = None,
) -> Recomputation | None:
    """Return a schedule of low cost in which steps may run again.

    Parameters
    ----------
    rerun_bytes
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
        script = _starting_script(problem, capacity_bytes, deadline.share(0.5))
    best = insert_reruns(problem, capacity_bytes, rerun_bytes, script, deadline)
    if best.proved or exact is False or (exact is None and len(problem.steps) > _MOST_STEPS_PROVED):
        return best
    return RecomputationSearch(problem, capacity_bytes, rerun_bytes, best, deadline).best_schedule()


def _starting_script(problem: Problem, capacity: int, deadline: Deadline) -> Script:
    """Return a schedule without reruns to start from."""
    if len(problem.steps) <= _MOST_STEPS_PROVED:  # the search needs no good start
        start = greedy(problem, capacity).solution
    else:
        from perfmodel.schedule.portfolio import fewest_bytes

        start = fewest_bytes(problem, capacity, deadline=deadline).solution
    assert start is not None
    return start
