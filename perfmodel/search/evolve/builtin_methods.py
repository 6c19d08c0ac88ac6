"""Search methods that need no package: random search and regularised (aging) evolution.

A method is a generator of `Proposals`: it yields batches of new canonical choices, each once, is
sent their objectives and violations (`EvaluatedChoices`), and returns when it finds nothing new.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from perfmodel.pareto import front
from perfmodel.search.evolve.archive import Archive, Choice
from perfmodel.search.evolve.mutation import Moves
from perfmodel.search.evolve.objectives import EvaluatedChoices

Proposals: TypeAlias = Generator[list[Choice], EvaluatedChoices, None]

#: Number of attempts to draw a new choice before the space counts as exhausted.
_MAX_ATTEMPTS = 200


@dataclass(frozen=True, kw_only=True)
class EvolutionContext:
    """State and settings of a search that its method reads.

    Attributes
    ----------
    population
        Choices per generation.
    tournament
        Sample size; the best member of the sample is mutated (`aging_evolution`).
    sampler, storage
        Optuna sampler and storage URL.
    fingerprint
        Hash of question, method and seed.
    """

    archive: Archive
    moves: Moves
    population: int
    seed: int
    tournament: int
    sampler: str
    storage: str
    fingerprint: str
    method: str


def unevaluated_choices(search: EvolutionContext, n: int, rng: np.random.Generator) -> list[Choice]:
    """Return up to `n` random choices that have not been evaluated."""
    choices: dict[Choice, None] = {}
    for _ in range(_MAX_ATTEMPTS):
        for row in search.moves.sample(n - len(choices), rng).tolist():
            choice = search.moves.canonical(row)
            if choice not in search.archive:
                choices.setdefault(choice)
        if len(choices) >= n:
            return list(choices)
    for choice in search.moves.left(search.archive, rng):
        choices.setdefault(choice)
        if len(choices) >= n:
            break
    return list(choices)


def random_search(search: EvolutionContext) -> Proposals:
    """Propose uniform random choices without repetition."""
    rng = np.random.default_rng(search.seed)
    while batch := unevaluated_choices(search, search.population, rng):
        yield batch


def aging_evolution(search: EvolutionContext) -> Proposals:
    """Propose choices by aging evolution (Real et al. 2019, arXiv:1802.01548, algorithm 1).

    The best of a random sample of the population is mutated, its child joins the population, and
    the oldest member is removed. The best of a sample has the smallest constraint violation; among
    feasible members it is the non-dominated one with the smallest weighted Chebyshev distance
    max_i w_i (f_i - min f_i) / (max f_i - min f_i), with random weights w that sum to 1
    (Knowles 2006), which spreads the population over the front.
    """
    rng = np.random.default_rng(search.seed)
    first = unevaluated_choices(search, search.population, rng)
    if not first:
        return
    judged = yield first
    alive: deque[tuple[Choice, list[float], float]] = deque()
    _join(alive, first, judged)
    while True:
        child = _child(search, alive, rng)
        if child is None:
            batch = unevaluated_choices(search, 1, rng)
            if not batch:
                return
            child = batch[0]
        judged = yield [child]
        _join(alive, [child], judged)
        alive.popleft()


def _join(
    alive: deque[tuple[Choice, list[float], float]], choices: list[Choice], judged: EvaluatedChoices
) -> None:
    for choice, values, excess in zip(
        choices, judged.objectives.tolist(), judged.excess.tolist(), strict=True
    ):
        alive.append((choice, values, excess))


def _child(
    search: EvolutionContext,
    alive: deque[tuple[Choice, list[float], float]],
    rng: np.random.Generator,
) -> Choice | None:
    """Return an unseen mutation of the best of a random sample; None if there is none."""
    for _ in range(_MAX_ATTEMPTS):
        drawn = rng.choice(len(alive), size=min(search.tournament, len(alive)), replace=False)
        sample = [alive[i] for i in drawn.tolist()]
        parent = sample[_best(sample, rng)][0]
        child = search.moves.canonical(search.moves.mutate(parent, rng))
        if child not in search.archive:
            return child
    return None


def _best(sample: list[tuple[Choice, list[float], float]], rng: np.random.Generator) -> int:
    """Return the index of the best member of a sample; see `aging_evolution`."""
    excess = np.array([e for _, _, e in sample])
    least = np.flatnonzero(excess == excess.min())
    if len(least) == 1 or excess[least[0]] > 0:
        return int(least[0])
    values = np.array([sample[i][1] for i in least.tolist()])
    if values.shape[1] == 1:
        return int(least[np.argmin(values[:, 0])])
    first = front(values)
    low, high = values.min(axis=0), values.max(axis=0)
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    weighted = (rng.dirichlet(np.ones(values.shape[1])) * scaled).max(axis=1)
    return int(least[np.argmin(np.where(first, weighted, np.inf))])


#: Methods by name; those that need packages are in `perfmodel.search.evolve.package_methods`.
PLAIN: dict[str, Callable[[EvolutionContext], Proposals]] = {
    "random": random_search,
    "regularised": aging_evolution,
}
