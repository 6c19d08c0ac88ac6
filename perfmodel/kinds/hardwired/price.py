"""Cost of turning a model into chips: design, masks and chips, as low and high estimates."""

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
    """Prices at 5 nm by Liu et al., arXiv 2508.16151 v2; pairs are low and high estimates.

    Attributes
    ----------
    wafer_usd, defects_per_m2
        Price of a 300 mm wafer, and its defect density.
    mask_set_usd
        A full set of masks.
    package_usd, memory_usd, mounting_usd
        Package and test, memory, and integration, per chip.
    design_usd
        Architecture, verification, physical design and licensed blocks; paid once.
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
    """Cost of a hardwired model.

    Attributes
    ----------
    chips
        Number of distinct chips.
    die_usd, chip_usd
        A good die, and a packaged and mounted chip with its memory.
    masks
        `MaskCost`.
    design_usd, once_usd
        Design; all costs paid once, that is design and masks.
    again_usd
        Masks and chips of one system with new weights.
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
    """Return the cost of a model of a given size.

    Parameters
    ----------
    size
        From `hardwired_size`.
    chips
        Chips over which its metal is spread evenly; the fewest possible if left out.
    prices
        Pairs of low and high prices yield pairs of costs, shape ``(2,)``.
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
