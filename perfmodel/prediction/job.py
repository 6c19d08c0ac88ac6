"""One prediction to run: categories resolved, numbers in chunks of points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from perfmodel.arrays import Value, first_number, is_array, namespace
from perfmodel.cost.setting import Setting
from perfmodel.errors import InputError
from perfmodel.formats import Precision
from perfmodel.hardware.machine import Machine
from perfmodel.kinds.protocol import Terms
from perfmodel.prediction.engine_model import EngineModel
from perfmodel.prediction.planned import PlannedMoves
from perfmodel.prediction.prediction import Prediction
from perfmodel.prediction.stages import bind, compose, cost, sums
from perfmodel.workload.lower import Lowered, OperatorTable
from perfmodel.workload.symbols import evaluate
from perfmodel.workload.workload import Workload

#: Points evaluated at once: a column (12 rows x 8,192 x 8 B) stays in the caches, and all columns
#: of a chunk within the memory that `_keep_heap` has the allocator keep.
CHUNK = 8_192


@lru_cache(maxsize=1)
def _keep_heap() -> None:
    """Have the C library keep the memory of a chunk's arrays for the next chunk.

    The GNU allocator hands back to the system what is larger than the largest block that it has
    seen freed, up to 32 MB; the next chunk then faults in each page anew, which takes longer than
    its arithmetic. One block that is freed untouched raises the limit; elsewhere it does nothing.
    """
    np.empty(31 << 20, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class PredictionJob:
    """One prediction: all but its numbers is resolved, and its network is lowered.

    Attributes
    ----------
    workload, machine, precision, model
        As in `perfmodel.prediction.stages.ResolvedPrediction`.
    lowered
        Kernels of the network, their numbers open.
    relaxed, warm
        As for `perfmodel.predict`.
    plan
        What a plan moves; None without one.
    """

    workload: Workload
    machine: Machine
    precision: Precision
    model: EngineModel
    lowered: Lowered
    relaxed: bool = False
    warm: bool = False
    plan: PlannedMoves | None = None

    @property
    def as_specified(self) -> bool:
        """Whether the device's own kind costs it, and activations move as it moves them."""
        own = self.machine.device.engine(self.model.engine).kind
        return self.plan is None and self.model.kind.name == own

    def run(self) -> Prediction:
        """Evaluate at every point, in chunks, and reduce each chunk to sums over the network."""
        inputs = _Inputs(self)
        totals: dict[str, Value] = {} if self.plan is None else self.plan.totals
        count = prod(inputs.shape)
        if count > 1:
            _keep_heap()
        if inputs.foreign or count <= CHUNK:
            values, facts, precision = inputs.chunk(0, count)
            table, terms, setting = self.rows(values, facts, precision, count)
            totals = sums(table, terms, setting, values) | totals
            return Prediction(self, totals, inputs.shape, setting, (table, terms))
        for start in range(0, count, CHUNK):
            stop = min(start + CHUNK, count)
            values, facts, precision = inputs.chunk(start, stop)
            table, terms, setting = self.rows(values, facts, precision, stop - start)
            for name, part in sums(table, terms, setting, values).items():
                if np.size(part) == 1:
                    totals.setdefault(name, np.asarray(part, dtype=float).reshape(1))
                    if totals[name].size == 1:
                        continue
                column = totals.get(name)
                if column is None or column.size != count:
                    column = totals[name] = np.empty(count)
                column[start:stop] = part
        # Flat, as the totals are: a fact may vary along some axes only.
        setting = self.setting(*inputs.chunk(0, count))
        return Prediction(self, totals, inputs.shape, setting, None)

    def rows(
        self,
        values: Mapping[str, Value],
        facts: Mapping[str, Value],
        precision: Precision,
        points: int,
    ) -> tuple[OperatorTable, Terms, Setting]:
        """Return table, terms and setting for flat arrays of `points` points."""
        setting = self.setting(values, facts, precision)
        table = bind(
            self.lowered,
            self.model,
            values,
            points,
            accesses=self.plan is not None,
            relaxed=self.relaxed,
        )
        terms = compose(table, cost(self.model.kind, table, setting), setting, self.plan)
        return table, terms, setting

    def setting(
        self, values: Mapping[str, Value], facts: Mapping[str, Value], precision: Precision
    ) -> Setting:
        """Return what cost functions read beside the table, for some numbers."""
        calls = self.lowered.graph.calls
        return self.model.setting.at(
            facts,
            precision,
            _space(values, facts, precision),
            warm=self.warm,
            relaxed=self.relaxed,
            sequences=values.get("batch", 1.0),
            steps=values.get("generate"),
            calls=evaluate(calls, values) if calls != 0 else 0.0,
        )

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
    """The array-valued inputs of a job, flattened to one axis of points."""

    def __init__(self, job: PredictionJob) -> None:
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
            index: Any = np.unravel_index(np.arange(start, stop), self.shape)
            lead = len(self.shape) - value.ndim
            sizes: tuple[int, ...] = value.shape
            flat = value[tuple(index[lead + i] if n > 1 else 0 for i, n in enumerate(sizes))]
        # Whole numbers as floats: products of token counts overflow no integer.
        return np.asarray(flat, dtype=float)


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
