"""Elementwise functions and normalisations: output shapes and operation counts.

An elementwise function of E output elements costs ``c E`` vector operations, where c is an entry of
`perfmodel.workload.vector_functions.VECTOR_OPS`. Shapes broadcast as in NumPy (ONNX,
docs/Broadcasting.md). Entries of ``workloads/operators/onnx.yaml`` name these functions.
"""

from __future__ import annotations

from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    normalise_axis,
    require_integer,
)
from perfmodel.workload.importers.onnx.output_shapes import (
    broadcast_inputs,
    broadcast_shapes,
    format_of_data,
    require_equal,
    set_output,
)
from perfmodel.workload.importers.onnx.pricer import Operations, Pricer, operations_per_element
from perfmodel.workload.importers.onnx.records import FORMATS
from perfmodel.workload.symbols import constant, product
from perfmodel.workload.vector_functions import VECTOR_OPS


def same_shape(node: OnnxNode) -> None:
    """Set the shape of the first output to that of the first input."""
    x = node.shape(0)
    axis = node.attributes.get("axis")
    if isinstance(axis, int):
        normalise_axis(axis, len(x))
    set_output(node, x)


def prelu_shape(node: OnnxNode) -> None:
    """Set the shape of ``PRelu``; slopes broadcast, or are per channel before operator set 7."""
    x, slope = node.shape(0), node.shape(1)
    if len(slope) != 1:
        require_equal(
            "elements of input and slopes", product(*broadcast_shapes(x, slope)), product(*x)
        )
    set_output(node, x)


def cumulative_shape(node: OnnxNode) -> None:
    """Set the shape of ``CumSum`` and ``CumProd`` to the input's; the axis is the second input."""
    x = node.shape(0)
    for number in node.require(1).numbers or ():
        normalise_axis(require_integer(number, "an axis"), len(x))
    set_output(node, x)


def channel_norm_shape(node: OnnxNode) -> None:
    """Set the shape of a normalisation by channel to the input's, ``(N, C, ...)``.

    The scale and shift of an ``InstanceNormalization`` have C elements; the groups of a
    ``GroupNormalization`` divide C.
    """
    x = node.shape(0, 2)
    for edge in (node.get(1), node.get(2)):
        if edge is not None and edge.shape is not None and node.op == "InstanceNormalization":
            require_equal("channels", x[1], product(*edge.shape))
    groups = node.integer("num_groups", 1)
    channels = constant(x[1])
    if groups < 1 or (channels is not None and channels % groups):
        raise ContradictionError(f"{channels} channels in {groups} groups")
    set_output(node, x)


def broadcast_shape(node: OnnxNode) -> None:
    """Set the shape to the broadcast of all inputs."""
    # Before operator set 7, attribute 'axis' aligned a smaller second input.
    aligned = node.attributes.get("broadcast")
    set_output(
        node, node.shape(0) if aligned else broadcast_inputs(node), format=format_of_data(node)
    )


def predicate_shape(node: OnnxNode) -> None:
    """Set the shape of a comparison or test to the broadcast of its inputs, in format ``bool``."""
    set_output(node, broadcast_inputs(node), format="bool")


def where_shape(node: OnnxNode) -> None:
    """Set the shape of ``Where`` to the broadcast of its inputs, in the format of the second."""
    set_output(node, broadcast_inputs(node), format=node.require(1).format)


def cast_shape(node: OnnxNode) -> None:
    """Set the shape of ``Cast``, with a format from an attribute or from another input."""
    if node.op in {"CastLike", "BitCast"} and node.get(1) is not None:
        format = node.require(1).format
    else:
        to = node.attributes.get("to", 1)
        format = FORMATS.get(to, "") if isinstance(to, int) else str(to).lower()
    set_output(node, node.shape(0), format=format)


