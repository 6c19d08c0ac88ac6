"""The operators of the standard that have a price, and those that runtimes add to them."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.workload.importers.onnx import operators_quantised as quantised
from perfmodel.workload.importers.onnx import operators_special as special
from perfmodel.workload.importers.onnx.operators_movement import MOVEMENT
from perfmodel.workload.importers.onnx.operators_pointwise import POINTWISE
from perfmodel.workload.importers.onnx.operators_products import PRODUCTS
from perfmodel.workload.importers.onnx.pricing import Pricing

#: Operators of the standard, by type.
TABLE: Mapping[str, Pricing] = {
    **PRODUCTS, **POINTWISE, **MOVEMENT, **quantised.QUANTISED, **special.SPECIAL,
}  # fmt: skip

#: Operators of other domains that mean something else than the standard's of that name.
CONTRIBUTED: Mapping[str, Pricing] = {**quantised.CONTRIBUTED, **special.CONTRIBUTED}
