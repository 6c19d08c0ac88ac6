"""The design style `deformable`: CoDeNet's engine, a pointwise array that feeds a line buffer.

One call runs a pointwise convolution and the depthwise one (deformable or not) that follows it as
stages of one pipeline; all other operators, and the first convolution, run on the processor. Clocks
are those of the loops in its source (hqjenny/CoDeNet, hls/top); the clocks to fill and drain a loop
were fitted to its log of layers. Huang et al., "CoDeNet: Efficient Deployment of Input-Adaptive
Object Detection on Embedded FPGAs", FPGA 2021.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.nest_row_sums import RowSums
from perfmodel.cost.operand_bytes import access_bytes, row_bytes, sum_by_row
from perfmodel.cost.setting import Setting
from perfmodel.hardware.fact_views import or_else
from perfmodel.hardware.field_types import ZERO, Lanes
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.kinds.array import Counts, NestRun
from perfmodel.kinds.fpga.constants import FpgaKernel
from perfmodel.kinds.fpga.design_styles import FpgaDesign
from perfmodel.kinds.fpga.fabric import Fabric, overlay_resources
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import SecondsExpression, bandwidth, memory_seconds
from perfmodel.workload.operator_table import ALWAYS_MAIN, OperatorTable

Clocks: TypeAlias = Annotated[Quantity, Of("clocks", ceiling=1e7)]


class Deformable(FpgaDesign):
    """Parallel channels of the pointwise array and of the 3x3 windows, and clocks of the loops.

    The engine's first peak is two operations per multiplier of the pointwise array and clock.
    """

    input_channels: Lanes
    """Channels that are read and summed per clock; also those of a window."""
    output_channels: Lanes
    """Output channels of the pointwise array."""
    most_channels: Lanes
    """Output channels of one call; more require several calls, which read the map again."""
    loop_clocks: Clocks = ZERO
    """Clocks to fill and drain an inner loop over input channels."""
    line_clocks: Clocks = ZERO
    """Clocks per pixel that enters the line buffer, in addition to its channels."""
    window_clocks: Clocks = ZERO
    """Clocks per window that leaves it, in addition to its channels."""
    call_clocks: Clocks = ZERO
    """Clocks per call outside its loops: registers, the pipeline, the processor's wait."""
    core: Fabric = Fabric()
    """Resources of the design."""


DESIGN = Deformable


class Loops(NamedTuple):
    """Overhead clocks of each loop, in addition to its work."""

    loop: Value
    line: Value
    window: Value


def pointwise_clocks(pixels: Value, ins: Value, outs: Value, weights: Value, loops: Loops) -> Value:
    """Return clocks of the pointwise array; channels in groups of lanes, weights in beats."""
    return pixels * (ins + loops.loop + outs * (ins + loops.loop)) + weights


def line_clocks(entered: Value, left: Value, lanes: Value, loops: Loops) -> Value:
    """Return clocks of the line buffer: pixels written and windows read, each `lanes` wide."""
    return entered * (lanes + loops.line) + left * (lanes + loops.window)


def counts(run: NestRun) -> Counts:
    """Return the clocks, bytes and resources of every row.

    Notes
    -----
    ``array = calls * (pixels * (in + loop + out * (in + loop)) + weights + call) / clock, in and
    out in lanes``
        Huang et al., CoDeNet, FPGA 2021; docs/fpga_overlays.md

    ``lines = (pixels * (channels + line) + windows * (channels + window)) / clock, beyond the
    array's``
        Huang et al., CoDeNet, FPGA 2021; docs/fpga_overlays.md

    ``memory = latency + bytes / bandwidth``
        Huang et al., CoDeNet, FPGA 2021; docs/fpga_overlays.md

    ``host = max(bytes / host_bandwidth + operations / host_compute, bytes / bandwidth)``
        runtime spec

    ``launch = kernels * overhead``
        runtime or device spec
    """
    table, nests, setting, xp = run.table, run.nests, run.setting, run.xp
    main = setting.main_memory
    design = setting.inside(Deformable, "design")
    on_host = table.once("codenet host", partial(_on_host, table))
    nest_columns: dict[str, Value] = {}
    if len(nests):
        loops = Loops(design.loop_clocks, design.line_clocks, design.window_clocks)

        def lanes(value: Value, by: Value) -> Value:
            return value / by if setting.relaxed else xp.ceil(value / by - 1e-9)

        by_in, by_out = design.input_channels, design.output_channels
        is_depthwise = np.array([[k == "depthwise"] for k in nests.kind])
        channels = xp.where(is_depthwise, nests.groups, nests.out_channels * nests.groups)
        calls = lanes(channels, design.most_channels)
        ins, outs = lanes(nests.in_channels, by_in), lanes(nests.out_channels / calls, by_out)
        pixels, taps = nests.times * nests.positions, nests.taps
        beats = lanes(nests.in_channels * taps * nests.out_channels / calls, by_in)
        point = (
            calls
            * nests.groups
            * (pointwise_clocks(pixels, ins * taps, outs, beats, loops) + design.call_clocks)
        )
        down, across, *_ = nests.window_steps
        entered = pixels * down * across
        line = calls * line_clocks(entered, pixels, lanes(nests.groups / calls, by_in), loops)
        nest_columns = {
            "point": xp.where(is_depthwise, 0.0, point),
            "line": xp.where(is_depthwise, line, 0.0),
            "call": xp.where(is_depthwise, calls, 0.0) * design.call_clocks,
        }
    array_bytes = row_bytes(table, setting) * (1.0 - on_host)
    host_bytes = row_bytes(table, setting) * on_host
    host = _host_seconds(run, on_host)
    # Without a rate in the runtime, the processor moves bytes at memory bandwidth.
    crossing = array_bytes + xp.where(host > 0.0, 0.0, host_bytes)
    memory = memory_seconds({main: crossing}, setting)
    return Counts(
        {},
        {main: array_bytes + host_bytes},
        memory=memory,
        overhead={"host": host},
        expressions={main: SecondsExpression(memory[main])},
        traffic_model="every map crosses to main memory, its taps from lines on the chip",
        columns={"on_host": on_host},
        nest_columns=nest_columns,
    )


