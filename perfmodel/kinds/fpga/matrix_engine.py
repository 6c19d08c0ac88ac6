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
from perfmodel.cost.nests import RowSums, unmasked
from perfmodel.cost.residency import level_traffic
from perfmodel.cost.setting import Setting
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.kinds.array import Counts
from perfmodel.kinds.fpga.fabric import Fabric, overlay_resources
from perfmodel.kinds.fpga.styles import FpgaDesign
from perfmodel.kinds.protocol import Equation, equations_of
from perfmodel.kinds.rates import by_pair, memory_seconds, sparse_speedup
from perfmodel.workload.lower import OperatorTable

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


def counts(table: OperatorTable, setting: Setting) -> Counts:
    """Return what every row takes.

    Notes
    -----
    ``array = macs / (row_multipliers * min(rows, shared_rows) * sparse_speedup * clock)``
        Zeng et al., FlightLLM, FPGA 2024

    ``vector = vector_ops / vector_peak``
        Zeng et al., FlightLLM, FPGA 2024

    ``memory = latency + bytes / bandwidth``
        Zeng et al., FlightLLM, FPGA 2024

    ``launch = kernels * overhead``
        runtime or device spec

    ``layer = layers * per_layer``
        runtime spec
    """
    xp, nests, units = setting.xp, table.nests, setting.engine.units
    assert nests is not None
    design = setting.inside(MatrixEngine, "design")
    clocks: Value = np.zeros((len(table.rows), 1))
    if len(nests):
        rows = RowSums(nests.row, len(table.rows), xp)
        shared = xp.minimum(xp.maximum(nests.positions, 1.0), design.shared_rows)
        speedup = by_pair(table, nests.row, setting, lambda _, pair: sparse_speedup(setting, pair))
        lanes = design.row_multipliers * shared * speedup * units
        clocks = rows(nests.macs * unmasked(table, setting) / lanes)
    traffic = level_traffic(table, setting)
    main = setting.levels[-1]
    memory = memory_seconds(traffic, setting)
    memory[main] = memory.pop(main)
    return Counts(
        {"array": (clocks, setting.clock)},
        traffic,
        vector=table.vector_ops,
        memory=memory,
        resources=overlay_resources(((design.core, units), (design.platform, 1.0)), xp),
    )


EQUATIONS: Final[Mapping[str, Equation]] = equations_of(counts)
