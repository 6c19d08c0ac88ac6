"""Quantities of networks whose rows share what the machine has, from columns of their rows.

A design that is sized for its network, arrays that hold all of its weights and a pipeline that all
layers fill have costs that are no sums over rows. Their kinds split a cost into numbers that are
local to a row (`Terms.columns`) and a function that combines them over the network
(`perfmodel.kinds.protocol.Kind.combined`). Tables hold the columns under every combination of
options. The combination is traced once for the columns that vary (`perfmodel.tracing`): a
configuration is a look-up of its columns and a run of that straight-line program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NoReturn, cast

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.capacity import resources
from perfmodel.cost.compose import compose as compose_terms
from perfmodel.cost.totals import total
from perfmodel.errors import input_error
from perfmodel.kinds.protocol import Terms
from perfmodel.prediction.stages import compose, totals_of_design
from perfmodel.search.oracle.kernel_pricing import (
    ARRAYS,
    NEST,
    ROW,
    ROW_PARTS,
    Floats,
    Index,
    NotTabledError,
    in_order,
    places_in_rows,
)
from perfmodel.search.oracle.kernel_tables import KernelTable
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.tracing import NotTraceable, trace
from perfmodel.tracing.array_namespace import NAMESPACE, traced
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.operator_table import OperatorTable

_COUNT: Final = f"{ROW}count"
_LAYER: Final = f"{ROW}columns layer"

#: Operations of a program; so many are compiled within a second.
_MAX_NODES: Final = 30_000

#: Slot of the caches of a network, with one byte per element.
_KV: Final = "kv=int8"


def without_columns(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the quantities that add up, and the columns of rows."""
    columns = tuple(name for name in names if name.startswith(ROW))
    return tuple(name for name in names if name not in columns), columns


def table_names(tables: Sequence[KernelTable], pricing: Pricing) -> tuple[str, ...]:
    """Return the quantities of kernels; last the columns of rows, if networks combine any.

    Where arrays cannot hold all matrices of any configuration, each is written anew, whatever the
    others are.
    """
    summed, columns = without_columns(in_order(n for table in tables for n in table.names))
    if columns and ARRAYS in summed:
        least = sum(table.over((ARRAYS,)).values[..., 0, 0].min() for table in tables)
        if not pricing.leaves_room(least):
            return summed
        summed = tuple(name for name in summed if name != ARRAYS)
    return (*summed, *columns)


