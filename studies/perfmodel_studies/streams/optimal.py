"""The least makespan with a buffer that fills: branch and bound over orders."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.stream.pipeline import (
    Load,
    PipelineState,
    descendants,
    pipeline,
    place_sizes,
)

from perfmodel_studies.streams.order import hottest_first, johnson, johnson_makespan

__all__ = ["BestOrder", "best_order"]


class BestOrder(NamedTuple):
    """An order and what is known of it.

    Attributes
    ----------
    order
        Indices of the items.
    makespan_s, bound_s
        Of this order, and what no order undercuts.
    proved
        It is the least, among orders that are the same on channel and engine.
    nodes
        Partial orders that were looked at.
    """

    order: tuple[int, ...]
    makespan_s: float
    bound_s: float
    proved: bool
    nodes: int


def best_order(
    items: Sequence[Load],
    *,
    slots: int | None = None,
    buffer_bytes: float | None = None,
    deadline: Deadline | None = None,
) -> BestOrder:
    """Return the order with the least makespan.

    Depth first, the nearest to its bound first. A partial order is given up where the rest, with a
    buffer that is never full (Johnson), cannot beat the best known order; or where the same items
    were done before with channel, engine and buffer free no later.

    Parameters
    ----------
    items, slots, buffer_bytes
        As `perfmodel.schedule.stream.pipeline.pipeline` takes them.
    deadline
        When to stop with the best order so far.

    Raises
    ------
    ValueError
        No order fits the buffer, or none was found in time.
    """
    n = len(items)
    sizes, capacity = place_sizes(items, slots, buffer_bytes)
    children = descendants(items)
    best, least = _start(items, slots, buffer_bytes)
    waits = any(item.after >= 0 for item in items)
    needed = [j for j in range(n) if items[j].requests > 0.0]
    root = johnson_makespan((items[j].io_s, items[j].compute_s) for j in needed)
    if not waits and len(needed) == n and capacity == math.inf:
        # Johnson's order is the least where nothing limits it.
        first_order = johnson(items)
        least = pipeline(items, first_order).makespan_s
        return BestOrder(first_order, least, least, True, 0)
    limit = deadline or Deadline()
    seen: dict[int, list[tuple[float, float, tuple[tuple[float, float], ...]]]] = {}
    nodes = 0
    stopped = False
    stack: list[tuple[int, PipelineState, tuple[int, ...]]] = [
        (0, PipelineState(items, sizes, capacity), ())
    ]
    while stack and least > root * (1.0 + 1e-12):
        if nodes % 256 == 255 and limit.passed():
            stopped = True
            break
        mask, state, order = stack.pop()
        nodes += 1
        below: list[tuple[float, int, PipelineState, tuple[int, ...]]] = []
        for i, successor in _successors(items, mask, state, children):
            reached = mask | 1 << i
            if reached == (1 << n) - 1:
                if successor.engine < least * (1.0 - 1e-12):
                    best, least = (*order, i), successor.engine
                continue
            remaining = [
                (items[j].io_s, items[j].compute_s) for j in needed if not reached >> j & 1
            ]
            bound = johnson_makespan(remaining, successor.channel, successor.engine)
            if bound >= least * (1.0 - 1e-12):
                continue
            key = (successor.channel, successor.engine, _occupied(successor))
            known_states = seen.setdefault(reached, [])
            if not waits and any(_dominates(other, key) for other in known_states):
                continue
            known_states.append(key)
            below.append((bound, i, successor, (*order, i)))
        below.sort(key=lambda b: (-b[0], -b[1]))
        stack += [(mask | 1 << i, successor, longer) for _, i, successor, longer in below]
    if best is None:
        raise ValueError("no order fits the buffer" if not stopped else "no order found in time")
    if stopped:
        return BestOrder(best, least, min(root, least), False, nodes)
    return BestOrder(best, least, least, True, nodes)


def _successors(
    items: Sequence[Load], mask: int, state: PipelineState, children: Sequence[int]
) -> Iterator[tuple[int, PipelineState]]:
    """Yield each item that may follow those of the mask and fits the buffer, and its state."""
    for i, item in enumerate(items):
        if mask >> i & 1 or any(j >= 0 and not mask >> j & 1 for j in (item.parent, item.after)):
            continue
        successor = state.copy()
        if successor.add(i, children) is not None:
            yield i, successor


def _start(
    items: Sequence[Load], slots: int | None, buffer_bytes: float | None
) -> tuple[tuple[int, ...] | None, float]:
    best: tuple[int, ...] | None = None
    least = math.inf
    for order in (tuple(range(len(items))), hottest_first(items), johnson(items)):
        try:
            makespan = pipeline(items, order, slots=slots, buffer_bytes=buffer_bytes).makespan_s
        except ValueError:
            continue
        if makespan < least:
            best, least = order, makespan
    return best, least


def _occupied(state: PipelineState) -> tuple[tuple[float, float], ...]:
    """Return the buffer over time: (until, bytes or places taken), descending; kept ones last."""
    occupied = sum(state.sizes[i] for i in state.dependents if state.items[i].io_s > 0.0)
    out: list[tuple[float, float]] = []
    for when, size in reversed(state.places):
        occupied += size
        if when > state.channel:
            out.append((when, occupied))
    return tuple(out)


def _dominates(
    a: tuple[float, float, tuple[tuple[float, float], ...]],
    b: tuple[float, float, tuple[tuple[float, float], ...]],
) -> bool:
    """Whether everything is free in `a` no later than in `b`."""
    if a[0] > b[0] or a[1] > b[1]:
        return False
    # At every moment until which `a` holds something, `b` must hold as much.
    for when, taken in a[2]:
        if when <= b[0]:
            continue
        largest = max((size for until, size in b[2] if until >= when), default=0.0)
        if taken > largest * (1.0 + 1e-12):
            return False
    return True
