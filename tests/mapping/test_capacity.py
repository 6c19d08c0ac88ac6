"""Energy against the capacity of a memory: every step is what a search at that capacity finds."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from mapping_cases import WIDTHS, hierarchy, nest
from mapping_walk import energy, holds, walk

from perfmodel.cost.mapping import KNOWN, Hierarchy, best_mapping, capacity_staircase, tpu_like
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.errors import InfeasibleError, InputError
from tests.draws import draws

LAYER = TileNest(
    out_channels=64, in_channels=64, out_rows=14, out_columns=14, kernel_rows=3, kernel_columns=3
)
SMALL = Widths(1, 1, 1, 2)


def at(machine: Hierarchy, memory: str, capacity: float) -> Hierarchy:
    return replace(
        machine,
        memories=tuple(
            replace(m, capacity_bytes=capacity) if m.name == memory else m for m in machine.memories
        ),
    )


def searched(problem: TileNest, machine: Hierarchy, widths: Widths) -> float:
    try:
        return best_mapping(problem, machine, widths=widths).energy_j
    except InfeasibleError:
        return math.inf


@pytest.mark.parametrize("seed", range(draws(16)))
def test_small_machines(seed: int) -> None:
    rng = random.Random(5000 + seed)
    machine, problem, widths = hierarchy(rng), nest(rng), rng.choice(WIDTHS)
    memory = rng.choice(machine.memories).name
    stairs = capacity_staircase(problem, machine, memory, widths=widths)
    assert np.all(np.diff(stairs.energy_j) < 0)
    assert np.all(np.diff(stairs.capacity_bytes) > 0)
    for capacity in {*stairs.capacity_bytes, *(stairs.capacity_bytes - 0.25), 3.0, 17.0, 1e9}:
        if capacity >= 0:
            expected = searched(problem, at(machine, memory, float(capacity)), widths)
            assert float(stairs(capacity)) == pytest.approx(expected, rel=1e-9), capacity
    for capacity, joules, mapping in zip(
        stairs.capacity_bytes, stairs.energy_j, stairs.mappings, strict=True
    ):
        cuts = {
            o: [a.inside for a in mapping.accesses if a.operand == o][:-1]
            for o in ("input", "weight", "output")
        }
        counts = walk(problem, machine, mapping.loops, cuts, widths)
        assert energy(machine, problem, counts) == pytest.approx(joules)
        assert holds(problem, machine, mapping.loops, cuts, widths)[memory] == pytest.approx(
            capacity
        )


@pytest.mark.parametrize(
    ("name", "memory"), [("tpu_like", "rf_128B"), ("edge_tpu_like", "sram_32KB")]
)
def test_known_machines(name: str, memory: str) -> None:
    machine = KNOWN[name]()
    stairs = capacity_staircase(LAYER, machine, memory, widths=SMALL)
    wanted = np.asarray([[1.0, 40.0, 700.0], [5000.0, 40000.0, 1e9]])
    found = stairs(wanted)
    assert found.shape == wanted.shape
    expected = [searched(LAYER, at(machine, memory, float(c)), SMALL) for c in wanted.flat]
    assert found.ravel() == pytest.approx(expected, rel=1e-9)


def test_nothing_fits_below_the_first_step() -> None:
    stairs = capacity_staircase(LAYER, tpu_like(), "rf_2B", widths=SMALL)
    assert stairs.capacity_bytes[0] == 2
    assert stairs([1.0, 2.0])[0] == math.inf


def test_an_unknown_memory_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'sram_2MB'"):
        capacity_staircase(LAYER, tpu_like(), "sram_2mb", widths=SMALL)
