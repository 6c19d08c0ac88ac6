"""Methods that need no package: what to ask about next.

A method is a generator: it yields new choices, canonical and each once, and is sent what became of
them; it ends where it finds nothing new.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import TypeAlias

import numpy as np

from perfmodel.pareto import front
from perfmodel.search.evolve.archive import Archive, Choice
from perfmodel.search.evolve.moves import Moves
from perfmodel.search.evolve.question import Judged

Proposals: TypeAlias = Generator[list[Choice], Judged, None]

#: Draws a new choice is given before the space is taken to have none left.
_TRIES = 200


class EvolutionContext:
    """What a method works with.

    Attributes
    ----------
    population
        Choices a generation.
    tournament
        Members drawn from a population, of whom the best is changed (`regularised`).
    sampler, storage
        Of Optuna.
    fingerprint
        Hash of question, method and seed.
    """

    def __init__(
        self,
        archive: Archive,
        moves: Moves,
        *,
        population: int,
        seed: int,
        tournament: int,
        sampler: str,
        storage: str,
        fingerprint: str,
        method: str,
    ) -> None:
        self.archive, self.moves = archive, moves
        self.population, self.seed, self.tournament = population, seed, tournament
        self.sampler, self.storage = sampler, storage
        self.fingerprint, self.method = fingerprint, method


def fresh(search: EvolutionContext, n: int, rng: np.random.Generator) -> list[Choice]:
    """Return up to `n` random choices that were not asked about."""
    found: dict[Choice, None] = {}
    for _ in range(_TRIES):
        for row in search.moves.sample(n - len(found), rng).tolist():
            choice = search.moves.canonical(row)
            if choice not in search.archive:
                found.setdefault(choice)
        if len(found) >= n:
            return list(found)
    for choice in search.moves.left(search.archive, rng):
        found.setdefault(choice)
        if len(found) >= n:
            break
    return list(found)


def at_random(search: EvolutionContext) -> Proposals:
    """Propose random choices, each option of a decision equally likely, none twice."""
    rng = np.random.default_rng(search.seed)
    while batch := fresh(search, search.population, rng):
        yield batch


def regularised(search: EvolutionContext) -> Proposals:
    """Propose as aging evolution does (Real et al. 2019, arXiv:1802.01548, algorithm 1).

    The best of a random sample of the population is mutated, the child joins, the oldest member
    dies. The best of a sample: the least violation of the constraints first; then, of those that no
    other one dominates, the least Chebyshev distance to the best values of the sample under random
    weights (Knowles 2006), which spreads the population over the front.
    """
    rng = np.random.default_rng(search.seed)
    first = fresh(search, search.population, rng)
    if not first:
        return
    judged = yield first
    alive: deque[tuple[Choice, list[float], float]] = deque()
    _join(alive, first, judged)
    while True:
        child = _child(search, alive, rng)
        if child is None:
            batch = fresh(search, 1, rng)
            if not batch:
                return
            child = batch[0]
        judged = yield [child]
        _join(alive, [child], judged)
        alive.popleft()


def _join(
    alive: deque[tuple[Choice, list[float], float]], choices: list[Choice], judged: Judged
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
    for _ in range(_TRIES):
        drawn = rng.choice(len(alive), size=min(search.tournament, len(alive)), replace=False)
        sample = [alive[i] for i in drawn.tolist()]
        parent = sample[_best(sample, rng)][0]
        child = search.moves.canonical(search.moves.mutate(parent, rng))
        if child not in search.archive:
            return child
    return None


def _best(sample: list[tuple[Choice, list[float], float]], rng: np.random.Generator) -> int:
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


#: Methods by name; those of packages stand in `perfmodel.search.evolve.packages`.
PLAIN: dict[str, Callable[[EvolutionContext], Proposals]] = {
    "random": at_random,
    "regularised": regularised,
}
