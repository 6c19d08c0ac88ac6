"""Joint tiling of a loop nest for any number of buffers: exhaustive search, for small nests.

Positions, output and input channels are each split over all levels of nested buffers, and each
level keeps one operand stationary (its tile is retained while the innermost loop of the level
runs). Every combination is evaluated; the result has the least energy, the sum over boundaries of
energy per byte times bytes. `perfmodel.cost.traffic.two_level_tiling` solves two levels at
practical sizes; this search is its reference, and covers three levels and more.

Passes over an operand, by the reuse analysis of loop nests (Parashar et al., "Timeloop", ISPASS
2019): let N_a(l) be the number of tiles of level l along axis a in total, and let operand X be
invariant in axis a. With ``n_X = N_a = 1`` outside the outermost level::

    n_X(l) = n_X(l - 1)   if no loop of level l over another axis iterates: the tile of X stays
           = N_a(l - 1)   otherwise, if X is stationary in level l: the loop over a is innermost
           = N_a(l)       otherwise

Traffic across the outer boundary of level l is ``I n_I + W n_W + O + U (n_O - 1)`` bytes
(`MultilevelTilingProblem.traffic`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.cost.traffic.convolution_axis import Floats, Ints
from perfmodel.cost.traffic.multilevel_problem import MultilevelTilingProblem
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.stationarity import ALL, INPUT, OUTPUT, WEIGHT
from perfmodel.cost.traffic.two_level_front import INVARIANT_AXIS
from perfmodel.cost.traffic.two_level_recovery import level_tile
from perfmodel.cost.traffic.two_level_tiling import LevelsOptimum

#: Maximum number of joint splits of all extents that are evaluated.
MAX_SPLITS = 20_000_000
#: Number of splits evaluated at once.
_CHUNK = 40_000

Bools = npt.NDArray[np.bool_]


class _JointSplits(NamedTuple):
    """Joint splits of positions, output and input channels; arrays of shape (levels, splits).

    Attributes
    ----------
    tile, counts
        Tile sizes and numbers of tiles along the axes `POSITIONS`, `OUT_CHANNELS`, `IN_CHANNELS`.
    inputs, fetched, slid
        Input elements per channel of a tile, and those that all tiles fetch, without and with a
        sliding window.
    """

    tile: tuple[Floats, Floats, Floats]
    counts: tuple[Floats, Floats, Floats]
    inputs: Floats
    fetched: Floats
    slid: Floats


def multilevel_tiling(
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
        Minimum ratio of neighbouring tile sizes in the lists of tiles: 1 is exact; larger values
        shorten the lists, and yield feasible tiles with at least the energy of the optimum.

    Raises
    ------
    ValueError
        The same as for `two_levels`, different numbers of capacities and energies, or more than
        `MAX_SPLITS` splits.
    """
    if len(capacities) != len(energies_per_byte):
        raise ValueError("there must be one capacity and one energy for each level")
    problem = MultilevelTilingProblem.of(nest, widths, capacities, conventions, thin)
    split_lists = (problem.splits.positions, problem.outs.tile, problem.ins.tile)
    number = math.prod(tiles.shape[1] for tiles in split_lists)
    if number > MAX_SPLITS:
        raise ValueError(f"{number} splits are more than {MAX_SPLITS}; raise 'thin'")
    energy_prices = np.asarray(energies_per_byte, dtype=float) * nest.groups
    best = LevelsOptimum((float("inf"),) * len(capacities), (), float("inf"))
    for indices in _fitting_splits(problem):
        splits = _joint_splits(problem, indices)
        for stationary in itertools.product((OUTPUT, INPUT, WEIGHT), repeat=len(capacities)):
            traffic, valid, has_loop = _evaluate(problem, splits, stationary)
            energy = np.where(valid, np.tensordot(energy_prices, traffic, axes=1), np.inf)
            split = int(np.argmin(energy))
            if energy[split] < best.objective:
                positions, outs, ins = (int(index[split]) for index in indices)
                best = LevelsOptimum(
                    bytes=tuple((traffic[:, split] * nest.groups).tolist()),
                    tiles=tuple(
                        level_tile(
                            problem,
                            level,
                            positions,
                            problem.outs.tile[level, outs],
                            problem.ins.tile[level, ins],
                            operand if has_loop[level, split] else ALL,
                        )
                        for level, operand in enumerate(stationary)
                    ),
                    objective=float(energy[split]),
                )
    return best


