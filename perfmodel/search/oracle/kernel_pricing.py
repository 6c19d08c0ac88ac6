"""Costs of single kernels (rows) in every state of residency of the activations they access.

A kind of hardware costs a row from its own sizes and from the memory in which each of its
activations resides (`perfmodel.cost.residency`), which is all that the rest of the network
determines. An activation resides in a memory if its *need*, a sum over the tensors that are live
with it, is within the capacity. A need therefore acts only through the number of capacities that it
exceeds: its *state*. The costs of a row in all states of its activations cover every network that
contains the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.capacity import resources
from perfmodel.cost.residency import usable_capacity
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import pair_bits
from perfmodel.kinds.protocol import Kind, Terms
from perfmodel.prediction.stages import compose, cost
from perfmodel.workload.lifetimes import Lifetimes
from perfmodel.workload.nest_table import COLUMNS, Nests
from perfmodel.workload.operator_table import Accesses, OperatorTable

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

#: Largest number of points (states of all accesses x values) per row.
MAX_POINTS = 40_000

_NO_STATES: Mapping[str, int] = {}
_NO_COLUMNS: Mapping[str, Value] = {}

#: Quantity that counts the kernels whose format the engine computes in no form.
UNSUPPORTED = "unsupported"

#: Quantity that counts arrays for one copy of all matrices, where arrays hold weights.
ARRAYS = "arrays"

#: Prefix of the columns of a row that kinds combine over its network (`Kind.combined`).
ROW = "row "

#: Prefix of the columns of a row's nests, each followed by the place of the nest in the row.
NEST = "nest "

#: Parts of a row's terms that have such columns.
ROW_PARTS = ("compute", "memory", "overhead", "traffic", "operations", "energy", "columns")

#: Slot with one byte per element, so that needs are passed unchanged.
_BYTE = "=int8"


class NotTabledError(Exception):
    """Costs do not decompose into rows, or have too many states: the space is predicted instead."""


@dataclass(frozen=True, slots=True)
class States:
    """Capacities that determine where an activation resides.

    Attributes
    ----------
    thresholds
        Usable bytes, ascending and distinct.
    """

    thresholds: tuple[float, ...]

    @property
    def count(self) -> int:
        """Number of states, from within the smallest capacity to above all."""
        return len(self.thresholds) + 1

    def of(self, need: Value) -> Index:
        """Return the state of needs in bytes: the number of capacities that they exceed."""
        needs = np.asarray(need, dtype=np.float64)
        return np.asarray(np.searchsorted(np.asarray(self.thresholds), needs), dtype=np.intp)

    @property
    def needs(self) -> Floats:
        """A representative need of each state, in bytes."""
        return np.array([*self.thresholds, np.inf])


def states_of(setting: Setting) -> States:
    """Return the states of a machine from the capacities before main memory.

    Engines that keep activations in a share of a scratchpad add that share (`resident_share`).
    """
    near = () if setting.bare else setting.levels[:-1]
    thresholds = {float(usable_capacity(setting, level)) for level in near}
    share = resident_share(setting)
    if share and near:
        thresholds |= {
            float(usable_capacity(setting, level)) * share for level in (near[-1], near[0])
        }
    return States(tuple(sorted(thresholds)))


def resident_share(setting: Setting) -> float:
    """Return the share of a scratchpad available to activations (0 if the kind has none)."""
    return float(setting.fact(f"engines.{setting.engine_name}.kept_share", 0.0))


@dataclass(frozen=True, slots=True)
class Priced:
    """Costs of rows in all states.

    Attributes
    ----------
    names
        Names of the quantities, as keys of `perfmodel.cost.totals.network_totals`.
    values : array of shape ``(modes, rows, states ** accesses, settings, quantities)``
        Totals over all executions of a row. The state of the row's access ``k`` (`digits_of`) is
        digit ``k`` of axis 2.
    terms
        Cost terms of the kind, for its formats.
    fits
        Whether the engine has the resources of a design for these rows.
    """

    names: tuple[str, ...]
    values: Floats
    terms: Terms
    fits: bool

    def over(self, names: Sequence[str]) -> Floats:
        """Return the values for the named quantities; 0 for those without values."""
        return over(self.values, self.names, names)

    def with_unsupported(self) -> Priced:
        """Return the costs with the quantity `UNSUPPORTED` of 1 if the engine lacks a format."""
        if not self.terms.unsupported:
            return self
        ones = np.ones((*self.values.shape[:-1], 1))
        values = np.concatenate([self.values, ones], axis=-1)
        return replace(self, names=(*self.names, UNSUPPORTED), values=values)

    @property
    def combines(self) -> bool:
        """Whether there are columns for what a network combines of its rows."""
        return any(name.startswith(ROW) for name in self.names)

    def refuse_network_wide(self) -> None:
        """Raise an error for costs that depend on more of the network than these rows.

        Raises
        ------
        NotTabledError
            The design of the engine is sized for the network, or may not fit.
        """
        is_local = self.combines or (self.terms.is_overlay and self.fits)
        if self.terms.resources and not is_local:
            raise NotTabledError("what a network takes of the engine's resources has no table")


def price(
    table: OperatorTable,
    rows: Sequence[int],
    kind: Kind,
    settings: Sequence[Setting],
    states: States,
    footprints: Sequence[float] = (0.0,),
    fixed: Mapping[str, int] = _NO_STATES,
    sequences: Value = 1.0,
    *,
    columns: bool = False,
) -> Priced:
    """Cost rows of a table in all states of their activations.

    Parameters
    ----------
    table
        With accesses (and nests where the kind reads them), ``(rows, points)``.
    rows
        Rows to cost, ascending.
    settings
        One per setting in which the whole network may run (`Setting.resident`).
    footprints
        Bytes of the whole network, for warm runs; modes are footprints x settings.
    fixed
        Activation -> the only state that it can have; the others are costed in every state.
    sequences
        Batch of each point, if it differs among them (`Setting.sequences`).
    columns
        Whether to return the columns of rows that a network combines, as quantities too.

    Notes
    -----
    A kind may treat a table without any matrix operator differently. Rows without one are therefore
    costed together with a row that has one (`_anchored`), as in their network.

    Raises
    ------
    NotTabledError
        A row accesses so many activations that it has too many states.
    """
    beside = _anchored(table, rows)
    digits = digits_of(table.accesses, beside, fixed)
    most = max(map(len, digits), default=0)
    combos = states.count**most
    if combos * table.points > MAX_POINTS:
        raise NotTabledError(f"a kernel touches {most} activations in {states.count} states")
    if np.ndim(sequences):
        tiled = np.tile(sequences, combos)
        settings = [replace(setting, sequences=tiled) for setting in settings]
    values: list[Floats] = []
    names: tuple[str, ...] = ()
    terms: Terms | None = None
    for footprint in footprints:
        expanded = _expanded(table, beside, digits, states, combos, footprint, fixed)
        for setting in settings:
            local = cost(kind, expanded, setting)
            own_columns = _row_columns(expanded, local) if columns else _NO_COLUMNS
            terms = compose(expanded, local, setting)
            names, each = _quantities(expanded, terms, setting, kind, own_columns)
            values.append(each.reshape(len(beside), combos, table.points, len(names)))
    assert terms is not None
    own = [beside.index(row) for row in rows]
    fits = _fits_engine(terms, settings[0])
    return Priced(names, np.stack(values)[:, own], terms, fits)


def _fits_engine(terms: Terms, setting: Setting) -> bool:
    design = {f"resource {name}": amount for name, amount in terms.resources.items()}
    return all(np.all(used <= limit) for used, limit in resources(design, setting).values())


def over(values: Floats, own: Sequence[str], names: Sequence[str]) -> Floats:
    """Return values of the quantities `own` as values of the quantities `names`, 0 for new ones."""
    if tuple(own) == tuple(names):
        return values
    out = np.zeros((*values.shape[:-1], len(names)))
    common = [name for name in names if name in own]
    out[..., [names.index(name) for name in common]] = values[..., [own.index(n) for n in common]]
    return out


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return quantities without duplicates, in the order of predictions."""
    heads = ("traffic", "operations", "energy")
    place = {head: i for i, head in enumerate(heads)}
    return tuple(sorted(dict.fromkeys(names), key=lambda n: place.get(n.partition(" ")[0], -1)))


