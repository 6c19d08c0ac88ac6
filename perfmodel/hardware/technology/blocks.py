"""Placed blocks of silicon: what published blocks of chips take beside their cells.

The area of a block is that of its cells (arithmetic and registers, or CACTI's memory) times what
placing them takes: wires, clock tree, test logic, gaps. That multiple is the median over published
blocks of chips, each chip counted once; the residuals of every chip under the multiple of the
others give the interval (`PlacementRatio`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from perfmodel.arrays import Value
from perfmodel.hardware.technology.nodes import area_scale
from perfmodel.hardware.technology.operations import mac_area
from perfmodel.hardware.technology.power_laws import power_law
from perfmodel.hardware.technology.sram import sram_area
from perfmodel.hardware.technology.tables import nanometres, table
from perfmodel.units import parse


class PlacementRatio(NamedTuple):
    """Area of a placed block over the area of its cells.

    Attributes
    ----------
    ratio
        Median over chips.
    residuals
        Absolute log residual of each published block, under the ratio of the other chips.
    """

    ratio: float
    residuals: tuple[float, ...]

    def factor(self, level: float) -> float:
        """Return the factor of both ends of an interval that a share of the blocks lies within."""
        return math.exp(_quantile(self.residuals, level))


def _quantile(values: Sequence[float], level: float) -> float:
    """Return a quantile, linear between the values: NumPy's own would import masked arrays."""
    return float(np.interp(level * (len(values) - 1), range(len(values)), sorted(values)))


def register_area(node_nm: Value = 45.0, *, read_ports: int = 0) -> Value:
    """Return the area of a bit in a flip-flop, square metres.

    In a register file (`read_ports` above 0) a multiplexer holds the bit, and the tree of each port
    has about one multiplexer a bit.
    """
    row = table("areas")["register"]
    multiplexers = 1 + read_ports if read_ports else 0
    cells = parse(row["area"], "area") + multiplexers * parse(row["multiplexer"], "area")
    return cells * area_scale(nanometres(row["node"]), node_nm)


def cache_bits() -> float:
    """Return the stored over the usable bits of a cache: tags and error correction."""
    return 1.0 + table("areas")["cache_overhead"]["ratio"]


def converter_area(bits: Value, node_nm: Value) -> Value:
    """Return the area of an analogue-to-digital converter, square metres.

    A power law in the node through published converters of 8 bits; each further bit doubles the
    array of capacitors.
    """
    return _converter_area(published("converters"), bits, node_nm)


def _converter_area(rows: list[dict[str, Any]], bits: Value, node_nm: Value) -> Value:
    nodes = np.log([row["node_nm"] for row in rows])
    at_8_bits = np.log([row["um2"] * 2.0 ** (8 - row["bits"]) for row in rows])
    slope, level = np.polyfit(nodes, at_8_bits, 1)
    return 1e-12 * np.exp(level) * node_nm**slope * 2.0 ** (bits - 8.0)


def interface_area(kind: str, bandwidth: Value, node_nm: Value) -> Value:
    """Return the area of the interface to a memory beyond the chip, square metres.

    Proportional to the bandwidth; the physical layer does not shrink with the node. None for kinds
    of memory without a published interface (``hbm``, ``ddr`` and ``lpddr`` have one).
    """
    family = next((f for f in ("hbm", "ddr") if kind.removeprefix("lp").startswith(f)), None)
    if family is None:
        return None
    row = table("areas")["interfaces"][family]
    units = bandwidth / parse(row["bandwidth"], "bandwidth")
    controller = parse(row["controller"], "area") * area_scale(nanometres(row["node"]), node_nm)
    return units * (parse(row["phy"], "area") + controller)


def wire_pitch(node_nm: Value) -> Value:
    """Return the pitch of wires that cross a block, metres."""
    rows = table("areas")["pitch"]["rows"][::-1]
    return power_law(node_nm, [row[0] for row in rows], [row[1] * 1e-9 for row in rows])


def published(which: str) -> list[dict[str, Any]]:
    """Return the rows of a table of published areas, ``blocks`` or ``converters``, as mappings."""
    data = table("areas")[which]
    return [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]


def cells_area(row: dict[str, Any]) -> float:
    """Return the area of the cells of a published block, square metres."""
    node, amount = float(row["node_nm"]), float(row["amount"])
    if row["kind"] != "logic":
        stored = amount * (cache_bits() if row["kind"] == "cache" else 1.0)
        return float(row["banks"] * sram_area(stored / row["banks"], node))
    multiplier = mac_area(row["format"], node, accumulator=row["accumulator"])
    return float(amount * (multiplier + row["register_bits"] * register_area(node)))


@cache
def placement(kind: str) -> PlacementRatio:
    """Return what placing a block takes; `kind` is ``logic``, ``memory`` or ``cache``."""
    rows = _blocks(kind)
    residuals = (abs(np.log(1e6 * placed_area(row) / row["mm2"])) for row in rows)
    return PlacementRatio(placement_ratio(kind), tuple(float(each) for each in residuals))


def placed_area(row: dict[str, Any]) -> float:
    """Return the area of a published block, square metres, under what other chips teach."""
    if row["kind"] == "macro":
        return cells_area(row)
    return cells_area(row) * placement_ratio(row["kind"], row["chip"])


def published_converter(row: dict[str, Any]) -> float:
    """Return the area of a published converter, square metres, by the law of the others."""
    others = [each for each in published("converters") if each["chip"] != row["chip"]]
    return float(_converter_area(others, row["bits"], row["node_nm"]))


def _blocks(kind: str) -> list[dict[str, Any]]:
    return [row for row in published("blocks") if row["kind"] == kind]


@cache
def placement_ratio(kind: str, without: str = "") -> float:
    """Return the ratio of `PlacementRatio` with one chip left out.

    The median over chips of the geometric mean over the blocks of a chip.
    """
    logs: dict[str, list[float]] = {}
    for row in _blocks(kind):
        if row["chip"] != without:
            ratio = float(row["mm2"]) * 1e-6 / cells_area(row)
            logs.setdefault(row["chip"], []).append(float(np.log(ratio)))
    means = [sum(each) / len(each) for each in logs.values()]
    return math.exp(_quantile(means, 0.5))
