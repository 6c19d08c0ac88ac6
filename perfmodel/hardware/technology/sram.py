"""SRAM by capacity and node: access energy, area and leakage.

Energies at 45 nm are Horowitz's (ISSCC 2014; 8 kB, 32 kB and 1 MB); below 8 kB they are
extrapolated with the shape of CACTI. From 45 to 7 nm, the energy falls as in Jouppi et al. 2021 at
the same three capacities: by a factor of 1.3 at 8 kB, 2.4 at 32 kB and 7.1 at 1 MB. The dependence
on word width is fitted on CACTI memories of ZigZag. Published memories of the same size differ by
a factor of three.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.technology.nodes import area_scale, trend
from perfmodel.hardware.technology.power_laws import power_law
from perfmodel.hardware.technology.tables import table

#: Smallest node with an SRAM gain: bit cells have hardly shrunk since.
SMALLEST_NM = 7.0

Points = tuple[list[float], list[float]]


def rows(which: str = "points") -> list[dict[str, Any]]:
    """Return the memories of the table as mappings.

    Parameters
    ----------
    which
        ``points`` (used by the model) or ``checks`` (compared with it).
    """
    sram = table("memories")["sram"]
    return [dict(zip(sram["columns"], row, strict=True)) for row in sram[which]]


@cache
def points(column: str) -> Points:
    """Return the capacities in bytes and a column of the CACTI memories at 45 nm."""
    pairs = [(float(row["capacity_bytes"]), float(row[column])) for row in rows()]
    return [c for c, _ in pairs], [v for _, v in pairs]


@cache
def _pairs() -> tuple[list[float], list[float], list[float]]:
    """Return capacities in bytes, J per bit at 45 nm, and energy at 7 nm relative to 45 nm."""
    pairs = table("memories")["sram"]["pairs"]["rows"]
    return (
        [float(c) for c, _, _ in pairs],
        [old * 1e-12 / 64 for _, old, _ in pairs],
        [new / old for _, old, new in pairs],
    )


@cache
def _per_bit_45nm() -> Points:
    """Return capacities in bytes and J per bit: CACTI's shape below the smallest published one."""
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
    """Return the energy of reading one word, J.

    ``E = e(capacity, node) * word_scale(capacity, word_bits)`` with e in J per bit of a 64-bit
    word, by power laws in capacity and node.

    Parameters
    ----------
    capacity_bytes
        Capacity of the memory (of one bank, if only one bank switches); 0 costs no energy.
    word_bits
        Number of bits read at once, see `word_scale`.
    node_nm
        Silicon node in nanometres.

    Returns
    -------
    Value
        Energy in joules, of the broadcast shape; non-decreasing in capacity.
    """
    capacity, nonzero = _positive_capacity(capacity_bytes)
    at_45nm = power_law(capacity, *_per_bit_45nm())
    capacities, _, gains = _pairs()
    gain = power_law(capacity, capacities, gains, left=0.0, right=0.0)
    per_bit = trend(node_nm, at_45nm, at_45nm * gain, floor_nm=SMALLEST_NM)
    return per_bit * word_scale(capacity, word_bits) * nonzero


def _positive_capacity(capacity_bytes: Value) -> tuple[Value, Value]:
    """Return a capacity above zero for the power laws, and 1 or 0 for whether it is not zero."""
    xp = namespace(capacity_bytes)
    capacity = xp.asarray(capacity_bytes, dtype=float)
    nonzero = capacity > 0.0
    positive = xp.where(nonzero, capacity, 1.0)
    return (
        (float(positive), float(nonzero))
        if xp is np and positive.ndim == 0
        else (positive, nonzero)
    )


def word_scale(capacity_bytes: Value, word_bits: Value) -> Value:
    """Return the effective number of bits of a word, normalised to 64 for a 64-bit word.

    ``64 (bits / 64) ^ b``: b is 1 up to 1 kB, where the cells dominate, and falls to 0.66 at 1 MB,
    where address decoding and wires dominate (fitted on CACTI memories of ZigZag). Words wider than
    256 bits are modelled as several parallel memories.
    """
    xp = namespace(capacity_bytes, word_bits)
    word = table("memories")["sram"]["word"]
    (small, cells), (large, wires) = word["points"]
    at = xp.log(xp.asarray(capacity_bytes, dtype=float) / small) / np.log(large / small)
    exponent = cells + (wires - cells) * xp.clip(at, 0.0, 1.0)
    bits = xp.asarray(word_bits, dtype=float)
    wide = xp.maximum(bits / word["widest_bits"], 1.0)
    reference = word["reference_bits"]
    scaled = reference * (bits / wide / reference) ** exponent * wide
    return float(scaled) if xp is np and np.ndim(scaled) == 0 else scaled


def sram_area(capacity_bytes: Value, node_nm: Value = 45.0) -> Value:
    """Return the area of a memory, square metres.

    CACTI at 45 nm, proportional to capacity above 16 kB, scaled by the area table of Stillmaker and
    Baas 2017 down to 16 nm, and with the published bit cell below, which shrinks less than logic.
    """
    capacity, nonzero = _positive_capacity(capacity_bytes)
    at_45nm = power_law(capacity, *points("area_mm2"), right=1.0) * 1e-6
    return at_45nm * _cell_scale(node_nm) * nonzero


def _cell_scale(node_nm: Value) -> Value:
    """Return the area of a memory at a node over that at 45 nm."""
    rows = table("areas")["bit_cells"]["rows"]
    first, xp = rows[0][0], namespace(node_nm)
    small = xp.minimum(xp.asarray(node_nm, dtype=float), first)
    cells = [row[1] / rows[0][1] for row in rows[::-1]]
    shrink = power_law(small, [row[0] for row in rows[::-1]], cells)
    scale = area_scale(45.0, xp.maximum(xp.asarray(node_nm, dtype=float), first)) * shrink
    return float(scale) if xp is np and np.ndim(scale) == 0 else scale


def sram_leakage_power(capacity_bytes: Value) -> Value:
    """Return an upper bound on the leakage power of a memory at 45 nm, W.

    CACTI with high-performance cells at 360 K, proportional to capacity above 16 kB. Low-power
    cells at room temperature leak orders of magnitude less; there is no sourced law for other
    nodes.
    """
    capacity, nonzero = _positive_capacity(capacity_bytes)
    return power_law(capacity, *points("leakage_mw"), right=1.0) * 1e-3 * nonzero
