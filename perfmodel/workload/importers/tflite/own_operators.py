"""Shapes and prices of operators that TensorFlow Lite defines differently from ONNX.

Images have their channels last. Weights are ``(out, height, width, in)`` for a convolution, ``(1,
height, width, channels)`` for a depthwise one and ``(out, in)`` for a dense layer. Rules and prices
are those of the ONNX operators, on the same values with permuted axes. Entries of
``workloads/operators/tflite.yaml`` name these functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from perfmodel.workload.importers.onnx.convolutions import price_conv, same_padding
from perfmodel.workload.importers.onnx.data_movement import slice_shape
from perfmodel.workload.importers.onnx.fourier import fft_operations
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    OnnxValue,
    Shape,
    replace_axis,
    require_integer,
)
from perfmodel.workload.importers.onnx.operator_domains import STANDARD
from perfmodel.workload.importers.onnx.output_shapes import per_axis_attribute, set_output
from perfmodel.workload.importers.onnx.pricer import Pricer
from perfmodel.workload.importers.onnx.products import (
    add_matrix_product,
    price_matmul,
    transposed_factors,
)
from perfmodel.workload.importers.onnx.quantised_operators import price_conversion
from perfmodel.workload.importers.onnx.symbolic_extents import floor, floor_div
from perfmodel.workload.importers.tflite.reshape_translations import resolve_slice_masks
from perfmodel.workload.symbols import Dim, constant, product, simplify

#: Convolution -> order of its weights' axes in ONNX.
_WEIGHTS: Final[Mapping[str, Sequence[int]]] = {
    "Conv2D": (0, 3, 1, 2),
    "DepthwiseConv2D": (3, 0, 1, 2),
    "Conv3D": (4, 3, 0, 1, 2),
}


def in_onnx_layout(pricer: Pricer | None, edge: OnnxValue, shape: Shape | None) -> OnnxValue:
    """Return a value in the layout of ONNX; with a pricer, both share one tensor."""
    if pricer is not None and edge.kind == "constant" and edge.tensor is None:
        edge.kind = "weight"
    twin = OnnxValue(edge.name, shape, edge.kind, edge.format, tensor=edge.tensor, tag=edge.tag)
    if pricer is not None and edge.tensor is None:
        # Weights are declared in the layout of ONNX; the pricer itself permutes images.
        edge.tensor = twin.tensor = pricer.tensor(edge if edge.is_data else twin)
    return twin


def to_channels_second(node: OnnxNode, pricer: Pricer | None = None) -> OnnxNode:
    """Return a convolution, pool or block rearrangement in the layout of ONNX."""
    x = node.shape(0, 3)

    def image(edge: OnnxValue) -> OnnxValue:
        shape = edge.shape
        return in_onnx_layout(pricer, edge, (shape[0], shape[-1], *shape[1:-1]) if shape else None)

    inputs = [image(node.require(0))]
    same = node.text("padding", "SAME") == "SAME"
    attributes = {**node.attributes, "auto_pad": "SAME_UPPER" if same else "VALID"}
    op = node.op
    if op in _WEIGHTS:
        w = node.require(1)
        if len(w.extents) != len(x):
            raise ContradictionError(f"weights of {len(w.extents)} axes for an input of {len(x)}")
        weights = tuple(w.extents[axis] for axis in _WEIGHTS[op])
        groups: Dim = 1
        if op != "Conv3D":
            groups = floor_div(x[-1], require_integer(weights[1], "the weights' channels"))
        attributes["group"] = require_integer(groups, "the number of groups")
        inputs += [in_onnx_layout(pricer, w, weights), *node.inputs[2:3]]
        op = "Conv"
    return OnnxNode(op, node.name, tuple(inputs), (image(node.first_output),), attributes)


def transpose_conv_shape(node: OnnxNode) -> None:
    """Set the shape of ``TRANSPOSE_CONV``, which its first input states."""
    set_output(node, node.numbers(0, "the output shape"), format=node.require(2).format)


def resize_shape(node: OnnxNode) -> None:
    """Set the shape of ``RESIZE_*``: ``(N, height, width, C)`` with the size from an input."""
    x = node.shape(0, 3)
    set_output(node, (x[0], *node.numbers(1, "the new size"), x[-1]))


def space_batch_shape(node: OnnxNode) -> None:
    """Set the shape of ``SPACE_TO_BATCH_ND`` or ``BATCH_TO_SPACE_ND``.

    For blocks b: ``n -> floor((n + borders) / b)`` and ``N -> N prod(b)``, or the inverse, ``n -> n
    b - borders`` and ``N -> N / prod(b)``.
    """
    shape = list(node.shape(0))
    size = [require_integer(v, "a block") for v in node.numbers(1, "the blocks")]
    edges = [require_integer(v, "a border") for v in node.numbers(2, "the borders")]
    if len(edges) != 2 * len(size) or len(size) >= len(shape) or any(b <= 0 for b in size):
        raise ContradictionError("blocks and borders that do not fit the input")
    for i, block in enumerate(size):
        border = edges[2 * i] + edges[2 * i + 1]
        if node.op == "SpaceToBatch":
            shape[0], shape[i + 1] = shape[0] * block, floor_div(shape[i + 1] + border, block)
        else:
            shape[0], shape[i + 1] = floor_div(shape[0], block), shape[i + 1] * block - border
    set_output(node, shape)


def fully_connected_shape(node: OnnxNode) -> None:
    """Set the shape of ``FULLY_CONNECTED``: ``(elements / features, units)``.

    With ``keep_num_dims`` it is ``x[:-1] + (units,)``.
    """
    x, w = node.require(0), node.shape(1)
    if len(w) != 2:
        raise ContradictionError(f"weights of {len(w)} axes")
    if node.integer("keep_num_dims", 0):
        set_output(node, (*x.extents[:-1], w[0]))
        return
    features = require_integer(w[1], "the weights' inputs")
    elements = constant(x.elements)
    if features <= 0 or (elements is not None and elements % features):
        raise ContradictionError(f"{elements:g} inputs for weights of {features}")
    is_matrix = x.extents[-1:] == (features,)
    rows = product(*x.extents[:-1]) if is_matrix else floor_div(x.elements, features)
    set_output(node, (rows, w[0]))


def batched_gather_shape(node: OnnxNode) -> None:
    """Set the shape of ``GATHER`` with b batch axes: ``x[:a] + indices[b:] + x[a + 1:]``."""
    x = node.shape(0)
    set_output(
        node, replace_axis(x, node.axis(0, len(x)), *node.shape(1)[node.integer("batch_dims", 0) :])
    )


def strided_slice_shape(node: OnnxNode) -> None:
    """Set the shape of ``STRIDED_SLICE`` with bounds that the network computes from shapes."""
    x = node.require(0)
    begin, end = node.numbers(1, "the begin"), node.numbers(2, "the end")
    step = [require_integer(v, "a step") for v in node.numbers(3, "the steps")]
    cuts, removed_axes, inserted_axes = resolve_slice_masks(
        node.attributes, begin, end, step, len(x.extents)
    )
    bounds = [
        OnnxValue(f"{node.name}.{k}", (len(cuts),), "constant", "int64", tuple(c[k] for c in cuts))
        for k in range(4)
    ]
    result = OnnxValue(f"{node.name}.cut")
    slice_shape(OnnxNode("Slice", node.name, (x, *bounds), (result,)))
    shape = [extent for axis, extent in enumerate(result.extents) if axis not in removed_axes]
    for axis in inserted_axes:
        shape.insert(axis, 1)
    set_output(node, shape)


def rfft2d_shape(node: OnnxNode) -> None:
    """Set the shape of ``RFFT2D``: ``(.., rows, floor(columns / 2) + 1)`` complex numbers."""
    x = node.shape(0)
    length = [require_integer(v, "a length") for v in node.numbers(1, "the lengths")]
    if len(length) != 2 or len(x) < 2 or min(length) < 1:
        raise NotPricedError("its lengths do not fit the input")
    set_output(node, (*x[:-2], length[0], length[1] // 2 + 1), format="fp64")


def complex_part_shape(node: OnnxNode) -> None:
    """Set the shape of the real part of complex numbers."""
    set_output(node, node.shape(0), format="")


def channels_last_shape(node: OnnxNode) -> None:
    """Set the shape of a window or block operator on channels-last images, by the ONNX rule."""
    onnx_node = to_channels_second(node)
    rule = STANDARD[onnx_node.op].shape
    assert rule is not None
    rule(onnx_node)
    batch, channels, *spatial = map(floor, onnx_node.first_output.extents)
    set_output(node, (batch, *spatial, channels))


def price_channels_last(pricer: Pricer, node: OnnxNode) -> None:
    """Price a window or block operator on channels-last images by the ONNX price."""
    onnx_node = to_channels_second(node, pricer)
    x, *weights = onnx_node.inputs
    price = STANDARD[onnx_node.op].price
    assert x is not None
    assert price is not None
    kernel = onnx_node.integers("kernel_shape") or tuple(
        require_integer(tap, "a kernel size") for w in weights[:1] if w for tap in w.extents[2:]
    )
    axes, pads = len(kernel), (0,) * (2 * len(kernel))
    if node.text("padding", "SAME") == "SAME":
        windows = (per_axis_attribute(node, name, axes) for name in ("strides", "dilations"))
        pads = same_padding(x.extents[2:], kernel, *windows)
    onnx_node.attributes = {**onnx_node.attributes, "pads": pads}
    price(pricer, onnx_node)


def price_transpose_conv(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``TRANSPOSE_CONV`` by its input: a multiply-accumulate per tap and output channel."""
    w, x, bias = node.require(1), node.require(2), node.get(3)
    out, *taps, channels = w.extents

    def image(edge: OnnxValue) -> OnnxValue:
        batch, *spatial, last = edge.extents
        return in_onnx_layout(pricer, edge, (batch, last, *spatial))

    inputs = image(x), in_onnx_layout(pricer, w, (channels, out, *taps)), bias
    attributes = {"strides": per_axis_attribute(node, "strides", len(taps))}
    onnx_node = OnnxNode(
        "ConvTranspose", node.name, inputs, (image(node.first_output),), attributes
    )
    price_conv(pricer, onnx_node, transposed=True)


