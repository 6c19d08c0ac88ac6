"""Parts of a network as operator tables, compiled once for devices of one structure.

The kernels and conversions of a part are those that a runtime executes of a separate graph under
every combination of the formats of its tensors and of the layouts that enter it. Neither depends on
numbers of a device, so that `perfmodel.search.oracle.part_pricing` only costs the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Final, NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.caches import cached
from perfmodel.search.oracle.entering_layouts import Layouts
from perfmodel.search.oracle.kernel_pricing import NotTabledError
from perfmodel.search.oracle.kernel_tables import DecisionIndex
from perfmodel.search.oracle.network_parts import NetworkCuts, NetworkPart, single_kernels
from perfmodel.search.oracle.part_graphs import AUXILIARY, PartGraph
from perfmodel.search.oracle.table_structure import TableKey, TableStructure
from perfmodel.search.space.configuration_space import ConfigurationSpace
from perfmodel.workload.fuse import FusedKernel, FusionRules
from perfmodel.workload.graph import Graph
from perfmodel.workload.layout_conversions import TensorLayout
from perfmodel.workload.operator_table import OperatorTable
from perfmodel.workload.rewrite import with_formats

_NUMERIC: Final = frozenset({"channels", "parameter"})

#: Most variants of all parts of a network that are retained for further devices.
_MAX_RETAINED: Final = 512

#: Typical size of these variants in bytes.
_PARTS_BYTES: Final = 32 << 20


class PartVariant(NamedTuple):
    """A part under some options.

    Attributes
    ----------
    graph
        The part as executed, between auxiliary blocks.
    leaving
        Layouts of activations after it.
    kernels
        Row of the operator table -> kernel, without those of the auxiliary blocks.
    shares
        Shares of the kernels of the per-layer cost.
    table
        Operator table of the graph.
    """

    graph: Graph
    leaving: Mapping[str, TensorLayout]
    kernels: Mapping[int, FusedKernel]
    shares: tuple[float, ...]
    table: OperatorTable


class CompiledPart:
    """A part of a network under every combination of formats and layouts, compiled on first use.

    Parameters
    ----------
    layers
        Shares of its kernels of the per-layer cost (`OperatorTable.layers`).
    place
        Place of its first loop nest among those of the network.
    anchored
        Whether the network has loop nests (see `perfmodel.search.oracle.kernel_pricing.price`).

    Attributes
    ----------
    options
        Decision that affects the part -> its options.
    numeric, weights, formats
        These decisions by role: those that bind numbers, those on formats of weights and caches,
        and those on formats of activations.
    values, points
        Free dimensions over all combinations of numeric options, and their number.
    """

    def __init__(
        self,
        part: NetworkPart,
        index: DecisionIndex,
        key: TableKey,
        layers: Sequence[float],
        place: int,
        *,
        anchored: bool,
    ) -> None:
        self.part, self.place, self._index, self._structure = part, place, index, key.structure
        decisions = index.by_kernels(part.kernels)
        self.options = {i: index.space.decisions[i].options for i in decisions}
        roles = {i: index.space.decisions[i].role for i in decisions}
        self.numeric = [i for i in decisions if roles[i] in _NUMERIC]
        self.weights = [i for i in decisions if roles[i] in {"weights", "kv"}]
        self.formats = [i for i in decisions if roles[i] == "activations"]
        self.values, self.points = _dimension_values(index, self.numeric, key.values)
        self.graph = PartGraph(part, index.graph, index.views, anchored=anchored)
        self._layers: dict[str, float] = {}
        for kernel, share in zip(part.kernels, layers, strict=True):
            name = kernel.block.name
            self._layers[name] = self._layers.get(name, 0.0) + share
        self._variants: dict[tuple[object, ...], PartVariant] = {}
        self.retains = True

    @property
    def variant_count(self) -> int:
        """Number of combinations of formats."""
        return prod(len(self.options[i]) for i in (*self.weights, *self.formats))

    def variant(
        self, formats: Sequence[int], layouts: Layouts, weights: Mapping[int, int]
    ) -> PartVariant:
        """Return the part under some options.

        Parameters
        ----------
        formats
            Option of each decision of `formats`.
        layouts
            Layouts of the activations that enter the part.
        weights
            Decision of `weights` -> option, the first if it is left out.

        Raises
        ------
        NotTabledError
            The options leave no kernel.
        """
        own = tuple(weights.get(decision, 0) for decision in self.weights)
        key = (*formats, layouts, *own)
        known = self._variants.get(key)
        if known is None:
            decided = dict(zip((*self.weights, *self.formats), (*own, *formats), strict=True))
            known = self._compiled(decided, layouts)
            if self.retains:
                self._variants[key] = known
        return known

    def _compiled(self, decided: Mapping[int, int], layouts: Layouts) -> PartVariant:
        formats = {i: str(self.options[i][option]) for i, option in decided.items()}
        graph, leaving = self._converted(formats, layouts)
        kernels = self._structure.lowered(graph).kernels
        own = {i: k for i, k in enumerate(kernels) if k.block.name not in AUXILIARY}
        if not own:
            head = self.part.kernels[0].head.name
            raise NotTabledError(f"{head} has no kernel under some choice")
        by_block: dict[str, int] = {}
        for kernel in own.values():
            by_block[kernel.block.name] = by_block.get(kernel.block.name, 0) + 1
        # The share of each is smaller by kernels elsewhere in the layer, and all add up to the
        # same.
        shares = tuple(self._layers[k.block.name] / by_block[k.block.name] for k in own.values())
        table = self._structure.bound(graph, self.values, self.points)
        layers = np.zeros((len(table.rows), 1))
        layers[list(own), 0] = shares
        table = replace(table, layers=layers)
        if table.nests is not None:
            # Products that stand for others of the network have no place in it.
            is_own = np.isin(table.nests.row, list(own))
            place = np.where(is_own, self.place + np.cumsum(is_own) - 1, -1)
            table.nests = replace(table.nests, place=place)
        return PartVariant(graph, leaving, own, shares, table)

    def _converted(
        self, formats: Mapping[int, str], layouts: Layouts
    ) -> tuple[Graph, Mapping[str, TensorLayout]]:
        """Return the part's graph as executed in some formats, and the layouts after it."""
        graph, index = self.graph.graph, self._index

        def formats_of(*roles: str) -> dict[str, str]:
            return {
                name: formats[decision]
                for name, decision in index.by_tensor.items()
                if decision in formats
                and name in graph.tensors
                and graph.tensors[name].role in roles
            }

        formatted = with_formats(
            graph,
            formats_of("weight"),
            formats_of("activation", "state"),
            formats_of("kv"),
            precision=index.space.precision,
        )
        formatted = self.graph.repeated(formatted)
        if not self.part.converts:
            return formatted, {}
        entering = dict(zip(self.part.entering, layouts, strict=True))
        return self._structure.converted_part(formatted, entering, AUXILIARY)


