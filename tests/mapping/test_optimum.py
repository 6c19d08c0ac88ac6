"""The best mapping against every mapping of small nests."""

import itertools
import math
import random
from collections.abc import Sequence

import pytest
from mapping_cases import WIDTHS, hierarchy, nest, orders, primes, rising
from mapping_walk import DIMENSIONS, INDEXED, energy, holds, over_time, walk

from perfmodel.cost.mapping import Hierarchy, best_mapping
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.errors import InfeasibleError
from tests.draws import draws


def least_energy(
    problem: TileNest, machine: Hierarchy, widths: Widths, most: int = 4
) -> float | None:
    """Joules of the best of all orders and cuts; infinite where none fits, None for large nests."""
    times = over_time(problem, machine)
    loops = [(dim, factor) for dim in DIMENSIONS for factor in primes(times[dim])]
    if len(loops) > most:
        return None
    best = math.inf
    levels = {operand: len(found) - 1 for operand, found in machine.levels.items()}
    for order in orders(loops):
        options: dict[str, list[tuple[float, dict[str, float]]]] = {}
        for operand in INDEXED:
            seen: dict[tuple[float, ...], tuple[float, dict[str, float]]] = {}
            for cut in rising(levels[operand], len(order)):
                cuts = {o: cut if o == operand else (0,) * levels[o] for o in INDEXED}
                joules, sizes = _of(operand, problem, machine, order, cuts, widths)
                key = tuple(sizes.values())
                if key not in seen or joules < seen[key][0]:
                    seen[key] = (joules, sizes)
            options[operand] = list(seen.values())
        for choice in itertools.product(*options.values()):
            joules = sum(each for each, _ in choice)
            if joules < best and all(
                sum(sizes[m.name] for _, sizes in choice) <= m.capacity_bytes
                for m in machine.memories
            ):
                best = joules
    return best + machine.mac_j * problem.macs


def _of(
    operand: str,
    problem: TileNest,
    machine: Hierarchy,
    order: Sequence[tuple[str, int]],
    cuts: dict[str, tuple[int, ...]],
    widths: Widths,
) -> tuple[float, dict[str, float]]:
    """Joules and bytes of one operand."""
    counts = walk(problem, machine, order, cuts, widths, (operand,))
    joules = energy(machine, problem, counts) - machine.mac_j * problem.macs
    return joules, holds(problem, machine, order, cuts, widths, (operand,))


@pytest.mark.parametrize("seed", range(draws(80)))
def test_no_mapping_is_better(seed: int) -> None:
    rng = random.Random(1000 + seed)
    while True:
        machine, problem, widths = hierarchy(rng), nest(rng, 72), rng.choice(WIDTHS)
        expected = least_energy(problem, machine, widths)
        if expected is not None:
            break
    if math.isinf(expected):
        with pytest.raises(InfeasibleError):
            best_mapping(problem, machine, widths=widths)
        return
    found = best_mapping(problem, machine, widths=widths)
    assert found.proved
    assert found.energy_j == pytest.approx(expected, rel=1e-12)
