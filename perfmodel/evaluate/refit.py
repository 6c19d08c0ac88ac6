"""Leave-one-group-out refits: fit the constants of a data set without a device, then predict it.

A refit is the fit by which constants of the library's specs were obtained from a data set, in a
form that can be repeated without some of its rows. The forward model is `predict`, vectorised over
rows and constants (`PredictedRows`), or a function supplied by the data set. ``perfmodel validate
--left-out`` reports the errors on the groups that were left out.
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
from perfmodel.evaluate.result import errors
from perfmodel.evaluate.validation_case import (
    Cases,
    MeasuredQuantity,
    ServedLoad,
    ValidationCase,
    metric_of,
    subject_of,
)
from perfmodel.evidence import RATES, Subject


@dataclass(frozen=True, slots=True)
class Refit:
    """Fit of the constants of a target, repeatable without some of its rows.

    A reader of a data set provides them as ``refits(folder, devices) -> Sequence[Refit]``.

    Attributes
    ----------
    target
        Name of the target in the cases of the data set.
    measured
        Measured values in SI units, shape ``(rows,)``.
    groups
        Cross-validation group of each row: its device, chip or system.
    constants
        Free constants; their initial values are in the library's specs.
    forward
        Constants by name -> predictions of all rows.
    left_out
        Noun for a group: ``device``, ``chip``, ``generation``.
    scale
        Relative error above which the robust loss reduces the weight of a row.
    weights
        Weights of the rows in the fit, shape ``(rows,)``; 0 for rows that are only predicted.
    judged
        Mask of rows whose errors are reported, all if None: constants of kernels are fitted on
        kernels, and evaluated on networks composed of them.
    parts
        Label of each row for reporting errors at a finer level than the groups, such as the batch
        size.
    subjects
        Subject for which each row is evidence, ``None`` for rows without one.
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
        """Whether each device is in one group only, so that a left-out fit has none of its rows."""
        return all(way == "left_out" for way in self.ways.values())

    @property
    def ways(self) -> dict[str, str]:
        """Device -> way in which its rows are predicted (`perfmodel.evidence.WAYS`)."""
        groups: dict[str, set[str]] = {}
        for subject, group in zip(self.subjects or (), self.groups, strict=False):
            if subject is not None:
                groups.setdefault(subject.device, set()).add(group)
        return {
            device: "left_out" if len(names) == 1 else "rows_left_out"
            for device, names in groups.items()
        }


def trial(refit: Refit) -> dict[str, Any]:
    """Refit with each group left out.

    Returns
    -------
    dict
        ``left_out`` (noun for a group), ``rows``, `perfmodel.evaluate.result.Errors` of all rows,
        ``groups`` (name -> rows and errors), ``parts`` (likewise, if the refit has parts),
        ``constants`` (name -> smallest and largest fitted value), ``at_bound`` (constants at a
        bound in some fit), and ``predictions``: subject, way of prediction
        (`perfmodel.evidence.WAYS`), measured and predicted value of each row with a subject.
    """
    result = left_out(
        refit.forward,
        refit.measured,
        refit.constants,
        refit.groups,
        scale=refit.scale,
        weights=refit.weights,
    )
    return trial_report(refit, result)


def trial_report(refit: Refit, result: CrossValidatedFit) -> dict[str, Any]:
    """Return the report of `trial` for predictions of left-out groups."""
    predicted, fits = result.predicted, list(result.fits.values())
    seen = np.ones(len(predicted), dtype=np.bool_) if refit.judged is None else refit.judged

    def counted(at: npt.NDArray[np.bool_]) -> dict[str, Any]:
        return {"rows": int(at.sum()), **errors(predicted[at], refit.measured[at])}

    def each(labels: Sequence[str]) -> dict[str, Any]:
        masks = {name: (np.asarray(labels) == name) & seen for name in dict.fromkeys(labels)}
        return {name: counted(at) for name, at in masks.items() if at.any()}

    subjects = refit.subjects or [None] * len(predicted)
    ways = refit.ways
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
            {
                "subject": subject,
                "way": ways[subject.device],
                "measured": float(measured),
                "predicted": float(value),
            }
            for subject, measured, value, counts in zip(
                subjects, refit.measured, predicted, seen, strict=True
            )
            if subject is not None and counts
        ],
    }


#: Limit on the cached predictions of a refit, in numbers.
_MOST_CACHED_NUMBERS = 10_000_000