def combined(terms: Terms, table: OperatorTable, setting: Setting) -> Terms:
    """Return the terms of a network, whose windows overlap with the products that feed them."""
    design, units, xp = setting.inside(Deformable, "design"), setting.engine.units, setting.xp
    columns, on_host = terms.nest_columns, terms.columns["on_host"]
    array: Value = 0.0 * on_host
    lines: Value = array
    if columns:
        assert table.nests is not None
        row = table.nests.row
        rows, ran = RowSums(row, len(table.rows), xp), 1.0 - on_host[row]
        before = table.once("codenet pairs", partial(_pairs, table))
        # The window stage overlaps with the pointwise stage that feeds it; without one it is a
        # call.
        single = (before < 0)[:, None]
        hidden = xp.where(single, 0.0, columns["point"][np.maximum(before, 0)])
        line = xp.maximum(columns["line"] - hidden, 0.0) + single * columns["call"]
        array, lines = rows(columns["point"] * ran), rows(line * ran)
    work = {"array": array / units, "lines": lines / units}
    compute = {name: clocks / setting.clock for name, clocks in work.items()}
    return replace(
        terms,
        compute=compute,
        row_s=compose(compute, terms.memory, terms.overhead, setting.overlap),
        work=work,
        resources=overlay_resources([(design.core, units)], xp),
    )


def _on_host(table: OperatorTable) -> Any:
    """Return 1 for rows on the processor: no convolution, or one over the network's input."""
    nests, access = table.nests, table.accesses
    assert nests is not None
    assert access is not None
    out = np.ones((len(table.rows), 1))
    at = nests.access[:, 0]
    first = (at >= 0) & (access.tensor[at] == ALWAYS_MAIN)
    out[nests.row[~first]] = 0.0
    return out


def _pairs(table: OperatorTable) -> Any:
    """Return for each depthwise nest the pointwise one whose sole reader it is, or -1."""
    nests, access, on_host = table.nests, table.accesses, _on_host(table)
    assert nests is not None
    assert access is not None
    pairs = np.full(len(nests), -1, dtype=np.intp)
    touched = Counter(int(t) for t in access.tensor)
    writers: dict[int, int] = {}
    for i, kind in enumerate(nests.kind):
        x, y = int(nests.access[i, 0]), int(nests.access[i, 2])
        if kind == "depthwise" and x >= 0:
            tensor = int(access.tensor[x])
            pairs[i] = writers.get(tensor, -1) if touched[tensor] == 2 else -1
        elif y >= 0 and int(access.tensor[y]) >= 0 and not on_host[nests.row[i], 0]:
            writers[int(access.tensor[y])] = i
    return pairs


def _host_seconds(run: NestRun, on_host: Any) -> Value:
    """Return seconds of rows on the processor, from the bytes they write and their operations."""
    table, setting = run.table, run.setting
    rate = setting.kernel("copy", FpgaKernel).host_bandwidth
    resize = or_else(setting.kernel("resize", FpgaKernel).host_bandwidth, rate)
    operations = setting.kernel("conv", FpgaKernel).host_compute
    seconds: Value = np.zeros((len(table.rows), 1))
    if rate is not None and resize is not None:
        wrote = row_bytes(table, setting) - _read_bytes(run)
        grown = np.array([[float(row.kind == "resize")] for row in table.rows])
        copied = np.array([[float(row.kind == "copy")] for row in table.rows])
        seconds = seconds + wrote * (copied / rate + grown / resize)
    if operations is not None:
        done = 2.0 * table.macs + table.vector_ops
        seconds = seconds + done / operations
    # In any case its operands are transferred from and to memory.
    crossing = row_bytes(table, setting) / bandwidth(setting, setting.main_memory)
    return setting.xp.maximum(seconds, crossing) * on_host


def _read_bytes(run: NestRun) -> Value:
    """Return bytes read by rows that only move data: all accesses but the last."""
    access, table = run.accesses, run.table
    reads = np.append(access.row[1:] == access.row[:-1], False)[:, None]
    return sum_by_row(access_bytes(table, run.setting) * reads, table, run.setting)
