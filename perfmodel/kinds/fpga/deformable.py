"""The style `deformable`: CoDeNet's engine, pointwise products into a buffer of lines.

One call makes a pointwise convolution and the depthwise one (deformable or not) that follows it, as
stages of one pipeline; the processor does what is neither, and the first convolution. Clocks are
those of the loops of its source (hqjenny/CoDeNet, hls/top); what a loop takes to fill and drain was
fitted on its log of layers. Huang et al., "CoDeNet: Efficient Deployment of Input-Adaptive Object
Detection on Embedded FPGAs", FPGA 2021.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

import numpy as np

from perfmodel.arrays import Value, first_number
from perfmodel.cost.nests import RowSums
from perfmodel.cost.residency import access_bytes, row_bytes
from perfmodel.cost.setting import Setting
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.hardware.view import or_else
from perfmodel.kinds.array import Counts
from perfmodel.kinds.fpga.constants import FpgaKernel
from perfmodel.kinds.fpga.fabric import Fabric, overlay_resources
from perfmodel.kinds.fpga.styles import FpgaDesign
from perfmodel.kinds.protocol import Equation, equations_of
from perfmodel.kinds.rates import bandwidth, memory_seconds
from perfmodel.workload.lower import ALWAYS_MAIN, OperatorTable

Lanes: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=65_536)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks", ceiling=1e7)]


class Deformable(FpgaDesign):
    """Lanes of channels of the pointwise array and of the 3x3 windows, and clocks of the loops.

    The first peak of the engine is two operations a multiplier of the pointwise array and clock.
    """

    input_channels: Lanes
    """Channels that arrive and are summed in a clock; those of a window too."""
    output_channels: Lanes
    """Channels of the pointwise array's results."""
    most_channels: Lanes
    """Output channels of one call; more take several, which read the map again."""
    loop_clocks: Clocks = Quantity(value=0.0)
    """Clocks in which an inner loop over input channels fills and drains."""
    line_clocks: Clocks = Quantity(value=0.0)
    """Clocks of a pixel that enters the lines, beside its channels."""
    window_clocks: Clocks = Quantity(value=0.0)
    """Clocks of a window that leaves them, beside its channels."""
    call_clocks: Clocks = Quantity(value=0.0)
    """Clocks of a call beside its loops: registers, the pipeline, the processor's waiting."""
    core: Fabric = Fabric()
    """What the design takes of the fabric."""


DESIGN = Deformable


class Loops(NamedTuple):
    """Clocks beside the work of each loop."""

    loop: Value
    line: Value
    window: Value


def pointwise_clocks(pixels: Value, ins: Value, outs: Value, weights: Value, loops: Loops) -> Value:
    """Return clocks of the pointwise array; channels in lanes, weights in beats."""
    return pixels * (ins + loops.loop + outs * (ins + loops.loop)) + weights


def line_clocks(entered: Value, left: Value, lanes: Value, loops: Loops) -> Value:
    """Return clocks of the lines: pixels that enter, windows that leave, each `lanes` wide."""
    return entered * (lanes + loops.line) + left * (lanes + loops.window)