def _anchored(table: OperatorTable, rows: Sequence[int]) -> Sequence[int]:
    """Return rows, plus one with a loop nest if they have none but the table has."""
    if table.nests is None or not len(table.nests) or np.isin(table.nests.row, rows).any():
        return rows
    return sorted([*rows, int(table.nests.row[-1])])


def digits_of(
    access: Accesses | None, rows: Sequence[int], fixed: Mapping[str, int] = _NO_STATES
) -> tuple[tuple[int, ...], ...]:
    """Return the accesses of each row that have several states; empty tuples if none has."""
    by_row: dict[int, list[int]] = {row: [] for row in rows}
    if access is not None:
        pairs = zip(access.row.tolist(), access.tensor.tolist(), strict=True)
        for i, (row, tensor) in enumerate(pairs):
            if row in by_row and tensor >= 0 and access.lifetimes.names[tensor] not in fixed:
                by_row[row].append(i)
    return tuple(map(tuple, by_row.values()))


#: Columns of an operator table that every row has.
_COLUMNS = ("count", "macs", "masked_macs", "vector_ops", "scores", "kernels", "layers")


def _wide(values: Value, times: int, points: int) -> Floats:
    """Return ``(n, points or 1)`` repeated for every state; constant columns stay single."""
    array = np.asarray(values, dtype=float)
    return np.tile(array, (1, times)) if points > 1 and array.shape[1] > 1 else array


