"""Clocks of a core relative to a Cortex-M4: counted from its instructions, or stated."""

from __future__ import annotations

from typing import Final

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.fact_views import or_else
from perfmodel.kinds.mcu.spec import Microcontroller


def tile_clocks(simd_macs: Value, load_clocks: Value, issue: Value) -> Value:
    """Return clocks per multiply-accumulate in the inner loop of an 8-bit product.

    Per multiply-accumulate, with ``L`` clocks per load, divided by the instructions per clock:

    - one lane: ``(11 + 4 L) / 4``, a multiplication and an addition for each of four MACs, three
      instructions of the loop, and four loads;
    - two lanes (SMLAD, pairs of 16-bit numbers): ``(15 + 6 L) / 16``, eight products, seven
      instructions that widen weights or control the loop, and six loads (activations are already
      16 bits wide), for 16 MACs: CMSIS-NN's ``mat_mult_kernel``, a tile of two rows by two columns;
    - ``s`` lanes, four or more (dot products of bytes, hardware loops): ``(4 + 4 L) / (4 s)``, one
      product and one load each.

    Parameters
    ----------
    simd_macs, load_clocks, issue
        As in `perfmodel.kinds.mcu.spec.Microcontroller`; numbers or arrays.
    """
    xp = namespace(simd_macs, load_clocks, issue)
    single = (11.0 + 4.0 * load_clocks) / 4.0
    pair = (15.0 + 6.0 * load_clocks) / 16.0
    many = (4.0 + 4.0 * load_clocks) / (4.0 * xp.maximum(simd_macs, 1.0))
    # Linear interpolation between the three, so that more lanes are never slower.
    below = single + (pair - single) * (xp.clip(simd_macs, 1.0, 2.0) - 1.0)
    between = pair + (many - pair) * xp.clip(simd_macs / 2.0 - 1.0, 0.0, 1.0)
    clocks = xp.where(simd_macs <= 2.0, below, xp.minimum(between, pair))
    return clocks / issue


#: Clocks per MAC on a Cortex-M4: SMLAD, pipelined loads of one clock, one instruction per clock.
_REFERENCE: Final = 21.0 / 16.0


def relative_clocks(engine: Microcontroller, kernel: str) -> Value:
    """Return clocks of a class of kernels relative to those on a Cortex-M4.

    A class without its own factor has that of ``conv``, or without one the counted clocks.
    """
    own = {"depthwise": engine.relative_depthwise, "gemm": engine.relative_gemm}.get(kernel)
    stated = or_else(own, engine.relative_conv)
    if stated is not None:
        return stated
    return tile_clocks(engine.simd_macs, engine.load_clocks, engine.issue) / _REFERENCE


def amdahl(units: Value, share: Value) -> Value:
    """Return the fraction of a kernel's clocks that remains on several cores.

    ``1 - p + p / n``: Amdahl, "Validity of the single processor approach ...", AFIPS 1967.

    Parameters
    ----------
    units
        Number of cores, n.
    share
        Parallel share of the clocks, p.

    Notes
    -----
    ``start = kernels * (start_clocks + fork_clocks) / clock``
        Amdahl, AFIPS 1967
    """
    return 1.0 - share + share / units
