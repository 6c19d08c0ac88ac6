"""Exact minimum energy over all loop orders and all cuts, as a cheapest chain of tiles.

The traffic across a boundary depends only on the tile of loops inside it, not on their order: a
loop over an index that the operand is invariant in can be placed inside the cut at no cost in
capacity. A loop order defines a chain of tiles, each dividing the next, and every chain corresponds
to a loop order. The optimal mapping over all orders is therefore the cheapest chain with one tile
per boundary of each operand, the boundaries interleaved in any way. A tile is a point t of the
divisor lattice (the exponents of the loop factors). With S the set of boundaries already placed and
e(b, u) the energy of boundary b at tile u in joules, dynamic programming computes

    F(S + b, t) = min over u dividing t of F(S, u) + e(b, u)

as a running minimum along the axes of the lattice. There are a few dozen sets and some hundred
tiles.

Operands that share a memory are coupled by its capacity, which is resolved by branch and bound
(Land and Doig, 1960): each operand is assigned a part of the memory, the cheapest chain for these
parts is a lower bound, and if its tiles do not fit together, the excess is split between the
operands. The result is proved optimal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.cost.mapping.access_counts import boundary_transfers, energy_j
from perfmodel.cost.mapping.hierarchy import DIMS, INVARIANT_DIMS, OPERANDS, Operand
from perfmodel.cost.mapping.loop_orders import Loops
from perfmodel.cost.mapping.problem import Floats, MappingProblem
from perfmodel.optimise.best_first import BestFirst, Incumbent
from perfmodel.optimise.certified import Certified, nothing
from perfmodel.optimise.deadline import Deadline

Bools = npt.NDArray[np.bool_]
#: Maximum number of branch-and-bound nodes evaluated at once, and of their tiles together.
_BATCH, _ELEMENTS = 8, 64_000


@dataclass(frozen=True)
class DivisorLattice:
    """Lattice of all tiles of some loops (divisors), with one axis per distinct loop factor.

    Attributes
    ----------
    axes
        (dimension, factor, multiplicity) of each axis.
    tiles
        Iterations by dimension (order of `DIMS`) of each tile, shape (8, tiles).
    """

    axes: tuple[tuple[int, int, int], ...]
    tiles: Floats

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of tiles along each axis."""
        return tuple(times + 1 for _, _, times in self.axes)


def divisor_lattice(loops: Loops) -> DivisorLattice:
    """Return the divisor lattice of some loops; the longest axis is the last one."""
    different = sorted(set(loops), key=lambda loop: (loops.count(loop), loop))
    axes = tuple((dim, factor, loops.count((dim, factor))) for dim, factor in different)
    tiles = np.ones((len(DIMS), *(times + 1 for _, _, times in axes)))
    for own_axis, (dim, factor, times) in enumerate(axes):
        powers = np.asarray([factor**exponent for exponent in range(times + 1)], dtype=np.float64)
        tiles[dim] *= powers.reshape([-1 if axis == own_axis else 1 for axis in range(len(axes))])
    return DivisorLattice(axes, tiles.reshape(len(DIMS), -1))


@dataclass(frozen=True)
class _BoundaryCosts:
    """Cost of a boundary of an operand, placed at every tile of the lattice.

    Attributes
    ----------
    joules
        Energy of the boundary, shape (tiles,); infinite where the tile does not fit.
    bits
        Bits held by one lower instance, as complete sums and as partial sums; shape (2, tiles).
    partial
        Whether sums are partial outside the tile, shape (tiles,).
    memory
        Index of the lower memory; -1 for the units.
    """

    joules: Floats
    bits: Floats
    partial: Bools
    memory: int


@dataclass(frozen=True)
class TileChain:
    """Cheapest chain of tiles.

    Attributes
    ----------
    tiles
        For each operand the exponents of the tile at every boundary, units first (the boundary of
        an output at the units is at the empty tile).
    order
        The same tiles, inner to outer.
    joules
        Energy of all accesses, joules.
    """

    tiles: dict[Operand, tuple[tuple[int, ...], ...]]
    order: tuple[tuple[int, ...], ...]
    joules: float


State = tuple[tuple[int, int], ...]
#: Operand, index of the boundary, whether its memory holds partial sums, and the flag afterwards.
_Step = tuple[int, int, int, int]


