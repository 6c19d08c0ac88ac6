"""The table of priced operators."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.workload.importers.onnx_operators_movement import MOVEMENT
from perfmodel.workload.importers.onnx_operators_pointwise import POINTWISE
from perfmodel.workload.importers.onnx_operators_products import PRODUCTS
from perfmodel.workload.importers.onnx_pricing import Pricing

#: Operators of the standard, by type.
TABLE: Mapping[str, Pricing] = {**PRODUCTS, **POINTWISE, **MOVEMENT}

#: Operators of other domains that mean something else than the standard's of that name.
CONTRIBUTED: Mapping[str, Pricing] = {}

#: Domains whose other operators are spelled and behave as in `TABLE`.
DOMAINS = frozenset({"com.microsoft", "com.microsoft.nchwc", "ai.onnx.contrib"})