def counts(table: OperatorTable, setting: Setting) -> Counts:
    """Return what every row takes.

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
    xp, nests, main, count = setting.xp, table.nests, setting.levels[-1], len(table.rows)
    assert nests is not None
    design, units = setting.inside(Deformable, "design"), setting.engine.units
    zero = np.zeros((count, 1))
    array: Value = zero
    lines: Value = zero
    on_host = table.once("codenet host", partial(_on_host, table))
    if len(nests):
        rows = RowSums(nests.row, count, xp)
        loops = Loops(design.loop_clocks, design.line_clocks, design.window_clocks)

        def lanes(value: Value, by: Value) -> Value:
            return value / by if setting.relaxed else xp.ceil(value / by - 1e-9)

        by_in, by_out = design.input_channels, design.output_channels
        deep = np.array([[k == "depthwise"] for k in nests.kind])
        ran = 1.0 - on_host[nests.row]
        channels = xp.where(deep, nests.groups, nests.out_channels * nests.groups)
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
        before = table.once("codenet pairs", partial(_pairs, table))
        # A window's stage runs beside the pointwise one that feeds it; alone it is a call.
        alone = (before < 0)[:, None]
        hidden = xp.where(alone, 0.0, xp.where(deep, 0.0, point)[np.maximum(before, 0)])
        line = xp.maximum(line - hidden, 0.0) + alone * calls * design.call_clocks
        array = rows(xp.where(deep, 0.0, point) * ran)
        lines = rows(xp.where(deep, line, 0.0) * ran)
    moved = row_bytes(table, setting) * (1.0 - on_host)
    host = _host_seconds(table, setting, on_host)
    theirs = row_bytes(table, setting) * on_host
    # A processor of which the runtime says nothing moves its bytes as fast as they come.
    crossing = moved + setting.xp.where(host > 0.0, 0.0, theirs)
    memory = memory_seconds({main: crossing}, setting)
    clock = setting.clock
    return Counts(
        {"array": (array / units, clock), "lines": (lines / units, clock)},
        {main: moved + theirs},
        memory=memory,
        overhead={"host": host},
        said={main: partial(_said, memory[main])},
        traffic_model="every map crosses to main memory, its taps from lines on the chip",
        resources=overlay_resources([(design.core, units)], xp),
    )


def _on_host(table: OperatorTable) -> Any:
    """Return 1 for rows that the processor does: no convolution, or one of the network's input."""
    nests, access = table.nests, table.accesses
    assert nests is not None
    assert access is not None
    out = np.ones((len(table.rows), 1))
    at = nests.access[:, 0]
    first = (at >= 0) & (access.tensor[at] == ALWAYS_MAIN)
    out[nests.row[~first]] = 0.0
    return out


def _pairs(table: OperatorTable) -> Any:
    """Return for each depthwise nest the pointwise one whose result alone it reads, or -1."""
    nests, access = table.nests, table.accesses
    assert nests is not None
    assert access is not None
    found = np.full(len(nests), -1, dtype=np.intp)
    host = _on_host(table)
    touched = Counter(int(t) for t in access.tensor)
    made: dict[int, int] = {}
    for i, kind in enumerate(nests.kind):
        x, y = int(nests.access[i, 0]), int(nests.access[i, 2])
        if kind == "depthwise" and x >= 0:
            tensor = int(access.tensor[x])
            found[i] = made.get(tensor, -1) if touched[tensor] == 2 else -1
        elif y >= 0 and int(access.tensor[y]) >= 0 and not host[nests.row[i], 0]:
            made[int(access.tensor[y])] = i
    return found


def _host_seconds(table: OperatorTable, setting: Setting, on_host: Any) -> Value:
    """Return the seconds of rows that the processor does: bytes that they write, and operations."""
    rate = setting.kernel("copy", FpgaKernel).host_bandwidth
    resize = or_else(setting.kernel("resize", FpgaKernel).host_bandwidth, rate)
    operations = setting.kernel("conv", FpgaKernel).host_compute
    seconds: Value = np.zeros((len(table.rows), 1))
    if rate is not None and resize is not None:
        wrote = row_bytes(table, setting) - _read_bytes(table, setting)
        grown = np.array([[float(row.kind == "resize")] for row in table.rows])
        copied = np.array([[float(row.kind == "copy")] for row in table.rows])
        seconds = seconds + wrote * (copied / rate + grown / resize)
    if operations is not None:
        done = 2.0 * table.macs + table.vector_ops
        seconds = seconds + done / operations
    # Whatever it does, its operands cross to memory.
    crossing = row_bytes(table, setting) / bandwidth(setting, setting.levels[-1])
    return setting.xp.maximum(seconds, crossing) * on_host


def _read_bytes(table: OperatorTable, setting: Setting) -> Value:
    """Return the bytes that rows which only move data read."""
    access = table.accesses
    assert access is not None
    writes = table.once("codenet writes", partial(_writes, table))
    return RowSums(access.row, len(table.rows), setting.xp)(
        access_bytes(table, setting) * (1.0 - writes)
    )


def _writes(table: OperatorTable) -> Any:
    """Return 1 for the last access of each row, which is what it writes."""
    access = table.accesses
    assert access is not None
    out = np.zeros((len(access.row), 1))
    last = np.append(access.row[1:] != access.row[:-1], True)
    out[last] = 1.0
    return out


def _said(seconds: Value, row: int) -> str:
    return f"{first_number(seconds[row]):.12g}"


EQUATIONS: Final[Mapping[str, Equation]] = equations_of(counts)
