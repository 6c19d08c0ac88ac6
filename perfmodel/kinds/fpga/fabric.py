"""Fabric resources: look-up tables, flip-flops, DSP slices and memory blocks of a design.

A spec states the resources of the pieces of an overlay (`Fabric`), and `overlay_resources` adds
them up: ``amount = sum over pieces of instances * amount of the piece``. `blocks_18k` counts the
memory blocks of tables that circuits read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from perfmodel.arrays import Value, is_array, namespace
from perfmodel.cost.setting import Setting
from perfmodel.hardware.fact_views import or_else
from perfmodel.hardware.field_types import ZERO, Amount
from perfmodel.hardware.quantity import Spec
from perfmodel.kinds.protocol import Terms

if TYPE_CHECKING:
    from perfmodel.kinds.fpga.spec import FpgaSpec

_NONE: Final = ZERO


class Fabric(Spec):
    """Resources that a piece of a design uses."""

    lut: Amount = _NONE
    """Look-up tables."""
    ff: Amount = _NONE
    """Flip-flops."""
    dsp: Amount = _NONE
    """DSP slices."""
    bram: Amount = _NONE
    """Memory blocks of 18 Kb; a block of 36 Kb counts as two."""
    uram: Amount = _NONE
    """UltraRAM blocks of 288 Kb."""
    source: str | None = None
    """Source of all numbers above that state no other."""


def overlay_resources(pieces: Iterable[tuple[Fabric, Value]], xp: Any) -> dict[str, Value]:
    """Return `Counts.resources` of an overlay: the sum over its pieces.

    Parameters
    ----------
    pieces
        Resources of each piece, and its number of instances.
    xp
        Array namespace.

    Returns
    -------
    dict
        Resource -> amount, ``(points,)`` or ``(1,)``; resources with no stated amount are left out.
    """
    out: dict[str, Value] = {}
    for piece, times in pieces:
        stated = {
            "lut": piece.lut,
            "ff": piece.ff,
            "dsp": piece.dsp,
            "bram": piece.bram,
            "uram": piece.uram,
        }
        for name, amount in stated.items():
            out[name] = out.get(name, 0.0) + amount * times
    return {
        name: xp.asarray(total, dtype=float).reshape(-1)
        for name, total in out.items()
        if is_array(total) or total
    }


def slices_of_product(first_bits: Value, second_bits: Value, engine: FpgaSpec) -> Value:
    """Return DSP slices of a product: operands split to fit the ports, in the better orientation.

    ``ceil(a / wide) * ceil(b / narrow)`` or with ``a`` and ``b`` exchanged, whichever is less.
    """
    wide, narrow = engine.dsp_wide_bits, engine.dsp_narrow_bits
    xp = namespace(first_bits, second_bits, wide, narrow)

    def pieces(first: Value, second: Value) -> Value:
        return xp.ceil(first / wide - 1e-9) * xp.ceil(second / narrow - 1e-9)

    return xp.minimum(pieces(first_bits, second_bits), pieces(second_bits, first_bits))


#: Share of clocks in which a signal changes where a spec states none (AMD's power estimator).
_TOGGLE: Final = 0.125

#: Resources that work in every clock, whatever comes in.
_CLOCKED: Final = ("ff",)


def with_fabric_energy(terms: Terms, engine: FpgaSpec, setting: Setting) -> Terms:
    """Return the terms with the energy of what is configured into the fabric.

    An overlay is at work as long as it runs::

        fabric = toggle * clock * sum over resources of (amount * energy) * time

    In a pipeline, a layer's tables, slices and memories are at work in the clocks in which it takes
    a frame in, once a frame; registers alone are clocked all the time::

        fabric = frames * toggle * interval of the layer * sum over resources of (amount * energy)

    Leakage is the device's static power. The operations are part of it.
    """
    energies = {
        "lut": engine.lut_energy,
        "ff": engine.ff_energy,
        "dsp": engine.dsp_energy,
        "bram": engine.bram_energy,
        "uram": engine.uram_energy,
    }
    known = {n: each for n, each in energies.items() if each is not None and n in terms.resources}
    if not known:
        return terms
    toggle, xp = or_else(engine.toggle, _TOGGLE), setting.xp
    interval = terms.detail.get("interval")
    own = {} if interval is None else {n: terms.detail[n] for n in known if n not in _CLOCKED}
    always = [terms.resources[n] * each for n, each in known.items() if n not in own]
    energy: dict[str, Value] = {}
    if always:
        watts = toggle * setting.clock * sum(always[1:], always[0])
        energy["registers" if own else "fabric"] = terms.row_s * watts
    powered = (*terms.powered, *energy)
    if own:
        work = setting.sequences * toggle * xp.maximum(interval, 1.0)
        each = [amount * known[n] for n, amount in own.items()]
        energy["fabric"] = work * sum(each[1:], each[0])
    return replace(
        terms,
        energy={**terms.energy, **energy},
        powered=powered,
        priced=(*terms.priced, *(f"operations {name}" for name in terms.operations)),
    )


#: Bits of a memory block.
BLOCK_BITS = 18432.0

#: Depth in words, and width in bits of an 18 Kb block up to it (UG573, simple dual port).
_SHAPES = ((512.0, 36.0), (1024.0, 18.0), (2048.0, 9.0), (4096.0, 4.0), (8192.0, 2.0))


def blocks_18k(depth: Value, width: Value, *, relaxed: bool = False) -> Value:
    """Return 18 Kb blocks of a memory: ``ceil(width / w) ceil(depth / 16384)``.

    ``w`` is the width of a block at the depth: 36 bits up to 512 words, 18 up to 1024, 9, 4, 2 and
    1 up to 16384. AMD UG573, table of block RAM aspect ratios; FINN's estimates use the same rule.

    Parameters
    ----------
    depth, width
        Words, and bits of a word; numbers or arrays. Zero where either is 0.
    relaxed
        Total bits over the bits of a block.
    """
    xp = namespace(depth, width)
    if relaxed:
        return depth * width / BLOCK_BITS
    wide = 1.0
    for most, bits in reversed(_SHAPES):
        wide = xp.where(depth <= most, bits, wide)
    return xp.ceil(width / wide - 1e-9) * xp.ceil(depth / 16384.0 - 1e-9)
