"""Objective function for Optuna studies, in define-by-run style."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from perfmodel.search.evolve.objectives import EvolutionProblem, Index, labels
from perfmodel.search.evolve.package_methods import constraints_of, tell_constraints


class OptunaObjective:
    """``trial -> value`` (or a tuple of them), for ``study.optimize``.

    Attributes
    ----------
    directions
        For ``optuna.create_study(directions=...)``.
    """

    #: Constraint function for samplers of Optuna before version 5 (``constraints_func=``).
    constraints = staticmethod(constraints_of)

    def __init__(self, question: EvolutionProblem) -> None:
        self.question = question
        self.names = [d.name for d in question.space.decisions]
        self.labels = labels(question.space)
        self.directions = ["maximize" if o.maximize else "minimize" for o in question.objectives]

    def __call__(self, trial: Any) -> float | tuple[float, ...]:
        """Suggest a member, store its constraints and columns in the trial, return its values.

        The columns become user attributes. A member that does not fit the device, or has values
        that are not finite, violates a separate constraint; if a value is NaN, Optuna marks the
        trial as failed.
        """
        row = [
            options.index(trial.suggest_categorical(name, options))
            for name, options in zip(self.names, self.labels, strict=True)
        ]
        columns = self.question.ask(np.array([row], dtype=np.intp))
        judged = self.question.judge(columns)
        tell_constraints(trial, judged.violations[0].tolist())
        for name, column in columns.items():
            trial.set_user_attr(name, float(column[0]))
        values = tuple(float(columns[o.name][0]) for o in self.question.objectives)
        return values[0] if len(values) == 1 else values

    def choice(self, params: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the choice of a trial's ``params``."""
        return tuple(
            options.index(params[name])
            for name, options in zip(self.names, self.labels, strict=True)
        )


def optuna_objective(
    oracle: Any,
    objectives: Sequence[str | tuple[str, str]] = (),
    constraints: Sequence[str] = (),
    *,
    extra: Mapping[str, Callable[[Index], Any]] | None = None,
) -> OptunaObjective:
    """Return an objective function for Optuna, which is not required at construction.

    Parameters
    ----------
    oracle
        An `Oracle`.
    objectives, constraints, extra
        As for `perfmodel.search.evolve.evolve`; by default all metrics of the oracle.

    Raises
    ------
    InputError
        For all unknown columns and invalid conditions at once.
    """
    names = objectives or oracle.metrics
    return OptunaObjective(EvolutionProblem(oracle, oracle.space, names, constraints, extra))
