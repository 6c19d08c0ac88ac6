"""Chips with hardwired weights: no weight is fetched, and another model requires other masks.

`stages` has the clocks of a token, `sizing` the metal area and number of chips of a model, `price`
their cost; `kind` costs a table.
"""

from perfmodel.kinds.hardwired.kind import KIND
from perfmodel.kinds.hardwired.plan import hardwire
from perfmodel.kinds.hardwired.price import FIVE_NM, HardwiredPrice, hardwired_price
from perfmodel.kinds.hardwired.sizing import hardwired_size
from perfmodel.kinds.hardwired.spec import HardwiredChips

__all__ = [
    "FIVE_NM",
    "KIND",
    "HardwiredChips",
    "HardwiredPrice",
    "hardwire",
    "hardwired_price",
    "hardwired_size",
]
