"""Where a device is used, and by which class of body it sheds heat: declared defaults.

What neither a spec nor a question states of the site (section ``site:``) and of the body comes from
``hardware_specs/ownership.yaml``, by the tags of the device. Such defaults are no facts of the
device: `Machine.get` returns them where there is no fact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from perfmodel.units import parse

if TYPE_CHECKING:
    from perfmodel.hardware.device import Device

#: Facts of the body that sheds heat.
BODY = (
    "power.thermal_resistance",
    "power.heat_capacity",
    "power.chip_resistance",
    "power.chip_heat_capacity",
    "power.chip_limit",
    "power.ambient",
    "power.limit",
)
#: Ambient temperature where none is stated, degrees Celsius.
ROOM_CELSIUS = 25.0


class DefaultFact(NamedTuple):
    """Value of a fact that a device does not state.

    Attributes
    ----------
    value
        Value in SI units.
    origin
        Class of devices that it is declared for: ``data_center``, ``bare board``.
    source
        Key of the document in ``hardware_specs/ownership.yaml``.
    """

    value: float
    origin: str
    source: str


def is_of_ownership(path: str) -> bool:
    """Return whether a fact is of the site, the price or the volume: no latency depends on it."""
    return path.startswith("site.") or path in ("price", "volume")


def is_of_body(path: str) -> bool:
    """Return whether a fact is of the body or battery: no latency or energy of a run needs it."""
    return path in BODY or path in ("power.speed_exponent", "power.battery")


def unknown_costs(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return ``price`` and ``embodied`` -> why this part of a cost is not known, where it is not.

    Parameters
    ----------
    facts
        Facts of a device, and defaults of its class.
    """
    reasons: dict[str, str] = {}
    missing = [
        n for n, path in (("die area", "area"), ("node", "energy.node")) if path not in facts
    ]
    if missing:
        reasons["embodied"] = f"no {' and no '.join(missing)} is stated (area, process)"
    if "price" not in facts and (missing or "volume" not in facts):
        reasons["price"] = "no price is stated, nor a volume with a die area and a node (price)"
    return reasons


def default_facts(device: Device) -> dict[str, DefaultFact]:
    """Return the declared defaults of a device's site and body, by path."""
    from perfmodel.hardware.technology.ownership import node_of_process
    from perfmodel.hardware.technology.tables import OWNERSHIP, table

    known = table(OWNERSHIP)
    facts: dict[str, DefaultFact] = {}
    site = _of_class(known["sites"], device, last=True)
    for name, dimension in _SITE_DIMENSIONS.items():
        facts[f"site.{name}"] = _default(site, name, dimension)
    node = node_of_process(device.process)
    if node is not None:
        facts["energy.node"] = DefaultFact(node, f"process {device.process}", "act2022")
    body = _of_class(known["bodies"], device, last=False)
    if body:
        facts.update(_body_facts(body, device))
    return facts


def _body_facts(body: Mapping[str, Any], device: Device) -> Iterator[tuple[str, DefaultFact]]:
    """Yield the thermal facts of a class; a sized cooler holds the stated power at the limit."""
    limit = _default(body, "limit", "temperature")
    busy = device.power and device.power.busy
    resistance = body["thermal_resistance"]
    if resistance != "sized":
        known = _default(body, "thermal_resistance", "thermal_resistance")
    elif busy:
        kelvin = limit.value - ROOM_CELSIUS
        known = DefaultFact(kelvin / busy.value, limit.origin, limit.source)
    else:
        return
    yield "power.thermal_resistance", known
    yield "power.heat_capacity", _default(body, "heat_capacity", "heat_capacity")
    for name, dimension in _CHIP_DIMENSIONS.items():
        if name in body:
            yield f"power.{name}", _default(body, name, dimension)
    yield "power.limit", limit
    yield "power.ambient", DefaultFact(ROOM_CELSIUS, limit.origin, "assumed")


def _default(entry: Mapping[str, Any], name: str, dimension: str) -> DefaultFact:
    stated = entry[name]["value"]
    value = parse(stated, dimension) if isinstance(stated, str) else float(stated)
    return DefaultFact(value, entry["name"], entry[name]["source"])


def _of_class(entries: list[Mapping[str, Any]], device: Device, *, last: bool) -> Mapping[str, Any]:
    """Return the first entry with a tag of the device, else the last one or an empty mapping."""
    alike = [entry for entry in entries if {*entry.get("tags", ())} & {*device.tags}]
    return alike[0] if alike else entries[-1] if last else {}


#: Facts of a chip on the body of a class, where it has a limit of its own.
_CHIP_DIMENSIONS = {
    "chip_resistance": "thermal_resistance",
    "chip_heat_capacity": "heat_capacity",
    "chip_limit": "temperature",
}
_SITE_DIMENSIONS = {
    "electricity_price": "energy_price",
    "carbon_intensity": "carbon_intensity",
    "power_usage_effectiveness": "fraction",
    "lifetime": "time",
    "utilization": "fraction",
}
