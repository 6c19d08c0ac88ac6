"""Fitted constants on trial: refitted with each device left out, and judged on that device.

Refits go through `predict` itself, or a forward function that a data set has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.ask import Device, Machine, Prediction, Served, Workload
from perfmodel.calibrate import Constant, CrossValidatedFit, left_out
from perfmodel.calibrate.fit import Forward
from perfmodel.evaluate.case import (
    Cases,
    MeasuredQuantity,
    ServedLoad,
    ValidationCase,
    metric_of,
    subject_of,
)
from perfmodel.evaluate.result import errors
from perfmodel.evidence import RATES, Subject


@dataclass(frozen=True, slots=True)
class Refit:
    """How the constants of a target were fitted, so that it can be done again without some rows.

    A module of a data set offers them as ``refits(folder, devices) -> Sequence[Refit]``.

    Attributes
    ----------
    target
        As the cases of the data set name it.
    measured
        SI, shape ``(rows,)``.
    groups
        What is left out together, of each row: its device, chip or system.
    constants
        That the rows determine; what they start from is in the library's specs.
    forward
        Constants by name -> predictions of all rows.
    left_out
        What a group is: ``device``, ``chip``, ``generation``.
    scale
        Relative error from which on a row counts less.
    weights
        Of the rows in the fit, shape ``(rows,)``; 0 for one that is predicted and not fitted on.
    judged
        Rows whose errors are reported, all where left out: constants of kernels are fitted on
        kernels, and judged on the networks that they make up.
    parts
        Of each row, where errors are wanted by something finer than what is left out: a column of
        one device's batches.
    subjects
        What each row is evidence of, where that is known; ``None`` for a row that is of nothing.
    """

    target: str
    measured: npt.NDArray[np.float64]
    groups: Sequence[str]
    constants: Sequence[Constant]
    forward: Forward
    left_out: str = "device"
    scale: float = 0.1
    weights: npt.NDArray[np.float64] | None = None
    judged: npt.NDArray[np.bool_] | None = None
    parts: Sequence[str] | None = None
    subjects: Sequence[Subject | None] | None = None

    @property
    def transfers(self) -> bool:
        """Whether each device is in one group, so that a fit without it has seen none of it."""
        groups: dict[str, set[str]] = {}
        for subject, group in zip(self.subjects or (), self.groups, strict=False):
            if subject is not None:
                groups.setdefault(subject.device, set()).add(group)
        return all(len(of) == 1 for of in groups.values())


def trial(refit: Refit) -> dict[str, Any]:
    """Refit with each group left out.

    Returns
    -------
    dict
        ``left_out`` (what a group is), ``rows``, `perfmodel.evaluate.result.Errors` of all rows,
        ``groups`` (name -> rows and errors), ``parts`` (alike, where the refit has some),
        ``constants`` (name -> least and largest value found)
        ``at_bound`` (constants that some fit left at a bound of theirs), and ``predictions``: of
        each row with a subject whose device was left out whole, the subject and what was measured
        and predicted.
    """
    result = left_out(
        refit.forward,
        refit.measured,
        refit.constants,
        refit.groups,
        scale=refit.scale,
        weights=refit.weights,
    )
    return reported(refit, result)


def reported(refit: Refit, result: CrossValidatedFit) -> dict[str, Any]:
    """Return what `trial` returns of predictions of left-out groups."""
    predicted, fits = result.predicted, list(result.fits.values())
    seen = np.ones(len(predicted), dtype=np.bool_) if refit.judged is None else refit.judged

    def counted(at: npt.NDArray[np.bool_]) -> dict[str, Any]:
        return {"rows": int(at.sum()), **errors(predicted[at], refit.measured[at])}

    def each(labels: Sequence[str]) -> dict[str, Any]:
        masks = {name: (np.asarray(labels) == name) & seen for name in dict.fromkeys(labels)}
        return {name: counted(at) for name, at in masks.items() if at.any()}

    subjects = refit.subjects if refit.subjects and refit.transfers else [None] * len(predicted)
    return {
        "left_out": refit.left_out,
        **counted(seen),
        "groups": each(refit.groups),
        **({} if refit.parts is None else {"parts": each(refit.parts)}),
        "constants": {
            name: [f(fit.constants[name] for fit in fits) for f in (min, max)]
            for name in fits[0].constants
        },
        "at_bound": sorted({name for fit in fits for name in fit.at_bound}),
        "predictions": [
            {"subject": subject, "measured": float(measured), "predicted": float(value)}
            for subject, measured, value, counts in zip(
                subjects, refit.measured, predicted, seen, strict=True
            )
            if subject is not None and counts
        ],
    }


#: Numbers that the answers of a refit may hold together.
_REMEMBERED = 10_000_000

#: (case, constants by name, numbers or arrays) -> facts of its machine.
Apply = Callable[[ValidationCase, Mapping[str, Any]], Mapping[str, Any]]


def known_facts(case: ValidationCase, constants: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the constants that are facts of the case's machine."""
    machine = case.machine
    assert isinstance(machine, Machine)
    return {path: value for path, value in constants.items() if path in machine}


