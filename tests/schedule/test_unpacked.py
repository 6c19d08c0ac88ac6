"""Blocks that fit at each moment and have no addresses: where, and what helps."""

import random
import re

import pytest

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.addresses import pack_blocks
from perfmodel.schedule.ilp import retention
from perfmodel.schedule.infeasible import unpacked
from perfmodel.schedule.memory_blocks import memory_blocks
from perfmodel.schedule.script import Script, replay
from tests.draws import draws, of_draws
from tests.schedule.random_graphs import random_sums


def test_blocks_without_addresses_say_where_and_what_helps() -> None:
    """Random schedules whose blocks do not pack into their own peak."""
    explained = 0
    for seed in range(draws(60)):
        problem = random_sums(random.Random(seed), 12)
        script = Script(tuple(range(12)), ((),) * 12)
        trace = replay(problem, script)
        found = pack_blocks(problem, script, trace, trace.peak_bytes, Deadline(60.0), alignment=4)
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
                assert again.value == more
                assert again.solution is not None
                trace = replay(problem, again.solution, less)
                packed = pack_blocks(
                    problem, again.solution, trace, capacity, Deadline(60.0), alignment=4
                )
                assert packed.packed
                assert len(packed.offsets) == len(memory_blocks(problem, again.solution, trace))
    assert explained >= of_draws(3)
    problem = random_sums(random.Random(0), 5)
    script = Script(tuple(range(5)), ((),) * 5)
    fits = pack_blocks(problem, script, replay(problem, script), 400, Deadline(60.0))
    with pytest.raises(ValueError, match="are packed"):
        unpacked(problem, script, fits, 400)
