"""Vectorised problem for pymoo."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from perfmodel.search.evolve.objectives import EvolutionProblem, Index
from perfmodel.search.evolve.package_methods import oracle_problem


def pymoo_problem(
    oracle: Any,
    objectives: Sequence[str | tuple[str, str]] = (),
    constraints: Sequence[str] = (),
    *,
    extra: Mapping[str, Callable[[Index], Any]] | None = None,
) -> Any:
    """Return a ``pymoo.core.problem.Problem`` that calls the oracle once per generation.

    Variables are option indices, rounded if an algorithm proposes fractions. Objectives are
    minimised (those to be maximised are negated). Inequality constraints are the given ones,
    followed by one for members that do not fit the device.

    Parameters
    ----------
    oracle
        An `Oracle`.
    objectives, constraints, extra
        As for `perfmodel.search.evolve.evolve`; by default all metrics of the oracle.

    Raises
    ------
    InputError
        pymoo is not installed; unknown columns and invalid conditions, all at once.
    """
    names = objectives or oracle.metrics
    question = EvolutionProblem(oracle, oracle.space, names, constraints, extra)
    return oracle_problem(question)