def on_machine(case: ValidationCase, question: MeasuredQuantity) -> tuple[ValidationCase, Machine]:
    """Return a case with its device under its runtime, and the machine that the question asks."""
    machine = question.machine or case.machine
    assert machine is not None
    if isinstance(machine, Device):
        machine = machine.machine(case.runtime)
        case = replace(case, machine=machine)
    return case, machine


def separate_places(constants: Sequence[Constant]) -> dict[str, float]:
    """Return a number for each constant: no two of them, nor products of two, are equal."""
    return {c.name: i + math.pi for i, c in enumerate(constants)}


def refit(
    cases: Cases,
    target: str | Sequence[str],
    constants: Sequence[Constant],
    *,
    left_out: str = "device",
    group: Callable[[ValidationCase], str] = lambda case: case.device,
    apply: Apply = known_facts,
    where: Callable[[ValidationCase], bool] = lambda case: True,
    fitted: Callable[[ValidationCase], bool] = lambda case: True,
    judged: str = "",
    name: str = "",
    scale: float = 0.1,
) -> Refit:
    """Return how constants were fitted to a target of cases, or to several together.

    Parameters
    ----------
    constants
        Named by paths of facts, unless `apply` knows them.
    group
        What of a case is left out together.
    apply
        Which facts of a case's machine the constants set.
    where
        Which cases the refit is about.
    fitted
        Which of them were fitted on; the others are predicted and judged alone.
    judged
        Target whose errors are reported; all where left out.
    name
        What to report the target as.
    scale
        Relative error from which on a row counts less.
    """
    targets = (target,) if isinstance(target, str) else target
    rows = [row for one in targets for row in cases.asked(one) if where(row[0])]
    weights = np.array([float(fitted(case)) for case, _ in rows])
    return Refit(
        name or targets[0],
        np.array([q.measured for _, q in rows]),
        [group(c) for c, _ in rows],
        constants,
        PredictedRows(rows, constants, apply),
        left_out,
        scale,
        None if weights.all() else weights,
        np.array([q.target == judged for _, q in rows]) if judged else None,
        subjects=[None if q.metric in RATES else subject_of(c, q) for c, q in rows],
    )


class _AlikeRow(NamedTuple):
    """A row among those that are alike but for numbers."""

    place: int
    case: ValidationCase
    workload: Workload | ServedLoad
    machine: Machine

    @property
    def numbers(self) -> tuple[Any, ...]:
        """What it may differ in from the others."""
        return (*self.workload.parameters.items(), *sorted(self.machine.varied.items()))


class _AlikeRows(NamedTuple):
    """Rows that one prediction answers.

    Attributes
    ----------
    rows
        Their places.
    answers
        Which of the questions answers each row: equal rows ask one.
    width
        How many questions there are.
    case
        The first of them.
    workload, machine
        Of all questions; what differs is an array over them.
    """

    rows: list[int]
    answers: list[int]
    width: int
    case: ValidationCase
    workload: Workload | ServedLoad
    machine: Machine


