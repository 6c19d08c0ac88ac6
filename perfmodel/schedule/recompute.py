"""Running a step again instead of keeping or spilling what it made.

Rematerialisation as in Checkmate (Jain et al., MLSys 2020, arXiv:1910.02653), beside spills: a
buffer that was dropped comes back from off chip, for its bytes, or by running its step again, for
what that costs. Exact on small graphs by a uniform-cost search; on large ones reloads of a given
schedule are replaced where that pays.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.greedy import greedy
from perfmodel.schedule.problem import Problem, Step
from perfmodel.schedule.script import Script

__all__ = ["Recomputation", "recompute", "replay_again"]

#: Steps up to which the search is tried.
_SMALL = 14

#: Steps in a row that are tried again for one buffer on large graphs.
_DEPTH = 4


@dataclass(frozen=True)
class Recomputation:
    """A schedule in which steps may run several times.

    Attributes
    ----------
    order
        Steps, some more than once.
    evictions
        Buffers that leave before each step of the order; stored only where they are reloaded.
    again_cost_bytes
        What running steps again costs, in bytes of traffic.
    again
        The steps that run again, as often as they do.
    bound_bytes
        No schedule costs less.
    """

    order: tuple[int, ...]
    evictions: tuple[tuple[int, ...], ...]
    spill_bytes: int
    reload_bytes: int
    again_cost_bytes: int
    again: tuple[int, ...]
    peak_bytes: int
    bound_bytes: int = 0
    proved: bool = False

    @property
    def cost_bytes(self) -> int:
        """Bytes spilled and reloaded, and what runs again as bytes."""
        return self.spill_bytes + self.reload_bytes + self.again_cost_bytes


def again_growth(problem: Problem, s: int, resident: int) -> int | None:
    """Return the bytes that a step needs beside what is resident, some of its output perhaps there.

    None where it would take over a place for an output that already has one.
    """
    step = problem.steps[s]
    sizes = problem.buffers
    fresh = sum(sizes[t].size_bytes for t in step.writes if not resident >> t & 1)
    if step.takes_over >= 0:
        if resident >> step.writes[0] & 1:
            return None
        fresh -= min(sizes[step.takes_over].size_bytes, sizes[step.writes[0]].size_bytes)
    return fresh + step.scratch_bytes


def replay_again(
    problem: Problem, order: Sequence[int], evictions: Sequence[Sequence[int]],
    capacity_bytes: int, again_bytes: Sequence[int],
) -> Recomputation:  # fmt: skip
    """Run a schedule with repetitions and count.

    A buffer stays from the step that makes it until the last one that reads it before it is made
    again or the schedule ends, unless evicted; what is read later and not made again until then
    is stored when it is evicted and reloaded before that step.

    Parameters
    ----------
    again_bytes
        What running each step a second time costs.

    Raises
    ------
    ValueError
        A step reads what is nowhere, does not fit, or never runs.
    """
    sizes = [b.size_bytes for b in problem.buffers]
    steps = problem.steps
    # Next read of each buffer from each position, none after it is made again before.
    uses: list[list[tuple[int, bool]]] = [[] for _ in sizes]
    for k, s in enumerate(order):
        for t in dict.fromkeys(steps[s].reads):
            uses[t].append((k, True))
        for t in steps[s].writes:
            uses[t].append((k, False))
    at = [0] * len(sizes)
    copied = {t for t, b in enumerate(problem.buffers) if b.stored}
    known = {t for t in copied if problem.maker[t] < 0}
    resident = spilled = reloaded = extra = peak = 0
    ran: set[int] = set()
    again: list[int] = []

    def wanted(t: int, k: int) -> bool:
        """Tell whether a buffer is read at or after a position before it is made again."""
        events = uses[t]
        i = at[t]
        while i < len(events) and events[i][0] < k:
            i += 1
        at[t] = i
        return i < len(events) and events[i][1]

    for k, s in enumerate(order):
        step = steps[s]
        for t in evictions[k]:
            if not resident >> t & 1:
                raise ValueError(f"'{problem.buffers[t].name}' is evicted at {k} but not there")
            resident &= ~(1 << t)
            if wanted(t, k) and t not in copied:
                spilled += sizes[t]
                copied.add(t)
        for t in step.reads:
            if not resident >> t & 1:
                if t not in copied or (t not in known and problem.maker[t] not in ran):
                    raise ValueError(
                        f"'{step.name}' reads '{problem.buffers[t].name}' from nowhere"
                    )
                reloaded += sizes[t]
                resident |= 1 << t
        growth = again_growth(problem, s, resident)
        if growth is None:
            raise ValueError(f"'{step.name}' takes over a place for what is already there")
        held = sum(sizes[t] for t in range(len(sizes)) if resident >> t & 1) + growth
        if held > capacity_bytes:
            raise ValueError(f"'{step.name}' needs {held} bytes of {capacity_bytes}")
        peak = max(peak, held)
        if s in ran:
            extra += again_bytes[s]
            again.append(s)
        ran.add(s)
        if step.takes_over >= 0:
            resident &= ~(1 << step.takes_over)
            if wanted(step.takes_over, k + 1) and step.takes_over not in copied:
                raise ValueError(f"'{step.name}' overwrites what is read again")
        resident |= problem.writes_mask[s]
        for t in (*step.reads, *step.writes):
            if resident >> t & 1 and not wanted(t, k + 1):
                resident &= ~(1 << t)
    if len(ran) < len(steps):
        raise ValueError("a step never runs")
    return Recomputation(
        tuple(order), tuple(tuple(e) for e in evictions), spilled, reloaded, extra, tuple(again),
        peak,
    )  # fmt: skip


def recompute(
    problem: Problem, capacity_bytes: int, again_bytes: Sequence[int],
    script: Script | None = None, deadline: Deadline | None = None, *, exact: bool | None = None,
) -> Recomputation | None:  # fmt: skip
    """Return a schedule of few bytes in which steps may run again.

    Parameters
    ----------
    again_bytes
        What running each step again costs, in bytes of traffic: its time times the bandwidth, or
        its energy over that of a byte. Loads of a network's input never run again.
    script
        A schedule to better; by default the one of the fewest bytes.
    exact
        Whether to search every schedule; by default where there are few steps.

    Returns
    -------
    Recomputation or None
        None where a step does not fit by itself. Proved on small graphs, in time.
    """
    deadline = deadline or Deadline()
    if problem.largest_working_set_bytes > capacity_bytes:
        return None
    if script is None:
        script = _start(problem, capacity_bytes, deadline.within(deadline.left() / 2))
    best = _bettered(problem, capacity_bytes, again_bytes, script, deadline)
    if best.cost_bytes == 0:
        return _as_proved(best, 0, True)
    if exact is False or (exact is None and len(problem.steps) > _SMALL):
        return best
    return _Search(problem, capacity_bytes, again_bytes, best, deadline).run()


def _start(problem: Problem, capacity: int, deadline: Deadline) -> Script:
    if len(problem.steps) <= _SMALL:  # the search needs no good start
        found = greedy(problem, capacity).script
    else:
        from perfmodel.schedule.portfolio import fewest_bytes

        found = fewest_bytes(problem, capacity, deadline=deadline).script
    assert found is not None
    return found


def _as_proved(found: Recomputation, bound: int, proved: bool) -> Recomputation:
    return replace(found, bound_bytes=bound, proved=proved)


def _bettered(
    problem: Problem, capacity: int, again_bytes: Sequence[int], script: Script, deadline: Deadline
) -> Recomputation:
    """Insert steps that run again, one chance after the other, while the cost falls.

    Each order with repetitions gets its own best evictions: what a repeated step makes is a buffer
    of its own there.
    """
    best = replay_again(problem, script.order, script.evictions, capacity, again_bytes)
    improved = True
    while improved and best.cost_bytes and not deadline.passed():
        improved = False
        found = best
        for order in _chances(problem, best.order):
            extra = sum(again_bytes[s] for s in _repeats(order))
            if extra < found.cost_bytes:
                tried = _evicted(problem, order, capacity, again_bytes, deadline)
                if tried is not None and tried.cost_bytes < found.cost_bytes:
                    found = tried
            if deadline.passed():
                break
        if found.cost_bytes < best.cost_bytes:
            best, improved = found, True
    return best


def _repeats(order: Sequence[int]) -> list[int]:
    seen: set[int] = set()
    again: list[int] = []
    for s in order:
        if s in seen:
            again.append(s)
        seen.add(s)
    return again


def _evicted(
    problem: Problem, order: Sequence[int], capacity: int, again_bytes: Sequence[int],
    deadline: Deadline,
) -> Recomputation | None:  # fmt: skip
    """Return an order with repetitions under its best evictions, or None where it does not fit."""
    from perfmodel.schedule.ilp import retention

    made, origin = _versions(problem, order)
    if made.largest_working_set_bytes > capacity:
        return None
    script = retention(made, range(len(order)), capacity, deadline).script
    if script is None:
        return None
    evictions = [tuple(origin[v] for v in out) for out in script.evictions]
    try:
        return replay_again(problem, order, evictions, capacity, again_bytes)
    except ValueError:  # a place is taken over that a repetition reads once more
        return None


def _versions(problem: Problem, order: Sequence[int]) -> tuple[Problem, list[int]]:
    """Return the problem in which every run of a step makes buffers of its own.

    Returns
    -------
    problem : Problem
    origin : list of int
        The buffer that each of its buffers is a version of.
    """
    current: dict[int, int] = {}
    origin: list[int] = []
    read: list[int] = []
    runs: list[tuple[int, list[int], list[int]]] = []
    for s in order:
        step = problem.steps[s]
        reads = [current[t] for t in step.reads]
        for v in reads:
            read[v] += 1
        writes: list[int] = []
        for t in step.writes:
            current[t] = len(origin)
            writes.append(current[t])
            origin.append(t)
            read.append(0)
        runs.append((s, reads, writes))
    steps: list[Step] = []
    for s, reads, writes in runs:
        step = problem.steps[s]
        over = -1
        if step.takes_over >= 0:
            version = reads[step.reads.index(step.takes_over)]
            over = version if read[version] == 1 else -1
        steps.append(replace(step, reads=tuple(reads), writes=tuple(writes), takes_over=over))
    buffers = tuple(problem.buffers[t] for t in origin)
    return Problem(problem.name, tuple(steps), buffers), origin


def _chances(problem: Problem, order: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield orders in which one buffer is made again before a step that reads it."""
    last = [-1] * len(problem.buffers)  # where each buffer was last made or read
    left = [0] * len(problem.buffers)  # readings still to come
    for s in order:
        for t in problem.steps[s].reads:
            left[t] += 1
    for k, s in enumerate(order):
        for t in problem.steps[s].reads:
            if last[t] < k - 1:
                for chain in _chains(problem, t, left):
                    yield (*order[:k], *chain, *order[k:])
        for t in problem.steps[s].reads:
            left[t] -= 1
            last[t] = k
        for t in problem.steps[s].writes:
            last[t] = k


