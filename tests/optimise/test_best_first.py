"""The one search: best first and depth first over trees drawn by a seed, beside brute force."""

from __future__ import annotations

import math
import random

import pytest

from perfmodel.optimise.best_first import BestFirst, Incumbent
from perfmodel.optimise.deadline import Deadline

Bits = tuple[int, ...]


class Knapsack(BestFirst[Bits, Bits]):
    """Take or leave things: least cost of what is left, within a room for what is taken."""

    def __init__(
        self, costs: list[int], sizes: list[int], room: int, known: float, most: float
    ) -> None:
        super().__init__(Incumbent(known), Deadline(), most)
        self.costs, self.sizes, self.room = costs, sizes, room

    def cost(self, node: Bits) -> int:
        return sum(c for c, taken in zip(self.costs, node, strict=False) if not taken)

    def settled(self, node: Bits) -> bool:
        return len(node) == len(self.costs) and (
            self.incumbent.offer(node, self.cost(node)) or True
        )

    def expand(self, node: Bits, bound: float) -> list[tuple[float, Bits]]:
        del bound
        children = [(*node, 0), (*node, 1)]
        used = [sum(s for s, t in zip(self.sizes, child, strict=False) if t) for child in children]
        return [
            (self.cost(child), child)
            for child, size in zip(children, used, strict=True)
            if size <= self.room
        ]


class DeepKnapsack(Knapsack):
    """The same, depth first."""

    depth_first = True


def drawn(
    kind: type[Knapsack], seed: int, known: float = math.inf, most: float = math.inf
) -> Knapsack:
    rng = random.Random(seed)
    n = rng.randint(1, 9)
    costs, sizes = ([rng.randint(0, 9) for _ in range(n)] for _ in range(2))
    return kind(costs, sizes, rng.randint(0, sum(sizes)), known, most)


def least(search: Knapsack) -> int:
    n = len(search.costs)
    every = [tuple(k >> i & 1 for i in range(n)) for k in range(1 << n)]
    return min(
        search.cost(bits)
        for bits in every
        if sum(s for s, t in zip(search.sizes, bits, strict=True) if t) <= search.room
    )


@pytest.mark.parametrize("kind", [Knapsack, DeepKnapsack])
def test_it_ends_with_the_least_and_its_proof(kind: type[Knapsack]) -> None:
    for seed in range(60):
        search = drawn(kind, seed)
        best = least(search)
        answer = search.run(())
        assert answer.proved
        assert answer.value == answer.bound == best
        assert answer.solution is not None
        assert search.cost(answer.solution) == best
        # What is known already is not met again, and nothing is below it.
        again = drawn(kind, seed, known=best).run(())
        assert again.solution is None
        assert again.bound == best


@pytest.mark.parametrize("kind", [Knapsack, DeepKnapsack])
def test_stopped_it_has_a_bound(kind: type[Knapsack]) -> None:
    stopped = 0
    for seed in range(60):
        for most in (0, 1, 3, 10):
            search = drawn(kind, seed, most=most)
            best = least(search)
            answer = search.run(())
            assert search.nodes <= most
            assert answer.bound <= best <= answer.value
            stopped += not answer.proved
    assert stopped > 60


def test_best_first_expands_nothing_dearer_than_the_least() -> None:
    for seed in range(60):
        search, other = drawn(Knapsack, seed), drawn(DeepKnapsack, seed)
        search.run(())
        other.run(())
        # Of those as dear as the least, the deepest come first.
        assert search.nodes <= other.nodes + len(search.costs)


def test_an_incumbent_takes_what_is_better_alone() -> None:
    incumbent = Incumbent[str](5.0)
    assert not incumbent.offer("no better", 5.0)
    assert incumbent.solution is None
    assert incumbent.offer("better", 4.0)
    assert (incumbent.solution, incumbent.value) == ("better", 4.0)