#: (case, constants by name, numbers or arrays) -> facts of its machine.
Apply = Callable[[ValidationCase, Mapping[str, Any]], Mapping[str, Any]]


def constants_as_facts(case: ValidationCase, constants: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the constants that are facts of the case's machine."""
    machine = case.machine
    assert isinstance(machine, Machine)
    return {path: value for path, value in constants.items() if path in machine}


def case_on_machine(
    case: ValidationCase, quantity: MeasuredQuantity
) -> tuple[ValidationCase, Machine]:
    """Return a case with its device under its runtime, and the machine of the quantity."""
    machine = quantity.machine or case.machine
    assert machine is not None
    if isinstance(machine, Device):
        machine = machine.machine(case.runtime)
        case = replace(case, machine=machine)
    return case, machine


def probe_values(constants: Sequence[Constant]) -> dict[str, float]:
    """Return a probe value for each constant, such that values and pairwise products differ.

    Facts that are set to these values reveal the constants on which they depend.
    """
    return {c.name: i + math.pi for i, c in enumerate(constants)}


def refit(
    cases: Cases,
    target: str | Sequence[str],
    constants: Sequence[Constant],
    *,
    left_out: str = "device",
    group: Callable[[ValidationCase], str] = lambda case: case.device,
    apply: Apply = constants_as_facts,
    where: Callable[[ValidationCase], bool] = lambda case: True,
    fitted: Callable[[ValidationCase], bool] = lambda case: True,
    judged: str = "",
    name: str = "",
    scale: float = 0.1,
) -> Refit:
    """Return the refit of constants to one or several targets of cases.

    Parameters
    ----------
    constants
        Free constants, named by paths of facts unless `apply` maps them.
    group
        Case -> its cross-validation group.
    apply
        Case and constants -> facts of the case's machine.
    where
        Predicate of the cases to include.
    fitted
        Predicate of the cases to fit; the others are only predicted and evaluated.
    judged
        Target whose errors are reported; all if empty.
    name
        Name of the target in reports.
    scale
        Relative error above which the robust loss reduces the weight of a row.
    """
    targets = (target,) if isinstance(target, str) else target
    rows = [row for one in targets for row in cases.with_quantities(one) if where(row[0])]
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


class _SimilarRow(NamedTuple):
    """A row of a group that only differs in numbers."""

    row_index: int
    case: ValidationCase
    workload: Workload | ServedLoad
    machine: Machine

    @property
    def numbers(self) -> tuple[Any, ...]:
        """Numbers in which it may differ from the other rows of the group."""
        return (*self.workload.parameters.items(), *sorted(self.machine.varied.items()))


class _SimilarRows(NamedTuple):
    """Rows that are predicted together, vectorised over their numbers.

    Attributes
    ----------
    rows
        Indices of the rows.
    answers
        Index of the prediction of each row: equal rows share one.
    width
        Number of distinct predictions.
    case
        Case of the first row.
    workload, machine
        Workload and machine of all predictions, with arrays for the numbers that differ.
    """

    rows: list[int]
    answers: list[int]
    width: int
    case: ValidationCase
    workload: Workload | ServedLoad
    machine: Machine


class PredictedRows:
    """Predictions of rows as a function of constants, vectorised over groups of similar rows.

    A group has rows of one network (its dimensions may differ) on one device (its facts may differ)
    under the same runtime and precision, or loads of one served model, parallelised alike.

    Parameters
    ----------
    rows
        Cases with a known machine, each with a measured quantity.
    constants
        Free constants.
    apply
        Case and constants -> facts of the case's machine.
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
    def _similar_rows(self) -> list[_SimilarRows]:
        """The rows in groups that are predicted by one call each."""
        # Rows of a group must also depend on the constants in the same way.
        place = probe_values(self._constants)
        groups: dict[tuple[Any, ...], list[_SimilarRow]] = {}
        for i, (case, quantity) in enumerate(self.rows):
            case, machine = case_on_machine(case, quantity)
            subject = quantity.load or quantity.workload
            network = (
                (subject.model, *subject.choices.items())
                if isinstance(subject, ServedLoad)
                else (id(subject.graph()), subject.unit)
            )
            key = (
                network,
                id(machine.device),
                id(machine.runtime),
                *case.conditions,
                quantity.metric,
                *sorted(machine.varied),
                *self.apply(case, place).items(),
            )
            groups.setdefault(key, []).append(_SimilarRow(i, case, subject, machine))
        return list(map(_vectorised, groups.values()))

    def __call__(self, constants: Mapping[str, float]) -> Any:
        """Return the predictions of all rows, shape ``(rows,)``."""
        return self.points({name: np.array([value]) for name, value in constants.items()})[0]

    def points(self, constants: Mapping[str, Any]) -> Any:
        """Return predictions for constants of shape ``(points,)``, shape ``(points, rows)``.

        They are cached, since refits without other groups or of other targets share points.
        """
        key = np.array(list(constants.values())).tobytes()
        answer = self._answers.get(key)
        if answer is None:
            answer = self._evaluate(constants)
            if answer.size * (len(self._answers) + 1) <= _MOST_CACHED_NUMBERS:
                self._answers[key] = answer
        return answer

    def _evaluate(self, constants: Mapping[str, Any]) -> Any:
        """Return predictions of all rows at some points, one call of `predict` for each group."""
        count = len(next(iter(constants.values()))) if constants else 1
        out = np.empty((count, len(self.rows)))
        # Groups of one machine on which the constants act alike share its variation.
        shared: dict[tuple[Any, ...], tuple[Machine, npt.NDArray[np.intp]]] = {}
        for places, answers, width, case, workload, machine in self._similar_rows:
            facts = self.apply(case, constants)
            acted = [(path, np.asarray(values).tobytes()) for path, values in facts.items()]
            key = (id(machine), width, *acted)
            if key not in shared:
                shared[key] = _varied(machine, facts, width, count)
            at_points, point = shared[key]
            distinct = int(point.max()) + 1
            sizes = _repeated(workload.parameters, distinct)
            answer = _predict_or_serve(workload.bind(sizes), at_points, case)
            values = metric_of(answer, self.rows[places[0]][1].metric)
            each = np.broadcast_to(values, (distinct * width,)).reshape(distinct, width)
            out[:, places] = each[point][:, answers]
        return out


def _varied(
    machine: Machine, facts: Mapping[str, Any], width: int, count: int
) -> tuple[Machine, npt.NDArray[np.intp]]:
    """Return a machine at the distinct points of some facts, and the index of each point.

    The predictions of a group, `width` of them, are contiguous at each point.
    """
    points, point = _distinct(facts, count)
    flat = {path: np.repeat(values, width) for path, values in points.items()}
    own = _repeated(machine.varied, int(point.max()) + 1)
    return machine.vary({**own, **flat}), point


def _repeated(numbers: Mapping[str, Any], times: int) -> dict[str, Any]:
    """Return the arrays among some numbers, repeated a number of times."""
    return {name: np.tile(v, times) for name, v in numbers.items() if np.ndim(v)}


def _distinct(facts: Mapping[str, Any], count: int) -> tuple[dict[str, Any], npt.NDArray[np.intp]]:
    """Return the distinct points of some facts, and the index of each point among them.

    A group depends on few of the constants of a fit, so it has fewer distinct points.
    """
    if not facts:
        return {}, np.zeros(count, dtype=np.intp)
    points, place = np.unique(np.stack(list(facts.values())), axis=1, return_inverse=True)
    return dict(zip(facts, points, strict=True)), place.reshape(-1)


def _predict_or_serve(
    workload: Workload | ServedLoad, machine: Machine, case: ValidationCase
) -> Prediction | Served:
    """Return the prediction of a workload, or of a served load."""
    if isinstance(workload, ServedLoad):
        return workload.serve(machine, case.precision, case.runtime)
    return case.predict(workload, machine)


def _vectorised(rows: Sequence[_SimilarRow]) -> _SimilarRows:
    """Return a group of rows with its distinct predictions; equal rows share one.

    Separate predictions of equal rows could differ in rounding, which would break ties in ranks.
    """
    quantities: dict[tuple[Any, ...], _SimilarRow] = {}
    for row in rows:
        quantities.setdefault(row.numbers, row)
    place = {numbers: i for i, numbers in enumerate(quantities)}
    _, case, workload, machine = rows[0]
    sizes, facts = (
        {name: column for name in first if np.ptp(column := _column(each, name)) > 0}
        for first, each in (
            (workload.parameters, [q.workload.parameters for q in quantities.values()]),
            (machine.varied, [q.machine.varied for q in quantities.values()]),
        )
    )
    return _SimilarRows(
        [row.row_index for row in rows],
        [place[row.numbers] for row in rows],
        len(quantities),
        case,
        workload.bind(sizes),
        machine.vary(facts),
    )


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> npt.NDArray[np.float64]:
    """Return a number of each row as an array."""
    return np.array([float(row[name]) for row in rows])
