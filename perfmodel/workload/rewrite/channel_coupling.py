"""Groups of channel dimensions that must be pruned together, with the reasons for fixed ones.

The relations between the axes of all operators are collected and unified (`collect_relations`,
`axis_unification`); each remaining variable is one width that can be chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from perfmodel.caches import GRAPH_BYTES, cached
from perfmodel.workload.graph import Graph
from perfmodel.workload.rewrite.axis_unification import POSITION, Segment
from perfmodel.workload.rewrite.relation_collection import collect_relations
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
class WidthAnalysis:
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
    return analyse_widths(graph).groups


@cached(GRAPH_BYTES, identity_keys=1)
def analyse_widths(graph: Graph) -> WidthAnalysis:
    """Return the analysis of a graph's widths, cached."""
    known = collect_relations(graph)
    _freeze_all_but_one_factor(known)
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
    return WidthAnalysis(known, tuple(groups), variables)


def _freeze_all_but_one_factor(relations: Relations) -> None:
    """Leave at most one free factor per product: the heads, if heads are multiplied by a size."""
    heads = {v for k in relations.heads for v in relations.axes.variables(k)}
    for key in relations.channels:
        for segment in relations.axes.structure(key):
            free = [v for v in segment if not relations.axes.reason(v)]
            if len(free) < 2:
                continue
            largest = max(free, key=lambda v: relations.axes.size(((v,),)))
            factor = next((v for v in free if v in heads), largest)
            reason = "size of a head" if factor in heads else "factor of a reshape"
            for variable in free:
                if variable != factor:
                    relations.axes.freeze(((variable,),), reason)


def _names(relations: Relations) -> dict[int, str]:
    """Return the variables that are groups with their names, in order of the operators."""
    single = {
        s[0] for key in relations.channels for s in relations.axes.structure(key) if len(s) == 1
    }
    reported: dict[int, str] = {}
    taken: set[str] = set()
    rank = {
        name: i for i, name in enumerate(dict.fromkeys(op.name for _, op in relations.graph.walk()))
    }
    makers = [(key, maker) for key, maker in relations.channels.items() if maker]
    ordered = sorted(makers, key=lambda pair: (rank[pair[1]], pair))
    ordered += [(key, key[0]) for key, maker in relations.channels.items() if not maker]
    for key, maker in ordered:
        for variable in dict.fromkeys(relations.axes.variables(key)):
            reason = relations.axes.reason(variable)
            if variable in reported or reason == POSITION or (reason and variable not in single):
                continue
            name, n = maker, 1
            while name in taken:
                n += 1
                name = f"{maker}.{n}"
            taken.add(name)
            reported[variable] = name
    return reported


def _members(relations: Relations) -> dict[int, list[tuple[str, int, int]]]:
    positions: dict[int, list[tuple[str, int, int]]] = {}
    for name, tensor in relations.graph.tensors.items():
        for axis in range(len(tensor.shape)):
            counts: dict[int, int] = {}
            for segment in relations.axes.structure((name, axis)):
                for variable in dict.fromkeys(segment):
                    counts[variable] = counts.get(variable, 0) + _others(
                        relations, segment, variable
                    )
            for variable, count in counts.items():
                positions.setdefault(variable, []).append((name, axis, count))
    return positions


def _others(relations: Relations, segment: Segment, variable: int) -> int:
    others = list(segment)
    others.remove(variable)
    return round(math.prod(map(relations.axes.default, others)))


def _step(relations: Relations, members: Iterable[tuple[str, int, int]]) -> int:
    """Return the greatest common divisor of a width's multiplicities in activations."""
    counts = [n for name, _, n in members if relations.graph.tensors[name].role != "weight"]
    return math.gcd(*counts) if counts else 1
