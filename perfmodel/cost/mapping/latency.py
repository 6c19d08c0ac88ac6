"""Latency of a mapping in cycles: computation, stalls on shared ports, loading and unloading.

The model of Mei et al., "A Uniform Latency Model for DNN Accelerators with Diverse Architectures
and Dataflows" (DATE 2022): a transfer between two memories requires ``real`` cycles of every period
and may use a window of it, which is the whole period if the inner memory has capacity for two
tiles, else the part outside the innermost loops that reuse the tile. Transfers that exceed their
window stall the units, as do transfers of one port with overlapping windows. Different ports work
in parallel. Transfers that occur once precede the first cycle or follow the last one, to the extent
that their port is busy in between. With n passes of a transfer, the stall of a port is

    stall = sum max((real - window) (n - 1), 0)
            + max(sum min((real - window) (n - 1), 0) + sum window (n - 1) - union of windows, 0)

in cycles, and that of the array is the maximum over its ports.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from perfmodel.cost.mapping.hierarchy import OPERANDS, Direction, Operand
from perfmodel.cost.mapping.loop_orders import LoopOrders, MappedBoundary, mapped_boundaries
from perfmodel.cost.mapping.problem import Floats, MappingProblem

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Cycles:
    """Cycles of many mappings; all fields of shape (orders,).

    Attributes
    ----------
    compute
        Temporal iterations.
    stall
        Cycles in which the units wait for transfers.
    onload, offload
        Cycles before the first iteration, and after the last one.
    drain
        Cycles until the last results leave a systolic array.
    """

    compute: Floats
    stall: Floats
    onload: Floats
    offload: Floats
    drain: Floats

    @property
    def total(self) -> Floats:
        """Total number of cycles."""
        return self.compute + self.stall + self.onload + self.offload + self.drain


@dataclass(frozen=True)
class PortTransfer:
    """Transfer over one port, on one side of a boundary, under many mappings.

    Attributes
    ----------
    operand, place, direction
        Operand, index of the boundary (0 at the units), and direction of the transfer.
    real
        Cycles per pass.
    allowed
        Cycles of each period in which the transfer may run (its window).
    period, count
        Cycles between passes, and number of passes.
    active
        Whether the transfer occurs: partial sums are not always read back.
    average_bits
        Average bits per cycle over the whole computation.
    least
        Cycles for the data that the units require to start.
    """

    operand: Operand
    place: int
    direction: str
    real: Floats
    allowed: Floats
    period: Floats
    count: Floats
    active: Bools
    average_bits: Floats
    least: Floats


def cycles(
    orders: LoopOrders,
    cuts: dict[Operand, npt.NDArray[np.int64]],
    boundaries: dict[Operand, list[MappedBoundary]] | None = None,
) -> Cycles:
    """Return the cycles of many mappings.

    Parameters
    ----------
    orders
        Loop orders.
    cuts
        For each operand the cut of every memory but the outermost, shape (memories - 1, orders).
    boundaries
        Result of `mapped_boundaries` for these mappings, if already computed.
    """
    problem = orders.problem
    boundaries = boundaries or mapped_boundaries(orders, cuts)
    integral = replace(problem, integral=True)
    double = _double_buffered(orders, boundaries)
    ports = _port_transfers(integral, mapped_boundaries(orders, cuts, integral), double)
    total = np.full(len(orders.dims), float(problem.cycles))
    stall = np.zeros_like(total)
    for links in ports.values():
        stall = np.maximum(stall, _stall(links, total))
    loads: dict[tuple[Operand, int, str], Floats] = {}
    for (memory, port), links in ports.items():
        width = problem.hierarchy.memories[memory].ports[port].width_bits
        loads.update(_loading(links, width, total + stall))
    return Cycles(
        compute=total,
        stall=stall,
        onload=_onload(problem, loads, total),
        offload=_offload(problem, loads, total),
        drain=np.full_like(total, float(problem.drain_cycles)),
    )


def _double_buffered(
    orders: LoopOrders, by_operand: dict[Operand, list[MappedBoundary]]
) -> dict[Operand, list[Bools]]:
    """Return whether a memory can hold the next tile of an operand in addition to the current ones.

    If the outermost loops of a tile all index the operand, only the part used by one iteration of
    them is required at once. Free capacity is assigned in the order output, weight, input.
    """
    problem = orders.problem
    memories = problem.hierarchy.memories
    used: dict[Operand, list[Floats]] = {}
    for operand, boundaries in by_operand.items():
        used[operand] = []
        for place, level in enumerate(problem.hierarchy.levels[operand]):
            if place + 1 < len(boundaries):
                boundary = boundaries[place + 1]
                transfers = boundary.transfers
                bits = transfers.elements * problem.bits(operand, partial=transfers.partial)
                bits = np.floor_divide(bits, boundary.relevant_iterations)
            else:
                full_tile = np.asarray(problem.temporal, dtype=np.float64)
                elements = problem.elements(operand, full_tile * problem.inside[operand][-1])
                bits = np.full(len(orders.dims), float(elements * problem.bits(operand)))
            used[operand].append(bits / (8.0 * memories[level].capacity_bytes))
    shared = [np.zeros(len(orders.dims)) for _ in memories]
    for operand, shares in used.items():
        for level, share in zip(problem.hierarchy.levels[operand], shares, strict=True):
            shared[level] = shared[level] + share
    double: dict[Operand, list[Bools]] = {}
    for operand in OPERANDS:
        double[operand] = [np.zeros(len(orders.dims), dtype=np.bool_)]
        for level, share in zip(problem.hierarchy.levels[operand], used[operand], strict=True):
            half_empty = shared[level] <= 0.5
            fits = ~half_empty & (share <= 1.0 - shared[level])
            shared[level] = np.where(fits, shared[level] + share, shared[level])
            double[operand].append(half_empty | fits)
    return double


def _port_transfers(
    problem: MappingProblem,
    by_operand: dict[Operand, list[MappedBoundary]],
    double: dict[Operand, list[Bools]],
) -> dict[tuple[int, int], list[PortTransfer]]:
    """Return all transfers by (memory, port)."""
    ports: dict[tuple[int, int], list[PortTransfer]] = {}
    for operand, boundaries in by_operand.items():
        first = boundaries[1].transfers if len(boundaries) > 1 else None
        for place, mapped in enumerate(boundaries):
            transfers = mapped.transfers
            boundary = transfers.boundary
            window = np.floor_divide(transfers.cycles, mapped.invariant_iterations)
            allowed = np.where(double[operand][place], transfers.cycles, window)
            bits = problem.bits(operand, partial=transfers.partial)
            if first is not None:
                least = first.elements * problem.bits(operand, partial=first.partial)
            else:
                full_tile = np.asarray(problem.temporal, dtype=np.float64)
                elements = problem.elements(operand, full_tile * problem.inside[operand][-1])
                least = np.full_like(transfers.elements, elements) * bits
            sides: list[tuple[int, Floats, tuple[Direction, Direction]]] = [
                (
                    boundary.upper,
                    np.floor(transfers.elements * boundary.multicast),
                    ("collect", "feed"),
                )
            ]
            if boundary.lower >= 0:
                sides.append((boundary.lower, transfers.elements, ("drain", "fill")))
            for memory, elements, (out, back) in sides:
                for direction in (out, back):
                    if direction == out and operand != "output":
                        continue
                    port = problem.hierarchy.memories[memory].port_of(operand, direction)
                    if port is None:
                        continue
                    width = problem.hierarchy.memories[memory].ports[port].width_bits
                    active = np.ones_like(transfers.partial)
                    if operand == "output" and direction == back:
                        active = transfers.partial
                    ports.setdefault((memory, port), []).append(
                        PortTransfer(
                            operand=operand,
                            place=place,
                            direction=direction,
                            real=np.ceil(elements * bits / width),
                            allowed=allowed,
                            period=transfers.cycles,
                            count=transfers.times,
                            active=active,
                            average_bits=np.floor(elements * bits / transfers.cycles),
                            least=np.ceil(least / width),
                        )
                    )
    return ports


def _stall(links: list[PortTransfer], total: Floats) -> Floats:
    """Return the cycles for which the transfers of one port stall the units."""
    overrun = np.zeros_like(total)
    slack = np.zeros_like(total)
    windows = np.zeros_like(total)
    for link in links:
        passes = np.where(link.active, link.count - 1.0, 0.0)
        excess = (link.real - link.allowed) * passes
        overrun = overrun + np.maximum(excess, 0.0)
        slack = slack + np.minimum(excess, 0.0)
        windows = windows + link.allowed * passes
    return overrun + np.maximum(slack + windows - union_cycles(links, total), 0.0)


def union_cycles(links: list[PortTransfer], total: Floats) -> Floats:
    """Return the length of the union of the windows of a port's transfers, in cycles.

    A transfer may run in the first ``allowed`` cycles of each of its periods. All periods are
    iterations inside a cut of one loop order, so that each divides the next longer one. The
    uncovered cycles within a period are therefore a multiple of those of the next shorter period,
    minus the cycles that the transfer's own window covers in addition.
    """
    period = np.stack([np.broadcast_to(link.period, total.shape) for link in links])
    allowed = np.stack([np.where(link.active, link.allowed, 0.0) for link in links])
    order = np.argsort(period, axis=0, kind="stable")
    period = np.take_along_axis(period, order, axis=0)
    allowed = np.take_along_axis(allowed, order, axis=0)
    gaps: list[Floats] = []  # uncovered by the windows up to this one, in one period of it
    cut_off: list[Floats] = []  # uncovered by the ones before it, in its window

    def uncovered(windows: int, until: Floats) -> Floats:
        """Return the cycles up to a time that none of the first windows covers."""
        cycles = np.zeros_like(total)
        is_open = np.ones_like(total)
        remainder = until
        for i in range(windows - 1, -1, -1):
            periods = np.floor_divide(remainder, period[i])
            remainder = remainder - periods * period[i]
            past_window = remainder > allowed[i]
            cycles = cycles + is_open * (periods * gaps[i] - np.where(past_window, cut_off[i], 0.0))
            is_open = is_open * past_window
        return cycles + is_open * remainder

    for i in range(len(links)):
        cut_off.append(uncovered(i, allowed[i]))
        gaps.append(uncovered(i, period[i]) - cut_off[i])
    return total * (1.0 - gaps[-1] / period[-1])


def _loading(
    links: list[PortTransfer], width: float, busy: Floats
) -> dict[tuple[Operand, int, str], Floats]:
    """Return the cycles of each transfer of a port before the first or after the last iteration.

    A transfer that occurs once may use idle cycles of the port during the computation, except for
    the data that the units require to start; the longest transfer is scheduled first.
    """
    links = [
        link for link in links if link.operand != "output" or link.direction in ("collect", "drain")
    ]
    if not links:
        return {}
    once = np.stack([link.count == 1 for link in links])
    needed = np.sum([np.where(link.count > 1, link.average_bits, 0.0) for link in links], axis=0)
    spare = np.maximum((width - needed) / width * busy, 0.0)
    real = np.stack([np.broadcast_to(link.real, busy.shape) for link in links])
    least = np.stack([np.broadcast_to(link.least, busy.shape) for link in links])
    room = np.where(once, np.maximum(real - least, 0.0), 0.0)
    order = np.argsort(np.where(once, -real, np.inf), axis=0, kind="stable")
    room = np.take_along_axis(room, order, axis=0)
    before = np.cumsum(room, axis=0) - room
    less = np.empty_like(room)
    np.put_along_axis(less, order, np.clip(spare - before, 0.0, room), axis=0)
    return {
        (link.operand, link.place, link.direction): cycles - cut
        for link, cycles, cut in zip(links, real, less, strict=True)
    }


def _onload(
    problem: MappingProblem, loads: dict[tuple[Operand, int, str], Floats], like: Floats
) -> Floats:
    """Return the cycles until the units have their first inputs and weights.

    Both are loaded in parallel if they share no port, else one after the other in the better order.
    """
    separate: dict[str, Floats] = {}
    half: dict[str, Floats] = {}
    shared: dict[str, Floats] = {}
    for operand in ("input", "weight"):
        separate[operand] = half[operand] = shared[operand] = np.zeros_like(like)
        levels = problem.hierarchy.levels[operand]
        for place, (lower, upper) in enumerate(pairwise(levels), start=1):
            both = [
                _serves_both(problem, lower, operand, "fill"),
                _serves_both(problem, upper, operand, "feed"),
            ]
            longest = np.maximum(loads[operand, place, "fill"], loads[operand, place, "feed"])
            if all(both):
                shared[operand] = shared[operand] + longest
            elif any(both):
                half[operand] = longest
            else:
                separate[operand] = separate[operand] + longest
    own = {operand: half[operand] + separate[operand] for operand in ("input", "weight")}
    return np.minimum(
        shared["input"] + np.maximum(shared["weight"] + own["weight"], own["input"]),
        shared["weight"] + np.maximum(shared["input"] + own["input"], own["weight"]),
    )


def _serves_both(
    problem: MappingProblem, memory: int, operand: Operand, direction: Direction
) -> bool:
    """Return whether the port of a transfer serves inputs as well as weights."""
    level = problem.hierarchy.memories[memory]
    port = level.port_of(operand, direction)
    if port is None:
        return False
    served = {served_operand for served_operand, _ in level.ports[port].uses}
    return {"input", "weight"} <= served


def _offload(
    problem: MappingProblem, loads: dict[tuple[Operand, int, str], Floats], like: Floats
) -> Floats:
    """Return the cycles in which the last outputs leave, level by level."""
    cycles = np.zeros_like(like)
    for place in range(1, len(problem.hierarchy.levels["output"])):
        drain, collect = (loads["output", place, name] for name in ("drain", "collect"))
        cycles = cycles + np.maximum(drain, collect)
    return cycles
