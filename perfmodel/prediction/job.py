"""Execution of a resolved prediction over all points, in chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any, Protocol

import numpy as np

from perfmodel.arrays import Value, first_number, is_array, namespace
from perfmodel.cost.setting import Setting
from perfmodel.errors import InputError
from perfmodel.formats import Precision
from perfmodel.kinds.protocol import Terms
from perfmodel.prediction.prediction import Prediction
from perfmodel.prediction.replay import (
    MANY_POINTS,
    ArrayPrograms,
    Names,
    RowSums,
    checked_sums,
    programs_of_arrays,
    replayed,
    replayed_vectors,
)
from perfmodel.prediction.stages import ResolvedPrediction, bind, compose, cost, sums
from perfmodel.tracing import Program
from perfmodel.workload.lower import Lowered
from perfmodel.workload.operator_table import OperatorTable
from perfmodel.workload.symbols import evaluate


class RunChanges(Protocol):
    """Changes of a plan to the rows of a network."""

    @property
    def totals(self) -> dict[str, Value]:
        """Totals that the plan adds."""
        ...

    def apply(self, table: OperatorTable, terms: Terms, setting: Setting) -> Terms:
        """Return the terms of the rows under the plan."""
        ...


#: Points evaluated at once: a column (12 rows x 8,192 x 8 B) fits the CPU caches, and all columns
#: of a chunk fit the memory that `_keep_heap` makes the allocator retain.
CHUNK = 8_192


@lru_cache(maxsize=1)
def _keep_heap() -> None:
    """Make the C library retain the memory of a chunk's arrays for the next chunk.

    The GNU allocator returns blocks to the system that are larger than any block freed before, up
    to 32 MB; the next chunk would then fault in every page again, which takes longer than its
    arithmetic. Freeing one untouched block raises this threshold; with other allocators it has no
    effect.
    """
    np.empty(31 << 20, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class PredictionJob(ResolvedPrediction):
    """Resolved prediction with a lowered network; only its numbers remain to be evaluated.

    Attributes
    ----------
    lowered
        Kernels of the network with symbolic sizes.
    relaxed, warm
        The same as for `perfmodel.predict`.
    plan
        Traffic of a plan; ``None`` without one.
    """

    lowered: Lowered
    relaxed: bool = False
    warm: bool = False
    plan: RunChanges | None = None

    @classmethod
    def of(
        cls,
        subject: ResolvedPrediction,
        lowered: Lowered,
        *,
        relaxed: bool = False,
        warm: bool = False,
        plan: RunChanges | None = None,
    ) -> PredictionJob:
        """Return the job of a resolved prediction with the kernels of its network."""
        resolved = subject.workload, subject.machine, subject.precision, subject.model
        return cls(*resolved, lowered, relaxed, warm, plan)

    @property
    def as_specified(self) -> bool:
        """Whether the device's own kind is the cost model and determines activation traffic."""
        own = self.machine.device.engine(self.model.engine).kind
        return self.plan is None and self.model.kind.name == own

    def run(self, points: int = 0) -> Prediction:
        """Evaluate all points in chunks, and reduce each chunk to network totals.

        Parameters
        ----------
        points
            Points of a sweep that this job is a part of.
        """
        answer = replayed(self)
        if answer is not None:
            totals, categories = answer
            prediction = Prediction(self, totals, (), None, None)
            prediction.categories = categories
            return prediction
        inputs = _Inputs(self)
        count = prod(inputs.shape)
        if count > 1:
            _keep_heap()
        many = max(points, count) >= MANY_POINTS
        programs = inputs.programs() if many else None
        program = None if programs is None else programs.program(self, inputs.names, checked_sums)
        if inputs.foreign or (count <= CHUNK and program is None):
            return self._evaluated(inputs)
        totals = self._in_chunks(inputs, sums, program)
        totals |= {} if self.plan is None else self.plan.totals
        prediction = Prediction(self, totals, inputs.shape, None, None)
        if programs is not None and programs.categories is not None:
            prediction.categories = programs.categories
        return prediction

    def opened(self) -> Prediction:
        """Return the prediction of all points with their rows, evaluated at once."""
        return self._evaluated(_Inputs(self))

    def all_rows(self) -> tuple[OperatorTable, Terms] | None:
        """Return the rows of all points, evaluated at once; ``None`` if they exceed a chunk."""
        inputs = _Inputs(self)
        return self._evaluated(inputs).evaluated if prod(inputs.shape) <= CHUNK else None

    def summed(self, function: RowSums) -> dict[str, Value]:
        """Return sums over the rows at all points, evaluated in chunks."""
        return self._in_chunks(_Inputs(self), function, None)

    def replayed_sums(self, function: RowSums) -> Mapping[str, Value] | None:
        """Return sums over the rows at all points by a program; ``None`` if there is none."""
        inputs = _Inputs(self)
        programs = inputs.programs()
        program = None if programs is None else programs.program(self, inputs.names, function)
        if program is None:
            return None
        with np.errstate(all="ignore"):
            return program.on_vectors(*inputs.columns(0, prod(inputs.shape)))

    def _evaluated(self, inputs: _Inputs) -> Prediction:
        """Return the prediction of flattened inputs with its rows, evaluated at once."""
        values, facts, precision = inputs.chunk(0, prod(inputs.shape))
        table, terms, setting = self.rows(values, facts, precision, prod(inputs.shape))
        totals = sums(table, terms, setting, values)
        if self.plan is not None:
            totals |= self.plan.totals
        return Prediction(self, totals, inputs.shape, setting, (table, terms))

    def _in_chunks(
        self, inputs: _Inputs, function: RowSums, program: Program | None
    ) -> dict[str, Value]:
        """Return sums over the rows, each of one number or of one for each point."""
        count, totals = prod(inputs.shape), dict[str, Value]()
        for start in range(0, count, CHUNK):
            stop = min(start + CHUNK, count)
            for name, part in self._sums(inputs, start, stop, function, program).items():
                if np.size(part) == 1:
                    totals.setdefault(name, np.asarray(part, dtype=float).reshape(1))
                    if totals[name].size == 1:
                        continue
                column = totals.get(name)
                if column is None or column.size != count:
                    # So far the same number at all points, if there is any.
                    column = totals[name] = np.full(count, np.nan if column is None else column)
                column[start:stop] = part
        return totals

    def _sums(
        self,
        inputs: _Inputs,
        start: int,
        stop: int,
        function: RowSums,
        program: Program | None,
    ) -> Mapping[str, Value]:
        """Return sums over the rows of a range of points, by a program if there is one."""
        if program is not None:
            replay = replayed_vectors(program, inputs.columns(start, stop))
            if replay is not None:
                return replay
        values, facts, precision = inputs.chunk(start, stop)
        table, terms, setting = self.rows(values, facts, precision, stop - start)
        return function(table, terms, setting, values)

    @property
    def settings(self) -> Setting:
        """Setting of the cost functions for all points.

        Flattened like the totals, since a fact may vary along some axes only.
        """
        inputs = _Inputs(self)
        return self.setting(*inputs.chunk(0, prod(inputs.shape)))

    def rows(
        self,
        values: Mapping[str, Value],
        facts: Mapping[str, Value],
        precision: Precision,
        points: int,
    ) -> tuple[OperatorTable, Terms, Setting]:
        """Return table, terms and setting for flat arrays of `points` points."""
        setting = self.setting(values, facts, precision)
        accesses = self.plan is not None
        table = bind(
            self.lowered, self.model, values, points, accesses=accesses, relaxed=self.relaxed
        )
        terms = cost(self.model.kind, table, setting)
        return table, compose(table, terms, setting, self.plan), setting

    def setting(
        self, values: Mapping[str, Value], facts: Mapping[str, Value], precision: Precision
    ) -> Setting:
        """Return the setting of the cost functions for some numbers."""
        calls = self.lowered.graph.calls
        return self.model.setting.at(
            facts,
            precision,
            _space(values, facts, precision),
            warm=self.warm,
            relaxed=self.relaxed,
            sequences=values.get("batch", 1.0),
            steps=values.get("generate"),
            prompts=float("prompt" in values),
            calls=evaluate(calls, values) if calls != 0 else 0.0,
        )

    def bind(self, sizes: Mapping[str, Value]) -> PredictionJob:
        """Return the job for other sizes of the network's free dimensions.

        Raises
        ------
        InputError
            All unknown names and invalid extents, at once.
        """
        workload = self.workload.bind(sizes)
        workload.graph(self.model.semantics)  # refuses sizes that leave a tensor without elements
        resolved = workload, self.machine, self.precision, self.model
        return PredictionJob(*resolved, self.lowered, self.relaxed, self.warm, self.plan)

    def at(self, point: int) -> PredictionJob:
        """Return the job of one point (its index in the flattened shape)."""
        inputs = _Inputs(self)
        if not inputs.shape:
            return self
        values, facts, precision = inputs.chunk(point, point + 1)
        single = {name: _first(v) for name, v in values.items()}
        changes = {p: _first(facts[p]) for p in self.machine.varied}
        machine = self.machine.vary(changes) if changes else self.machine
        one = precision.with_bits(
            **{
                role: _first(getattr(precision, role).element_bits)
                for role in _ROLES
                if is_array(getattr(precision, role).element_bits)
            }
        )
        return replace(self, workload=self.workload.bind(single), machine=machine, precision=one)


