"""Time, traffic and resources of a network on the cores of a deep-learning processing unit.

A DPU runs a network layer by layer (AMD PG338, DPUCZDX8G for Zynq UltraScale+ MPSoCs). A layer
takes the longer of the clocks of its array, or of its unit for depthwise convolutions and pooling,
and of the time in which its bytes cross the ports to main memory:

    ``seconds = max(rounds * clocks / clock, latency + bytes / bandwidth) + add + host + launch``

where the images of a batch are dealt out to the engines of all cores in ``rounds``. All feature
maps go through main memory, unless the spec has a nearer one that keeps them between layers. The
kind `fpga` calls `counts`; docs/fpga_overlays.md derives the terms.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.operand_bytes import access_bytes, row_bytes, sum_by_row
from perfmodel.cost.residency import level_traffic
from perfmodel.cost.setting import Setting
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.array import Counts, NestRun
from perfmodel.kinds.fpga.constants import FpgaKernel
from perfmodel.kinds.fpga.dpu.spec import (
    Dpu,
    DpuLayerShape,
    DpuParallelism,
    alu_clocks,
    array_clocks,
)
from perfmodel.kinds.fpga.fabric import overlay_resources
from perfmodel.kinds.fpga.pipeline import io_traffic
from perfmodel.kinds.rates import SecondsExpression, bandwidth_fact, with_latency
from perfmodel.kinds.roofline import launch_times, matrix_rates
from perfmodel.workload.operator_table import WEIGHT

#: Functions of two maps, computed by a separate unit after the convolution: additions, here.
_TWO_MAPS: Final = frozenset({"add", "mul", "sub"})
#: Classes whose rows are those of one image times the batch.
_ROWS_OF_BATCH: Final = frozenset({"gemm", "moe", "recurrent"})


def counts(run: NestRun) -> Counts:
    """Return the clocks, bytes and resources of every row.

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
    table, setting, xp = run.table, run.setting, run.xp
    main = setting.main_memory
    design, copy = setting.inside(Dpu, "design"), setting.kernel("copy", FpgaKernel)
    clock, engines = setting.clock, setting.engine.units * design.images
    images = xp.where(table.once("batched", partial(_runs_per_image, run)), setting.sequences, 1.0)
    rounds, loads = _rounds_and_loads(setting, design, images)
    rate = main_rate(setting, design, xp.minimum(images, engines))
    sums = _nest_sums(run, design, images)
    lanes = design.alu_pixels * design.alu_channels
    # Operations on a constant run on one engine, however many images wait for it.
    grows = table.once("batched operations", partial(_operates_per_image, run))
    alu_images = xp.where(grows, images, 1.0)
    alu = sums.alu + table.vector_ops * run.without_nests / lanes / alu_images
    array = sums.array / or_else(setting.kernel("conv", FpgaKernel).peak_share, 1.0)
    rates, operations, executed, unsupported = matrix_rates(table, run.macs, setting)
    # Tile and clock set the peak; a lower one, where it is varied, is an upper bound on the rate.
    least = xp.where(array > 0.0, 2.0 * run.macs / rates, 0.0)
    additions, copies = table.once("pairs of maps", partial(_additions_and_copies, run))
    transfers = 1.0 + copies * (or_else(copy.passes, 1.0) - 1.0)
    maps, shared_maps, added = _map_bytes(run, sums, additions)
    maps, shared_maps = maps * transfers, shared_maps * transfers
    weights = row_bytes(table, setting, operands="weights") * loads * transfers
    main_seconds = _main_seconds(setting, design, images, maps, weights, shared_maps)
    overhead: dict[str, Value] = {"add": added / rate}
    if copy.host_bandwidth is not None:
        overhead["host"] = io_traffic(run) / copy.host_bandwidth
    traffic = level_traffic(table, setting)
    near = {level: size for level, size in traffic.items() if level != main}
    memory = {
        level: with_latency(size / bandwidth_fact(setting, level), size, setting, level)
        for level, size in near.items()
    } | {main: main_seconds}
    multipliers = design.pixels * design.input_channels * design.output_channels
    peak = rounds * array * multipliers * setting.engine.units * design.images
    return Counts(
        {"array": (rounds * array, None), "alu": (rounds * alu, clock)},
        {**near, main: maps + weights + added},
        {"array_clocks": rounds * array, "multiplier_use": run.macs / xp.maximum(peak, 1.0)},
        seconds={"array": xp.maximum(rounds * array / clock, least)},
        memory=memory,
        overhead=overhead,
        launches=_launches(run, transfers * (1.0 + additions)),
        operations=(operations, executed, unsupported),
        expressions={main: SecondsExpression(main_seconds)},
        traffic_model="maps cross to main memory but for those that a nearer one keeps; weights "
        "once a round of each core",
        resources=overlay_resources(
            ((design.core, setting.engine.units), (design.platform, 1.0)), xp
        ),
        is_overlay=True,
    )


