"""The least bytes spilled and reloaded by trying everything, and random graphs to try it on.

Written from the words of the problem alone: states are what is on chip and what has a copy, and at
each step every subset may leave. Nothing here is shared with what is tested but `Problem` itself.
"""

import heapq
import random
from collections.abc import Sequence
from itertools import combinations

from perfmodel.schedule.problem import Buffer, Problem, Step

State = tuple[frozenset[int], frozenset[int]]


def random_problem(
    rng: random.Random, steps: int, sizes: Sequence[int] = (1, 2, 3, 5, 8), inputs: bool = True
) -> Problem:
    """A graph with in-place outputs, tensors of many readers, free stores, scratch, two outputs."""
    buffers: list[Buffer] = []
    made: list[Step] = []
    for i in range(steps):
        count = min(len(buffers), rng.choice((1, 1, 2, 2, 3)))
        reads = tuple(sorted(rng.sample(range(len(buffers)), count))) if i else ()
        if i and inputs and rng.random() < 0.15:
            reads = ()
        writes = tuple(range(len(buffers), len(buffers) + (2 if rng.random() < 0.1 else 1)))
        stored = (not reads and rng.random() < 0.8) or rng.random() < 0.1
        buffers += [Buffer(f"t{t}", rng.choice(sizes), stored) for t in writes]
        scratch = rng.choice((0, 0, 0, 1, 4))
        made.append(Step(f"s{i}", reads, writes, scratch_bytes=scratch, load=not reads))
    readers = [sum(t in s.reads for s in made) for t in range(len(buffers))]
    for i, s in enumerate(made):
        alone = [t for t in s.reads if readers[t] == 1]
        if alone and rng.random() < 0.3:
            over = rng.choice(alone)
            made[i] = Step(s.name, s.reads, s.writes, over, s.scratch_bytes, load=s.load)
    return Problem("random", tuple(made), tuple(buffers))


def branching_problem(rng: random.Random) -> Problem:
    """Copies of one small branch that can change places, joined at once or one after the other."""
    buffers = [Buffer("r", rng.choice((2, 3, 4)), rng.random() < 0.3)]
    steps = [Step("r", (), (0,))]
    outside = [0]
    if rng.random() < 0.5:
        buffers.append(Buffer("e", rng.choice((1, 2)), rng.random() < 0.3))
        steps.append(Step("e", (0,), (1,)))
        outside.append(1)
    length = rng.randint(1, 3)
    branch: list[tuple[list[int], list[int], int, bool, int]] = []
    for i in range(length):
        own = rng.sample(range(i), min(i, rng.choice((1, 1, 2))))
        shared = [t for t in outside if rng.random() < 0.5] if own else rng.sample(outside, 1)
        stored, scratch = rng.random() < 0.15, rng.choice((0, 0, 1))
        branch.append((own, shared, rng.choice((1, 2, 4, 5)), stored, scratch))
    ends: list[int] = []
    for _ in range(rng.randint(2, 4 if length < 3 else 3)):
        made: list[int] = []
        for own, shared, size, stored, scratch in branch:
            t = len(buffers)
            buffers.append(Buffer(f"b{t}", size, stored))
            reads = tuple(sorted(shared + [made[i] for i in own]))
            steps.append(Step(f"s{t}", reads, (t,), scratch_bytes=scratch))
            made.append(t)
        ends.append(made[-1])
    if rng.random() < 0.5:
        buffers.append(Buffer("j", rng.choice((1, 3))))
        steps.append(Step("j", tuple(ends), (len(buffers) - 1,)))
        return Problem("branches", tuple(steps), tuple(buffers))
    last = ends[0]
    for end in ends[1:]:
        t = len(buffers)
        buffers.append(Buffer(f"a{t}", 2))
        over = last if rng.random() < 0.3 else -1
        steps.append(Step(f"a{t}", tuple(sorted((last, end))), (t,), takes_over=over))
        last = t
    return Problem("branches", tuple(steps), tuple(buffers))


def moves(
    problem: Problem, s: int, left: Sequence[int], state: State, capacity: int
) -> list[tuple[int, State]]:
    """All ways to run a step: cost and what follows. `left` counts readers not yet run."""
    size = [b.size_bytes for b in problem.buffers]
    step = problem.steps[s]
    found: list[tuple[int, State]] = []
    resident, copied = state
    shared = 0
    if step.takes_over >= 0:
        shared = min(size[step.takes_over], size[step.writes[0]])
    own = step.scratch_bytes + sum(size[t] for t in step.writes) - shared
    for count in range(len(resident) + 1):
        for gone in combinations(sorted(resident), count):
            cost = sum(size[t] for t in gone if t not in copied)
            copies = copied | set(gone)
            here = resident - set(gone)
            if any(t not in here and t not in copies for t in step.reads):
                continue
            cost += sum(size[t] for t in step.reads if t not in here)
            here = here | set(step.reads)
            if sum(size[t] for t in here) + own > capacity:
                continue
            after = [n - (t in step.reads) for t, n in enumerate(left)]
            here = frozenset(t for t in here | set(step.writes) if after[t])
            found.append((cost, (here, copies)))
    return found


def best_of_order(problem: Problem, order: Sequence[int], capacity: int) -> int | None:
    """The least cost of an order; None where it does not fit."""
    stored = frozenset(t for t, b in enumerate(problem.buffers) if b.stored)
    states: dict[State, int] = {(frozenset(), stored): 0}
    left = [len(r) for r in problem.readers]
    for s in order:
        following: dict[State, int] = {}
        for state, cost in states.items():
            for more, new in moves(problem, s, left, state, capacity):
                following[new] = min(following.get(new, cost + more), cost + more)
        states = following
        for t in problem.steps[s].reads:
            left[t] -= 1
    return min(states.values()) if states else None


def best(problem: Problem, capacity: int) -> int | None:
    """The least cost of all orders; None where nothing fits."""
    n = len(problem.steps)
    stored = frozenset(t for t, b in enumerate(problem.buffers) if b.stored)
    first = (0, frozenset[int](), stored)
    least = {first: 0}
    heap: list[tuple[int, int, tuple[int, frozenset[int], frozenset[int]]]] = [(0, 0, first)]
    ticket = 0
    while heap:
        cost, _, node = heapq.heappop(heap)
        if cost > least[node]:
            continue
        done, resident, copied = node
        if done == (1 << n) - 1:
            return cost
        left = [sum(not done >> r & 1 for r in readers) for readers in problem.readers]
        for s in range(n):
            if done >> s & 1 or problem.ancestors[s] & ~done:
                continue
            for more, (here, copies) in moves(problem, s, left, (resident, copied), capacity):
                new = (done | 1 << s, here, copies)
                if cost + more < least.get(new, 1 << 60):
                    least[new] = cost + more
                    ticket += 1
                    heapq.heappush(heap, (cost + more, ticket, new))
    return None
