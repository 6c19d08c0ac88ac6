"""Latency and working set of one subgraph, for many granularities at once.

A step is one output tile and one slice of the sums. It takes the longer of its compute and of its
transfers (what is not there from the step before, and outputs that are finished). Steps that cost
the same are counted, not walked through: tiles by whether they are cut off at the edge and by what
they share with the tile before, slices of the sums by the points where anything changes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from perfmodel_studies.contest.instance import Instance
from perfmodel_studies.contest.structure import ALL, DEPTH, TILE, Demand, Structure

__all__ = [
    "COLUMN_SNAKE",
    "ORDERS",
    "RASTER",
    "ROW_SNAKE",
    "GranularityCosts",
    "SubgraphCosts",
    "tile_order",
]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
_Load: TypeAlias = tuple[int, Demand, Floats]

RASTER, ROW_SNAKE, COLUMN_SNAKE = "raster", "row snake", "column snake"
ORDERS = (RASTER, ROW_SNAKE, COLUMN_SNAKE)
#: What a tile shares with the one before it: it is the first; its rows; its columns; neither.
_FIRST, _ROWS, _COLUMNS, _NEITHER = 0, 1, 2, 3
_CLASSES = 16  # 4 of these x last row of tiles or not x last column of tiles or not
_KIND: Whole = np.repeat(np.arange(4), 4)
_LAST_ROW: NDArray[np.bool_] = np.tile(np.repeat([False, True], 2), 4)
_LAST_COLUMN: NDArray[np.bool_] = np.tile([False, True], 8)


@dataclass(frozen=True, slots=True)
class GranularityCosts:
    """Arrays over the granularities.

    Attributes
    ----------
    latency
        Sum over the steps, in the contest's units of time.
    working_set
        Elements of fast memory.
    compute
        Sum of the compute of the steps.
    read, written
        Elements from and to slow memory.
    """

    latency: Floats
    working_set: Floats
    compute: Floats
    read: Floats
    written: Floats


def tile_order(rows: int, columns: int, order: str) -> list[int]:
    """Return the order of the tiles of a grid, as raster positions."""
    tiles: Whole = np.arange(rows * columns).reshape(rows, columns)
    lines = (tiles.T if order == COLUMN_SNAKE else tiles).copy()
    if order != RASTER:
        lines[1::2] = lines[1::2, ::-1]
    return [int(tile) for tile in lines.reshape(-1)]


@lru_cache(maxsize=65536)
def _counts(rows: int, columns: int, order: str | tuple[int, ...]) -> tuple[int, ...]:
    """Return the number of tiles of each class."""
    if not isinstance(order, str):
        return _walked(rows, columns, order)
    by_columns = order == COLUMN_SNAKE
    lines, length = (columns, rows) if by_columns else (rows, columns)
    along, across = (_COLUMNS, _ROWS) if by_columns else (_ROWS, _COLUMNS)
    count = [0] * _CLASSES

    def add(kind: int, last_line: bool, last_in_line: bool, tiles: int) -> None:
        row, column = (last_in_line, last_line) if by_columns else (last_line, last_in_line)
        count[kind * 4 + row * 2 + column] += tiles

    for first, last, odd, these in _lines(lines):
        back = odd and order != RASTER  # walked from its end
        start = across if order != RASTER or length == 1 else _NEITHER
        add(_FIRST if first else start, last, back or length == 1, these)
        if length > 1:
            add(along, last, False, these * (length - 1 if back else length - 2))
            add(along, last, True, 0 if back else these)
    return tuple(count)


def _lines(lines: int) -> list[tuple[bool, bool, bool, int]]:
    """Lines of tiles: the first or not, the last or not, of odd number or not, how many such."""
    inner = max(0, lines - 2)
    groups_of_lines = [(True, lines == 1, False, 1), (False, False, True, inner - inner // 2)]
    groups_of_lines += [(False, False, False, inner // 2)]
    return groups_of_lines + [(False, True, lines % 2 == 0, 1)] * (lines > 1)


def _walked(rows: int, columns: int, order: tuple[int, ...]) -> tuple[int, ...]:
    tiles: Whole = np.array(order, dtype=np.int64)
    i, j = tiles // columns, tiles % columns
    kind: Whole = np.full(len(tiles), _NEITHER, dtype=np.int64)
    kind[1:][i[1:] == i[:-1]] = _ROWS
    kind[1:][j[1:] == j[:-1]] = _COLUMNS
    kind[0] = _FIRST
    number = kind * 4 + (i == rows - 1) * 2 + (j == columns - 1)
    return tuple(int(n) for n in np.bincount(number, minlength=_CLASSES))


class SubgraphCosts:
    """Costs of a subgraph in many granularities.

    Parameters
    ----------
    widths, heights, depths
        The granularities ``[w, h, k]``, arrays of one length, within what the structure allows.
    resident
        Tensors that the subgraph before left in fast memory, whole.
    retained
        Tensors that this one leaves there, whole.
    """

    def __init__(
        self,
        instance: Instance,
        structure: Structure,
        widths: Whole,
        heights: Whole,
        depths: Whole,
        resident: frozenset[int] = frozenset(),
        retained: frozenset[int] = frozenset(),
    ) -> None:
        w, h, k = widths, heights, depths
        self.resident, self.retained = resident, retained
        self.instance, self.structure = instance, structure
        self.w, self.h, self.k = w, h, k
        self.columns: Whole = -(-structure.width // w)
        self.rows: Whole = -(-structure.height // h)
        self.own: dict[int, Whole] = {d: -(-d // k) for d in structure.depths}
        steps: Whole = np.ones_like(w)
        for own in self.own.values():
            steps = np.maximum(steps, own)
        self.steps = steps

    def span(self, demand: Demand) -> tuple[Whole, Whole]:
        """First step in which a region is needed, and the one after the last."""
        if demand.during:
            return np.zeros_like(self.steps), self.own[demand.during]
        return self.steps - 1, self.steps

    def codes(self, demand: Demand) -> tuple[Whole, Whole]:
        """Along each axis: 0 where all of it, 1 tile by tile, more than 1 step by step."""
        out: list[Whole] = []
        for axis, tiles in ((demand.rows, self.rows), (demand.columns, self.columns)):
            if axis == ALL:
                out.append(np.zeros_like(self.w))
            elif axis == TILE:
                out.append((tiles > 1).astype(np.int64))
            else:
                out.append(np.where(self.own[demand.depth] > 1, demand.depth + 1, 0))
        return out[0], out[1]

    @cached_property
    def loads(self) -> list[_Load]:
        """Regions to load; alike ones of different tensors as one, with how many they are."""
        mine: dict[int, list[Demand]] = {}
        for s in self.structure.slices:
            if s.tensor not in self.resident:
                mine.setdefault(s.tensor, []).append(s.demand)
        alike: dict[Hashable, list[int]] = {}
        loads: list[_Load] = []
        for tensor, demands in mine.items():
            if len(demands) == 1:
                alike.setdefault((demands[0], self.instance.shape(tensor)), []).append(tensor)
            else:
                loads += self.overlapping(tensor, demands)
        for tensors in alike.values():
            number: Floats = np.full(len(self.w), float(len(tensors)))
            loads.append((tensors[0], mine[tensors[0]][0], number))
        return loads

    def overlapping(self, tensor: int, demands: list[Demand]) -> list[_Load]:
        """Regions of one tensor: 1 where no other of them covers a region, else 0."""
        shapes = [(self.codes(d), self.span(d)) for d in demands]
        loads: list[_Load] = []
        for a, demand in enumerate(demands):
            own: NDArray[np.bool_] = np.ones(len(self.w), dtype=np.bool_)
            (rows, columns), (begin, end) = shapes[a]
            for b in range(len(demands)):
                if a == b:
                    continue
                (by_rows, by_columns), (first, last) = shapes[b]
                same = (rows == by_rows) & (columns == by_columns)
                unsplit = (by_rows == 0) & (by_columns == 0)
                covers = (same | unsplit) & (first <= begin) & (last >= end)
                if b > a:  # of two that cover each other the first stays
                    covers &= ~(same & (first == begin) & (last == end))
                own &= ~covers
            loads.append((tensor, demand, own.astype(np.float64)))
        return loads

    def axis(self, kind: str, rows: bool, tensor: int, sizes: Floats, step: Floats) -> Floats:
        """Extent of a region along an axis: an array over granularities x classes."""
        if kind == TILE:
            return sizes
        if kind == DEPTH:
            return step[:, None]
        full = self.instance.heights[tensor] if rows else self.instance.widths[tensor]
        return np.full((1, 1), float(full))

    def depth_at(self, length: int, q: Whole) -> Floats:
        """Size of step `q` of a sum, 0 beyond its end."""
        return np.maximum(np.minimum(length - q * self.k, self.k), 0).astype(np.float64)

    def runs(self) -> list[tuple[Floats, int, int]]:
        """Compute of a tile, alike operations as one; over which sum's steps; from which step."""
        together: dict[tuple[int, int, int, int], float] = {}
        for run in self.structure.executions:
            op, d = self.instance.operations[run.operation], run.demand
            out = op.outputs[0]
            extents = [
                0 if axis == TILE else d.depth if axis == DEPTH else full
                for axis, full in (
                    (d.rows, self.instance.heights[out]),
                    (d.columns, self.instance.widths[out]),
                )
            ]
            key = (extents[0], extents[1], run.spread, int(d.during > 0))
            together[key] = together.get(key, 0.0) + op.base_cost
        lengths: list[tuple[Floats, int, int]] = []
        for (rows, columns, spread, early), cost in together.items():
            passes: Floats = np.full(len(self.w), cost)
            passes = passes * -(-rows // self.h) if rows else passes
            passes = passes * -(-columns // self.w) if columns else passes
            lengths.append((passes, spread, early))
        return lengths

    def compute_at(self, runs: list[tuple[Floats, int, int]], q: Whole) -> Floats:
        """Return the compute of step `q` of a tile, by granularity."""
        total: Floats = np.zeros(len(self.w))
        for passes, spread, early in runs:
            if spread:
                total += passes * self.depth_at(spread, q) / spread
            else:
                total += passes * (q == (0 if early else self.steps - 1))
        return total

    @property
    def working_set(self) -> Floats:
        """Elements of fast memory, by granularity."""
        tile_h: Floats = np.minimum(self.h, self.structure.height).astype(np.float64)[:, None]
        tile_w: Floats = np.minimum(self.w, self.structure.width).astype(np.float64)[:, None]
        resident_elements = sum(self.instance.elements(t) for t in self.resident | self.retained)
        total: Floats = np.full(len(self.w), float(resident_elements))
        for tensor, d, number in self.loads:
            step: Floats = np.minimum(self.k, d.depth).astype(np.float64)
            size = self.axis(d.rows, True, tensor, tile_h, step) * self.axis(
                d.columns, False, tensor, tile_w, step
            )
            total = total + size[:, 0] * number
        tiles = len([t for t in self.structure.outputs if t not in self.retained])
        return total + tiles * (tile_h * tile_w)[:, 0]

    def ordered(self, *orders: str | Sequence[int]) -> list[GranularityCosts]:
        """Cost the subgraph in each of some orders of its tiles.

        Parameters
        ----------
        orders
            Each one of `ORDERS`, or the tiles in their order (one granularity then).
        """
        s = self.structure
        last_h = s.height - (self.rows - 1) * self.h
        last_w = s.width - (self.columns - 1) * self.w
        tile_h: Floats = np.where(_LAST_ROW, last_h[:, None], self.h[:, None]).astype(np.float64)
        tile_w: Floats = np.where(_LAST_COLUMN, last_w[:, None], self.w[:, None]).astype(np.float64)
        runs = self.runs()
        moves = [_Move(self, tensor, d, number, tile_h, tile_w) for tensor, d, number in self.loads]
        stored = len([t for t in s.outputs if t not in self.retained]) * tile_h * tile_w
        sums: list[Floats] = [np.zeros_like(tile_h) for _ in range(4)]  # over the steps of a tile
        for q, length in self.intervals():
            busy: Floats = self.compute_at(runs, q)[:, None]
            moved_in: Floats = np.zeros_like(tile_h)
            for move in moves:
                moved_in = moved_in + move.at(q)
            moved_out = stored * np.asarray(q == self.steps - 1)[:, None]
            times = length[:, None]
            transfer = (moved_in + moved_out) / self.instance.bandwidth
            for total, new in zip(
                sums, (np.maximum(busy, transfer), busy, moved_in, moved_out), strict=True
            ):
                total += times * new
        working = self.working_set
        of_granularities: list[GranularityCosts] = []
        for order in orders:
            key = order if isinstance(order, str) else tuple(order)
            count: Floats = np.array(
                [
                    _counts(r, c, key)
                    for r, c in zip(self.rows.tolist(), self.columns.tolist(), strict=True)
                ],
                dtype=np.float64,
            ).reshape(len(self.w), _CLASSES)
            latency, busy, moved_in, moved_out = ((count * t).sum(axis=1) for t in sums)
            of_granularities.append(GranularityCosts(latency, working, busy, moved_in, moved_out))
        return of_granularities

    def intervals(self) -> list[tuple[Whole, Whole]]:
        """Runs of steps that cost the same: the first of each, and how many."""
        zero = np.zeros_like(self.steps)
        cuts = [zero, zero + 1, self.steps - 1, self.steps]
        for own in self.own.values():
            cuts += [own - 1, own]
        points: Whole = np.sort(np.minimum(np.array(cuts, dtype=np.int64), self.steps), axis=0)
        return [
            (points[i], points[i + 1] - points[i])
            for i in range(len(points) - 1)
            if (points[i + 1] > points[i]).any()
        ]


class _Move:
    """What a region moves into fast memory at a step: granularities x classes of tiles."""

    def __init__(
        self,
        grid: SubgraphCosts,
        tensor: int,
        demand: Demand,
        number: Floats,
        tile_h: Floats,
        tile_w: Floats,
    ) -> None:
        self.grid, self.demand = grid, demand
        one: Floats = np.ones(len(grid.w))
        size = grid.axis(demand.rows, True, tensor, tile_h, one) * grid.axis(
            demand.columns, False, tensor, tile_w, one
        )
        self.size: Floats = size * number[:, None]  # but for the extent along a sum
        self.begin, self.end = grid.span(demand)
        by_rows, by_columns = grid.codes(demand)
        self.follows = (by_rows > 1) | (by_columns > 1)  # another slice at each step of a sum
        # at the start of a tile, the step before is the last one of the tile before
        there = (self.end == grid.steps) & ~self.follows
        other_rows, other_columns = by_rows == 1, by_columns == 1
        new = (
            ~there[:, None]
            | (other_rows[:, None] & ((_KIND == _COLUMNS) | (_KIND == _NEITHER)))
            | (other_columns[:, None] & ((_KIND == _ROWS) | (_KIND == _NEITHER)))
            | (_KIND == _FIRST)
        )
        self.start: Floats = self.size * new

    def at(self, q: Whole) -> Floats:
        """Elements loaded at step `q`: needed, and not there in the step before."""
        needed = (q >= self.begin) & (q < self.end)
        before = (q - 1 >= self.begin) & (q - 1 < self.end)
        length = self.demand.depth
        extent = self.grid.depth_at(length, q) if length else np.ones(len(q))
        first = q == 0
        inside: Floats = extent * (needed & (self.follows | ~before) & ~first)
        return self.size * inside[:, None] + self.start * (extent * (needed & first))[:, None]
