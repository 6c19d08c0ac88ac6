"""Manufacturing cost of chips: yield, dies per wafer, shared and chip-specific masks.

Arguments are scalars or arrays; a low and a high estimate form an array of two.
"""

from __future__ import annotations

from math import pi
from typing import NamedTuple

from perfmodel.arrays import Value, namespace


def murphy_yield(area_m2: Value, defects_per_m2: Value) -> Value:
    """Return the yield of dies, ``((1 - exp(-A D)) / (A D))^2``, A the area, D the defect density.

    Murphy, "Cost-size optima of monolithic integrated circuits", Proc. IEEE 52(12), 1964.
    """
    xp = namespace(area_m2, defects_per_m2)
    expected = xp.maximum(area_m2 * defects_per_m2, 1e-12)
    return (-xp.expm1(-expected) / expected) ** 2


def dies_per_wafer(area_m2: Value, wafer_m: Value = 0.3) -> Value:
    """Return the number of dies per wafer, ``floor(pi r^2 / A - pi d / sqrt(2 A))``.

    A is the die area, r the radius and d the diameter of the wafer.

    De Vries, "Investigation of gross die per wafer formulas", IEEE TSM 18(1), 2005.
    """
    xp = namespace(area_m2, wafer_m)
    gross = pi * (wafer_m / 2.0) ** 2 / area_m2 - pi * wafer_m / xp.sqrt(2.0 * area_m2)
    return xp.maximum(xp.floor(gross), 0.0)


def die_usd(
    area_m2: Value, *, wafer_usd: Value, defects_per_m2: Value, wafer_m: Value = 0.3
) -> Value:
    """Return the price of a good die, ``wafer price / (dies per wafer x yield)``, US dollars."""
    good = dies_per_wafer(area_m2, wafer_m) * murphy_yield(area_m2, defects_per_m2)
    return wafer_usd / namespace(good).maximum(good, 1e-12)


class MaskCost(NamedTuple):
    """Cost of a photomask set for chips that differ in some layers.

    Attributes
    ----------
    shared_usd
        Cost of the layers common to all chips.
    each_usd
        Cost of the layers specific to one chip.
    first_usd, again_usd
        Cost of all masks of all chips, and of the specific layers of all chips for new contents.
    """

    shared_usd: Value
    each_usd: Value
    first_usd: Value
    again_usd: Value


def mask_cost_usd(
    set_usd: Value,
    chips: Value,
    *,
    plain_layers: Value = 58.0,
    extreme_layers: Value = 12.0,
    own_layers: Value = 10.0,
    extreme_weight: Value = 6.0,
) -> MaskCost:
    """Return the mask cost of chips that differ in a few wiring layers.

    An extreme-ultraviolet (EUV) layer costs `extreme_weight` times a plain layer; chip-specific
    layers are plain (Liu et al., arXiv 2508.16151 v2: 58 + 12 x 6 units of a 5 nm set, 10 of them
    chip-specific).

    Parameters
    ----------
    set_usd
        Price of a complete mask set.
    chips
        Number of different chips.
    plain_layers, extreme_layers, own_layers
        Number of plain, EUV and chip-specific layers; the last are among the plain ones.
    extreme_weight
        Price ratio of an EUV layer to a plain one.
    """
    unit = set_usd / (plain_layers + extreme_weight * extreme_layers)
    each = own_layers * unit
    shared = set_usd - each
    return MaskCost(shared, each, shared + each * chips, each * chips)
