"""Lowering of a graph to an operator table: one row per kernel, compiled once and bound often.

`lower` fuses the graph's operators into kernels and compiles every column of the table (operations,
elements, live activations, loop nests) to polynomials over the free dimensions. `Lowered.bind`
evaluates them for numbers or arrays, which is all that a sweep over batch or context repeats.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import numpy as np

from perfmodel.arrays import Value
from perfmodel.caches import TABLE_BYTES, cached
from perfmodel.workload.access_columns import access_columns, access_positions
from perfmodel.workload.format_slots import SlotNames
from perfmodel.workload.fuse import FusionRules, aliases, fused_kernels
from perfmodel.workload.graph import Graph
from perfmodel.workload.kernel_columns import KernelColumns
from perfmodel.workload.lifetimes import live_intervals
from perfmodel.workload.operator_rows import row_of
from perfmodel.workload.operator_table import AccessKeys, Index, OperatorTable
from perfmodel.workload.polynomial_program import PolynomialProgram
from perfmodel.workload.storage_columns import live_elements, stored_elements
from perfmodel.workload.symbols import Dim

if TYPE_CHECKING:
    from perfmodel.workload.nest_table import NestKeys

#: Largest number of bound tables cached per graph; each takes about 20 kB.
_MAX_CACHED_TABLES: Final = 32

#: Prefixes of a program's columns whose names end in a slot or in the name of an extent.
_TRANSFERRED, _STORED, _LIVE, _EXTENT = "transferred ", "stored ", "live ", "extent "

FUSED: Final = FusionRules()

_Column = TypeVar("_Column")


class CompiledTable(NamedTuple):
    """An operator table before its numbers.

    Attributes
    ----------
    program
        Program that evaluates all columns.
    transfer_rows
        Slot -> rows that access it.
    accesses, nests
        Fixed parts of the individual accesses and of the loop nests, if compiled.
    """

    program: PolynomialProgram
    transfer_rows: Mapping[str, Index]
    accesses: AccessKeys | None
    nests: NestKeys | None


class Lowered:
    """A graph compiled for one set of fusion rules; `bind` returns its table for parameters."""

    def __init__(self, graph: Graph, fusion: FusionRules, *, tagged: bool) -> None:
        self.graph = graph
        self.kernels = fused_kernels(graph, fusion)
        self.slots = SlotNames(graph, tagged=tagged)
        self.rows = tuple(row_of(k, self.slots.name) for k in self.kernels)
        self.columns = KernelColumns(graph, self.kernels, fusion, self.slots)
        self._bare: CompiledTable | None = None
        self._with_accesses: CompiledTable | None = None
        self._with_nests: CompiledTable | None = None
        self._tables: dict[tuple[Any, ...], OperatorTable] = {}
        self._structure: dict[Hashable, Any] = {}
        #: Questions about this network, counted by what costs it (`perfmodel.prediction.replay`).
        self.questions: dict[Hashable, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return the state sent to another process, which traces programs of its own."""
        return {**self.__dict__, "questions": {}}

    def bind(
        self,
        values: Mapping[str, Value],
        points: int = 1,
        *,
        accesses: bool = False,
        relaxed: bool = False,
        nests: bool = False,
    ) -> OperatorTable:
        """Return the table for numbers; cached for scalars, and not to be modified.

        Parameters
        ----------
        values
            Free dimension -> number or array of shape ``(points,)``.
        accesses
            Whether to include individual accesses, for models with several memory levels.
        relaxed
            Whether ceilings and floors take their continuous forms.
        nests
            Whether to include the loop nests (and individual accesses).
        """
        key = None
        if points == 1 and all(type(v) is float or type(v) is int for v in values.values()):
            key = (*values.items(), *map(type, values.values()), accesses, relaxed, nests)
            known = self._tables.get(key)
            if known is not None:
                return known
        compiled = self._compiled(points, accesses=accesses, nests=nests)
        columns = compiled.program(values, points, relaxed=relaxed)
        table = self._table(compiled, columns, points, accesses=accesses, nests=nests)
        if key is not None:
            if len(self._tables) >= _MAX_CACHED_TABLES:
                self._tables.clear()
            self._tables[key] = table
        return table

    def compile(self, *, accesses: bool = False, nests: bool = False) -> CompiledTable:
        """Compile the columns of a table, with individual accesses and loop nests if requested."""
        graph, slots, per_kernel = self.graph, self.slots, self.columns
        lives = live_intervals(graph, self.kernels)
        transfers = per_kernel.transfers()
        rows = {slot: sorted(by_row) for slot, by_row in transfers.items()}
        columns: dict[str, list[Dim]] = per_kernel.counts()
        columns |= _prefixed(_EXTENT, per_kernel.extents())
        columns |= _prefixed(
            _TRANSFERRED, {slot: [transfers[slot][i] for i in rows[slot]] for slot in transfers}
        )
        stored = stored_elements(graph, slots)
        columns |= _prefixed(_STORED, {slot: [elements] for slot, elements in stored.items()})
        live = live_elements(graph, lives, len(self.kernels), slots)
        columns |= _prefixed(_LIVE, live)
        access_keys = nest_keys = None
        if accesses or nests:
            access_keys, numbers = access_columns(per_kernel, lives)
            columns |= numbers
        if nests:
            from perfmodel.workload.nest_table import nest_columns

            alias = aliases(graph)
            nest_keys, numbers = nest_columns(
                self.kernels,
                [row.kind for row in self.rows],
                lambda name: slots.of_name(alias.get(name, name)),
                access_positions(per_kernel),
            )
            columns |= numbers
        return CompiledTable(
            PolynomialProgram(columns),
            {slot: np.array(of_slot, dtype=np.intp) for slot, of_slot in rows.items()},
            access_keys,
            nest_keys,
        )

    def _compiled(self, points: int, *, accesses: bool, nests: bool) -> CompiledTable:
        """Return a compiled table with at least the requested columns, made on first use."""
        if points == 1:
            # A program with more columns will do: for one point the surplus is cheap.
            larger = self._with_nests or (None if nests else self._with_accesses)
            if larger is not None:
                return larger
        if nests:
            self._with_nests = self._with_nests or self.compile(nests=True)
            return self._with_nests
        if accesses:
            self._with_accesses = self._with_accesses or self.compile(accesses=True)
            return self._with_accesses
        self._bare = self._bare or self.compile()
        return self._bare

    def _table(
        self,
        compiled: CompiledTable,
        columns: dict[str, Value],
        points: int,
        *,
        accesses: bool,
        nests: bool,
    ) -> OperatorTable:
        access_keys = compiled.accesses if accesses or nests else None
        nest_keys = compiled.nests if nests else None
        return OperatorTable(
            rows=self.rows,
            points=points,
            count=columns["count"],
            macs=columns["macs"],
            masked_macs=columns["masked_macs"],
            vector_ops=columns["vector_ops"],
            scores=columns["scores"],
            kernels=columns["kernels"],
            layers=columns["layers"],
            transfers={
                slot: (rows, columns[_TRANSFERRED + slot])
                for slot, rows in compiled.transfer_rows.items()
            },
            stored={slot: column[0] for slot, column in _without(_STORED, columns).items()},
            live=_without(_LIVE, columns),
            accesses=access_keys and access_keys.bind(columns["accesses"], columns["sizes"]),
            nests=nest_keys and nest_keys.bind(columns),
            executed_macs=columns.get("executed_macs"),
            extents=_without(_EXTENT, columns),
            structure=self._structure,
        )


def _prefixed(prefix: str, columns: Mapping[str, _Column]) -> dict[str, _Column]:
    """Return columns with a prefix added to their names."""
    return {prefix + name: column for name, column in columns.items()}


def _without(prefix: str, columns: Mapping[str, _Column]) -> dict[str, _Column]:
    """Return the columns with a prefix, by their names without it."""
    return {
        name.removeprefix(prefix): column
        for name, column in columns.items()
        if name.startswith(prefix)
    }


@cached(TABLE_BYTES, identity_keys=1)
def lower(graph: Graph, fusion: FusionRules = FUSED, *, tagged: bool = False) -> Lowered:
    """Compile a graph for a set of fusion rules; cached per graph and rules.

    Parameters
    ----------
    tagged
        Whether to distinguish the tags of weights, for formats that store some tensors wider.
    """
    return Lowered(graph, fusion, tagged=tagged)
