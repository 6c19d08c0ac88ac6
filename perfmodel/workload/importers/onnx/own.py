"""Operators that other importers hand to the walk: views, linear layers, unknown ones."""

from __future__ import annotations

from typing import Final, cast

from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, Shape, turned
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import give
from perfmodel.workload.importers.onnx.shapes_products import stacked
from perfmodel.workload.symbols import product

#: Domain of these operators: no file of ONNX uses it.
DOMAIN: Final = "perfmodel"

#: Domain of layers and operators that have no price; their shapes are stated, if anything is.
UNKNOWN: Final = "perfmodel.unknown"


#: Domain of operators of the standard whose shapes and formats the file states.
TYPED: Final = "perfmodel.typed"


def viewed(node: OnnxNode) -> None:
    """``View``: the axes of the input in another order, merged or split.

    ``axes`` has an entry per axis of the result: a number, and the axes whose extents multiply it;
    those of the second input (read for its shape only) follow as negative numbers from -1.
    """
    x = node.shape(0)
    like: Shape = node.shape(1) if node.get(1) is not None else ()
    entries = cast("tuple[tuple[int, tuple[int, ...]], ...]", node.attributes.get("axes", ()))
    give(
        node,
        [
            product(number, *(x[a] if a >= 0 else like[-a - 1] for a in axes))
            for number, axes in entries
        ],
    )


def linear(node: OnnxNode) -> None:
    """``Linear``: the last axis times a matrix, which is turned where ``transB`` says so."""
    w = node.shape(1, 2)
    give(node, stacked(node.shape(0, 1), turned(w) if node.whole("transB", 0) else w))


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
    raise NotPricedError(n.text("reason", "") or "nothing says what it computes")
