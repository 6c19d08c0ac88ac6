"""Evolutionary search over a space of choices: propose, evaluate, judge, repeat."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from perfmodel.atomic import output_faults
from perfmodel.errors import Fault, nearest, no_such
from perfmodel.optimise.deadline import Deadline, OutOfTimeError
from perfmodel.pareto import front
from perfmodel.search.evolve.archive import Archive, Choice, read_state
from perfmodel.search.evolve.builtin_methods import PLAIN, EvolutionContext, Proposals
from perfmodel.search.evolve.evolution_result import Evolution
from perfmodel.search.evolve.mutation import Moves
from perfmodel.search.evolve.objectives import FEASIBLE, EvolutionProblem
from perfmodel.search.evolve.package_methods import PACKAGES, SAMPLERS
from perfmodel.settings import FaultList

#: Methods by name; those of `perfmodel.search.evolve.package_methods` need the extra ``search``.
METHODS: Mapping[str, Callable[[EvolutionContext], Proposals]] = {**PACKAGES, **PLAIN}

#: Smallest allowed values of integer parameters.
_LEAST = {"population": 2, "generations": 1, "evaluations": 1, "tournament": 1, "seed": 0}

#: Number of evaluations if neither evaluations nor generations are given.
_EVALUATIONS = 2000

#: Batch size under a time limit.
_PART = 10

#: Relative growth of the known evaluations that triggers a new state file.
_GROWTH = 0.05


class Progress(NamedTuple):
    """Progress of a search.

    Attributes
    ----------
    evaluations
        Choices evaluated so far.
    front
        Choices on the front so far.
    satisfied
        Choices so far that satisfy the constraints.
    """

    evaluations: int
    front: int
    satisfied: int


def evolve(
    oracle: Any,
    space: Any,
    objectives: Sequence[str | tuple[str, str]],
    constraints: Sequence[str] = (),
    *,
    method: str = "nsga2",
    population: int = 100,
    generations: int | None = None,
    evaluations: int | None = None,
    seed: int = 0,
    extra: Mapping[str, Callable[[Any], Any]] | None = None,
    canonical: bool = True,
    state: str | Path | None = None,
    reference: Mapping[str, float] | None = None,
    callback: Callable[[Progress], Any] | None = None,
    log: bool = False,
    tournament: int = 25,
    sampler: str = "tpe",
    storage: str = "",
    deadline: Deadline | None = None,
) -> Evolution:
    """Search a space for its Pareto-optimal choices.

    Parameters
    ----------
    oracle
        An `Oracle`, or a function ``choices (n, decisions) -> {column: (n,)}``. If it returns
        ``feasible``, members that do not fit are rejected.
    space
        Space with a ``name`` and ``decisions``, each with ``name`` and ``options``; its
        ``canonical`` and ``mutate`` are used if it has them.
    objectives
        Columns of the oracle or of `extra`, or ``(column, "min")``, ``(column, "max")``. Of bare
        columns, rates, ``utilization`` and ``accuracy`` are maximised, all others minimised.
    constraints
        Conditions on columns: ``"latency_s <= 5 ms"``.
    method
        ``nsga2``, ``nsga3`` (pymoo), ``optuna``, ``regularised`` (aging evolution), ``random``.
    population
        Choices per generation.
    generations, evaluations
        Limits on generations of `population` evaluations and on evaluations, each choice counted
        once; 2,000 evaluations if neither is given.
    seed
        The same arguments and seed give the same result.
    extra
        Further columns, such as ``{"accuracy_drop": function}`` of choices ``(n, decisions)``.
    canonical
        Evaluate choices that describe the same network once. False if `extra` distinguishes them.
    state
        JSON file to resume from and to write to, periodically and whenever the search ends. Stored
        evaluations are not repeated, and the result equals that of an uninterrupted search. A
        finished search continues from the file if more evaluations are requested.
    reference
        Objective -> the worse end of the hypervolume (see `Evolution.reference`).
    callback
        Called with a `Progress` after each generation that is not from the state file; the search
        ends when it returns True.
    log
        One line per generation on standard error.
    tournament
        Sample size of ``regularised``.
    sampler, storage
        Settings of ``optuna``: one of ``tpe``, ``nsga2``, ``nsga3``, ``random``; URL of a database
        for the trials, resumed from if it contains this search.
    deadline
        Time at which to stop with the results so far. Generations are then evaluated in parts, and
        an oracle may raise `OutOfTimeError`, after which its last part is dropped.

    Returns
    -------
    Evolution
        If no choice satisfies the constraints, its front is empty and `Evolution.closest` is the
        evaluation with the smallest violation.

    Raises
    ------
    InputError
        Unknown names, invalid conditions and numbers, a missing package, a state file of another
        search: all faults at once.
    """
    return EvolutionQuestion(**vars()).answer()


@dataclass(frozen=True, kw_only=True)
class EvolutionQuestion:
    """The parameters of `evolve`."""

    oracle: Any
    space: Any
    objectives: Sequence[str | tuple[str, str]]
    constraints: Sequence[str]
    method: str
    population: int
    generations: int | None
    evaluations: int | None
    seed: int
    extra: Mapping[str, Callable[[Any], Any]] | None
    canonical: bool
    state: str | Path | None
    reference: Mapping[str, float] | None
    callback: Callable[[Progress], Any] | None
    log: bool
    tournament: int
    sampler: str
    storage: str
    deadline: Deadline | None

    def answer(self) -> Evolution:
        """Return the result of `evolve`, with the same errors."""
        problem = self._problem()
        method, population = self.method, self.population
        options: list[Any] = [method, self.seed, population, self.canonical]
        options += {"regularised": [self.tournament], "optuna": [self.sampler]}.get(method, [])
        fingerprint = sha256(f"{problem.fingerprint}{options!r}".encode()).hexdigest()[:16]
        header: dict[str, Any] = {
            "space": self.space.name,
            "method": method,
            "seed": self.seed,
            "population": population,
            "objectives": [[o.name, "max" if o.maximize else "min"] for o in problem.objectives],
            "constraints": [c.text for c in problem.constraints],
            "fingerprint": fingerprint,
        }
        stored = {} if self.state is None else read_state(self.state, problem, header)
        archive = Archive(problem, stored)
        context = EvolutionContext(
            archive=archive,
            moves=Moves(self.space, canonical=self.canonical),
            population=population,
            seed=self.seed,
            tournament=self.tournament,
            sampler=self.sampler,
            storage=self.storage,
            fingerprint=fingerprint,
            method=method,
        )
        stopped = self._run(archive, METHODS[method](context), header, stored)
        return Evolution(
            archive,
            method=method,
            seed=self.seed,
            population=population,
            stopped=stopped,
            reference=self.reference,
        )

    def _run(
        self,
        archive: Archive,
        proposals: Proposals,
        header: dict[str, Any],
        stored: Sized,
    ) -> str:
        """Evaluate proposals until the search ends, and return the reason."""
        limit = self._limit()
        watch = _Watch(archive, self.population, self.callback, log=self.log)
        written = len(stored)
        try:
            batch = next(proposals, None)
            while batch is not None:
                batch = batch[: limit - len(archive)]
                if not _evaluated(archive, batch, self.deadline):
                    return "time limit"
                if len(stored) >= written + max(self.population, _GROWTH * written):
                    written = self._save(archive, header, stored)
                if watch():
                    return "callback"
                if len(archive) >= limit:
                    return "evaluations"
                try:
                    batch = proposals.send(archive.judged(batch))
                except StopIteration:
                    batch = None
            return "no new choices"
        finally:
            proposals.close()
            if len(stored) > written:
                self._save(archive, header, stored)

    def _save(self, archive: Archive, header: dict[str, Any], stored: Sized) -> int:
        """Write the state file, if any, and return the number of stored choices."""
        if self.state is not None:
            archive.save(self.state, header)
        return len(stored)

    def _problem(self) -> EvolutionProblem:
        """Return objectives and constraints, or raise all faults of the parameters."""
        faults = self._option_faults()
        if self.state is not None:
            faults += output_faults(self.state, (".json",), "state")
            if self.storage:
                faults.append(Fault("state and storage", path="state", expected="one of them"))
        problem = faults.trying(
            EvolutionProblem,
            self.oracle,
            self.space,
            self.objectives,
            self.constraints,
            self.extra,
        )
        if problem is not None:
            names = [objective.name for objective in problem.objectives]
            expected = "a finite number for an objective: " + ", ".join(names)
            faults += [
                Fault(
                    f"{value!r} for '{name}'",
                    path="reference",
                    suggestion=nearest(name, names),
                    expected=expected,
                )
                for name, value in (self.reference or {}).items()
                if name not in names or name == FEASIBLE or not isfinite(value)
            ]
        faults.settle()
        assert problem is not None
        return problem

    def _option_faults(self) -> FaultList:
        faults = FaultList()
        for name, accepted in (("method", METHODS), ("sampler", SAMPLERS)):
            word = getattr(self, name)
            if word not in accepted:
                faults.append(no_such(f"unknown {name} '{word}'", str(word), accepted, name))
        for name, least in _LEAST.items():
            value = getattr(self, name)
            integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if value is not None and (not integer or value < least):
                message = f"{value!r} is too few" if integer else f"{value!r} is not a number"
                expected = f"a whole number, {least} or more"
                faults.append(Fault(message, path=name, expected=expected))
        return faults

    def _limit(self) -> int:
        """Return the maximum number of evaluations."""
        limits = [] if self.evaluations is None else [int(self.evaluations)]
        if self.generations is not None:
            limits.append(int(self.generations) * int(self.population))
        return min(limits, default=_EVALUATIONS)


def _evaluated(archive: Archive, batch: list[Choice], deadline: Deadline | None) -> bool:
    """Evaluate choices, and return whether the time sufficed for all of them.

    The part size does not depend on the time, so a deadline only decides how far a search gets.
    """
    if deadline is None:
        archive.add(batch)
        return True
    for i in range(0, len(batch), _PART):
        if deadline.passed():
            return False
        try:
            archive.add(batch[i : i + _PART])
        except OutOfTimeError:
            return False
    return True


class _Watch:
    """Reporter to callback and log, once per generation that is not from the state file."""

    def __init__(
        self,
        archive: Archive,
        population: int,
        callback: Callable[[Progress], Any] | None,
        *,
        log: bool,
    ) -> None:
        self.archive, self.population = archive, population
        self.callback, self.log = callback, log
        self.reported: int = 0
        self.evaluated: int = 0

    def __call__(self) -> bool:
        archive = self.archive
        if (
            len(archive) < self.reported + self.population
            or archive.new_evaluations == self.evaluated
        ):
            return False
        self.reported, self.evaluated = len(archive), archive.new_evaluations
        if self.callback is None and not self.log:
            return False
        judged = archive.judged()
        values = np.where(judged.good[:, None], judged.objectives, np.nan)
        now = Progress(len(archive), int(front(values).sum()), int(judged.good.sum()))
        if self.log:
            sys.stderr.write(
                f"{now.evaluations} evaluations, {now.satisfied} keep the constraints, "
                f"{now.front} on the front\n"
            )
        return self.callback is not None and self.callback(now) is True
