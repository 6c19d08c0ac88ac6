"""Evolution over a space of choices: ask, judge, propose again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from perfmodel.atomic import output_faults
from perfmodel.errors import Fault, InputError, nearest, no_such
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

#: Evaluations where neither their number nor that of generations is said.
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
    oracle: Any, space: Any, objectives: Sequence[str | tuple[str, str]],
    constraints: Sequence[str] = (), *, method: str = "nsga2", population: int = 100,
    generations: int | None = None, evaluations: int | None = None, seed: int = 0,
    extra: Mapping[str, Callable[[Any], Any]] | None = None, canonical: bool = True,
    state: str | Path | None = None, reference: Mapping[str, float] | None = None,
    callback: Callable[[Progress], Any] | None = None, log: bool = False,
    tournament: int = 25, sampler: str = "tpe", storage: str = "",
    deadline: Deadline | None = None,
) -> Evolution:  # fmt: skip
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
    limit, faults = _faults(method, population, generations, evaluations, seed, tournament, sampler)
    if state is not None:
        faults += output_faults(state, (".json",), "state")
        if storage:
            faults.append(Fault("state and storage", path="state", expected="one of them"))
    question = faults.trying(EvolutionProblem, oracle, space, objectives, constraints, extra)
    if question is not None:
        faults += _reference_faults(question, reference)
    if faults or question is None:
        raise InputError(faults)
    options: list[Any] = [method, seed, population, canonical]
    options += {"regularised": [tournament], "optuna": [sampler]}.get(method, [])
    fingerprint = sha256(f"{question.fingerprint}{options!r}".encode()).hexdigest()[:16]
    header: dict[str, Any] = {
        "space": space.name, "method": method, "seed": seed, "population": population,
        "objectives": [[o.name, "max" if o.maximize else "min"] for o in question.objectives],
        "constraints": [c.text for c in question.constraints], "fingerprint": fingerprint,
    }  # fmt: skip
    stored = {} if state is None else read_state(state, question, header)
    archive = Archive(question, stored)
    search = EvolutionContext(
        archive, Moves(space, canonical=canonical), population=population, seed=seed,
        tournament=tournament, sampler=sampler, storage=storage, fingerprint=fingerprint,
        method=method,
    )  # fmt: skip
    watch = _Watch(archive, population, callback, log=log)
    written = len(stored)
    stopped = "evaluations"
    proposals = METHODS[method](search)
    try:
        batch = next(proposals, None)
        while True:
            if batch is None:
                stopped = "no new choices"
                break
            batch = batch[: limit - len(archive)]
            if not _asked(archive, batch, deadline):
                stopped = "time limit"
                break
            if state is not None and len(stored) >= written + max(population, _GROWTH * written):
                archive.save(state, header)
                written = len(stored)
            if watch():
                stopped = "callback"
                break
            if len(archive) >= limit:
                break
            try:
                batch = proposals.send(archive.judged(batch))
            except StopIteration:
                batch = None
    finally:
        proposals.close()
        if state is not None and len(stored) > written:
            archive.save(state, header)
    return Evolution(
        archive, method=method, seed=seed, population=population, stopped=stopped,
        reference=reference,
    )  # fmt: skip


def _asked(archive: Archive, batch: list[Choice], deadline: Deadline | None) -> bool:
    """Ask about choices, and tell whether time was enough for all of them.

    Parts are of one size whatever the time, so that it decides how far a search comes and nothing
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
    """Tells callback and log, once a generation, what was not known before."""

    def __init__(
        self, archive: Archive, population: int, callback: Callable[[Progress], Any] | None, *,
        log: bool,
    ) -> None:  # fmt: skip
        self.archive, self.population = archive, population
        self.callback, self.log = callback, log
        self.told: int = 0
        self.asked: int = 0

    def __call__(self) -> bool:
        archive = self.archive
        if len(archive) < self.told + self.population or archive.asked == self.asked:
            return False
        self.told, self.asked = len(archive), archive.asked
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


def _faults(
    method: str, population: int, generations: int | None, evaluations: int | None, seed: int,
    tournament: int, sampler: str,
) -> tuple[int, FaultList]:  # fmt: skip
    faults = FaultList()
    if method not in METHODS:
        faults.append(no_such(f"unknown method '{method}'", str(method), METHODS, "method"))
    if sampler not in SAMPLERS:
        faults.append(no_such(f"unknown sampler '{sampler}'", str(sampler), SAMPLERS, "sampler"))
    numbers = {"population": (population, 2), "generations": (generations, 1),
               "evaluations": (evaluations, 1), "tournament": (tournament, 1),
               "seed": (seed, 0)}  # fmt: skip
    for name, (value, least) in numbers.items():
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is not None and (not whole or value < least):
            message = f"{value!r} is too few" if whole else f"{value!r} is no number"
            faults.append(Fault(message, path=name, expected=f"a whole number, {least} or more"))
    if faults:
        return 0, faults
    limits = [_EVALUATIONS] if evaluations is None and generations is None else []
    limits += [] if evaluations is None else [int(evaluations)]
    limits += [] if generations is None else [int(generations) * int(population)]
    return min(limits), faults


def _reference_faults(
    question: EvolutionProblem, reference: Mapping[str, float] | None
) -> list[Fault]:
    names = [o.name for o in question.objectives]
    return [
        Fault(f"{value!r} for '{name}'", path="reference", suggestion=nearest(name, names),
              expected="a finite number for an objective: " + ", ".join(names))
        for name, value in (reference or {}).items()
        if name not in names or name == FEASIBLE or not isfinite(value)
    ]  # fmt: skip
