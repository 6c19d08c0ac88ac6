"""Orders to load in: hottest first, Johnson's, and what no order undercuts."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from perfmodel.schedule.stream import Load

__all__ = ["LowerBounds", "hottest_first", "johnson", "johnson_makespan", "lower_bounds"]


class LowerBounds(NamedTuple):
    """What no order undercuts, in seconds.

    Attributes
    ----------
    io
        Everything is loaded, and what was loaded last is computed.
    compute
        Something is loaded, and everything is computed.
    johnson
        The least with a buffer that is never full.
    """

    io: float
    compute: float
    johnson: float

    @property
    def best(self) -> float:
        """The largest of them."""
        return max(self)


def chains(items: Sequence[Load]) -> list[list[int]]:
    """Return the items as chains of what builds on what, in the order of their heads.

    Raises
    ------
    ValueError
        Two items build on one, or an item builds on itself.
    """
    child: dict[int, int] = {}
    for i, item in enumerate(items):
        if item.parent >= 0:
            if item.parent in child:
                raise ValueError(f"two items build on '{items[item.parent].name}'")
            child[item.parent] = i
    orders: list[list[int]] = []
    for i, item in enumerate(items):
        if item.parent < 0:
            chain = [i]
            while chain[-1] in child:
                chain.append(child[chain[-1]])
            orders.append(chain)
    if sum(map(len, orders)) != len(items):
        raise ValueError("items build on each other in a circle")
    return orders


def hottest_first(items: Sequence[Load]) -> tuple[int, ...]:
    """Return the order of D2MoE: hottest expert, lowest bits first.

    Each expert has a queue of its slices in ascending bits; the head that is asked for most often
    is loaded next (arXiv 2504.15299, "hottest-expert-bit-first"). Equals go in their own order.
    """
    queues = chains(items)
    heads = [(-items[q[0]].requests, q[0], 0, k) for k, q in enumerate(queues)]
    heapq.heapify(heads)
    order: list[int] = []
    while heads:
        _, i, place, k = heapq.heappop(heads)
        order.append(i)
        if place + 1 < len(queues[k]):
            after = queues[k][place + 1]
            heapq.heappush(heads, (-items[after].requests, after, place + 1, k))
    return tuple(order)


def johnson(items: Sequence[Load]) -> tuple[int, ...]:
    """Return the order with the least makespan where the buffer is never full.

    First what loads faster than it computes, fastest load first; then the others, longest
    computation first (Johnson, "Optimal two- and three-stage production schedules with setup times
    included", Naval Research Logistics Quarterly 1, 1954). Slices that build on each other are
    chains: neighbours that Johnson's rule would swap act as one job (Kurisu, "Two-machine
    scheduling under required precedence among jobs", Journal of the Operations Research Society of
    Japan 19(1), 1976). `Load.after` is not looked at.
    """
    blocks: list[tuple[float, float, list[int]]] = []
    for chain in chains(items):
        stack: list[tuple[float, float, list[int]]] = []
        for i in chain:
            block = (items[i].io_s, items[i].compute_s, [i])
            while stack and _key(*block[:2]) < _key(*stack[-1][:2]):
                block = _joined(stack.pop(), block)
            stack.append(block)
        blocks += stack
    # Stable: blocks of one chain are in their order already, and stay so among equals.
    blocks.sort(key=lambda b: _key(b[0], b[1]))
    return tuple(i for _, _, members in blocks for i in members)


def _key(io: float, compute: float) -> tuple[int, float]:
    return (0, io) if io < compute else (1, -compute)


def _joined(
    a: tuple[float, float, list[int]], b: tuple[float, float, list[int]]
) -> tuple[float, float, list[int]]:
    """Two jobs in a row as one: how long before the engine starts, how long after the channel."""
    return (a[0] + max(0.0, b[0] - a[1]), b[1] + max(0.0, a[1] - b[0]), a[2] + b[2])


def johnson_makespan(
    times: Iterable[tuple[float, float]], channel: float = 0.0, engine: float = 0.0
) -> float:
    """Return the least makespan of free jobs with a buffer that is never full.

    Parameters
    ----------
    times
        Seconds of loading and computing of each.
    channel, engine
        When either begins.
    """
    for io, compute in sorted(times, key=lambda t: _key(*t)):
        channel += io
        engine = max(channel, engine) + compute
    return max(engine, channel)


def lower_bounds(items: Sequence[Load]) -> LowerBounds:
    """Return what no order undercuts, whatever the buffer."""
    items = [item for item in items if item.requests > 0.0]
    if not items:
        return LowerBounds(0.0, 0.0, 0.0)
    loaded = [item for item in items if item.io_s > 0.0]
    io = sum(item.io_s for item in items)
    compute = sum(item.compute_s for item in items)
    tail = min((item.compute_s for item in loaded), default=0.0)
    head = min(item.io_s for item in items)
    free = johnson_makespan((item.io_s, item.compute_s) for item in items)
    return LowerBounds(io + tail, head + compute, free)
