"""Shapes and prices of operators that TensorFlow Lite defines differently from ONNX.

Images have their channels last. Weights are ``(out, height, width, in)`` for a convolution,
``(1, height, width, channels)`` for a depthwise one and ``(out, in)`` for a dense layer. Prices are
the ONNX importer's, on the same values with permuted axes. All other operators are translated to
nodes of the ONNX standard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from perfmodel.workload.importers.onnx.convolutions import conv
from perfmodel.workload.importers.onnx.domains import STANDARD
from perfmodel.workload.importers.onnx.extents import floor, floor_div
from perfmodel.workload.importers.onnx.movement import sliced
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    OnnxValue,
    Shape,
    fixed,
    replaced,
)
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.products import matmul, matrices, sides
from perfmodel.workload.importers.onnx.quantised_operators import convert
from perfmodel.workload.importers.onnx.shapes import give, per_axis
from perfmodel.workload.importers.onnx.signals import fft
from perfmodel.workload.importers.tflite.slices import masked
from perfmodel.workload.symbols import Dim, constant, product, simplify

#: Convolution -> order of its weights' axes in ONNX.
_WEIGHTS: Final[Mapping[str, Sequence[int]]] = {
    "Conv2D": (0, 3, 1, 2),
    "DepthwiseConv2D": (3, 0, 1, 2),
    "Conv3D": (4, 3, 0, 1, 2),
}


def view(p: Pricer | None, edge: OnnxValue, shape: Shape | None) -> OnnxValue:
    """Return a value in the layout of ONNX; with a pricer, both share one tensor."""
    if p is not None and edge.kind == "constant" and edge.tensor is None:
        edge.kind = "weight"
    seen = OnnxValue(edge.name, shape, edge.kind, edge.format, tensor=edge.tensor, tag=edge.tag)
    if p is not None and edge.tensor is None:
        # Weights are declared in the layout of ONNX; the pricer itself permutes images.
        edge.tensor = seen.tensor = p.tensor(edge if edge.is_data else seen)
    return seen


def channels_second(node: OnnxNode, p: Pricer | None = None) -> OnnxNode:
    """Return a convolution, pool or block rearrangement in the layout of ONNX."""
    x = node.shape(0, 3)

    def image(edge: OnnxValue) -> OnnxValue:
        shape = edge.shape
        return view(p, edge, (shape[0], shape[-1], *shape[1:-1]) if shape else None)

    inputs = [image(node.need(0))]
    same = node.text("padding", "SAME") == "SAME"
    attributes = {**node.attributes, "auto_pad": "SAME_UPPER" if same else "VALID"}
    op = node.op
    if op in _WEIGHTS:
        w = node.need(1)
        if len(w.known) != len(x):
            raise ContradictionError(f"weights of {len(w.known)} axes for an input of {len(x)}")
        weights = tuple(w.known[axis] for axis in _WEIGHTS[op])
        groups: Dim = 1
        if op != "Conv3D":
            groups = floor_div(x[-1], fixed(weights[1], "the weights' channels"))
        attributes["group"] = fixed(groups, "the number of groups")
        inputs += [view(p, w, weights), *node.inputs[2:3]]
        op = "Conv"
    return OnnxNode(op, node.name, tuple(inputs), (image(node.out),), attributes)


def scattered(node: OnnxNode) -> None:
    """Set the shape of ``TRANSPOSE_CONV``, which is an input."""
    give(node, node.numbers(0, "the output shape"), format=node.need(2).format)


def resized(node: OnnxNode) -> None:
    """Set the shape of ``RESIZE_*``, whose height and width are an input."""
    x = node.shape(0, 3)
    give(node, (x[0], *node.numbers(1, "the new size"), x[-1]))


def batched(node: OnnxNode) -> None:
    """Set the shape of ``SPACE_TO_BATCH_ND`` or ``BATCH_TO_SPACE_ND``.

    Spatial extents become ``floor((n + borders) / block)`` and the batch is multiplied by the
    blocks, or the inverse: ``n * block - borders``.
    """
    shape = list(node.shape(0))
    size = [fixed(v, "a block") for v in node.numbers(1, "the blocks")]
    edges = [fixed(v, "a border") for v in node.numbers(2, "the borders")]
    if len(edges) != 2 * len(size) or len(size) >= len(shape) or any(b <= 0 for b in size):
        raise ContradictionError("blocks and borders that do not fit the input")
    for i, block in enumerate(size):
        border = edges[2 * i] + edges[2 * i + 1]
        if node.op == "SpaceToBatch":
            shape[0], shape[i + 1] = shape[0] * block, floor_div(shape[i + 1] + border, block)
        else:
            shape[0], shape[i + 1] = floor_div(shape[0], block), shape[i + 1] * block - border
    give(node, shape)


def dense(node: OnnxNode) -> None:
    """Set the shape of ``FULLY_CONNECTED``, whose rows are all axes before the features."""
    x, w = node.need(0), node.shape(1)
    if len(w) != 2:
        raise ContradictionError(f"weights of {len(w)} axes")
    if node.integer("keep_num_dims", 0):
        give(node, (*x.known[:-1], w[0]))
        return
    features = fixed(w[1], "the weights' inputs")
    have = constant(x.elements)
    if features <= 0 or (have is not None and have % features):
        raise ContradictionError(f"{have:g} inputs for weights of {features}")
    plain = x.known[-1:] == (features,)
    rows = product(*x.known[:-1]) if plain else floor_div(x.elements, features)
    give(node, (rows, w[0]))


def gathered(node: OnnxNode) -> None:
    """Set the shape of ``GATHER`` with batch axes, which the input and the indices share."""
    x = node.shape(0)
    give(node, replaced(x, node.axis(0, len(x)), *node.shape(1)[node.integer("batch_dims", 0) :]))


def strided(node: OnnxNode) -> None:
    """Set the shape of ``STRIDED_SLICE`` with bounds that the network computes from shapes."""
    x = node.need(0)
    begin, end = node.numbers(1, "the begin"), node.numbers(2, "the end")
    step = [fixed(v, "a step") for v in node.numbers(3, "the steps")]
    cuts, gone, new = masked(node.attributes, begin, end, step, len(x.known))
    bounds = [
        OnnxValue(f"{node.name}.{k}", (len(cuts),), "constant", "int64", tuple(c[k] for c in cuts))
        for k in range(4)
    ]
    result = OnnxValue(f"{node.name}.cut")
    sliced(OnnxNode("Slice", node.name, (x, *bounds), (result,)))
    shape = [extent for axis, extent in enumerate(result.known) if axis not in gone]
    for axis in new:
        shape.insert(axis, 1)
    give(node, shape)


def transformed(node: OnnxNode) -> None:
    """Set the shape of ``RFFT2D``: ``length // 2 + 1`` frequencies of real images."""
    x = node.shape(0)
    length = [fixed(v, "a length") for v in node.numbers(1, "the lengths")]
    if len(length) != 2 or len(x) < 2 or min(length) < 1:
        raise NotPricedError("its lengths do not fit the input")
    give(node, (*x[:-2], length[0], length[1] // 2 + 1), format="fp64")


def real_part(node: OnnxNode) -> None:
    """Set the shape of the real part of complex numbers."""
    give(node, node.shape(0), format="")


def _padding(n: OnnxNode, spatial: Shape, kernel: Sequence[int]) -> tuple[int, ...]:
    """Return the padding that ``SAME`` adds, before and then after each axis."""
    axes = len(kernel)
    if n.text("padding", "SAME") != "SAME":
        return (0,) * (2 * axes)
    s, d = per_axis(n, "strides", axes), per_axis(n, "dilations", axes)
    total: list[int] = []
    for i, k in enumerate(kernel):
        size = constant(spatial[i])
        step = s[i] if size is None or size % s[i] == 0 else int(size % s[i])
        total.append(max((k - 1) * d[i] + 1 - step, 0))
    return (*(t // 2 for t in total), *(t - t // 2 for t in total))


def channels_last(node: OnnxNode) -> None:
    """Set the shape of a window or block operator on channels-last images, by the ONNX rule."""
    plain = channels_second(node)
    rule = STANDARD[plain.op].shape
    assert rule is not None
    rule(plain)
    batch, channels, *spatial = map(floor, plain.out.known)
    give(node, (batch, *spatial, channels))


def windowed(p: Pricer, n: OnnxNode) -> None:
    """Price a window or block operator on channels-last images by the ONNX price."""
    plain = channels_second(n, p)
    x, *weights = plain.inputs
    price = STANDARD[plain.op].price
    assert x is not None
    assert price is not None
    kernel = plain.integers("kernel_shape") or tuple(
        fixed(tap, "a kernel size") for w in weights[:1] if w for tap in w.known[2:]
    )
    plain.attributes = {**plain.attributes, "pads": _padding(n, x.known[2:], kernel)}
    price(p, plain)


def conv_transpose(p: Pricer, n: OnnxNode) -> None:
    """Price ``TRANSPOSE_CONV`` by its input: a multiply-accumulate per tap and output channel."""
    w, x, bias = n.need(1), n.need(2), n.get(3)
    out, *taps, channels = w.known

    def image(edge: OnnxValue) -> OnnxValue:
        batch, *spatial, last = edge.known
        return view(p, edge, (batch, last, *spatial))

    inputs = image(x), view(p, w, (channels, out, *taps)), bias
    attributes = {"strides": per_axis(n, "strides", len(taps))}
    plain = OnnxNode("ConvTranspose", n.name, inputs, (image(n.out),), attributes)
    conv(p, plain, transposed=True)


def biased_transpose(p: Pricer, n: OnnxNode) -> None:
    """Price ``Convolution2DTransposeBias`` of MediaPipe: input, weights, bias."""
    conv_transpose(p, OnnxNode(n.op, n.name, (None, n.need(1), n.need(0), n.get(2)), n.outputs))


def fully_connected(p: Pricer, n: OnnxNode) -> None:
    """Price ``FULLY_CONNECTED`` as one matrix product."""
    x, w, bias = n.need(0), n.need(1), n.get(2)
    out, features = w.known
    rows = floor_div(n.out.elements, fixed(out, "the weights' outputs"))
    plain = OnnxNode("Gemm", n.name, n.inputs, n.outputs, n.attributes)
    dims = 1, rows, out, features
    matrices(p, plain, x, w, dims, bias=bias, b_batched=w.is_data)


def batch_matmul(p: Pricer, n: OnnxNode) -> None:
    """Price ``BATCH_MATMUL``, a product of two stacks of matrices."""
    a, b = (view(p, n.need(i), shape) for i, shape in enumerate(sides(n)))
    matmul(p, OnnxNode("MatMul", n.name, (a, b), n.outputs))


def converting(p: Pricer, n: OnnxNode) -> None:
    """Price ``QUANTIZE`` and ``DEQUANTIZE`` of a computed value."""
    op = "QuantizeLinear" if n.op == "Quantize" else "DequantizeLinear"
    convert(p, OnnxNode(op, n.name, n.inputs, n.outputs))


def assign(p: Pricer, n: OnnxNode) -> None:
    """Price ``ASSIGN_VARIABLE`` as a copy to the state, which remains in memory."""
    state = n.get(1)
    if state is not None and state.shape == n.out.shape:
        n.out.tensor = p.tensor(state)
    p.add(n, "copy", [p.tensor(n.need(0))])


def lookup(p: Pricer, n: OnnxNode) -> None:
    """Price a lookup, which reads the indices and as many elements as it writes."""
    p.add(n, "gather", [*p.reads(n.get(1)), (p.tensor(n.need(0)), n.out.elements)])


def fourier(p: Pricer, n: OnnxNode) -> None:
    """Price ``RFFT2D``: one real FFT per row, and one complex FFT per column of the spectrum."""
    x = n.need(0)
    rows, columns = (fixed(d, "a length") for d in n.numbers(1, "the lengths"))
    each = rows * 0.5 * fft(columns) + (columns // 2 + 1) * fft(rows)
    ops = product(*x.known[:-2], each)
    p.add(n, "elementwise", [p.tensor(x)], ops=ops, function="fft")


def detections(p: Pricer, n: OnnxNode) -> None:
    """Price ``TFLite_Detection_PostProcess``, from encoded boxes, class scores and anchors.

    Each box is decoded (20 operations, two exponentials among them) and compared with the boxes
    that remain, as many as the first output holds, at 12 operations each; the best class costs one
    operation per score.
    """
    boxes, scores = n.need(0), n.need(1)
    detected = n.out.known[1] if len(n.out.known) > 1 else 10
    p.add(
        n,
        "pool",
        p.reads(boxes, scores, n.get(2)),
        ops=simplify(scores.elements + product(product(*boxes.known[:-1]), 20 + 12 * detected)),
    )
