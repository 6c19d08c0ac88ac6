"""Tiled traffic from its definition, by trying everything: the truth that tests compare with.

A nest has loops over the tiles of its dimensions

    N images, P rows, Q columns, K output channels, C input channels, R kernel rows, S columns

in some order. Each operand is held at a depth of the loops: what the loops inside touch of it is
its tile. ``even`` tiles are all held inside all loops; ``uneven`` ones each at any depth. A tile is
fetched whenever the index of its loops changes. `search` tries every tile, order and depth;
`walk` steps through one of them and looks at sets of elements.

Nothing here is shared with the package but the types that describe a problem.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths

DIMENSIONS = "NPQKCRS"
#: Which loops index an operand.
INDEXED = {"input": "NPQCRS", "weight": "KCRS", "output": "NPQK"}
OPERANDS = tuple(INDEXED)

#: Longer extents without interlocking windows are cut into the smallest tile of each count.
SHORT = 7


def extents(nest: TileNest) -> dict[str, int]:
    return {
        "N": nest.batch,
        "P": nest.out_rows,
        "Q": nest.out_columns,
        "K": nest.out_channels,
        "C": nest.in_channels,
        "R": nest.kernel_rows,
        "S": nest.kernel_columns,
    }


def steps_of(nest: TileNest) -> tuple[tuple[int, int], tuple[int, int]]:
    """Stride and dilation of the rows and of the columns."""
    return (
        (nest.row_stride, nest.row_dilation),
        (nest.column_stride, nest.column_dilation),
    )


def touched(positions: Iterable[int], taps: Iterable[int], stride: int, dilation: int) -> set[int]:
    taps = list(taps)
    return {i * stride + j * dilation for i in positions for j in taps}


@cache
def window(
    extent: int, taps: int, stride: int, dilation: int, p: int, r: int
) -> tuple[int, int, int, int]:
    """Input rows of tiles of p positions and r taps, by sets.

    Held by a tile, fetched by all, fetched by all where a step along the positions keeps what the
    tile before had, and the same along the taps.
    """
    grid = [
        [
            touched(range(i, min(i + p, extent)), range(j, min(j + r, taps)), stride, dilation)
            for j in range(0, taps, r)
        ]
        for i in range(0, extent, p)
    ]
    held = max(len(rows) for line in grid for rows in line)
    fetched = sum(len(rows) for line in grid for rows in line)
    down = sum(
        len(rows - grid[i - 1][j]) if i else len(rows)
        for i, line in enumerate(grid)
        for j, rows in enumerate(line)
    )
    along = sum(
        len(rows - line[j - 1]) if j else len(rows) for line in grid for j, rows in enumerate(line)
    )
    return held, fetched, down, along


def tile_sizes(nest: TileNest) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    interlocked = {"P": nest.row_dilation > 1, "Q": nest.column_dilation > 1}
    for d, extent in extents(nest).items():
        every = range(1, extent + 1)
        if d in "RS" or extent <= SHORT or interlocked.get(d):
            out[d] = list(every)
        else:
            out[d] = sorted(
                {
                    min(t for t in every if -(-extent // t) == n)
                    for n in {-(-extent // t) for t in every}
                }
            )
    return out


def orders(active: str, conventions: Conventions) -> list[str]:
    """Orders of loops, outermost first; those that differ in nothing that counts once.

    Neighbours that index the same operands may be exchanged, unless a window slides along them or
    an operand may be held between them.
    """
    kind = {d: tuple(d in INDEXED[x] for x in OPERANDS) for d in DIMENSIONS}

    def plain(order: tuple[str, ...]) -> str:
        runs = itertools.groupby(order, key=lambda d: kind[d])
        return "".join("".join(sorted(run)) for _, run in runs)

    every = itertools.permutations(active)
    if conventions.halo == "kept" or conventions.allocation == "uneven":
        return ["".join(order) for order in every]
    return sorted({plain(order) for order in every})


class Tilings:
    """All tiles of a nest as arrays (or some), and what an order of loops makes of them."""

    def __init__(
        self, nest: TileNest, widths: Widths, tile: Mapping[str, Any] | None = None
    ) -> None:
        assert nest.groups == 1
        self.nest, self.widths, self.whole = nest, widths, extents(nest)
        if tile is None:
            sizes = tile_sizes(nest)
            grid = np.array(list(itertools.product(*sizes.values())), dtype=np.int64).T
            tile = dict(zip(sizes, grid, strict=True))
        self.tile = dict(tile)
        self.count = {d: -(-self.whole[d] // t) for d, t in self.tile.items()}
        self.more = {d: n > 1 for d, n in self.count.items()}
        self.active = "".join(d for d in DIMENSIONS if self.whole[d] > 1)
        self._known: dict[Any, Any] = {}

    def _once(self, make: Callable[[], Any], *key: Any) -> Any:
        """Compute something that many orders share only once."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def held_tile(self, inside: str) -> dict[str, Any]:
        """Tile of an operand that is held outside some loops: whole along these."""
        return {
            d: np.full_like(t, self.whole[d]) if d in inside else t for d, t in self.tile.items()
        }

    def windows(self, axis: int, inside: str) -> Any:
        """Columns of `window` for every tile, shape (4, tiles)."""
        p, r = ("PR", "QS")[axis]

        def make() -> Any:
            tile = self.held_tile(inside)
            fixed = (self.whole[p], self.whole[r], *steps_of(self.nest)[axis])
            return np.array(
                [window(*fixed, int(a), int(b)) for a, b in zip(tile[p], tile[r], strict=True)]
            ).T

        return self._once(make, "windows", p in inside and p, r in inside and r, axis)

    def held(self, operand: str, inside: str) -> Any:
        """Elements of one tile."""

        def make() -> Any:
            tile = self.held_tile(inside)
            if operand == "input":
                rows, columns = self.windows(0, inside), self.windows(1, inside)
                return tile["N"] * tile["C"] * rows[0] * columns[0]
            return math.prod(tile[d] for d in INDEXED[operand])

        return self._once(make, "held", operand, frozenset(inside))

    def bins(self, operand: str, inside: str, width: float) -> Any:
        """One tile in whole units of capacity."""

        def make() -> Any:
            return np.rint(self.held(operand, inside) * width).astype(np.int64)

        return self._once(make, "bins", operand, frozenset(inside))

    def visits(self, operand: str, order: str) -> Any:
        """How often each tile comes in, inside a sequence of loops."""

        def make() -> Any:
            times = np.ones_like(self.tile["N"])
            started = np.zeros(len(times), dtype=bool)
            for d in reversed(order):
                if d in INDEXED[operand]:
                    started |= self.more[d]
                else:
                    times = np.where(started, times * self.count[d], times)
            return times

        # In a run of loops that all index it, or all do not, their order is the same to it.
        runs = itertools.groupby(order, key=lambda d: d in INDEXED[operand])
        return self._once(make, "visits", operand, *(frozenset(run) for _, run in runs))

    def read(self, order: str, inside: str, *, kept: bool) -> Any:
        """Elements of the input that all tiles fetch, once each."""

        def make() -> Any:
            rows, columns = self.windows(0, inside), self.windows(1, inside)
            fetched = rows[1] * columns[1]
            if kept:
                # The innermost loop of the input with more than one tile slides.
                decided = np.zeros(fetched.shape, dtype=bool)
                slid = {
                    "P": rows[2] * columns[1],
                    "R": rows[3] * columns[1],
                    "Q": rows[1] * columns[2],
                    "S": rows[1] * columns[3],
                }
                for d in reversed(loops):
                    if d in slid:
                        fetched = np.where(~decided & self.more[d], slid[d], fetched)
                    decided |= self.more[d]
            return fetched * self.whole["N"] * self.whole["C"]

        loops = "".join(d for d in order if d in INDEXED["input"])
        return self._once(make, "read", kept and loops, frozenset(inside))

    def traffic(self, operand: str, order: str, inside: str, *, kept: bool) -> Any:
        """Bytes of an operand held outside the loops `inside`, inside the loops `order`."""
        times, w = self.visits(operand, order), self.widths
        if operand == "input":
            return self.read(order, inside, kept=kept) * times * w.input
        elements = math.prod(self.whole[d] for d in INDEXED[operand])
        if operand == "weight":
            return elements * times * w.weight
        return elements * (w.output + 2 * (times - 1) * w.partial)

    def innermost(self, order: str) -> Any:
        """Place in `DIMENSIONS` of the innermost loop with several tiles; past them for none."""

        def make() -> Any:
            found = np.full(len(self.tile["N"]), len(DIMENSIONS))
            for d in order:
                found[self.more[d]] = DIMENSIONS.index(d)
            return found

        return self._once(make, "innermost", order)

    def doubled(self, operand: str, order: str, inside: str) -> Any:
        """Whether a tile changes at the innermost loop with more than one tile."""
        changes = [d in INDEXED[operand] and d not in inside for d in DIMENSIONS]
        return np.array([*changes, False])[self.innermost(order + inside)]


