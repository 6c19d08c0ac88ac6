"""Spec of a GPU with matrix units."""

from __future__ import annotations

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.field_types import EnergyPerOp, PositiveNumber, PositiveSize


class TensorCore(Engine):
    """Streaming multiprocessors (or compute units, Xe cores) with matrix units.

    `units` are the processors over which thread blocks are distributed. Under a runtime with stated
    constants of its kernels, products and attention are costed kernel by kernel; under any other,
    as on a roofline.
    """

    WHAT = "a GPU"
    CLOCK = "1.83 GHz"
    OTHERWISE = "is no GPU"

    exponentials_per_clock: PositiveNumber | None = None
    """Exponentials that a unit computes per clock (special function units)."""
    registers: PositiveSize | None = None
    """Bytes of a unit's register file, for the area."""
    local_memory: PositiveSize | None = None
    """Bytes of a unit's first cache and its shared memory, for the area."""
    sustained_energy: EnergyPerOp | None = None
    """Energy of the whole board per operation of a large 16-bit product: with `power.busy` it caps
    the rate. For narrower formats it scales with the square root of the ratio of bits."""

    vector_sustained_energy: EnergyPerOp | None = None
    """The same for a large fp32 product without matrix units: with the device's `power.busy` it
    caps that rate, as on boards of 70 W."""
