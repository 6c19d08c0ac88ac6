"""Total cost of ownership and emissions of hardwired systems and of GPU clusters.

The accounting follows Liu et al. (arXiv 2508.16151 v2, table 3); `docs/hardwired.md` lists which
constants the paper states and which were read off its table. Arguments are scalars or arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from perfmodel.arrays import Value, namespace

_HOURS = 8760.0


@dataclass(frozen=True, slots=True)
class Site:
    """Prices and emission factors of a data centre.

    Attributes
    ----------
    power_usage_effectiveness
        Ratio of the power of the site to the power of the machines.
    electricity_usd_per_kwh, facility_usd_per_w, network_usd_per_node
        Price of electricity, of building and power supply, and of the network per node.
    carbon_kg_per_kwh, embodied_kg_per_chip
        Emissions of electricity, and of the manufacture of a chip.
    """

    power_usage_effectiveness: float = 1.4
    electricity_usd_per_kwh: float = 0.095
    facility_usd_per_w: float = 12.0
    network_usd_per_node: float = 45_000.0
    carbon_kg_per_kwh: float = 0.38
    embodied_kg_per_chip: float = 125.0


#: Site assumed by the paper.
SITE = Site()


class Ownership(NamedTuple):
    """Costs in US dollars and emissions in kilograms of CO2 over the whole period of use.

    Attributes
    ----------
    power_w
        Power of the site, watts.
    node_usd, infrastructure_usd, capex_usd
        Machines including their design; building and network; the sum of both.
    update_usd
        Cost of one update of the weights.
    electricity_usd, maintenance_usd
        Operating costs over all years.
    static_usd, updated_usd
        Total cost without updates, and with all updates.
    static_kg, updated_kg
        Emissions without updates, and with all updates.
    """

    power_w: Value
    node_usd: Value
    infrastructure_usd: Value
    capex_usd: Value
    update_usd: Value
    electricity_usd: Value
    maintenance_usd: Value
    static_usd: Value
    updated_usd: Value
    static_kg: Value
    updated_kg: Value


def electricity_usd(power_w: Value, years: Value, usd_per_kwh: Value) -> Value:
    """Return the price of electricity for a constant power over some years."""
    return power_w / 1000.0 * years * _HOURS * usd_per_kwh


def emissions_kg(power_w: Value, years: Value, kg_per_kwh: Value) -> Value:
    """Return the carbon dioxide emissions of a constant power over some years."""
    return power_w / 1000.0 * years * _HOURS * kg_per_kwh


def _site_costs(
    site: Site, machines_w: Value, nodes: Value, years: Value
) -> tuple[Value, Value, Value, Value]:
    """Return site power (W), infrastructure and electricity costs (USD), and emissions (kg)."""
    power = machines_w * site.power_usage_effectiveness
    infrastructure = site.facility_usd_per_w * power + site.network_usd_per_node * nodes
    electricity = electricity_usd(power, years, site.electricity_usd_per_kwh)
    return power, infrastructure, electricity, emissions_kg(power, years, site.carbon_kg_per_kwh)


def hardwired_systems(
    systems: Value,
    *,
    chips: Value,
    chip_usd: Value,
    design_usd: Value,
    first_masks_usd: Value,
    masks_again_usd: Value,
    system_w: Value,
    years: Value = 3.0,
    updates: Value = 2.0,
    chips_per_node: Value = 8.0,
    spare_share: Value = 0.1,
    site: Site = SITE,
) -> Ownership:
    """Return the cost of systems with hardwired weights; an update requires new chips.

    Parameters
    ----------
    systems, chips
        Number of systems, and chips per system.
    chip_usd
        Price of a chip with its memory, packaged and mounted.
    design_usd
        Cost of architecture, verification, physical design and licences.
    first_masks_usd, masks_again_usd
        Mask costs from `perfmodel.cost.silicon_cost.mask_cost_usd`.
    system_w
        Power of a system, watts.
    years, updates
        Years of use, and number of weight updates during them.
    chips_per_node
        Chips per network node.
    spare_share
        Share of spare systems; at least one system is a spare.
    site
        Prices and emission factors.
    """
    xp = namespace(systems, chips, chip_usd, design_usd, first_masks_usd, system_w)
    copies = systems * chips * chip_usd
    node = design_usd + first_masks_usd + copies
    nodes = xp.ceil(systems * chips / chips_per_node - 1e-9)
    power, infrastructure, electricity, used = _site_costs(site, systems * system_w, nodes, years)
    update = masks_again_usd + copies
    maintenance = xp.maximum(xp.ceil(spare_share * systems - 1e-9), 1.0) * chips * chip_usd
    capex = node + infrastructure
    static = capex + electricity + maintenance
    embodied = systems * chips * site.embodied_kg_per_chip
    return Ownership(
        power,
        node,
        infrastructure,
        capex,
        update,
        electricity,
        maintenance,
        static,
        static + updates * update,
        used + embodied,
        used + embodied * (1.0 + updates),
    )


def gpu_cluster(
    gpus: Value,
    *,
    gpu_w: Value = 1300.0,
    node_usd: Value = 320_000.0,
    gpus_per_node: Value = 8.0,
    years: Value = 3.0,
    upkeep_per_year: Value = 0.05,
    licence_usd_per_year: Value = 4500.0,
    site: Site = SITE,
) -> Ownership:
    """Return the cost of a GPU cluster; updates of the weights are free.

    Parameters
    ----------
    gpus
        Number of GPUs.
    gpu_w, node_usd, gpus_per_node
        Power of a GPU with its share of the node, watts; price and size of a node.
    years
        Years of use.
    upkeep_per_year, licence_usd_per_year
        Maintenance per year as a share of the capital cost, and software licence per GPU and year.
    site
        Prices and emission factors.
    """
    xp = namespace(gpus, gpu_w, node_usd)
    nodes = xp.ceil(gpus / gpus_per_node - 1e-9)
    bought = nodes * node_usd
    power, infrastructure, electricity, emitted = _site_costs(site, gpus * gpu_w, nodes, years)
    capex = bought + infrastructure
    maintenance = years * (upkeep_per_year * capex + licence_usd_per_year * gpus)
    total = capex + electricity + maintenance
    emitted = emitted + gpus * site.embodied_kg_per_chip
    zero = 0.0 * bought
    return Ownership(
        power,
        bought,
        infrastructure,
        capex,
        zero,
        electricity,
        maintenance,
        total,
        total,
        emitted,
        emitted,
    )
