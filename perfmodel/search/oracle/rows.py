"""Rows by themselves: what each costs in every state of residency of the tensors that it touches.

A kind of hardware costs a row from its own numbers and from which of its activations stay in which
memory (`perfmodel.cost.residency`): the one thing that the rest of the network decides. A tensor
stays where its *need*, a sum over the tensors live beside it, is within a capacity, so a need acts
only through how many capacities it exceeds: its *state*. Costing a row in all states of its
activations is costing it in every network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import pair_bits
from perfmodel.kinds.protocol import Kind, Terms
from perfmodel.prediction.stages import compose, cost
from perfmodel.workload.lifetimes import Lifetimes
from perfmodel.workload.lower import Accesses, OperatorTable
from perfmodel.workload.shapes import COLUMNS, Nests

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

#: Points (states of all accesses x numbers) that a row may be costed at.
MOST_POINTS = 40_000

#: One byte an element: needs are given as they are.
_BYTE = "=int8"


class NotTabledError(Exception):
    """Costs that do not fall apart into rows, or into too many states: those are predicted."""


@dataclass(frozen=True, slots=True)
class States:
    """The capacities that decide where an activation stays.

    Attributes
    ----------
    thresholds
        Usable bytes, ascending and distinct.
    """

    thresholds: tuple[float, ...]

    @property
    def count(self) -> int:
        """Number of states: within the least capacity, ... beyond all."""
        return len(self.thresholds) + 1

    def of(self, need: Value) -> Index:
        """Return the state of needs in bytes: the number of capacities that they exceed."""
        needs = np.asarray(need, dtype=np.float64)
        return np.asarray(np.searchsorted(np.asarray(self.thresholds), needs), dtype=np.intp)

    @property
    def needs(self) -> Floats:
        """A need of each state."""
        return np.array([*self.thresholds, np.inf])


def states_of(setting: Setting) -> States:
    """Return the states of a machine: capacities before main memory, and kept shares of them."""
    found: set[float] = set()
    if not setting.bare:
        for level in setting.levels[:-1]:
            size = setting.facts[f"memories.{level}.capacity"]
            found.add(float(size) - float(setting.fact(f"memories.{level}.reserved", 0.0)))
        keep = kept_share(setting)
        if keep and len(setting.levels) > 1:
            near = setting.levels[-2]
            for level in {near, setting.levels[0]}:
                size = float(setting.facts[f"memories.{level}.capacity"])
                reserved = float(setting.fact(f"memories.{level}.reserved", 0.0))
                found.add((size - reserved) * keep)
    return States(tuple(sorted(found)))


def kept_share(setting: Setting) -> float:
    """Return the share of a scratchpad that activations may keep (0 where a kind has none)."""
    return float(setting.fact(f"engines.{setting.engine_name}.kept_share", 0.0))


@dataclass(frozen=True, slots=True)
class Priced:
    """Rows in all states.

    Attributes
    ----------
    names
        Quantities, keys of `perfmodel.cost.totals.network_totals`.
    values : array of shape ``(modes, rows, states ** accesses, settings, quantities)``
        Of all executions of a row. The state of access ``k`` is digit ``k`` of the third index.
    digits
        Row -> its accesses that have a state, as indices into the table's accesses.
    terms
        What the kind said, for its formats.
    """

    names: tuple[str, ...]
    values: Floats
    digits: tuple[tuple[int, ...], ...]
    terms: Terms

    def over(self, names: Sequence[str]) -> Floats:
        """Return the values of some quantities; 0 where there are none."""
        return over(self.values, self.names, names)

    def part(self, start: int, stop: int) -> Priced:
        """Return some of the rows."""
        return replace(self, values=self.values[:, start:stop], digits=self.digits[start:stop])


def price(
    table: OperatorTable,
    rows: Sequence[int],
    kind: Kind,
    settings: Sequence[Setting],
    states: States,
    footprints: Sequence[float] = (0.0,),
) -> Priced:
    """Cost rows of a table in all states of their activations.

    Parameters
    ----------
    table
        With accesses (and nests where the kind reads them), ``(rows, points)``.
    rows
        Rows to cost, ascending.
    settings
        One a way in which the whole network may run (`Setting.stays`).
    footprints
        Bytes of the whole network, one a mode beside `settings`, for warm runs.

    Notes
    -----
    A kind may treat a table without any matrix operator as another machine would; rows without one
    are costed beside one that has (`_anchored`), as in the network that they are from.

    Raises
    ------
    NotTabledError
        A row touches so many activations that its states are too many.
    """
    beside = _anchored(table, rows)
    priced = _price(table, beside, kind, settings, states, footprints)
    if len(beside) == len(rows):
        return priced
    own = [beside.index(row) for row in rows]
    digits = tuple(priced.digits[i] for i in own)
    return replace(priced, values=priced.values[:, own], digits=digits)


def over(values: Floats, own: Sequence[str], names: Sequence[str]) -> Floats:
    """Return values ``(..., quantities)`` of their own quantities as values of other ones."""
    if tuple(own) == tuple(names):
        return values
    out = np.zeros((*values.shape[:-1], len(names)))
    out[..., [list(names).index(name) for name in own]] = values
    return out


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return quantities, each once, in the order in which predictions have them."""
    heads = ("traffic", "operations", "energy")
    place = {head: i for i, head in enumerate(heads)}
    return tuple(sorted(dict.fromkeys(names), key=lambda n: place.get(n.partition(" ")[0], -1)))


