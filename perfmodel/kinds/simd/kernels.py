"""Clocks of a runtime's CPU kernels for the loop nests of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from perfmodel.arrays import Value, is_array, namespace
from perfmodel.cost.setting import Setting
from perfmodel.hardware.fact_views import or_else
from perfmodel.hardware.kernel import KernelConstants
from perfmodel.kinds.rates import by_pair, sparse_speedup
from perfmodel.kinds.simd.constants import SimdKernel
from perfmodel.kinds.simd.convolution import (
    NO_EXTENT,
    BlockedConvolution,
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
from perfmodel.workload.nest_table import COLUMNS, Nests
from perfmodel.workload.operator_table import WEIGHT, OperatorTable

#: Class of product operators -> class of kernels that runs them. Nests of any other class, such as
#: those of a scan, run as `gemm`.
KERNEL_OF: Final[Mapping[str, str]] = {
    "conv": "conv",
    "depthwise": "depthwise",
    "grouped": "grouped",
    "gemm": "gemm",
    "attention": "gemm",
    "moe": "gemm",
    "recurrent": "gemm",
}


def core_of(setting: Setting, engine: Simd) -> VectorCore:
    """Return the kernel-model parameters of one core of the engine, in fp32."""
    near, after = (setting.levels * 2)[:2]
    # Bytes per clock that refill the nearest cache of one core.
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


def nest_clocks(table: OperatorTable, setting: Setting, engine: Simd) -> tuple[Value, Value]:
    """Return clocks of every nest in one execution of its row, and the nests that have a kernel.

    Threads share the outermost tiles of a kernel evenly, if there are enough tiles.

    Returns
    -------
    clocks
        Shape ``(nests, points)``; 0 for nests of classes without a stated kernel.
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
        # Blocked kernels need two axes: convolutions along one axis are unfolded, like grouped
        # ones.
        line = kind == "conv" and table.rows[int(nests.row[i])].axes == 1
        name = "grouped" if line else KERNEL_OF.get(kind, "gemm")
        if setting.kernel(name, SimdKernel).tile_rows is not None:
            by_kernel.setdefault(name, []).append(i)
    known = np.zeros(len(nests), dtype=bool)
    width = table.points if _varies(nests) or _facts_vary(setting) else 1
    out = xp.zeros((len(nests), width))
    for name, members in by_kernel.items():
        at = np.array(members, dtype=np.intp)
        known[at] = True
        some = nests.at(at)
        clocks, parts = _CLOCKS[name](table, some, core, setting)
        share = blocks(parts, units) / xp.maximum(parts, NO_EXTENT)
        if is_array(units) or units != 1.0:
            # Cores that idle in a round leave their share of cache bandwidth to the others.
            even = core._replace(fill=core.fill * units * share)
            clocks, _ = _CLOCKS[name](table, some, even, setting)
        clocks = (
            some.times * clocks * share * _clocks_relative_to_fp32(table, some, setting, engine)
        )
        clocks = xp.maximum(clocks, _clocks_at_peak(table, some, setting))
        clocks = xp.broadcast_to(clocks, (len(at), width))
        if xp is np:
            out[at] = clocks
        else:
            out = out.at[at].set(clocks)
    return out, known


def _has_weight_factor(table: OperatorTable, nests: Nests) -> Value:
    """Return 1 where the second factor is a weight, whether packed or not; ``(nests, 1)``."""
    accesses = table.accesses
    assert accesses is not None
    place = nests.access[:, 1]
    return 1.0 * ((place >= 0) & (accesses.tensor[place] == WEIGHT))[:, None]


def _varies(nests: Nests) -> bool:
    return any(getattr(nests, c).shape[1] > 1 for c in COLUMNS)


def _facts_vary(setting: Setting) -> bool:
    return any(type(value) is not float and np.ndim(value) for value in setting.facts.values())


def _clocks_relative_to_fp32(
    table: OperatorTable, nests: Nests, setting: Setting, engine: Simd
) -> Value:
    """Return clocks in the executed format relative to fp32, from the peaks of the spec.

    Kernels' clocks are in fp32: a faster unit for one format slows down no other.
    """
    return by_pair(
        table,
        nests.row,
        setting,
        lambda name, pair: engine.fp32_over.get(name, 1.0) / sparse_speedup(setting, pair),
    )


def _clocks_at_peak(table: OperatorTable, nests: Nests, setting: Setting) -> Value:
    """Return the lower bound on clocks at the peak of the executed format."""
    peaks = setting.engine.peaks
    each = by_pair(
        table,
        nests.row,
        setting,
        lambda name, pair: 2.0 * setting.clock / (peaks[name] * sparse_speedup(setting, pair)),
    )
    return each * (nests.macs * nests.times * share_on_image(nests))


def share_on_image(nests: Nests) -> Value:
    """Return the share of each nest's multiply-accumulates whose tap is on the image.

    Direct kernels skip taps on the padding, which the network's operation count includes.
    """
    down, across = nest_edges(nests)
    xp = namespace(nests.macs, nests.out_rows)
    taps = nests.out_rows * nests.out_columns * nests.taps
    return down.taps * across.taps / xp.maximum(taps, 1.0)


