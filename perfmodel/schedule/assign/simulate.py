"""When everything runs: list scheduling of an assignment on engines and channels."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index


@dataclass(frozen=True, slots=True, eq=False)
class AssignmentTimeline:
    """Start and end of every operator and transfer, in seconds.

    Attributes
    ----------
    engine, start_s, end_s
        Of each operator, shape ``(operators,)``.
    tensor, source, target, sent_s, arrived_s
        Of each transfer, shape ``(transfers,)``, in the order in which they start.
    """

    engine: Index
    start_s: Floats
    end_s: Floats
    tensor: Index
    source: Index
    target: Index
    sent_s: Floats
    arrived_s: Floats

    @property
    def makespan_s(self) -> float:
        """When the last operator has ended."""
        return float(self.end_s.max(initial=0.0))


def urgency(problem: AssignmentProblem, engine: Index) -> Floats:
    """Return seconds from each operator's start to the end of the longest path behind it.

    The upward rank of Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task
    scheduling for heterogeneous computing", IEEE TPDS 13(3), 2002, under a given assignment.
    """
    own = problem.costs[np.arange(problem.count), engine].tolist()
    lane = engine.tolist()
    rank = [0.0] * problem.count
    delays, made, readers = problem.delays, problem.made, problem.readers
    for i in range(problem.count - 1, -1, -1):
        behind = 0.0
        for t in made[i]:
            for r in readers[t]:
                wait = 0.0 if lane[r] == lane[i] else float(delays[t, lane[i], lane[r]])
                behind = max(behind, wait + rank[r])
        rank[i] = own[i] + behind
    return np.array(rank)


def list_schedule(
    problem: AssignmentProblem, engine: Index, priority: Floats | None = None
) -> AssignmentTimeline:
    """Run every operator as soon as its engine is free and its inputs are there.

    Where several wait for an engine, or tensors for a channel, the one with the highest priority
    goes first.

    Parameters
    ----------
    engine
        Engine of each operator, shape ``(operators,)``.
    priority
        Of each operator; by default its `urgency`.
    """
    order: Floats = urgency(problem, engine) if priority is None else priority
    rank: list[float] = order.tolist()
    lane: list[int] = engine.tolist()
    n = problem.count
    own = problem.costs[np.arange(n), engine].tolist()
    made, readers, reads = problem.made, problem.readers, problem.reads
    missing = [len(each) for each in reads]
    # Per engine and channel: what waits, by priority, and when it is free.
    waiting: list[list[tuple[float, int]]] = [
        list[tuple[float, int]]() for _ in range(problem.width)
    ]
    free = [True] * problem.width
    channels = int(problem.channels.max(initial=-1)) + 1
    queued: list[list[tuple[float, int, int]]] = [
        list[tuple[float, int, int]]() for _ in range(channels)
    ]
    open_ = [True] * channels
    start, end = np.zeros(n), np.zeros(n)
    moves: list[tuple[int, int, int, float, float]] = []
    # Events at one moment: ends and arrivals all come before anything starts.
    events: list[tuple[float, int, int, int]] = []
    for i in range(n):
        if not missing[i]:
            heapq.heappush(waiting[lane[i]], (-rank[i], i))
    now = 0.0
    while True:
        for e in range(problem.width):
            if free[e] and waiting[e]:
                _, i = heapq.heappop(waiting[e])
                start[i], end[i], free[e] = now, now + own[i], False
                heapq.heappush(events, (now + own[i], 0, i, e))
        for c in range(channels):
            if open_[c] and queued[c]:
                _, t, f = heapq.heappop(queued[c])
                source = lane[int(problem.maker[t])]
                until = now + float(problem.delays[t, source, f])
                moves.append((t, source, f, now, until))
                open_[c] = False
                heapq.heappush(events, (until, 2, t, f))
        if not events:
            break
        now = events[0][0]
        while events and events[0][0] == now:
            _, what, at, e = heapq.heappop(events)
            arrived: list[tuple[int, int]] = []  # (tensor, engine where it is now)
            if what == 0:
                free[e] = True
                for t in made[at]:
                    arrived.append((t, e))
                    best: dict[int, float] = {}
                    for r in readers[t]:
                        if lane[r] != e:
                            best[lane[r]] = max(best.get(lane[r], 0.0), rank[r])
                    for f, first in best.items():
                        channel = int(problem.channels[e, f])
                        if channel >= 0:
                            heapq.heappush(queued[channel], (-first, t, f))
                        else:
                            until = now + float(problem.delays[t, e, f])
                            moves.append((t, e, f, now, until))
                            heapq.heappush(events, (until, 1, t, f))
            else:
                if what == 2:
                    open_[int(problem.channels[lane[int(problem.maker[at])], e])] = True
                arrived.append((at, e))
            for t, f in arrived:
                for r in readers[t]:
                    if lane[r] == f:
                        missing[r] -= 1
                        if not missing[r]:
                            heapq.heappush(waiting[f], (-rank[r], r))
    return timeline(engine, start, end, moves)


def one_at_a_time(problem: AssignmentProblem, engine: Index) -> AssignmentTimeline:
    """Run operators in their order, each transfer just before the operator that needs it."""
    n, lane = problem.count, engine.tolist()
    own = problem.costs[np.arange(n), engine].tolist()
    start, end = np.zeros(n), np.zeros(n)
    moves: list[tuple[int, int, int, float, float]] = []
    there: set[tuple[int, int]] = set()
    now = 0.0
    for i in range(n):
        for t in problem.reads[i]:
            source = lane[int(problem.maker[t])]
            if source != lane[i] and (t, lane[i]) not in there:
                until = now + float(problem.delays[t, source, lane[i]])
                moves.append((t, source, lane[i], now, until))
                there.add((t, lane[i]))
                now = until
        start[i], now = now, now + own[i]
        end[i] = now
    return timeline(engine, start, end, moves)


def as_soon_as_made(problem: AssignmentProblem, engine: Index, start: Floats) -> AssignmentTimeline:
    """Return a schedule by its starts, each transfer sent as soon as its tensor is made."""
    end: Floats = start + problem.costs[np.arange(problem.count), engine]
    moves: list[tuple[int, int, int, float, float]] = []
    for t, readers in enumerate(problem.readers):
        maker = int(problem.maker[t])
        source = int(engine[maker])
        for f in sorted({int(engine[r]) for r in readers} - {source}):
            sent = float(end[maker])
            moves.append((t, source, f, sent, sent + float(problem.delays[t, source, f])))
    return timeline(engine, start, end, moves)


def timeline(
    engine: Index, start: Floats, end: Floats, moves: list[tuple[int, int, int, float, float]]
) -> AssignmentTimeline:
    """Return a timeline from (tensor, source, target, sent, arrived) of each transfer."""
    moves.sort(key=lambda move: move[3])
    table = np.array([move[:3] for move in moves], dtype=np.intp).reshape(-1, 3)
    times: Floats = np.array([move[3:] for move in moves], dtype=np.float64).reshape(-1, 2)
    return AssignmentTimeline(
        engine, start, end, table[:, 0], table[:, 1], table[:, 2], times[:, 0], times[:, 1]
    )
