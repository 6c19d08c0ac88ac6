"""The kind ``nand``: weights are multiplied in the flash dies, and others streamed meanwhile.

Every weight matrix is split between the dies and the processor so that both finish together
(`split`; Yu et al., Cambricon-LLM, MICRO 2024): ``seconds = max(dies, channels, cells, host)``. All
other work runs on the processor as on a roofline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.nest_row_sums import RowSums
from perfmodel.cost.operand_bytes import access_bytes, slot_bytes, sum_by_row
from perfmodel.cost.setting import Setting
from perfmodel.errors import InputError, input_error
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.nand.geometry import Flash, FlashMatrix
from perfmodel.kinds.nand.spec import (
    InFlashCompute,
    NandFlash,
    flash_from,
    limit_faults,
    read_bandwidth,
)
from perfmodel.kinds.nand.split import FlashSplit, split
from perfmodel.kinds.protocol import Equation, Terms, equations_of
from perfmodel.kinds.rates import executed_macs
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.roofline import matrix_rates
from perfmodel.workload.operator_table import WEIGHT, OperatorTable

_MODEL = (
    "flash: weights streamed, inputs and partial sums of what the dies multiply; "
    "others compulsory; activations resident in the nearest memory that holds them"
)


class InFlash:
    """Weight matrices are split between dies and processor; all other work is as on a roofline."""

    name = "nand"
    traceable = True
    spec = InFlashCompute
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"memory"})
    equations: Mapping[str, Equation] = {**ROOFLINE.equations, **equations_of(split)}

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see the class attribute `equations`."""
        terms = ROOFLINE.cost(table, setting)
        where = setting.weights_memory
        memory, engine = _flash_and_engine(setting, self.name)
        shares = shares_of(table, setting)
        if shares is None:
            return terms
        rows = RowSums(shares.row, len(table.rows), setting.xp)
        splits, runs = shares.split, shares.runs
        macs = executed_macs(table, setting)
        in_dies = rows(shares.macs * (1.0 - splits.host_share))
        rates, operations, *_ = matrix_rates(table, macs - in_dies, setting)
        operations["vector"] = table.vector_ops
        work = 2.0 * (macs - in_dies) + rows(splits.partial_sums * runs)
        stored = rows(shares.stored)
        others = terms.traffic[where] - stored
        others = others * (others > 1e-6 * terms.traffic[where])
        # Bytes that only the processor reads include the spare area too.
        spare = or_else(memory.sent, memory.page) / memory.page
        others_s = others / read_bandwidth(setting, where)
        compute = {**terms.compute, "matrix": work / rates}
        levels = {**terms.memory, where: others_s + rows(splits.seconds * runs)}
        detail = {
            "host_macs": macs - in_dies,
            "flash_rounds": rows(splits.rounds * runs),
            "flash_weight_bytes": stored,
            "flash_request_bytes": rows(splits.request_bytes * runs),
            "flash_array_bytes": others + rows(splits.array_bytes * runs),
            **_means(shares, rows, stored),
        }
        return replace(
            terms,
            compute=compute,
            memory=levels,
            traffic={**terms.traffic, where: others * spare + rows(splits.channel_bytes * runs)},
            row_s=compose(compute, levels, terms.overhead, setting.overlap),
            cold=None,
            operations=operations,
            work={"matrix": work},
            detail=detail,
            traffic_model=_MODEL,
            energy=_energy(detail, memory, engine),
            expressions={where: partial(_arithmetic, shares, others_s)},
            left_out=2.0 * in_dies,
        )


def _flash_and_engine(setting: Setting, kind: str) -> tuple[NandFlash, InFlashCompute]:
    """Return facts of the flash that stores the weights, and of the engine.

    Raises
    ------
    InputError
        The weights are stored elsewhere, or varied facts violate a limit together.
    """
    where = setting.weights_memory
    memory = setting.memory_as(where, NandFlash)
    if memory is None:
        raise input_error(
            f"weights lie in '{where}', which is no NAND flash",
            "memories",
            expected="a memory of kind nand with the role 'weights'",
        )
    engine = setting.engine_as(InFlashCompute, kind)
    faults = limit_faults(memory, engine, where, setting.engine_name) if setting.xp is np else []
    if faults:
        raise InputError(faults)
    return memory, engine


def _means(shares: FlashNests, rows: RowSums, stored: Value) -> dict[str, Value]:
    """Return means over a row's matrices, weighted by weight bytes, of quantities not summed."""
    some = rows.xp.maximum(stored, 1e-30)
    splits = shares.split
    means = {
        name: rows(values * shares.stored) / some
        for name, values in (
            ("tile_columns", splits.tile.columns),
            ("tile_rows", splits.tile.rows),
            ("round_s", splits.tile.round_time),
        )
    }
    in_flash = 1.0 - rows(shares.stored * splits.host_share) / some
    return {"in_flash_share": in_flash * (stored > 0), **means}


def _energy(
    detail: Mapping[str, Value], memory: NandFlash, engine: InFlashCompute
) -> dict[str, Value]:
    """Return joules of the cells and of the cores in the dies, where the device states them."""
    parts = {
        "flash cells": (memory.read_energy, detail["flash_array_bytes"]),
        "flash cores": (engine.core_energy, detail["flash_request_bytes"]),
    }
    return {name: amount * each for name, (each, amount) in parts.items() if each is not None}


