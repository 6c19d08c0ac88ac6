"""How many clocks a core takes over a Cortex-M4: counted from its instructions, or stated."""

from __future__ import annotations

from typing import Final

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.view import or_else
from perfmodel.kinds.mcu.spec import Microcontroller


def tile_clocks(simd_macs: Value, load_clocks: Value, issue: Value) -> Value:
    """Return clocks a multiply-accumulate of the inner loop of an 8-bit product.

    A tile of two rows by two columns takes `simd_macs` steps of the sum at once. Where an
    instruction multiplies two numbers of 16 bits (SMLAD), four products come with six loads
    (activations are 16 bits wide already), five instructions that widen weights and one of the loop
    for eight MACs twice over: CMSIS-NN's ``mat_mult_kernel``. Without, a MAC is a multiplication
    and an addition, four loads for four MACs, three instructions of the loop. With four or more
    lanes (dot products of bytes, loops in hardware), a product and a load each.

    Parameters
    ----------
    simd_macs, load_clocks, issue
        As `perfmodel.kinds.mcu.spec.Microcontroller` states them; numbers or arrays.
    """
    xp = namespace(simd_macs, load_clocks, issue)
    alone = (11.0 + 4.0 * load_clocks) / 4.0
    pair = (15.0 + 6.0 * load_clocks) / 16.0
    many = (4.0 + 4.0 * load_clocks) / (4.0 * xp.maximum(simd_macs, 1.0))
    # Between the three the clocks go in proportion, so that more lanes are never slower.
    below = alone + (pair - alone) * (xp.clip(simd_macs, 1.0, 2.0) - 1.0)
    between = pair + (many - pair) * xp.clip(simd_macs / 2.0 - 1.0, 0.0, 1.0)
    clocks = xp.where(simd_macs <= 2.0, below, xp.minimum(between, pair))
    return clocks / issue


#: Of a Cortex-M4: SMLAD, loads of one clock in a run, one instruction a clock.
_REFERENCE: Final = 21.0 / 16.0


def relative_clocks(engine: Microcontroller, kernel: str) -> Value:
    """Return clocks of a class of kernels over those on a Cortex-M4.

    Classes without a figure of their own take that of ``conv``, and without that one the count.
    """
    own = {"depthwise": engine.relative_depthwise, "gemm": engine.relative_gemm}.get(kernel)
    stated = or_else(own, engine.relative_conv)
    if stated is not None:
        return stated
    return tile_clocks(engine.simd_macs, engine.load_clocks, engine.issue) / _REFERENCE


def amdahl(units: Value, share: Value) -> Value:
    """Return the share of a kernel's clocks that passes on several cores.

    ``1 - p + p / n``: Amdahl, "Validity of the single processor approach ...", AFIPS 1967.

    Parameters
    ----------
    units
        Cores, n.
    share
        Share of the clocks that they divide, p.

    Notes
    -----
    ``start = kernels * (start_clocks + fork_clocks) / clock``
        Amdahl, AFIPS 1967
    """
    return 1.0 - share + share / units
