"""Template of a kind: a subclass counts the work of a table's loop nests, the template prices it.

A kind that multiplies on an array of units states its spec class, the functions whose docstrings
contain its equations, and `counts`. Composition, launches, elementwise work, operations, energy and
the explanation are inherited from here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.nest_row_sums import RowSums, outside_bytes, unmasked
from perfmodel.cost.operand_bytes import slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.hardware.engine import Engine
from perfmodel.kinds.operand_bits import element_bits
from perfmodel.kinds.protocol import Equation, Terms, equations_of
from perfmodel.kinds.rates import executed_macs, memory_seconds, vector_rates
from perfmodel.kinds.roofline import BESIDE_PRODUCTS, launch_times, matrix_rates
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.operator_table import Accesses, OperatorTable

E = TypeVar("E", bound=Engine)

#: Operations by compute format, executed format of each stated one, unsupported formats.
Operations: TypeAlias = tuple[dict[str, Value], dict[str, str], tuple[str, ...]]


class NestRun:
    """Loop nests of a table under a setting, with the quantities that array laws read of them.

    Attributes
    ----------
    table, nests, setting, xp
        Operator table, its nests, the run's setting and the array namespace.
    rows
        Sums values of nests over the rows of the table.
    times
        Executions of each nest, masked ones excluded.
    """

    def __init__(self, table: OperatorTable, nests: Nests, setting: Setting) -> None:
        self.table, self.nests, self.setting, self.xp = table, nests, setting, setting.xp
        self.rows = RowSums(nests.row, len(table.rows), setting.xp)
        self.times = nests.times * unmasked(table, setting)

    def slots(self, operand: int) -> tuple[str, ...]:
        """Return the slots that set the bits of an operand: 0 input, 1 weight, 2 output."""
        return tuple(slots[operand] for slots in self.nests.slots)

    @property
    def accesses(self) -> Accesses:
        """Accesses of the rows, one per operand; a table with nests always has them."""
        assert self.table.accesses is not None
        return self.table.accesses

    @cached_property
    def widths(self) -> tuple[Value, Value, Value]:
        """Stored bytes of an element of input, weight and output, ``(nests, points or 1)``."""
        n = len(self.nests)
        slots = (*self.slots(0), *self.slots(1), *self.slots(2))
        each = slot_bytes(slots, self.table.points, self.setting)
        return each[:n], each[n : 2 * n], each[2 * n :]

    def bits(self, operand: int) -> Value:
        """Return bits of an operand's element as the multiplier sees it, scales excluded."""
        return element_bits(self.slots(operand), self.table.points, self.setting)

    @cached_property
    def there(self) -> tuple[Value, Value, Value]:
        """1 for operands that are read from or written to memory, else 0; ``(nests, 1)`` each."""
        crosses = (self.nests.access >= 0).astype(float)
        return crosses[:, :1], crosses[:, 1:2], crosses[:, 2:]

    def is_kind(self, *kinds: str) -> Value:
        """Return a mask of nests whose operators are of the given classes, ``(nests, 1)``."""
        return np.array([kind in kinds for kind in self.nests.kind])[:, None]

    @property
    def without_nests(self) -> Value:
        """1 for rows that do not use the array, else 0; ``(rows, 1)``."""
        mask = np.ones((len(self.table.rows), 1))
        mask[self.nests.row] = 0.0
        return mask

    @property
    def outside(self) -> Value:
        """Bytes of each row that belong to no nest."""
        return outside_bytes(self.table, self.setting)

    @property
    def macs(self) -> Value:
        """Executed multiply-accumulates of each row."""
        return executed_macs(self.table, self.setting)


@dataclass(slots=True)
class Counts:
    """Work and traffic of a table on an engine; every array is ``(rows, points)`` or ``(rows, 1)``.

    Attributes
    ----------
    terms
        Arithmetic term -> its work (cycles, operations, bytes) and the rate per second; None where
        `seconds` has the term.
    traffic
        Level -> bytes across its boundary.
    detail
        Further numbers of each row; columns of `Prediction.table`.
    energy
        Component -> joules of one execution of each row.
    watts
        Component -> watts drawn for the duration of a row.
    seconds
        Arithmetic term -> its seconds, where they are not work divided by a rate.
    vector
        Elementwise operations on the vector units; none if left out.
    memory
        Level -> seconds; bytes over bandwidth if left out.
    overhead
        Term -> seconds that overlap with nothing, besides launches.
    launches
        Seconds of launches and layers; those of the runtime if left out.
    overlap
        Rule that combines arithmetic and memory times; that of the setting if left out.
    elementwise
        Whether elementwise operations are counted, so that their energy is priced.
    cold
        Seconds to load weights before a row's arithmetic starts.
    traffic_model
        Description of how `traffic` was counted.
    operations
        Operations by the engine's formats, where they differ from all executed products.
    left_out, resources, interval, is_overlay, columns, nest_columns, expressions
        As in `Terms`.
    """

    terms: Mapping[str, tuple[Value, Value]]
    traffic: dict[str, Value]
    detail: dict[str, Value] = field(default_factory=dict[str, Value])
    energy: dict[str, Value] = field(default_factory=dict[str, Value])
    watts: Mapping[str, Value] = field(default_factory=dict[str, Value])
    seconds: Mapping[str, Value] = field(default_factory=dict[str, Value])
    vector: Value = None
    memory: dict[str, Value] | None = None
    overhead: Mapping[str, Value] = field(default_factory=dict[str, Value])
    launches: Mapping[str, Value] | None = None
    overlap: str = ""
    elementwise: bool = True
    cold: Value = None
    traffic_model: str = ""
    operations: Operations | None = None
    left_out: Value = None
    resources: dict[str, Value] = field(default_factory=dict[str, Value])
    interval: Value = None
    is_overlay: bool = False
    columns: dict[str, Value] = field(default_factory=dict[str, Value])
    nest_columns: dict[str, Value] = field(default_factory=dict[str, Value])
    expressions: dict[str, Callable[[int], str]] = field(
        default_factory=dict[str, Callable[[int], str]]
    )


