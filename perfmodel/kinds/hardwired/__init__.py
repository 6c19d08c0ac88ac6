"""Chips whose weights are wires: no weight is fetched, another model is another mask.

`stages` says what a token goes through, `sizing` how much metal and how many
chips a model takes, `price` what that costs;
`kind` costs a table.
"""

from perfmodel.kinds.hardwired.face import hardwire
from perfmodel.kinds.hardwired.kind import KIND
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
