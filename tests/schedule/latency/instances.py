"""Random problems with durations, memories and channels."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from perfmodel.schedule.latency import Dma
from perfmodel.schedule.peak import minimum_peak
from perfmodel.schedule.problem import Buffer, Problem, Step
from tests.schedule.random_graphs import random_problem


def squeezed(seed: int, n: int) -> tuple[Problem, int, Dma]:
    """An instance whose steps fit one by one, but in no order without evictions."""
    for attempt in range(1000):
        problem, _, dma = instance(1000 * seed + attempt, n)
        capacity = problem.largest_working_set_bytes
        if minimum_peak(problem).value > capacity:
            return problem, capacity, dma
    raise AssertionError(f"none of {n} steps")


def brisk(seed: int, n: int) -> tuple[Problem, int, Dma]:
    """`squeezed`, with short steps, and transfers of one length or two bytes a second."""
    problem, capacity, dma = squeezed(seed, n)
    problem = problem.with_seconds([s.seconds % 4 for s in problem.steps])
    speed, latency = (math.inf, 1.0) if seed % 2 else (2.0, 0.0)
    channels = replace(dma, read_bytes_per_s=speed, write_bytes_per_s=speed, latency_s=latency)
    return problem, capacity, channels


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


def odd(seed: int, n: int) -> tuple[Problem, int, Dma]:
    """Unlike `instance`: loads with workspace, weights or two outputs, inputs without a copy off
    chip, steps that read nothing and are no loads, takeovers of other sizes and of outputs."""
    rng = random.Random(seed)
    problem, _, dma = instance(seed, n)
    buffers = [
        replace(b, size_bytes=rng.choice([0, 1, 2, 3, 5, 8]), stored=rng.random() < 0.3)
        for b in problem.buffers
    ]
    steps: list[Step] = []
    for k, s in enumerate(problem.steps):
        writes = s.writes
        if s.load and rng.random() < 0.3:
            writes = (*writes, len(buffers))
            buffers.append(Buffer(f"more {k}", rng.randint(1, 5), rng.random() < 0.7))
        alone = [t for t in s.reads if problem.readers[t] == (k,)]
        over = rng.choice(alone) if alone and rng.random() < 0.5 else -1
        stream, scratch = rng.choice([0, 0, 2, 5]), rng.choice([0, 0, 0, 2, 6])
        load = s.load and rng.random() < 0.8
        seconds = float(rng.randint(0, 5))
        steps.append(Step(s.name, s.reads, writes, over, scratch, seconds, stream, load))
    problem = Problem("odd", tuple(steps), tuple(buffers))
    return problem, problem.largest_working_set_bytes + rng.choice([0, 0, 1, 3]), dma