class NetworkCombination:
    """Quantities of configurations of one network that are no sums over its rows.

    Parameters
    ----------
    kernels
        Tables of the kernels, of which the first are the rows of `table`.
    names
        Quantities of the tables; the columns of rows (`ROW`) are last.
    table
        Any configuration of the network.
    kv_bytes
        Bytes of its caches; ``None`` if a decision changes them.

    Attributes
    ----------
    names
        Names of the summed and the combined quantities.

    Raises
    ------
    NotTabledError
        Rows are executed a number of times that is decided, or the combination has no program.
    """

    def __init__(
        self,
        kernels: Sequence[KernelTable],
        names: Sequence[str],
        table: OperatorTable,
        pricing: Pricing,
        kv_bytes: float | None,
    ) -> None:
        self._summed = sum(not name.startswith(ROW) for name in names)
        columns = names[self._summed :]
        rows = range(len(table.rows))
        each = [kernels[row].values.reshape(-1, len(names))[:, self._summed :] for row in rows]
        varies = np.array([(values != values[:1]).any(axis=0) for values in each])
        if varies[:, columns.index(_COUNT)].any():
            raise NotTabledError("how often layers are repeated is decided")
        parameters = {f"{r} {c}": (int(r), int(c)) for r, c in np.argwhere(varies)}
        if kv_bytes is None:
            parameters[_KV] = (0, 0)

        def quantities(numbers: Mapping[str, Any]) -> dict[str, Value]:
            by_column: dict[str, Value] = {}
            for c, name in enumerate(columns):
                own = [numbers.get(f"{r} {c}", float(each[r][0, c])) for r in rows]
                by_column[name] = traced(np.array(own, dtype=object)[:, None])
            stored = {n: size for n, size in table.stored.items() if n.startswith("weight")}
            stored[_KV] = numbers.get(_KV, kv_bytes)
            nests = _nest_columns(by_column, table)
            own = replace(table, stored=stored)
            return _combined(by_column, nests, own, pricing, NAMESPACE)

        try:
            program = trace(quantities, parameters, _MAX_NODES).narrowed()
        except NotTraceable as reason:
            raise NotTabledError(f"layers share what there is: {reason}") from None
        self._program = program
        #: Parameter of the caches, if results depend on them.
        self._kv = [i for i, name in enumerate(program.parameters) if name == _KV]
        places = [parameters[name] for name in program.parameters]
        self._row: Index = np.array([row for row, _ in places], dtype=np.intp)
        self._column: Index = np.array([c + self._summed for _, c in places], dtype=np.intp)
        self.names = tuple(dict.fromkeys([*names[: self._summed], *program.outputs]))
        self._outputs = [self.names.index(name) for name in program.outputs]
        self._replaced = [at for at in self._outputs if at < self._summed]
        self._priced = len(rows)

    def __call__(self, entries: Floats, kv_bytes: Floats) -> Floats:
        """Return ``(..., modes, quantities)`` of entries ``(..., kernels, modes, quantities)``.

        Parameters
        ----------
        kv_bytes : array of shape ``(...)``
            Bytes of the caches.
        """
        sums = entries[..., : self._summed].sum(axis=-3)
        out = np.zeros((*sums.shape[:-1], len(self.names)))
        out[..., : self._summed] = sums
        # What a run has besides its kernels still adds up.
        besides = entries[..., self._priced :, :, :][..., self._replaced].sum(axis=-3)
        out[..., self._replaced] = besides
        for mode in range(entries.shape[-2]):
            columns = entries[..., self._row, mode, self._column]
            for place in self._kv:
                columns[..., place] = kv_bytes
            if columns.ndim == 1:
                results = self._program.on_floats(*columns.tolist())
            else:
                results = self._program.on_vectors(*columns.T)
            for at, value in zip(self._outputs, results.values(), strict=True):
                out[..., mode, at] += value
        return out


class ArchitectureCombination:
    """Quantities of networks of various rows that are no sums over rows.

    Networks of a batch are padded to equally many rows, each with a loop nest: one of zeros where a
    row has none, or where there is no row.

    Parameters
    ----------
    names
        Quantities of the tables; the columns of rows (`ROW`) are last.

    Attributes
    ----------
    names
        Names of the summed and the combined quantities.

    Raises
    ------
    NotTabledError
        The combination reads more of a network than the columns of its rows.
    """

    def __init__(self, names: Sequence[str], pricing: Pricing) -> None:
        job, engine = pricing.job, pricing.setting.engine_name
        stated = f"engines.{engine}.design.layers."
        for reason, holds in {
            "how layers share what there is depends on their order": _LAYER not in names,
            "kernels multiply several matrices": any(n.startswith(f"{ROW}{NEST}1 ") for n in names),
            "a design states layers by their position": any(
                path.startswith(stated) for path in job.machine.facts
            ),
            "classes of kernels are calibrated": bool(pricing.setting.runtime.scale),
        }.items():
            if holds:
                raise NotTabledError(reason)
        summed, self._columns = without_columns(names)
        self._summed, self._pricing = len(summed), pricing
        self._table = job.rows(job.workload.parameters, job.machine.facts, job.precision, 1)[0]
        self._nests: dict[int, Nests] = {}
        self._outputs = tuple(self._quantities(np.ones((1, 1, len(self._columns)))))
        self.names = tuple(dict.fromkeys([*summed, *self._outputs]))

    def __call__(self, entries: Floats) -> Floats:
        """Return ``(networks, modes, quantities)`` of ``(networks, rows, modes, quantities)``."""
        networks, _, modes, _ = entries.shape
        out = np.zeros((networks, modes, len(self.names)))
        out[..., : self._summed] = entries[..., : self._summed].sum(axis=1)
        for mode in range(modes):
            changed = self._quantities(entries[:, :, mode, self._summed :])
            for name in self._outputs:
                out[:, mode, self.names.index(name)] = changed[name]
        return out

    def _quantities(self, columns: Floats) -> dict[str, Value]:
        """Return combined quantities from columns ``(networks, rows, columns)``."""
        by_column = dict(zip(self._columns, np.ascontiguousarray(columns.T), strict=True))
        table, rows = self._table, columns.shape[1]
        assert table.nests is not None
        if rows not in self._nests:
            # Of every nest only the row is read.
            first = cast("Index", np.zeros(rows, dtype=np.intp))
            self._nests[rows] = replace(table.nests.at(first), row=np.arange(rows))
        padded = replace(
            table,
            rows=(table.rows[int(table.nests.row[0])],) * rows,
            points=len(columns),
            count=by_column[_COUNT],
            nests=self._nests[rows],
            structure={},
        )
        with np.errstate(all="ignore"):
            of_nests = _columns_of(by_column, f"{ROW}{NEST}0 ")
            return _combined(by_column, of_nests, padded, self._pricing, np)