def _arithmetic(shares: FlashNests, others_s: Value, row: int) -> str:
    """Return the seconds of a row's flash as an expression, the equation of each nest evaluated."""
    flash, splits = shares.flash, shares.split
    parts: list[str] = []
    for at in np.flatnonzero(shares.row == row):

        def text(value: Value, at: int = int(at)) -> str:
            return f"{_first(value, at):.12g}"

        matrix, tile = shares.matrix, splits.tile
        lane = text(flash.bandwidth / flash.channels)
        inputs = text(matrix.vectors * tile.columns_each * matrix.value + 0.5 * flash.piece)
        waits = f"{text(flash.read_time)} + {inputs}/{lane}"
        core = f"{text(matrix.vectors)}*{text(flash.core_time)}"
        terms = [f"{text(splits.rounds)}*max({waits}, {core})"]
        carried = (
            text(splits.streamed * (flash.sent / flash.page)),
            text((1.0 - splits.host_share) * (tile.inputs + tile.results) * flash.channels),
        )
        terms.append(f"({carried[0]} + {carried[1]})/{text(flash.bandwidth)}")
        if np.isfinite(_first(flash.link, int(at))):
            terms.append(f"{text(splits.channel_bytes)}/{text(flash.link)}")
        pages = (
            text(tile.requests * (1.0 - splits.host_share) * flash.cores),
            text(splits.streamed / (flash.page * flash.channels * flash.dies)),
        )
        terms.append(f"({pages[0]} + {pages[1]})*{text(flash.read_time)}/{text(flash.planes)}")
        terms.append(
            f"{text(splits.host_share)}*{text(shares.host_time)} + {text(splits.add_time)}"
        )
        parts.append(f"{text(shares.runs)}*max({', '.join(terms)})")
    others = _first(others_s, row)
    if parts and others:
        parts.insert(0, f"{others:.12g}")
    return " + ".join(parts)


def _first(value: Value, row: int) -> float:
    """Return a row's number at the first point."""
    array = np.asarray(value, dtype=float)
    if array.ndim < 2:
        return float(array.flat[0])
    return float(array[row if len(array) > 1 else 0, 0])


class FlashNests(NamedTuple):
    """The nests whose weights are in flash.

    Attributes
    ----------
    row
        Row of each nest.
    matrix
        One matrix of each nest.
    split
        Split of that matrix.
    runs
        Matrices per nest times its executions.
    macs
        Multiply-accumulates of all its matrices.
    stored
        Bytes of their weights as stored in flash.
    flash
        Geometry of the flash.
    host_time
        Seconds for the processor to multiply one matrix.
    """

    row: np.ndarray
    matrix: FlashMatrix
    split: FlashSplit
    runs: Value
    macs: Value
    stored: Value
    flash: Flash
    host_time: Value


def shares_of(table: OperatorTable, setting: Setting) -> FlashNests | None:
    """Return the split of every weight matrix; None where the table has none."""
    nests, access = table.nests, table.accesses
    assert nests is not None
    assert access is not None
    at = nests.access[:, 1]
    in_flash = np.flatnonzero((at >= 0) & (access.tensor[np.maximum(at, 0)] == WEIGHT))
    if not in_flash.size:
        return None
    xp, engine = setting.xp, setting.engine_as(InFlashCompute, "nand")
    nests, result = nests.at(in_flash), engine.result_bits
    value, weight = (
        slot_bytes(tuple(slots[i] for slots in nests.slots), table.points, setting) for i in (0, 1)
    )
    matrix = FlashMatrix(
        nests.out_channels,
        nests.summed,
        nests.positions,
        weight,
        value,
        value if result is None else result / 8.0,
    )
    runs = nests.groups * nests.times
    rates, *_ = matrix_rates(table, table.macs, setting)
    rows = nests.row
    rate = rates[rows] if np.ndim(rates) == 2 else rates
    macs = matrix.rows * matrix.columns * matrix.vectors
    flash = flash_from(setting.memory(setting.weights_memory, NandFlash), engine)
    host_time = 2.0 * macs / rate
    splits = split(
        flash,
        matrix,
        host_time,
        columns=or_else(engine.tile_columns, 0.0),
        tiling=engine.tiling,
        relaxed=setting.relaxed,
    )
    stored = access_bytes(table, setting)[nests.access[:, 1]]
    # Weights that stay in a nearer memory between runs are not read from flash.
    crosses = 1.0
    if setting.warm:
        all_weights = access_bytes(table, setting) * (access.tensor == WEIGHT)[:, None]
        total = sum_by_row(all_weights, table, setting)
        read_bytes = ROOFLINE.cost(table, setting).traffic[setting.weights_memory]
        crosses = (read_bytes / xp.maximum(total, 1e-30))[rows]
    return FlashNests(
        rows,
        matrix,
        splits,
        runs * crosses,
        macs * runs * crosses,
        stored * crosses,
        flash,
        host_time,
    )


KIND = InFlash()
