"""Joint tiling for any number of memory levels by exhaustive search; exact, for small nests.

`perfmodel.cost.traffic.levels` solves two levels at practical sizes. Here every split of every
extent over all levels is evaluated with every choice of stationary operand per level. The work
grows with the product of the numbers of splits; `thin` reduces them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.axis import Floats, Ints
from perfmodel.cost.traffic.levels import LevelsOptimum
from perfmodel.cost.traffic.levels_front import INVARIANT_AXIS
from perfmodel.cost.traffic.levels_problem import MultilevelTilingProblem
from perfmodel.cost.traffic.levels_trace import level_tile
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.stationarity import ALL, INPUT, OUTPUT, WEIGHT

#: Maximum number of joint splits of all extents that are evaluated.
MOST = 20_000_000
#: Number of splits evaluated at once.
_CHUNK = 40_000

Bools = npt.NDArray[np.bool_]


class _Cut(NamedTuple):
    """Joint splits of positions, output and input channels; arrays of shape (levels, splits)."""

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
    """Return the nested tiles with the minimum energy of traffic across all boundaries.

    Parameters
    ----------
    nest
        Loop nest; its `groups` are separate problems.
    widths
        Bytes per element across every boundary.
    capacities
        Bytes of each level, outermost first, not increasing inwards.
    energies_per_byte
        Joules per byte across the outer boundary of each level.
    conventions
        ``allocation`` must be ``even``. Kernel taps are never cut.
    thin
        Minimum ratio of neighbouring tile sizes: 1 is exact, larger values yield feasible tiles,
        never below the optimum.

    Raises
    ------
    ValueError
        The same as for `two_levels`, different numbers of capacities and energies, or more than
        `MOST` splits.
    """
    if len(capacities) != len(energies_per_byte):
        raise ValueError("one capacity and one energy for each level")
    problem = MultilevelTilingProblem.of(nest, widths, capacities, conventions, thin)
    split_lists = (problem.splits.positions, problem.outs.tile, problem.ins.tile)
    number = split_lists[0].shape[1] * split_lists[1].shape[1] * split_lists[2].shape[1]
    if number > MOST:
        raise ValueError(f"{number} splits are more than {MOST}; thin the lists of tiles")
    prices = np.asarray(energies_per_byte, dtype=float) * nest.groups
    best = LevelsOptimum((float("inf"),) * len(capacities), (), float("inf"))
    for picks in _fitting(problem):
        cut = _cut(problem, picks)
        for stationary in itertools.product((OUTPUT, INPUT, WEIGHT), repeat=len(capacities)):
            crossing, valid, runs = _evaluate(problem, cut, stationary)
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
    """Yield chunks of joint splits that fit with every operand single-buffered."""
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
        pairs: Ints = np.argwhere(
            np.all(footprint <= problem.usable_capacities[:, None, None], axis=0)
        ).T
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


def _evaluate(
    problem: MultilevelTilingProblem, cut: _Cut, stationary: tuple[int, ...]
) -> tuple[Floats, Bools, Bools]:
    """Return the traffic of splits for one choice of stationary operand per level.

    A level whose loops all have one iteration has no stationary operand; it is evaluated under the
    first class only.

    Returns
    -------
    crossing
        Bytes across each boundary, shape (levels, splits).
    valid
        Whether a split fits and the choice applies to it, shape (splits,).
    any_runs
        Whether some loop of a level has several iterations, shape (levels, splits).
    """
    shape, nest = cut.inputs.shape, problem.group.nest
    valid = np.ones(shape[1], dtype=bool)
    crossing, any_runs = np.zeros(shape), np.zeros(shape, dtype=bool)
    passes = {operand: np.ones(shape[1]) for operand in INVARIANT_AXIS}
    fetched = np.full(shape[1], problem.splits.touched)
    by_operand = {
        operand: problem.footprint(cut.inputs, *cut.tile, operand) for operand in INVARIANT_AXIS
    }
    footprint = problem.footprint(cut.inputs, *cut.tile, None).copy()
    extents = (nest.positions, nest.out_channels, nest.in_channels)
    outer_tile: list[Floats] = [np.full(shape[1], float(extent)) for extent in extents]
    outer_count: list[Floats] = [np.ones(shape[1]) for _ in extents]
    for level, stationary_operand in enumerate(stationary):
        runs = [cut.tile[axis][level] < outer_tile[axis] for axis in range(3)]
        any_loop = runs[0] | runs[1] | runs[2]
        any_runs[level] = any_loop
        valid &= runs[INVARIANT_AXIS[stationary_operand]] | (
            ~any_loop & (stationary_operand == OUTPUT)
        )
        # A tile that changes at the innermost loop with several iterations is double-buffered in
        # this level and in all inner ones.
        footprint[level:] = np.where(
            any_loop, by_operand[stationary_operand][level:], footprint[level:]
        )
        for operand, axis in INVARIANT_AXIS.items():
            refetches = runs[(axis + 1) % 3] | runs[(axis + 2) % 3]
            pass_count = (
                outer_count[axis] if operand == stationary_operand else cut.counts[axis][level]
            )
            passes[operand] = np.where(refetches, pass_count, passes[operand])
            if operand == INPUT:
                tiles = cut.fetched if stationary_operand == OUTPUT else cut.slid
                fetched = np.where(refetches, tiles[level], fetched)
        crossing[level] = problem.traffic(fetched, passes[WEIGHT], passes[INPUT], passes[OUTPUT])
        outer_tile = [tile[level] for tile in cut.tile]
        outer_count = [count[level] for count in cut.counts]
    fits = np.all(footprint <= problem.usable_capacities[:, None], axis=0)
    return crossing, valid & fits, any_runs
