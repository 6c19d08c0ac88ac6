"""Operators that no ONNX file contains, which importers of other formats emit for the walk.

Views relabel axes at no cost, ``Linear`` multiplies the last axis by a matrix, and operators of the
domains `TYPED` and `UNKNOWN` carry the shapes that the other file states. Emitted by `onnx_tracer`
(Keras) and by `torch_export.emitter`.
"""

from __future__ import annotations

from typing import Final, cast

from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, Shape, swap_last_axes
from perfmodel.workload.importers.onnx.output_shapes import set_output
from perfmodel.workload.importers.onnx.pricer import Pricer
from perfmodel.workload.importers.onnx.products import matmul_result_shape
from perfmodel.workload.symbols import product

#: Domain of these operators, which no ONNX file uses.
DOMAIN: Final = "perfmodel"

#: Domain of layers and operators without a price; their shapes are stated if known.
UNKNOWN: Final = "perfmodel.unknown"


#: Domain of standard operators whose shapes and formats the file states.
TYPED: Final = "perfmodel.typed"


def view_shape(node: OnnxNode) -> None:
    """Set the shape of ``View``: axes of the input permuted, merged or split.

    Attribute ``axes`` has one entry ``(factor, sources)`` per axis of the result, whose extent is
    ``factor * prod(x[a] for a in sources)``. Axes of the second input, which is read for its shape
    only, are numbered -1, -2, ...
    """
    x = node.shape(0)
    like: Shape = node.shape(1) if node.get(1) is not None else ()
    entries = cast("tuple[tuple[int, tuple[int, ...]], ...]", node.attributes.get("axes", ()))
    set_output(
        node,
        [
            product(number, *(x[a] if a >= 0 else like[-a - 1] for a in axes))
            for number, axes in entries
        ],
    )


def linear_shape(node: OnnxNode) -> None:
    """Set the shape of ``Linear``: ``x[:-1] + (n,)``, with weights ``(k, n)``, or ``(n, k)``.

    Attribute ``transB`` states the second layout.
    """
    w = node.shape(1, 2)
    set_output(
        node,
        matmul_result_shape(
            node.shape(0, 1), swap_last_axes(w) if node.integer("transB", 0) else w
        ),
    )


def stated_shape(node: OnnxNode) -> None:
    """Set the shapes in attribute ``shapes``; ``None`` leaves an output unknown."""
    shapes = cast("tuple[Shape | None, ...]", node.attributes.get("shapes", ()))
    formats = cast("tuple[str | None, ...]", node.attributes.get("formats", ()))
    for i, shape in enumerate(shapes):
        if shape is not None:
            set_output(node, shape, i, formats[i] if i < len(formats) else None)


def price_unknown(pricer: Pricer, node: OnnxNode) -> None:
    """Raise the reason why the operator has no price."""
    del pricer
    raise NotPricedError(node.text("reason", "") or "its computation is unknown")