def _chains(problem: Problem, t: int, left: Sequence[int]) -> list[tuple[int, ...]]:
    """Return ways to make a buffer again: its step alone, or after those of inputs that are gone.

    What other steps still read is there or comes back from off chip; the rest is kept for longer,
    or made again too.
    """
    found: dict[tuple[int, ...], None] = {}
    for depth in range(_DEPTH):
        chain: list[int] = []
        if _make(problem, t, left, depth, chain):
            found[tuple(chain)] = None
    return list(found)


def _make(problem: Problem, t: int, left: Sequence[int], depth: int, chain: list[int]) -> bool:
    s = problem.maker[t]
    if s < 0 or problem.steps[s].load:
        return False
    if s in chain:
        return True
    if depth:
        for r in problem.steps[s].reads:
            m = problem.maker[r]
            gone = not left[r] and m >= 0 and not problem.steps[m].load
            if gone and not _make(problem, r, left, depth - 1, chain):
                return False
    chain.append(s)
    return True


_State = tuple[int, int, int]
_Move = tuple[int, tuple[int, ...]]


class _Search:
    """Uniform-cost search over (steps done, buffers resident, buffers with a copy)."""

    def __init__(
        self, problem: Problem, capacity: int, again_bytes: Sequence[int], best: Recomputation,
        deadline: Deadline,
    ) -> None:  # fmt: skip
        self.problem, self.capacity, self.again = problem, capacity, again_bytes
        self.best, self.deadline = best, deadline
        self.sizes = [b.size_bytes for b in problem.buffers]
        self.all = (1 << len(problem.steps)) - 1
        self.stored = sum(1 << t for t, b in enumerate(problem.buffers) if b.stored)
        # What reads a buffer, or reads what is made of it: while one is not done, it may be wanted.
        self.below = [
            sum(1 << s for s in readers) | _union(problem.descendants[s] for s in readers)
            for readers in problem.readers
        ]
        self.parents: dict[_State, tuple[_State, _Move] | None] = {}

    def run(self) -> Recomputation:
        """Return the best schedule, with a bound."""
        start = (0, 0, 0)
        self.parents[start] = None
        costs: dict[_State, int] = {start: 0}
        heap: list[tuple[int, int, _State]] = [(0, 0, start)]
        tie = itertools.count(1)
        while heap:
            cost, _, state = heapq.heappop(heap)
            if cost > costs[state]:
                continue
            if cost >= self.best.cost_bytes:
                return _as_proved(self.best, self.best.cost_bytes, True)
            if state[0] == self.all:
                return _as_proved(self._read(state), cost, True)
            if self.deadline.passed():
                return _as_proved(self.best, cost, False)
            for spent, after, move in self._moves(state):
                total = cost + spent
                if total < costs.get(after, self.best.cost_bytes):
                    costs[after] = total
                    self.parents[after] = (state, move)
                    heapq.heappush(heap, (total, next(tie), after))
        return _as_proved(self.best, self.best.cost_bytes, True)

    def _moves(self, state: _State) -> Iterator[tuple[int, _State, _Move]]:
        done, resident, copies = state
        problem = self.problem
        have = copies | self.stored
        for s, step in enumerate(problem.steps):
            first = not done >> s & 1
            if first and problem.ancestors[s] & ~done:
                continue
            if not first:
                lacking = problem.writes_mask[s] & ~resident
                useful = any(lacking >> t & 1 and self.below[t] & ~done for t in step.writes)
                if step.load or not useful:
                    continue
            missing = problem.reads_mask[s] & ~resident
            if missing & ~have:
                continue
            growth = again_growth(problem, s, resident)
            if growth is None:
                continue
            spent = sum(self.sizes[t] for t in _bits(missing)) + (0 if first else self.again[s])
            there = resident | missing
            over = sum(self.sizes[t] for t in _bits(there)) + growth - self.capacity
            others = _bits(resident & ~problem.reads_mask[s] & ~problem.writes_mask[s])
            for out in _minimal(others, self.sizes, over):
                yield from self._after(state, s, there, out, spent)

    def _after(
        self, state: _State, s: int, there: int, out: tuple[int, ...], spent: int
    ) -> Iterator[tuple[int, _State, _Move]]:
        """Yield what follows when some of what leaves is stored and the rest dropped."""
        done, _, copies = state
        problem, step = self.problem, self.problem.steps[s]
        have = copies | self.stored
        done |= 1 << s
        left = there & ~sum(1 << t for t in out)
        if step.takes_over >= 0:
            left &= ~(1 << step.takes_over)
        left |= problem.writes_mask[s]
        left = sum(1 << t for t in _bits(left) if self.below[t] & ~done)
        new = [t for t in out if not have >> t & 1 and self.below[t] & ~done]
        for n in range(len(new) + 1):
            for kept in itertools.combinations(new, n):
                after = copies | sum(1 << t for t in kept)
                after = sum(1 << t for t in _bits(after) if self.below[t] & ~done)
                price = spent + sum(self.sizes[t] for t in kept)
                yield price, (done, left, after), (s, out)

    def _read(self, state: _State) -> Recomputation:
        moves: list[_Move] = []
        at = self.parents[state]
        while at is not None:
            state, move = at
            moves.append(move)
            at = self.parents[state]
        moves.reverse()
        order = [s for s, _ in moves]
        evictions = _there(self.problem, order, [out for _, out in moves])
        return replay_again(self.problem, order, evictions, self.capacity, self.again)


def _there(
    problem: Problem, order: Sequence[int], evictions: Sequence[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """Return the evictions without those of buffers that have vanished by then."""
    result: list[tuple[int, ...]] = []
    for k, out in enumerate(evictions):
        kept: list[int] = []
        for t in out:
            later = False
            for s in order[k:]:
                if t in problem.steps[s].reads:
                    later = True
                    break
                if t in problem.steps[s].writes:
                    break
            if later:
                kept.append(t)
        result.append(tuple(kept))
    return result


def _union(masks: Iterator[int]) -> int:
    result = 0
    for mask in masks:
        result |= mask
    return result


def _bits(mask: int) -> list[int]:
    found: list[int] = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def _minimal(items: list[int], sizes: list[int], over: int) -> Iterator[tuple[int, ...]]:
    """Yield the sets that free at least `over` bytes, none of them with a part that does."""
    if over <= 0:
        yield ()
        return
    for n in range(1, len(items) + 1):
        for chosen in itertools.combinations(items, n):
            total = sum(sizes[t] for t in chosen)
            if total >= over and total - min(sizes[t] for t in chosen) < over:
                yield chosen
