"""What chips cost to make: yield, dies of a wafer, masks that are shared or each chip's own.

Numbers or arrays; a low and a high estimate are an array of two.
"""

from __future__ import annotations

from math import pi
from typing import NamedTuple

from perfmodel.arrays import Value, namespace


def murphy_yield(area_m2: Value, defects_per_m2: Value) -> Value:
    """Return the share of dies without a defect: ``((1 - exp(-A D)) / (A D))^2``.

    Murphy, "Cost-size optima of monolithic integrated circuits", Proc. IEEE 52(12), 1964.
    """
    xp = namespace(area_m2, defects_per_m2)
    expected = xp.maximum(area_m2 * defects_per_m2, 1e-12)
    return (-xp.expm1(-expected) / expected) ** 2


def dies_per_wafer(area_m2: Value, wafer_m: Value = 0.3) -> Value:
    """Return whole dies of a round wafer: ``pi r^2 / A - pi d / sqrt(2 A)``, rounded down.

    De Vries, "Investigation of gross die per wafer formulas", IEEE TSM 18(1), 2005.
    """
    xp = namespace(area_m2, wafer_m)
    gross = pi * (wafer_m / 2.0) ** 2 / area_m2 - pi * wafer_m / xp.sqrt(2.0 * area_m2)
    return xp.maximum(xp.floor(gross), 0.0)


def die_usd(
    area_m2: Value, *, wafer_usd: Value, defects_per_m2: Value, wafer_m: Value = 0.3
) -> Value:
    """Return the price of a good die: that of a wafer over the good ones expected of it."""
    good = dies_per_wafer(area_m2, wafer_m) * murphy_yield(area_m2, defects_per_m2)
    return wafer_usd / namespace(good).maximum(good, 1e-12)


class MaskCost(NamedTuple):
    """What a set of photomasks costs where chips differ in some of its layers.

    Attributes
    ----------
    shared_usd
        Layers that all chips have alike.
    each_usd
        Layers of one chip's own.
    first_usd, again_usd
        All masks of all chips, and those of another content in the same chips.
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
    """Return what masks cost for chips that differ in a few layers of wires.

    A layer of extreme ultraviolet counts as `extreme_weight` plain ones; a chip's own layers are
    plain (Liu et al., arXiv 2508.16151 v2: 58 + 12 x 6 units of a 5 nm set, 10 of them own).

    Parameters
    ----------
    set_usd
        Price of a whole set.
    chips
        Chips that differ.
    plain_layers, extreme_layers, own_layers
        Layers of each sort; own ones are among the plain ones.
    extreme_weight
        Price of a layer of extreme ultraviolet over that of a plain one.
    """
    unit = set_usd / (plain_layers + extreme_weight * extreme_layers)
    each = own_layers * unit
    shared = set_usd - each
    return MaskCost(shared, each, shared + each * chips, each * chips)