def composed(
    table: OperatorTable, setting: Setting, counts: Counts, *, prices: bool = False
) -> Terms:
    """Return the terms of a table from the work counted on an engine.

    Parameters
    ----------
    prices
        Whether the energies of `counts` include those of its operations.
    """
    work = {name: amount for name, (amount, _) in counts.terms.items() if amount is not None}
    compute = {
        name: counts.seconds[name] if rate is None else amount / rate
        for name, (amount, rate) in counts.terms.items()
    }
    if counts.vector is not None:
        work["vector"] = counts.vector
        compute["vector"] = counts.vector / vector_rates(table, setting)
    memory = memory_seconds(counts.traffic, setting) if counts.memory is None else counts.memory
    launches = launch_times(table, setting) if counts.launches is None else counts.launches
    overhead = {**counts.overhead, **launches}
    row_s = compose(compute, memory, overhead, counts.overlap or setting.overlap, counts.cold)
    if counts.operations is None:
        operations, executed, unsupported = matrix_rates(
            table, executed_macs(table, setting), setting
        )[1:]
    else:
        operations, executed, unsupported = counts.operations
    energy = {**counts.energy, **{name: row_s * watts for name, watts in counts.watts.items()}}
    priced = tuple(f"operations {name}" for name in operations) if prices and energy else ()
    if counts.elementwise:
        operations = {**operations, "vector": table.vector_ops}
    return Terms(
        compute,
        memory,
        overhead,
        counts.traffic,
        row_s,
        operations,
        executed,
        unsupported,
        counts.cold,
        work,
        energy,
        priced,
        counts.expressions,
        counts.detail,
        traffic_model=counts.traffic_model,
        resources=counts.resources,
        interval=counts.interval,
        is_overlay=counts.is_overlay,
        left_out=counts.left_out,
        powered=tuple(counts.watts),
        columns=counts.columns,
        nest_columns=counts.nest_columns,
    )


class ArrayKind(ABC, Generic[E]):
    """Base of kinds that map loop nests to an array of units.

    A subclass states `name`, `spec`, `laws` and `counts`; a table without nests is costed as on a
    roofline.
    """

    name: ClassVar[str]
    """Name in a spec's ``kind:``."""
    spec: type[E]
    """Spec class of the engine."""
    laws: ClassVar[tuple[Callable[..., Any], ...]] = ()
    """Functions whose docstrings contain the equations of terms (`equations_of`)."""
    network_wide: ClassVar[frozenset[str]] = frozenset()
    needs_nests = True
    any_algorithm = False
    by_bits = False
    packing = None
    classes: ClassVar[frozenset[str] | None] = None
    prices_operations: ClassVar[bool] = False
    """Whether the energies returned by `counts` include those of operations."""

    @cached_property
    def equations(self) -> Mapping[str, Equation]:
        """Term -> equation and source."""
        return {**equations_of(*self.laws), **BESIDE_PRODUCTS}

    @abstractmethod
    def counts(self, run: NestRun, engine: E) -> Counts:
        """Return the work and traffic of the nests on an engine, from pure array functions."""

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see `equations`.

        Raises
        ------
        InputError
            The engine is of another kind.
        """
        nests = table.nests
        if nests is None or not len(nests):
            return ROOFLINE.cost(table, setting)
        engine = setting.engine_as(self.spec, self.name)
        counts = self.counts(NestRun(table, nests, setting), engine)
        terms = composed(table, setting, counts, prices=self.prices_operations)
        return self.combined(terms, table, setting)

    def combined(self, terms: Terms, table: OperatorTable, setting: Setting) -> Terms:
        """Return the terms of a network whose rows share what it has: `Kind.combined`."""
        del table, setting
        return terms
