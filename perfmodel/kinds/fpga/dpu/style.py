"""Time, traffic and resources of a network on the cores of a deep-learning processing unit.

A layer takes the longer of the multipliers' clocks and of its bytes, which all cross to main
memory where the spec has no nearer one that keeps maps from one layer to the next.
See docs/fpga_overlays.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import numpy as np

from perfmodel.arrays import Value, first_number
from perfmodel.cost.nests import RowSums, unmasked
from perfmodel.cost.residency import access_bytes, level_traffic, row_bytes, slot_bytes, sum_by_row
from perfmodel.cost.setting import Setting
from perfmodel.hardware.view import or_else
from perfmodel.kinds.array import Counts
from perfmodel.kinds.fpga.constants import FpgaKernel
from perfmodel.kinds.fpga.dpu.cycles import DpuLayerShape, DpuParallelism, alu_clocks, array_clocks
from perfmodel.kinds.fpga.dpu.spec import Dpu
from perfmodel.kinds.fpga.fabric import overlay_resources
from perfmodel.kinds.protocol import Equation, equations_of
from perfmodel.kinds.rates import bandwidth_fact, executed_macs, with_latency
from perfmodel.kinds.roofline import launch_times, matrix_rates
from perfmodel.workload.lower import ALWAYS_MAIN, WEIGHT, OperatorTable

#: Functions of two maps, which a unit of its own computes after the convolution.
_PAIRS: Final = frozenset({"add", "mul", "sub"})
#: Classes whose rows are one image's times the batch.
_ROWS_OF_BATCH: Final = frozenset({"gemm", "moe", "recurrent"})


def counts(table: OperatorTable, setting: Setting) -> Counts:
    """Return what every row takes.

    Notes
    -----
    ``array = rounds * ceil(rows/pixels) * columns * kernel * ceil(in/input_channels) *
    ceil(out/output_channels) / (clock * peak_share)``
        AMD PG338, DPUCZDX8G for Zynq UltraScale+ MPSoCs; docs/fpga_overlays.md

    ``alu = rounds * operations / (alu_pixels * alu_channels * clock)``
        AMD PG338, DPUCZDX8G for Zynq UltraScale+ MPSoCs; docs/fpga_overlays.md

    ``memory = latency + bytes / bandwidth``
        docs/fpga_overlays.md

    ``add = 3 * result / bandwidth``
        AMD PG338, DPUCZDX8G for Zynq UltraScale+ MPSoCs; docs/fpga_overlays.md

    ``host = (inputs + outputs) / host_bandwidth``
        runtime spec

    ``launch = kernels * overhead``
        runtime or device spec
    """
    xp, main = setting.xp, setting.levels[-1]
    design, copy = setting.inside(Dpu, "design"), setting.kernel("copy", FpgaKernel)
    clock, cores, each = setting.clock, setting.engine.units, design.images
    images = xp.where(table.once("batched", partial(_batched, table)), setting.sequences, 1.0)
    rounds, loads = _rounds(setting, design, images)
    rate = main_rate(setting, design, xp.minimum(images, cores * each))
    array, alu, result, skipped = _nest_sums(table, setting, design, images)
    lanes = design.alu_pixels * design.alu_channels
    plain = table.once("without nests", partial(_without_nests, table))
    alu = alu + table.vector_ops * plain / lanes / images
    array = array / or_else(setting.kernel("conv", FpgaKernel).peak_share, 1.0)
    done = executed_macs(table, setting)
    rates, operations, executed, unsupported = matrix_rates(table, done, setting)
    # The tile and the clock make the peak; where a lower one is asked about, it holds.
    least = xp.where(array > 0.0, 2.0 * done / rates, 0.0)
    busy = xp.maximum(rounds * array / clock, least)
    pairs, copies = table.once("pairs of maps", partial(_pairs, table))
    passes = or_else(copy.passes, 1.0)
    there = 1.0 + copies * (passes - 1.0)
    weights = row_bytes(table, setting, weights=True) * loads
    traffic = level_traffic(table, setting)
    everything = row_bytes(table, setting, weights=False)
    crossed = xp.maximum(traffic[main] - row_bytes(table, setting, weights=True), 0.0)
    # The share of a row's maps that no nearer memory keeps.
    outside = crossed / xp.maximum(everything, 1.0) if len(setting.levels) > 1 else 1.0
    shared = _shared(table, setting)
    # A map that is added to every image alike is read once, and with the sum.
    added_once = (pairs > 0.0) & (shared > 0.0)
    paired = pairs * result - xp.where(added_once, xp.maximum(result - shared, 0.0), 0.0)
    maps = (crossed if len(setting.levels) > 1 else everything) - (paired + skipped) * outside
    # What is read once is read through the port of one image.
    once = xp.where(added_once, 0.0, xp.minimum(shared * outside, xp.maximum(maps, 0.0))) * there
    maps, weights = xp.maximum(maps, 0.0) * there, weights * there
    seconds = _main_seconds(setting, design, images, maps, weights, once)
    added = 3.0 * pairs * result * outside
    overhead: dict[str, Value] = {"add": added / rate}
    if copy.host_bandwidth is not None:
        overhead["host"] = _prepared(table, setting) / copy.host_bandwidth
    launches = launch_times(table, setting)
    if "launch" in launches:
        launches["launch"] = launches["launch"] * there * (1.0 + pairs)
    near = {level: size for level, size in traffic.items() if level != main}
    memory = {
        level: with_latency(size / bandwidth_fact(setting, level), size, setting, level)
        for level, size in near.items()
    }
    memory[main] = seconds
    multipliers = design.pixels * design.input_channels * design.output_channels
    peak = rounds * array * multipliers * cores * each
    return Counts(
        {"array": (rounds * array, None), "alu": (rounds * alu, clock)},
        {**near, main: maps + weights + added},
        {"array_clocks": rounds * array, "multiplier_use": done / xp.maximum(peak, 1.0)},
        seconds={"array": busy},
        memory=memory,
        overhead=overhead,
        launches=launches,
        operations=(operations, executed, unsupported),
        said={main: partial(_said, seconds)},
        traffic_model="maps cross to main memory but for those that a nearer one keeps; weights "
        "once a round of each core",
        resources=overlay_resources(((design.core, cores), (design.platform, 1.0)), xp),
    )


def _rounds(setting: Setting, design: Dpu, images: Value) -> tuple[Value, Value]:
    """Return the rounds of all cores, and how often each core loads its weights."""
    xp = setting.xp
    rounds, loads = images / (setting.engine.units * design.images), images / design.images
    if setting.relaxed:
        return xp.maximum(rounds, 1.0), xp.maximum(loads, 1.0)
    return xp.ceil(rounds - 1e-9), xp.ceil(loads - 1e-9)


def _main_seconds(
    setting: Setting, design: Dpu, images: Value, maps: Value, weights: Value, once: Value
) -> Value:
    """Return seconds of main memory for bytes of maps and weights.

    Parameters
    ----------
    once
        Bytes of the maps that are read once, through the port of one image.
    """
    xp, main, cores = setting.xp, setting.levels[-1], setting.engine.units
    rate = main_rate(setting, design, xp.minimum(images, cores * design.images))
    first = main_rate(setting, design, xp.minimum(images, 1.0))
    crossing = maps + weights
    if design.weight_port is None:
        seconds = (crossing - once) / rate + once / first
    else:
        # Cores at work each load what they multiply by.
        _, loads = _rounds(setting, design, images)
        loading = design.weight_port * setting.clock * xp.minimum(loads, cores)
        seconds = xp.maximum((maps - once) / rate + once / first, weights / loading)
        # Ports of many cores may be wider together than the memory behind them.
        seconds = xp.maximum(seconds, crossing / setting.memory(main).bandwidth)
    return with_latency(seconds, crossing, setting, main)


def main_rate(setting: Setting, design: Dpu, active: Value) -> Value:
    """Return the bandwidth that so many images at a time draw from main memory, bytes per second.

    The ports of each and the memory that all share, joined by a p-norm (a soft minimum).
    """
    main, runtime = setting.levels[-1], setting.runtime
    shared = runtime.efficiency.get("bandwidth")
    board: Value = bandwidth_fact(setting, main)
    if shared is not None:
        board = setting.memory(main).bandwidth * shared
    width = or_else(runtime.draw_bytes_per_clock_per_unit, design.port)
    ports = width * setting.clock * active
    p = runtime.pnorm
    return (board**-p + ports**-p) ** (-1.0 / p)


def _nest_sums(
    table: OperatorTable, setting: Setting, design: Dpu, images: Value
) -> tuple[Value, Value, Value, Value]:
    """Return by row: clocks of array and ALU for one of its images, and bytes for all of them.

    Bytes of the result, and of the input that a stride leaves out.
    """
    nests, xp = table.nests, setting.xp
    assert nests is not None
    rows = RowSums(nests.row, len(table.rows), xp)
    if not len(nests):
        zero = np.zeros((len(table.rows), 1))
        return zero, zero, zero, zero
    kinds = np.array(nests.kind)[:, None]
    depthwise = kinds == "depthwise"
    # Products of two activations have a matrix for each image, as attention has.
    activations = np.array([slots[1].startswith(("activation", "kv")) for slots in nests.slots])
    product = np.isin(kinds, list(_ROWS_OF_BATCH)) & ~activations[:, None]
    images = images[nests.row]
    # One image's share: positions of a product, else the batch (or heads) around the nest.
    layer = DpuLayerShape(
        xp.where(product, nests.out_rows / images, nests.out_rows),
        nests.out_columns,
        nests.in_channels,
        nests.out_channels,
        nests.kernel_rows,
        nests.kernel_columns,
        nests.groups,
    )
    times = nests.times * nests.batch * unmasked(table, setting)
    per_image = xp.where(product, times, times / images)
    tile = DpuParallelism(
        design.pixels,
        design.input_channels,
        design.output_channels,
        float(design.taps_fill_channels),
    )
    relaxed = setting.relaxed
    dense = array_clocks(layer, tile, xp, relaxed=relaxed)
    deep = alu_clocks(layer, design.alu_pixels, design.alu_channels, xp, relaxed=relaxed)
    array = rows(xp.where(depthwise, 0.0, dense) * per_image)
    alu = rows(xp.where(depthwise, deep, 0.0) * per_image)
    slots = [tuple(s[i] for s in nests.slots) for i in (0, 2)]
    width_in, width_out = (slot_bytes(s, table.points, setting) for s in slots)
    around = nests.times * nests.batch * nests.groups
    size = around * nests.out_channels * nests.out_rows * nests.out_columns
    result = rows(size * width_out)
    # A stride that is wider than its kernel leaves pixels of the input where they are.
    stride = nests.stride.astype(float)
    read = xp.minimum(nests.kernel_rows / stride[:, :1], 1.0) * xp.minimum(
        nests.kernel_columns / stride[:, 1:], 1.0
    )
    entered = around * nests.in_channels * nests.in_rows * nests.in_columns
    skipped = rows(entered * width_in * (1.0 - read))
    return array, alu, result, skipped


def _prepared(table: OperatorTable, setting: Setting) -> Value:
    """Return the bytes of the network's inputs and outputs that each row reads or writes."""
    access = table.accesses
    if access is None:
        return np.zeros((len(table.rows), 1))
    ends = (access.tensor == ALWAYS_MAIN)[:, None]
    return sum_by_row(access_bytes(table, setting) * ends, table, setting)