def price_biased_transpose_conv(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``Convolution2DTransposeBias`` of MediaPipe: input, weights, bias."""
    price_transpose_conv(
        pricer,
        OnnxNode(
            node.op, node.name, (None, node.require(1), node.require(0), node.get(2)), node.outputs
        ),
    )


def price_fully_connected(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``FULLY_CONNECTED`` as one matrix product."""
    x, w, bias = node.require(0), node.require(1), node.get(2)
    out, features = w.extents
    rows = floor_div(node.first_output.elements, require_integer(out, "the weights' outputs"))
    onnx_node = OnnxNode("Gemm", node.name, node.inputs, node.outputs, node.attributes)
    dims = 1, rows, out, features
    add_matrix_product(pricer, onnx_node, x, w, dims, bias=bias, b_batched=w.is_data)


def price_batch_matmul(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``BATCH_MATMUL``, a product of two stacks of matrices."""
    a, b = (
        in_onnx_layout(pricer, node.require(i), shape)
        for i, shape in enumerate(transposed_factors(node))
    )
    price_matmul(pricer, OnnxNode("MatMul", node.name, (a, b), node.outputs))


def price_quantisation(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``QUANTIZE`` and ``DEQUANTIZE`` of a computed value."""
    op = "QuantizeLinear" if node.op == "Quantize" else "DequantizeLinear"
    price_conversion(pricer, OnnxNode(op, node.name, node.inputs, node.outputs))


def price_assignment(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``ASSIGN_VARIABLE`` as a copy to the state, which remains in memory."""
    state = node.get(1)
    if state is not None and state.shape == node.first_output.shape:
        node.first_output.tensor = pricer.tensor(state)
    pricer.add(node, "copy", [node.require(0)])


def price_lookup(pricer: Pricer, node: OnnxNode) -> None:
    """Price a lookup of E elements: it reads the indices and E elements."""
    pricer.add(
        node,
        "gather",
        [*pricer.reads(node.get(1)), (pricer.tensor(node.require(0)), node.first_output.elements)],
    )


def price_rfft2d(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``RFFT2D`` of r by c numbers: r real FFTs of rows, then complex FFTs of columns.

    A real FFT of c numbers has ``2.5 c log2 c`` operations, and each of the ``c / 2 + 1`` columns
    of the spectrum takes ``5 r log2 r``.
    """
    x = node.require(0)
    rows, columns = (require_integer(d, "a length") for d in node.numbers(1, "the lengths"))
    each = rows * 0.5 * fft_operations(columns) + (columns // 2 + 1) * fft_operations(rows)
    ops = product(*x.extents[:-2], each)
    pricer.add(node, "elementwise", [x], ops=ops, function="fft")


def price_detection_postprocess(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``TFLite_Detection_PostProcess``, from encoded boxes, class scores and anchors.

    For n boxes, of which k remain: ``n (20 + 12 k)`` operations to decode each box (20, two
    exponentials among them) and to compare it with the remaining ones (12 each), and one operation
    per score to find the best class.
    """
    boxes, scores = node.require(0), node.require(1)
    detected = node.first_output.extents[1] if len(node.first_output.extents) > 1 else 10
    pricer.add(
        node,
        "pool",
        pricer.reads(boxes, scores, node.get(2)),
        ops=simplify(scores.elements + product(product(*boxes.extents[:-1]), 20 + 12 * detected)),
    )
