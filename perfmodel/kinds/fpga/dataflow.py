"""The style `dataflow`: every layer is a circuit of its own, after hls4ml.

Duarte et al., "Fast inference of deep neural networks in FPGAs for particle physics", JINST 13
P07027, 2018: a layer's reuse factor is how many products a multiplier makes for one input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

import numpy as np

from perfmodel.cost.compose import compose
from perfmodel.cost.setting import Setting
from perfmodel.hardware.quantity import Of, Quantity, Spec
from perfmodel.kinds.fpga.beside import beside
from perfmodel.kinds.fpga.circuits import (
    Amounts,
    latency_strategy,
    registered,
    resource_strategy,
)
from perfmodel.kinds.fpga.layers import CircuitLayers, layers_of
from perfmodel.kinds.fpga.pipeline import DUARTE, finished, io_traffic, peak_operations, waited
from perfmodel.kinds.fpga.resources import of_rows
from perfmodel.kinds.fpga.styles import FpgaDesign
from perfmodel.kinds.protocol import Equation, Terms
from perfmodel.kinds.rates import bandwidth, with_latency
from perfmodel.kinds.roofline import launch_times
from perfmodel.workload.lower import OperatorTable

Factor: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1e8)]
Count: TypeAlias = Annotated[Quantity, Of("count", ceiling=1e9)]
Share: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=1.0)]
Clock: TypeAlias = Annotated[Quantity, Of("frequency", positive=True)]
Strategy: TypeAlias = Literal["latency", "resource"]

#: Layers that may be told apart by their position.
_PLACES = tuple(str(i) for i in range(1, 33))


class LayerDesign(Spec):
    """What holds for one layer with weights; what is left out is as the design has it."""

    reuse_factor: Factor | None = None
    """Products that a multiplier makes for one input."""
    nonzeros: Count | None = None
    """Weights that are not zero."""
    multipliers: Count | None = None
    """Weights whose product needs a multiplier (strategy ``latency``): the DSP slices of the layer
    at a reuse factor of 1."""
    parallel: Factor | None = None
    """Pixels of a convolution that are computed side by side."""
    sum_bits: Factor | None = None
    """Bits of sums."""
    strategy: Strategy | None = None
    """``latency`` or ``resource``."""


class Dataflow(FpgaDesign):
    """A pipeline of layers, each with multipliers of its own (hls4ml)."""

    KEYS: ClassVar[Mapping[str, tuple[type[Spec], tuple[str, ...]]]] = {
        "layers": (LayerDesign, _PLACES)
    }

    io: Literal["parallel", "stream"] = "parallel"
    """Whether all numbers of a tensor cross between layers at once, or pixel by pixel."""
    strategy: Strategy = "latency"
    """``latency``: loops unrolled, weights in the logic, zeros left out. ``resource``: a loop of as
    many turns as the reuse factor, weights in memory blocks."""
    multiply_in: Literal["dsp", "lut"] = "dsp"
    """What multipliers are made of."""
    reuse_factor: Factor = Quantity(value=1.0)
    """Products that a multiplier makes for one input, of layers that say nothing else."""
    density: Share = Quantity(value=1.0)
    """Share of the weights that are not zero, of layers that do not say how many."""
    parallel: Factor = Quantity(value=1.0)
    """Pixels of a convolution that are computed side by side."""
    sum_bits: Factor | None = None
    """Bits of sums of products; those of both factors together where left out."""
    target_clock: Clock | None = None
    """Clock that the tool schedules the circuits for; that of the engine where left out. A clock
    that is varied runs the same circuits faster or slower."""
    clock_margin: Share = Quantity(value=0.125)
    """Share of the clock that the tool keeps for wires (12.5 % in Vivado HLS, 27 % in Vitis)."""
    layers: Mapping[str, LayerDesign] = {}
    """Position of a layer among those with weights (``"1"`` is the first) -> what holds for it."""


DESIGN = Dataflow
EQUATIONS: Final[Mapping[str, Equation]] = {
    "depth": Equation("clocks / clock", f"{DUARTE}; docs/fpga.md"),
    "wait": Equation(
        "(frames - 1) * interval of the slowest layer / clock", f"{DUARTE}; docs/fpga.md"
    ),
}


def cost(table: OperatorTable, setting: Setting) -> Terms:
    """Cost every row of the table.

    Raises
    ------
    InputError
        A layer that there is no circuit for, or a reuse factor that the tool refuses.
    """
    xp = setting.xp
    head = f"engines.{setting.engine}."
    layers = layers_of(table, setting)
    frames = layers.frames
    stream = setting.choices["design.io"] == "stream"
    made = _circuits(layers, setting)
    parts = made.interval * 0.0 + layers.positions / layers.parallel
    # A frame holds a layer up for its pixels, one an interval.
    held = made.interval * (layers.pixels if stream else parts)
    deep = made.clocks if stream else made.clocks + (parts - 1.0) * made.interval
    early = registered(made, layers.constants)
    copies = 1.0 if stream else layers.parallel
    amounts = made._replace(
        lut=made.lut * copies + (layers.line_luts if stream else 0.0),
        ff=made.ff * copies, dsp=made.dsp * copies,
    )  # fmt: skip
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
    clock = setting.facts[head + "clock"]
    compute = {"depth": clocks / clock, "wait": wait / clock}
    main = setting.levels[-1]
    moved = io_traffic(table, setting)
    memory = {main: with_latency(moved / bandwidth(setting, main), moved, setting, main)}
    overhead = launch_times(table, setting)
    resources = of_rows(table, by_row)
    states = setting.fact("runtime.kernels.gemm.interval_luts", 0.0)
    resources["lut"] = resources["lut"] + states * slowest * (slowest > 1.0)
    resources["ff"] = resources["ff"] + layers.entering_bits
    ones = 1.0 + 0.0 * made.clocks
    detail = {
        **by_row,
        "clocks": clocks,
        "interval": layers.rows(held),
        "reuse_factor": layers.rows(layers.circuit.factor * ones),
        "multipliers": layers.rows(layers.circuit.multipliers * ones),
    }
    operations, left_out = peak_operations(table, setting, by_row["dsp"])
    return Terms(
        compute, memory, overhead, {main: moved},
        compose(compute, memory, overhead, setting.overlap), operations, {}, left_out=left_out,
        work={"depth": clocks, "wait": wait}, detail=detail, resources=resources,
        traffic_model="inputs and outputs of the network; weights are in the fabric",
    )  # fmt: skip


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
    return Amounts(*(
        setting.xp.where(first, a, b)
        for a, b in zip(found["latency"], found["resource"], strict=True)
    ))  # fmt: skip