@dataclass
class _TileChainSearch:
    """Steps of all operands, the states between them, and the masks of the current nodes."""

    problem: MappingProblem
    lattice: DivisorLattice
    steps: dict[Operand, list[_BoundaryCosts]]
    start: State
    constant: float
    limits: dict[tuple[Operand, int], int]
    capacity: dict[int, float]

    def options(self, state: State) -> list[tuple[int, int]]:
        """Return the operands that may place their next boundary, each with its flags."""
        return [
            (index, flag)
            for index, operand in enumerate(OPERANDS)
            if state[index][0] < len(self.steps[operand])
            for flag in ((0, 1) if operand == "output" else (0,))
        ]


def cheapest_chain(
    problem: MappingProblem, loops: Loops, *, small: int | None = None
) -> Certified[TileChain]:
    """Return the chain of tiles with the least energy over all loop orders and all cuts.

    Parameters
    ----------
    problem
        Nest on its hierarchy.
    loops
        (dimension, factor) of every temporal loop, in any order.
    small
        Index of a memory whose use is minimised among chains of equal energy (within a relative
        1e-10).

    Returns
    -------
    Certified
        The chain, with joules of its accesses as value; proved infeasible if no tile of some
        operand fits its memory.
    """
    search = _chain_search(problem, divisor_lattice(loops))
    if search is None:
        return nothing(bound=math.inf)
    if small is not None:
        _add_tie_breaker(search, small)
    upper = np.array([search.capacity[level] for _, level in search.limits])
    return _CapacityBranchAndBound(search).run((np.full(len(upper), -1.0), upper))


_CapacityIntervals: TypeAlias = tuple[Floats, Floats]


