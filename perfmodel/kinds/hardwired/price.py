"""US dollars that hardwired chips of a model cost: design, photomasks and manufactured chips.

With N distinct chips of area A (square metres) per system, all amounts in US dollars::

    A      = A_other + A_metal / N
    die    = wafer / (dies_per_wafer(A) murphy_yield(A, D))     D defects per square metre
    chip   = die + package + memory + mounting
    once   = design + masks shared by all chips + N masks specific to a chip
    first  = once + N chip                                       the first system
    update = N masks specific to a chip + N chip                 a system with new weights

Prices at 5 nm with low and high estimates, and the split of the masks, are those of Liu et al.,
HNLPU, arXiv 2508.16151 v2; yield by Murphy's model (`perfmodel.cost.silicon_cost`). The plan of
``pm.hardwire`` calls `hardwired_price` with the areas from `perfmodel.kinds.hardwired.sizing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.cost_of_ownership import SITE, Ownership, Site, hardwired_systems
from perfmodel.cost.silicon_cost import MaskCost, die_usd, mask_cost_usd
from perfmodel.kinds.hardwired.sizing import HardwiredSize

#: A low and a high estimate.
Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class HardwiredInputPrices:
    """Prices of inputs in US dollars; pairs are low and high estimates.

    Defaults are those of Liu et al., arXiv 2508.16151 v2, at 5 nm.

    Attributes
    ----------
    wafer_usd, defects_per_m2
        Price of a 300 mm wafer, and its defects per square metre.
    mask_set_usd
        Price of a full set of photomasks.
    package_usd, memory_usd, mounting_usd
        Price per chip of package and test, of its memory, and of integration into a system.
    design_usd
        Price of architecture, verification, physical design and licensed blocks; paid once. The
        default is the sum of these four.
    """

    wafer_usd: float = 16_988.0
    defects_per_m2: float = 1100.0
    mask_set_usd: Range = (15e6, 30e6)
    package_usd: Range = (111.0, 185.0)
    memory_usd: Range = (1920.0, 3840.0)
    mounting_usd: Range = (1900.0, 3800.0)
    design_usd: Range = (1e6 * (1.87 + 9.97 + 4.80 + 10.23), 1e6 * (3.74 + 19.93 + 14.41 + 20.46))


#: The prices of the paper.
FIVE_NM = HardwiredInputPrices()


@dataclass(frozen=True, slots=True)
class HardwiredPrice:
    """Cost of a hardwired model in US dollars; see the equations at the top of this module.

    Attributes
    ----------
    chips
        Number of distinct chips of a system.
    die_usd, chip_usd
        Cost of a working die, and of a packaged and mounted chip with its memory.
    masks
        Cost of the photomasks, shared by all chips and specific to one.
    design_usd, once_usd
        Cost of the design, and of all that is paid once: design and masks.
    again_usd
        Cost of one system with new weights: the masks specific to its chips, and the chips.
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
        """Return costs and emissions of several systems over years of use.

        Parameters are those of `perfmodel.cost.cost_of_ownership.hardwired_systems`.
        """
        return hardwired_systems(
            systems,
            chips=self.chips,
            chip_usd=self.chip_usd,
            design_usd=self.design_usd,
            first_masks_usd=self.masks.first_usd,
            update_masks_usd=self.masks.again_usd,
            system_w=system_w,
            years=years,
            updates=updates,
            site=site,
        )


def hardwired_price(
    size: HardwiredSize, chips: Value = None, prices: HardwiredInputPrices = FIVE_NM
) -> HardwiredPrice:
    """Return the cost of a model whose weights take a known area of metal.

    Parameters
    ----------
    size
        Areas and number of chips, from `hardwired_size`.
    chips
        Number of chips over which the metal is spread evenly; the fewest possible if left out.
    prices
        Prices of inputs. Costs have shape ``(2,)``: a low and a high estimate.
    """
    chips = size.chips if chips is None else chips
    # Blocks other than the metal are the same on each chip, however many chips share the metal.
    other_m2 = size.chip_m2 - size.metal_m2 / size.device_chips
    area_m2 = other_m2 + size.metal_m2 / chips
    die = die_usd(area_m2, wafer_usd=prices.wafer_usd, defects_per_m2=prices.defects_per_m2)
    package, memory, mounting, mask_set, design = (
        np.array(low_and_high)
        for low_and_high in (
            prices.package_usd,
            prices.memory_usd,
            prices.mounting_usd,
            prices.mask_set_usd,
            prices.design_usd,
        )
    )
    chip = die + package + memory + mounting
    masks = mask_cost_usd(mask_set, chips)
    return HardwiredPrice(
        chips=chips,
        die_usd=die,
        chip_usd=chip,
        masks=masks,
        design_usd=design,
        once_usd=design + masks.first_usd,
        again_usd=masks.again_usd + chips * chip,
    )
