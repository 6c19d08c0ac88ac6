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

from perfmodel.cost.traffic.axis import Floats, Ints
from perfmodel.cost.traffic.levels import LevelsOptimum
from perfmodel.cost.traffic.levels_front import LACKED_AXIS
from perfmodel.cost.traffic.levels_problem import MultilevelTilingProblem
from perfmodel.cost.traffic.levels_trace import level_tile
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.stationarity import ALL, INPUT, OUTPUT, WEIGHT

#: Most splits of all extents together that are tried.
MOST = 20_000_000
#: Splits that are priced at once.
_CHUNK = 40_000

Bools = npt.NDArray[np.bool_]


class _Cut(NamedTuple):
    """Splits of positions, output and input channels, paired; each of shape (levels, splits)."""

    tile: tuple[Floats, Floats, Floats]
    counts: tuple[Floats, Floats, Floats]
    inputs: Floats
    fetched: Floats
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
    lists = (problem.splits.positions, problem.outs.tile, problem.ins.tile)
    number = lists[0].shape[1] * lists[1].shape[1] * lists[2].shape[1]
    if number > MOST:
        raise ValueError(f"{number} splits are more than {MOST}; thin the lists of tiles")
    prices = np.asarray(energies_per_byte, dtype=float) * nest.groups
    best = LevelsOptimum((float("inf"),) * len(capacities), (), float("inf"))
    for picks in _fitting(problem):
        cut = _cut(problem, picks)
        for stationary in itertools.product((OUTPUT, INPUT, WEIGHT), repeat=len(capacities)):
            crossing, valid, runs = _price(problem, cut, stationary)
            value = np.where(valid, np.tensordot(prices, crossing, axes=1), np.inf)
            at = int(np.argmin(value))
            if value[at] < best.objective:
                place, out, in_ = (int(pick[at]) for pick in picks)
                best = LevelsOptimum(
                    bytes=tuple((crossing[:, at] * nest.groups).tolist()),
                    tiles=tuple(
                        level_tile(
                            problem,
                            level,
                            place,
                            problem.outs.tile[level, out],
                            problem.ins.tile[level, in_],
                            operand if runs[level, at] else ALL,
                        )
                        for level, operand in enumerate(stationary)
                    ),
                    objective=float(value[at]),
                )
    return best


def _fitting(problem: MultilevelTilingProblem) -> Iterator[list[Ints]]:
    """Yield splits of positions, output and input channels that fit when all is held once."""
    splits, outs, ins = problem.splits, problem.outs.tile, problem.ins.tile
    batch: list[Ints] = []
    number = 0
    for place in range(len(splits)):
        footprint = problem.footprint(
            splits.inputs[:, place, None, None],
            splits.positions[:, place, None, None],
            outs[:, :, None].astype(float),
            ins[:, None, :].astype(float),
            None,
        )
        pairs: Ints = np.argwhere(np.all(footprint <= problem.rooms[:, None, None], axis=0)).T
        places = place + np.zeros((1, pairs.shape[1]), np.int64)
        batch.append(np.concatenate([places, pairs]))
        number += pairs.shape[1]
        if number >= _CHUNK or place == len(splits) - 1:
            if number:
                columns: Ints = np.concatenate(batch, axis=1)
                yield list(columns)
            batch, number = list[Ints](), 0


def _cut(problem: MultilevelTilingProblem, picks: list[Ints]) -> _Cut:
    place, out, in_ = picks
    splits, outs, ins = problem.splits, problem.outs, problem.ins
    return _Cut(
        tile=(
            splits.positions[:, place],
            outs.tile[:, out].astype(float),
            ins.tile[:, in_].astype(float),
        ),
        counts=(
            splits.count[:, place],
            outs.counts[:, out].astype(float),
            ins.counts[:, in_].astype(float),
        ),
        inputs=splits.inputs[:, place],
        fetched=splits.fetched[:, place],
        slid=problem.slid[:, place],
    )


def _price(
    problem: MultilevelTilingProblem, cut: _Cut, stationary: tuple[int, ...]
) -> tuple[Floats, Bools, Bools]:
    """Return bytes across each boundary, which splits are nests of this kind, and what runs.

    A loop level that runs no loop has no operand that stays; it is counted under the first only.
    """
    shape, nest = cut.inputs.shape, problem.group.nest
    valid = np.ones(shape[1], dtype=bool)
    crossing, any_runs = np.zeros(shape), np.zeros(shape, dtype=bool)
    passes = {operand: np.ones(shape[1]) for operand in LACKED_AXIS}
    fetched = np.full(shape[1], problem.splits.touched)
    by_operand = {
        operand: problem.footprint(cut.inputs, *cut.tile, operand) for operand in LACKED_AXIS
    }
    footprint = problem.footprint(cut.inputs, *cut.tile, None).copy()
    extents = (nest.positions, nest.out_channels, nest.in_channels)
    outer_tile: list[Floats] = [np.full(shape[1], float(extent)) for extent in extents]
    outer_count: list[Floats] = [np.ones(shape[1]) for _ in extents]
    for level, resting in enumerate(stationary):
        runs = [cut.tile[axis][level] < outer_tile[axis] for axis in range(3)]
        some = runs[0] | runs[1] | runs[2]
        any_runs[level] = some
        valid &= runs[LACKED_AXIS[resting]] | (~some & (resting == OUTPUT))
        # A tile that changes at the innermost loop that runs is held twice, also further in.
        footprint[level:] = np.where(some, by_operand[resting][level:], footprint[level:])
        for operand, axis in LACKED_AXIS.items():
            fresh = runs[(axis + 1) % 3] | runs[(axis + 2) % 3]
            now = outer_count[axis] if operand == resting else cut.counts[axis][level]
            passes[operand] = np.where(fresh, now, passes[operand])
            if operand == INPUT:
                tiles = cut.fetched if resting == OUTPUT else cut.slid
                fetched = np.where(fresh, tiles[level], fetched)
        crossing[level] = problem.traffic(fetched, passes[WEIGHT], passes[INPUT], passes[OUTPUT])
        outer_tile = [tile[level] for tile in cut.tile]
        outer_count = [count[level] for count in cut.counts]
    fits = np.all(footprint <= problem.rooms[:, None], axis=0)
    return crossing, valid & fits, any_runs
