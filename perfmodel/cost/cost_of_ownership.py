"""Total cost of ownership and emissions of hardwired systems and of GPU clusters.

The accounting follows Liu et al. (arXiv 2508.16151 v2, table 3); `docs/hardwired.md` lists which
constants the paper states and which were read off its table. Arguments are scalars or arrays.

Capital costs are machines and infrastructure, operating costs electricity and maintenance. Both
kinds of system share the equations of the site, for machines of P watts over a number of years::

    site power      P_site = PUE P                                      (W)
    infrastructure  C_infra = facility_usd_per_w P_site + network_usd_per_node nodes  (USD)
    electricity     C_el = P_site / 1000 * 8760 years usd_per_kwh       (USD)
    emissions       G = P_site / 1000 * 8760 years carbon_kg_per_kwh + embodied_kg_per_chip chips
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from perfmodel.arrays import Value, namespace

_HOURS_PER_YEAR = 8760.0


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
        All machines including their design; building and network; the sum of both.
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
    """Return the price of electricity, ``P / 1000 * 8760 years usd_per_kwh``, P in watts."""
    return power_w / 1000.0 * years * _HOURS_PER_YEAR * usd_per_kwh


def emissions_kg(power_w: Value, years: Value, kg_per_kwh: Value) -> Value:
    """Return the carbon dioxide emissions, ``P / 1000 * 8760 years kg_per_kwh``, P in watts."""
    return power_w / 1000.0 * years * _HOURS_PER_YEAR * kg_per_kwh


class _SiteCosts(NamedTuple):
    """Power, costs and emissions of a site while machines run on it."""

    power_w: Value
    infrastructure_usd: Value
    electricity_usd: Value
    operation_kg: Value


def _site_costs(site: Site, machines_w: Value, nodes: Value, years: Value) -> _SiteCosts:
    """Return power, costs and emissions of a site by the equations of this module."""
    power = machines_w * site.power_usage_effectiveness
    return _SiteCosts(
        power_w=power,
        infrastructure_usd=site.facility_usd_per_w * power + site.network_usd_per_node * nodes,
        electricity_usd=electricity_usd(power, years, site.electricity_usd_per_kwh),
        operation_kg=emissions_kg(power, years, site.carbon_kg_per_kwh),
    )


def hardwired_systems(
    systems: Value,
    *,
    chips: Value,
    chip_usd: Value,
    design_usd: Value,
    first_masks_usd: Value,
    update_masks_usd: Value,
    system_w: Value,
    years: Value = 3.0,
    updates: Value = 2.0,
    chips_per_node: Value = 8.0,
    spare_share: Value = 0.1,
    site: Site = SITE,
) -> Ownership:
    """Return the cost of systems with hardwired weights; an update requires new chips.

    In US dollars, with ``machines = design + masks + systems chips chip_usd``::

        static  = machines + infrastructure + electricity + spare chips
        updated = static + updates (new masks + systems chips chip_usd)

    Parameters
    ----------
    systems, chips
        Number of systems, and chips per system.
    chip_usd
        Price of a chip with its memory, packaged and mounted.
    design_usd
        Cost of architecture, verification, physical design and licences.
    first_masks_usd, update_masks_usd
        Cost of the masks of the first chips, and of those that an update replaces; from
        `perfmodel.cost.silicon_cost.mask_cost_usd`.
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
    chips_usd = systems * chips * chip_usd
    machines_usd = design_usd + first_masks_usd + chips_usd
    nodes = xp.ceil(systems * chips / chips_per_node - 1e-9)
    shared = _site_costs(site, systems * system_w, nodes, years)
    update_usd = update_masks_usd + chips_usd
    spare_systems = xp.maximum(xp.ceil(spare_share * systems - 1e-9), 1.0)
    maintenance_usd = spare_systems * chips * chip_usd
    capex_usd = machines_usd + shared.infrastructure_usd
    static_usd = capex_usd + shared.electricity_usd + maintenance_usd
    embodied_kg = systems * chips * site.embodied_kg_per_chip
    return Ownership(
        power_w=shared.power_w,
        node_usd=machines_usd,
        infrastructure_usd=shared.infrastructure_usd,
        capex_usd=capex_usd,
        update_usd=update_usd,
        electricity_usd=shared.electricity_usd,
        maintenance_usd=maintenance_usd,
        static_usd=static_usd,
        updated_usd=static_usd + updates * update_usd,
        static_kg=shared.operation_kg + embodied_kg,
        updated_kg=shared.operation_kg + embodied_kg * (1.0 + updates),
    )


def gpu_cluster(
    gpus: Value,
    *,
    gpu_w: Value = 1300.0,
    usd_per_node: Value = 320_000.0,
    gpus_per_node: Value = 8.0,
    years: Value = 3.0,
    upkeep_per_year: Value = 0.05,
    licence_usd_per_year: Value = 4500.0,
    site: Site = SITE,
) -> Ownership:
    """Return the cost of a GPU cluster; updates of the weights are free.

    In US dollars, with ``capex = nodes usd_per_node + infrastructure``::

        total = capex + electricity + years (upkeep_per_year capex + licence_usd_per_year gpus)

    Parameters
    ----------
    gpus
        Number of GPUs.
    gpu_w, usd_per_node, gpus_per_node
        Power of a GPU with its share of the node, watts; price of a node, and its GPUs.
    years
        Years of use.
    upkeep_per_year, licence_usd_per_year
        Maintenance per year as a share of the capital cost, and software licence per GPU and year.
    site
        Prices and emission factors.
    """
    xp = namespace(gpus, gpu_w, usd_per_node)
    nodes = xp.ceil(gpus / gpus_per_node - 1e-9)
    machines_usd = nodes * usd_per_node
    shared = _site_costs(site, gpus * gpu_w, nodes, years)
    capex_usd = machines_usd + shared.infrastructure_usd
    maintenance_usd = years * (upkeep_per_year * capex_usd + licence_usd_per_year * gpus)
    total_usd = capex_usd + shared.electricity_usd + maintenance_usd
    total_kg = shared.operation_kg + gpus * site.embodied_kg_per_chip
    return Ownership(
        power_w=shared.power_w,
        node_usd=machines_usd,
        infrastructure_usd=shared.infrastructure_usd,
        capex_usd=capex_usd,
        update_usd=0.0 * machines_usd,
        electricity_usd=shared.electricity_usd,
        maintenance_usd=maintenance_usd,
        static_usd=total_usd,
        updated_usd=total_usd,
        static_kg=total_kg,
        updated_kg=total_kg,
    )