def _fitting_splits(problem: MultilevelTilingProblem) -> Iterator[list[Ints]]:
    """Yield chunks of joint splits that fit with every operand single-buffered.

    Each chunk consists of the indices of the splits of positions, output and input channels.
    """
    splits, outs, ins = problem.splits, problem.outs.tile, problem.ins.tile
    chunk: list[Ints] = []
    number = 0
    for index in range(len(splits)):
        footprint = problem.footprint(
            splits.inputs[:, index, None, None],
            splits.positions[:, index, None, None],
            outs[:, :, None].astype(float),
            ins[:, None, :].astype(float),
            None,
        )
        pairs: Ints = np.argwhere(
            np.all(footprint <= problem.usable_capacities[:, None, None], axis=0)
        ).T
        positions = np.full((1, pairs.shape[1]), index, np.int64)
        chunk.append(np.concatenate([positions, pairs]))
        number += pairs.shape[1]
        if number >= _CHUNK or index == len(splits) - 1:
            if number:
                columns: Ints = np.concatenate(chunk, axis=1)
                yield list(columns)
            chunk, number = list[Ints](), 0


def _joint_splits(problem: MultilevelTilingProblem, indices: list[Ints]) -> _JointSplits:
    """Return the tiles of joint splits that are given by their indices on the three axes."""
    positions, outs, ins = indices
    splits = problem.splits
    return _JointSplits(
        tile=(
            splits.positions[:, positions],
            problem.outs.tile[:, outs].astype(float),
            problem.ins.tile[:, ins].astype(float),
        ),
        counts=(
            splits.count[:, positions],
            problem.outs.counts[:, outs].astype(float),
            problem.ins.counts[:, ins].astype(float),
        ),
        inputs=splits.inputs[:, positions],
        fetched=splits.fetched[:, positions],
        slid=problem.slid[:, positions],
    )


def _evaluate(
    problem: MultilevelTilingProblem, splits: _JointSplits, stationary: tuple[int, ...]
) -> tuple[Floats, Bools, Bools]:
    """Return the traffic of splits for one choice of stationary operand per level.

    The passes over each operand follow the equation of this module. A level whose loops all have
    one iteration has no stationary operand; to evaluate it once only, it counts as valid under the
    first class (`OUTPUT`) and as invalid under the others.

    Returns
    -------
    traffic
        Bytes across each boundary, shape (levels, splits).
    valid
        Whether a split fits and the choice applies to it, shape (splits,).
    has_loop
        Whether some loop of a level has several iterations, shape (levels, splits).
    """
    shape, nest = splits.inputs.shape, problem.group.nest
    valid = np.ones(shape[1], dtype=bool)
    traffic, has_loop = np.zeros(shape), np.zeros(shape, dtype=bool)
    passes = {operand: np.ones(shape[1]) for operand in INVARIANT_AXIS}
    fetched = np.full(shape[1], problem.splits.touched)
    footprint_if_stationary = {
        operand: problem.footprint(splits.inputs, *splits.tile, operand)
        for operand in INVARIANT_AXIS
    }
    footprint = problem.footprint(splits.inputs, *splits.tile, None).copy()
    extents = (nest.positions, nest.out_channels, nest.in_channels)
    outer_tile: list[Floats] = [np.full(shape[1], float(extent)) for extent in extents]
    outer_count: list[Floats] = [np.ones(shape[1]) for _ in extents]
    for level, stationary_operand in enumerate(stationary):
        loops = [splits.tile[axis][level] < outer_tile[axis] for axis in range(3)]
        any_loop = np.logical_or.reduce(loops)
        has_loop[level] = any_loop
        valid &= loops[INVARIANT_AXIS[stationary_operand]] | (
            ~any_loop & (stationary_operand == OUTPUT)
        )
        # A tile that changes at the innermost loop with several iterations is double-buffered in
        # this level and in all inner ones.
        footprint[level:] = np.where(
            any_loop, footprint_if_stationary[stationary_operand][level:], footprint[level:]
        )
        for operand, axis in INVARIANT_AXIS.items():
            # The tile of an operand changes with the loops over the two axes that it depends on.
            changes = loops[(axis + 1) % 3] | loops[(axis + 2) % 3]
            pass_count = (
                outer_count[axis] if operand == stationary_operand else splits.counts[axis][level]
            )
            passes[operand] = np.where(changes, pass_count, passes[operand])
            if operand == INPUT:
                # Windows slide along positions unless channels are the innermost loop.
                tiles = splits.fetched if stationary_operand == OUTPUT else splits.slid
                fetched = np.where(changes, tiles[level], fetched)
        traffic[level] = problem.traffic(fetched, passes[WEIGHT], passes[INPUT], passes[OUTPUT])
        outer_tile = [tile[level] for tile in splits.tile]
        outer_count = [count[level] for count in splits.counts]
    fits = np.all(footprint <= problem.usable_capacities[:, None], axis=0)
    return traffic, valid & fits, has_loop
