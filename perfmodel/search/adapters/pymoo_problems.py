"""A vectorised problem for pymoo."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from perfmodel.catalog import need
from perfmodel.search.evolve.packages import quiet_pymoo
from perfmodel.search.evolve.question import EvolutionProblem, Index


def pymoo_problem(
    oracle: Any, objectives: Sequence[str | tuple[str, str]] = (),
    constraints: Sequence[str] = (), *,
    extra: Mapping[str, Callable[[Index], Any]] | None = None,
) -> Any:  # fmt: skip
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
    quiet_pymoo()
    base: Any = need("pymoo.core.problem").Problem
    last = np.array(question.sizes) - 1

    class OracleProblem(base):
        def __init__(self) -> None:
            base.__init__(
                self, n_var=len(last), n_obj=len(question.objectives),
                n_ieq_constr=len(question.constraints) + 1, xl=np.zeros(len(last)),
                xu=last.astype(float), vtype=int,
            )  # fmt: skip

        def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            del args, kwargs
            rows = np.clip(np.rint(np.asarray(x, dtype=float)), 0, last).astype(np.intp)
            judged = question.judge(question.ask(rows))
            out["F"], out["G"] = judged.objectives, judged.violations

    return OracleProblem()
