"""The style `matrix_engine`: one array of multipliers for matrices and vectors, after FlightLLM.

Zeng et al., "FlightLLM: efficient large language model inference with a complete mapping flow on
FPGAs", FPGA 2024. A DSP slice multiplies one weight by two activations a clock; a single row of
activations (a decode step) uses one of the two. Weights with N zeros of M go through in their
share of the clocks where the engine states a speed-up for the pattern.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.nests import RowSums, unmasked
from perfmodel.cost.residency import level_traffic
from perfmodel.cost.setting import Setting
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.kinds.fpga.fabric import Fabric, overlay_resources
from perfmodel.kinds.fpga.styles import FpgaDesign
from perfmodel.kinds.protocol import Equation, Terms
from perfmodel.kinds.rates import (
    executed_macs,
    memory_seconds,
    sparse_speedup,
    vector_rates,
)
from perfmodel.kinds.roofline import launch_times, matrix_rates
from perfmodel.workload.lower import OperatorTable

_FLIGHT = "Zeng et al., FlightLLM, FPGA 2024"

Lanes: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1e6)]


class MatrixEngine(FpgaDesign):
    """Multipliers that work on rows of activations, as many at once as share a weight.

    The first peak of the engine is two operations a multiplier and clock.
    """

    row_multipliers: Lanes
    """Multipliers that a single row of activations keeps busy."""
    shared_rows: Lanes = Quantity(value=2.0)
    """Rows of activations that one weight is multiplied with at once."""
    core: Fabric = Fabric()
    """What the design takes of the fabric."""
    platform: Fabric = Fabric()
    """What is in the fabric beside it."""


DESIGN = MatrixEngine
EQUATIONS: Final[Mapping[str, Equation]] = {
    "array": Equation(
        "macs / (row_multipliers * min(rows, shared_rows) * sparse_speedup * clock)", _FLIGHT
    ),
    "vector": Equation("vector_ops / vector_peak", _FLIGHT),
    "memory": Equation("latency + bytes / bandwidth", _FLIGHT),
    "launch": Equation("kernels * overhead", "runtime or device spec"),
    "layer": Equation("layers * per_layer", "runtime spec"),
}


def cost(table: OperatorTable, setting: Setting) -> Terms:
    """Cost every row of the table; see `EQUATIONS`."""
    facts, xp, nests = setting.facts, setting.xp, table.nests
    assert nests is not None
    head, main = f"engines.{setting.engine}.", setting.levels[-1]
    units = facts[head + "units"]
    clocks: Value = np.zeros((len(table.rows), 1))
    if len(nests):
        rows = RowSums(nests.row, len(table.rows), xp)
        together = xp.maximum(nests.out_rows * nests.out_columns * nests.batch, 1.0)
        shared = xp.minimum(together, facts[head + "design.shared_rows"])
        speedup = xp.stack([
            xp.asarray(sparse_speedup(setting, table.rows[int(i)].pair) * 1.0).reshape(-1)
            for i in nests.row
        ])  # fmt: skip
        lanes = facts[head + "design.row_multipliers"] * shared * speedup * units
        clocks = rows(nests.macs * unmasked(table, setting) / lanes)
    vector = table.vector_ops / vector_rates(table, setting)
    compute: dict[str, Value] = {"array": clocks / facts[head + "clock"], "vector": vector}
    work = {"array": clocks, "vector": table.vector_ops}
    traffic = level_traffic(table, setting)
    memory = memory_seconds(traffic, setting)
    memory[main] = memory.pop(main)
    _, operations, executed, unsupported = matrix_rates(
        table, executed_macs(table, setting), setting
    )
    operations["vector"] = table.vector_ops
    overhead = launch_times(table, setting)
    row_s = compose(compute, memory, overhead, setting.overlap)
    return Terms(
        compute, memory, overhead, traffic, row_s, operations, executed, unsupported, work=work,
        resources=overlay_resources(setting, {"core": units, "platform": 1.0}),
    )  # fmt: skip
