"""The kind ``nand``: weights are multiplied where they lie, and streamed while that goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import Value, by_row
from perfmodel.cost.compose import compose
from perfmodel.cost.nests import RowSums
from perfmodel.cost.residency import access_bytes, sum_by_row
from perfmodel.cost.setting import Setting
from perfmodel.errors import InputError, input_error
from perfmodel.hardware.view import or_else
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
from perfmodel.workload.lower import WEIGHT, OperatorTable

_MODEL = (
    "flash: weights streamed, inputs and partial sums of what the dies multiply; "
    "others compulsory; activations resident in the nearest memory that holds them"
)


class InFlash:
    """Matrices of weights are split between dies and processor; the rest is a roofline's."""

    name = "nand"
    spec = InFlashCompute
    needs_nests = True
    network_wide: frozenset[str] = frozenset({"memory"})
    equations: Mapping[str, Equation] = {**ROOFLINE.equations, **equations_of(split)}

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see the class attribute `equations`."""
        terms = ROOFLINE.cost(table, setting)
        where = setting.weights_memory
        memory = setting.memory_as(where, NandFlash)
        if memory is None:
            raise input_error(
                f"weights lie in '{where}', which is no NAND flash",
                "memories",
                expected="a memory of kind nand with the role 'weights'",
            )
        engine = setting.engine_as(InFlashCompute, self.name)
        if setting.xp is np:
            faults = limit_faults(memory, engine, where, setting.engine_name)
            if faults:
                raise InputError(faults)
        shares = shares_of(table, setting)
        if shares is None:
            return terms
        by_row = RowSums(shares.row, len(table.rows), setting.xp)
        found, runs = shares.split, shares.runs
        rates, *_ = matrix_rates(table, table.macs, setting)
        macs = executed_macs(table, setting)
        done = by_row(shares.macs * (1.0 - found.host_share))
        work = 2.0 * (macs - done) + by_row(found.partial_sums * runs)
        _, operations, *_ = matrix_rates(table, macs - done, setting)
        operations["vector"] = table.vector_ops
        compute = {**terms.compute, "matrix": work / rates}
        through = by_row(found.channel_bytes * runs)
        others = terms.traffic[where] - by_row(shares.stored)
        others = others * (others > 1e-6 * terms.traffic[where])
        # Bytes that the processor reads for itself bring their spare area too.
        spare = or_else(memory.sent, memory.page) / memory.page
        traffic = {**terms.traffic, where: others * spare + through}
        rest = others / read_bandwidth(setting, where)
        seconds = rest + by_row(found.seconds * runs)
        levels = {**terms.memory, where: seconds}
        row_s = compose(compute, levels, terms.overhead, setting.overlap)
        matrices = by_row(shares.stored)
        some = setting.xp.maximum(matrices, 1e-30)
        detail = {
            "host_macs": macs - done,
            "flash_rounds": by_row(found.rounds * runs),
            "flash_weight_bytes": matrices,
            "flash_request_bytes": by_row(found.request_bytes * runs),
            "flash_array_bytes": others + by_row(found.array_bytes * runs),
            "in_flash_share": 1.0 - by_row(shares.stored * found.host_share) / some,
            "tile_columns": by_row(found.tile.columns * shares.stored) / some,
            "tile_rows": by_row(found.tile.rows * shares.stored) / some,
            "round_s": by_row(found.tile.round_time * shares.stored) / some,
        }
        detail["in_flash_share"] = detail["in_flash_share"] * (matrices > 0)
        return replace(
            terms,
            compute=compute,
            memory=levels,
            traffic=traffic,
            row_s=row_s,
            cold=None,
            operations=operations,
            work={"matrix": work},
            detail=detail,
            traffic_model=_MODEL,
            energy=_energy(detail, memory, engine),
            said={where: partial(_said, shares, rest)},
            left_out=2.0 * done,
        )


def _energy(
    detail: Mapping[str, Value], memory: NandFlash, engine: InFlashCompute
) -> dict[str, Value]:
    """Return joules of the cells and of the cores in the dies, where the device states them."""
    parts = {
        "flash cells": (memory.read_energy, detail["flash_array_bytes"]),
        "flash cores": (engine.core_energy, detail["flash_request_bytes"]),
    }
    return {name: moved * each for name, (each, moved) in parts.items() if each is not None}


def _said(shares: FlashNests, rest: Value, row: int) -> str:
    """Return the seconds of a row's flash as arithmetic: of each nest the equation itself."""
    flash, found = shares.flash, shares.split
    parts: list[str] = []
    for at in np.flatnonzero(shares.row == row):

        def said(value: Value, at: int = int(at)) -> str:
            return f"{_first(value, at):.12g}"

        matrix, tile = shares.matrix, found.tile
        lane = said(flash.bandwidth / flash.channels)
        inputs = said(matrix.vectors * tile.columns_each * matrix.value + 0.5 * flash.piece)
        waits = f"{said(flash.read_time)} + {inputs}/{lane}"
        core = f"{said(matrix.vectors)}*{said(flash.core_time)}"
        terms = [f"{said(found.rounds)}*max({waits}, {core})"]
        carried = (
            said(found.streamed * (flash.sent / flash.page)),
            said((1.0 - found.host_share) * (tile.inputs + tile.results) * flash.channels),
        )
        terms.append(f"({carried[0]} + {carried[1]})/{said(flash.bandwidth)}")
        if np.isfinite(_first(flash.link, int(at))):
            terms.append(f"{said(found.channel_bytes)}/{said(flash.link)}")
        pages = (
            said(tile.requests * (1.0 - found.host_share) * flash.cores),
            said(found.streamed / (flash.page * flash.channels * flash.dies)),
        )
        terms.append(f"({pages[0]} + {pages[1]})*{said(flash.read_time)}/{said(flash.planes)}")
        terms.append(f"{said(found.host_share)}*{said(shares.host_time)} + {said(found.add_time)}")
        parts.append(f"{said(shares.runs)}*max({', '.join(terms)})")
    others = _first(rest, row)
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
    """The nests whose weights lie in flash.

    Attributes
    ----------
    row
        Row of each.
    matrix
        One of its matrices.
    split
        Of that matrix.
    runs
        Matrices of the nest times its executions.
    macs
        Multiply-accumulates of all of them.
    stored
        Bytes of their weights as they lie in flash.
    flash
        Geometry.
    host_time
        Seconds in which the processor would multiply one matrix.
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
    """Return the split of every matrix of weights; None where the table has none."""
    nests, access = table.nests, table.accesses
    assert nests is not None
    assert access is not None
    at = nests.access[:, 1]
    kept = np.flatnonzero((at >= 0) & (access.tensor[np.maximum(at, 0)] == WEIGHT))
    if not kept.size:
        return None
    xp, engine = setting.xp, setting.engine_as(InFlashCompute, "nand")

    def bits(operand: int) -> Value:
        found = [setting.precision.bits(nests.slots[i][operand]) for i in kept]
        return by_row(found, table.points, setting.xp)

    value, result = bits(0) / 8.0, engine.result_bits
    matrix = FlashMatrix(
        nests.out_channels[kept],
        nests.summed[kept],
        nests.positions[kept],
        bits(1) / 8.0,
        value,
        value if result is None else result / 8.0,
    )
    runs = nests.groups[kept] * nests.times[kept]
    rates, *_ = matrix_rates(table, table.macs, setting)
    rows = nests.row[kept]
    rate = rates[rows] if np.ndim(rates) == 2 else rates
    macs = matrix.rows * matrix.columns * matrix.vectors
    flash = flash_from(setting.memory_of(setting.weights_memory, NandFlash), engine)
    host_time = 2.0 * macs / rate
    found = split(
        flash,
        matrix,
        host_time,
        columns=or_else(engine.tile_columns, 0.0),
        tiling=engine.tiling,
        relaxed=setting.relaxed,
    )
    stored = access_bytes(table, setting)[at[kept]]
    # Weights that stay in a nearer memory from one run to the next are not read from flash.
    crosses = 1.0
    if setting.warm:
        all_weights = access_bytes(table, setting) * (access.tensor == WEIGHT)[:, None]
        total = sum_by_row(all_weights, table, setting)
        moved = ROOFLINE.cost(table, setting).traffic[setting.weights_memory]
        crosses = (moved / xp.maximum(total, 1e-30))[rows]
    return FlashNests(
        rows,
        matrix,
        found,
        runs * crosses,
        macs * runs * crosses,
        stored * crosses,
        flash,
        host_time,
    )


KIND = InFlash()
