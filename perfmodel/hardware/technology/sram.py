"""SRAM by capacity and node: energy of an access, area, leakage.

The level is Horowitz's at 45 nm (8 kB, 32 kB and 1 MB); below 8 kB CACTI gives the shape. The gain
to 7 nm is that of Jouppi et al. 2021 at the same three capacities: large memories gain seven times,
small ones a third. How a word's width counts is fitted on CACTI memories of ZigZag. Published
memories of one size differ threefold.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.technology.curves import power_law
from perfmodel.hardware.technology.nodes import area_scale, trend
from perfmodel.hardware.technology.tables import table

#: Below this node no further gain of SRAM is assumed: its bit cell has all but stopped shrinking.
SMALLEST_NM = 7.0

Points = tuple[list[float], list[float]]


def rows(which: str = "points") -> list[dict[str, Any]]:
    """Return memories of the table as mappings.

    Parameters
    ----------
    which
        ``points`` (used by the model) or ``checks`` (compared with it).
    """
    sram = table("memories")["sram"]
    return [dict(zip(sram["columns"], row, strict=True)) for row in sram[which]]


@cache
def points(column: str) -> Points:
    """Return capacities in bytes and a column of the CACTI memories at 45 nm."""
    found = [(float(row["capacity_bytes"]), float(row[column])) for row in rows()]
    return [c for c, _ in found], [v for _, v in found]


@cache
def _pairs() -> tuple[list[float], list[float], list[float]]:
    """Capacities, joules per bit at 45 nm, and gain to 7 nm."""
    pairs = table("memories")["sram"]["pairs"]["rows"]
    return (
        [float(c) for c, _, _ in pairs],
        [old * 1e-12 / 64 for _, old, _ in pairs],
        [new / old for _, old, new in pairs],
    )


@cache
def _per_bit_45nm() -> Points:
    """Capacities and joules per bit: CACTI's shape below the smallest published level."""
    capacities, levels, _ = _pairs()
    sizes, read_pj = points("read_pj")
    below = [(c, e) for c, e in zip(sizes, read_pj, strict=True) if c < capacities[0]]
    joined = read_pj[sizes.index(capacities[0])]
    return (
        [c for c, _ in below] + capacities,
        [e / joined * levels[0] for _, e in below] + levels,
    )


def sram_access_energy(
    capacity_bytes: Value, word_bits: Value = 64, node_nm: Value = 45.0
) -> Value:
    """Return the energy of one read of a word, joules.

    Parameters
    ----------
    capacity_bytes
        Capacity of the memory (of one bank, where only one bank switches); none takes no energy.
    word_bits
        Bits read at once, see `word_scale`.
    node_nm
        Silicon node, nanometres.

    Returns
    -------
    Value
        Joules, of the broadcast shape. Never falls with capacity.
    """
    held, some = _held(capacity_bytes)
    at_45nm = power_law(held, *_per_bit_45nm())
    capacities, _, gains = _pairs()
    gain = power_law(held, capacities, gains, left=0.0, right=0.0)
    each = trend(node_nm, at_45nm, at_45nm * gain, floor_nm=SMALLEST_NM)
    return each * word_scale(held, word_bits) * some


def _held(capacity_bytes: Value) -> tuple[Value, Value]:
    """Return a capacity that the laws take, a byte for none, and whether there is any (1 or 0)."""
    xp = namespace(capacity_bytes)
    found = xp.asarray(capacity_bytes, dtype=float)
    some = found > 0.0
    held = xp.where(some, found, 1.0)
    return (float(held), float(some)) if xp is np and held.ndim == 0 else (held, some)


def word_scale(capacity_bytes: Value, word_bits: Value) -> Value:
    """Return the bits that a word counts for, those of a 64-bit word being 64.

    ``64 (bits / 64) ^ b``: b is 1 up to 1 kB, where the cells dominate, and falls to 0.66 at 1 MB,
    where address and wires do (fitted on CACTI memories of ZigZag). Words wider than 256 bits are
    several memories side by side.
    """
    xp = namespace(capacity_bytes, word_bits)
    word = table("memories")["sram"]["word"]
    (small, cells), (large, wires) = word["points"]
    at = xp.log(xp.asarray(capacity_bytes, dtype=float) / small) / np.log(large / small)
    exponent = cells + (wires - cells) * xp.clip(at, 0.0, 1.0)
    bits = xp.asarray(word_bits, dtype=float)
    wide = xp.maximum(bits / word["widest_bits"], 1.0)
    reference = word["reference_bits"]
    found = reference * (bits / wide / reference) ** exponent * wide
    return float(found) if xp is np and np.ndim(found) == 0 else found


def sram_area(capacity_bytes: Value, node_nm: Value = 45.0) -> Value:
    """Return the area of a memory, square metres.

    CACTI at 45 nm, in proportion to the capacity above 16 kB, scaled by the area table of
    Stillmaker and Baas 2017.
    """
    held, some = _held(capacity_bytes)
    at_45nm = power_law(held, *points("area_mm2"), right=1.0) * 1e-6
    return at_45nm * area_scale(45.0, node_nm) * some


def sram_leakage_power(capacity_bytes: Value) -> Value:
    """Return the leakage of a memory at 45 nm, watts: an upper bound.

    CACTI with high-performance cells at 360 K; low-power cells at room temperature leak orders of
    magnitude less, and no sourced law leads to other nodes. In proportion to the capacity above
    16 kB.
    """
    held, some = _held(capacity_bytes)
    return power_law(held, *points("leakage_mw"), right=1.0) * 1e-3 * some
