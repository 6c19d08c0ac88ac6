"""Chips whose weights are wires: no weight is fetched, another model is another mask.

`stages` says what a token goes through, `sizing` how much metal and how many
chips a model takes, `price` what that costs;
`kind` costs a table.
"""

from perfmodel.kinds.hardwired.face import HardwiredPlan, hardwire
from perfmodel.kinds.hardwired.kind import KIND, Hardwired
from perfmodel.kinds.hardwired.price import (
    FIVE_NM,
    HardwiredPrice,
    HardwiredPrices,
    hardwired_price,
)
from perfmodel.kinds.hardwired.sizing import HardwiredSize, chip_parts_m2, hardwired_size
from perfmodel.kinds.hardwired.spec import HardwiredChips
from perfmodel.kinds.hardwired.stages import cache_stall, crowding, link_seconds, matrix_clocks

__all__ = [
    "FIVE_NM",
    "KIND",
    "Hardwired",
    "HardwiredChips",
    "HardwiredPlan",
    "HardwiredPrice",
    "HardwiredPrices",
    "HardwiredSize",
    "cache_stall",
    "chip_parts_m2",
    "crowding",
    "hardwire",
    "hardwired_price",
    "hardwired_size",
    "link_seconds",
    "matrix_clocks",
]
