"""Constants of a runtime refitted through `predict` itself, with devices left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.ask import Device, Machine, Prediction, Served, Workload
from perfmodel.calibrate import Constant
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.metric_of import metric_of
from perfmodel.evaluate.refit import Refit
from perfmodel.evaluate.served_load import ServedLoad
from perfmodel.evaluate.subjects import subject_of
from perfmodel.evidence import RATES

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
    cases: Cases, target: str | Sequence[str], constants: Sequence[Constant], *,
    left_out: str = "device", group: Callable[[ValidationCase], str] = lambda case: case.device,
    apply: Apply = known_facts, where: Callable[[ValidationCase], bool] = lambda case: True,
    fitted: Callable[[ValidationCase], bool] = lambda case: True, judged: str = "",
    name: str = "", scale: float = 0.1,
) -> Refit:  # fmt: skip
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
        name or targets[0], np.array([q.measured for _, q in rows]), [group(c) for c, _ in rows],
        constants, PredictedRows(rows, constants, apply), left_out, scale,
        None if weights.all() else weights,
        np.array([q.target == judged for _, q in rows]) if judged else None,
        subjects=[None if q.metric in RATES else subject_of(c, q) for c, q in rows],
    )  # fmt: skip


class _AlikeRows(NamedTuple):
    """Rows that one prediction answers: alike but for numbers.

    Attributes
    ----------
    rows
        Their places.
    answers
        Which of the questions answers each row: equal rows ask one.
    questions
        Numbers that differ -> place of the question.
    cases, workloads, machines
        What each question asks.
    """

    rows: list[int]
    answers: list[int]
    questions: dict[tuple[Any, ...], int]
    cases: list[ValidationCase]
    workloads: list[Workload | ServedLoad]
    machines: list[Machine]

    def add(
        self, row: int, case: ValidationCase, workload: Workload | ServedLoad, machine: Machine
    ) -> None:
        """Add a row, and its question where no row before it has asked the same.

        Were equal rows predicted apart, the last bits of their predictions could differ, and their
        ranks would be those of noise.
        """
        numbers = (*workload.parameters.items(), *sorted(machine.varied.items()))
        place = self.questions.setdefault(numbers, len(self.questions))
        self.rows.append(row)
        self.answers.append(place)
        if place == len(self.cases):
            self.cases.append(case)
            self.workloads.append(workload)
            self.machines.append(machine)


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
        self, rows: Sequence[tuple[ValidationCase, MeasuredQuantity]],
        constants: Sequence[Constant], apply: Apply,
    ) -> None:  # fmt: skip
        self.rows, self._constants, self.apply = rows, constants, apply
        self._answers: dict[bytes, Any] = {}

    @cached_property
    def _alike(self) -> list[tuple[_AlikeRows, Workload | ServedLoad, Machine]]:
        # Rows are alike that constants set alike.
        place = separate_places(self._constants)
        alike: dict[tuple[Any, ...], _AlikeRows] = {}
        for i, (case, question) in enumerate(self.rows):
            case, machine = on_machine(case, question)
            subject = question.load or question.workload
            network = (
                (subject.model, *subject.choices.items()) if isinstance(subject, ServedLoad)
                else (id(subject.graph()), subject.unit)
            )  # fmt: skip
            key = (
                network, id(machine.device),
                id(machine.runtime), str(case.precision), str(case.runtime), case.engine,
                case.warm, question.metric, tuple(sorted(machine.varied)),
                tuple(self.apply(case, place).items()),
            )  # fmt: skip
            same = alike.setdefault(key, _AlikeRows([], [], {}, [], [], []))
            same.add(i, case, subject, machine)
        return [(same, *_stacked(same)) for same in alike.values()]

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
        for same, workload, machine in self._alike:
            case, width = same.cases[0], len(same.cases)
            facts, point = _distinct(self.apply(case, constants), count)
            distinct = int(point.max()) + 1
            # Questions of a group lie side by side at each point.
            flat = {path: np.repeat(values, width) for path, values in facts.items()}
            sizes, own = (
                {name: np.tile(v, distinct) for name, v in values.items() if np.ndim(v)}
                for values in (workload.parameters, machine.varied)
            )
            answer = _answered(workload.bind(sizes), machine.vary({**own, **flat}), case)
            values = metric_of(answer, self.rows[same.rows[0]][1].metric)
            answers = np.broadcast_to(values, (distinct * width,)).reshape(distinct, width)
            out[:, same.rows] = answers[point][:, same.answers]
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


def _stacked(same: _AlikeRows) -> tuple[Workload | ServedLoad, Machine]:
    """Return the workload and the machine of alike rows: what differs is an array over them."""
    workload, machine = same.workloads[0], same.machines[0]
    sizes = {
        name: np.array([float(w.parameters[name]) for w in same.workloads])
        for name in workload.parameters
    }
    facts = {
        path: np.array([float(m.varied[path]) for m in same.machines]) for path in machine.varied
    }
    return (
        workload.bind({k: v for k, v in sizes.items() if np.ptp(v) > 0}),
        machine.vary({k: v for k, v in facts.items() if np.ptp(v) > 0}),
    )
