"""Constants that GPU routines read of a runtime's kernels, and the times that they return.

The routines for products, attention and streams each yield `KernelRows` for some rows of a table;
the kind `tensor_core` composes them: ``seconds = max(launch + max(matrix + vector, dram, l2) +
rest, host_floor)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.formats import format_named
from perfmodel.hardware.kernel import stated_constants
from perfmodel.kinds.kernel_effects import accumulator_factor
from perfmodel.kinds.protocol import Terms
from perfmodel.kinds.rates import bandwidth_fact, sparse_speedup
from perfmodel.kinds.tensor_core.constants import TensorCoreKernel
from perfmodel.kinds.tensor_core.gemm import Processor
from perfmodel.kinds.tensor_core.spec import TensorCore


@dataclass(frozen=True, slots=True)
class KernelRows:
    """Times of some rows of a table; every array has shape ``(len(rows), points or 1)``.

    The time of a row is ``launch + max(matrix + vector, dram, l2) + rest``, at least `host_floor`.

    Attributes
    ----------
    rows
        Rows of the operator table.
    matrix_s
        Seconds of arithmetic (products, exponentials), the row's elementwise work excluded.
    dram_s, l2_s
        Seconds of main memory and of the nearest cache.
    launch_s
        Seconds of launches.
    rest_s
        Seconds beyond the maximum of the terms: imperfect overlap, sums of splits.
    host_floor_s
        Seconds of the host per kernel.
    vector_s
        Seconds of elementwise work; the roofline's for the row if left out.
    detail
        Further numbers of each row at the first point, columns of `Prediction.table`.
    """

    rows: npt.NDArray[np.intp]
    matrix_s: Value
    dram_s: Value
    l2_s: Value
    launch_s: Value
    rest_s: Value
    host_floor_s: Value = 0.0
    detail: dict[str, Value] | None = None
    vector_s: Value = None


def kernel_rows(
    rows: npt.NDArray[np.intp],
    matrix: Value,
    vector: Value,
    dram: Value,
    l2: Value,
    launch: Value,
    work: Value,
    host_floor: Value,
    xp: Any,
) -> KernelRows:
    """Return times of rows from their terms, numbers or arrays that broadcast.

    Parameters
    ----------
    work
        Seconds of all terms combined, launch excluded; the excess over their maximum is the rest.
    """
    zero = 0.0 * (matrix + dram)
    longest = xp.maximum(xp.maximum(matrix + vector, dram), l2)
    return KernelRows(
        rows,
        matrix + zero,
        dram + zero,
        l2 + zero,
        launch + zero,
        work - longest,
        host_floor + zero,
        vector_s=vector + zero,
    )


def near_seconds(base: Terms, setting: Setting, rows: npt.NDArray[np.intp]) -> Value:
    """Return seconds of the nearest cache for some rows, from the roofline; 0 without one."""
    near = setting.nearest_memory
    return base.memory[near][rows] if near != setting.main_memory else 0.0


def constants_of(setting: Setting, name: str, formats: Sequence[str]) -> dict[str, Value]:
    """Return the constants of a class of kernels; empty where the runtime states none.

    Clocks to start and to drain a kernel are added to its launch.

    Parameters
    ----------
    name
        Class, for example ``gemm``.
    formats
        Formats to look up, most specific first (a weight format, a compute format); the first one
        that the runtime states supplies all constants.
    """
    for key in (*(f"{name}.{each}" for each in formats), name):
        if stated := stated_constants(setting.facts, key, TensorCoreKernel):
            if "start_clocks" in stated:
                stated["launch"] = stated["launch"] + stated["start_clocks"] / setting.clock
            return stated
    return {}


def processor(setting: Setting, pair: tuple[str, str], name: str) -> Processor:
    """Return the GPU's facts for products of a pair of formats that run in the format `name`."""
    engine = setting.engine_as(TensorCore, "tensor_core")
    near, main = setting.nearest_memory, setting.main_memory
    l2: Value = float("inf")
    if near != main and setting.has_memory(near):
        l2 = setting.memory(near).bandwidth
    return Processor(
        engine.peaks[name] * sparse_speedup(setting, pair) * accumulator_factor(setting, name),
        engine.units,
        setting.clock,
        bandwidth_fact(setting, main),
        l2,
        _sustained(setting, engine, name),
    )


#: Exponents of the rate at a power limit in the ratio of bits: for formats narrower than 16 bits,
#: and for wider ones (fp32 on the vector units of a T4: 12 pJ).
_NARROWER, _WIDER = 0.5, 0.79


def _sustained(setting: Setting, engine: TensorCore, name: str) -> Value:
    """Return the operations per second that the power limit sustains in a format.

    ``power / energy * (16 / bits)**x``, with the energy of an operation in 16 bits, and x = 0.5 for
    narrower formats, 0.79 for wider ones; fp32 without matrix units has a separate energy.
    """
    power, plain = setting.power.busy, engine.vector_sustained_energy
    if name == "fp32" and plain is not None and power is not None:
        return power / plain
    if engine.sustained_energy is None or power is None:
        return float("inf")
    # From the bits, not the peaks: a faster fp16 makes no other format costlier.
    ratio = 16.0 / float(format_named(name).element_bits)
    return power / engine.sustained_energy * ratio ** (_NARROWER if ratio > 1.0 else _WIDER)
