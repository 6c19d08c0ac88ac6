"""The cost of a subgraph: the rules' own examples, and a walk through every step."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from perfmodel_studies.contest import evaluate, read_instance, read_solution
from perfmodel_studies.contest.cost import ORDERS, SubgraphCosts, tile_order
from perfmodel_studies.contest.structure import Structure, analyse

from tests.studies.contest.random_instances import random_instance
from tests.studies.contest.walk import walk
from tests.studies.contest.worked import WORKED


@pytest.mark.parametrize("name", WORKED)
def test_worked_example(name: str) -> None:
    example, subgraphs, grains, retained, orders, latencies = WORKED[name]
    solution: dict[str, Any] = {
        "subgraphs": subgraphs,
        "granularities": [list(g) for g in grains],
        "tensors_to_retain": retained,
        "traversal_orders": orders,
        "subgraph_latencies": latencies,
    }
    found = evaluate(read_instance(example), read_solution(solution))
    assert found.latencies == pytest.approx(latencies, rel=1e-12)


def test_working_set_of_example_5_is_as_stated() -> None:
    example = WORKED["5B"][0]
    solution: dict[str, Any] = {
        "subgraphs": [[0, 1]],
        "granularities": [[128, 128, 32]],
        "tensors_to_retain": [[]],
    }
    assert evaluate(read_instance(example), read_solution(solution)).working_sets == (40960,)
    solution["granularities"] = [[128, 128, 128]]  # strategy A: three whole matrices and a fourth
    with pytest.raises(Exception, match=r"working set is 65536, the capacity 45000"):
        evaluate(read_instance(example), read_solution(solution))


def _subgraph(rng: random.Random) -> tuple[Any, Structure, list[int]] | None:
    instance = read_instance(random_instance(rng, rng.randint(1, 5)))
    count = len(instance.operations)
    chosen = rng.sample(range(count), rng.randint(1, count))
    structure = analyse(instance, frozenset(chosen))
    return None if isinstance(structure, str) else (instance, structure, chosen)


def test_costs_are_those_of_a_walk_through_every_step() -> None:
    rng = random.Random(7)
    walked = 0
    while walked < 400:
        drawn = _subgraph(rng)
        if drawn is None or (len(drawn[2]) == 1 and rng.random() < 0.8):
            continue
        instance, s, chosen = drawn
        w = rng.randint(s.least_width, instance.native_width)
        h = rng.randint(s.least_height, instance.native_height)
        k = rng.randint(1, s.most_depth)
        grid = -(-s.height // h), -(-s.width // w)
        tiles = tile_order(*grid, rng.choice(ORDERS))
        if rng.random() < 0.3:
            rng.shuffle(tiles)
        resident = frozenset(t for t in s.inputs if rng.random() < 0.2)
        retained = frozenset(t for t in (*s.outputs, *s.interior) if rng.random() < 0.2)
        seen = walk(instance, chosen, (w, h, k), tiles, resident, retained)
        sides = np.array([[w], [h], [k]])
        grid = SubgraphCosts(instance, s, *sides, resident=resident, retained=retained)
        (found,) = grid.ordered(tiles)
        about = (instance, chosen, (w, h, k), tiles, resident, retained)
        assert found.read[0] == seen.read, about
        assert found.written[0] == seen.written, about
        assert found.working_set[0] == seen.working_set, about
        assert found.latency[0] == pytest.approx(seen.latency, rel=1e-9), about
        walked += 1
