"""What it costs to make a model into chips: design, masks and chips, low and high."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.ownership import SITE, Ownership, Site, hardwired_systems
from perfmodel.cost.silicon_cost import MaskCost, die_usd, mask_cost_usd
from perfmodel.kinds.hardwired.sizing import HardwiredSize

#: A low and a high estimate.
Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class HardwiredPrices:
    """Prices at 5 nm by Liu et al., arXiv 2508.16151 v2; low and high estimate where two.

    Attributes
    ----------
    wafer_usd, defects_per_m2
        Of a wafer of 300 mm, and its defects.
    mask_set_usd
        A whole set of masks.
    package_usd, memory_usd, mounting_usd
        Package and test, memory, and integration of a chip.
    design_usd
        Architecture, verification, physical design and licensed blocks, once.
    """

    wafer_usd: float = 16_988.0
    defects_per_m2: float = 1100.0
    mask_set_usd: Range = (15e6, 30e6)
    package_usd: Range = (111.0, 185.0)
    memory_usd: Range = (1920.0, 3840.0)
    mounting_usd: Range = (1900.0, 3800.0)
    design_usd: Range = (1e6 * (1.87 + 9.97 + 4.80 + 10.23), 1e6 * (3.74 + 19.93 + 14.41 + 20.46))


#: The prices of the paper.
FIVE_NM = HardwiredPrices()


@dataclass(frozen=True, slots=True)
class HardwiredPrice:
    """What a model costs in wires.

    Attributes
    ----------
    chips
        Chips that differ.
    die_usd, chip_usd
        A good die, and a chip with its memory, packaged and mounted.
    masks
        `MaskCost`.
    design_usd, once_usd
        Design; all that is paid once: design and masks.
    again_usd
        Masks and chips of one system with other weights.
    """

    chips: Value
    die_usd: Value
    chip_usd: Value
    masks: MaskCost
    design_usd: Value
    once_usd: Value
    again_usd: Value

    def ownership(
        self,
        systems: Value,
        system_w: Value,
        *,
        years: Value = 3.0,
        updates: Value = 2.0,
        site: Site = SITE,
    ) -> Ownership:
        """Return costs and emissions of several systems over years; see `hardwired_systems`."""
        return hardwired_systems(
            systems,
            chips=self.chips,
            chip_usd=self.chip_usd,
            design_usd=self.design_usd,
            first_masks_usd=self.masks.first_usd,
            masks_again_usd=self.masks.again_usd,
            system_w=system_w,
            years=years,
            updates=updates,
            site=site,
        )


def hardwired_price(
    size: HardwiredSize, chips: Value = None, prices: HardwiredPrices = FIVE_NM
) -> HardwiredPrice:
    """Return what a model of a size costs.

    Parameters
    ----------
    size
        From `hardwired_size`.
    chips
        Chips that its metal is spread over evenly; its fewest where left out.
    prices
        Low and high ones give low and high costs, shape ``(2,)``.
    """
    chips = size.chips if chips is None else chips
    other = size.chip_m2 - size.metal_m2 / size.device_chips
    area = other + size.metal_m2 / chips
    die = die_usd(area, wafer_usd=prices.wafer_usd, defects_per_m2=prices.defects_per_m2)
    package, memory, mounting, masks_of, design = (
        np.array(both)
        for both in (
            prices.package_usd,
            prices.memory_usd,
            prices.mounting_usd,
            prices.mask_set_usd,
            prices.design_usd,
        )
    )
    chip = die + package + memory + mounting
    masks = mask_cost_usd(masks_of, chips)
    return HardwiredPrice(
        chips,
        die,
        chip,
        masks,
        design,
        design + masks.first_usd,
        masks.again_usd + chips * chip,
    )
