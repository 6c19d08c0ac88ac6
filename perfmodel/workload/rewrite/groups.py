"""Groups of channel dimensions that must be pruned together."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from perfmodel.caches import GRAPH_BYTES, cached
from perfmodel.workload.graph import Graph
from perfmodel.workload.rewrite.axes import POSITION, Segment
from perfmodel.workload.rewrite.relate import relations
from perfmodel.workload.rewrite.relations import Relations


class ChannelGroup(NamedTuple):
    """A width, and all axes that have it.

    Attributes
    ----------
    name
        Name of the first operator that computes it (of a tensor if there is none).
    size
        Width at the graph's defaults.
    members
        ``(tensor, axis, multiplicity)``: the axis has `multiplicity` elements per `step` of the
        width, in addition to those of other groups if it is a concatenation.
    prunable
        Whether the width can change.
    reason
        Reason why it cannot; empty if it can.
    step
        Divisor of all valid widths: groups of a convolution, factors of a reshape.
    """

    name: str
    size: int
    members: tuple[tuple[str, int, int], ...]
    prunable: bool = True
    reason: str = ""
    step: int = 1


@dataclass(frozen=True, slots=True)
class Analysis:
    """Result of the analysis of a graph's widths.

    Attributes
    ----------
    variables
        Group name -> its variable, whose extent is ``width / step``.
    """

    relations: Relations
    groups: tuple[ChannelGroup, ...]
    variables: dict[str, int]


def channel_groups(graph: Graph) -> tuple[ChannelGroup, ...]:
    """Return the groups of channel dimensions that must be pruned together, in execution order.

    An axis of one group is a member of it; a concatenation is a member of several; a flattened
    image is a member with its pixels as multiplicity. Residual sums, gates, depthwise convolutions
    and normalisations couple axes. The residual stream of a transformer is one group, the hidden
    width of each feed-forward network another, the heads of each attention a third (a key head is
    pruned with its query heads; head sizes do not change). Groups that cannot be pruned are listed
    with a reason: network inputs and outputs, unknown layouts.
    """
    return analysis(graph).groups


@cached(GRAPH_BYTES, same=1)
def analysis(graph: Graph) -> Analysis:
    """Return the analysis of a graph's widths, cached."""
    known = relations(graph)
    _settle_products(known)
    names = _names(known)
    groups: list[ChannelGroup] = []
    variables: dict[str, int] = {}
    members = _members(known)
    heads = {v for k in known.heads for v in known.axes.variables(k)}
    for variable, name in names.items():
        reason = known.axes.reason(variable)
        positions = members.get(variable, [])
        step = 1 if variable in heads else _step(known, positions)
        size = round(known.axes.default(variable) * step)
        groups.append(ChannelGroup(name, size, tuple(positions), not reason, reason, step))
        variables[name] = variable
    return Analysis(known, tuple(groups), variables)


def _settle_products(r: Relations) -> None:
    """Leave at most one free factor per product: the heads, if heads are multiplied by a size."""
    heads = {v for k in r.heads for v in r.axes.variables(k)}
    for key in r.channels:
        for segment in r.axes.of(key):
            free = [v for v in segment if not r.axes.reason(v)]
            if len(free) < 2:
                continue
            largest = max(free, key=lambda v: r.axes.size(((v,),)))
            factor = next((v for v in free if v in heads), largest)
            reason = "size of a head" if factor in heads else "factor of a reshape"
            for variable in free:
                if variable != factor:
                    r.axes.freeze(((variable,),), reason)


def _names(r: Relations) -> dict[int, str]:
    """Return the variables that are groups with their names, in order of the operators."""
    single = {s[0] for key in r.channels for s in r.axes.of(key) if len(s) == 1}
    reported: dict[int, str] = {}
    taken: set[str] = set()
    rank = {name: i for i, name in enumerate(dict.fromkeys(op.name for _, op in r.graph.walk()))}
    makers = [(key, maker) for key, maker in r.channels.items() if maker]
    ordered = sorted(makers, key=lambda pair: (rank[pair[1]], pair))
    ordered += [(key, key[0]) for key, maker in r.channels.items() if not maker]
    for key, maker in ordered:
        for variable in dict.fromkeys(r.axes.variables(key)):
            reason = r.axes.reason(variable)
            if variable in reported or reason == POSITION or (reason and variable not in single):
                continue
            name, n = maker, 1
            while name in taken:
                n += 1
                name = f"{maker}.{n}"
            taken.add(name)
            reported[variable] = name
    return reported


def _members(r: Relations) -> dict[int, list[tuple[str, int, int]]]:
    positions: dict[int, list[tuple[str, int, int]]] = {}
    for name, tensor in r.graph.tensors.items():
        for axis in range(len(tensor.shape)):
            counts: dict[int, int] = {}
            for segment in r.axes.of((name, axis)):
                for variable in dict.fromkeys(segment):
                    counts[variable] = counts.get(variable, 0) + _others(r, segment, variable)
            for variable, count in counts.items():
                positions.setdefault(variable, []).append((name, axis, count))
    return positions


def _others(r: Relations, segment: Segment, variable: int) -> int:
    others = list(segment)
    others.remove(variable)
    return round(math.prod(map(r.axes.default, others)))


def _step(r: Relations, members: Iterable[tuple[str, int, int]]) -> int:
    """Return the greatest common divisor of a width's multiplicities in activations."""
    counts = [n for name, _, n in members if r.graph.tensors[name].role != "weight"]
    return math.gcd(*counts) if counts else 1
