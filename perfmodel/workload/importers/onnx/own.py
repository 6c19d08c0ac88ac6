"""Operators that other importers hand to the walk: views, linear layers, unknown ones."""

from __future__ import annotations

from typing import Any, Final, cast

from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, Shape
from perfmodel.workload.importers.onnx.operators_products import product_of
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import give, ranked
from perfmodel.workload.importers.onnx.shapes_products import stacked
from perfmodel.workload.symbols import Dim, product

#: Domain of these operators: no file of ONNX uses it.
DOMAIN: Final = "perfmodel"

#: Domain of layers and operators that have no price; their shapes are stated, if anything is.
UNKNOWN: Final = "perfmodel.unknown"


#: Domain of operators of the standard whose shapes and formats the file states.
TYPED: Final = "perfmodel.typed"


def viewed(node: OnnxNode) -> None:
    """``View``: the axes of the input in another order, merged or split.

    ``axes`` has an entry an axis of the result: a number, and the axes whose extents multiply it;
    those of the second input (read for its shape only) follow as negative numbers from -1.
    """
    x = node.need(0).known
    like: Shape = node.need(1).known if node.get(1) is not None else ()
    entries = cast("tuple[tuple[int, tuple[int, ...]], ...]", node.attributes.get("axes", ()))
    shape: list[Dim] = []
    for number, axes in entries:
        shape.append(product(number, *(x[a] if a >= 0 else like[-a - 1] for a in axes)))
    give(node, shape)


def linear(node: OnnxNode) -> None:
    """``Linear``: the last axis times a matrix, which is turned where ``transB`` says so."""
    w = ranked(node.need(1), 2)
    if node.whole("transB", 0):
        w = (*w[:-2], w[-1], w[-2])
    give(node, stacked(ranked(node.need(0), 1), w))


def price_linear(p: Pricer, n: OnnxNode) -> None:
    """Price ``Linear``: one product, its bias an operation an output."""
    product_of(p, n, n.need(0), n.need(1), bias=n.get(2), transposed=bool(n.whole("transB", 0)))


def stated(node: OnnxNode) -> None:
    """Shapes of what has no price are attributes, ``None`` where nothing tells."""
    shapes = cast("tuple[Shape | None, ...]", node.attributes.get("shapes", ()))
    formats = cast("tuple[str | None, ...]", node.attributes.get("formats", ()))
    for i, shape in enumerate(shapes):
        if shape is not None:
            give(node, shape, i, formats[i] if i < len(formats) else None)


def price_unknown(p: Pricer, n: OnnxNode) -> None:
    """Say why there is no price."""
    del p
    reason: Any = n.attributes.get("reason", "")
    raise NotPricedError(str(reason) or "nothing says what it computes")
