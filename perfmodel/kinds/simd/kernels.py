"""Clocks of the kernels that a runtime takes for the loop nests of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from perfmodel.arrays import Value, is_array, namespace
from perfmodel.cost.setting import Setting
from perfmodel.hardware.view import or_else
from perfmodel.kinds.rates import by_pair, sparse_speedup
from perfmodel.kinds.simd.constants import SimdKernel
from perfmodel.kinds.simd.convolution import (
    BlockedConvolution,
    Kernels,
    VectorCore,
    depthwise_clocks,
    direct_clocks,
    im2col_clocks,
    pointwise_clocks,
    scalar_depthwise_clocks,
)
from perfmodel.kinds.simd.gemm import conflicts, gemm_clocks
from perfmodel.kinds.simd.spec import Simd
from perfmodel.kinds.simd.streams import level_bandwidth
from perfmodel.kinds.simd.tiles import blocks, nest_edges
from perfmodel.workload.lower import WEIGHT, OperatorTable
from perfmodel.workload.shapes import COLUMNS, Nests

#: Class of operators that are products above all -> the class of kernels that runs them. Nests of
#: any other class, such as a scan's, are products too: those of `gemm`.
KERNEL_OF: Final[Mapping[str, str]] = {
    "conv": "conv",
    "depthwise": "depthwise",
    "grouped": "grouped",
    "gemm": "gemm",
    "attention": "gemm",
    "moe": "gemm",
    "recurrent": "gemm",
}

#: Below any extent, so that an image that strides over its whole self has no rows and no share.
_NONE: Final = 1e-12


def core_of(setting: Setting, engine: Simd) -> VectorCore:
    """Return one core of the engine as kernels see it, in fp32."""
    near, after = (setting.levels * 2)[:2]
    # What refills the nearest cache of one core, a clock.
    fill = level_bandwidth(setting, after) / (setting.clock * engine.units)
    return VectorCore(
        engine.vector / 4.0,
        engine.fma_per_clock,
        engine.loads_per_clock,
        engine.stores_per_clock,
        engine.fma_latency,
        setting.memory(near).capacity,
        fill,
    )


@dataclass(slots=True)
class _Some:
    """Some nests of a table: columns of numbers, each ``(nests, points or 1)``."""

    numbers: dict[str, Value]
    stride: Value
    dilation: Value
    packed: Value
    """1 where the second factor is a weight, packed once for all runs, else 0; ``(nests, 1)``."""

    def layer(self, images: Value) -> BlockedConvolution:
        c = self.numbers
        return BlockedConvolution(
            images,
            c["out_channels"],
            c["in_channels"],
            c["out_rows"],
            c["out_columns"],
            c["in_rows"],
            c["in_columns"],
            c["kernel_rows"],
            c["kernel_columns"],
            self.stride[:, :1],
            self.stride[:, 1:],
            self.dilation[:, :1],
            self.dilation[:, 1:],
        )


def nest_clocks(table: OperatorTable, setting: Setting, engine: Simd) -> tuple[Value, Value]:
    """Return clocks of every nest in one execution of its row, and which rows have a kernel.

    Threads share the outermost tiles of a kernel evenly, as far as there are any.

    Returns
    -------
    clocks
        Shape ``(nests, points)``; 0 for nests of classes that the runtime states no kernel for.
    known
        Whether each nest has a kernel, ``(nests,)``.

    Notes
    -----
    ``matrix = clocks / (clock * units)``
        Georganas et al., SC 2018; loops of the runtime's kernels, docs/cpu.md
    """
    nests = table.nests
    assert nests is not None
    core, xp = core_of(setting, engine), setting.xp
    units: Value = engine.units
    by_kernel: dict[str, list[int]] = {}
    for i, kind in enumerate(nests.kind):
        # Blocks are of images: along one axis alone windows are unfolded as in groups.
        line = kind == "conv" and table.rows[int(nests.row[i])].axes == 1
        name = "grouped" if line else KERNEL_OF.get(kind, "gemm")
        if setting.kernel(name, SimdKernel).tile_rows is not None:
            by_kernel.setdefault(name, []).append(i)
    known = np.zeros(len(nests), dtype=bool)
    packed = _packed(table, nests)
    width = table.points if _varies(nests) or _facts_vary(setting) else 1
    out = xp.zeros((len(nests), width))
    for name, members in by_kernel.items():
        at = np.array(members, dtype=np.intp)
        known[at] = True
        some = _Some(
            {c: getattr(nests, c)[at] for c in COLUMNS},
            nests.stride[at],
            nests.dilation[at],
            packed[at],
        )
        clocks, parts = _CLOCKS[name](some, core, setting)
        share = blocks(parts, units) / xp.maximum(parts, _NONE)
        if is_array(units) or units != 1.0:
            # Cores without a part of a round leave what fills their caches to the others.
            even = replace(core, fill=core.fill * units * share)
            clocks, _ = _CLOCKS[name](some, even, setting)
        clocks = some.numbers["times"] * clocks * share
        clocks = clocks * _slower(table, nests, at, setting, engine)
        clocks = xp.maximum(clocks, _fewest(table, nests, at, setting))
        clocks = xp.broadcast_to(clocks, (len(at), width))
        if xp is np:
            out[at] = clocks
        else:
            out = out.at[at].set(clocks)
    return out, known


def _packed(table: OperatorTable, nests: Nests) -> Value:
    """Return 1 where the second factor is a weight, fixed in a format or not; ``(nests, 1)``."""
    accesses = table.accesses
    assert accesses is not None
    place = nests.access[:, 1]
    return 1.0 * ((place >= 0) & (accesses.tensor[place] == WEIGHT))[:, None]


def _varies(nests: Nests) -> bool:
    return any(getattr(nests, c).shape[1] > 1 for c in COLUMNS)


def _facts_vary(setting: Setting) -> bool:
    return any(type(value) is not float and np.ndim(value) for value in setting.facts.values())


def _slower(table: OperatorTable, nests: Nests, at: Value, setting: Setting, engine: Simd) -> Value:
    """Return clocks in the format that is executed, over those in fp32, as the spec has its peaks.

    Kernels' clocks are in fp32: a faster unit for one format slows down no other.
    """
    return by_pair(
        table,
        nests.row[at],
        setting,
        lambda name, pair: engine.fp32_over.get(name, 1.0) / sparse_speedup(setting, pair),
    )


def _fewest(table: OperatorTable, nests: Nests, at: Value, setting: Setting) -> Value:
    """Return the clocks in which the peak of the format that is executed makes the products."""
    peaks = setting.engine.peaks
    each = by_pair(
        table,
        nests.row[at],
        setting,
        lambda name, pair: 2.0 * setting.clock / (peaks[name] * sparse_speedup(setting, pair)),
    )
    return each * (nests.macs * nests.times * on_image(nests))[at]


def on_image(nests: Nests) -> Value:
    """Return the share of each nest's multiply-accumulates whose tap lies on the image.

    Direct kernels skip the taps on the padding, which the network counts.
    """
    down, across = nest_edges(nests)
    xp = namespace(nests.macs, nests.out_rows)
    taps = nests.out_rows * nests.out_columns * nests.taps
    return down.taps * across.taps / xp.maximum(taps, 1.0)


def _kernels(setting: Setting, name: str, core: VectorCore) -> Kernels:
    kernel = setting.kernel(name, SimdKernel)
    return Kernels(
        or_else(kernel.tile_rows, 1.0),
        or_else(kernel.tile_vectors, 1.0),
        or_else(kernel.slice, 128.0),
        or_else(kernel.tile_clocks, 0.0),
        or_else(kernel.call_clocks, 0.0),
        or_else(kernel.edge_clocks, core.latency),
    )


def _conv(some: _Some, core: VectorCore, setting: Setting) -> tuple[Value, Value]:
    c, xp = some.numbers, setting.xp
    kernels = _kernels(setting, "conv", core)
    layer = some.layer(c["batch"] * c["groups"])
    taps = c["kernel_rows"] * c["kernel_columns"]
    many = c["in_channels"] >= core.lanes
    stride = some.stride.max(axis=1)[:, None]
    direct = direct_clocks(layer, core, kernels)
    point = pointwise_clocks(layer, core, kernels, 1.0 * (stride == 1))
    clocks = xp.where(many & (taps == 1), point, direct)
    multiple = or_else(setting.kernel("conv", SimdKernel).multiple, 1.0)
    odd = _odd(c["out_channels"], multiple, xp) | (many & _odd(c["in_channels"], multiple, xp))
    clocks = xp.where(odd, _unfolded(layer, core, setting, "conv"), clocks)
    sets = blocks(c["out_channels"], core.lanes * kernels.blocks)
    return clocks, c["batch"] * c["groups"] * sets * c["out_rows"]


def _grouped(some: _Some, core: VectorCore, setting: Setting) -> tuple[Value, Value]:
    c = some.numbers
    layer = some.layer(c["batch"] * c["groups"])
    return _unfolded(layer, core, setting, "grouped"), c["batch"] * c["groups"]


def _unfolded(layer: BlockedConvolution, core: VectorCore, setting: Setting, name: str) -> Value:
    """Return clocks of a convolution as matrix product: filters times unfolded windows."""
    copy = or_else(setting.kernel(name, SimdKernel).copy_clocks, 0.0)
    kernels = _kernels(setting, "gemm", core)
    depth = layer.in_channels * layer.kernel_rows * layer.kernel_columns
    product = gemm_clocks(
        layer.out_channels, layer.out_rows * layer.out_columns, depth, core, kernels
    )
    return layer.images * product + im2col_clocks(layer, copy)


def _depthwise(some: _Some, core: VectorCore, setting: Setting) -> tuple[Value, Value]:
    c, xp = some.numbers, setting.xp
    kernels = _kernels(setting, "depthwise", core)
    channels = c["groups"] * c["out_channels"]
    layer = some.layer(c["batch"])
    layer.out_channels = channels
    clocks = depthwise_clocks(layer, core, kernels)
    multiple = or_else(setting.kernel("depthwise", SimdKernel).multiple, 1.0)
    plain = setting.kernel("depthwise", SimdKernel).plain_clocks
    if plain is not None:
        slow = scalar_depthwise_clocks(layer, plain)
        clocks = xp.where(_odd(channels, multiple, xp), slow, clocks)
    return clocks, c["batch"] * blocks(channels, core.lanes) * c["out_rows"]


def _gemm(some: _Some, core: VectorCore, setting: Setting) -> tuple[Value, Value]:
    c, xp = some.numbers, setting.xp
    kernels = _kernels(setting, "gemm", core)
    rows = c["out_rows"] * c["out_columns"]
    depth = c["in_channels"] * c["kernel_rows"] * c["kernel_columns"]
    clocks = gemm_clocks(rows, c["out_channels"], depth, core, kernels)
    way = setting.memory(setting.levels[0]).way
    left = or_else(setting.kernel("gemm", SimdKernel).conflict_share, 1.0)
    if way is not None:
        clash = conflicts(rows, depth, 4.0, kernels.rows, core.near, way)
        clocks = clocks * (1.0 + clash * (1.0 / left - 1.0))
    copy = or_else(setting.kernel("gemm", SimdKernel).copy_clocks, 0.0)
    # A single row is multiplied where the matrix lies.
    clocks = clocks + (1.0 - some.packed) * (rows > 1.0) * depth * c["out_channels"] * copy
    plain = or_else(setting.kernel("gemm", SimdKernel).plain_clocks, 0.0)
    alone = (1.0 - some.packed) * (rows <= 1.0) * plain * depth * c["out_channels"]
    clocks = xp.maximum(clocks, alone)
    tiles = blocks(rows, kernels.rows)
    panels = blocks(c["out_channels"], core.lanes * kernels.blocks)
    return c["groups"] * c["batch"] * clocks, c["groups"] * c["batch"] * xp.maximum(tiles, panels)


def _odd(channels: Value, multiple: Value, xp: Any) -> Value:
    """Return whether channels, to the nearest whole number, fill no blocks of a layout."""
    return xp.round(channels) % multiple != 0


_CLOCKS: Final[Mapping[str, Callable[[_Some, VectorCore, Setting], tuple[Value, Value]]]] = {
    "conv": _conv,
    "grouped": _grouped,
    "depthwise": _depthwise,
    "gemm": _gemm,
}
