"""Accesses of given mappings against a walk through their loops."""

import random

import pytest
from mapping_cases import WIDTHS, hierarchy, nest, orders, primes, rising
from mapping_walk import DIMENSIONS, energy, holds, over_time, walk

from perfmodel.cost.mapping import evaluate_mapping
from tests.draws import draws


@pytest.mark.parametrize("seed", range(draws(120)))
def test_accesses_are_those_of_a_walk(seed: int) -> None:
    rng = random.Random(seed)
    machine, problem, widths = hierarchy(rng), nest(rng), rng.choice(WIDTHS)
    times = over_time(problem, machine)
    loops = [(dim, factor) for dim in DIMENSIONS for factor in primes(times[dim])]
    rng.shuffle(loops)
    cuts = {
        operand: rng.choice(rising(len(levels) - 1, len(loops)))
        for operand, levels in machine.levels.items()
    }
    mapping = evaluate_mapping(problem, machine, loops, cuts, widths=widths)
    expected = walk(problem, machine, loops, cuts, widths)
    got = {
        (row.operand, row.memory, direction): getattr(row, direction)
        for row in mapping.accesses
        for direction in ("feed", "collect", "drain", "fill")
    }
    for key, words in got.items():
        assert words == pytest.approx(expected.pop(key, 0.0), rel=1e-12), key
    assert not any(expected.values())
    assert mapping.energy_j == pytest.approx(
        energy(machine, problem, walk(problem, machine, loops, cuts, widths))
    )
    bytes_held = dict.fromkeys((m.name for m in machine.memories), 0.0)
    doubled = {m.name for m in machine.memories if m.double_buffered}
    for row in mapping.accesses:
        bytes_held[row.memory] += row.held_bytes
    needed = holds(problem, machine, loops, cuts, widths)
    for name, size in needed.items():
        if name not in doubled:
            assert bytes_held[name] <= size * (1 + 1e-12)


def test_orders_of_equal_loops_are_not_told_apart() -> None:
    assert len(orders([("batch", 2), ("batch", 2), ("groups", 2)])) == 3
