"""The table of priced operators."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.workload.importers.onnx import operators_ml as learned
from perfmodel.workload.importers.onnx import operators_quantised as quantised
from perfmodel.workload.importers.onnx import operators_special as special
from perfmodel.workload.importers.onnx import own, qonnx
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

#: Domains whose other operators are spelled and behave as in `TABLE`.
DOMAINS = frozenset({"com.microsoft", "com.microsoft.nchwc", "ai.onnx.contrib"})

#: Domain of classical models, and its operators.
LEARNING = "ai.onnx.ml"
LEARNED: Mapping[str, Pricing] = learned.LEARNED

#: Other domains: those of quantisation tools, and of other importers.
ELSEWHERE: Mapping[str, Mapping[str, Pricing]] = {
    **dict.fromkeys(sorted(qonnx.DOMAINS), qonnx.PRICES), own.DOMAIN: own.PRICES,
    own.TYPED: {**TABLE, **own.PRICES},
}  # fmt: skip

#: Domain of what is only listed, and what lists it.
UNKNOWN = own.UNKNOWN
unpriced = own.price_unknown
