"""Shape rules and prices by operator domain: the ONNX standard, runtimes, other file formats.

An ONNX node names its operator by a domain and a name, and the same name may mean different things
in different domains (``Attention`` of the standard and of ``com.microsoft``). `domain_of` returns
the rules and prices of a domain, which `shape_inference` and `node_pricer` then look up by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Final

from perfmodel.workload.importers.onnx import qonnx
from perfmodel.workload.importers.onnx import synthetic_operators as synthetic
from perfmodel.workload.importers.onnx.convolutions import quantised_global_pool_shape
from perfmodel.workload.importers.onnx.node import OnnxNode
from perfmodel.workload.importers.onnx.output_shapes import ShapeRule
from perfmodel.workload.importers.onnx.pricer import STANDARD as STANDARD_DOMAINS
from perfmodel.workload.importers.onnx.pricer import Pricer, Pricing
from perfmodel.workload.importers.onnx.registry import (
    COPIES,
    FUNCTIONS,
    GENERATORS,
    GROUPS,
    LOOKUPS,
    NORMS,
    POOLS,
    REDUCTIONS,
    TRANSFORMS,
    VIEWS,
    AxisRelation,
    Group,
    RegisteredOperator,
    by_name,
    find_by_name,
)


def _qlinear_operator(
    op: str, *, zero: int = 0, shape: ShapeRule | None = None
) -> RegisteredOperator:
    """Return an operator's integer form, whose inputs are followed by scales and zero points.

    Parameters
    ----------
    zero
        Index of the input that is the output's zero point and has the output's format; 0 if the
        shape rule sets the format.
    shape
        Shape rule; by default that of the floating-point operator.
    """

    def floating_point(node: OnnxNode) -> OnnxNode:
        """Return the floating-point node on the same input, without scales and zero points."""
        return OnnxNode(op, node.name, (node.get(0),), node.outputs, node.attributes, node.domain)

    def infer_shape(node: OnnxNode) -> None:
        infer = STANDARD[op].shape
        assert infer is not None
        infer(floating_point(node))
        point = node.get(zero) if zero else None
        if point is not None:
            node.first_output.format = point.format

    def price(pricer: Pricer, node: OnnxNode) -> None:
        add_cost = STANDARD[op].price
        assert add_cost is not None
        add_cost(pricer, floating_point(node))

    return RegisteredOperator(f"QLinear{op}", shape or infer_shape, price)


#: Operators of the standard, by name.
STANDARD: Final[Group] = by_name(
    *(
        group.values()
        for group in (FUNCTIONS, REDUCTIONS, NORMS, POOLS, COPIES, LOOKUPS)
        + (VIEWS, GENERATORS, TRANSFORMS, GROUPS["others"])
    )
)

#: Operators of other domains that differ from the standard operator of the same name.
CONTRIBUTED: Final[Group] = by_name(
    GROUPS["contributed"].values(),
    (_qlinear_operator(op, zero=4) for op in ("LeakyRelu", "Sigmoid", "Softmax")),
    (
        _qlinear_operator("AveragePool"),
        _qlinear_operator("ReduceMean"),
        _qlinear_operator("GlobalAveragePool", shape=quantised_global_pool_shape),
    ),
)

#: Domain of another file format -> module with its ``OPERATORS``, imported on first use.
FORMATS: Final[Mapping[str, str]] = dict.fromkeys(
    ("tflite", "tflite.custom"), "perfmodel.workload.importers.tflite.registry"
)


@dataclass(frozen=True, slots=True)
class Domain:
    """The operators of a domain.

    Attributes
    ----------
    rules, prices
        Operator -> its shape inference, and its pricing function.
    any_rule, any_price
        Shape inference and pricing of all other operators, if any.
    unpriced
        Message for an operator without a price; if empty, the message names the domain.
    """

    rules: Mapping[str, ShapeRule]
    prices: Mapping[str, Pricing]
    any_rule: ShapeRule | None = None
    any_price: Pricing | None = None
    unpriced: str = ""

    def rule(self, op: str) -> ShapeRule | None:
        """Return the shape inference of an operator."""
        return self.rules.get(op, self.any_rule)

    def price(self, op: str) -> Pricing | None:
        """Return the pricing function of an operator."""
        return self.prices.get(op, self.any_price)


def _rules(*groups: Group) -> dict[str, ShapeRule]:
    """Return operator -> shape rule; of operators with the same name, the last group's counts."""
    return {
        name: operator.shape
        for group in groups
        for name, operator in group.items()
        if operator.shape is not None
    }


def _prices(*groups: Group) -> dict[str, Pricing]:
    """Return operator -> price; of operators with the same name, the last group's counts."""
    return {
        name: operator.price
        for group in groups
        for name, operator in group.items()
        if operator.price is not None
    }


def _domain(group: Group, unpriced: str = "") -> Domain:
    """Return the domain that consists of one group of operators."""
    return Domain(_rules(group), _prices(group), unpriced=unpriced)


_MICROSOFT_RULES: Final = _rules(STANDARD, CONTRIBUTED)
_SYNTHETIC: Final = GROUPS["own"]

_DOMAINS: Final[Mapping[str, Domain]] = {
    # Where a name exists in both groups, its meaning in a standard domain is the standard's ...
    **dict.fromkeys(STANDARD_DOMAINS, Domain(_rules(CONTRIBUTED, STANDARD), _prices(STANDARD))),
    # ... and in a domain of onnxruntime the contributed one. All other operators of these domains
    # have the meaning of the standard operator of the same name.
    **dict.fromkeys(
        ("com.microsoft", "com.microsoft.nchwc"),
        Domain(_MICROSOFT_RULES, _prices(STANDARD, CONTRIBUTED)),
    ),
    "ai.onnx.contrib": Domain({}, _prices(STANDARD, CONTRIBUTED)),
    "ai.onnx.ml": _domain(GROUPS["learned"]),
    **dict.fromkeys(qonnx.DOMAINS, _domain(GROUPS["quantisers"])),
    synthetic.DOMAIN: _domain(_SYNTHETIC),
    synthetic.TYPED: Domain({}, _prices(STANDARD, _SYNTHETIC), any_rule=synthetic.stated_shape),
    synthetic.UNKNOWN: Domain(
        {}, {}, any_rule=synthetic.stated_shape, any_price=synthetic.price_unknown
    ),
}
#: Domains that are not listed, and those among them that begin with ``com.microsoft``.
_UNKNOWN: Final = Domain({}, _prices(CONTRIBUTED))
_UNKNOWN_MICROSOFT: Final = Domain(_MICROSOFT_RULES, _prices(CONTRIBUTED))


def domain_of(name: str) -> Domain:
    """Return the operators of a domain; for an unknown one, those that runtimes contribute."""
    if name in FORMATS:
        return _format_domain(name)
    is_microsoft = name.startswith("com.microsoft")
    return _DOMAINS.get(name, _UNKNOWN_MICROSOFT if is_microsoft else _UNKNOWN)


def relation_of(name: str) -> AxisRelation:
    """Return the axis relation of an operator, or of a normalisation by any of its names."""
    operator = STANDARD.get(name) or CONTRIBUTED.get(name) or find_by_name(name, NORMS)
    return "" if operator is None else operator.relation


@cache
def _format_domain(name: str) -> Domain:
    """Return the domain of another file format, importing its operators."""
    is_custom = name.endswith(".custom")
    return _domain(
        import_module(FORMATS[name]).OPERATORS, "a custom operator" if is_custom else "has no price"
    )
