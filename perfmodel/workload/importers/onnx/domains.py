"""Operators by domain: the ONNX standard, runtimes, and other file formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Final

from perfmodel.workload.importers.onnx import own, qonnx
from perfmodel.workload.importers.onnx.convolutions import spatial_mean
from perfmodel.workload.importers.onnx.node import OnnxNode
from perfmodel.workload.importers.onnx.pricing import STANDARD as NAMES
from perfmodel.workload.importers.onnx.pricing import Pricer, Pricing
from perfmodel.workload.importers.onnx.registry import (
    COPIES,
    FILLED,
    FUNCTIONS,
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
    called,
)
from perfmodel.workload.importers.onnx.shapes import Rule


def _integer(op: str, *, zero: int = 0, shape: Rule | None = None) -> RegisteredOperator:
    """Return the integer form of an operator, whose inputs are interleaved with scales and zeros.

    Parameters
    ----------
    zero
        Position of the output's zero point, whose format the output has; 0 for none.
    """

    def bare(node: OnnxNode) -> OnnxNode:
        return OnnxNode(op, node.name, (node.get(0),), node.outputs, node.attributes, node.domain)

    def rule(node: OnnxNode) -> None:
        infer = STANDARD[op].shape
        assert infer is not None
        infer(bare(node))
        point = node.get(zero) if zero else None
        if point is not None:
            node.out.format = point.format

    def price(p: Pricer, n: OnnxNode) -> None:
        known = STANDARD[op].price
        assert known is not None
        known(p, bare(n))

    return RegisteredOperator(f"QLinear{op}", shape or rule, price)


#: Operators of the standard, by name.
STANDARD: Final[Group] = by_name(
    *(
        group.values()
        for group in (FUNCTIONS, REDUCTIONS, NORMS, POOLS, COPIES, LOOKUPS)
        + (VIEWS, FILLED, TRANSFORMS, GROUPS["others"])
    )
)

#: Operators of other domains that differ from the standard operator of the same name.
CONTRIBUTED: Final[Group] = by_name(
    GROUPS["contributed"].values(),
    (_integer(op, zero=4) for op in ("LeakyRelu", "Sigmoid", "Softmax")),
    (
        _integer("AveragePool"),
        _integer("ReduceMean"),
        _integer("GlobalAveragePool", shape=spatial_mean),
    ),
)

#: Domains of other formats -> module with their ``OPERATORS``, imported when such a file is read.
FORMATS: Final[Mapping[str, str]] = dict.fromkeys(
    ("tflite", "tflite.custom"), "perfmodel.workload.importers.tflite.registered"
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
        Message for an operator without a price; empty for one that names the domain.
    """

    rules: Mapping[str, Rule]
    prices: Mapping[str, Pricing]
    any_rule: Rule | None = None
    any_price: Pricing | None = None
    unpriced: str = ""

    def rule(self, op: str) -> Rule | None:
        """Return the shape inference of an operator."""
        return self.rules.get(op, self.any_rule)

    def price(self, op: str) -> Pricing | None:
        """Return the pricing function of an operator."""
        return self.prices.get(op, self.any_price)


def _rules(*groups: Group) -> dict[str, Rule]:
    return {n: entry.shape for g in groups for n, entry in g.items() if entry.shape is not None}


def _prices(*groups: Group) -> dict[str, Pricing]:
    return {n: entry.price for g in groups for n, entry in g.items() if entry.price is not None}


def _of(group: Group, unpriced: str = "") -> Domain:
    return Domain(_rules(group), _prices(group), unpriced=unpriced)


_MICROSOFT: Final = _rules(STANDARD, CONTRIBUTED)

_DOMAINS: Final[Mapping[str, Domain]] = {
    **dict.fromkeys(NAMES, Domain(_rules(CONTRIBUTED, STANDARD), _prices(STANDARD))),
    # All other operators of these domains have the names and the meaning of the standard.
    **dict.fromkeys(
        ("com.microsoft", "com.microsoft.nchwc"), Domain(_MICROSOFT, _prices(STANDARD, CONTRIBUTED))
    ),
    "ai.onnx.contrib": Domain({}, _prices(STANDARD, CONTRIBUTED)),
    "ai.onnx.ml": _of(GROUPS["learned"]),
    **dict.fromkeys(qonnx.DOMAINS, _of(GROUPS["quantisers"])),
    own.DOMAIN: _of(GROUPS["own"]),
    own.TYPED: Domain({}, _prices(STANDARD, GROUPS["own"]), any_rule=own.stated),
    own.UNKNOWN: Domain({}, {}, any_rule=own.stated, any_price=own.price_unknown),
}
_OTHER: Final = Domain({}, _prices(CONTRIBUTED))
_OTHER_MICROSOFT: Final = Domain(_MICROSOFT, _prices(CONTRIBUTED))


@cache
def _of_format(name: str) -> Domain:
    custom = name.endswith(".custom")
    return _of(
        import_module(FORMATS[name]).OPERATORS, "a custom operator" if custom else "has no price"
    )


def domain_of(name: str) -> Domain:
    """Return the operators of a domain; those that runtimes contribute for an unknown one."""
    if name in FORMATS:
        return _of_format(name)
    return _DOMAINS.get(name, _OTHER_MICROSOFT if name.startswith("com.microsoft") else _OTHER)


def relation_of(name: str) -> AxisRelation:
    """Return the axis relation of an operator, or of a normalisation by any of its names."""
    entry = STANDARD.get(name) or CONTRIBUTED.get(name) or called(name, NORMS)
    return "" if entry is None else entry.relation
