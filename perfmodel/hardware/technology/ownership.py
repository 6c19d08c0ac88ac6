"""Tables of ``hardware_specs/ownership.yaml``: silicon and memories in US dollars and CO2, by node.

Energies, gases and materials of a square centimetre of wafer are those of ACT (Gupta et al., ISCA
2022), prices of wafers those of CSET (Khan and Mann, 2020), costs of a design those of IBS (2018).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.technology.tables import OWNERSHIP, table
from perfmodel.units import parse

if TYPE_CHECKING:
    from perfmodel.hardware.device import Device

#: Text of a process that says its node: ``TSMC 4 nm``, ``TSMC N6``, ``TSMC 4NP``.
_NODE = re.compile(r"(\d+) ?nm\b|\bN(\d+)|\b(\d+)N")


@cache
def grid_intensities() -> Mapping[str, float]:
    """Return the carbon intensity of the electricity of each grid by name, kg/J."""
    return {
        name: parse(f"{grams} g/kWh", "carbon_intensity")
        for name, grams in table(OWNERSHIP)["grids"]["g_per_kwh"].items()
    }


def node_of_process(process: str | None) -> float | None:
    """Return the node of a silicon process in metres from its name; ``None`` if it says none."""
    if not process:
        return None
    named: Mapping[str, float] = table(OWNERSHIP)["silicon"]["processes"]
    alike = [nanometres for name, nanometres in named.items() if process.startswith(name)]
    match = _NODE.search(process)
    if alike:
        return alike[0] * 1e-9
    return None if match is None else float(next(n for n in match.groups() if n)) * 1e-9


def node_of(device: Device, of_class: str = "") -> float:
    """Return the silicon node of a device, nm: of its process, else usual in its year.

    Parameters
    ----------
    of_class
        Class of engines with nodes of its own, if any.
    """
    stated = node_of_process(device.process)
    if stated is not None:
        return stated * 1e9
    data = table("power_classes")
    if device.year is None:
        return data["unknown_node"]
    nodes = data["classes"].get(of_class, data).get("nodes", data["nodes"])
    return next(node for year, node in nodes if device.year >= year)


class Silicon(NamedTuple):
    """What a process of one node takes.

    Attributes
    ----------
    kg_per_m2
        CO2 equivalent of a square metre of wafer: energy at the grid of the fab, gases of which
        97 % are abated, and materials.
    wafer_usd, mask_set_usd, design_usd
        Price of a 300 mm wafer, of a set of masks, and cost of a design.
    """

    kg_per_m2: Value
    wafer_usd: Value
    mask_set_usd: Value
    design_usd: Value


def silicon(node_m: Value) -> Silicon:
    """Return the figures of a node, interpolated by its logarithm between 65 and 5 nm.

    Older nodes count as 65 nm, newer ones as 5 nm; energies, gases and materials begin at 28 nm.
    ``kg = energy x intensity of the fab's grid + gases + materials`` (Gupta et al., ISCA 2022).
    """
    known = table(OWNERSHIP)["silicon"]
    columns = dict(zip(known["columns"], np.array(known["nodes"])[::-1].T, strict=True))
    xp = namespace(node_m)
    scale = xp.log(xp.asarray(node_m) * 1e9)

    def at_node(values: Any) -> Value:
        return xp.interp(scale, np.log(columns["node_nm"]), values)

    joules = columns["energy_kwh"] * 3.6e6
    grams = 0.5 * (columns["gas_95_g"] + columns["gas_99_g"]) + columns["materials_g"]
    kg_per_cm2 = joules * grid_intensities()[known["fab_grid"]] + 1e-3 * grams
    return Silicon(
        at_node(kg_per_cm2 * 1e4),
        *(at_node(columns[name]) for name in ("wafer_usd", "mask_set_usd", "design_usd")),
    )


def die_kg(area_m2: Value, node_m: Value) -> Value:
    """Return the embodied CO2 of a packaged die, kg: ``area x kg_per_m2 / yield + package``.

    Gupta et al., ISCA 2022, with their yield of 0.875 and their 150 g of a package.
    """
    known = table(OWNERSHIP)["silicon"]
    package = 1e-3 * known["package_g"]["value"]
    return area_m2 * silicon(node_m).kg_per_m2 / known["die_yield"]["value"] + package


def defects_per_m2() -> float:
    """Return the density of defects that dies are priced with."""
    return 1e4 * table(OWNERSHIP)["silicon"]["defects_per_cm2"]["value"]


def memory_kg_per_byte(kind: str) -> float:
    """Return the embodied CO2 of DRAM by its generation, kg per byte (Gupta et al., ISCA 2022).

    Parameters
    ----------
    kind
        Text that names the generation (``LPDDR4X``, ``hbm3``); DDR4's figure stands for others.
    """
    known: Mapping[str, float] = table(OWNERSHIP)["memories"]["g_per_gb"]
    # The longest name first, as ``ddr4`` is a part of ``lpddr4``; ``dram`` names no generation.
    named = [n for n in sorted(known, key=len, reverse=True) if n in kind.lower() and n != "dram"]
    return 1e-12 * known[named[0] if named else "dram"]
