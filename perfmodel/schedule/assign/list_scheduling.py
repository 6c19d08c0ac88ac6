"""Timeline of one run under an assignment, by list scheduling on engines and channels.

`list_schedule` simulates engines that work in parallel: whenever an engine or channel is free, it
takes the waiting operator or tensor with the highest priority (Graham 1969), by default its upward
rank (HEFT: Topcuoglu, Hariri and Wu 2002). `one_at_a_time` is the serial run.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from perfmodel.schedule.assign.problem import AssignmentProblem, Floats, Index


@dataclass(frozen=True, slots=True, eq=False)
class AssignmentTimeline:
    """Start and end of every operator and transfer, in seconds.

    Attributes
    ----------
    engine, start_s, end_s
        Engine, start and end of each operator, shape ``(operators,)``.
    tensor, source, target, sent_s, arrived_s
        Fields of each transfer, shape ``(transfers,)``, in order of start.
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
        """End of the last operator in seconds."""
        return float(self.end_s.max(initial=0.0))


def urgency(problem: AssignmentProblem, engine: Index) -> Floats:
    """Return seconds from each operator's start to the end of its longest descending path.

    The upward rank of Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task
    scheduling for heterogeneous computing", IEEE TPDS 13(3), 2002, under a given assignment.
    """
    tensor, reader = problem.pairs
    wait = problem.delays[tensor, engine[problem.maker[tensor]], engine[reader]]
    return upward_rank(problem, problem.costs[np.arange(problem.count), engine], wait)


def upward_rank(problem: AssignmentProblem, seconds: Floats, wait: Floats) -> Floats:
    """Return the longest path from each operator's start to the end.

    ``rank[i] = seconds[i] + max over its readers r of (wait[i -> r] + rank[r])``.

    Parameters
    ----------
    seconds
        Seconds of each operator, shape ``(operators,)``.
    wait
        Delay of each read, as `AssignmentProblem.pairs`.
    """
    rank, waits = seconds.tolist(), wait.tolist()
    for i in range(problem.count - 1, -1, -1):
        rank[i] += max([waits[k] + rank[r] for k, r in problem.feeds[i]], default=0.0)
    return np.array(rank)


def list_schedule(
    problem: AssignmentProblem, engine: Index, priority: Floats | None = None
) -> AssignmentTimeline:
    """Run every operator as soon as its engine is free and its inputs have arrived.

    Of operators that wait for an engine, or tensors for a channel, the one with the highest
    priority goes first.

    Parameters
    ----------
    engine
        Engine of each operator, shape ``(operators,)``.
    priority
        Priority of each operator; by default its `urgency`.
    """
    rank = urgency(problem, engine) if priority is None else priority
    run = _ListScheduling(problem, engine, rank)
    while run.step():
        pass
    return _timeline(engine, run.start, run.end, run.moves)


#: (tensor, source, target, sent, arrived) of a transfer.
_Transfer: TypeAlias = tuple[int, int, int, float, float]

#: Kinds of events: an operator ends; a tensor arrives, without a channel, or freeing its channel.
_ENDED, _ARRIVED, _SENT = range(3)


