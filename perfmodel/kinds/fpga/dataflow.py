"""The style `dataflow`: every layer is a circuit of its own, after hls4ml.

Duarte et al., "Fast inference of deep neural networks in FPGAs for particle physics", JINST 13
P07027, 2018: a layer's reuse factor is how many products a multiplier makes for one input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from perfmodel.cost.setting import Setting
from perfmodel.hardware.view import or_else
from perfmodel.kinds.array import Counts
from perfmodel.kinds.fpga.beside import beside
from perfmodel.kinds.fpga.circuits import (
    Amounts,
    latency_strategy,
    registered,
    resource_strategy,
)
from perfmodel.kinds.fpga.constants import FpgaKernel
from perfmodel.kinds.fpga.dataflow_spec import Dataflow
from perfmodel.kinds.fpga.layers import CircuitLayers, layers_of
from perfmodel.kinds.fpga.pipeline import finished, pipelined, waited
from perfmodel.kinds.protocol import Equation, equations_of
from perfmodel.workload.lower import OperatorTable

DESIGN = Dataflow


def counts(table: OperatorTable, setting: Setting) -> Counts:
    """Return what every row takes.

    Raises
    ------
    InputError
        A layer that there is no circuit for, or a reuse factor that the tool refuses.

    Notes
    -----
    ``depth = clocks / clock``
        Duarte et al., JINST 13 P07027, 2018; docs/fpga.md

    ``wait = (frames - 1) * interval of the slowest layer / clock``
        Duarte et al., JINST 13 P07027, 2018; docs/fpga.md
    """
    xp = setting.xp
    layers = layers_of(table, setting)
    frames = layers.frames
    stream = setting.inside(Dataflow, "design").io == "stream"
    made = _circuits(layers, setting)
    parts = made.interval * 0.0 + layers.positions / layers.parallel
    # A frame holds a layer up for its pixels, one an interval.
    held = made.interval * (layers.pixels if stream else parts)
    deep = made.clocks if stream else made.clocks + (parts - 1.0) * made.interval
    early = registered(made, layers.constants)
    copies = 1.0 if stream else layers.parallel
    amounts = made._replace(
        lut=made.lut * copies + (layers.line_luts if stream else 0.0),
        ff=made.ff * copies,
        dsp=made.dsp * copies,
    )
    other = beside(table, setting, layers)
    by_row = {
        name: layers.rows(getattr(amounts, name)) + getattr(other, name)
        for name in ("lut", "ff", "dsp", "bram")
    }
    clocks = layers.rows(deep + early) + other.clocks
    held_rows = layers.rows(held) + (other.interval if stream else 0.0 * other.interval)
    slowest, wait = waited(held_rows, frames - 1.0, xp)
    if stream:
        lag = layers.rows(made.clocks + layers.window * made.interval) + other.clocks
        clocks = finished(held_rows + clocks, clocks, lag, xp)
    ones = 1.0 + 0.0 * made.clocks
    out = pipelined(
        table,
        setting,
        {"depth": clocks, "wait": wait},
        by_row,
        {
            "clocks": clocks,
            "interval": layers.rows(held),
            "reuse_factor": layers.rows(layers.circuit.factor * ones),
            "multipliers": layers.rows(layers.circuit.multipliers * ones),
        },
    )
    states = or_else(setting.kernel("gemm", FpgaKernel).interval_luts, 0.0)
    out.resources["lut"] = out.resources["lut"] + states * slowest * (slowest > 1.0)
    out.resources["ff"] = out.resources["ff"] + layers.entering_bits
    return out


def _circuits(layers: CircuitLayers, setting: Setting) -> Amounts:
    """Return what each layer costs under its strategy."""
    ways = {"latency": latency_strategy, "resource": resource_strategy}
    found = {
        name: ways[name](layers.circuit, layers.constants, relaxed=setting.relaxed)
        for name in sorted(set(layers.strategies))
    }
    if len(found) == 1:
        return next(iter(found.values()))
    first = np.array([s == "latency" for s in layers.strategies])[:, None]
    return Amounts(
        *(
            setting.xp.where(first, a, b)
            for a, b in zip(found["latency"], found["resource"], strict=True)
        )
    )


EQUATIONS: Final[Mapping[str, Equation]] = equations_of(counts)