def _kernel(setting: Setting, name: str, core: VectorCore) -> KernelConstants:
    """Return constants of a class of kernels; edge pixels wait for their sums if not stated."""
    stated = setting.constants(name, SimdKernel).stated
    return SimdKernel.constants({"edge_clocks": core.latency, **stated})


def _conv(
    table: OperatorTable, nests: Nests, core: VectorCore, setting: Setting
) -> tuple[Value, Value]:
    del table
    n, xp = nests, setting.xp
    kernel = _kernel(setting, "conv", core)
    layer = BlockedConvolution.of(n, n.batch * n.groups)
    many = n.in_channels >= core.lanes
    stride = n.stride.max(axis=1)[:, None]
    direct = direct_clocks(layer, core, kernel)
    point = pointwise_clocks(layer, core, kernel, 1.0 * (stride == 1))
    clocks = xp.where(many & (n.taps == 1), point, direct)
    odd = _has_channel_remainder(n.out_channels, kernel.multiple, xp)
    odd = odd | (many & _has_channel_remainder(n.in_channels, kernel.multiple, xp))
    clocks = xp.where(odd, _im2col_nest_clocks(layer, core, setting, kernel), clocks)
    sets = blocks(n.out_channels, core.lanes * kernel.tile_vectors)
    return clocks, layer.images * sets * n.out_rows


def _grouped(
    table: OperatorTable, nests: Nests, core: VectorCore, setting: Setting
) -> tuple[Value, Value]:
    del table
    layer = BlockedConvolution.of(nests, nests.batch * nests.groups)
    return _im2col_nest_clocks(
        layer, core, setting, _kernel(setting, "grouped", core)
    ), layer.images


def _im2col_nest_clocks(
    layer: BlockedConvolution, core: VectorCore, setting: Setting, kernel: KernelConstants
) -> Value:
    """Return clocks of a convolution as matrix product: filters times unfolded windows."""
    depth = layer.in_channels * layer.kernel_rows * layer.kernel_columns
    windows = layer.out_rows * layer.out_columns
    product = gemm_clocks(layer.out_channels, windows, depth, core, _kernel(setting, "gemm", core))
    return layer.images * product + im2col_clocks(layer, kernel.copy_clocks)


def _depthwise(
    table: OperatorTable, nests: Nests, core: VectorCore, setting: Setting
) -> tuple[Value, Value]:
    del table
    kernel = _kernel(setting, "depthwise", core)
    channels = nests.groups * nests.out_channels
    layer = BlockedConvolution.of(nests, nests.batch, channels)
    clocks = depthwise_clocks(layer, core, kernel)
    if kernel.plain_clocks is not None:
        slow = scalar_depthwise_clocks(layer, kernel.plain_clocks)
        clocks = setting.xp.where(
            _has_channel_remainder(channels, kernel.multiple, setting.xp), slow, clocks
        )
    return clocks, nests.batch * blocks(channels, core.lanes) * nests.out_rows


def _gemm(
    table: OperatorTable, nests: Nests, core: VectorCore, setting: Setting
) -> tuple[Value, Value]:
    n, xp, kernel = nests, setting.xp, _kernel(setting, "gemm", core)
    rows, depth, packed = n.out_rows * n.out_columns, n.summed, _has_weight_factor(table, n)
    clocks = gemm_clocks(rows, n.out_channels, depth, core, kernel)
    way = setting.memory(setting.nearest_memory).way
    if way is not None:
        clash = conflicts(rows, depth, 4.0, kernel.tile_rows, core.near, way)
        clocks = clocks * (1.0 + clash * (1.0 / kernel.conflict_share - 1.0))
    # A single row is multiplied by the matrix in place, without packing.
    unpacked = (1.0 - packed) * depth * n.out_channels
    clocks = clocks + unpacked * (rows > 1.0) * kernel.copy_clocks
    slow = unpacked * (rows <= 1.0) * or_else(kernel.plain_clocks, 0.0)
    clocks = xp.maximum(clocks, slow)
    tiles = blocks(rows, kernel.tile_rows)
    panels = blocks(n.out_channels, core.lanes * kernel.tile_vectors)
    return n.groups * n.batch * clocks, n.groups * n.batch * xp.maximum(tiles, panels)


def _has_channel_remainder(channels: Value, multiple: Value, xp: Any) -> Value:
    """Return whether the rounded number of channels does not fill the blocks of a layout."""
    return xp.round(channels) % multiple != 0


#: Class of kernels -> clocks of one execution on one core, and number of parts for all cores.
_CLOCKS: Final[
    Mapping[str, Callable[[OperatorTable, Nests, VectorCore, Setting], tuple[Value, Value]]]
] = {
    "conv": _conv,
    "grouped": _grouped,
    "depthwise": _depthwise,
    "gemm": _gemm,
}
