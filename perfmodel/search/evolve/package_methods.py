"""Search methods of pymoo (NSGA-II, NSGA-III) and Optuna, from the extra ``search``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container
from math import comb
from typing import Any, cast

import numpy as np

from perfmodel.catalog import need
from perfmodel.errors import InputError, input_error, no_such
from perfmodel.search.evolve.archive import Choice
from perfmodel.search.evolve.builtin_methods import EvolutionContext, Proposals, unevaluated_choices
from perfmodel.search.evolve.objectives import EvaluatedChoices, EvolutionProblem, Floats

#: Samplers of Optuna by name; in each case the multi-objective one unless stated otherwise.
SAMPLERS = {
    "tpe": "TPESampler",
    "nsga2": "NSGAIISampler",
    "nsga3": "NSGAIIISampler",
    "random": "RandomSampler",
}

_INSTEAD = "method='regularised' or 'random'"


def oracle_problem(question: EvolutionProblem) -> Any:
    """Return a pymoo problem; see `perfmodel.search.adapters.pymoo_problem`."""
    # Otherwise pymoo prints a hint on standard output.
    need("pymoo.config", _INSTEAD).Config.warnings["not_compiled"] = False
    base: Any = need("pymoo.core.problem", _INSTEAD).Problem
    last = np.array(question.sizes) - 1

    class OracleProblem(base):
        def __init__(self) -> None:
            base.__init__(
                self,
                n_var=len(last),
                n_obj=len(question.objectives),
                n_ieq_constr=len(question.constraints) + 1,
                xl=np.zeros(len(last)),
                xu=last.astype(float),
                vtype=int,
            )

        def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            del args, kwargs
            rows = np.clip(np.rint(np.asarray(x, dtype=float)), 0, last).astype(np.intp)
            judged = question.judge(question.ask(rows))
            out["F"], out["G"] = judged.objectives, judged.violations

    return OracleProblem()


def nsga(search: EvolutionContext) -> Proposals:
    """Propose choices by pymoo's NSGA-II (Deb et al. 2002) or NSGA-III (Deb and Jain 2014).

    Chromosomes are option indices, with uniform crossover and a mutation that changes each of n
    decisions with probability 1 / n. A choice is not proposed again if it, or another choice that
    describes the same network, was already evaluated.
    """
    question = search.archive.question
    problem = oracle_problem(question)
    static = need("pymoo.problems.static").StaticProblem
    evaluator = need("pymoo.core.evaluator").Evaluator
    algorithm = _algorithm(search, len(question.objectives))
    algorithm.setup(
        problem,
        termination=need("pymoo.core.termination").NoTermination(),
        seed=search.seed,
        verbose=False,
    )
    scale: Floats | None = None
    while True:
        members: Any = algorithm.ask()
        if members is None or len(members) == 0:
            return
        rows = members.get("X").astype(int).tolist()
        judged = yield [search.moves.canonical(row) for row in rows]
        if scale is None:
            # NSGA-III treats ranges below 1e-6 as zero, and energies in joules may be that small.
            scale = _ranges(judged)
        scaled = static(problem, F=judged.objectives / scale, G=judged.violations)
        # NSGA-III changes the warning filters permanently.
        with warnings.catch_warnings():
            evaluator().eval(scaled, members)
            algorithm.tell(infills=members)


def _ranges(judged: EvaluatedChoices) -> Floats:
    """Return the range of each objective over feasible choices, or over all if none is feasible.

    A range of 0 is returned as 1.
    """
    values = judged.objectives[judged.good] if judged.good.any() else judged.objectives
    ranges = np.ptp(values, axis=0)
    return np.where(ranges > 0, ranges, 1.0)


def _algorithm(search: EvolutionContext, objectives: int) -> Any:
    """Return the pymoo algorithm for a method and a number of objectives."""
    operators = _operators(search)
    if search.method == "nsga2":
        return need("pymoo.algorithms.moo.nsga2", _INSTEAD).NSGA2(
            pop_size=search.population, **operators
        )
    if objectives < 2:
        raise input_error(
            "nsga3 spreads over several objectives",
            path="objectives",
            expected="2 or more, or method='nsga2'",
        )
    # As many uniformly spaced directions (Das and Dennis 1998) as fit the population.
    parts = 1
    while comb(parts + objectives, objectives - 1) <= search.population:
        parts += 1
    if comb(parts + objectives - 1, objectives - 1) > search.population:
        raise input_error(
            f"{search.population} members for {objectives} objectives",
            path="population",
            expected=f"{objectives} or more",
        )
    directions = need("pymoo.util.ref_dirs").get_reference_directions(
        "das-dennis", objectives, n_partitions=parts
    )
    return need("pymoo.algorithms.moo.nsga3", _INSTEAD).NSGA3(
        ref_dirs=directions, pop_size=search.population, selection=_tournament(search), **operators
    )


def _tournament(search: EvolutionContext) -> Any:
    """Return NSGA-III's tournament: the smaller violation of two wins, ties are drawn at random.

    pymoo 0.6.2 breaks ties between infeasible members with an unseeded generator.
    """
    rng = np.random.default_rng([search.seed, 3])

    def compare(pop: Any, pairs: Any, **kwargs: Any) -> Any:
        del kwargs
        excess = np.array([float(each.CV[0]) for each in pop])
        rivals = np.asarray(pairs, dtype=np.intp)
        left, right = excess[rivals[:, 0]], excess[rivals[:, 1]]
        second = np.where(left == right, rng.random(len(rivals)) < 0.5, right < left)
        return np.where(second, rivals[:, 1], rivals[:, 0])[:, None]

    selection = need("pymoo.operators.selection.tournament", _INSTEAD).TournamentSelection
    return selection(func_comp=compare)


def _operators(search: EvolutionContext) -> dict[str, Any]:
    """Return pymoo's operators on option indices, with their own random generator.

    Older versions of pymoo do not pass a generator to operators.
    """
    rng = np.random.default_rng([search.seed, 1])
    moves, archive = search.moves, search.archive
    crossover_base: Any = need("pymoo.core.crossover").Crossover
    mutation_base: Any = need("pymoo.core.mutation").Mutation
    sampling_base: Any = need("pymoo.core.sampling").Sampling
    duplicates_base: Any = need("pymoo.core.duplicate").DuplicateElimination

    class Sample(sampling_base):
        def _do(self, problem: Any, n_samples: int, *args: Any, **kwargs: Any) -> Any:
            del problem, args, kwargs
            # Oversample, since some samples describe the same network.
            distinct: dict[Choice, list[int]] = {}
            for row in moves.sample(4 * n_samples, rng).tolist():
                distinct.setdefault(moves.canonical(row), row)
            return np.array(list(distinct.values())[:n_samples], dtype=int)

    class Cross(crossover_base):
        def __init__(self) -> None:
            crossover_base.__init__(self, 2, 2)

        def _do(self, problem: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
            del problem, args, kwargs
            first, second = (np.asarray(parents, dtype=np.intp) for parents in x)
            takes = cast("Floats", rng.random(first.shape) < 0.5)
            return np.stack([np.where(takes, first, second), np.where(takes, second, first)])

    class Mutate(mutation_base):
        def _do(self, problem: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
            del problem, args, kwargs
            return moves.mutated(np.asarray(x, dtype=np.intp), rng)

    class Known(duplicates_base):
        def _do(self, pop: Any, other: Any, is_duplicate: Any) -> Any:
            others = set[Choice]() if other is None else {_key(moves, each) for each in other}
            for i, each in enumerate(pop):
                choice = _key(moves, each)
                is_duplicate[i] = choice in archive or choice in others
                if other is None:
                    others.add(choice)
            return is_duplicate

    return {
        "sampling": Sample(),
        "crossover": Cross(),
        "mutation": Mutate(),
        "eliminate_duplicates": Known(),
    }


def _key(moves: Any, individual: Any) -> Choice:
    return moves.canonical(np.asarray(individual.X, dtype=int).tolist())


# Optuna


def optuna_parts() -> Any:
    """Return the Optuna module, with its log level raised to warnings.

    Raises
    ------
    InputError
        Optuna is not installed.
    """
    optuna = need("optuna", _INSTEAD)
    if optuna.logging.get_verbosity() < optuna.logging.WARNING:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def constraints_of(trial: Any) -> list[float]:
    """Return the violations stored by `tell_constraints`, for Optuna before version 5."""
    return list(trial.user_attrs.get("constraints", ()))


def tell_constraints(trial: Any, violations: list[float]) -> None:
    """Store the violation of each constraint in a trial, in the form this Optuna expects."""
    if hasattr(trial, "set_constraint"):
        for i, value in enumerate(violations):
            trial.set_constraint(str(i), value)
    else:
        trial.set_user_attr("constraints", violations)


def optuna_sampler(optuna: Any, name: str, seed: int, population: int) -> Any:
    """Return the Optuna sampler with a name of `SAMPLERS`.

    Raises
    ------
    InputError
        No sampler has that name.
    """
    if name not in SAMPLERS:
        raise InputError(no_such(f"unknown sampler '{name}'", name, SAMPLERS, "sampler"))
    options: dict[str, Any] = {"seed": seed}
    if name.startswith("nsga"):
        options["population_size"] = population
    if name != "random" and not hasattr(optuna.Trial, "set_constraint"):
        options["constraints_func"] = constraints_of
    if name == "tpe":
        options["multivariate"] = True
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        return getattr(optuna.samplers, SAMPLERS[name])(**options)


def optuna_method(search: EvolutionContext) -> Proposals:
    """Propose the suggestions of an Optuna sampler, one generation at a time.

    With a storage, trials are written to a study named by the fingerprint. An existing study is
    continued: its trials count as evaluations.
    """
    optuna = optuna_parts()
    if not search.storage:
        yield from _optuna_generations(search, optuna, None)
        return
    storage = optuna.storages.get_storage(search.storage)
    try:
        yield from _optuna_generations(search, optuna, storage)
    finally:
        # Database connections otherwise stay open until the engine is disposed of.
        storage.remove_session()
        engine = getattr(getattr(storage, "_backend", storage), "engine", None)
        if engine is not None:
            engine.dispose()


def _optuna_generations(search: EvolutionContext, optuna: Any, storage: Any) -> Proposals:
    """Propose generations of an Optuna study, after its earlier trials."""
    question = search.archive.question
    objectives = question.objectives
    sampler = optuna_sampler(optuna, search.sampler, search.seed, search.population)
    study = optuna.create_study(
        directions=["minimize"] * len(objectives),
        sampler=sampler,
        storage=storage,
        study_name=f"perfmodel-{search.fingerprint}",
        load_if_exists=True,
    )
    names = [d.name for d in question.space.decisions]
    before = _taken_up(optuna, study, search, names)
    if before:
        # A new seed, so that earlier samples are not drawn again.
        study.sampler = optuna_sampler(
            optuna, search.sampler, search.seed + len(study.trials), search.population
        )
        yield before
    rng = np.random.default_rng([search.seed, 2])
    while True:
        trials: dict[Choice, Any] = {}
        while len(trials) < search.population:
            trial = study.ask()
            choice = search.moves.canonical(_suggested(trial, names, question.sizes))
            if choice in search.archive or choice in trials:
                # Already evaluated: try a new neighbour instead.
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                near = _near(search, choice, trials, rng)
                if near is None:
                    break
                study.enqueue_trial(dict(zip(names, near, strict=True)))
                trial, choice = study.ask(), near
                _suggested(trial, names, question.sizes)
            trials[choice] = trial
        if not trials:
            return
        judged = yield list(trials)
        for i, trial in enumerate(trials.values()):
            tell_constraints(trial, judged.violations[i].tolist())
            study.tell(trial, judged.objectives[i].tolist())


def _near(
    search: EvolutionContext, choice: Choice, trials: Container[Choice], rng: np.random.Generator
) -> Choice | None:
    """Return an unseen choice near another one, or any unseen one; None if none remains."""
    neighbour = choice
    for _ in range(50):
        neighbour = search.moves.canonical(search.moves.mutate(neighbour, rng))
        if neighbour not in search.archive and neighbour not in trials:
            return neighbour
    random = unevaluated_choices(search, search.population, rng)
    return next((c for c in random if c not in trials), None)


def _taken_up(optuna: Any, study: Any, search: EvolutionContext, names: list[str]) -> list[Choice]:
    """Return the completed trials of a study as choices; running trials are marked as failed."""
    states = optuna.trial.TrialState
    choices: dict[Choice, None] = {}
    for trial in study.trials:
        if trial.state == states.COMPLETE:
            choices.setdefault(search.moves.canonical([trial.params[name] for name in names]))
        elif trial.state == states.RUNNING:
            study.tell(trial.number, state=states.FAIL)
    return list(choices)


def _suggested(trial: Any, names: list[str], sizes: tuple[int, ...]) -> list[int]:
    return [
        int(trial.suggest_categorical(name, range(size)))
        for name, size in zip(names, sizes, strict=True)
    ]


PACKAGES: dict[str, Callable[[EvolutionContext], Proposals]] = {
    "nsga2": nsga,
    "nsga3": nsga,
    "optuna": optuna_method,
}
