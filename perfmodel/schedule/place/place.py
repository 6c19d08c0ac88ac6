"""Place weights and KV cache in the memories of a device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.cost.capacity import Violation
from perfmodel.errors import Fault, InputError, input_error, nearest
from perfmodel.formats import Precision
from perfmodel.former import former_parameters
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.solvers import with_solver
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.resolve import DeviceLike, PredictionInputs, WorkloadLike, resolve
from perfmodel.schedule.place.items import By, Item, items_of
from perfmodel.schedule.place.levels import PlacementLevel, levels_of
from perfmodel.schedule.place.popularity import Popularity, cycle_hit_rates, popularity_of
from perfmodel.schedule.place.result import PlacementResult, PlacementRow
from perfmodel.schedule.place.solve import assign_items
from perfmodel.settings import FaultList, gathered
from perfmodel.units import show
from perfmodel.workload.workload import Workload

Method: TypeAlias = Literal["exact", "lp", "greedy"]
Objective: TypeAlias = Literal["latency_s", "energy_j"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@former_parameters(seconds="time_limit_s")
@with_solver
def place(
    workload: WorkloadLike,
    device: DeviceLike,
    *,
    objective: Objective = "latency_s",
    levels: Iterable[str] | None = None,
    capacities: Mapping[str, str | float] | None = None,
    extra: str | Iterable[str | PlacementLevel] = (),
    kv_levels: Iterable[str] | None = None,
    pinned: Mapping[str, str] | None = None,
    cached: str | None = None,
    popularity: Popularity | None = None,
    by: By = "tensor",
    set: Mapping[str, Any] | None = None,
    precision: str | Precision | None = None,
    runtime: str | Path | Runtime | None = None,
    engine: str | None = None,
    method: Method = "exact",
    solver: str = "highs",
    time_limit_s: float | None = 10.0,
) -> PlacementResult:
    """Place weights and KV cache in the memories of a device.

    Each tensor of each layer (of a mixture of experts each expert) lies in one memory. Reading it
    from there costs its bytes times the reads of a run over the bandwidth; the sum over all is
    least. A faster memory is worth most to the bytes that are read most often.

    Parameters
    ----------
    workload, device, set, precision, runtime, engine
        As for `predict`.
    objective
        latency_s: seconds of reading; or energy_j: joules of it.
    levels
        Memories to use, by name (sram,dram).
    capacities
        What weights and KV cache may take of a memory, in place of what its spec leaves: NAME=SIZE
        (dram=6 GB).
    extra
        Memories beside the device's: NAME=CAPACITY,BANDWIDTH (host=64 GB,25 GB/s). In Python also
        a `PlacementLevel`.
    kv_levels
        Memories that may hold the KV cache. By default all but flash, storage and disk.
    pinned
        Where a tensor, or all whose names begin so, must lie: NAME=LEVEL.
    cached
        Memory whose room beside what lies there for good is an LRU cache of the experts, which
        live in the outermost memory. By default experts are pinned like everything else.
    popularity
        How unevenly routers choose: exponent of a Zipf law, geometric:RATE, or a weight for each
        expert (3,1,1,1).
    by
        tensor or layer: what is placed as one piece.
    method
        exact (an integer programme, with a proof, or a bound where it is stopped), lp (the linear
        relaxation, rounded) or greedy (densest first).
    solver
        Solver of integer programmes: highs, or any that PuLP finds here (cbc, gurobi, scip). One
        that is stopped proves nothing by itself.
    time_limit_s
        Seconds that exact may take. In Python None is no limit.

    Returns
    -------
    PlacementResult
        What does not fit is a result, with what it needs and what would help.

    Raises
    ------
    InputError
        Every fault at once: unknown names, arrays of parameters, an objective that the device does
        not price.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.place("llama_3_8b", "rtx_4090", precision="w4a16").proved
    True
    """
    faults = gathered()
    wrong = _option_faults(method, objective, by, time_limit_s)
    faults.extend(wrong)
    deadline = Deadline(None if wrong else time_limit_s)
    beside = read_levels(extra, faults)
    if isinstance(popularity, str):
        popularity = faults.trying(popularity_of, popularity)
    subject = faults.trying(resolve, workload, device, precision, runtime, set, engine)
    found = None if subject is None else faults.trying(predicted_one, subject, "places")
    if found is None or subject is None:
        raise InputError(faults)
    names = None if levels is None else list(levels)
    kv_names = None if kv_levels is None else list(kv_levels)
    chosen = faults.trying(levels_of, found, names, capacities, beside, kv_names)
    items = faults.trying(items_of, found, by=by, popularity=popularity)
    # Names are looked for among all levels where those to use are at fault.
    known = [v.name for v in (levels_of(found, extra=beside) if chosen is None else chosen)]
    faults.extend(_name_faults(items, known, pinned or {}, cached))
    prices = None
    if chosen is not None and objective in _OBJECTIVES:
        prices = faults.trying(_prices, chosen, objective)
    faults.settle()
    assert chosen is not None
    assert items is not None
    assert prices is not None
    if not chosen or not items:
        what = "memory to place them in" if items else "weight or KV cache"
        raise input_error(f"there is no {what}", file=subject.workload.origin)
    costs: Floats = np.array(
        [
            [item.read_bytes * price if item.role in level.holds else np.inf
             for level, price in zip(chosen, prices, strict=True)]
            for item in items
        ]
    )  # fmt: skip
    _pin(costs, items, chosen, pinned or {})
    sizes: Floats = np.array([item.size_bytes for item in items], dtype=np.float64)
    copies: Ints = np.array([item.copies for item in items], dtype=np.int64)
    room: Floats = np.array([level.capacity_bytes for level in chosen], dtype=np.float64)

    again = partial(
        _at_context,
        subject.workload,
        subject.device,
        objective=objective,
        levels=names,
        capacities=capacities,
        extra=beside,
        kv_levels=kv_names,
        pinned=pinned,
        cached=cached,
        popularity=popularity,
        by=by,
        precision=subject.precision,
        runtime=subject.runtime,
        engine=subject.engine,
        method=method,
        solver=solver,
        time_limit_s=time_limit_s,
    )
    result = PlacementResult(
        found, chosen, items, (), objective, np.inf, np.inf, True, method, _again=again
    )
    if cached is not None:
        return _with_cache(result, cached, prices, sizes, copies, costs, room, deadline)
    done = assign_items(sizes, copies, costs, room, method=method, deadline=deadline)
    return _result(result, done, room)


def _at_context(
    workload: Workload, device: DeviceLike, context: int, **options: Any
) -> PlacementResult:
    return place(workload.bind({"context": context}), device, **options)


_METHODS = ("exact", "lp", "greedy")
_OBJECTIVES = ("latency_s", "energy_j")


def predicted_one(subject: PredictionInputs, verb: str) -> Prediction:
    """Return the prediction of one point, of what `verb` takes.

    Raises
    ------
    InputError
        As `predict`; dimensions that are arrays.
    """
    found = predict(
        subject.workload, subject.device, precision=subject.precision, runtime=subject.runtime,
        engine=subject.engine,
    )  # fmt: skip
    if found.shape:
        raise input_error(f"{verb} one point, not many", expected="numbers, no arrays")
    return found


def read_levels(
    extra: str | Iterable[str | PlacementLevel], faults: FaultList, path: str = "extra"
) -> tuple[PlacementLevel, ...]:
    """Return memories beside a device's, of ``NAME=CAPACITY,BANDWIDTH`` texts.

    One that is at fault is a level all the same, by its name.
    """
    levels: dict[str, PlacementLevel] = {}
    for item in [extra] if isinstance(extra, str) else extra:
        if isinstance(item, PlacementLevel):
            levels[item.name] = item
            continue
        name, _, text = (part.strip() for part in item.partition("="))
        size, mark, rate = (part.strip() for part in text.partition(","))
        if name:
            levels[name] = PlacementLevel(name, 1.0, 1.0)
        if not name or not mark:
            expected = "NAME=CAPACITY,BANDWIDTH"
            faults.append(Fault(f"'{item}' is no memory", path=path, expected=expected))
            continue
        try:
            levels[name] = PlacementLevel.of(name, size, rate)
        except InputError as error:
            faults += [replace(fault, path=f"{path}.{fault.path}") for fault in error.faults]
    return tuple(levels.values())


def _option_faults(method: str, objective: str, by: str, seconds: float | None) -> list[Fault]:
    faults = [
        Fault(f"there is no '{given}'", path, expected=f"one of {', '.join(allowed)}",
              suggestion=nearest(given, allowed))
        for given, allowed, path in (
            (method, _METHODS, "method"), (objective, _OBJECTIVES, "objective"),
            (by, ("tensor", "layer"), "by"),
        )
        if given not in allowed
    ]  # fmt: skip
    if seconds is not None and not seconds >= 0:
        faults.append(
            Fault(f"{seconds} is no time limit", "time_limit_s", expected="seconds from 0")
        )
    return faults


def longest_context(workload: Workload, at: Callable[[int], PlacementResult]) -> int:
    """Return the longest context whose placement is feasible, by bisection.

    Raises
    ------
    InputError
        The workload has no context.
    """
    if "context" not in workload.parameters:
        raise input_error(
            f"'{workload.name}' has no context", "context", expected="a language model that decodes"
        )
    if not at(1).feasible:
        return 0
    low, high = 1, 2
    while high < _LONGEST and at(high).feasible:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle).feasible else (low, middle)
    return low


#: Tokens beyond which nobody asks (also where the cache does not grow).
_LONGEST = 2**26


def _prices(levels: Sequence[PlacementLevel], objective: str) -> list[float]:
    """Return seconds, or joule, of a byte from each level."""
    if objective == "latency_s":
        return [1.0 / level.bandwidth_bytes_per_s for level in levels]
    silent = [level.name for level in levels if level.energy_j_per_byte is None]
    if silent:
        raise input_error(
            f"no energy a byte is known of {', '.join(silent)}",
            "objective",
            expected="levels whose device states it, or latency_s",
        )
    return [level.energy_j_per_byte or 0.0 for level in levels]


def _meant(items: Sequence[Item], stem: str) -> list[int]:
    """Return the items of a name, or those whose names begin with it."""
    rows = [i for i, item in enumerate(items) if item.name == stem]
    return rows or [i for i, item in enumerate(items) if item.name.startswith(stem)]


def _name_faults(
    items: Sequence[Item] | None, names: Sequence[str], pinned: Mapping[str, str],
    cached: str | None,
) -> list[Fault]:  # fmt: skip
    """Return the items and levels that are pinned or cache and are not there."""
    faults: list[Fault] = []
    for stem, level in pinned.items():
        if items is not None and not _meant(items, stem):
            faults.append(Fault(f"nothing is named '{stem}'", "pinned",
                                suggestion=nearest(stem, [i.name for i in items])))  # fmt: skip
        if level not in names:
            faults.append(Fault(f"no level is named '{level}'", f"pinned.{stem}",
                                expected=f"one of {', '.join(names)}",
                                suggestion=nearest(level, names)))  # fmt: skip
    if cached is not None and cached not in names:
        faults.append(Fault(f"no level is named '{cached}'", "cached",
                            expected=f"one of {', '.join(names)}",
                            suggestion=nearest(cached, names)))  # fmt: skip
    return faults


def _pin(
    costs: Floats,
    items: Sequence[Item],
    levels: Sequence[PlacementLevel],
    pinned: Mapping[str, str],
) -> None:
    for stem, level in pinned.items():
        other = [j for j, each in enumerate(levels) if each.name != level]
        costs[np.ix_(_meant(items, stem), other)] = np.inf


def _result(result: PlacementResult, done: Certified[Ints], room: Floats) -> PlacementResult:
    if done.solution is None:
        return replace(
            result, proved=done.proved, method=done.method, bound=done.bound,
            violations=_violations(result, room, proved=done.proved),
        )  # fmt: skip
    rows = [
        _row(item, level, int(done.solution[i, j]), int(done.solution[i, :j].sum()))
        for i, item in enumerate(result.items)
        for j, level in enumerate(result.levels)
        if done.solution[i, j]
    ]
    counts = tuple(tuple(int(n) for n in row) for row in done.solution)
    return replace(
        result, rows=tuple(rows), value=done.value, bound=done.bound, proved=done.proved,
        method=done.method, counts=counts,
    )  # fmt: skip


def _row(item: Item, level: PlacementLevel, count: int, before: int) -> PlacementRow:
    moved = count * item.read_bytes
    each = level.energy_j_per_byte
    return PlacementRow(
        item.name, item.role, level.name, count, item.first + before, count * item.size_bytes,
        item.reads, moved, moved / level.bandwidth_bytes_per_s,
        float("nan") if each is None else moved * each,
    )  # fmt: skip


def _with_cache(
    result: PlacementResult, cached: str, prices: list[float], sizes: Floats, copies: Ints,
    costs: Floats, room: Floats, deadline: Deadline,
) -> PlacementResult:  # fmt: skip
    """Experts live in the outermost level, and the room that is left of one level caches them."""
    names = [level.name for level in result.levels]
    pool = np.array([item.touched < 1.0 for item in result.items])
    home = max(j for j, level in enumerate(result.levels) if "weight" in level.holds)
    at = names.index(cached)
    if at >= home or not pool.any():
        why = "is the outermost level" if at >= home else "has nothing to cache: no experts"
        raise input_error(f"'{cached}' {why}", "cached")
    outer = np.arange(len(names)) == home
    bound = costs
    fixed: Floats = np.where(pool[:, None] & ~outer, np.inf, costs)
    done = assign_items(sizes, copies, fixed, room, method=result.method, deadline=deadline)
    if done.solution is None:
        return _result(result, done, room)
    held: Floats = sizes @ done.solution
    left = float(room[at] - held[at])
    index = np.flatnonzero(pool)
    chances: Floats = np.array([result.items[i].touched for i in index], dtype=np.float64)
    hits = cycle_hit_rates(chances, sizes[index], copies[index].astype(np.float64), left)
    rows: list[PlacementRow] = []
    share = dict(zip(index.tolist(), hits.tolist(), strict=True))
    inner = result.levels[at]
    value = 0.0
    for i, item in enumerate(result.items):
        for j, level in enumerate(result.levels):
            count = int(done.solution[i, j])
            if not count:
                continue
            row = _row(item, level, count, int(done.solution[i, :j].sum()))
            if i in share:
                near = _row(item, inner, count, row.first)
                hit = share[i]
                row = replace(
                    row, cached_in=cached, hit_fraction=hit,
                    read_s=hit * near.read_s + (1.0 - hit) * row.read_s,
                    energy_j=hit * near.energy_j + (1.0 - hit) * row.energy_j,
                )  # fmt: skip
                value += row.read_bytes * (hit * prices[at] + (1.0 - hit) * prices[home])
            else:
                value += row.read_bytes * prices[j]
            rows.append(row)
    # Whatever is visited at random, no policy serves more than the most visited pinned for good.
    least = assign_items(sizes, copies, bound, room, method="lp").bound
    counts = tuple(tuple(int(n) for n in row) for row in done.solution)
    return replace(
        result, rows=tuple(rows), value=value, bound=min(least, value), proved=False,
        method=f"{done.method} + lru", counts=counts, cache_bytes={cached: max(left, 0.0)},
    )  # fmt: skip


def _violations(
    result: PlacementResult, room: Floats, *, proved: bool = True
) -> tuple[Violation, ...]:
    """Return what has no place: per role, and all together."""
    found: list[Violation] = []
    for role in ("kv", "weight", ""):
        items = [i for i in result.items if not role or i.role == role]
        demand = sum(i.copies * i.size_bytes for i in items)
        where = [v for v in result.levels if not role or role in v.holds]
        if role and len(where) == len(result.levels):
            continue
        bound = float(sum(r for r, v in zip(room, result.levels, strict=True) if v in where))
        largest = max((i.size_bytes for i in items), default=0.0)
        if demand <= bound:
            continue
        names = " and ".join(v.name for v in where) or "no level"
        what = {"kv": "the KV cache", "weight": "weights"}.get(role, "weights and KV cache")
        levers = _levers(result, role, demand, bound)
        found.append(Violation(
            f"levels.{names.replace(' and ', '+')}.capacity", demand, bound, demand - bound, levers,
            f"{what} take {show(demand, 'bytes')}, and {names} may hold {show(bound, 'bytes')}: "
            f"{show(demand - bound, 'bytes')} too much (largest piece {show(largest, 'bytes')})",
        ))  # fmt: skip
    if not found:
        demand = sum(i.copies * i.size_bytes for i in result.items)
        bound = float(room.sum())
        found.append(Violation(
            "levels.capacity", demand, bound, 0.0, ("smaller pieces", "fewer pinned items"),
            f"{show(demand, 'bytes')} fit {show(bound, 'bytes')} in all, but "
            + ("not piece by piece" if proved else "no place for every piece was found in time"),
        ))  # fmt: skip
    return tuple(found)


def _levers(
    result: PlacementResult, role: str, demand: float, bound: float
) -> tuple[str, ...]:  # fmt: skip
    out: list[str] = []
    parameters = result.prediction.workload.parameters
    kv = sum(i.copies * i.size_bytes for i in result.items if i.role == "kv")
    weights = sum(i.copies * i.size_bytes for i in result.items if i.role == "weight")
    if role != "weight" and kv > demand - bound:
        share = (kv - (demand - bound)) / kv
        for name in ("context", "prompt", "batch"):
            value = parameters.get(name)
            if value is not None and float(value) * share >= 1:
                out.append(f"{name} of at most {int(float(value) * share)}")
                break
    if role != "kv" and weights > demand - bound:
        bits = float(
            np.asarray(result.prediction._job.precision.weights.bits).reshape(-1)[0]  # pyright: ignore[reportPrivateUsage]
        )
        out.append(f"weights of at most {bits * (weights - (demand - bound)) / weights:.3g} bits")
    out.append(f"{show(demand - bound, 'bytes')} more of a level")
    return tuple(out)
