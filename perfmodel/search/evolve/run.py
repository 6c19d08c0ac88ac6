"""Evolution over a space of choices: propose, evaluate, judge, propose again."""

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
from perfmodel.search.evolve.moves import Moves
from perfmodel.search.evolve.packages import PACKAGES, SAMPLERS
from perfmodel.search.evolve.proposals import PLAIN, EvolutionContext, Proposals
from perfmodel.search.evolve.question import FEASIBLE, EvolutionProblem
from perfmodel.search.evolve.result import Evolution
from perfmodel.settings import FaultList

#: Methods by name; those of `perfmodel.search.evolve.packages` need the extra ``search``.
METHODS: Mapping[str, Callable[[EvolutionContext], Proposals]] = {**PACKAGES, **PLAIN}

#: Least values of parameters that count something.
_LEAST = {"population": 2, "generations": 1, "evaluations": 1, "tournament": 1, "seed": 0}

#: Evaluations where neither their number nor that of generations is stated.
_EVALUATIONS = 2000

#: Choices asked about at once where time is limited.
_PART = 10

#: Part of what is known by which it must have grown before it is written again.
_GROWTH = 0.05


class Progress(NamedTuple):
    """Where a search stands.

    Attributes
    ----------
    evaluations
        Choices asked about so far.
    front
        Choices on the front so far.
    satisfied
        Choices so far that keep the constraints.
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
    """Search a space for choices that no other one beats.

    Parameters
    ----------
    oracle
        An `Oracle`, or a function ``choices (n, decisions) -> {column: (n,)}``. Where it tells
        ``feasible``, members that do not fit are refused.
    space
        What has a ``name`` and ``decisions`` with ``name`` and ``options``; its ``canonical`` and
        ``mutate`` are used where it has them.
    objectives
        Columns of the oracle or of `extra`, or ``(column, "min")``, ``(column, "max")``. Rates,
        ``utilization`` and ``accuracy`` alone are maximised, all else is minimised.
    constraints
        Conditions on columns: ``"latency_s <= 5 ms"``.
    method
        ``nsga2``, ``nsga3`` (pymoo), ``optuna``, ``regularised`` (aging evolution), ``random``.
    population
        Choices a generation.
    generations, evaluations
        Ends after so many generations of `population` evaluations, or after so many evaluations:
        choices that are asked about, each counted once; 2,000 where neither is said.
    seed
        The same arguments and seed give the same result.
    extra
        Further columns, such as ``{"accuracy_drop": function}`` of choices ``(n, decisions)``.
    canonical
        Choices of the same network are asked about once. False where `extra` tells them apart.
    state
        JSON file to resume from and to write to (now and then, and however it ends). What is known
        there is not asked again, and the result is what it would have been without interruption. A
        finished search goes on from there when more evaluations are asked for.
    reference
        Objective -> the worse end that hypervolume is measured to (see `Evolution.reference`).
    callback
        Called with a `Progress` after each generation that was not known before; ends the search
        when it returns True.
    log
        One line a generation on standard error.
    tournament
        Sample size of ``regularised``.
    sampler, storage
        Of ``optuna``: one of ``tpe``, ``nsga2``, ``nsga3``, ``random``; URL of a database that
        trials are kept in, taken up again where it holds this search.
    deadline
        When to stop with what is known. A generation is then asked about in parts, and an oracle
        may raise `OutOfTimeError`, after which its last part is left out.

    Returns
    -------
    Evolution
        Where no choice keeps the constraints, its front is empty and `Evolution.closest` tells
        what came nearest.

    Raises
    ------
    InputError
        Unknown names, bad conditions and numbers, a package that is missing, a state file of
        another search: every fault at once.
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
        """Return the result of `evolve`; it raises the same errors."""
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
            archive,
            Moves(self.space, canonical=self.canonical),
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
        """Evaluate proposals until something ends the search, and return what did."""
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
        """Write the state file, where there is one, and return how many choices it has."""
        if self.state is not None:
            archive.save(self.state, header)
        return len(stored)

    def _problem(self) -> EvolutionProblem:
        """Return what is minimised under what, or raise every fault of the parameters."""
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
                message = f"{value!r} is too few" if integer else f"{value!r} is no number"
                expected = f"a whole number, {least} or more"
                faults.append(Fault(message, path=name, expected=expected))
        return faults

    def _limit(self) -> int:
        """Return the number of evaluations after which the search ends."""
        limits = [] if self.evaluations is None else [int(self.evaluations)]
        if self.generations is not None:
            limits.append(int(self.generations) * int(self.population))
        return min(limits, default=_EVALUATIONS)


def _evaluated(archive: Archive, batch: list[Choice], deadline: Deadline | None) -> bool:
    """Evaluate choices, and tell whether there was time for all of them.

    Parts have the same size whatever the time, which decides how far a search comes and nothing
    else.
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
    """Reports to callback and log once per generation that was not known before."""

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
        if len(archive) < self.reported + self.population or archive.asked == self.evaluated:
            return False
        self.reported, self.evaluated = len(archive), archive.asked
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