class CompiledParts:
    """A network of a space of configurations as parts.

    Attributes
    ----------
    sample
        Operator table of the network under the first options.
    converts
        Whether conversions are kernels of their own in some configurations.
    parts
        In order of execution.
    """

    def __init__(self, graph: Graph, space: ConfigurationSpace, key: TableKey) -> None:
        structure = key.structure
        is_converted = {d.role for d in space.decisions}.isdisjoint({"activations", "channels"})
        graph = structure.executed(graph) if is_converted else structure.with_algorithms(graph)
        self.index = DecisionIndex(space, graph)
        lowered = structure.lowered(graph)
        first = {d: float(o[0]) for d, o in self.index.numeric_options.items()}
        numbers = {**key.values, **first}
        self.sample = lowered.bind(numbers, 1, accesses=True, nests=structure.has_nests)
        kernels = lowered.kernels
        parts = single_kernels(kernels) if is_converted else self._cut(kernels, structure)
        self.converts = any(part.converts for part in parts) or (
            self.index.formats_activations and not _fuses(structure.fusion)
        )
        nests = self.sample.nests
        shares = np.broadcast_to(np.asarray(self.sample.layers, dtype=float), (len(kernels), 1))
        layers = {id(k): share for k, share in zip(kernels, shares[:, 0].tolist(), strict=True)}
        self.parts: list[CompiledPart] = []
        row = 0
        for part in parts:
            own = [layers[id(kernel)] for kernel in part.kernels]
            place = 0 if nests is None else int(np.searchsorted(nests.row, row))
            anchored = nests is not None and len(nests) > 0
            self.parts.append(CompiledPart(part, self.index, key, own, place, anchored=anchored))
            row += len(own)
        if sum(part.variant_count for part in self.parts) > _MAX_RETAINED:
            for part in self.parts:
                part.retains = False

    def _cut(self, kernels: Sequence[FusedKernel], structure: TableStructure) -> list[NetworkPart]:
        """Return the parts of a network into which conversions are inserted separately."""
        index, graph = self.index, self.index.graph
        decided = (d for d in index.space.decisions if d.role == "activations")
        formats = {str(option) for decision in decided for option in decision.options}
        formats |= {t.format for t in graph.tensors.values() if t.role == "activation"}
        converts = structure.falls_back(formats - {""})
        layouts = structure.converts_layouts(graph) or (
            index.formats_activations and structure.blocks_channels(graph)
        )
        if not layouts and not any(converts(operator) for _, operator in graph.walk()):
            return single_kernels(kernels)

        def combinations(kernels: Sequence[FusedKernel]) -> int:
            return prod(len(index.space.decisions[i].options) for i in index.by_kernels(kernels))

        cuts = NetworkCuts(
            graph, kernels, structure.fusion, converts, combinations, layouts=layouts
        )
        return cuts.parts()


@cached(_PARTS_BYTES, identity_keys=1)
def compiled_parts(graph: Graph, space: ConfigurationSpace, key: TableKey) -> CompiledParts:
    """Return the parts of a network, cached for devices of one structure.

    Parameters
    ----------
    graph
        Graph of the space with free widths and unchanged formats.
    """
    return CompiledParts(graph, space, key)


def _dimension_values(
    index: DecisionIndex, numeric: Sequence[int], defaults: Mapping[str, Value]
) -> tuple[dict[str, Value], int]:
    """Return free dimensions over all combinations of numeric options, and their number."""
    values: dict[str, Value] = dict(defaults)
    rows = list(product(*(index.space.decisions[i].options for i in numeric)))
    for name, i in index.by_dimension.items():
        if i in numeric:
            column = np.array([row[numeric.index(i)] for row in rows], dtype=float)
            values[name] = column if len(rows) > 1 else float(column[0])
    return values, len(rows)


def _fuses(fusion: FusionRules) -> bool:
    """Return whether a conversion of a result is a step of any kernel that computes it."""
    kinds = {"gemm", "conv", "depthwise", "attention", "moe", "recurrent"}
    return fusion.elementwise and (not fusion.into or kinds <= set(fusion.into))
