"""Executed sets with the fewest bytes on chip: minimum cuts of the network of buffers.

A buffer of `size` bytes is an arc of that capacity from its maker to all its readers. An executed
set cuts the arcs of the buffers that it has made and not yet read by all, so that the bytes on chip
are the capacity of the cut, and the sets that hold the fewest bytes are the minimum cuts
(`perfmodel.optimise.maximum_flow`).
"""

from __future__ import annotations

import math

from perfmodel.optimise.maximum_flow import SINK, SOURCE, FlowNetwork
from perfmodel.schedule.masks import bits, mask_of, nearest
from perfmodel.schedule.peak.region import Region


def least_bytes_sets(region: Region, first: int, last: int) -> list[int]:
    """Return a chain of executed sets between two, each holding as few bytes as any set in between.

    Some order with the least peak passes through all of them: bytes on chip are submodular, so that
    an order that runs first the steps of such a set, then the others, each in its old sequence,
    never holds more than the old one did.

    Parameters
    ----------
    first, last
        Bit masks; the smaller is a subset of the larger.

    Returns
    -------
    list of int
        From the smallest to the largest; `first` and `last` are included only if they hold as few
        bytes.
    """
    inside = last & ~first
    members = list(bits(inside))
    network = _buffer_network(region, first, last, members)
    network.maximise_flow()
    sets: list[int] = []
    executed = first
    for nodes in network.minimum_cuts():
        larger = executed | mask_of(members[v - 2] for v in nodes if 2 <= v < 2 + len(members))
        if not sets or larger != executed:
            sets.append(larger)
        executed = larger
    return sets


def _buffer_network(region: Region, first: int, last: int, members: list[int]) -> FlowNetwork:
    """Return the network of the steps between two sets and the buffers on chip among them.

    Steps executed before are the source, steps executed later the sink. Arcs of unlimited capacity
    exclude sets that lack a predecessor of one of their steps.
    """
    inside = last & ~first
    node_of = {s: k for k, s in enumerate(members, start=2)}
    network = FlowNetwork(2 + len(members))
    for s in members:
        for p in nearest(region.before[s] & inside, region.before):
            network.add_arc(node_of[s], node_of[p], math.inf)
    for size, maker, readers, permanent in region.buffers:
        if maker >= 0 and not (last >> maker) & 1:
            continue
        left = readers & ~first
        if not left and not permanent:
            continue
        buffer = network.add_node()
        is_made = maker < 0 or first >> maker & 1
        network.add_arc(SOURCE if is_made else node_of[maker], buffer, size)
        if permanent or left & ~last:
            network.add_arc(buffer, SINK, math.inf)
            continue
        for r in bits(left):
            network.add_arc(buffer, node_of[r], math.inf)
    return network
