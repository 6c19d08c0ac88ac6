"""Result of an evolutionary search: Pareto front, all evaluations, growth of the hypervolume."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from perfmodel.pareto import front, hypervolume
from perfmodel.search.evolve.archive import Archive
from perfmodel.search.evolve.objectives import FEASIBLE, Floats, Index
from perfmodel.table import Result, Row, Table, plain
from perfmodel.table.text import as_text


class Evolution(Result):
    """Result of `perfmodel.search.evolve.evolve`.

    Attributes
    ----------
    front
        Table of the evaluated choices that satisfy the constraints and are not dominated, by the
        first objective ascending: ``choice`` (as text), objectives, and all other columns.
    choices
        Option indices of the front, ``(front, decisions)``.
    table
        All evaluations in order: the columns of `front`, and ``satisfied``.
    evaluated
        Option indices of all evaluations, ``(evaluations, decisions)``.
    evaluations
        Number of evaluated choices, each counted once.
    asked
        Number of evaluations that did not come from a state file.
    hypervolume
        Table: ``evaluations`` and the ``hypervolume`` dominated after that many, up to `reference`.
    reference
        Objective -> the worse end of the hypervolume: as passed, else the worst value among
        the evaluations that satisfy the constraints.
    method, seed, population
        Arguments of the search.
    stopped
        Reason for the end: ``evaluations``, ``callback``, ``time limit``, or ``no new choices``.
    """

    noun = "evolution"

    def __init__(
        self,
        archive: Archive,
        *,
        method: str,
        seed: int,
        population: int,
        stopped: str,
        reference: Mapping[str, float] | None = None,
    ) -> None:
        question = archive.question
        self.method, self.seed, self.population = method, seed, population
        self.stopped = stopped
        self.objectives = question.objectives
        self.constraints = tuple(c.text for c in question.constraints)
        self.space_name: str = question.space.name
        self.evaluated: Index = archive.table()
        self.evaluations, self.new_evaluations = len(archive), archive.new_evaluations
        judged = archive.judged()
        self._values: Floats = np.where(judged.good[:, None], judged.objectives, np.nan)
        self._excess: Floats = judged.excess
        decode = getattr(question.space, "decode", None)
        named = [decode(c) if decode else "-".join(map(str, c)) for c in archive.choices]
        columns: dict[str, Any] = {
            "choice": np.array(named, dtype=object),
            **archive.columns(),
            "satisfied": judged.good,
        }
        columns[FEASIBLE] = columns[FEASIBLE] > 0
        # In the front the objectives come first.
        order = dict.fromkeys(["choice", *(o.name for o in self.objectives), *columns])
        self.table = Table({name: columns[name] for name in order})
        self._reference = dict(reference or {})

    @cached_property
    def _front(self) -> Index:
        rows = np.flatnonzero(front(self._values))
        return rows[np.lexsort(self._values[rows].T[::-1])]

    @cached_property
    def front(self) -> Table:
        """See `Evolution`."""
        return self.table[self._front].select(*(n for n in self.table if n != "satisfied"))

    @property
    def choices(self) -> Index:
        """See `Evolution`."""
        return self.evaluated[self._front]

    @property
    def best(self) -> Row | None:
        """First row of the front: the best in the first objective; None if the front is empty."""
        return self.front[0] if len(self._front) else None

    @property
    def closest(self) -> Row:
        """The evaluation with the smallest total violation of the constraints."""
        return self.table[int(np.argmin(self._excess))]

    @cached_property
    def reference(self) -> dict[str, float]:
        """See `Evolution`."""
        satisfying = self._values[~np.isnan(self._values).any(axis=1)]
        corner: dict[str, float] = {}
        for i, objective in enumerate(self.objectives):
            worst = float(satisfying[:, i].max()) if len(satisfying) else 0.0
            corner[objective.name] = self._reference.get(
                objective.name, -worst if objective.maximize else worst
            )
        return corner

    @cached_property
    def hypervolume(self) -> Table:
        """See `Evolution`."""
        corner = np.array(
            [(-1.0 if o.maximize else 1.0) * self.reference[o.name] for o in self.objectives]
        )
        counts = list(range(self.population, self.evaluations, self.population))
        counts.append(self.evaluations)
        undominated = self._values[:0]
        volumes: list[float] = []
        start = 0
        for count in counts:
            undominated = np.concatenate([undominated, self._values[start:count]])
            undominated = undominated[front(undominated)]
            volumes.append(hypervolume(undominated, corner))
            start = count
        # Rounding errors must not make the hypervolume decrease.
        grown = np.maximum.accumulate(np.array(volumes, dtype=float))
        return Table({"evaluations": np.array(counts), "hypervolume": grown})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return plain(
            {
                "method": self.method,
                "seed": self.seed,
                "space": self.space_name,
                "objectives": {o.name: "max" if o.maximize else "min" for o in self.objectives},
                "constraints": list(self.constraints),
                "evaluations": self.evaluations,
                "stopped": self.stopped,
                "front": self.front.to_records(),
                "choices": self.choices,
                "reference": self.reference,
                "hypervolume": self.hypervolume.to_records(),
            }
        )

    @property
    def feasible(self) -> bool:
        """Whether any evaluation satisfies the constraints."""
        return bool(len(self._front))

    @property
    def decided(self) -> bool:
        """Whether a feasible choice is known; evolution never proves that none exists."""
        return self.feasible

    @property
    def headline(self) -> str:
        """The method, the space, the objectives, and the size of the front."""
        names = ", ".join(f"{o.name} ({'max' if o.maximize else 'min'})" for o in self.objectives)
        under = f" under {' and '.join(self.constraints)}" if self.constraints else ""
        count = f"{len(self._front)} on the front" if len(self._front) else "none qualifies"
        return (
            f"{self.method} on {self.space_name}: {names}{under}; "
            f"{self.evaluations} evaluations, seed {self.seed}; {count}"
        )

    def sections(self) -> list[str]:
        """Return the first rows of the front."""
        return [as_text(self.front, 8)] if len(self._front) else []
