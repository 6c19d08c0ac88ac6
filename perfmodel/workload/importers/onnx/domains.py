"""Which rules and prices the operators of a domain have: the one table of all domains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Final

from perfmodel.workload.importers.onnx import attention, own, qonnx
from perfmodel.workload.importers.onnx import operators_ml as learned
from perfmodel.workload.importers.onnx import shapes_made as made
from perfmodel.workload.importers.onnx import shapes_ml as learned_shapes
from perfmodel.workload.importers.onnx import shapes_movement as movement
from perfmodel.workload.importers.onnx import shapes_products as products
from perfmodel.workload.importers.onnx import shapes_special as special
from perfmodel.workload.importers.onnx.operators import CONTRIBUTED, TABLE
from perfmodel.workload.importers.onnx.pricing import STANDARD, Pricing
from perfmodel.workload.importers.onnx.shapes import RULES as PLAIN
from perfmodel.workload.importers.onnx.shapes import Rule

#: Domains of other formats, and the module with their ``RULES`` and ``PRICES``, which is imported
#: when such a file is read.
FORMATS: Final[Mapping[str, str]] = dict.fromkeys(
    ("tflite", "tflite.custom"), "perfmodel.workload.importers.tflite.operators"
)


@dataclass(frozen=True, slots=True)
class Domain:
    """The operators of a domain.

    Attributes
    ----------
    rules, prices
        Operator -> what infers its shapes, and what prices it.
    any_rule, any_price
        Those of every other operator, if there are.
    unpriced
        What is said of an operator without a price; a domain that nothing knows is named.
    """

    rules: Mapping[str, Rule]
    prices: Mapping[str, Pricing]
    any_rule: Rule | None = None
    any_price: Pricing | None = None
    unpriced: str = ""

    def rule(self, op: str) -> Rule | None:
        """Return what infers the shapes of an operator."""
        return self.rules.get(op, self.any_rule)

    def price(self, op: str) -> Pricing | None:
        """Return what prices an operator."""
        return self.prices.get(op, self.any_price)


_STANDARD: Final[Mapping[str, Rule]] = {
    **PLAIN, **movement.RULES, **made.RULES, **products.RULES, **special.RULES,
    "Attention": attention.shapes,
}  # fmt: skip
_CONTRIBUTED: Final[Mapping[str, Rule]] = {**special.CONTRIBUTED, **attention.RULES}
_MICROSOFT: Final = {**_STANDARD, **_CONTRIBUTED}

_DOMAINS: Final[Mapping[str, Domain]] = {
    **dict.fromkeys(STANDARD, Domain({**_CONTRIBUTED, **_STANDARD}, TABLE)),
    # Other operators of these are spelled and behave as the standard's.
    **dict.fromkeys(("com.microsoft", "com.microsoft.nchwc"),
                    Domain(_MICROSOFT, {**TABLE, **CONTRIBUTED})),
    "ai.onnx.contrib": Domain({}, {**TABLE, **CONTRIBUTED}),
    "ai.onnx.ml": Domain(learned_shapes.RULES, learned.LEARNED),
    **dict.fromkeys(qonnx.DOMAINS, Domain(qonnx.RULES, qonnx.PRICES)),
    own.DOMAIN: Domain(own.RULES, own.PRICES),
    own.TYPED: Domain({}, {**TABLE, **own.PRICES}, any_rule=own.stated),
    own.UNKNOWN: Domain({}, {}, any_rule=own.stated, any_price=own.price_unknown),
}  # fmt: skip
_OTHER: Final = Domain({}, CONTRIBUTED)
_OTHER_MICROSOFT: Final = Domain(_MICROSOFT, CONTRIBUTED)


@cache
def _of_format(name: str) -> Domain:
    module = import_module(FORMATS[name])
    return Domain(module.RULES, module.PRICES, unpriced="a custom operator"
                  if name.endswith(".custom") else "has no price")  # fmt: skip


def domain_of(name: str) -> Domain:
    """Return the operators of a domain; of one that nothing knows, those that runtimes add."""
    if name in FORMATS:
        return _of_format(name)
    return _DOMAINS.get(name, _OTHER_MICROSOFT if name.startswith("com.microsoft") else _OTHER)
