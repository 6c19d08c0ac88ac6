"""Blocks that fit at each moment and have no addresses: where, and what helps."""

import random
import re

import pytest

from perfmodel.schedule.addresses import layout
from perfmodel.schedule.blocks import blocks
from perfmodel.schedule.changes import in_place, in_place_source
from perfmodel.schedule.deadline import Deadline
from perfmodel.schedule.ilp import retention
from perfmodel.schedule.infeasible import unpacked
from perfmodel.schedule.problem import Buffer, Problem, Step
from perfmodel.schedule.script import Script, replay


def random_problem(rng: random.Random, steps: int) -> Problem:
    """Random steps over buffers of a few sizes, some in place, some with scratch."""
    buffers: list[Buffer] = [Buffer("t0", 8, True)]
    made = [Step("s0", (), (0,), load=True)]
    for i in range(1, steps):
        reads = tuple(sorted(rng.sample(range(i), min(i, rng.choice((1, 1, 2, 3))))))
        buffers.append(Buffer(f"t{i}", rng.choice((2, 4, 4, 8)), rng.random() < 0.1))
        made.append(Step(f"s{i}", reads, (i,), scratch_bytes=rng.choice((0, 0, 3))))
    problem = Problem("random", tuple(made), tuple(buffers))
    able = [s for s in range(1, steps) if in_place_source(problem, s) >= 0]
    return in_place(problem, [s for s in able if rng.random() < 0.3])


def test_blocks_without_addresses_say_where_and_what_helps() -> None:
    """Random schedules whose blocks do not pack into their own peak."""
    explained = 0
    for seed in range(60):
        problem = random_problem(random.Random(seed), 12)
        script = Script(tuple(range(12)), ((),) * 12)
        trace = replay(problem, script)
        found = layout(problem, script, trace, trace.peak_bytes, Deadline(1.0), alignment=4)
        if found.packed:
            continue
        explained += 1
        capacity = trace.peak_bytes
        why = unpacked(problem, script, found, capacity, alignment=4)
        assert why.gap == found.gap_bytes
        assert why.proved == found.proved
        assert sum(t.amount for t in why.terms) == pytest.approx(why.demand)
        assert why.levers[0].enough
        for lever in why.levers:
            if match := re.match(
                r"schedule the same order for (\d+) B: (\d+) B more", lever.statement
            ):
                less, more = int(match[1]), int(match[2])
                again = retention(problem, script.order, less)
                assert again.cost_bytes == more
                assert again.script is not None
                trace = replay(problem, again.script, less)
                packed = layout(problem, again.script, trace, capacity, Deadline(1.0), alignment=4)
                assert packed.packed
                assert len(packed.offsets) == len(blocks(problem, again.script, trace))
    assert explained >= 3
    problem = random_problem(random.Random(0), 5)
    script = Script(tuple(range(5)), ((),) * 5)
    fits = layout(problem, script, replay(problem, script), 400, Deadline(1.0))
    with pytest.raises(ValueError, match="are packed"):
        unpacked(problem, script, fits, 400)
