"""What a kind's routines read of a runtime's kernels, and what they give back for their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.cost.setting import Setting
from perfmodel.formats import format_named
from perfmodel.hardware.kernel import stated_constants
from perfmodel.kinds.rates import bandwidth_fact, sparse_speedup
from perfmodel.kinds.tensor_core.constants import TensorCoreKernel
from perfmodel.kinds.tensor_core.gemm import Processor
from perfmodel.kinds.tensor_core.spec import TensorCore
from perfmodel.kinds.unpack import summed_in


@dataclass(frozen=True, slots=True)
class KernelRows:
    """Times of some rows of a table; every array has shape ``(len(rows), points or 1)``.

    A row takes ``launch + max(matrix + vector, dram, l2) + rest``, but at least `host_floor`.

    Attributes
    ----------
    rows
        Rows of the operator table.
    matrix_s
        Seconds of arithmetic (products, exponentials), beside the row's elementwise work.
    dram_s, l2_s
        Seconds of main memory and of the nearest cache.
    launch_s
        Seconds beside the work.
    rest_s
        What the work takes beyond the largest of its terms: imperfect overlap, sums of splits.
    host_floor_s
        Seconds that the host takes for the kernel.
    vector_s
        Seconds of elementwise work; what the roofline counts for the row where left out.
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


def constants_of(setting: Setting, name: str, formats: Sequence[str]) -> dict[str, Value]:
    """Return the constants of a class of kernels; empty where the runtime states none.

    Clocks that a kernel takes to start and to drain are part of its launch.

    Parameters
    ----------
    name
        Class, such as ``gemm``.
    formats
        Formats to look for first, the most particular first (a weight format, a compute format);
        one that the runtime states is taken whole.
    """
    for key in (*(f"{name}.{each}" for each in formats), name):
        if found := stated_constants(setting.facts, key, TensorCoreKernel):
            if "start_clocks" in found:
                found["launch"] = found["launch"] + found["start_clocks"] / setting.clock
            return found
    return {}


def processor(setting: Setting, pair: tuple[str, str], name: str) -> Processor:
    """Return the GPU for products of a pair of formats that run in the format `name`."""
    engine = setting.engine_as(TensorCore, "tensor_core")
    near, main = setting.levels[0], setting.levels[-1]
    l2: Value = float("inf")
    if near != main and setting.has_memory(near):
        l2 = setting.memory(near).bandwidth
    return Processor(
        engine.peaks[name] * sparse_speedup(setting, pair) * summed_in(setting, name),
        engine.units,
        setting.clock,
        bandwidth_fact(setting, main),
        l2,
        _sustained(setting, engine, name),
    )


#: How the rate at a power limit grows as a format gets narrower than 16 bits, and how it falls as
#: one gets wider (fp32 on the vector units of a T4: 12 pJ).
_NARROWER, _WIDER = 0.5, 0.79


def _sustained(setting: Setting, engine: TensorCore, name: str) -> Value:
    """Return the operations per second that the power limit sustains in a format."""
    power, plain = setting.power.busy, engine.vector_sustained_energy
    if name == "fp32" and plain is not None and power is not None:
        return power / plain
    if engine.sustained_energy is None or power is None:
        return float("inf")
    # Of the bits and not of the peaks: a faster fp16 makes no other format costlier.
    ratio = 16.0 / float(format_named(name).element_bits)
    return power / engine.sustained_energy * ratio ** (_NARROWER if ratio > 1.0 else _WIDER)
