"""The design style `matrix_engine`: one array of multipliers for all products, after FlightLLM.

Zeng et al., "FlightLLM: efficient large language model inference with a complete mapping flow on
FPGAs", FPGA 2024. A DSP slice multiplies one weight by two activations per clock; a single row of
activations (a decode step) uses one of the two. Weights with N zeros of M are processed faster
where the engine states a speed-up for the pattern.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.nest_row_sums import unmasked
from perfmodel.cost.residency import level_traffic
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.kinds.array import Counts, NestRun
from perfmodel.kinds.fpga.design_styles import FpgaDesign
from perfmodel.kinds.fpga.fabric import Fabric, overlay_resources
from perfmodel.kinds.rates import by_pair, memory_seconds, sparse_speedup

Lanes: TypeAlias = Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=1e6)]


class MatrixEngine(FpgaDesign):
    """Multipliers that work on several rows of activations at once, each weight shared by them.

    The engine's first peak is two operations per multiplier and clock.
    """

    row_multipliers: Lanes
    """Multipliers that a single row of activations occupies."""
    shared_rows: Lanes = Quantity(value=2.0)
    """Rows of activations that share one weight in a clock."""
    core: Fabric = Fabric()
    """Resources of the design."""
    platform: Fabric = Fabric()
    """Resources of the fabric outside the design."""


DESIGN = MatrixEngine


def counts(run: NestRun) -> Counts:
    """Return the clocks of the array, the bytes and the resources of every row.

    Notes
    -----
    Terms are seconds; those of the array are its clocks over the clock rate.

    ``array = macs / (units * row_multipliers * min(positions, shared_rows) * sparse_speedup *
    clock)``
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
    table, nests, setting, xp = run.table, run.nests, run.setting, run.xp
    design, units = setting.inside(MatrixEngine, "design"), setting.engine.units
    clocks: Value = np.zeros((len(table.rows), 1))
    if len(nests):
        shared = xp.minimum(xp.maximum(nests.positions, 1.0), design.shared_rows)
        speedup = by_pair(table, nests.row, setting, lambda _, pair: sparse_speedup(setting, pair))
        lanes = design.row_multipliers * shared * speedup * units
        clocks = run.rows(nests.macs * unmasked(table, setting) / lanes)
    traffic = level_traffic(table, setting)
    main = setting.main_memory
    memory = memory_seconds(traffic, setting)
    memory[main] = memory.pop(main)
    return Counts(
        {"array": (clocks, setting.clock)},
        traffic,
        vector=table.vector_ops,
        memory=memory,
        resources=overlay_resources(((design.core, units), (design.platform, 1.0)), xp),
        is_overlay=True,
    )