class _CapacityBranchAndBound(BestFirst[_CapacityIntervals, TileChain]):
    """Branch and bound over parts of shared memories.

    A node has an interval (lower, upper] of bits for each operand in each shared memory.
    """

    def __init__(self, search: _TileChainSearch) -> None:
        super().__init__(Incumbent(), Deadline())
        self.search, self.together = search, min(_BATCH, _ELEMENTS // search.lattice.tiles.shape[1])

    def cut(self) -> float:
        """Return the energy at or above which a node is pruned."""
        return self.incumbent.value * (1 - 1e-12)

    def expand(
        self, node: _CapacityIntervals, bound: float
    ) -> Iterator[tuple[float, _CapacityIntervals]]:
        """Evaluate this node and the next ones, and yield the nodes that they branch into."""
        del bound
        nodes = [node, *self.next_nodes(self.together - 1)]
        table = _ChainTable(self.search, nodes)
        table.fill()
        for index, parts in enumerate(nodes):
            chain = table.trace(index)
            if chain is None or chain.joules >= self.incumbent.value:
                continue
            children = _branches(self.search, parts, chain)
            if children is None:
                self.incumbent.offer(chain, chain.joules)
            else:
                yield from ((chain.joules, child) for child in children)


def _chain_search(problem: MappingProblem, lattice: DivisorLattice) -> _TileChainSearch | None:
    """Return the search with the energy and size of every boundary at every tile."""
    steps: dict[Operand, list[_BoundaryCosts]] = {operand: [] for operand in OPERANDS}
    constant = 0.0
    flag = 0
    tiles = lattice.tiles
    for boundary in problem.boundaries:
        operand = boundary.operand
        if operand == "output" and boundary.lower < 0:
            transfers = boundary_transfers(problem, boundary, np.ones((len(DIMS), 1)))
            constant = float(energy_j(problem, transfers)[0])
            flag = int(transfers.partial[0])
            continue
        transfers = boundary_transfers(problem, boundary, tiles)
        joules = energy_j(problem, transfers)
        if boundary.lower < 0:
            changing = [i for i, dim in enumerate(DIMS) if dim not in INVARIANT_DIMS[operand]]
            joules = np.where((tiles[changing] > 1).any(axis=0), np.inf, joules)
            bits = np.zeros((2, tiles.shape[1]))
        else:
            tile_elements = problem.required_elements(operand, boundary.lower, tiles)
            bits = np.stack(
                [
                    tile_elements * float(problem.bits(operand, partial=partial))
                    for partial in (False, True)
                ]
            )
        steps[operand].append(_BoundaryCosts(joules, bits, transfers.partial, boundary.lower))
    capacity = {i: 8.0 * m.capacity_bytes for i, m in enumerate(problem.hierarchy.memories)}
    users_of: dict[int, list[Operand]] = {}
    for operand in OPERANDS:
        levels = problem.hierarchy.levels[operand]
        for level in levels[:-1]:
            users_of.setdefault(level, []).append(operand)
        full_tile = np.asarray(problem.temporal, dtype=np.float64)
        # Sums that are incomplete inside the next inner memory are partial in the outermost one.
        is_partial = operand == "output" and len(levels) == 1 and bool(flag)
        capacity[levels[-1]] -= float(
            problem.required_elements(operand, levels[-1], full_tile)
            * problem.bits(operand, partial=is_partial)
        )
    if min(capacity.values()) < 0:
        return None
    shared = {level: users for level, users in users_of.items() if len(users) > 1}
    limits: dict[tuple[Operand, int], int] = {}
    for level, users in shared.items():
        for operand in users:
            limits[operand, level] = len(limits)
    return _TileChainSearch(
        problem,
        lattice,
        steps,
        tuple((0, flag if o == "output" else 0) for o in OPERANDS),
        constant,
        limits,
        capacity,
    )


def _add_tie_breaker(search: _TileChainSearch, memory: int) -> None:
    """Add a negligible energy proportional to the use of a memory, as a tie breaker."""
    all_steps = [step for steps in search.steps.values() for step in steps]
    total = search.constant + sum(float(step.joules.min()) for step in all_steps)
    for operand, steps in search.steps.items():
        for index, step in enumerate(steps):
            if step.memory == memory:
                price = 1e-10 * total / max(float(step.bits.max()), 1.0) / len(all_steps)
                steps[index] = replace(step, joules=step.joules + price * step.bits[1])
        search.steps[operand] = steps


class _ChainTable:
    """Dynamic programming table: least energy of every state at all tiles, with predecessors.

    Attributes
    ----------
    lower, upper
        Exclusive lower and inclusive upper bound of the bits of tiles in shared memories, per node.
    costs
        Step (operand, boundary, whether its memory holds partial sums, flag afterwards) -> joules.
    least
        State -> least joules, shape of nodes and tiles.
    predecessors
        State -> preceding states with the steps that lead from them.
    """

    def __init__(self, search: _TileChainSearch, nodes: Sequence[tuple[Floats, Floats]]) -> None:
        self.search, self.nodes = search, len(nodes)
        self.shape = (len(nodes), *search.lattice.shape)
        self.lower = np.stack([lower for lower, _ in nodes])[..., None]
        self.upper = np.stack([upper for _, upper in nodes])[..., None]
        self.costs: dict[_Step, Floats] = {}
        self.least: dict[State, Floats] = {search.start: np.zeros(self.shape)}
        self.predecessors: dict[State, list[tuple[State, _Step]]] = {}

    def _cost(self, key: _Step) -> Floats:
        """Return the joules of a step at all tiles; infinite outside the node's intervals."""
        if key not in self.costs:
            operand_index, place, is_partial, flag = key
            operand = OPERANDS[operand_index]
            step = self.search.steps[operand][place]
            bits = step.bits[is_partial]
            limit = self.search.limits.get((operand, step.memory))
            fits = np.ones((self.nodes, bits.size), dtype=np.bool_)
            if limit is not None:
                fits = (bits > self.lower[:, limit]) & (bits <= self.upper[:, limit])
            elif step.memory >= 0:
                fits = np.broadcast_to(bits <= self.search.capacity[step.memory], fits.shape)
            fits = fits & (step.partial == bool(flag))
            self.costs[key] = np.where(fits, step.joules, np.inf).reshape(self.shape)
        return self.costs[key]

    def fill(self) -> None:
        """Compute the least energy of all states, layer by layer."""
        search = self.search
        full = slice(None)
        # Slice by slice, which is several times faster than `accumulate` along such short axes.
        slices = [
            ((full,) * axis + (i,), (full,) * axis + (i - 1,))
            for axis, size in enumerate(self.shape)
            for i in range(1, size)
            if axis
        ]
        layer = [search.start]
        while layer:
            following: dict[State, None] = {}
            for state in layer:
                for index, flag in search.options(state):
                    place, is_partial = state[index]
                    after = (*state[:index], (place + 1, flag), *state[index + 1 :])
                    step = (index, place, is_partial, flag)
                    self.predecessors.setdefault(after, []).append((state, step))
                    following[after] = None
            for state in following:
                best = np.full(self.shape, np.inf)
                for before, step in self.predecessors[state]:
                    np.minimum(best, self.least[before] + self._cost(step), out=best)
                for here, there in slices:
                    np.minimum(best[here], best[there], out=best[here])
                self.least[state] = best
            layer = list(following)

    def trace(self, node: int) -> TileChain | None:
        """Return the cheapest chain of a node; ``None`` if it is infeasible."""
        search, lattice = self.search, self.search.lattice
        ends = [
            tuple((len(search.steps[o]), f if o == "output" else 0) for o in OPERANDS)
            for f in (0, 1)
        ]
        totals = {
            end: float(self.least[end][node].reshape(-1)[-1]) for end in ends if end in self.least
        }
        state = min(totals, key=totals.__getitem__)
        total = totals[state]
        if not np.isfinite(total):
            return None
        within = tuple(slice(None) for _ in lattice.axes)
        placed: dict[Operand, list[tuple[int, ...]]] = {operand: [] for operand in OPERANDS}
        order: list[tuple[int, ...]] = []
        while state != search.start:
            parts = [
                self.least[before][node][within] + self._cost(step)[node][within]
                for before, step in self.predecessors[state]
            ]
            which = int(np.argmin([float(part.min()) for part in parts]))
            # Among equal ones the largest tile: fewer and longer transfers stall less.
            equal = parts[which] <= float(parts[which].min()) * (1 + 1e-13)
            tile = tuple(np.argwhere(equal)[-1].tolist())
            before, step = self.predecessors[state][which]
            placed[OPERANDS[step[0]]].append(tile)
            order.append(tile)
            within = tuple(slice(0, exponent + 1) for exponent in tile)
            state = before
        tiles: dict[Operand, tuple[tuple[int, ...], ...]] = {
            operand: tuple(reversed(path)) for operand, path in placed.items()
        }
        tiles["output"] = ((0,) * len(lattice.axes), *tiles["output"])
        return TileChain(tiles, tuple(reversed(order)), total + search.constant)


def _branches(
    search: _TileChainSearch, node: tuple[Floats, Floats], chain: TileChain
) -> list[tuple[Floats, Floats]] | None:
    """Return child nodes that cover all feasible chains; ``None`` if the chain itself fits."""
    sizes = np.zeros(len(search.limits))
    for (operand, level), limit in search.limits.items():
        place = search.problem.hierarchy.levels[operand].index(level)
        is_partial = search.start[0][1] if operand == "output" else 0
        if operand == "output" and place:
            inner = chain.tiles[operand][place]
            is_partial = int(
                search.steps[operand][place - 1].partial[_flat_index(search.lattice, inner)]
            )
        step = search.steps[operand][place if operand == "output" else place + 1]
        tile = chain.tiles[operand][place + 1]
        sizes[limit] = step.bits[is_partial, _flat_index(search.lattice, tile)]
    for level in dict.fromkeys(level for _, level in search.limits):
        limits = [limit for (_, memory), limit in search.limits.items() if memory == level]
        over = float(sizes[limits].sum()) - search.capacity[level]
        if over <= 0:
            continue
        children: list[tuple[Floats, Floats]] = []
        lower, upper = node[0].copy(), node[1]
        for limit in limits:
            # In every feasible chain some operand is smaller by at least an equal share of the
            # excess.
            most = sizes[limit] - over / len(limits)
            others = [other for other in limits if other != limit]
            room = search.capacity[level] - float(np.maximum(lower[others], 0.0).sum())
            child = upper.copy()
            child[limit] = min(child[limit], most, room)
            if child[limit] > lower[limit]:
                children.append((lower.copy(), child))
            lower[limit] = max(lower[limit], most)
        return children
    return None


def _flat_index(lattice: DivisorLattice, tile: tuple[int, ...]) -> int:
    """Return the index of a tile, given by its exponents, in flat arrays over the lattice."""
    return int(np.ravel_multi_index(tile, lattice.shape)) if lattice.axes else 0
