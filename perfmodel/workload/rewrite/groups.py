"""Which channel dimensions must be cut together."""

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
    """A width, and every axis that has it.

    Attributes
    ----------
    name
        Name of the operator that first makes it (of a tensor where none does).
    size
        The width at the graph's defaults.
    members
        ``(tensor, axis, multiplicity)``: the axis holds `multiplicity` elements for each `step` of
        the width, beside those of other groups where it is a concatenation.
    prunable
        Whether it may have another width.
    reason
        Why not.
    step
        Widths are multiples of it: groups of a convolution, factors of a reshape.
    """

    name: str
    size: int
    members: tuple[tuple[str, int, int], ...]
    prunable: bool = True
    reason: str = ""
    step: int = 1


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything that is known of a graph's widths.

    Attributes
    ----------
    variables
        Group name -> the variable behind it, whose extent is ``width / step``.
    """

    relations: Relations
    groups: tuple[ChannelGroup, ...]
    variables: dict[str, int]


def channel_groups(graph: Graph) -> tuple[ChannelGroup, ...]:
    """Return the groups of channel dimensions that must be cut together, in execution order.

    An axis of one group is a member of it; a concatenation is a member of several; a flattened
    image is one with a multiplicity of its pixels. Residual sums, gates, depthwise convolutions and
    normalisations tie axes together; the residual stream of a transformer is one group, the hidden
    width of each feed-forward network another, the heads of each attention a third (a key head
    goes with its query heads; the size of a head stays). What cannot be cut is listed with a
    reason: network inputs and outputs, layouts that are not known.
    """
    return analysis(graph).groups


@cached(GRAPH_BYTES, same=1)
def analysis(graph: Graph) -> Analysis:
    """Return what is known of a graph's widths, found once."""
    found = relations(graph)
    _settle_products(found)
    names = _names(found)
    groups: list[ChannelGroup] = []
    variables: dict[str, int] = {}
    members = _members(found)
    heads = {v for k in found.heads for v in found.axes.variables(k)}
    for variable, name in names.items():
        reason = found.axes.reason(variable)
        held = members.get(variable, [])
        step = 1 if variable in heads else _step(found, held)
        size = round(found.axes.default(variable) * step)
        groups.append(ChannelGroup(name, size, tuple(held), not reason, reason, step))
        variables[name] = variable
    return Analysis(found, tuple(groups), variables)


def _settle_products(r: Relations) -> None:
    """Leave at most one free factor in a product: of heads and their size the heads."""
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
    """Return the variables that are groups, with their names, in order of the operators."""
    alone = {s[0] for key in r.channels for s in r.axes.of(key) if len(s) == 1}
    reported: dict[int, str] = {}
    taken: set[str] = set()
    rank = {name: i for i, name in enumerate(dict.fromkeys(op.name for _, op in r.graph.walk()))}
    makers = [(key, made) for key, made in r.channels.items() if made]
    ordered = sorted(makers, key=lambda pair: (rank[pair[1]], pair))
    ordered += [(key, key[0]) for key, made in r.channels.items() if not made]
    for key, made in ordered:
        for variable in dict.fromkeys(r.axes.variables(key)):
            reason = r.axes.reason(variable)
            if variable in reported or reason == POSITION or (reason and variable not in alone):
                continue
            name, n = made, 1
            while name in taken:
                n += 1
                name = f"{made}.{n}"
            taken.add(name)
            reported[variable] = name
    return reported


def _members(r: Relations) -> dict[int, list[tuple[str, int, int]]]:
    found: dict[int, list[tuple[str, int, int]]] = {}
    for name, tensor in r.graph.tensors.items():
        for axis in range(len(tensor.shape)):
            counts: dict[int, int] = {}
            for segment in r.axes.of((name, axis)):
                for variable in dict.fromkeys(segment):
                    counts[variable] = counts.get(variable, 0) + _others(r, segment, variable)
            for variable, count in counts.items():
                found.setdefault(variable, []).append((name, axis, count))
    return found


def _others(r: Relations, segment: Segment, variable: int) -> int:
    others = list(segment)
    others.remove(variable)
    return round(math.prod(map(r.axes.default, others)))


def _step(r: Relations, members: Iterable[tuple[str, int, int]]) -> int:
    """Return the common factor of a width's multiplicities in activations."""
    counts = [n for name, _, n in members if r.graph.tensors[name].role != "weight"]
    return math.gcd(*counts) if counts else 1
