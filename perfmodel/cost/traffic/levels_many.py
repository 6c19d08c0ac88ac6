"""Any number of levels of memory jointly, by trying all nested tiles; exact, for small nests.

`perfmodel.cost.traffic.levels` has two levels at real sizes. Here every split of every extent over
all levels is priced, for each choice of the operand that stays at each level. The work grows with
the product of the lists of splits; `thin` shortens them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.levels import LevelsOptimum, LevelTile
from perfmodel.cost.traffic.levels_problem import STATIONARY, MultilevelTilingProblem
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase_axes import Floats

#: Most splits of all extents together that are tried.
MOST = 20_000_000
_SLACK = 1.0 + 1e-12
#: Splits that are priced at once.
_CHUNK = 40_000

Bools = npt.NDArray[np.bool_]


class _Cut(NamedTuple):
    """Splits of positions, output and input channels, paired; each of shape (levels, splits)."""

    tile: tuple[Floats, Floats, Floats]
    parts: tuple[Floats, Floats, Floats]
    patch: Floats
    volume: Floats
    slid: Floats


def levels(
    nest: TileNest,
    widths: Widths,
    capacities: Sequence[float],
    energies_per_byte: Sequence[float],
    conventions: Conventions = Conventions(),  # noqa: B008
    *,
    thin: float = 1.0,
) -> LevelsOptimum:
    """Return the nested tiles whose traffic across all boundaries costs the least energy.

    Parameters
    ----------
    nest
        Each of its `groups` is a problem of its own.
    widths
        Bytes of an element across every boundary.
    capacities
        Bytes of each level, the outermost first, none above the one outside it.
    energies_per_byte
        Joules a byte across the boundary outside each level.
    conventions
        ``allocation`` must be ``even``. Kernel taps stay whole in every tile.
    thin
        Tiles closer than this ratio are left out of the lists: 1 is exact, more is never below
        the optimum.

    Raises
    ------
    ValueError
        What `two_levels` refuses, capacities and energies of different number, or more than `MOST`
        splits to try.
    """
    if len(capacities) != len(energies_per_byte):
        raise ValueError("one capacity and one energy for each level")
    problem = MultilevelTilingProblem.of(nest, widths, capacities, conventions, thin)
    lists = (problem.places.area, problem.outs.tile, problem.ins.tile)
    number = lists[0].shape[1] * lists[1].shape[1] * lists[2].shape[1]
    if number > MOST:
        raise ValueError(f"{number} splits are more than {MOST}; thin the lists of tiles")
    prices = np.asarray(energies_per_byte, dtype=float) * nest.groups
    best = LevelsOptimum((float("inf"),) * len(capacities), (), float("inf"))
    for picks in _fitting(problem):
        cut = _cut(problem, picks)
        for stays in itertools.product(range(3), repeat=len(capacities)):
            moved, ok, runs = _price(problem, cut, stays)
            value = np.where(ok, np.tensordot(prices, moved, axes=1), np.inf)
            at = int(np.argmin(value))
            if value[at] < best.objective:
                best = LevelsOptimum(
                    tuple((moved[:, at] * nest.groups).tolist()),
                    _tiles(problem, [p[at] for p in picks], stays, runs[:, at]),
                    float(value[at]),
                )  # fmt: skip
    return best


def _fitting(problem: MultilevelTilingProblem) -> Iterator[list[npt.NDArray[np.intp]]]:
    """Yield splits of positions, output and input channels that fit when all is held once."""
    p, outs, ins = problem.places, problem.outs.tile, problem.ins.tile
    room = np.array(problem.capacities)[:, None, None] * _SLACK
    held: list[list[npt.NDArray[np.intp]]] = []
    number = 0
    for place in range(len(p)):
        taken = problem.footprint(
            p.patch[:, place, None, None], p.area[:, place, None, None],
            outs[:, :, None].astype(float), ins[:, None, :].astype(float), None,
        )  # fmt: skip
        out, in_ = np.nonzero(np.all(taken <= room, axis=0))
        held.append([np.full(out.shape, place), out, in_])
        number += out.size
        if number >= _CHUNK or place == len(p) - 1:
            if number:
                yield [np.concatenate([h[i] for h in held]) for i in range(3)]
            held, number = [], 0


def _cut(problem: MultilevelTilingProblem, picks: list[npt.NDArray[np.intp]]) -> _Cut:
    place, out, in_ = picks
    p, outs, ins = problem.places, problem.outs, problem.ins
    slid = p.slid if problem.kept else p.volume
    return _Cut(
        (p.area[:, place], outs.tile[:, out].astype(float), ins.tile[:, in_].astype(float)),
        (p.parts[:, place], outs.parts[:, out].astype(float), ins.parts[:, in_].astype(float)),
        p.patch[:, place], p.volume[:, place], slid[:, place],
    )  # fmt: skip


#: Extent that each operand of `STATIONARY` does not depend on: positions 0, outputs 1, inputs 2.
_FREE = (2, 1, 0)


def _price(
    problem: MultilevelTilingProblem, cut: _Cut, stays: tuple[int, ...]
) -> tuple[Floats, Bools, Bools]:
    """Return bytes across each boundary, which splits are nests of this kind, and what runs.

    A loop level that runs no loop has no operand that stays; it is counted under the first only.
    """
    shape = cut.patch.shape
    whole = (problem.positions, problem.nest.out_channels, problem.nest.in_channels)
    ok = np.ones(shape[1], dtype=bool)
    moved, any_runs = np.zeros(shape), np.zeros(shape, dtype=bool)
    times = [np.ones(shape[1]) for _ in range(3)]
    volume = np.full(shape[1], problem.places.whole)
    room: list[Floats] = [
        problem.footprint(cut.patch, cut.tile[0], cut.tile[1], cut.tile[2], k) for k in range(3)
    ]  # fmt: skip
    once = problem.footprint(cut.patch, cut.tile[0], cut.tile[1], cut.tile[2], None)
    inside = once.copy()
    before_tile = [np.full(shape[1], float(w)) for w in whole]
    before_parts = [np.ones(shape[1]) for _ in range(3)]
    for level, who in enumerate(stays):
        runs = [cut.tile[a][level] < before_tile[a] for a in range(3)]
        some = runs[0] | runs[1] | runs[2]
        any_runs[level] = some
        ok &= runs[_FREE[who]] | (~some & (who == 0))
        # A tile that changes at the innermost loop that runs is held twice, also further in.
        inside[level:] = np.where(some, room[who][level:], inside[level:])
        for operand in range(3):
            free = _FREE[operand]
            fresh = runs[(free + 1) % 3] | runs[(free + 2) % 3]
            now = before_parts[free] if operand == who else cut.parts[free][level]
            times[operand] = np.where(fresh, now, times[operand])
            if operand == 1:
                fetched = cut.volume[level] if who == 0 else cut.slid[level]
                volume = np.where(fresh, fetched, volume)
        moved[level] = (
            problem.outputs + problem.partials * (times[0] - 1.0)
            + problem.inputs(volume) * times[1] + problem.weights * times[2]
        )  # fmt: skip
        before_tile = [cut.tile[a][level] for a in range(3)]
        before_parts = [cut.parts[a][level] for a in range(3)]
    fits = inside <= np.array(problem.capacities)[:, None] * _SLACK
    return moved, ok & np.all(fits, axis=0), any_runs


def spatial_tile(problem: MultilevelTilingProblem, level: int, split: int) -> tuple[int, int, int]:
    """Return images, rows and columns of a tile."""
    images, rows, columns = problem.places.tiles
    return int(images[level, split]), int(rows[level, split]), int(columns[level, split])


def _tiles(
    problem: MultilevelTilingProblem, pick: list[np.intp], stays: tuple[int, ...], runs: Bools
) -> tuple[LevelTile, ...]:  # fmt: skip
    place, out, in_ = pick
    return tuple(
        LevelTile(
            *spatial_tile(problem, level, int(place)),
            int(problem.outs.tile[level, out]), int(problem.ins.tile[level, in_]),
            STATIONARY[who] if runs[level] else "all",
        )
        for level, who in enumerate(stays)
    )  # fmt: skip
