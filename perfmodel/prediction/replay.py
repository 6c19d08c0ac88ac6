"""Replay of predictions: network totals as a straight-line program of the numbers that vary.

Questions about one network on one machine repeat the same arithmetic, most of it on numbers that no
question changes. Where a kind of hardware branches on no number (`Kind.traceable`), that arithmetic
is traced once (`perfmodel.tracing`) for the numbers that were seen to vary, and further questions
replay the program: a single question on Python floats, a sweep on vectors over points. Searches of
tiles and mappings are called by the program, for the layers that vary. A replay
with an unsound total (negative, not finite, a quotient by zero) is discarded; the prediction is
then evaluated in full, which reports the fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.cost.setting import Setting
from perfmodel.formats import Format, Precision
from perfmodel.kinds.protocol import Terms
from perfmodel.prediction.stages import sums
from perfmodel.tracing import NotTraceable, Program, trace
from perfmodel.workload.operator_table import OperatorTable

if TYPE_CHECKING:
    from perfmodel.prediction.job import PredictionJob

#: Questions about one structure after which its program is traced: tracing takes as long as about
#: as many evaluations in full, so that at worst a question costs twice as much as it must.
PATIENCE: Final = 16
#: Points of one sweep from which on its program is traced.
MANY_POINTS: Final = 131_072
#: Kernels beyond which a program would be too long.
_MAX_ROWS: Final = 400
#: Structures whose questions one network counts.
_MAX_HISTORIES: Final = 16
#: Output of a program: seconds of the fastest row, which must not be negative.
_LEAST_ROW: Final = "least row"

#: Function of table, terms, setting and free dimensions that returns named sums over the rows.
RowSums: TypeAlias = Callable[
    [OperatorTable, Terms, Setting, Mapping[str, Value]], Mapping[str, Value]
]


class Replay(NamedTuple):
    """Program of the numbers that vary, with those that it takes as constants.

    Attributes
    ----------
    function
        Function of the numbers of `varying`, in their order.
    varying
        Names of free dimensions.
    fixed
        Names and numbers of the other free dimensions.
    categories
        Terms of one question, for what they state in names.
    """

    function: Callable[..., dict[str, float]]
    varying: tuple[str, ...]
    fixed: tuple[tuple[str, float], ...]
    categories: Terms

    def answers(self, values: Mapping[str, Value]) -> bool:
        """Return whether the constants of the program are those of a question."""
        return all(values.get(name) == value for name, value in self.fixed)


@dataclass(slots=True)
class QuestionHistory:
    """Single questions about one network under one model, and the program that answers them.

    Threads may share a history: each reads `replay` once, which is replaced and never changed.

    Attributes
    ----------
    last
        Free dimensions of the previous question that was evaluated in full.
    owners
        Objects whose identities are the key of this history, which it keeps alive.
    traceable
        False where totals cannot be replayed, or a trace has failed.
    varying
        Free dimensions that differed between questions.
    count
        Questions since `varying` last changed.
    replay
        Program of `varying`; ``None`` before it is traced.
    """

    last: Mapping[str, Value]
    owners: tuple[Any, ...]
    traceable: bool
    varying: tuple[str, ...] = ()
    count: int = 0
    replay: Replay | None = None

    def answer(self, job: PredictionJob) -> tuple[dict[str, Value], Terms] | None:
        """Return totals of a job by a program, and its categories; ``None`` before there is one.

        Raises
        ------
        ArithmeticError, TypeError, ValueError
            A quotient by zero, or another operation without a real number.
        """
        values, replay = job.workload.parameters, self.replay
        if replay is None or not replay.answers(values):
            replay = self._traced(job, values)
        if replay is None:
            return None
        totals = _sound(replay.function(*[float(values[name]) for name in replay.varying]))
        return None if totals is None else (totals, replay.categories)

    def _traced(self, job: PredictionJob, values: Mapping[str, Value]) -> Replay | None:
        """Count a question; return its program if there were enough to trace one."""
        changed = {n for n, v in values.items() if self.last.get(n) != v} - {*self.varying}
        self.last = values
        if changed:
            self.varying = tuple(sorted({*self.varying, *changed}))
            self.count = 0
        self.count += 1
        varying = self.varying
        if not varying or self.count < PATIENCE:
            return None
        program = program_of(job, varying)
        if program is None:
            self.traceable = False
            return None
        fixed = tuple((n, v) for n, v in values.items() if n not in varying)
        self.replay = Replay(program.on_floats, varying, fixed, job.opened().categories)
        return self.replay


def replayed(job: PredictionJob) -> tuple[dict[str, Value], Terms] | None:
    """Return totals of a job of one point by a program, and its categories; ``None`` if none is.

    Counts the question, and traces a program after several questions that differ.
    """
    if job.machine.varied:
        return None
    for value in job.workload.parameters.values():
        if type(value) is not float and type(value) is not int:
            return None
    histories = job.lowered.questions
    owners = job.model, job.machine.facts, job.precision
    key = (*map(id, owners), job.warm, job.relaxed, job.plan is None)
    history = histories.get(key)
    if history is None:
        if len(histories) >= _MAX_HISTORIES:
            histories.clear()
        scalar = not any(is_array(each.element_bits) for each in _formats(job.precision))
        history = QuestionHistory(job.workload.parameters, owners, scalar and replayable(job))
        histories[key] = history
    if not history.traceable:
        return None
    try:
        return history.answer(job)
    except (ArithmeticError, TypeError, ValueError):
        return None


#: Names of what arrays vary: free dimensions, paths of facts, roles whose bits do.
Names: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


@dataclass(slots=True)
class ArrayPrograms:
    """Programs of sums over the rows, for arrays of one structure.

    Attributes
    ----------
    owners
        Objects whose identities are the key of these programs, which they keep alive.
    fixed
        Free dimensions, facts and precision that no array varies.
    programs
        Program of each function that was traced; ``None`` if it is not traceable.
    categories
        Terms of one point, for what they state in names; set with the first program.
    """

    owners: tuple[Any, ...]
    fixed: tuple[Any, ...]
    programs: dict[RowSums, Program | None] = field(default_factory=dict[RowSums, Program | None])
    categories: Terms | None = None

    def program(self, job: PredictionJob, names: Names, function: RowSums) -> Program | None:
        """Return the program of a function; ``None`` if it is not traceable."""
        if function not in self.programs:
            traced = program_of(job, *names, function=function)
            if traced is not None and self.categories is None:
                self.categories = job.at(0).opened().categories
            self.programs[function] = traced
        return self.programs[function]


def programs_of_arrays(job: PredictionJob, names: Names) -> ArrayPrograms | None:
    """Return the programs for the arrays of a job; ``None`` if it is not replayable."""
    if not replayable(job):
        return None
    values, facts, bits = names
    fixed = (
        {name: value for name, value in job.workload.parameters.items() if name not in values},
        {path: value for path, value in job.machine.facts.items() if path not in facts},
        job.precision.with_bits(**dict.fromkeys(bits, 0.0)),
    )
    histories = job.lowered.questions
    key = (id(job.model), names, job.warm)
    programs = histories.get(key)
    if programs is None or programs.fixed != fixed:
        if len(histories) >= _MAX_HISTORIES:
            histories.clear()
        programs = histories[key] = ArrayPrograms((job.model,), fixed)
    return programs


def replayable(job: PredictionJob) -> bool:
    """Return whether the totals of a job may be replayed; not with a plan or relaxed staircases."""
    return (
        job.model.kind.traceable
        and job.plan is None
        and not job.relaxed
        and len(job.lowered.rows) <= _MAX_ROWS
    )


def _formats(precision: Precision) -> tuple[Format, ...]:
    return precision.weights, precision.activations, precision.kv


def checked_sums(
    table: OperatorTable, terms: Terms, setting: Setting, values: Mapping[str, Value]
) -> Mapping[str, Value]:
    """Return the network totals, and the seconds of the fastest row."""
    return {**sums(table, terms, setting, values), _LEAST_ROW: setting.xp.min(terms.row_s)}


def program_of(
    job: PredictionJob,
    values: Sequence[str],
    facts: Sequence[str] = (),
    bits: Sequence[str] = (),
    function: RowSums = checked_sums,
) -> Program | None:
    """Return the program of a job's totals; ``None`` if they are not traceable.

    Parameters
    ----------
    values, facts, bits
        What varies: names of free dimensions, paths of facts, roles whose bits do. They are the
        parameters of the program, in this order.
    function
        Sums over the rows, by name.
    """

    def totals(numbers: dict[str, Any]) -> Mapping[str, Any]:
        parameters = {**job.workload.parameters, **{name: numbers[name] for name in values}}
        varied = {**job.machine.facts, **{path: numbers[path] for path in facts}}
        precision = job.precision.with_bits(**{role: numbers[role] for role in bits})
        table, terms, setting = job.rows(parameters, varied, precision, 1)
        return function(table, terms, setting, parameters)

    try:
        return trace(totals, (*values, *facts, *bits))
    except NotTraceable:
        return None


def replayed_vectors(program: Program, columns: Sequence[Value]) -> dict[str, Value] | None:
    """Return the totals of many points by a program; ``None`` if any is not sound."""
    with np.errstate(all="ignore"):
        return _sound(program.on_vectors(*columns))


def _sound(totals: dict[str, Value]) -> dict[str, Value] | None:
    """Return totals without the least row if all are finite and not negative, else ``None``."""
    latency = totals["latency_s"]
    if type(latency) is float:
        sound = latency < np.inf
        for name, value in totals.items():
            sound = sound and value >= 0.0
            # A number of NumPy, as from a prediction in full: a quotient by 0 is infinite.
            totals[name] = np.float64(value)
    else:
        sound = np.max(latency) < np.inf and all(np.min(v) >= 0.0 for v in totals.values())
    del totals[_LEAST_ROW]
    return totals if sound else None
