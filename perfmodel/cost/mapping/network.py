"""Mapping of all loop nests of a network onto one hierarchy, layer by layer.

Every nest is mapped on its own (`mappers`) and starts and ends in the outermost memory; energy and
cycles of the network are sums over the layers, weighted by their executions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from perfmodel.cost.mapping.hierarchy import DIMS, Hierarchy
from perfmodel.cost.mapping.mappers import best_mapping, loma_mapping
from perfmodel.cost.mapping.result import Mapping
from perfmodel.cost.traffic.nest import TileNest
from perfmodel.errors import input_error
from perfmodel.table import Table

if TYPE_CHECKING:
    from perfmodel.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class MappedLayer:
    """Loop nest of a network with its mapping.

    Attributes
    ----------
    name, kind
        Name and class of the operator.
    executions
        Number of executions in one run of the network.
    mapping
        Mapping of one execution.
    """

    name: str
    kind: str
    executions: float
    mapping: Mapping


@dataclass(frozen=True, slots=True)
class MappedNetwork:
    """Loop nests of a network, mapped separately; each starts and ends in the outermost memory.

    Operators without loop nests (additions, pooling, activations) are not included.
    """

    layers: tuple[MappedLayer, ...]

    @property
    def energy_j(self) -> float:
        """Energy of all executions, joules."""
        return sum(self._totals("energy_j"))

    @property
    def latency_cycles(self) -> float:
        """Cycles of all executions in sequence."""
        return sum(self._totals("latency_cycles"))

    def _totals(self, metric: str) -> list[float]:
        """Return a metric of the mappings over all executions of each layer."""
        return [layer.executions * getattr(layer.mapping, metric) for layer in self.layers]

    @property
    def table(self) -> Table:
        """Table of all executions, one row per layer: energy by memory, cycles, utilization."""
        columns: dict[str, list[Any]] = {
            name: [getattr(layer, name) for layer in self.layers]
            for name in ("name", "kind", "executions")
        }
        columns["macs"] = [layer.executions * layer.mapping.nest.macs for layer in self.layers]
        columns["energy_j"] = self._totals("energy_j")
        columns["mac_energy_j"] = self._totals("mac_energy_j")
        for first in self.layers[:1]:
            for memory in first.mapping.hierarchy.memories:
                columns[f"{memory.name}_energy_j"] = [
                    layer.executions
                    * sum(a.energy_j for a in layer.mapping.accesses if a.memory == memory.name)
                    for layer in self.layers
                ]
        columns["cycles"] = self._totals("latency_cycles")
        columns["stall_cycles"] = self._totals("stall_cycles")
        columns["utilization"] = [
            layer.mapping.ideal_cycles / layer.mapping.latency_cycles for layer in self.layers
        ]
        return Table(columns)

    @property
    def macs(self) -> float:
        """Multiply-accumulate operations of all executions."""
        return sum(layer.executions * layer.mapping.nest.macs for layer in self.layers)


def map_network(
    workload: Workload, hierarchy: Hierarchy, *, search: str = "best", **options: Any
) -> MappedNetwork:
    """Map every loop nest of a workload.

    Parameters
    ----------
    workload
        Workload with a number for each parameter. Masked scores of attention are computed.
    hierarchy
        Array of units with its memories.
    search
        ``best``: `best_mapping`; ``loma``: `loma_mapping`.
    options
        Options of these functions: ``objective``, ``widths``, ``loops``, ``accounting``.

    Raises
    ------
    InputError
        For array-valued parameters, and for fractional extents (shares of experts).
    InfeasibleError
        If no mapping of a layer fits.
    """
    from perfmodel.workload.lower import lower

    if search not in ("best", "loma"):
        raise input_error(f"no search {search!r}", expected="best or loma")
    if workload.shape:
        raise input_error("a parameter is an array", expected="a number for each parameter")
    table = lower(workload.graph()).bind(workload.parameters, nests=True)
    nests = table.nests
    if nests is None:
        return MappedNetwork(())
    map_nest = best_mapping if search == "best" else loma_mapping
    layers: list[MappedLayer] = []
    for at, (name, kind) in enumerate(zip(nests.name, nests.kind, strict=True)):
        numbers = {dim: float(getattr(nests, dim)[at, 0]) for dim in DIMS}
        fractional = [dim for dim, number in numbers.items() if number != round(number)]
        if fractional:
            text = ", ".join(f"{dim} {numbers[dim]:g}" for dim in fractional)
            raise input_error(f"{name} has {text}", expected="whole extents")
        stride, dilation = nests.stride[at].tolist(), nests.dilation[at].tolist()
        extents = {dim: round(number) for dim, number in numbers.items()}
        nest = TileNest.with_steps(stride, dilation, **extents)
        mapping = map_nest(
            nest,
            hierarchy,
            in_rows=round(float(nests.in_rows[at, 0])),
            in_columns=round(float(nests.in_columns[at, 0])),
            **options,
        )
        count = float(np.asarray(table.count)[nests.row[at], 0]) * float(nests.times[at, 0])
        layers.append(MappedLayer(name, kind, count, mapping))
    return MappedNetwork(tuple(layers))
