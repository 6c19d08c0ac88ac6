"""Random problems with durations, memories and channels."""

from __future__ import annotations

import random
from dataclasses import replace

from perfmodel.schedule.latency import Dma
from perfmodel.schedule.peak import minimum_peak
from perfmodel.schedule.problem import Problem, Step
from tests.schedule.random_graphs import random_problem


def squeezed(seed: int, n: int) -> tuple[Problem, int, Dma]:
    """An instance whose steps fit one by one, but in no order without evictions."""
    for attempt in range(1000):
        problem, _, dma = instance(1000 * seed + attempt, n)
        capacity = problem.largest_working_set_bytes
        if minimum_peak(problem).peak_bytes > capacity:
            return problem, capacity, dma
    raise AssertionError(f"none of {n} steps")


def instance(seed: int, n: int) -> tuple[Problem, int, Dma]:
    """A problem with whole durations (so that sums are exact), a tight memory, some channels."""
    rng = random.Random(seed)
    problem = random_problem(rng, n)
    steps: list[Step] = []
    for s in problem.steps:
        stream = rng.randint(1, 6) if not s.load and rng.random() < 0.2 else 0
        scratch = s.scratch_bytes or (rng.randint(0, 4) if stream else 0)
        steps.append(
            replace(
                s, seconds=float(rng.randint(0, 12)), stream_bytes=stream, scratch_bytes=scratch
            )
        )
    problem = Problem(problem.name, tuple(steps), problem.buffers)
    dma = Dma(
        rng.choice([0.5, 1, 2]),
        rng.choice([0.5, 1, 2]),
        rng.choice([0, 0, 1]),
        rng.choice([1, 1, 2]),
        rng.random() < 0.8,
    )
    return problem, problem.largest_working_set_bytes + rng.randint(0, 6), dma