def refuse_bounds() -> NoReturn:
    """Raise an error: partial choices have no known bound where layers share what there is.

    Raises
    ------
    InputError
    """
    raise input_error(
        "there are no bounds: layers share what the device has",
        path="lower_bound",
        expected="a device whose costs are sums over layers",
    )


def _combined(
    columns: Mapping[str, Value],
    nest_columns: dict[str, Value],
    table: OperatorTable,
    pricing: Pricing,
    xp: Any,
) -> dict[str, Value]:
    """Return the quantities of a network that the combination of its rows changes."""
    setting = replace(pricing.setting, xp=xp)
    combine = pricing.job.model.kind.combined
    assert combine is not None
    parts = {part: _columns_of(columns, f"{ROW}{part} ") for part in ROW_PARTS}
    compute, memory, overhead = parts["compute"], parts["memory"], parts["overhead"]
    local = Terms(
        compute,
        memory,
        overhead,
        parts["traffic"],
        row_s=compose_terms(compute, memory, overhead, setting.overlap),
        operations=parts["operations"],
        executed={},
        energy=parts["energy"],
        columns=parts["columns"],
        nest_columns=nest_columns,
    )
    terms = compose(table, combine(local, table, setting), setting)
    changed = {"latency_s": total(table.count, terms.row_s)}
    for part in ("traffic", "energy"):
        changed |= {
            f"{part} {name}": total(table.count, values)
            for name, values in getattr(terms, part).items()
            if values is not parts[part].get(name)
        }
    design = totals_of_design(terms)
    # Ends of amounts are no metrics.
    limited = {f"resource {name}" for name in resources(design, setting)}
    return changed | {n: v for n, v in design.items() if n in limited or n == "interval_s"}


def _nest_columns(columns: Mapping[str, Value], table: OperatorTable) -> dict[str, Value]:
    """Return the columns of all nests of a network from those of its rows."""
    if table.nests is None:
        return {}
    row = table.nests.row
    by_place = {
        place: _columns_of(columns, f"{ROW}{NEST}{place} ")
        for place in range(1 + int(places_in_rows(row).max(initial=-1)))
    }
    nests = list(zip(places_in_rows(row).tolist(), row.tolist(), strict=True))
    return {
        name: traced([by_place[place][name][own] for place, own in nests])
        for name in by_place.get(0, {})
    }


def _columns_of(columns: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """Return the columns whose names begin with a prefix, by the remaining names."""
    return {n.removeprefix(prefix): v for n, v in columns.items() if n.startswith(prefix)}
