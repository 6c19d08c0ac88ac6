"""What machines cost over years, and what they emit: hardwired systems beside rented content.

The accounting of Liu et al. (arXiv 2508.16151 v2, table 3); `docs/hardwired.md` says which of its
constants are stated and which were read off its table. Numbers or arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from perfmodel.arrays import Value, namespace

_HOURS = 8760.0


@dataclass(frozen=True, slots=True)
class Site:
    """Prices of the place where machines stand.

    Attributes
    ----------
    power_usage_effectiveness
        Power of the site over that of the machines.
    electricity_usd_per_kwh, facility_usd_per_w, network_usd_per_node
        Of electricity; of the building and its supply; of a node's connections.
    carbon_kg_per_kwh, embodied_kg_per_chip
        Emissions of electricity, and of a chip's making.
    """

    power_usage_effectiveness: float = 1.4
    electricity_usd_per_kwh: float = 0.095
    facility_usd_per_w: float = 12.0
    network_usd_per_node: float = 45_000.0
    carbon_kg_per_kwh: float = 0.38
    embodied_kg_per_chip: float = 125.0


#: The site of the paper.
SITE = Site()


class Ownership(NamedTuple):
    """Costs in US dollars and emissions in kilograms, over all years.

    Attributes
    ----------
    power_w
        Of the site.
    node_usd, infrastructure_usd, capex_usd
        Machines with all that was designed for them; building and network; their sum.
    update_usd
        Of new weights once.
    electricity_usd, maintenance_usd
        Over all years.
    static_usd, updated_usd
        Total cost without updates, and with all of them.
    static_kg, updated_kg
        Emissions likewise.
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
    """Return the price of a power drawn without pause."""
    return power_w / 1000.0 * years * _HOURS * usd_per_kwh


def emissions_kg(power_w: Value, years: Value, kg_per_kwh: Value) -> Value:
    """Return the carbon dioxide of a power drawn without pause."""
    return power_w / 1000.0 * years * _HOURS * kg_per_kwh


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
    """Return the cost of systems whose weights are wires; new weights are new chips.

    Parameters
    ----------
    systems, chips
        Systems, and chips of each.
    chip_usd
        A chip with its memory, packaged and mounted.
    design_usd
        Architecture, verification, physical design, licences.
    first_masks_usd, masks_again_usd
        From `perfmodel.cost.silicon_cost.mask_cost_usd`.
    system_w
        Power of a system.
    years, updates
        Years of use, and times that the weights change in them.
    chips_per_node
        Chips that share a node's network.
    spare_share
        Share of systems kept as spares, at least one.
    site
        Prices of the place.
    """
    xp = namespace(systems, chips, chip_usd, design_usd, first_masks_usd, system_w)
    copies = systems * chips * chip_usd
    node = design_usd + first_masks_usd + copies
    power = systems * system_w * site.power_usage_effectiveness
    nodes = xp.ceil(systems * chips / chips_per_node - 1e-9)
    infrastructure = site.facility_usd_per_w * power + site.network_usd_per_node * nodes
    update = masks_again_usd + copies
    maintenance = xp.maximum(xp.ceil(spare_share * systems - 1e-9), 1.0) * chips * chip_usd
    electricity = electricity_usd(power, years, site.electricity_usd_per_kwh)
    capex = node + infrastructure
    static = capex + electricity + maintenance
    made = systems * chips * site.embodied_kg_per_chip
    used = emissions_kg(power, years, site.carbon_kg_per_kwh)
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
        used + made,
        used + made * (1.0 + updates),
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
    """Return the cost of a cluster of GPUs; new weights cost nothing.

    Parameters
    ----------
    gpus
        Of the cluster.
    gpu_w, node_usd, gpus_per_node
        Power of a GPU with its share of the node; price and size of a node.
    years
        Of use.
    upkeep_per_year, licence_usd_per_year
        Share of all that was bought, and software for each GPU.
    site
        Prices of the place.
    """
    xp = namespace(gpus, gpu_w, node_usd)
    nodes = xp.ceil(gpus / gpus_per_node - 1e-9)
    bought = nodes * node_usd
    power = gpus * gpu_w * site.power_usage_effectiveness
    infrastructure = site.facility_usd_per_w * power + site.network_usd_per_node * nodes
    capex = bought + infrastructure
    electricity = electricity_usd(power, years, site.electricity_usd_per_kwh)
    maintenance = years * (upkeep_per_year * capex + licence_usd_per_year * gpus)
    total = capex + electricity + maintenance
    emitted = emissions_kg(power, years, site.carbon_kg_per_kwh)
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