def search(
    nest: TileNest, widths: Widths, conventions: Conventions, *, unit: float = 0.5
) -> tuple[Any, Any]:
    """Least traffic of a nest at every capacity.

    Parameters
    ----------
    unit
        Widths are multiples of this many bytes, and so are capacities.

    Returns
    -------
    capacities, traffic
        Bytes; infinite where no tile fits.
    """
    groups, nest = nest.groups, replace(nest, groups=1)
    all_ = Tilings(nest, widths)
    held_width = {"input": widths.input, "weight": widths.weight, "output": widths.partial}
    top = sum(held_width[x] * all_.held(x, DIMENSIONS)[0] for x in OPERANDS)
    best = np.full(round(2 * top / unit) + 1, np.inf)
    kept, double = conventions.halo == "kept", conventions.buffering == "double"
    for order in orders(all_.active, conventions):
        choices: list[list[tuple[Any, Any]]] = []
        for x in OPERANDS:
            choices.append([])
            for outside, inside in depths(order, INDEXED[x], conventions):
                held = all_.bins(x, inside, held_width[x] / unit)
                if double:
                    held = held * (1 + all_.doubled(x, outside, inside))
                moved = all_.traffic(x, outside, inside, kept=kept)
                choices[-1].append((held, moved))
        inputs, weights, outputs = choices
        for (h, m), (held, moved) in itertools.product(inputs, weights):
            two, both = h + held, m + moved
            for held, moved in outputs:
                np.minimum.at(best, two + held, both + moved)
    return np.arange(len(best)) * unit, groups * np.minimum.accumulate(best)


