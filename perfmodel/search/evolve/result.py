"""What a search found: the front, every evaluation, hypervolume as it grew."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from perfmodel.pareto import front, hypervolume
from perfmodel.search.evolve.archive import Archive
from perfmodel.search.evolve.question import FEASIBLE, Floats, Index
from perfmodel.table import Result, Row, Table, plain
from perfmodel.table.text import as_text


class Evolution(Result):
    """The result of `perfmodel.search.evolve.evolve`.

    Attributes
    ----------
    front
        Table of the choices that keep the constraints and that no other one found dominates, by the
        first objective ascending: ``choice`` (as text), objectives, and what else was asked.
    choices
        Their option indices, ``(front, decisions)``.
    table
        All evaluations in order: columns as `front`, and ``satisfied``.
    evaluated
        Their option indices, ``(evaluations, decisions)``.
    evaluations
        Choices that were asked about, each counted once.
    asked
        Those of them whose numbers did not come from a state file.
    hypervolume
        Table: ``evaluations`` and the ``hypervolume`` dominated after so many, up to `reference`.
    reference
        Objective -> the worse end of what is counted: what was given, else the worst value among
        the evaluations that keep the constraints.
    method, seed, population
        As asked.
    stopped
        Why it ended: ``evaluations``, ``callback``, ``time limit``, or ``no new choices``.
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
        self.evaluations, self.asked = len(archive), archive.asked
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
        # A front asks for its rows by objectives first.
        order = dict.fromkeys(["choice", *(o.name for o in self.objectives), *columns])
        self.table = Table({name: columns[name] for name in order})
        self._reference = dict(reference or {})

    @cached_property
    def _front(self) -> Index:
        chosen = np.flatnonzero(front(self._values))
        return chosen[np.lexsort(self._values[chosen].T[::-1])]

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
        """First row of the front: the best in the first objective; None where nothing qualifies."""
        return self.front[0] if len(self._front) else None

    @property
    def closest(self) -> Row:
        """The evaluation that exceeds the constraints least, all taken together."""
        return self.table[int(np.argmin(self._excess))]

    @cached_property
    def reference(self) -> dict[str, float]:
        """See `Evolution`."""
        kept = self._values[~np.isnan(self._values).any(axis=1)]
        found: dict[str, float] = {}
        for i, o in enumerate(self.objectives):
            worst = float(kept[:, i].max()) if len(kept) else 0.0
            found[o.name] = self._reference.get(o.name, -worst if o.maximize else worst)
        return found

    @cached_property
    def hypervolume(self) -> Table:
        """See `Evolution`."""
        corner = np.array(
            [(-1.0 if o.maximize else 1.0) * self.reference[o.name] for o in self.objectives]
        )
        counts = list(range(self.population, self.evaluations, self.population))
        counts.append(self.evaluations)
        held = self._values[:0]
        volumes: list[float] = []
        start = 0
        for count in counts:
            held = np.concatenate([held, self._values[start:count]])
            held = held[front(held)]
            volumes.append(hypervolume(held, corner))
            start = count
        # Rounding must not make it seem to shrink.
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
        """Whether any evaluation keeps the constraints."""
        return bool(len(self._front))

    @property
    def decided(self) -> bool:
        """Whether any was found: that none exists is never proved."""
        return self.feasible

    @property
    def headline(self) -> str:
        """What was searched, how, and how many are on the front."""
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
