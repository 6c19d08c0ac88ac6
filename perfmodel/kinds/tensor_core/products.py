"""Rows of a table that are matrix products: dense, batched, grouped, convolutions as products."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, is_array
from perfmodel.cost.residency import row_bytes, slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import executed_in
from perfmodel.kinds.tensor_core.gemm import GemmConstants, GemmTimes, Processor, gemm_times
from perfmodel.kinds.tensor_core.kernels import KernelRows, constants_of, processor
from perfmodel.kinds.tensor_core.tiles import (
    GROUPED_TILES,
    NARROW_TILES,
    SPLITS,
    TILES,
    Tile,
    candidates,
)
from perfmodel.workload.lower import OperatorRow, OperatorTable
from perfmodel.workload.shapes import Nests

#: Classes of rows that go through the routine of products.
CLASSES = ("gemm", "conv", "grouped", "moe")

#: Points from which on equal ones are looked for.
_FEW = 64
#: Points computed at once: the candidates of a few rows stay within the caches.
_PIECE = 32


@dataclass(frozen=True, slots=True)
class TensorCoreGemms:
    """Products of one class and pair of formats; arrays have shape ``(products, points or 1)``.

    Attributes
    ----------
    rows
        Rows of the operator table.
    kind
        Class of kernels.
    formats
        Names to look for constants by, the most particular first.
    machine
        The GPU, in the format that it runs the products in.
    m, n, k, groups
        Extents, and how many of them one kernel computes.
    weight_bytes, other_bytes
        Bytes that cross main memory's boundary: of weights, and of all else.
    left_bytes, right_bytes
        Bytes of an element of the factors.
    constants
        What the runtime states for their kernels; empty where nothing.
    """

    rows: npt.NDArray[np.intp]
    kind: str
    formats: tuple[str, ...]
    machine: Processor
    m: Value
    n: Value
    k: Value
    groups: Value
    weight_bytes: Value
    other_bytes: Value
    left_bytes: Value
    right_bytes: Value
    constants: dict[str, Value]


def candidates_of(kind: str) -> tuple[tuple[Tile, ...], tuple[int, ...]]:
    """Return the tiles and splits of a class of kernels; grouped ones split no sums."""
    return (GROUPED_TILES, (1,)) if kind == "moe" else (TILES, SPLITS)


def products(
    table: OperatorTable, setting: Setting, base: Terms, *, stated: bool = False
) -> Iterator[TensorCoreGemms]:
    """Yield the products of a table, class by class and pair by pair.

    A convolution goes as its implicit product: M positions of all images, N filters of a group, K
    taps times channels. Experts are groups, as many as the tokens touch, that share the tokens.

    Parameters
    ----------
    base
        The table as a roofline costs it; its traffic says what crosses main memory's boundary.
    stated
        Only those for which the runtime states constants.
    """
    nests = table.nests
    assert nests is not None
    moved = base.traffic[setting.levels[-1]]
    apart = setting.weights_memory != setting.levels[-1]
    held: Value = 0.0 if apart else None
    for group in table.once("products", lambda: _groups(table.rows, nests)):
        executed = executed_in(setting, group.pair)
        formats = (setting.precision.format_of(group.pair[0]).name, executed)
        constants = _constants(setting, group.kind, formats, group.pair[0])
        if stated and not constants:
            continue
        at, rows = group.nests, group.rows
        if held is None:
            held = row_bytes(table, setting, weights=True)
        # Activations may stay in the cache; weights come from main memory, unless they are warm.
        crossing = moved[rows]
        weights = setting.xp.minimum(held if apart else held[rows], crossing)
        yield TensorCoreGemms(
            rows,
            group.kind,
            formats,
            processor(setting, group.pair, executed),
            nests.batch[at] * nests.out_rows[at] * nests.out_columns[at],
            nests.out_channels[at],
            nests.in_channels[at] * nests.kernel_rows[at] * nests.kernel_columns[at],
            nests.groups[at] * nests.times[at],
            weights,
            crossing - weights,
            slot_bytes(group.left, table.points, setting),
            slot_bytes(group.right, table.points, setting),
            constants,
        )


class _Group(NamedTuple):
    """Nests of one class and pair of slots, and the slots of their factors."""

    kind: str
    pair: tuple[str, str]
    nests: npt.NDArray[np.intp]
    rows: npt.NDArray[np.intp]
    left: tuple[str, ...]
    right: tuple[str, ...]


def _groups(rows: Sequence[OperatorRow], nests: Nests) -> tuple[_Group, ...]:
    alone = np.bincount(nests.row, minlength=len(rows)) == 1
    chosen: dict[tuple[str, tuple[str, str]], list[int]] = {}
    for i, (row, kind) in enumerate(zip(nests.row.tolist(), nests.kind, strict=True)):
        if kind in CLASSES and alone[row]:
            chosen.setdefault((kind, rows[int(row)].pair), []).append(i)
    return tuple(
        _Group(
            kind,
            pair,
            np.array(places),
            nests.row[places],
            _alike(nests.slots[i][0] for i in places),
            _alike(nests.slots[i][1] for i in places),
        )
        for (kind, pair), places in chosen.items()
    )


def product_rows(table: OperatorTable, setting: Setting, base: Terms) -> Iterator[KernelRows]:
    """Yield the times of products for which the runtime states constants.

    A product of two activations takes those of ``batched_gemm`` where the runtime has them.
    """
    for found in products(table, setting, base, stated=True):
        riders = base.compute["vector"][found.rows] / found.constants.get("rider_share", 1.0)
        timed = _timed(found, setting, riders)
        yield replace(timed, vector_s=riders + 0.0 * timed.matrix_s)


def _constants(setting: Setting, kind: str, formats: Sequence[str], left: str) -> dict[str, Value]:
    values: dict[str, Value] = {}
    if kind == "gemm" and left.partition(":")[0] == "activation":
        values = constants_of(setting, "batched_gemm", formats)
    return values or constants_of(setting, kind, formats)


def _timed(found: TensorCoreGemms, setting: Setting, riders: Value) -> KernelRows:
    xp, values = setting.xp, found.constants
    constants = GemmConstants.of(values)
    passes = values.get("activation_passes", 1.0)
    laid_out = values.get("layout_passes", 0.0) * found.other_bytes / found.machine.bandwidth
    inputs: dict[str, Value] = {
        "m": found.m,
        "n": found.n,
        "k": found.k,
        "groups": found.groups,
        "moved_bytes": found.weight_bytes + passes * found.other_bytes,
        "left_bytes": found.left_bytes,
        "right_bytes": found.right_bytes,
        "riders_s": riders,
    }
    tiles, splits = candidates_of(found.kind)
    if "narrow_columns" in values:
        least = np.min(values["narrow_columns"])
        tiles += tuple(tile for tile in NARROW_TILES if tile[1] >= least)
    times = _distinct_times(inputs, found.machine, constants, tiles, splits, setting)
    zero = 0.0 * times.matrix_s
    detail: dict[str, Value] = {}
    if xp is np:
        offered = candidates(tiles, splits, 0)
        choice = times.choice[:, :1]
        detail = {
            "tile_rows": offered.rows[choice],
            "tile_columns": offered.columns[choice],
            "split_sums": offered.splits[choice],
        }
    return KernelRows(
        found.rows,
        times.matrix_s,
        times.dram_s,
        times.l2_s,
        constants.launch + constants.per_group * found.groups + zero,
        times.joined_s
        - xp.maximum(xp.maximum(times.matrix_s + riders, times.dram_s), times.l2_s)
        + times.split_s
        + times.quantise_s
        + laid_out,
        constants.host_floor + zero,
        detail,
    )


def _alike(slots: Iterable[str]) -> tuple[str, ...]:
    """Return the slots, or one for all where they are alike."""
    names = tuple(slots)
    return names[:1] if len(set(names)) == 1 else names


def _distinct_times(
    inputs: dict[str, Value],
    machine: Processor,
    constants: GemmConstants,
    tiles: tuple[Tile, ...],
    splits: tuple[int, ...],
    setting: Setting,
) -> GemmTimes:
    """Return the times of products, each distinct point computed once.

    A sweep over batch and context has as many distinct products as batches.
    """
    run: dict[str, Any] = {
        "constants": constants,
        "tiles": tiles,
        "splits": splits,
        "relaxed": setting.relaxed,
    }
    parts = {f.name: getattr(machine, f.name) for f in fields(Processor)}
    arrays = [v for v in (*inputs.values(), *parts.values()) if np.ndim(v) and np.shape(v)[-1] > 1]
    points = max((np.shape(v)[-1] for v in arrays), default=1)
    varied = any(is_array(getattr(constants, f.name)) for f in fields(GemmConstants))
    if points < _FEW or setting.xp is not np or varied:
        return gemm_times(**inputs, machine=machine, **run)
    stacked = np.concatenate([np.reshape(v, (-1, points)) for v in arrays])
    # One number per point; that equal numbers are equal points is checked.
    top = np.maximum(stacked.max(axis=1), np.finfo(np.float64).tiny * 4.0)
    mix = np.random.default_rng(0).uniform(0.5, 1.5, len(stacked)) / top
    _, first, back = np.unique(mix @ stacked, return_index=True, return_inverse=True)
    if not np.array_equal(stacked[:, first][:, back], stacked):
        first = back = np.arange(points)

    def cut(value: Value, some: Any) -> Value:
        return value[..., some] if np.ndim(value) and np.shape(value)[-1] == points else value

    pieces = [
        gemm_times(
            **{name: cut(v, some) for name, v in inputs.items()},
            machine=Processor(**{name: cut(v, some) for name, v in parts.items()}),
            **run,
        )
        for some in np.array_split(first, max(1, len(first) // _PIECE))
    ]
    joined = (np.concatenate(part, axis=-1) for part in zip(*pieces, strict=True))
    return GemmTimes(*(part[..., back] for part in joined))