def depths(order: str, indexed: str, conventions: Conventions) -> Iterator[tuple[str, str]]:
    """Loops outside and inside of where an operand is held."""
    yield order, ""
    if conventions.allocation == "uneven":
        for i in range(len(order)):
            # Outside a loop that does not index it an operand holds the same as inside.
            if order[i] in indexed:
                yield order[:i], order[i:]


def walk(
    nest: TileNest,
    widths: Widths,
    order: str,
    tile: Mapping[str, int],
    inside: Mapping[str, str],
    *,
    kept: bool,
) -> tuple[float, float]:
    """Step through all tiles of one order, holding the last tile of each operand.

    Parameters
    ----------
    order
        Loops, outermost first, all seven.
    tile
        Tile of each dimension.
    inside
        For each operand the loops inside of where it is held: a tail of the order.

    Returns
    -------
    bytes moved, bytes held at most (each tile once)
    """
    whole = extents(nest)
    (stride, dilation), (column_stride, column_dilation) = steps_of(nest)
    held_width = {"input": widths.input, "weight": widths.weight, "output": widths.partial}
    last: dict[str, tuple[tuple[int, ...], set[Any]]] = {}
    moved, seen = 0.0, set[tuple[int, ...]]()
    biggest = dict.fromkeys(OPERANDS, 0)

    def elements(operand: str, at: dict[str, range]) -> set[Any]:
        if operand == "input":
            rows = touched(at["P"], at["R"], stride, dilation)
            columns = touched(at["Q"], at["S"], column_stride, column_dilation)
            return set(itertools.product(at["N"], at["C"], rows, columns))
        return set(itertools.product(*(at[d] for d in INDEXED[operand])))

    for starts in itertools.product(*(range(0, whole[d], tile[d]) for d in order)):
        start = dict(zip(order, starts, strict=True))
        for x in OPERANDS:
            at = {
                d: range(whole[d])
                if d in inside[x]
                else range(start[d], min(start[d] + tile[d], whole[d]))
                for d in order
            }
            loops = [d for d in INDEXED[x] if d not in inside[x]]
            index = tuple(start[d] // tile[d] for d in loops)
            before = last.get(x)
            if before is not None and before[0] == index:
                continue
            now = elements(x, at)
            biggest[x] = max(biggest[x], len(now))
            last[x] = index, now
            if x == "weight":
                moved += len(now) * widths.weight
            elif x == "output":
                if index in seen:
                    # It had gone out as partial sums, and comes back.
                    moved += 2 * len(now) * widths.partial
                else:
                    # It goes out complete in the end.
                    moved += len(now) * widths.output
                    seen.add(index)
            else:
                keeps = kept and before is not None and _slides(before[0], index, loops)
                moved += len(now - before[1] if keeps and before else now) * widths.input
    return moved, sum(held_width[x] * biggest[x] for x in OPERANDS)


def _slides(before: tuple[int, ...], after: tuple[int, ...], loops: list[str]) -> bool:
    """Whether a window moved one step along one axis."""
    steps = [(d, b - a) for d, a, b in zip(loops, before, after, strict=True) if a != b]
    return len(steps) == 1 and steps[0][1] == 1 and steps[0][0] in "PQRS"


KINDS = ("gemm", "convolution", "square", "strided", "dilated", "depthwise", "grouped", "batched")


def random_nest(rng: np.random.Generator, *, small: bool = False) -> tuple[str, TileNest]:
    """A nest that a search is quick on, and what it is an example of."""

    def some(*choices: int) -> int:
        return int(rng.choice(choices))

    kind = KINDS[int(rng.integers(len(KINDS)))]
    if kind == "gemm":
        if small:
            return kind, TileNest(some(1, 3, 5, 8), 1, some(1, 4, 7), some(1, 2, 5, 9))
        return kind, TileNest(
            some(1, 3, 5, 8, 12, 17), 1, some(1, 6, 7, 13), some(1, 5, 9, 16), groups=some(1, 3)
        )
    rows, columns = (some(2, 3, 4), some(1, 2, 3)) if small else (some(*range(2, 9)), some(1, 3, 5))
    nest: dict[str, int] = {
        "out_rows": rows,
        "out_columns": columns,
        "kernel_rows": some(2, 3),
        "kernel_columns": some(1, 2) if small else some(1, 2, 3),
        "in_channels": some(1, 2) if small else some(1, 2, 3, 5),
        "out_channels": some(1, 2, 3) if small else some(1, 2, 3, 5),
    }
    if kind == "square":
        nest |= {"out_columns": rows, "kernel_columns": nest["kernel_rows"]}
        nest |= {"out_channels": 1} if small else {"in_channels": 2, "row_stride": 1}
    if kind == "strided":
        nest |= {"row_stride": some(2, 3), "column_stride": some(1, 2), "kernel_rows": 3}
    if kind == "dilated":
        nest |= {
            "row_dilation": some(2, 3),
            "column_dilation": some(1, 2),
            "row_stride": some(1, 2, 3),
        }
    if kind == "depthwise":
        nest |= {"in_channels": 1, "out_channels": 1, "groups": some(1, 8)}
        nest |= {"row_stride": some(1, 2), "batch": some(1, 2)}
    if kind == "grouped":
        nest |= {"groups": some(2, 3)}
    if kind == "batched":
        nest |= {"batch": some(2, 3), "kernel_columns": 1}
        nest |= {"out_rows": min(rows, 4), "in_channels": some(1, 2)}
    return kind, TileNest(**nest)


def random_widths(rng: np.random.Generator) -> Widths:
    """Widths in halves of a byte; now and then an operand that does not cross."""
    return Widths(
        float(rng.choice([0.5, 1, 2, 0])),
        float(rng.choice([0.5, 1, 2, 0])),
        float(rng.choice([1, 2, 0])),
        float(rng.choice([0.5, 1, 2, 4])),
    )
