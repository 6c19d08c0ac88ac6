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
from perfmodel.kinds.fpga.constants import FpgaKernel
from perfmodel.kinds.fpga.dataflow_spec import Dataflow
from perfmodel.kinds.fpga.layers import CircuitLayers, layers_of
from perfmodel.kinds.fpga.pipeline import (
    numbers_of_rows,
    pipeline_counts,
    pipelined,
    slowest_row_and_waits,
    stream_clocks_by_row,
)
from perfmodel.kinds.fpga.weightless_circuits import weightless_circuits
from perfmodel.kinds.protocol import Terms
from perfmodel.workload.operator_table import OperatorTable

DESIGN = Dataflow

#: Resources of which circuits take.
_RESOURCES = ("lut", "ff", "dsp", "bram")


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
    setting = run.setting
    layers = layers_of(run)
    rows = layers.rows
    stream = setting.inside(Dataflow, "design").io == "stream"
    circuits = _circuits(layers, layers.circuit, setting)
    parts = circuits.interval * 0.0 + layers.positions / layers.parallel
    # A frame occupies a layer for one interval per pixel.
    occupied = circuits.interval * (layers.pixels if stream else parts)
    latency_clocks = (
        circuits.clocks if stream else circuits.clocks + (parts - 1.0) * circuits.interval
    )
    early = output_register_clocks(circuits, layers.constants)
    ones = 1.0 + 0.0 * circuits.clocks
    is_softmax = np.array([[row.kind == "softmax"] for row in run.table.rows])
    columns = {
        "layer": 1.0 - run.without_nests,
        "softmax": run.without_nests * is_softmax,
        "activation": run.without_nests * ~is_softmax,
        "clocks": rows(latency_clocks + early),
        "interval": rows(occupied),
        "lag": rows(circuits.clocks + layers.window * circuits.interval),
        "numbers": numbers_of_rows(run),
        "outputs": rows(layers.circuit.outputs),
        "sum_bits": rows(layers.circuit.sum_bits),
        "entering_bits": rows(layers.entering_bits),
        **_resources_by_row(layers, circuits, stream=stream),
    }
    for end, circuit in layers.ends.items():
        ends = _resources_by_row(layers, _circuits(layers, circuit, setting), stream=stream)
        columns |= {f"{name} {end}": amount for name, amount in ends.items()}
    detail = {
        "reuse_factor": rows(layers.circuit.factor * ones),
        "multipliers": rows(layers.circuit.multipliers * ones),
    }
    return pipeline_counts(run, columns, detail)


def combined(terms: Terms, table: OperatorTable, setting: Setting) -> Terms:
    """Return the terms of a network: its slowest layer, its stream, and circuits between layers."""
    columns, xp = terms.columns, setting.xp
    stream = setting.inside(Dataflow, "design").io == "stream"
    other = weightless_circuits(columns, setting)
    clocks = columns["clocks"] + other.clocks
    occupied = columns["interval"] + (other.interval if stream else 0.0 * other.interval)
    slowest, wait = slowest_row_and_waits(occupied, columns["waiting"], xp)
    if stream:
        lag = columns["lag"] + other.clocks
        clocks = stream_clocks_by_row(occupied + clocks, clocks, lag, table.count, xp)
    by_row = {
        name: amount + getattr(other, name.split()[0])
        for name, amount in columns.items()
        if name.split()[0] in _RESOURCES
    }
    expected = {name: by_row[name] for name in _RESOURCES}
    detail = {"clocks": clocks, "interval": columns["interval"]}
    work = {"depth": clocks, "wait": wait}
    out = pipelined(terms, table, setting, work, expected, detail, slowest)
    control = setting.constants("gemm", FpgaKernel).interval_luts * slowest * (slowest > 1.0)
    beside = {"lut": control, "ff": columns["entering_bits"].sum(axis=0)}
    out.resources = {
        name: total(table.count, amount) + beside.get(name.split()[0], 0.0)
        for name, amount in by_row.items()
    }
    return out


def _resources_by_row(
    layers: CircuitLayers, circuits: Amounts, *, stream: bool
) -> dict[str, Value]:
    """Return the amount of each resource that the circuits of each row take."""
    copies = 1.0 if stream else layers.parallel
    amounts = circuits._replace(
        lut=circuits.lut * copies + (layers.line_luts if stream else 0.0),
        ff=circuits.ff * copies,
        dsp=circuits.dsp * copies,
    )
    return {name: layers.rows(getattr(amounts, name)) for name in _RESOURCES}


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
