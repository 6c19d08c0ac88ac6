"""Solution of a placement: levels of all items, or the reasons for infeasibility.

Without a cache the value is ``sum of read_bytes[item] * price[level]``, in seconds or joules. With
an LRU cache of experts it is ``read_bytes * (h * price[cache] + (1 - h) * price[outer])`` for each
expert, with its hit rate h (`popularity.py`); the bound then comes from pinned experts, which no
cache beats for independent visits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import first_number
from perfmodel.cost.capacity import Violation
from perfmodel.errors import input_error
from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.place.items import Item
from perfmodel.schedule.place.knapsack import assign_items
from perfmodel.schedule.place.levels import PlacementLevel
from perfmodel.schedule.place.popularity import cycle_hit_rates
from perfmodel.schedule.place.result import PlacementResult, PlacementRow
from perfmodel.units import show

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class PlacementKnapsack(NamedTuple):
    """Arguments of `assign_items`: sizes and copies of items, costs per level, capacities."""

    sizes: Floats
    copies: Ints
    costs: Floats
    capacities: Floats


def solve_placement(
    unplaced: PlacementResult,
    prices: Sequence[float],
    pinned: Mapping[str, str],
    cached: str | None,
    deadline: Deadline,
) -> PlacementResult:
    """Return a result with every item in a level, minimising reads times prices.

    Parameters
    ----------
    unplaced
        The result with its items and levels, without rows.
    prices
        Seconds or joules per byte that is read from each level.
    pinned
        Required level by name of an item, or prefix of names.
    cached
        Level whose free space caches the experts.

    Raises
    ------
    InputError
        No items are outside the caching level.
    """
    items, levels = unplaced.items, unplaced.levels
    costs: Floats = np.array(
        [
            [
                item.read_bytes * price if item.role in level.holds else np.inf
                for level, price in zip(levels, prices, strict=True)
            ]
            for item in items
        ]
    )
    for prefix, required in pinned.items():
        elsewhere = [j for j, level in enumerate(levels) if level.name != required]
        costs[np.ix_(items_named(items, prefix), elsewhere)] = np.inf
    knapsack = PlacementKnapsack(
        np.array([item.size_bytes for item in items], dtype=np.float64),
        np.array([item.copies for item in items], dtype=np.int64),
        costs,
        np.array([level.capacity_bytes for level in levels], dtype=np.float64),
    )
    if cached is not None:
        return _with_cache(unplaced, knapsack, cached, prices, deadline)
    assigned = assign_items(*knapsack, method=unplaced.method, deadline=deadline)
    if assigned.solution is None:
        return _infeasible(unplaced, assigned)
    return replace(
        unplaced,
        solution=tuple(row for *_, row in _rows(unplaced, assigned.solution)),
        value=assigned.value,
        bound=assigned.bound,
        method=assigned.method,
        counts=_as_tuples(assigned.solution),
    )


def items_named(items: Sequence[Item], prefix: str) -> list[int]:
    """Return the indices of items with a name, else of those whose names begin with it."""
    rows = [i for i, item in enumerate(items) if item.name == prefix]
    return rows or [i for i, item in enumerate(items) if item.name.startswith(prefix)]


def _rows(result: PlacementResult, counts: Ints) -> Iterator[tuple[int, int, PlacementRow]]:
    """Yield item, level and row for the copies of each item in each level."""
    for i, item in enumerate(result.items):
        first = item.first
        for j, level in enumerate(result.levels):
            count = int(counts[i, j])
            if not count:
                continue
            read_bytes = count * item.read_bytes
            yield (
                i,
                j,
                PlacementRow(
                    item.name,
                    item.role,
                    level.name,
                    count,
                    first,
                    count * item.size_bytes,
                    item.reads,
                    read_bytes,
                    *_reading(level, read_bytes),
                ),
            )
            first += count


def _as_tuples(counts: Ints) -> tuple[tuple[int, ...], ...]:
    """Return an array as nested tuples."""
    return tuple(tuple(int(count) for count in row) for row in counts)


def _reading(level: PlacementLevel, read_bytes: float) -> tuple[float, float]:
    """Return the seconds and the joules of reading bytes from a level."""
    energy = level.energy_j_per_byte
    joules = float("nan") if energy is None else read_bytes * energy
    return read_bytes / level.bandwidth_bytes_per_s, joules


def _with_cache(
    unplaced: PlacementResult,
    knapsack: PlacementKnapsack,
    cached: str,
    prices: Sequence[float],
    deadline: Deadline,
) -> PlacementResult:
    """Place the experts in the outermost level, cached in the free space of another level."""
    sizes, copies, costs, capacities = knapsack
    levels = unplaced.levels
    chances: Floats = np.array([item.touched for item in unplaced.items], dtype=np.float64)
    is_expert = chances < 1.0
    outermost = max(j for j, level in enumerate(levels) if "weight" in level.holds)
    cache = [level.name for level in levels].index(cached)
    if cache >= outermost or not is_expert.any():
        why = "has nothing to cache, as there are no experts"
        if cache >= outermost:
            why = "is the outermost level"
        raise input_error(f"'{cached}' {why}", "cached")
    outer = np.arange(len(levels)) == outermost
    without_pinning = knapsack._replace(costs=np.where(is_expert[:, None] & ~outer, np.inf, costs))
    assigned = assign_items(*without_pinning, method=unplaced.method, deadline=deadline)
    if assigned.solution is None:
        return _infeasible(unplaced, assigned)
    spare = float(capacities[cache] - (sizes @ assigned.solution)[cache])
    index = np.flatnonzero(is_expert)
    hits = np.zeros(len(is_expert))
    hits[index] = cycle_hit_rates(
        chances[index], sizes[index], copies[index].astype(np.float64), spare
    )
    rows: list[PlacementRow] = []
    value = 0.0
    for i, j, row in _rows(unplaced, assigned.solution):
        price = prices[j]
        if is_expert[i]:
            hit = float(hits[i])
            cached_s, cached_j = _reading(levels[cache], row.read_bytes)
            price = hit * prices[cache] + (1.0 - hit) * price
            row = replace(
                row,
                cached_in=cached,
                hit_fraction=hit,
                read_s=hit * cached_s + (1.0 - hit) * row.read_s,
                energy_j=hit * cached_j + (1.0 - hit) * row.energy_j,
            )
        value += row.read_bytes * price
        rows.append(row)
    # For random visits no policy serves more than permanently pinning the most visited experts.
    least = assign_items(*knapsack, method="lp").bound
    return replace(
        unplaced,
        solution=tuple(rows),
        value=value,
        bound=min(least, value),
        method=f"{assigned.method} + lru",
        counts=_as_tuples(assigned.solution),
        cache_bytes={cached: max(spare, 0.0)},
    )


def _infeasible(unplaced: PlacementResult, assigned: Certified[Ints]) -> PlacementResult:
    """Return the result without a placement, with the reasons."""
    return replace(
        unplaced,
        method=assigned.method,
        bound=assigned.bound,
        violations=_violations(unplaced, proved=assigned.proved),
    )


def _violations(result: PlacementResult, *, proved: bool) -> tuple[Violation, ...]:
    """Return the overflow of each role, and of all roles together."""
    violations: list[Violation] = []
    for role in ("kv", "weight", ""):
        items = [item for item in result.items if not role or item.role == role]
        demand = _stored_bytes(items)
        possible_levels = [level for level in result.levels if not role or role in level.holds]
        if role and len(possible_levels) == len(result.levels):
            continue
        bound = float(sum(level.capacity_bytes for level in possible_levels))
        largest = max((item.size_bytes for item in items), default=0.0)
        if demand <= bound:
            continue
        names = " and ".join(level.name for level in possible_levels) or "no level"
        contents = {"kv": "the KV cache", "weight": "weights"}.get(role, "weights and KV cache")
        violations.append(
            Violation(
                f"levels.{names.replace(' and ', '+')}.capacity",
                demand,
                bound,
                demand - bound,
                _levers(result, role, demand - bound),
                f"{contents} take {show(demand, 'bytes')}, and {names} may hold "
                f"{show(bound, 'bytes')}: {show(demand - bound, 'bytes')} too much "
                f"(largest piece {show(largest, 'bytes')})",
            )
        )
    if not violations:
        demand = _stored_bytes(result.items)
        bound = float(sum(level.capacity_bytes for level in result.levels))
        why = "not piece by piece" if proved else "no place for every piece was found in time"
        violations.append(
            Violation(
                "levels.capacity",
                demand,
                bound,
                0.0,
                ("smaller pieces", "fewer pinned items"),
                f"{show(demand, 'bytes')} fit {show(bound, 'bytes')} in all, but {why}",
            )
        )
    return tuple(violations)


def _stored_bytes(items: Sequence[Item], role: str = "") -> float:
    """Return the bytes of all items, or of those of one role."""
    return sum(item.copies * item.size_bytes for item in items if not role or item.role == role)


def _levers(result: PlacementResult, role: str, excess: float) -> tuple[str, ...]:
    """Return changes that would free the excess bytes of a role (of both if it is empty)."""
    levers: list[str] = []
    prediction = result.prediction
    kv = _stored_bytes(result.items, "kv")
    weights = _stored_bytes(result.items, "weight")
    if role != "weight" and kv > excess:
        share = (kv - excess) / kv
        for name in ("context", "prompt", "batch"):
            value = prediction.workload.parameters.get(name)
            if value is not None and float(value) * share >= 1:
                levers.append(f"{name} of at most {int(float(value) * share)}")
                break
    if role != "kv" and weights > excess:
        bits = first_number(prediction.job.precision.weights.bits)
        levers.append(f"weights of at most {bits * (weights - excess) / weights:.3g} bits")
    levers.append(f"{show(excess, 'bytes')} more of a level")
    return tuple(levers)