class PredictedRows:
    """Predictions of rows by constants, each group of rows that are alike in one prediction.

    Alike are rows of one network (its dimensions may differ) on one device (its facts may differ)
    under the same runtime and precision; of one model, split alike, where its loads are served.

    Parameters
    ----------
    rows
        Cases whose machine is known, each with a question.
    constants
        What may vary.
    apply
        Which facts of a case's machine the constants set.
    """

    rows: Sequence[tuple[ValidationCase, MeasuredQuantity]]
    apply: Apply

    def __init__(
        self,
        rows: Sequence[tuple[ValidationCase, MeasuredQuantity]],
        constants: Sequence[Constant],
        apply: Apply,
    ) -> None:
        self.rows, self._constants, self.apply = rows, constants, apply
        self._answers: dict[bytes, Any] = {}

    @cached_property
    def _alike(self) -> list[_AlikeRows]:
        # Rows are alike that constants set alike.
        place = separate_places(self._constants)
        alike: dict[tuple[Any, ...], list[_AlikeRow]] = {}
        for i, (case, question) in enumerate(self.rows):
            case, machine = on_machine(case, question)
            subject = question.load or question.workload
            network = (
                (subject.model, *subject.choices.items())
                if isinstance(subject, ServedLoad)
                else (id(subject.graph()), subject.unit)
            )
            key = (
                network,
                id(machine.device),
                id(machine.runtime),
                str(case.precision),
                str(case.runtime),
                case.engine,
                case.warm,
                question.metric,
                *sorted(machine.varied),
                *self.apply(case, place).items(),
            )
            alike.setdefault(key, []).append(_AlikeRow(i, case, subject, machine))
        return list(map(_stacked, alike.values()))

    def __call__(self, constants: Mapping[str, float]) -> Any:
        """Return predictions of all rows, shape ``(rows,)``."""
        return self.points({name: np.array([value]) for name, value in constants.items()})[0]

    def points(self, constants: Mapping[str, Any]) -> Any:
        """Return predictions under constants of shape ``(points,)``: ``(points, rows)``.

        Refits that leave out other groups, or report another target, begin alike: answers are
        remembered.
        """
        key = np.array(list(constants.values())).tobytes()
        answer = self._answers.get(key)
        if answer is None:
            answer = self._predicted(constants)
            if answer.size * (len(self._answers) + 1) <= _REMEMBERED:
                self._answers[key] = answer
        return answer

    def _predicted(self, constants: Mapping[str, Any]) -> Any:
        count = len(next(iter(constants.values()))) if constants else 1
        out = np.empty((count, len(self.rows)))
        for places, answers, width, case, workload, machine in self._alike:
            facts, point = _distinct(self.apply(case, constants), count)
            distinct = int(point.max()) + 1
            # Questions of a group lie side by side at each point.
            flat = {path: np.repeat(values, width) for path, values in facts.items()}
            sizes, own = (
                {name: np.tile(v, distinct) for name, v in values.items() if np.ndim(v)}
                for values in (workload.parameters, machine.varied)
            )
            answer = _answered(workload.bind(sizes), machine.vary({**own, **flat}), case)
            values = metric_of(answer, self.rows[places[0]][1].metric)
            each = np.broadcast_to(values, (distinct * width,)).reshape(distinct, width)
            out[:, places] = each[point][:, answers]
        return out


def _distinct(facts: Mapping[str, Any], count: int) -> tuple[dict[str, Any], npt.NDArray[np.intp]]:
    """Return the points that differ in some fact, and which of them each point is.

    Most constants that a fit moves are none of a group's: its points are fewer.
    """
    if not facts:
        return {}, np.zeros(count, dtype=np.intp)
    points, place = np.unique(np.stack(list(facts.values())), axis=1, return_inverse=True)
    return dict(zip(facts, points, strict=True)), place.reshape(-1)


def _answered(
    workload: Workload | ServedLoad, machine: Machine, case: ValidationCase
) -> Prediction | Served:
    if isinstance(workload, ServedLoad):
        return workload.serve(machine, case.precision, case.runtime)
    return case.predict(workload, machine)


def _stacked(rows: Sequence[_AlikeRow]) -> _AlikeRows:
    """Return alike rows as questions, of which equal rows share one.

    Were equal rows predicted apart, the last bits of their predictions could differ, and their
    ranks would be those of noise.
    """
    questions: dict[tuple[Any, ...], _AlikeRow] = {}
    for row in rows:
        questions.setdefault(row.numbers, row)
    place = {numbers: i for i, numbers in enumerate(questions)}
    _, case, workload, machine = rows[0]
    sizes, facts = (
        {name: column for name in first if np.ptp(column := _column(each, name)) > 0}
        for first, each in (
            (workload.parameters, [q.workload.parameters for q in questions.values()]),
            (machine.varied, [q.machine.varied for q in questions.values()]),
        )
    )
    return _AlikeRows(
        [row.place for row in rows],
        [place[row.numbers] for row in rows],
        len(questions),
        case,
        workload.bind(sizes),
        machine.vary(facts),
    )


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> npt.NDArray[np.float64]:
    return np.array([float(row[name]) for row in rows])