def batch_norm_shape(node: OnnxNode) -> None:
    """Set the shapes of ``BatchNormalization``: the input's, and ``(C,)`` for statistics."""
    x = node.shape(0, 1)
    for i in range(1, 5):
        edge = node.get(i)
        if edge is not None and edge.shape is not None and len(x) > 1:
            require_equal("channels", x[1], product(*edge.shape))
    set_output(node, x)
    for i in range(1, len(node.outputs)):
        set_output(node, x[1:2], i)


def layer_norm_shape(node: OnnxNode) -> None:
    """Set the shapes of ``LayerNormalization``: the input's, and ``x[:axis] + (1, ...)``.

    The latter is that of the mean and of the inverse standard deviation. The fourth output of
    ``SkipLayerNormalization`` is the sum of input and skip connection, in the input's shape.
    """
    x = node.shape(0)
    set_output(node, x)
    if not x:
        return
    axis = node.axis(-1, len(x))
    statistic = (*x[:axis], *((1,) * (len(x) - axis)))
    skip = node.op.startswith("Skip")
    for i in range(1, len(node.outputs)):
        set_output(node, x if skip and i == 3 else statistic, i)


def loss_shape(node: OnnxNode) -> None:
    """Set the shapes of a loss, ``()`` or unreduced ``(N, d...)``, and of the log-probabilities."""
    x = node.shape(0)
    set_output(node, (*x[:1], *x[2:]) if node.text("reduction", "mean") == "none" else ())
    set_output(node, x, 1)


def trilu_shape(node: OnnxNode) -> None:
    """Set the shape of ``Trilu`` to the input's, which has at least two axes."""
    set_output(node, node.shape(0, 2))


def dropout_shape(node: OnnxNode) -> None:
    """Set the shapes of ``Dropout``, the identity at inference, and of its ``bool`` mask."""
    set_output(node, node.shape(0))
    set_output(node, node.shape(0), 1, "bool")


def price_elementwise(pricer: Pricer, node: OnnxNode, *, cost: Operations | None = None) -> None:
    """Price an elementwise function of broadcast inputs: ``c E`` operations for E output elements.

    Parameters
    ----------
    cost
        Operations c per element, see `operations_per_element`; by default one less than the number
        of inputs.
    """
    overwritten = next(
        (
            e
            for e in node.present_inputs
            if e.is_data
            and e.shape == node.first_output.shape
            and e.format == node.first_output.format
        ),
        None,
    )
    for edge in node.present_inputs:
        if edge.kind == "weight" and len(edge.extents) <= 1:
            pricer.vector(edge)
    each = (
        max(len(node.present_inputs) - 1, 1) + (node.op == "Mean")
        if cost is None
        else operations_per_element(cost)
    )
    pricer.add(
        node,
        "elementwise",
        pricer.reads(*node.present_inputs),
        ops=product(each, node.first_output.elements),
        inplace=overwritten,
        function=cost if isinstance(cost, str) else node.op.lower(),
    )


def price_batch_norm(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``BatchNormalization`` at inference: a scale and a shift per element.

    Scale, shift, mean and variance are read, C elements each. A runtime that folds them into the
    preceding convolution removes the operator by fusion.
    """
    vectors = [t for e in node.present_inputs[1:] for t in pricer.vector(e)]
    pricer.add(
        node,
        "elementwise",
        [pricer.tensor(node.require(0)), *vectors],
        [node.first_output],
        ops=product(VECTOR_OPS["batch_norm"], node.first_output.elements),
        inplace=node.require(0),
        function="batch_norm",
    )


def price_norm(pricer: Pricer, node: OnnxNode, *, each: Operations) -> None:
    """Price a normalisation: `each` operations per element, and reads of scale and shift."""
    x = node.require(0)
    vectors = [
        t
        for e in node.present_inputs[1:]
        for t in (pricer.vector(e) if len(e.extents) <= 1 and not e.is_data else pricer.reads(e))
    ]
    pricer.add(
        node,
        "norm",
        [pricer.tensor(x), *vectors],
        [pricer.tensor(e) for e in node.present_outputs if e.shape is not None],
        ops=product(operations_per_element(each), node.first_output.elements),
        inplace=x,
        function=node.op,
    )
