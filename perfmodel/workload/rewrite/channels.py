"""Rewriting of a graph to other channel widths (structured pruning).

A width is changed for a whole group of coupled axes (`channel_coupling`); tensors, accesses, loop
nests and operation counts are resized in proportion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.workload.graph import Access, Graph, Operator
from perfmodel.workload.rewrite.axis_unification import Axes
from perfmodel.workload.rewrite.channel_coupling import WidthAnalysis, analyse_widths
from perfmodel.workload.rewrite.dimension_ratios import constant_ratio, scaled
from perfmodel.workload.rewrite.relations import nest_name
from perfmodel.workload.symbols import Dim, Poly, simplify


def with_channels(graph: Graph, widths: Mapping[str, Dim]) -> Graph:
    """Return the graph with other widths for some channel groups.

    Parameters
    ----------
    widths
        Group name (`channel_groups`) -> width: a positive multiple of the group's step, or a
        dimension (`perfmodel.workload.symbols.symbol`) to be bound later.

    Returns
    -------
    Graph
        Tensors, accesses, loop nests, scores and masks are resized; vector operations scale with
        the elements on which they are counted. The same object if no width changes.

    Raises
    ------
    InputError
        All unknown groups, groups that cannot be pruned, and invalid widths.
    """
    width_analysis = analyse_widths(graph)
    changed = _changed_extents(graph, width_analysis, widths)
    if not changed:
        return graph
    return _ChannelRewriter(graph, width_analysis.relations.axes, changed).graph()


def width_names(groups: Iterable[str]) -> dict[str, str]:
    """Return group -> name of the free dimension for its width."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for group in groups:
        base = name = "width_" + re.sub(r"\W", "_", group)
        n = 1
        while name in taken:
            n += 1
            name = f"{base}_{n}"
        taken.add(name)
        names[group] = name
    return names


def _changed_extents(
    graph: Graph, width_analysis: WidthAnalysis, widths: Mapping[str, Dim]
) -> dict[int, Dim]:
    """Return variable -> its new extent, for the widths that change."""
    groups = {g.name: g for g in width_analysis.groups}
    faults: list[Fault] = []
    changed: dict[int, Dim] = {}
    for name, wanted in widths.items():
        group = groups.get(name)
        path = f"widths.{name}"
        if group is None:
            suggestion = nearest(name, [g.name for g in width_analysis.groups if g.prunable])
            message = f"'{graph.name}' has no channel group '{name}'"
            expected = "the name of a channel group"
            faults.append(Fault(message, path, expected=expected, suggestion=suggestion))
            continue
        width = simplify(wanted)
        variable = width_analysis.variables[name]
        if not isinstance(width, Poly):
            if width == group.size and not isinstance(
                width_analysis.relations.axes.dim(variable), Poly
            ):
                continue
            integral = width == width and width > 0 and float(width).is_integer()
            if not integral or width % group.step:
                expected = f"a multiple of {group.step}" if group.step > 1 else "1 or more"
                faults.append(Fault(f"{width:g} is not a width", path, expected=expected))
                continue
        if not group.prunable:
            message = f"cannot be cut: {group.reason}"
            faults.append(Fault(message, path, expected=f"its width of {group.size}"))
            continue
        free = isinstance(width, Poly)
        changed[variable] = simplify(width / group.step) if free else int(width) // group.step
    if faults:
        raise InputError(faults)
    return changed


class _ChannelRewriter:
    """Rewriter of the parts of a graph that a change of extents affects."""

    def __init__(self, graph: Graph, axes: Axes, changed: dict[int, Dim]) -> None:
        self.old = graph
        self.axes = axes
        self.changed = changed
        self.tensors = dict(graph.tensors)
        for name, tensor in graph.tensors.items():
            shape = tuple(axes.extent((name, i), changed) for i in range(len(tensor.shape)))
            if shape != tensor.shape:
                self.tensors[name] = replace(tensor, shape=shape)

    def graph(self) -> Graph:
        """Return the graph with the new extents."""
        return replace(self.old, tensors=self.tensors).map_operators(self._operator)

    def _operator(self, operator: Operator) -> Operator:
        nests = tuple(
            replace(
                nest,
                dims=tuple(
                    (d, self.axes.extent((nest_name(operator, i), d), self.changed))
                    for d, _ in nest.dims
                ),
            )
            for i, nest in enumerate(operator.nests)
        )
        if nests == operator.nests and all(
            self.tensors[a.tensor] is self.old.tensors[a.tensor] for a in operator.accesses
        ):
            return operator
        accesses = tuple(self._access(operator, a) for a in operator.accesses)
        resized = replace(operator, nests=nests, accesses=accesses)
        if operator.kind == "attention":
            before, after = (n.size("g") * n.size("h") for n in (operator.nests[0], nests[0]))
            factors = [(before, after)]
            return replace(
                resized,
                vector_ops=scaled(operator.vector_ops, factors),
                scores=scaled(operator.scores, factors),
                masked_macs=scaled(operator.masked_macs, factors),
            )
        return replace(
            resized, vector_ops=self._vector_ops(operator), attributes=self._attributes(resized)
        )

    def _access(self, operator: Operator, access: Access) -> Access:
        """Return an access with its elements scaled with those of a tensor."""
        tensors = [access.tensor, *operator.writes]
        return access._replace(elements=self._proportional(access.elements, tensors))

    def _vector_ops(self, operator: Operator) -> Dim:
        """Return the operations outside the nests, scaled per element written or read."""
        activations = [
            name
            for name in (*operator.writes, *operator.reads)
            if self.old.tensors[name].role == "activation"
        ]
        return self._proportional(operator.vector_ops, activations)

    def _proportional(self, amount: Dim, names: Sequence[str]) -> Dim:
        """Return an amount scaled with the first of some tensors of which it is a multiple.

        If it is a multiple of none (only some rows of a table are read), it scales with the axes of
        the first.
        """
        if amount == 0 or not names:
            return amount
        for exact in (True, False):
            for name in names:
                old, new = self.old.tensors[name].elements, self.tensors[name].elements
                ratio = constant_ratio(amount, old)
                if ratio is None or (exact and ratio != 1) or ratio != int(ratio):
                    continue
                return simplify(ratio * new if ratio != 1 else new)
        name = names[0]
        factors = list(zip(self.old.tensors[name].shape, self.tensors[name].shape, strict=True))
        return scaled(amount, factors)

    def _attributes(self, operator: Operator) -> tuple[tuple[str, Any], ...]:
        stated = dict(operator.attributes)
        if "groups" not in stated or not operator.nests:
            return operator.attributes
        groups = dict(operator.nests[0].dims).get("g", stated["groups"])
        return tuple(sorted({**stated, "groups": groups}.items()))