def _map_bytes(run: NestRun, sums: _NestSums, additions: Value) -> tuple[Value, Value, Value]:
    """Return bytes of feature maps between the array and main memory, for each row.

    Returns
    -------
    maps
        Inputs and result of the layer.
    shared_maps
        Those among them that all images share: they are read once, through the port of one image.
    added
        ``3 result`` bytes for each map that is added afterwards: both are read, the sum is written.
    """
    table, setting, xp = run.table, run.setting, run.xp
    all_maps = row_bytes(table, setting, operands="others")
    in_main, share = all_maps, 1.0
    if len(setting.levels) > 1:
        traffic = level_traffic(table, setting)[setting.main_memory]
        in_main = xp.maximum(traffic - row_bytes(table, setting, operands="weights"), 0.0)
        share = in_main / xp.maximum(all_maps, 1.0)
    shared = _shared_by_images(run)
    # A map that is added to all images alike is read once, with the sum.
    is_shared = (additions > 0.0) & (shared > 0.0)
    added_maps = additions * sums.result - xp.where(
        is_shared, xp.maximum(sums.result - shared, 0.0), 0.0
    )
    maps = in_main - (added_maps + sums.skipped) * share
    shared_maps = xp.where(is_shared, 0.0, xp.minimum(shared * share, xp.maximum(maps, 0.0)))
    return xp.maximum(maps, 0.0), shared_maps, 3.0 * additions * sums.result * share


def _launches(run: NestRun, kernels: Value) -> dict[str, Value]:
    """Return the launch times of every row, which runs as `kernels` kernels."""
    launches = launch_times(run.table, run.setting)
    if "launch" in launches:
        launches["launch"] = launches["launch"] * kernels
    return launches


def _rounds_and_loads(setting: Setting, design: Dpu, images: Value) -> tuple[Value, Value]:
    """Return the rounds of all cores, and the number of weight loads of each core."""
    xp = setting.xp
    rounds, loads = images / (setting.engine.units * design.images), images / design.images
    if setting.relaxed:
        return xp.maximum(rounds, 1.0), xp.maximum(loads, 1.0)
    return xp.ceil(rounds - 1e-9), xp.ceil(loads - 1e-9)


def _main_seconds(
    setting: Setting, design: Dpu, images: Value, maps: Value, weights: Value, shared_maps: Value
) -> Value:
    """Return main-memory seconds of maps and weights.

    ``latency + (maps + weights - shared_maps) / rate(images) + shared_maps / rate(1)`` with the
    rates of `main_rate`; weights that have ports of their own take ``weights / port`` in parallel.

    Parameters
    ----------
    maps, weights
        Bytes of all images, and of the weights of all loads.
    shared_maps
        Bytes among `maps` that are read once, through the port of one image.
    """
    xp, main, cores = setting.xp, setting.main_memory, setting.engine.units
    rate = main_rate(setting, design, xp.minimum(images, cores * design.images))
    first = main_rate(setting, design, xp.minimum(images, 1.0))
    crossing = maps + weights
    if design.weight_port is None:
        seconds = (crossing - shared_maps) / rate + shared_maps / first
    else:
        # Active cores each load their weights.
        _, loads = _rounds_and_loads(setting, design, images)
        loading = design.weight_port * setting.clock * xp.minimum(loads, cores)
        seconds = xp.maximum((maps - shared_maps) / rate + shared_maps / first, weights / loading)
        # The ports of many cores together may be wider than the memory.
        seconds = xp.maximum(seconds, crossing / setting.memory(main).bandwidth)
    return with_latency(seconds, crossing, setting, main)


