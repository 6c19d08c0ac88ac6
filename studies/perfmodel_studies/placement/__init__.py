"""Placements of other systems: percentages of layers, and policies over blocks of batches.

`percentages` turns shares such as FlexGen's into whole layers, `block_schedule` is the cost of a
block schedule under such shares, and `best_policy` finds the best of them.
"""

from perfmodel_studies.placement.blocks import (
    BlockModel,
    BlockPolicy,
    BlockRates,
    BlockTimes,
    block_schedule,
)
from perfmodel_studies.placement.percent import LayerPlacement, percentages
from perfmodel_studies.placement.policy import BlockPolicyAnswer, best_policy, needed_bytes

__all__ = [
    "BlockModel",
    "BlockPolicy",
    "BlockPolicyAnswer",
    "BlockRates",
    "BlockTimes",
    "LayerPlacement",
    "best_policy",
    "block_schedule",
    "needed_bytes",
    "percentages",
]
