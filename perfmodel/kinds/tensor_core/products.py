"""Matrix-product rows of a table on a GPU: dense, batched, grouped, implicit convolutions.

Loop nests become products ``M x N x K`` (a convolution as an implicit GEMM: positions x filters x
taps and channels), which `gemm` times with the constants of the runtime's kernels. Products of one
class, format and set of constants are timed together, each distinct one once. The kind
`tensor_core` calls `product_rows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, is_array
from perfmodel.cost.operand_bytes import row_bytes, slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.hardware.kernel import KernelConstants
from perfmodel.kinds.distinct_columns import TRACED, Floats, by_distinct_column, places_of
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import product_format
from perfmodel.kinds.tensor_core.constants import TensorCoreKernel
from perfmodel.kinds.tensor_core.gemm import GemmTimes, Processor, gemm_times
from perfmodel.kinds.tensor_core.kernels import KernelRows, constants_of, kernel_rows, processor
from perfmodel.kinds.tensor_core.tiles import (
    GROUPED_TILES,
    NARROW_TILES,
    SPLITS,
    TILES,
    Tile,
    candidates,
)
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.operator_rows import OperatorRow
from perfmodel.workload.operator_table import OperatorTable

#: Classes of rows that the product routine costs.
CLASSES = ("gemm", "conv", "grouped", "moe")

#: Number of points from which duplicates are removed.
_FEW = 64
#: Products computed at once, so that their candidates fit the caches.
_PIECE = 256


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
        Names for looking up constants, most specific first.
    machine
        The GPU, in the format in which it runs the products.
    m, n, k, groups
        Extents, and products per kernel.
    weight_bytes, other_bytes
        Bytes to and from main memory: of weights, and of all else.
    left_bytes, right_bytes
        Bytes of an element of the factors.
    constants
        Stated constants of their kernels; empty if there are none.
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
    """Return the tiles and splits of a class of kernels; grouped kernels do not split sums."""
    return (GROUPED_TILES, (1,)) if kind == "moe" else (TILES, SPLITS)


def products(
    table: OperatorTable, setting: Setting, base: Terms, *, stated: bool = False
) -> Iterator[TensorCoreGemms]:
    """Yield the products of a table, by class and pair of slots.

    A convolution is its implicit product: M positions of all images, N filters of a group, K taps
    times channels. Experts are groups, as many as the tokens select, among which the tokens are
    divided.

    Parameters
    ----------
    base
        Roofline terms of the table, with the traffic to and from main memory.
    stated
        Only those for which the runtime states constants.
    """
    nests = table.nests
    assert nests is not None
    main_traffic = base.traffic[setting.main_memory]
    separate = setting.weights_memory != setting.main_memory
    weight_rows: Value = 0.0 if separate else None
    for group in table.once("products", lambda: _groups(table.rows, nests)):
        executed = product_format(setting, group.pair)
        formats = (setting.precision.format_of(group.pair[0]).name, executed)
        constants = _constants(setting, group.kind, formats, group.pair[0])
        if stated and not constants:
            continue
        at, rows = group.nests, group.rows
        if weight_rows is None:
            weight_rows = row_bytes(table, setting, operands="weights")
        # Activations may stay in the cache; weights come from main memory, unless they are warm.
        crossing = main_traffic[rows]
        weights = setting.xp.minimum(weight_rows if separate else weight_rows[rows], crossing)
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
    single = np.bincount(nests.row, minlength=len(rows)) == 1
    groups = places_of(
        (kind, rows[row].pair) if kind in CLASSES and single[row] else None
        for row, kind in zip(map(int, nests.row), nests.kind, strict=True)
    )
    return tuple(
        _Group(
            kind,
            pair,
            places,
            nests.row[places],
            _single_if_equal(nests.slots[i][0] for i in map(int, places)),
            _single_if_equal(nests.slots[i][1] for i in map(int, places)),
        )
        for (kind, pair), places in groups.items()
    )


def product_rows(table: OperatorTable, setting: Setting, base: Terms) -> Iterator[KernelRows]:
    """Yield the times of products for which the runtime states constants.

    A product of two activations uses those of ``batched_gemm`` if the runtime states them.
    """
    for gemms in products(table, setting, base, stated=True):
        yield _product_times(gemms, setting, base.compute["vector"][gemms.rows])


def _constants(setting: Setting, kind: str, formats: Sequence[str], left: str) -> dict[str, Value]:
    values: dict[str, Value] = {}
    if kind == "gemm" and left.partition(":")[0] == "activation":
        values = constants_of(setting, "batched_gemm", formats)
    return values or constants_of(setting, kind, formats)


def _product_times(gemms: TensorCoreGemms, setting: Setting, vector: Value) -> KernelRows:
    """Return the times of products; `vector` is fused elementwise work in seconds at full rate."""
    xp, values = setting.xp, gemms.constants
    kernel = TensorCoreKernel.constants(values)
    riders = vector / kernel.rider_share
    laid_out = kernel.layout_passes * gemms.other_bytes / gemms.machine.bandwidth
    inputs: dict[str, Value] = {
        "m": gemms.m,
        "n": gemms.n,
        "k": gemms.k,
        "groups": gemms.groups,
        "moved_bytes": gemms.weight_bytes + kernel.activation_passes * gemms.other_bytes,
        "left_bytes": gemms.left_bytes,
        "right_bytes": gemms.right_bytes,
        "riders_s": riders,
    }
    tiles, splits = candidates_of(gemms.kind)
    if "narrow_columns" in values:
        least = np.min(values["narrow_columns"])
        tiles += tuple(tile for tile in NARROW_TILES if tile[1] >= least)
    times = _distinct_times(inputs, gemms.machine, kernel, tiles, splits, setting)
    rows = kernel_rows(
        gemms.rows,
        times.matrix_s,
        riders,
        times.dram_s,
        times.l2_s,
        kernel.launch + kernel.per_group * gemms.groups,
        times.joined_s,
        kernel.host_floor,
        xp,
    )
    detail: dict[str, Value] = {}
    if xp is np:
        offered = candidates(tiles, splits, 0)
        choice = times.choice[:, :1].astype(np.intp)
        detail = {
            "tile_rows": offered.rows[choice],
            "tile_columns": offered.columns[choice],
            "split_sums": offered.splits[choice],
        }
    beside = rows.rest_s + times.split_s + times.quantise_s + laid_out
    return replace(rows, rest_s=beside, detail=detail)


def _single_if_equal(slots: Iterable[str]) -> tuple[str, ...]:
    """Return the slots, or a single one if all are equal."""
    names = tuple(slots)
    return names[:1] if len(set(names)) == 1 else names


def _distinct_times(
    inputs: dict[str, Value],
    machine: Processor,
    constants: KernelConstants,
    tiles: tuple[Tile, ...],
    splits: tuple[int, ...],
    setting: Setting,
) -> GemmTimes:
    """Return the times of products, in a sweep or a traced program of each distinct one once.

    A sweep over batch and context has only as many distinct products as batches.
    """
    run: dict[str, Any] = {
        "constants": constants,
        "tiles": tiles,
        "splits": splits,
        "relaxed": setting.relaxed,
    }
    arrays = [v for v in (*inputs.values(), *machine) if np.ndim(v) and np.shape(v)[-1] > 1]
    points = max((np.shape(v)[-1] for v in arrays), default=1)
    varied = any(map(is_array, constants.stated.values()))
    if setting.xp is not TRACED and (points < _FEW or setting.xp is not np or varied):
        return gemm_times(**inputs, machine=machine, **run)

    def times(numbers: dict[str, Value]) -> Floats:
        facts = Processor(*(numbers.pop(name) for name in Processor._fields))
        return np.stack(gemm_times(**numbers, machine=facts, **run))

    numbers = {**inputs, **machine._asdict()}
    return GemmTimes(*by_distinct_column(numbers, times, len(GemmTimes._fields), _PIECE))