def _shared(table: OperatorTable, setting: Setting) -> Value:
    """Return the bytes of maps of each row of images that are the same for all of them."""
    access = table.accesses
    if access is None:
        return np.zeros((len(table.rows), 1))
    rows = table.once("batched", partial(_batched, table))[access.row, 0]
    alike = (rows & (access.batched == 0) & (access.tensor != WEIGHT))[:, None]
    return sum_by_row(access_bytes(table, setting) * alike, table, setting)


def _batched(table: OperatorTable) -> Any:
    """Return which rows are of each image; the others run once, whatever the batch."""
    return np.array([row.batched for row in table.rows])[:, None]


def _without_nests(table: OperatorTable) -> Any:
    """Return 1 for rows that have no loop nest, else 0."""
    nestless = np.ones((len(table.rows), 1))
    assert table.nests is not None
    nestless[table.nests.row] = 0.0
    return nestless


def _pairs(table: OperatorTable) -> tuple[Any, Any]:
    """Return how many functions of two maps ride on each row's nest, and 1 for rows that copy."""
    nestless = _without_nests(table)
    pairs = np.array([[float(sum(f in _PAIRS for f in row.functions))] for row in table.rows])
    copies = np.array([[float(row.kind == "copy")] for row in table.rows])
    return pairs * (1.0 - nestless), copies


def _said(seconds: Value, row: int) -> str:
    return f"{first_number(seconds[row]):.12g}"


EQUATIONS: Final[Mapping[str, Equation]] = equations_of(counts)