def _anchored(table: OperatorTable, rows: Sequence[int]) -> Sequence[int]:
    """Return rows, and one more with a loop nest where they have none and the table has."""
    if table.nests is None or not len(table.nests) or np.isin(table.nests.row, rows).any():
        return rows
    return sorted([*rows, int(table.nests.row[-1])])


def _price(
    table: OperatorTable,
    rows: Sequence[int],
    kind: Kind,
    settings: Sequence[Setting],
    states: States,
    footprints: Sequence[float],
) -> Priced:
    digits = _digits(table.accesses, rows)
    most = max(map(len, digits), default=0)
    combos = states.count**most
    if combos * table.points > MOST_POINTS:
        raise NotTabledError(f"a kernel touches {most} activations in {states.count} states")
    values: list[Floats] = []
    names: tuple[str, ...] = ()
    terms: Terms | None = None
    for footprint in footprints:
        sub = _expanded(table, rows, digits, states, combos, footprint)
        for setting in settings:
            terms = compose(sub, cost(kind, sub, setting), setting)
            names, own = _quantities(sub, terms, setting)
            values.append(own.reshape(len(rows), combos, table.points, len(names)))
    assert terms is not None
    return Priced(names, np.stack(values), digits, terms)


def _digits(access: Accesses | None, rows: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the accesses of each row that have a state; none where nothing has one."""
    by_row: dict[int, list[int]] = {row: [] for row in rows}
    if access is not None:
        pairs = zip(access.row.tolist(), access.tensor.tolist(), strict=True)
        for i, (row, tensor) in enumerate(pairs):
            if row in by_row and tensor >= 0:
                by_row[row].append(i)
    return tuple(map(tuple, by_row.values()))


def _wide(values: Value, times: int, points: int) -> Floats:
    """Return ``(n, points or 1)`` repeated for every state; what does not vary stays one column."""
    array = np.asarray(values, dtype=float)
    return np.tile(array, (1, times)) if points > 1 and array.shape[1] > 1 else array


def _rows_of(table: OperatorTable, rows: Sequence[int], times: int) -> OperatorTable:
    """Return some rows of a table, each point repeated `times` times, without accesses."""
    at = np.asarray(rows, dtype=np.intp)
    place = {row: i for i, row in enumerate(rows)}

    def column(values: Value) -> Floats:
        return _wide(np.asarray(values, dtype=float)[at], times, table.points)

    moved: dict[str, tuple[Index, Value]] = {}
    for slot, (where, elements) in table.moved.items():
        mine = [i for i, row in enumerate(where.tolist()) if row in place]
        if mine:
            index = np.array([place[int(where[i])] for i in mine], dtype=np.intp)
            moved[slot] = (index, _wide(np.asarray(elements)[mine], times, table.points))
    return OperatorTable(
        tuple(table.rows[i] for i in rows),
        table.points * times,
        column(table.count),
        column(table.macs),
        column(table.masked_macs),
        column(table.vector_ops),
        column(table.scores),
        column(table.kernels),
        column(table.layers),
        moved,
        {},
        {},
        executed_macs=None if table.executed_macs is None else column(table.executed_macs),
        extents={name: column(values) for name, values in table.extents.items()},
    )


def _expanded(
    table: OperatorTable,
    rows: Sequence[int],
    digits: Sequence[tuple[int, ...]],
    states: States,
    combos: int,
    footprint: float,
) -> OperatorTable:
    """Return rows of a table at every combination of states, points fastest."""
    sub = _rows_of(table, rows, combos)
    access = table.accesses
    if access is None:
        return sub
    place = {row: i for i, row in enumerate(rows)}
    mine = [i for i, row in enumerate(access.row.tolist()) if row in place]
    new = {old: i for i, old in enumerate(mine)}
    row = np.array([place[int(access.row[i])] for i in mine], dtype=np.intp)
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]]) if len(row) else row
    # Every access has a tensor of its own, whose size is the need of its state.
    tensor = np.asarray(access.tensor)[mine].copy()
    codes = np.repeat(np.arange(combos), table.points)
    sizes: list[Floats] = []
    for each in digits:
        for k, i in enumerate(each):
            tensor[new[i]] = len(sizes)
            sizes.append(states.needs[codes // states.count**k % states.count])
    n = len(sizes)
    own = np.arange(n, dtype=np.intp)
    lifetimes = Lifetimes(
        tuple(str(i) for i in range(n)), (_BYTE,) * n, ((0, 0),) * n, own, (), own, own
    )
    needs = np.stack(sizes) if sizes else np.zeros((0, 1))
    elements = _wide(np.asarray(access.elements)[mine], combos, table.points)
    slots = tuple(access.slots[i] for i in mine)
    batched = access.batched[mine]
    sub.accesses = Accesses(row, starts, slots, tensor, elements, needs, lifetimes, batched)
    sub.live = {_BYTE: np.full((1, 1), footprint)}
    if table.nests is not None:
        sub.nests = _nests_of(table.nests, place, new, combos, table.points)
    return sub


def _nests_of(
    nests: Nests, place: dict[int, int], new: dict[int, int], times: int, points: int
) -> Nests:
    mine = np.flatnonzero(np.isin(nests.row, list(place)))
    row = np.array([place[int(nests.row[i])] for i in mine], dtype=np.intp)
    where = np.asarray(nests.access)[mine]
    moved = np.array([[new.get(int(a), -1) for a in each] for each in where], dtype=np.intp)
    numbers: dict[str, Any] = {
        name: _wide(np.asarray(getattr(nests, name))[mine], times, points) for name in COLUMNS
    }
    kept = {
        name: tuple(getattr(nests, name)[i] for i in mine)
        for name in ("kind", "name", "slots", "causal")
    }
    others = {"stride": nests.stride[mine], "dilation": nests.dilation[mine]}
    named = {f.name for f in fields(Nests)}
    assert named == {*numbers, *kept, *others, "row", "access"}
    return replace(nests, row=row, access=moved.reshape(-1, 3), **numbers, **kept, **others)


def _quantities(
    table: OperatorTable, terms: Terms, setting: Setting
) -> tuple[tuple[str, ...], Floats]:
    """Return names and values ``(rows, points, quantities)`` of what a network sums."""
    macs = table.macs
    if setting.causal_skips_masked:
        macs = macs - table.masked_macs
    parts: dict[str, Value] = {
        "latency_s": terms.row_s,
        "macs": macs,
        "bit_operations": macs * pair_bits(table, setting),
        "vector_ops": table.vector_ops,
    }
    parts |= {f"traffic {level}": moved for level, moved in terms.traffic.items()}
    parts |= {f"operations {name}": done for name, done in terms.operations.items()}
    parts |= {f"energy {name}": joule for name, joule in terms.energy.items()}
    shape = (len(table.rows), table.points)
    return tuple(parts), np.stack(
        [np.broadcast_to(table.count * np.asarray(p, dtype=float), shape) for p in parts.values()],
        axis=-1,
    )
