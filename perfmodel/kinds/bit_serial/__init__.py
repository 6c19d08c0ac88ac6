"""Arrays that process weights few bits per clock (BitMoD), and word decoders (ANT, OliVe).

`counts` has the cost of a product, `products` reads the products off a table, `kind` costs a table
with them.
"""

from typing import TYPE_CHECKING

from perfmodel.deprecation import deprecated_names
from perfmodel.kinds.bit_serial.counts import terms
from perfmodel.kinds.bit_serial.kind import KIND
from perfmodel.kinds.bit_serial.products import BitSerialGemms, products
from perfmodel.kinds.bit_serial.spec import BitSerialArray

__all__ = ["KIND", "BitSerialArray", "BitSerialGemms", "products", "terms"]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Products="BitSerialGemms")
