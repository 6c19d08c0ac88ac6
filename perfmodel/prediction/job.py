"""One prediction to run: categories resolved, numbers in chunks of points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from perfmodel.arrays import Value, first_number, is_array, least, namespace
from perfmodel.cost.setting import ReadBandwidth, Setting
from perfmodel.cost.totals import network_totals, total
from perfmodel.errors import InputError
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.kinds.protocol import Kind, Terms
from perfmodel.kinds.scaled import cost
from perfmodel.prediction.placed import MemoryShares, placed
from perfmodel.prediction.planned import Crossings, planned
from perfmodel.prediction.prediction import Prediction
from perfmodel.prediction.settled import settle, work_of
from perfmodel.workload.executed import ExecutionPolicy
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.fuse import FusionRules
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
class Static:
    """What does not change with numbers: categories of a device under a runtime."""

    engine: str
    kind: Kind
    levels: tuple[str, ...]
    weights_memory: str
    overlap: str
    fusion: FusionRules
    semantics: ExecutionSemantics
    causal_skips_masked: bool
    keep: tuple[Device, Runtime]
    read_bandwidths: Mapping[str, ReadBandwidth]
    choices: Mapping[str, Any]
    execution: ExecutionPolicy | None = None


@dataclass(frozen=True, slots=True)
class PredictionJob:
    """One prediction: everything but the numbers is resolved."""

    workload: Workload
    machine: Machine
    precision: Precision
    static: Static
    lowered: Lowered
    bare: bool
    relaxed: bool
    warm: bool
    crossings: Crossings | None = None
    shares: MemoryShares | None = None

    @property
    def as_specified(self) -> bool:
        """Whether the device's own kind costs it, and activations move as it moves them."""
        own = self.machine.device.engine(self.static.engine).kind
        return self.crossings is None and self.static.kind.name == own

    def run(self) -> Prediction:
        """Evaluate at every point, in chunks, and reduce each chunk to sums over the network."""
        inputs = _Inputs(self)
        placed_totals: dict[str, Value] = {} if self.shares is None else {**self.shares.totals}
        if self.crossings is not None:
            placed_totals |= self.crossings.totals
        if not inputs.shape:
            values = inputs.values
            table, terms, setting = self.rows(values, inputs.facts, self.precision, 1)
            totals = _sums(table, terms, setting, values) | placed_totals
            return Prediction(self, totals, (), setting, (table, terms))
        count = int(np.prod(inputs.shape))
        _keep_heap()
        if inputs.foreign or count <= CHUNK:
            values, facts, precision = inputs.chunk(0, count)
            table, terms, setting = self.rows(values, facts, precision, count)
            totals = _sums(table, terms, setting, values) | placed_totals
            return Prediction(self, totals, inputs.shape, setting, (table, terms))
        out: dict[str, Value] = placed_totals
        setting: Setting | None = None
        for start in range(0, count, CHUNK):
            stop = min(start + CHUNK, count)
            values, facts, precision = inputs.chunk(start, stop)
            table, terms, setting = self.rows(values, facts, precision, stop - start)
            for name, part in _sums(table, terms, setting, values).items():
                if np.size(part) == 1:
                    out.setdefault(name, np.asarray(part, dtype=float).reshape(1))
                    if out[name].size == 1:
                        continue
                whole = out.get(name)
                if whole is None or whole.size != count:
                    whole = out[name] = np.empty(count)
                whole[start:stop] = part
        assert setting is not None
        # Flat, as the totals are: a fact may vary along some axes only.
        whole_setting = self.setting(*inputs.chunk(0, count))
        return Prediction(self, out, inputs.shape, whole_setting, None)

    def rows(
        self, values: Mapping[str, Value], facts: Mapping[str, Value], precision: Precision,
        points: int,
    ) -> tuple[OperatorTable, Terms, Setting]:  # fmt: skip
        """Return table, terms and setting for flat arrays of `points` points."""
        static = self.static
        setting = self.setting(values, facts, precision)
        table = self.lowered.bind(
            values, points, accesses=not self.bare or self.crossings is not None,
            relaxed=self.relaxed, nests=static.kind.needs_nests,
        )  # fmt: skip
        terms = cost(static.kind, table, setting)
        if self.crossings is not None:
            terms = planned(table, terms, setting, self.crossings)
        if self.shares is not None:
            terms = placed(table, terms, setting, self.shares)
        return table, terms, setting

    def setting(
        self, values: Mapping[str, Value], facts: Mapping[str, Value], precision: Precision
    ) -> Setting:
        """Return what cost functions read beside the table, for some numbers."""
        static, calls = self.static, self.lowered.graph.calls
        return Setting(
            facts, static.engine, static.levels, static.weights_memory, precision, static.overlap,
            self.bare, static.causal_skips_masked, self.warm, self.relaxed,
            _space(values, facts, precision), static.read_bandwidths, static.choices,
            sequences=values.get("batch", 1.0), steps=values.get("generate"),
            calls=evaluate(calls, values) if calls != 0 else 0.0,
        )  # fmt: skip

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
            **{role: _first(getattr(precision, role).element_bits) for role in _ROLES
               if is_array(getattr(precision, role).element_bits)}
        )  # fmt: skip
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
            role: value for role in _ROLES
            if is_array(value := getattr(job.precision, role).element_bits)
        }  # fmt: skip
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


def _sums(
    table: OperatorTable, terms: Terms, setting: Setting, values: Mapping[str, Value]
) -> dict[str, Value]:
    """Return the sums over the rows, audited: each is a number of a run."""
    out, sound = network_totals(
        table, setting, terms.row_s, terms.traffic, terms.operations, terms.energy
    )  # fmt: skip
    out |= {f"resource {name}": used for name, used in terms.resources.items()}
    if table.executed_macs is not None or terms.left_out is not None:
        out["work"] = total(table.count, work_of(table, terms, setting))
    sound = sound and all(least(used) >= 0.0 for used in terms.resources.values())
    settle(out, table, terms, values, sound)
    return out


def _space(values: Mapping[str, Value], facts: Mapping[str, Value], precision: Precision) -> Any:
    foreign = [
        v
        for v in (*values.values(), *facts.values(), *(getattr(precision, r).element_bits
                                                       for r in _ROLES))
        if type(v) is not float and is_array(v) and not isinstance(v, np.ndarray | np.generic)
    ]  # fmt: skip
    return namespace(*foreign) if foreign else np
