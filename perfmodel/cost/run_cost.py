"""US dollars and CO2 of one run: its share of the device, and the electricity that it takes.

With the latency t, the energy E, the lifetime L and the utilization u of the device, that waits for
w seconds after each run at a power P, in US dollars and in kilograms of CO2 equivalent::

    w      = t (1 - u) / u, or what a stated period leaves
    cost   = device_usd (t + w) / L + (E + P w) PUE usd_per_joule
    carbon = embodied_kg (t + w) / L + (E + P w) PUE kg_per_joule
    embodied_kg = area kg_per_m2 / yield + package + sum of memory bytes x kg_per_byte

The first term is a straight-line depreciation: over the time that the device runs, ``t / (L u)``,
or over all of its periods. The second one has the equations of `perfmodel.cost.cost_of_ownership`.
What the device draws while it waits is the term ``waiting``: its idle power, in a period that of
sleep if one is stated; it is left out for a device without either. Embodied carbon is that of chips
and memories (ACT: Gupta et al., ISCA 2022); boards, housings, transport and disposal are left out.
A design with a stated volume costs its die and its share of masks and design.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from perfmodel.arrays import Value, namespace
from perfmodel.cost.cost_of_ownership import electricity_usd, emissions_kg
from perfmodel.cost.silicon_cost import die_usd
from perfmodel.hardware.ownership import unknown_costs
from perfmodel.hardware.technology.ownership import defects_per_m2, die_kg, silicon

#: Largest die that a scanner exposes, 26 x 33 mm; a larger area is that of several dies.
RETICLE_M2 = 858e-6
_YEAR_S = 8760.0 * 3600.0
_KWH_J = 3.6e6


class RunCost(NamedTuple):
    """Cost and emissions of a run with their terms; NaN where `reasons` says why.

    Attributes
    ----------
    device_usd
        Price of the device; of a design with a volume and no price, what a device costs to make.
    die_usd
        Cost of its good dies, by area and node.
    masks_usd, design_usd
        Share of a device in its masks and its design, by the volume.
    depreciation_usd, electricity_usd, waiting_usd
        The terms of the cost of a run; the last is electricity drawn between runs.
    embodied_kg
        Emissions from making the chips and memories of the device.
    embodied_share_kg, operation_kg, waiting_kg
        The terms of the emissions of a run; the last is that of electricity between runs.
    reasons
        ``price``, ``embodied`` or ``energy`` -> why it is not known.
    """

    device_usd: Value
    die_usd: Value
    masks_usd: Value
    design_usd: Value
    depreciation_usd: Value
    electricity_usd: Value
    waiting_usd: Value
    embodied_kg: Value
    embodied_share_kg: Value
    operation_kg: Value
    waiting_kg: Value
    reasons: dict[str, str]

    @property
    def parts(self) -> dict[str, dict[str, Value]]:
        """Metric -> term -> value; the terms add up to the metric."""
        return {
            "cost_usd": {
                "device": self.depreciation_usd,
                "electricity": self.electricity_usd,
                "waiting": self.waiting_usd,
            },
            "carbon_kg": {
                "embodied": self.embodied_share_kg,
                "operation": self.operation_kg,
                "waiting": self.waiting_kg,
            },
        }

    @property
    def cost_usd(self) -> Value:
        """Cost of a run, US dollars."""
        return self.depreciation_usd + self.electricity_usd + self.waiting_usd

    @property
    def carbon_kg(self) -> Value:
        """Emissions of a run, kg of CO2 equivalent."""
        return self.embodied_share_kg + self.operation_kg + self.waiting_kg


def run_cost(
    facts: Mapping[str, Any],
    latency_s: Value,
    energy_j: Value,
    memories_kg: Value,
    waiting_w: Value | None = None,
) -> RunCost:
    """Return cost and emissions of a run.

    Parameters
    ----------
    facts
        All of ``site.*``; ``price``, ``volume``, ``area``, ``energy.node`` and ``use.period`` where
        known.
    latency_s, energy_j
        Latency and energy of the run; ``None`` for an unknown energy.
    memories_kg
        Embodied emissions of the memories beside the die.
    waiting_w
        Power between runs (`perfmodel.cost.energy.waiting_power_w`); ``None`` if nothing of it is
        known, so that waiting costs nothing.
    """
    unknown = float("nan")
    area, node, volume = (facts.get(path) for path in ("area", "energy.node", "volume"))
    reasons = unknown_costs(facts)
    die = masks = design = embodied = unknown
    if area is not None and node is not None:
        process, xp = silicon(node), namespace(area, node)
        dies = xp.maximum(xp.ceil(area / RETICLE_M2 - 1e-9), 1.0)
        die = dies * die_usd(
            area / dies, wafer_usd=process.wafer_usd, defects_per_m2=defects_per_m2()
        )
        embodied = dies * die_kg(area / dies, node) + memories_kg
        if volume is not None:
            masks, design = process.mask_set_usd / volume, process.design_usd / volume
    price = facts.get("price", die + masks + design)
    if energy_j is None:
        energy_j = unknown
        reasons["energy"] = "the device states neither energies nor power"
    waits_s = waiting_s(facts, latency_s)
    share = (latency_s + waits_s) / facts["site.lifetime"]
    waiting_j = (0.0 if waiting_w is None else waiting_w) * waits_s
    # Joules as the mean power of a year.
    run_w, mean_waiting_w = (
        facts["site.power_usage_effectiveness"] * joules / _YEAR_S
        for joules in (energy_j, waiting_j)
    )
    usd_per_kwh, kg_per_kwh = (
        _KWH_J * facts[f"site.{name}"] for name in ("electricity_price", "carbon_intensity")
    )
    return RunCost(
        device_usd=price,
        die_usd=die,
        masks_usd=masks,
        design_usd=design,
        depreciation_usd=price * share,
        electricity_usd=electricity_usd(run_w, 1.0, usd_per_kwh),
        waiting_usd=electricity_usd(mean_waiting_w, 1.0, usd_per_kwh),
        embodied_kg=embodied,
        embodied_share_kg=embodied * share,
        operation_kg=emissions_kg(run_w, 1.0, kg_per_kwh),
        waiting_kg=emissions_kg(mean_waiting_w, 1.0, kg_per_kwh),
        reasons=reasons,
    )


def waiting_s(facts: Mapping[str, Any], latency_s: Value) -> Value:
    """Return the seconds for which a device waits after each run: ``t (1 - u) / u``, or T - t."""
    period, used = facts.get("use.period"), facts["site.utilization"]
    if period is None:
        return latency_s * (1.0 - used) / used
    return namespace(period, latency_s).maximum(period - latency_s, 0.0)
