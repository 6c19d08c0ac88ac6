"""Prediction of a network that runs in patches: recomputed halo, maps and weights as planned.

Each kernel of a stretch runs once for each patch. With s the positions that all patches compute
over those of its map, and n patches, its arithmetic and its traffic on chip are s times those of
one run over the map, its launches and reads of weights n times; feature maps cross the boundary of
the chip as the plan states. Energy follows by the sum of `predict` (`perfmodel.cost.energy`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Terms
from perfmodel.prediction import Prediction, stages
from perfmodel.prediction.job import PredictionJob
from perfmodel.prediction.plan_traffic import ScheduledTraffic, apply_scheduled_traffic
from perfmodel.prediction.recomposition import recomposed
from perfmodel.schedule.target import Target
from perfmodel.schedule.tiling.patch_evaluation import layer_shares
from perfmodel.schedule.tiling.patch_plan_result import PatchPlan
from perfmodel.workload.lower import Lowered
from perfmodel.workload.operator_table import OperatorTable
from perfmodel.workload.workload import Workload

Column: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PatchedRows:
    """Changes that a patch plan makes to the rows of its network; columns of shape ``(rows, 1)``.

    Attributes
    ----------
    positions
        Positions computed by all patches, over those of the map.
    patches
        Number of patches in which the row runs.
    traffic
        Traffic of feature maps, and of weights beside their first read.
    """

    positions: Column
    patches: Column
    traffic: ScheduledTraffic

    @property
    def totals(self) -> dict[str, Value]:
        """Peak of the plan in its memory, as read by `perfmodel.cost.capacity.demands`."""
        return {f"planned {self.traffic.memory}": self.traffic.peak_bytes}

    def apply(self, table: OperatorTable, terms: Terms, setting: Setting) -> Terms:
        """Return the terms of the rows in patches."""
        off_chip = {setting.weights_memory, setting.levels[-1]} - {self.traffic.memory}
        traffic, memory = (
            {name: each if name in off_chip else each * self.positions for name, each in of.items()}
            for of in (terms.traffic, terms.memory)
        )
        counted = {
            name: joule if name in terms.powered else joule * self.positions
            for name, joule in terms.energy.items()
        }
        terms = recomposed(
            replace(terms, energy=counted),
            setting,
            traffic,
            memory,
            terms.traffic_model,
            None if terms.cold is None else terms.cold * self.patches,
            compute={name: each * self.positions for name, each in terms.compute.items()},
            overhead={name: each * self.patches for name, each in terms.overhead.items()},
        )
        operations = {name: each * self.positions for name, each in terms.operations.items()}
        terms = replace(terms, operations=operations)
        return apply_scheduled_traffic(table, terms, setting, self.traffic)


def patched_run(workload: Workload, at: Target, plan: PatchPlan) -> Prediction | None:
    """Return the prediction of a network in patches; None without a device."""
    if at.machine is None:
        return None
    resolved = stages.resolve(workload, at.machine, at.precision, engine=at.where.engine)
    graph = stages.source_graph(resolved).unroll(dict(workload.parameters))
    lowered = stages.lower(stages.execute(resolved, graph), at.fusion, at.precision)
    return PredictionJob.of(resolved, lowered, plan=_rows(lowered, at, plan)).run()


def _rows(lowered: Lowered, at: Target, plan: PatchPlan) -> PatchedRows:
    """Return the changes of a plan by the rows of the lowered network."""
    network = plan.network
    row_of = {op.name: i for i, kernel in enumerate(lowered.kernels) for op in kernel.operators}
    count = len(lowered.kernels)
    positions, patches = np.ones((count, 1)), np.ones((count, 1))
    maps, weights = np.zeros((count, 1)), np.zeros((count, 1))
    for stage in plan.stages:
        p = stage.patches
        shares = layer_shares(network, p)
        layers = [
            [row_of[name] for name in layer.members if name in row_of]
            for layer in network.layers[p.start : p.end]
        ]
        present = [rows[0] for rows in layers if rows]
        maps[present[0], 0] += stage.loaded_bytes
        maps[present[-1], 0] += stage.stored_bytes
        reads = 1 if p.weights == "resident" else p.count
        for layer, rows, share in zip(network.layers[p.start : p.end], layers, shares, strict=True):
            positions[rows], patches[rows] = share, p.count
            if rows:
                weights[rows[0], 0] += layer.weight_bytes * (reads - 1)
    maps[-1, 0] += plan.offchip_bytes - plan.map_bytes - plan.weight_bytes
    where = at.where
    traffic = ScheduledTraffic(
        where.memory, where.outer, np.zeros((count, 1)), maps, plan.peak_bytes, weights
    )
    return PatchedRows(positions, patches, traffic)
