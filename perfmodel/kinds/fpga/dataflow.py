"""The design style `dataflow`: every layer is a separate circuit, after hls4ml.

Duarte et al., "Fast inference of deep neural networks in FPGAs for particle physics", JINST 13
P07027, 2018. A layer's reuse factor is the number of products per multiplier and input.
"""

from __future__ import annotations

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.cost.totals import total
from perfmodel.kinds.array import Counts, NestRun
from perfmodel.kinds.fpga.circuits import (
    Amounts,
    Circuit,
    latency_strategy,
    output_register_clocks,
    resource_strategy,
)
from perfmodel.kinds.fpga.dataflow_spec import Dataflow
from perfmodel.kinds.fpga.layers import CircuitLayers, layers_of
from perfmodel.kinds.fpga.pipeline import (
    pipeline_counts,
    slowest_row_and_waits,
    stream_clocks_by_row,
)
from perfmodel.kinds.fpga.weightless_circuits import weightless_circuits

DESIGN = Dataflow


def counts(run: NestRun) -> Counts:
    """Return the clocks and resources of every row.

    Raises
    ------
    InputError
        A layer that no circuit supports, or a reuse factor that the tool rejects.

    Notes
    -----
    ``depth = clocks / clock``
        Duarte et al., JINST 13 P07027, 2018; docs/fpga.md

    ``wait = (frames - 1) * interval of the slowest layer / clock``
        Duarte et al., JINST 13 P07027, 2018; docs/fpga.md
    """
    setting, xp = run.setting, run.xp
    layers = layers_of(run)
    frames = layers.frames
    stream = setting.inside(Dataflow, "design").io == "stream"
    circuits = _circuits(layers, layers.circuit, setting)
    parts = circuits.interval * 0.0 + layers.positions / layers.parallel
    # A frame occupies a layer for one interval per pixel.
    occupied = circuits.interval * (layers.pixels if stream else parts)
    latency_clocks = (
        circuits.clocks if stream else circuits.clocks + (parts - 1.0) * circuits.interval
    )
    early = output_register_clocks(circuits, layers.constants)
    other = weightless_circuits(run, layers)
    by_row = _resources_by_row(layers, circuits, other, stream=stream)
    clocks = layers.rows(latency_clocks + early) + other.clocks
    held_rows = layers.rows(occupied) + (other.interval if stream else 0.0 * other.interval)
    slowest, wait = slowest_row_and_waits(held_rows, frames - 1.0, xp)
    if stream:
        lag = layers.rows(circuits.clocks + layers.window * circuits.interval) + other.clocks
        clocks = stream_clocks_by_row(held_rows + clocks, clocks, lag, xp)
    ones = 1.0 + 0.0 * circuits.clocks
    out = pipeline_counts(
        run,
        {"depth": clocks, "wait": wait},
        by_row,
        {
            "clocks": clocks,
            "interval": layers.rows(occupied),
            "reuse_factor": layers.rows(layers.circuit.factor * ones),
            "multipliers": layers.rows(layers.circuit.multipliers * ones),
        },
        slowest,
    )
    ends = {
        f"{name} {end}": total(run.table.count, amount)
        for end, circuit in layers.ends.items()
        for name, amount in _resources_by_row(
            layers, _circuits(layers, circuit, setting), other, stream=stream
        ).items()
    }
    control = layers.constants.interval_luts * slowest * (slowest > 1.0)
    beside = {"lut": control, "ff": layers.entering_bits}
    out.resources.update(
        {
            name: amount + beside.get(name.split()[0], 0.0)
            for name, amount in (out.resources | ends).items()
        }
    )
    return out


def _resources_by_row(
    layers: CircuitLayers, circuits: Amounts, other: Amounts, *, stream: bool
) -> dict[str, Value]:
    """Return the amount of each resource that each row takes."""
    copies = 1.0 if stream else layers.parallel
    amounts = circuits._replace(
        lut=circuits.lut * copies + (layers.line_luts if stream else 0.0),
        ff=circuits.ff * copies,
        dsp=circuits.dsp * copies,
    )
    return {
        name: layers.rows(getattr(amounts, name)) + getattr(other, name)
        for name in ("lut", "ff", "dsp", "bram")
    }


def _circuits(layers: CircuitLayers, circuit: Circuit, setting: Setting) -> Amounts:
    """Return the cost of each layer under its strategy."""
    ways = {"latency": latency_strategy, "resource": resource_strategy}
    by_strategy = {
        name: ways[name](circuit, layers.constants, relaxed=setting.relaxed)
        for name in sorted(set(layers.strategies))
    }
    if len(by_strategy) == 1:
        return next(iter(by_strategy.values()))
    first = np.array([s == "latency" for s in layers.strategies])[:, None]
    return Amounts(
        *(
            setting.xp.where(first, a, b)
            for a, b in zip(by_strategy["latency"], by_strategy["resource"], strict=True)
        )
    )
