"""Beam search over the state graph: only the most promising states survive each step.

A heuristic without proof (Lowerre 1976): it provides the schedule from which the exact search
(`segment_search.py`) starts, and the method ``beam``. States that have executed equally many steps
compete; those with the least cost so far plus lower bound on the remaining cost survive, and among
equals those that hold the fewest bytes.
"""

from __future__ import annotations

from heapq import nsmallest

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact.shortest_path import PathNode
from perfmodel.schedule.exact.state_graph import StateGraph
from perfmodel.schedule.exact.states import Bound, Successor, start_state

#: Successors generated between two checks of the clock.
_CLOCK_STRIDE = 500


def beam_search(
    graph: StateGraph, width: int, limit: int, deadline: Deadline, bound: Bound | None = None
) -> PathNode | None:
    """Return the end of the cheapest schedule that a beam of the given width reaches.

    Parameters
    ----------
    width
        Maximum number of states after each step.
    limit
        Only schedules that cost less than this are of interest.
    bound
        Lower bound on the remaining cost, to rank the states; None for 0.

    Returns
    -------
    PathNode or None
        None if no schedule below the limit is reached in time.
    """
    layer = [PathNode(start_state(*graph.start()), None)]
    bytes_of, generated = graph.core.bytes_of, _CLOCK_STRIDE
    for _ in range(graph.core.steps):
        # (executed, resident, clean) -> cost, lower bound on the total, successor, predecessor.
        following: dict[tuple[int, int, int], tuple[int, int, Successor, PathNode]] = {}
        for at in layer:
            if generated >= _CLOCK_STRIDE:
                generated = 0
                if deadline.passed():
                    return None
            successors = graph.successors(at.executed, at.resident, at.clean, at.cost, limit, bound)
            generated += 1 + len(successors)
            for successor in successors:
                child, resident, clean, cost, _step, _evicted, _copies, remaining = successor
                key = (child.done, resident, clean)
                known = following.get(key)
                if known is None or known[0] > cost:
                    following[key] = (cost, cost + remaining, successor, at)
        rated = [
            (total, bytes_of(resident), k, successor, at)
            for k, ((_, resident, _), (_, total, successor, at)) in enumerate(following.items())
        ]
        layer = [PathNode(successor, at) for *_, successor, at in nsmallest(width, rated)]
    return min(layer, key=lambda end: end.cost, default=None)
