"""A vectorised problem for pymoo."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perfmodel.search.evolve.packages import oracle_problem
from perfmodel.search.evolve.question import EvolutionProblem, Index


def pymoo_problem(
    oracle: Any,
    objectives: Sequence[str | tuple[str, str]] = (),
    constraints: Sequence[str] = (),
    *,
    extra: Mapping[str, Callable[[Index], Any]] | None = None,
) -> Any:
    """Return a ``pymoo.core.problem.Problem`` that asks the oracle once a generation.

    Variables are option indices, rounded where an algorithm proposes fractions. Objectives are
    minimised (those to be maximised are negated); inequality constraints are the given ones, then
    whether a member fits the device.

    Parameters
    ----------
    oracle
        An `Oracle`.
    objectives, constraints, extra
        As for `perfmodel.search.evolve.evolve`; by default all metrics of the oracle.

    Raises
    ------
    InputError
        pymoo is not installed; unknown columns and bad conditions, all at once.
    """
    asked = objectives or oracle.metrics
    question = EvolutionProblem(oracle, oracle.space, asked, constraints, extra)
    return oracle_problem(question)
