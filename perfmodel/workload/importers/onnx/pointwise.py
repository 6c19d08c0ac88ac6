"""Shapes and prices of elementwise functions and normalisations."""

from __future__ import annotations

from perfmodel.workload.importers.onnx.node import ContradictionError, OnnxNode, axis_of, fixed
from perfmodel.workload.importers.onnx.pricing import Operations, Pricer, operations
from perfmodel.workload.importers.onnx.read import FORMATS
from perfmodel.workload.importers.onnx.shapes import (
    agree,
    broadcast_inputs,
    format_of_data,
    give,
    spread,
)
from perfmodel.workload.symbols import constant, product
from perfmodel.workload.vector_functions import VECTOR_OPS


def first_same(node: OnnxNode) -> None:
    """Set the first output's shape to the first input's; other outputs are not used."""
    x = node.shape(0)
    axis = node.attributes.get("axis")
    if isinstance(axis, int):
        axis_of(axis, len(x))
    give(node, x)


def prelu(node: OnnxNode) -> None:
    """Set the shape of ``PRelu``; slopes broadcast, or are per channel before operator set 7."""
    x, slope = node.shape(0), node.shape(1)
    if len(slope) != 1:
        agree("elements of input and slopes", product(*spread(x, slope)), product(*x))
    give(node, x)


def along_axis(node: OnnxNode) -> None:
    """Set the shape of ``CumSum`` and ``CumProd``, whose axis is an input, to the input's."""
    x = node.shape(0)
    for number in node.need(1).numbers or ():
        axis_of(fixed(number, "an axis"), len(x))
    give(node, x)


def by_channel(node: OnnxNode) -> None:
    """Set the shape of a normalisation with a scale and a shift per channel to the input's."""
    x = node.shape(0, 2)
    for edge in (node.get(1), node.get(2)):
        if edge is not None and edge.shape is not None and node.op == "InstanceNormalization":
            agree("channels", x[1], product(*edge.shape))
    groups = node.integer("num_groups", 1)
    channels = constant(x[1])
    if groups < 1 or (channels is not None and channels % groups):
        raise ContradictionError(f"{channels} channels in {groups} groups")
    give(node, x)


def broadcasting(node: OnnxNode) -> None:
    """Set the shape to the broadcast of all inputs, as in NumPy."""
    # Before operator set 7, attribute 'axis' aligned a smaller second input.
    aligned = node.attributes.get("broadcast")
    give(node, node.shape(0) if aligned else broadcast_inputs(node), format=format_of_data(node))


def logical(node: OnnxNode) -> None:
    """Set the shape of a comparison or test, whose format is ``bool``."""
    give(node, broadcast_inputs(node), format="bool")


def where(node: OnnxNode) -> None:
    """Set the shape of ``Where``, with the format of its second input."""
    give(node, broadcast_inputs(node), format=node.need(1).format)


def cast(node: OnnxNode) -> None:
    """Set the shape of ``Cast``, with a format from an attribute or another input."""
    if node.op in {"CastLike", "BitCast"} and node.get(1) is not None:
        format = node.need(1).format
    else:
        to = node.attributes.get("to", 1)
        format = FORMATS.get(to, "") if isinstance(to, int) else str(to).lower()
    give(node, node.shape(0), format=format)


def batch_norm_shape(node: OnnxNode) -> None:
    """Set the shapes of the normalised output and of training's running statistics."""
    x = node.shape(0, 1)
    for i in range(1, 5):
        edge = node.get(i)
        if edge is not None and edge.shape is not None and len(x) > 1:
            agree("channels", x[1], product(*edge.shape))
    give(node, x)
    for i in range(1, len(node.outputs)):
        give(node, x[1:2], i)


def layer_norm_shape(node: OnnxNode) -> None:
    """Set the shapes of the normalised output, and of mean and inverse deviation."""
    x = node.shape(0)
    give(node, x)
    if not x:
        return
    axis = node.axis(-1, len(x))
    statistic = (*x[:axis], *((1,) * (len(x) - axis)))
    skip = node.op.startswith("Skip")
    for i in range(1, len(node.outputs)):
        give(node, x if skip and i == 3 else statistic, i)


def loss(node: OnnxNode) -> None:
    """Set the shapes of a loss (a scalar, or unreduced) and of the log-probabilities."""
    x = node.shape(0)
    give(node, (*x[:1], *x[2:]) if node.text("reduction", "mean") == "none" else ())
    give(node, x, 1)


def square(node: OnnxNode) -> None:
    """Set the shape of ``Trilu``, whose input has at least two axes."""
    give(node, node.shape(0, 2))


def dropout(node: OnnxNode) -> None:
    """Set the shape of ``Dropout``, the identity at inference, and of its ``bool`` mask."""
    give(node, node.shape(0))
    give(node, node.shape(0), 1, "bool")


def elementwise(p: Pricer, n: OnnxNode, *, cost: Operations | None = None) -> None:
    """Price an elementwise function of broadcast inputs.

    Parameters
    ----------
    cost
        Operations per element, see `operations`; by default one less than the number of inputs.
    """
    overwritten = next(
        (e for e in n.present if e.is_data and e.shape == n.out.shape and e.format == n.out.format),
        None,
    )
    for edge in n.present:
        if edge.kind == "weight" and len(edge.known) <= 1:
            p.vector(edge)
    each = max(len(n.present) - 1, 1) + (n.op == "Mean") if cost is None else operations(cost)
    p.add(
        n,
        "elementwise",
        p.reads(*n.present),
        ops=product(each, n.out.elements),
        inplace=overwritten,
        function=cost if isinstance(cost, str) else n.op.lower(),
    )


def batch_norm(p: Pricer, n: OnnxNode) -> None:
    """Price ``BatchNormalization``: a scale and a shift at inference.

    Scale, shift, mean and variance are read. A runtime that folds them into the preceding
    convolution removes the operator by fusion.
    """
    vectors = [t for e in n.present[1:] for t in p.vector(e)]
    p.add(
        n,
        "elementwise",
        [p.tensor(n.need(0)), *vectors],
        [p.tensor(n.out)],
        ops=product(VECTOR_OPS["batch_norm"], n.out.elements),
        inplace=n.need(0),
        function="batch_norm",
    )


def norm(p: Pricer, n: OnnxNode, *, each: Operations) -> None:
    """Price a normalisation over some axes, with its scale and shift; see `operations`."""
    x = n.need(0)
    vectors = [
        t
        for e in n.present[1:]
        for t in (p.vector(e) if len(e.known) <= 1 and not e.is_data else p.reads(e))
    ]
    p.add(
        n,
        "norm",
        [p.tensor(x), *vectors],
        [p.tensor(e) for e in n.written if e.shape is not None],
        ops=product(operations(each), n.out.elements),
        inplace=x,
        function=n.op,
    )
