"""The exact energy optimum over all orders of loops and all cuts, as a chain of tiles.

What passes a boundary depends on the tile of loops inside it alone, not on their order: a loop over
an index that the operand lacks belongs inside the cut wherever that helps, since it takes no room.
One order of loops gives one chain of tiles, each dividing the next, and every chain has an order.
So the best mapping of all orders is the cheapest chain, one tile for each boundary of each operand,
with the boundaries in any interleaving. A tile is a point in the lattice of exponents of the loops'
factors; "the cheapest chain that ends inside this tile" is a running minimum along its axes, once
for every set of boundaries already placed. There are a few dozen sets and some hundred tiles.

Operands that share a memory are tied by its capacity. Branch and bound takes that: each is given a
part of the memory, the chain with these parts is a lower bound, and where the sizes it picks do
not fit together, the part that is too much is split between them. The result is proved.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import numpy.typing as npt

from perfmodel.cost.mapping.counts import energy_j, passing
from perfmodel.cost.mapping.hierarchy import DIMS, FREE, OPERANDS, Operand
from perfmodel.cost.mapping.orders import Loops
from perfmodel.cost.mapping.problem import Floats, MappingProblem

Bools = npt.NDArray[np.bool_]
#: Nodes of the branch and bound whose chains are found at once, and tiles of all of them.
_BATCH, _ELEMENTS = 8, 64_000


@dataclass(frozen=True)
class TileLattice:
    """All tiles that some loops make: one axis for each different loop, its exponent along it.

    Attributes
    ----------
    axes
        (dimension, factor, how often) of each axis.
    tiles
        Iterations by dimension (order of `DIMS`) of each tile, shape (8, tiles).
    """

    axes: tuple[tuple[int, int, int], ...]
    tiles: Floats

    @property
    def shape(self) -> tuple[int, ...]:
        """Tiles along each axis."""
        return tuple(times + 1 for _, _, times in self.axes)


def lattice(loops: Loops) -> TileLattice:
    """The tiles that some loops make; the longest axis is the last."""
    different = sorted(set(loops), key=lambda loop: (loops.count(loop), loop))
    axes = tuple((dim, factor, loops.count((dim, factor))) for dim, factor in different)
    tiles = np.ones((len(DIMS), *(times + 1 for _, _, times in axes)))
    for at, (dim, factor, times) in enumerate(axes):
        powers = np.asarray([factor**exponent for exponent in range(times + 1)], dtype=np.float64)
        tiles[dim] *= powers.reshape([-1 if axis == at else 1 for axis in range(len(axes))])
    return TileLattice(axes, tiles.reshape(len(DIMS), -1))


@dataclass(frozen=True)
class _BoundaryCosts:
    """A boundary of an operand, placed at every tile of the lattice.

    Attributes
    ----------
    joules
        Energy of the boundary, shape (tiles,); infinite where it cannot lie.
    bits
        What one lower instance then holds: with complete sums, with partial ones; shape (2, tiles).
    partial
        Whether sums are partial outside the tile, shape (tiles,).
    memory
        The lower memory; -1 for the units.
    """

    joules: Floats
    bits: Floats
    partial: Bools
    memory: int


@dataclass(frozen=True)
class TileChain:
    """The cheapest chain of tiles.

    Attributes
    ----------
    tiles
        For each operand the exponents of the tile at every boundary, units first (an output's
        boundary at the units lies at the empty tile).
    order
        The same tiles, inner to outer.
    joules
        Energy of all accesses.
    nodes
        Chains that the proof took.
    """

    tiles: dict[Operand, tuple[tuple[int, ...], ...]]
    order: tuple[tuple[int, ...], ...]
    joules: float
    nodes: int


State = tuple[tuple[int, int], ...]


@dataclass
class _TileChainSearch:
    """Steps of all operands, the states they lead through, and the masks of the current nodes."""

    problem: MappingProblem
    grid: TileLattice
    steps: dict[Operand, list[_BoundaryCosts]]
    start: State
    constant: float
    limits: dict[tuple[Operand, int], int]
    capacity: dict[int, float]

    def options(self, state: State) -> list[tuple[int, int]]:
        """Which operand may place its next boundary, and with which flag it does."""
        return [
            (at, flag)
            for at, operand in enumerate(OPERANDS)
            if state[at][0] < len(self.steps[operand])
            for flag in ((0, 1) if operand == "output" else (0,))
        ]


def cheapest_chain(
    problem: MappingProblem, loops: Loops, *, small: int | None = None
) -> TileChain | None:
    """The mapping of least energy over all orders of some loops and all cuts.

    Parameters
    ----------
    problem
        The nest on its hierarchy.
    loops
        (dimension, factor) of every loop over time, in any order.
    small
        Number of a memory of which as little as possible is to be used: of chains whose energy is
        the same but for a share of 1e-10, that which needs least of it.

    Returns
    -------
    Chain or None
        None where no tile of some operand fits its memory.
    """
    search = _prepare(problem, lattice(loops))
    if search is None:
        return None
    if small is not None:
        _charge(search, small)
    limits = len(search.limits)
    root = (np.full(limits, -1.0), np.full(limits, np.inf))
    for key, at in search.limits.items():
        root[1][at] = search.capacity[key[1]]
    number = count(1)
    heap: list[tuple[float, int, tuple[Floats, Floats]]] = [(0.0, 0, root)]
    best: TileChain | None = None
    nodes = 0
    most = min(_BATCH, max(1, _ELEMENTS // search.grid.tiles.shape[1]))
    while heap and (best is None or heap[0][0] < best.joules * (1 - 1e-12)):
        batch = [heapq.heappop(heap)[2] for _ in range(min(most if nodes else 1, len(heap)))]
        nodes += len(batch)
        for node, found in zip(batch, _chains(search, batch), strict=True):
            if found is None or (best is not None and found.joules >= best.joules):
                continue
            children = _split(search, node, found)
            if children is None:
                best = found
                continue
            for child in children:
                heapq.heappush(heap, (found.joules, next(number), child))
    return None if best is None else TileChain(best.tiles, best.order, best.joules, nodes)


def _prepare(problem: MappingProblem, grid: TileLattice) -> _TileChainSearch | None:
    """Energy and size of every boundary at every tile."""
    steps: dict[Operand, list[_BoundaryCosts]] = {operand: [] for operand in OPERANDS}
    constant = 0.0
    flag = 0
    tiles = grid.tiles
    for boundary in problem.boundaries:
        operand = boundary.operand
        if operand == "output" and boundary.lower < 0:
            move = passing(problem, boundary, np.ones((len(DIMS), 1)))
            constant = float(energy_j(problem, move)[0])
            flag = int(move.partial[0])
            continue
        move = passing(problem, boundary, tiles)
        joules = energy_j(problem, move)
        if boundary.lower < 0:
            changing = [at for at, dim in enumerate(DIMS) if dim not in FREE[operand]]
            joules = np.where((tiles[changing] > 1).any(axis=0), np.inf, joules)
            bits = np.zeros((2, tiles.shape[1]))
        else:
            held = problem.room(operand, boundary.lower, tiles)
            bits = np.stack(
                [held * float(problem.bits(operand, partial=partial)) for partial in (False, True)]
            )
        steps[operand].append(_BoundaryCosts(joules, bits, move.partial, boundary.lower))
    capacity = {at: 8.0 * m.capacity_bytes for at, m in enumerate(problem.hierarchy.memories)}
    held_by: dict[int, list[Operand]] = {}
    for operand in OPERANDS:
        levels = problem.hierarchy.levels[operand]
        for level in levels[:-1]:
            held_by.setdefault(level, []).append(operand)
        whole = np.asarray(problem.temporal, dtype=np.float64)
        # Sums that are not complete inside the next memory are partial in the outermost one.
        wide = operand == "output" and len(levels) == 1 and bool(flag)
        capacity[levels[-1]] -= float(
            problem.room(operand, levels[-1], whole) * problem.bits(operand, partial=wide)
        )
    if min(capacity.values()) < 0:
        return None
    shared = {level: held for level, held in held_by.items() if len(held) > 1}
    limits: dict[tuple[Operand, int], int] = {}
    for level, held in shared.items():
        for operand in held:
            limits[operand, level] = len(limits)
    return _TileChainSearch(
        problem, grid, steps, tuple((0, flag if o == "output" else 0) for o in OPERANDS),
        constant, limits, capacity,
    )  # fmt: skip


def _charge(search: _TileChainSearch, memory: int) -> None:
    """Charge the use of a memory with a share of the energy too small to matter otherwise."""
    every = [step for steps in search.steps.values() for step in steps]
    total = search.constant + sum(float(step.joules.min()) for step in every)
    for operand, steps in search.steps.items():
        for place, step in enumerate(steps):
            if step.memory == memory:
                price = 1e-10 * total / max(float(step.bits.max()), 1.0) / len(every)
                steps[place] = replace(step, joules=step.joules + price * step.bits[1])
        search.steps[operand] = steps


def _chains(
    search: _TileChainSearch, nodes: Sequence[tuple[Floats, Floats]]
) -> list[TileChain | None]:
    """The cheapest chain of each node, its parts of the shared memories given."""
    grid = search.grid
    shape = (len(nodes), *grid.shape)
    lower = np.stack([node[0] for node in nodes])[..., None]
    upper = np.stack([node[1] for node in nodes])[..., None]
    costs: dict[tuple[int, int, int, int], Floats] = {}

    def cost(at: int, place: int, wide: int, flag: int) -> Floats:
        """Joules of a boundary whose memory holds wide sums, if `flag` is what it leaves."""
        key = (at, place, wide, flag)
        if key not in costs:
            step = search.steps[OPERANDS[at]][place]
            bits = step.bits[wide]
            limit = search.limits.get((OPERANDS[at], step.memory))
            fits = np.ones((len(nodes), bits.size), dtype=np.bool_)
            if limit is not None:
                fits = (bits > lower[:, limit]) & (bits <= upper[:, limit])
            elif step.memory >= 0:
                fits = np.broadcast_to(bits <= search.capacity[step.memory], fits.shape)
            fits = fits & (step.partial == bool(flag))
            costs[key] = np.where(fits, step.joules, np.inf).reshape(shape)
        return costs[key]

    # Slice by slice: several times faster than `accumulate` along axes as short as these.
    whole = slice(None)
    slices = [
        ((whole,) * axis + (place,), (whole,) * axis + (place - 1,))
        for axis, size in enumerate(shape)
        for place in range(1, size)
        if axis
    ]

    def running(values: Floats) -> Floats:
        for here, before in slices:
            np.minimum(values[here], values[before], out=values[here])
        return values

    least: dict[State, Floats] = {search.start: np.zeros(shape)}
    came: dict[State, list[tuple[State, tuple[int, int, int, int]]]] = {}
    layer = [search.start]
    while layer:
        following: dict[State, None] = {}
        for state in layer:
            for at, flag in search.options(state):
                place, wide = state[at]
                after = (*state[:at], (place + 1, flag), *state[at + 1 :])
                came.setdefault(after, []).append((state, (at, place, wide, flag)))
                following[after] = None
        for state in following:
            best = np.full(shape, np.inf)
            for before, step in came[state]:
                np.minimum(best, least[before] + cost(*step), out=best)
            least[state] = running(best)
        layer = list(following)
    ends = [
        tuple((len(search.steps[o]), f if o == "output" else 0) for o in OPERANDS) for f in (0, 1)
    ]
    ends = [end for end in ends if end in least]

    def trace(node: int) -> TileChain | None:
        within = tuple(slice(None) for _ in grid.axes)
        state = min(ends, key=lambda end: float(least[end][node].reshape(-1)[-1]))
        total = float(least[state][node].reshape(-1)[-1])
        if not np.isfinite(total):
            return None
        placed: dict[Operand, list[tuple[int, ...]]] = {operand: [] for operand in OPERANDS}
        order: list[tuple[int, ...]] = []
        while state != search.start:
            parts = [
                least[before][node][within] + costs[step][node][within]
                for before, step in came[state]
            ]
            which = int(np.argmin([float(part.min()) for part in parts]))
            # Of equal ones the largest tile: fewer, longer transfers stall less.
            equal = parts[which] <= float(parts[which].min()) * (1 + 1e-13)
            tile = tuple(np.argwhere(equal)[-1].tolist())
            before, step = came[state][which]
            placed[OPERANDS[step[0]]].append(tile)
            order.append(tile)
            within = tuple(slice(0, exponent + 1) for exponent in tile)
            state = before
        tiles: dict[Operand, tuple[tuple[int, ...], ...]] = {
            operand: tuple(reversed(found)) for operand, found in placed.items()
        }
        tiles["output"] = ((0,) * len(grid.axes), *tiles["output"])
        return TileChain(tiles, tuple(reversed(order)), total + search.constant, 0)

    return [trace(node) for node in range(len(nodes))]


def _split(
    search: _TileChainSearch, node: tuple[Floats, Floats], found: TileChain
) -> list[tuple[Floats, Floats]] | None:
    """Parts of a node that together hold every chain that fits; None if the one found does."""
    sizes = np.zeros(len(search.limits))
    for (operand, level), limit in search.limits.items():
        place = search.problem.hierarchy.levels[operand].index(level)
        wide = search.start[0][1] if operand == "output" else 0
        if operand == "output" and place:
            inner = found.tiles[operand][place]
            wide = int(search.steps[operand][place - 1].partial[_flat(search.grid, inner)])
        step = search.steps[operand][place if operand == "output" else place + 1]
        tile = found.tiles[operand][place + 1]
        sizes[limit] = step.bits[wide, _flat(search.grid, tile)]
    for level in dict.fromkeys(level for _, level in search.limits):
        limits = [limit for (_, at), limit in search.limits.items() if at == level]
        over = float(sizes[limits].sum()) - search.capacity[level]
        if over <= 0:
            continue
        children: list[tuple[Floats, Floats]] = []
        lower, upper = node[0].copy(), node[1]
        for limit in limits:
            # All chains that fit have some operand an equal share of the excess below its size.
            most = sizes[limit] - over / len(limits)
            others = [other for other in limits if other != limit]
            rest = search.capacity[level] - float(np.maximum(lower[others], 0.0).sum())
            child = upper.copy()
            child[limit] = min(child[limit], most, rest)
            if child[limit] > lower[limit]:
                children.append((lower.copy(), child))
            lower[limit] = max(lower[limit], most)
        return children
    return None


def _flat(grid: TileLattice, tile: tuple[int, ...]) -> int:
    return int(np.ravel_multi_index(tile, grid.shape)) if grid.axes else 0