class _ListScheduling:
    """State of list scheduling: queues of engines and channels, and events in progress.

    Attributes
    ----------
    engine, seconds
        Engine and seconds of each operator.
    missing
        Number of inputs of each operator that have not arrived yet.
    waiting, queued
        Operators queued per engine, and tensors with target queued per channel, by priority.
    is_free, is_open
        Whether each engine and each channel is idle.
    events
        Time, kind, operator or tensor, and engine of events in progress. Events at one time are all
        processed before anything starts.
    moves
        Tensor, source, target, start and end of each transfer.
    """

    def __init__(self, problem: AssignmentProblem, engine: Index, rank: Floats) -> None:
        n, width = problem.count, problem.width
        self.problem = problem
        self.rank: list[float] = rank.tolist()
        self.engine: list[int] = engine.tolist()
        self.seconds: list[float] = problem.costs[np.arange(n), engine].tolist()
        self.missing = [len(tensors) for tensors in problem.reads]
        self.waiting: list[list[tuple[float, int]]] = [[] for _ in range(width)]
        self.is_free = [True] * width
        channels = int(problem.channels.max(initial=-1)) + 1
        self.queued: list[list[tuple[float, int, int]]] = [[] for _ in range(channels)]
        self.is_open = [True] * channels
        self.start, self.end = np.zeros(n), np.zeros(n)
        self.moves: list[_Transfer] = []
        self.events: list[tuple[float, int, int, int]] = []
        for i in range(n):
            if not self.missing[i]:
                heapq.heappush(self.waiting[self.engine[i]], (-self.rank[i], i))
        self._start(0.0)

    def step(self) -> bool:
        """Advance to the time of the next event, and return whether there is one."""
        events = self.events
        if not events:
            return False
        now = events[0][0]
        while events and events[0][0] == now:
            _, kind, index, engine = heapq.heappop(events)
            if kind == _ENDED:
                self.is_free[engine] = True
                for tensor in self.problem.writes[index]:
                    self._arrive(tensor, engine)
                    self._send(tensor, engine, now)
                continue
            if kind == _SENT:
                source = self.engine[int(self.problem.maker[index])]
                self.is_open[int(self.problem.channels[source, engine])] = True
            self._arrive(index, engine)
        self._start(now)
        return True

    def _start(self, now: float) -> None:
        """Start queued work on all free engines and channels."""
        for engine, waiting in enumerate(self.waiting):
            if self.is_free[engine] and waiting:
                _, i = heapq.heappop(waiting)
                self.start[i], self.end[i], self.is_free[engine] = now, now + self.seconds[i], False
                heapq.heappush(self.events, (now + self.seconds[i], _ENDED, i, engine))
        for channel, queued in enumerate(self.queued):
            if self.is_open[channel] and queued:
                _, tensor, target = heapq.heappop(queued)
                source = self.engine[int(self.problem.maker[tensor])]
                self._move(tensor, source, target, now, _SENT)
                self.is_open[channel] = False

    def _move(self, tensor: int, source: int, target: int, now: float, kind: int) -> None:
        """Start a transfer."""
        until = now + float(self.problem.delays[tensor, source, target])
        self.moves.append((tensor, source, target, now, until))
        heapq.heappush(self.events, (until, kind, tensor, target))

    def _send(self, tensor: int, source: int, now: float) -> None:
        """Send a tensor to the other engines that read it, or queue it for their channels."""
        best: dict[int, float] = {}
        for reader in self.problem.readers[tensor]:
            target = self.engine[reader]
            if target != source:
                best[target] = max(best.get(target, 0.0), self.rank[reader])
        for target, first in best.items():
            channel = int(self.problem.channels[source, target])
            if channel >= 0:
                heapq.heappush(self.queued[channel], (-first, tensor, target))
            else:
                self._move(tensor, source, target, now, _ARRIVED)

    def _arrive(self, tensor: int, engine: int) -> None:
        """Mark a tensor as arrived on an engine, and queue readers with all inputs present."""
        for reader in self.problem.readers[tensor]:
            if self.engine[reader] == engine:
                self.missing[reader] -= 1
                if not self.missing[reader]:
                    heapq.heappush(self.waiting[engine], (-self.rank[reader], reader))


def one_at_a_time(problem: AssignmentProblem, engine: Index) -> AssignmentTimeline:
    """Run operators in order, each transfer just before the operator that needs it."""
    n, engines = problem.count, engine.tolist()
    seconds = problem.costs[np.arange(n), engine].tolist()
    start, end = np.zeros(n), np.zeros(n)
    moves: list[_Transfer] = []
    arrived: set[tuple[int, int]] = set()
    now = 0.0
    for i in range(n):
        for t in problem.reads[i]:
            source = engines[int(problem.maker[t])]
            if source != engines[i] and (t, engines[i]) not in arrived:
                until = now + float(problem.delays[t, source, engines[i]])
                moves.append((t, source, engines[i], now, until))
                arrived.add((t, engines[i]))
                now = until
        start[i], now = now, now + seconds[i]
        end[i] = now
    return _timeline(engine, start, end, moves)


def as_soon_as_made(problem: AssignmentProblem, engine: Index, start: Floats) -> AssignmentTimeline:
    """Return the schedule with given starts, each tensor sent as soon as it is made."""
    end: Floats = start + problem.costs[np.arange(problem.count), engine]
    moves: list[_Transfer] = []
    for t, readers in enumerate(problem.readers):
        maker = int(problem.maker[t])
        source = int(engine[maker])
        for f in sorted({int(engine[r]) for r in readers} - {source}):
            sent = float(end[maker])
            moves.append((t, source, f, sent, sent + float(problem.delays[t, source, f])))
    return _timeline(engine, start, end, moves)


def _timeline(
    engine: Index, start: Floats, end: Floats, moves: list[_Transfer]
) -> AssignmentTimeline:
    """Return a timeline; sort the transfers by their start."""
    moves.sort(key=lambda move: move[3])
    table = np.array([move[:3] for move in moves], dtype=np.intp).reshape(-1, 3)
    times: Floats = np.array([move[3:] for move in moves], dtype=np.float64).reshape(-1, 2)
    return AssignmentTimeline(
        engine, start, end, table[:, 0], table[:, 1], table[:, 2], times[:, 0], times[:, 1]
    )
