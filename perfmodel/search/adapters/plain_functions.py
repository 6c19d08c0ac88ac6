"""Plain functions of an oracle, for search loops without knowledge of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from perfmodel.errors import Fault, InputError, nearest, no_such
from perfmodel.search.evolve.objectives import EvolutionProblem, Index, labels
from perfmodel.settings import FaultList


def profiler(oracle: Any, metric: str = "") -> Callable[[Any], Any]:
    """Return ``profile(sample)``, which replaces the measurement in a search loop.

    Parameters
    ----------
    oracle
        An `Oracle`.
    metric
        Metric to return; by default all metrics.

    Returns
    -------
    callable
        Sample (a choice, or the space's own notation) -> value of the metric. Without `metric`, the
        result is a value if the oracle has one metric, else a dictionary of metrics and
        ``feasible``.

    Raises
    ------
    InputError
        The oracle does not have the metric.
    """
    known = (*oracle.metrics, "feasible")
    if metric and metric not in known:
        raise InputError(no_such(f"the oracle does not tell '{metric}'", metric, known, "metric"))
    name = metric or (oracle.metrics[0] if len(oracle.metrics) == 1 else "")

    def profile(sample: Any) -> float | dict[str, float]:
        metrics: dict[str, float] = oracle(sample)
        return metrics[name] if name else metrics

    return profile


class RayTrainable:
    """``config -> dict`` for Ray Tune, and for other tools that sample configurations.

    Attributes
    ----------
    options
        Decision -> labels of its options; the search space is
        ``{n: tune.choice(o) for n, o in options.items()}``.
    """

    def __init__(self, question: EvolutionProblem) -> None:
        self.question = question
        self.options: dict[str, list[Any]] = {
            d.name: options
            for d, options in zip(question.space.decisions, labels(question.space), strict=True)
        }

    def __call__(self, config: Mapping[str, Any]) -> dict[str, float]:
        """Return columns, ``satisfied`` (1 or 0) and ``violation`` of a configuration.

        Raises
        ------
        InputError
            For all missing decisions and all labels that are not options.
        """
        row: list[int] = []
        faults = FaultList()
        for name, options in self.options.items():
            if name in config and config[name] in options:
                row.append(options.index(config[name]))
                continue
            message = f"{config[name]!r} is not an option" if name in config else "is not decided"
            faults.append(Fault(message, path=name, expected=f"one of {options!r}"))
        faults += [
            Fault("is no decision", path=str(name), suggestion=nearest(name, self.options))
            for name in config
            if name not in self.options
        ]
        faults.settle()
        columns = self.question.ask(np.array([row], dtype=np.intp))
        judged = self.question.judge(columns)
        row_columns = {name: float(column[0]) for name, column in columns.items()}
        row_columns["satisfied"] = float(judged.good[0])
        row_columns["violation"] = float(judged.excess[0])
        return row_columns


def ray_tune_trainable(
    oracle: Any,
    constraints: Sequence[str] = (),
    *,
    extra: Mapping[str, Callable[[Index], Any]] | None = None,
) -> RayTrainable:
    """Return a trainable for Ray Tune, which is not required at construction; it can be pickled.

    Parameters
    ----------
    oracle
        An `Oracle`.
    constraints, extra
        As for `perfmodel.search.evolve.evolve`.

    Raises
    ------
    InputError
        For all unknown columns and invalid conditions at once.
    """
    return RayTrainable(EvolutionProblem(oracle, oracle.space, oracle.metrics, constraints, extra))
