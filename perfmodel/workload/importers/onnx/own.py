"""Operators that other importers emit for the ONNX walk: views, linear layers, unknown layers."""

from __future__ import annotations

from typing import Final, cast

from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, Shape, turned
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.products import stacked
from perfmodel.workload.importers.onnx.shapes import give
from perfmodel.workload.symbols import product

#: Domain of these operators, which no ONNX file uses.
DOMAIN: Final = "perfmodel"

#: Domain of layers and operators without a price; their shapes are stated if known.
UNKNOWN: Final = "perfmodel.unknown"


#: Domain of standard operators whose shapes and formats the file states.
TYPED: Final = "perfmodel.typed"


def viewed(node: OnnxNode) -> None:
    """Set the shape of ``View``: axes of the input permuted, merged or split.

    ``axes`` has one entry per axis of the result: a factor and the input axes whose extents it
    multiplies. Axes of the second input, which is read for its shape only, are numbered -1, -2, ...
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
    """Set the shape of ``Linear``: the last axis times a matrix, transposed if ``transB``."""
    w = node.shape(1, 2)
    give(node, stacked(node.shape(0, 1), turned(w) if node.integer("transB", 0) else w))


def stated(node: OnnxNode) -> None:
    """Set the shapes stated in attribute ``shapes``; ``None`` leaves an output unknown."""
    shapes = cast("tuple[Shape | None, ...]", node.attributes.get("shapes", ()))
    formats = cast("tuple[str | None, ...]", node.attributes.get("formats", ()))
    for i, shape in enumerate(shapes):
        if shape is not None:
            give(node, shape, i, formats[i] if i < len(formats) else None)


def price_unknown(p: Pricer, n: OnnxNode) -> None:
    """Raise the reason why the operator has no price."""
    del p
    raise NotPricedError(n.text("reason", "") or "nothing says what it computes")
