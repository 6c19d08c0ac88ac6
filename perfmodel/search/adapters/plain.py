"""Plain functions over an oracle, for loops that know nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from perfmodel.errors import Fault, InputError, nearest, no_such
from perfmodel.search.evolve.question import EvolutionProblem, Index, labels


def profiler(oracle: Any, metric: str = "") -> Callable[[Any], Any]:
    """Return ``profile(sample)``: what a search loop would else measure.

    Parameters
    ----------
    oracle
        An `Oracle`.
    metric
        The one that is told; by default all of them.

    Returns
    -------
    callable
        Sample (a choice, or the space's own notation) -> the metric's number; a dictionary of
        metrics and ``feasible`` where there is no `metric` and the oracle has several, a number
        where it has one.

    Raises
    ------
    InputError
        The oracle does not tell that metric.
    """
    known = (*oracle.metrics, "feasible")
    if metric and metric not in known:
        raise InputError(no_such(f"the oracle does not tell '{metric}'", metric, known, "metric"))
    chosen = metric or (oracle.metrics[0] if len(oracle.metrics) == 1 else "")

    def profile(sample: Any) -> float | dict[str, float]:
        found: dict[str, float] = oracle(sample)
        return found[chosen] if chosen else found

    return profile


class RayTrainable:
    """``config -> dict`` for Ray Tune, and for whatever else samples configurations.

    Attributes
    ----------
    options
        Decision -> labels of its options: ``{n: tune.choice(o) for n, o in options.items()}`` is
        the search space.
    """

    def __init__(self, question: EvolutionProblem) -> None:
        self.question = question
        self.options: dict[str, list[Any]] = {
            d.name: held
            for d, held in zip(question.space.decisions, labels(question.space), strict=True)
        }

    def __call__(self, config: Mapping[str, Any]) -> dict[str, float]:
        """Return columns, ``satisfied`` (1 or 0) and ``violation`` of a configuration.

        Raises
        ------
        InputError
            Every decision that is missing, and every label that is none of its options.
        """
        row: list[int] = []
        faults: list[Fault] = []
        for name, held in self.options.items():
            if name in config and config[name] in held:
                row.append(held.index(config[name]))
                continue
            message = f"{config[name]!r} is no option" if name in config else "is not decided"
            faults.append(Fault(message, path=name, expected=f"one of {held!r}"))
        faults += [
            Fault("is no decision", path=str(name), suggestion=nearest(name, self.options))
            for name in config
            if name not in self.options
        ]
        if faults:
            raise InputError(faults)
        columns = self.question.ask(np.array([row], dtype=np.intp))
        judged = self.question.judge(columns)
        found = {name: float(column[0]) for name, column in columns.items()}
        found["satisfied"] = float(judged.good[0])
        found["violation"] = float(judged.excess[0])
        return found


def ray_tune_trainable(
    oracle: Any,
    constraints: Sequence[str] = (),
    *,
    extra: Mapping[str, Callable[[Index], Any]] | None = None,
) -> RayTrainable:
    """Return a trainable for Ray Tune; needs no Ray to be made, and pickles as the oracle does.

    Parameters
    ----------
    oracle
        An `Oracle`.
    constraints, extra
        As for `perfmodel.search.evolve.evolve`.

    Raises
    ------
    InputError
        Unknown columns and bad conditions, all at once.
    """
    return RayTrainable(EvolutionProblem(oracle, oracle.space, oracle.metrics, constraints, extra))