def _rows_of(table: OperatorTable, rows: Sequence[int], times: int) -> OperatorTable:
    """Return rows of a table with each point repeated `times` times, without accesses."""
    at = np.asarray(rows, dtype=np.intp)
    place = {row: i for i, row in enumerate(rows)}

    def column(values: Value) -> Floats:
        return _wide(np.asarray(values, dtype=float)[at], times, table.points)

    transfers: dict[str, tuple[Index, Value]] = {}
    for slot, (where, elements) in table.transfers.items():
        own = np.flatnonzero(np.isin(where, at))
        if len(own):
            index = np.array([place[row] for row in where[own].tolist()], dtype=np.intp)
            transfers[slot] = (index, _wide(np.asarray(elements)[own], times, table.points))
    executed = table.executed_macs
    return replace(
        table,
        rows=tuple(table.rows[i] for i in rows),
        points=table.points * times,
        **{name: column(getattr(table, name)) for name in _COLUMNS},
        transfers=transfers,
        stored={},
        live={},
        accesses=None,
        nests=None,
        executed_macs=None if executed is None else column(executed),
        extents={name: column(values) for name, values in table.extents.items()},
        structure={},
    )


def _expanded(
    table: OperatorTable,
    rows: Sequence[int],
    digits: Sequence[tuple[int, ...]],
    states: States,
    combos: int,
    footprint: float,
    fixed: Mapping[str, int],
) -> OperatorTable:
    """Return rows of a table at every combination of states, with points varying fastest."""
    sub = _rows_of(table, rows, combos)
    access = table.accesses
    if access is None:
        return sub
    place = {row: i for i, row in enumerate(rows)}
    mine = [i for i, row in enumerate(access.row.tolist()) if row in place]
    new = {old: i for i, old in enumerate(mine)}
    row = np.array([place[int(access.row[i])] for i in mine], dtype=np.intp)
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]]) if len(row) else row
    # Every access gets its own tensor, whose size is the need of its state.
    tensor = np.asarray(access.tensor)[mine].copy()
    codes = np.repeat(np.arange(combos), table.points)
    sizes: list[Floats] = []
    for each in digits:
        for k, i in enumerate(each):
            tensor[new[i]] = len(sizes)
            sizes.append(states.needs[codes // states.count**k % states.count])
    for i in mine:
        activation = int(access.tensor[i])
        name = access.lifetimes.names[activation] if activation >= 0 else ""
        if name in fixed:
            tensor[new[i]] = len(sizes)
            sizes.append(np.full(codes.shape, states.needs[fixed[name]]))
    n = len(sizes)
    own = np.arange(n, dtype=np.intp)
    lifetimes = Lifetimes(
        tuple(str(i) for i in range(n)), (_BYTE,) * n, ((0, 0),) * n, own, (), own, own
    )
    needs = np.stack(sizes) if sizes else np.zeros((0, 1))
    elements = _wide(np.asarray(access.elements)[mine], combos, table.points)
    sub.accesses = Accesses(
        row=row,
        starts=starts,
        slots=tuple(access.slots[i] for i in mine),
        tensor=tensor,
        batched=access.batched[mine],
        lifetimes=lifetimes,
        elements=elements,
        sizes=needs,
    )
    sub.live = {_BYTE: np.full((1, 1), footprint)}
    if table.nests is not None:
        sub.nests = _nests_of(table.nests, place, new, combos, table.points)
    return sub


def _nests_of(
    nests: Nests, place: dict[int, int], new: dict[int, int], times: int, points: int
) -> Nests:
    """Return the nests of selected rows, renumbered to the new rows and accesses."""
    own = np.flatnonzero(np.isin(nests.row, list(place)))

    def part(name: str) -> Any:
        values = getattr(nests, name)
        if isinstance(values, tuple):
            return tuple(cast("tuple[Any, ...]", values)[i] for i in own)
        columns = np.asarray(values)[own]
        return _wide(columns, times, points) if name in COLUMNS else columns

    selected = Nests(**{field.name: part(field.name) for field in fields(Nests)})
    row = np.array([place[each] for each in selected.row.tolist()], dtype=np.intp)
    access = np.array(
        [[new.get(i, -1) for i in each] for each in selected.access.tolist()], dtype=np.intp
    )
    return replace(selected, row=row, access=access.reshape(-1, 3))


def _row_columns(table: OperatorTable, terms: Terms) -> dict[str, Value]:
    """Return all that a network combines of its rows and of the nests of each, by name."""
    if not terms.columns:
        return {}
    columns: dict[str, Value] = {
        f"{ROW}{part} {name}": values
        for part in ROW_PARTS
        for name, values in getattr(terms, part).items()
    }
    if table.nests is not None:
        places = places_in_rows(table.nests.row)
        for place in np.unique(places).tolist():
            own = places == place
            for name, values in terms.nest_columns.items():
                column = np.zeros((len(table.rows), table.points))
                numbers = np.broadcast_to(values, (len(own), table.points))
                column[table.nests.row[own]] = numbers[own]
                columns[f"{ROW}{NEST}{place} {name}"] = column
    return columns


def places_in_rows(row: Index) -> Index:
    """Return the place of each nest among those of its row, for the ascending rows of nests."""
    return np.arange(len(row)) - np.searchsorted(row, row)


def _quantities(
    table: OperatorTable,
    terms: Terms,
    setting: Setting,
    kind: Kind,
    columns: Mapping[str, Value] = _NO_COLUMNS,
) -> tuple[tuple[str, ...], Floats]:
    """Return names and values ``(rows, points, quantities)`` of summed quantities and columns."""
    macs = table.macs
    if setting.causal_skips_masked:
        macs = macs - table.masked_macs
    parts: dict[str, Value] = {
        "latency_s": terms.row_s,
        "macs": macs,
        "bit_operations": macs * pair_bits(table, setting),
        "vector_ops": table.vector_ops,
    }
    if ARRAYS in kind.network_wide and ARRAYS in terms.detail:
        parts[ARRAYS] = terms.detail[ARRAYS]
    parts |= {f"traffic {level}": size for level, size in terms.traffic.items()}
    parts |= {f"operations {name}": done for name, done in terms.operations.items()}
    parts |= {f"energy {name}": joule for name, joule in terms.energy.items()}
    numbers = [table.count * np.asarray(p, dtype=float) for p in parts.values()]
    if columns:
        columns = {f"{ROW}count": table.count, **columns}
        numbers += columns.values()
    shape = (len(table.rows), table.points)
    names = (*parts, *columns)
    return names, np.stack([np.broadcast_to(each, shape) for each in numbers], axis=-1)