_ROLES = ("weights", "activations", "kv")


def _first(value: Value) -> Value:
    return first_number(value) if is_array(value) else value


class _Inputs:
    """Array-valued inputs of a job, flattened to one axis of points."""

    def __init__(self, job: PredictionJob) -> None:
        self.job = job
        self.values = job.workload.parameters
        self.facts = job.machine.facts
        self.precision = job.precision
        varied = {p: v for p, v in self.facts.items() if type(v) is not float and is_array(v)}
        bits = {
            role: value
            for role in _ROLES
            if is_array(value := getattr(job.precision, role).element_bits)
        }
        named = {n: v for n, v in self.values.items() if is_array(v)}
        shapes = {
            **{n: np.shape(v) for n, v in named.items()},
            **{n: np.shape(v) for n, v in varied.items()},
            **{f"{n} bits": np.shape(v) for n, v in bits.items()},
        }
        try:
            self.shape = np.broadcast_shapes(*shapes.values())
        except ValueError:
            text = ", ".join(f"{n} {s}" for n, s in shapes.items())
            raise InputError(f"shapes do not broadcast: {text}") from None
        everything = (*named.values(), *varied.values(), *bits.values())
        self.foreign = bool(everything) and namespace(*everything) is not np
        self._arrays = {"value": named, "fact": varied, "bits": bits}

    @property
    def names(self) -> Names:
        """Names of the array-valued inputs: free dimensions, facts, roles whose bits vary."""
        values, facts, bits = map(tuple, self._arrays.values())
        return values, facts, bits

    def programs(self) -> ArrayPrograms | None:
        """Return the programs for such arrays, if they are of NumPy and the job is replayable."""
        vary = bool(self.shape) and not self.foreign
        return programs_of_arrays(self.job, self.names) if vary else None

    def columns(self, start: int, stop: int) -> list[Value]:
        """Return the array-valued inputs for a range of points, in the order of `names`."""
        groups = self._arrays.values()
        return [self._cut(array, start, stop) for arrays in groups for array in arrays.values()]

    def chunk(
        self, start: int, stop: int
    ) -> tuple[dict[str, Value], Mapping[str, Value], Precision]:
        """Return parameters, facts and precision for a range of points."""
        if not self.shape:
            return self.values, self.facts, self.precision
        cut = {
            group: {n: self._cut(v, start, stop) for n, v in arrays.items()}
            for group, arrays in self._arrays.items()
        }
        values = {**self.values, **cut["value"]}
        facts = {**self.facts, **cut["fact"]} if cut["fact"] else self.facts
        precision = self.precision.with_bits(**cut["bits"]) if cut["bits"] else self.precision
        return values, facts, precision

    def _cut(self, value: Value, start: int, stop: int) -> Value:
        if self.foreign:
            xp = namespace(value)
            return xp.broadcast_to(xp.asarray(value), self.shape).reshape(-1)
        if value.ndim == 0:
            return value[()]
        if value.shape == self.shape:
            flat = value.reshape(-1)[start:stop]
        else:
            flat = _broadcast_range(value, self.shape, start, stop)
        # Integers as floats, so that products of token counts cannot overflow.
        return np.asarray(flat, dtype=float)


def _broadcast_range(value: Value, shape: tuple[int, ...], start: int, stop: int) -> Value:
    """Return a range of the flat elements of an array that is broadcast to a shape.

    The trailing axes that a range covers more than once are copied at once.
    """
    size, axis = 1, len(shape)
    while axis and size * shape[axis - 1] <= stop - start:
        axis -= 1
        size *= shape[axis]
    first, last = start // size, -(-stop // size)
    lead: Any = np.unravel_index(np.arange(first, last), shape[:axis]) if axis else ()
    block = np.broadcast_to(value, shape)[lead].reshape(-1)
    return block[start - first * size : stop - first * size]


def _space(values: Mapping[str, Value], facts: Mapping[str, Value], precision: Precision) -> Any:
    foreign = [
        v
        for v in (
            *values.values(),
            *facts.values(),
            *(getattr(precision, r).element_bits for r in _ROLES),
        )
        if type(v) is not float and is_array(v) and not isinstance(v, np.ndarray | np.generic)
    ]
    return namespace(*foreign) if foreign else np