def main_rate(setting: Setting, design: Dpu, active: Value) -> Value:
    """Return the bandwidth that `active` concurrent images obtain from main memory, bytes/second.

    A p-norm (soft minimum) of the ports of each and the shared memory:
    ``(memory**-p + ports**-p)**(-1/p)``.
    """
    main, runtime = setting.main_memory, setting.runtime
    shared = runtime.efficiency.get("bandwidth")
    board: Value = bandwidth_fact(setting, main)
    if shared is not None:
        board = setting.memory(main).bandwidth * shared
    width = or_else(runtime.draw_bytes_per_clock_per_unit, design.port)
    ports = width * setting.clock * active
    p = runtime.pnorm
    return (board**-p + ports**-p) ** (-1.0 / p)


class _NestSums(NamedTuple):
    """Sums over the loop nests of each row.

    Attributes
    ----------
    array, alu
        Clocks of the array, and of the unit for depthwise convolutions, for one image.
    result, skipped
        Bytes of the result, and of the input that a stride skips, for all images.
    """

    array: Value
    alu: Value
    result: Value
    skipped: Value


def _nest_sums(run: NestRun, design: Dpu, images: Value) -> _NestSums:
    """Return the clocks and bytes of every row."""
    nests, rows, xp = run.nests, run.rows, run.xp
    if not len(nests):
        zero = np.zeros((len(run.table.rows), 1))
        return _NestSums(zero, zero, zero, zero)
    kinds = np.array(nests.kind)[:, None]
    depthwise = kinds == "depthwise"
    # Products of two activations have one matrix per image, as in attention.
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
    times = run.times * nests.batch
    per_image = xp.where(product, times, times / images)
    tile = DpuParallelism(
        design.pixels,
        design.input_channels,
        design.output_channels,
        float(design.taps_fill_channels),
    )
    relaxed = run.setting.relaxed
    dense = array_clocks(layer, tile, xp, relaxed=relaxed)
    depthwise_clocks = alu_clocks(
        layer, design.alu_pixels, design.alu_channels, xp, relaxed=relaxed
    )
    array = rows(xp.where(depthwise, 0.0, dense) * per_image)
    alu = rows(xp.where(depthwise, depthwise_clocks, 0.0) * per_image)
    width_in, _, width_out = run.widths
    around = nests.times * nests.batch * nests.groups
    size = around * nests.out_channels * nests.out_rows * nests.out_columns
    result = rows(size * width_out)
    # A stride larger than its kernel skips pixels of the input.
    stride = nests.stride.astype(float)
    read = xp.minimum(nests.kernel_rows / stride[:, :1], 1.0) * xp.minimum(
        nests.kernel_columns / stride[:, 1:], 1.0
    )
    entered = around * nests.in_channels * nests.in_rows * nests.in_columns
    skipped = rows(entered * width_in * (1.0 - read))
    return _NestSums(array, alu, result, skipped)


def _shared_by_images(run: NestRun) -> Value:
    """Return bytes of each batched row's maps that are the same for all images."""
    access, table, setting = run.accesses, run.table, run.setting
    rows = table.once("batched", partial(_runs_per_image, run))[access.row, 0]
    alike = (rows & (access.batched == 0) & (access.tensor != WEIGHT))[:, None]
    return sum_by_row(access_bytes(table, setting) * alike, table, setting)


def _runs_per_image(run: NestRun) -> Any:
    """Return a mask of rows that run per image; the others run once for any batch."""
    return np.array([row.batched for row in run.table.rows])[:, None]


def _operates_per_image(run: NestRun) -> Any:
    """Return a mask of rows whose operations grow with the batch."""
    return np.array([row.batched_operations for row in run.table.rows])[:, None]


def _additions_and_copies(run: NestRun) -> tuple[Any, Any]:
    """Return how many maps are added to the result of each row, and 1 for rows that copy."""
    rows = run.table.rows
    additions = np.array([[float(sum(f in _TWO_MAPS for f in row.functions))] for row in rows])
    copies = np.array([[float(row.kind == "copy")] for row in rows])
    return additions * (1.0 - run.without_nests), copies
