"""Prices of operators that TensorFlow Lite means otherwise than ONNX.

Images have their channels last, weights of a convolution are ``(out, height, width, in)``, those of
a depthwise one ``(1, height, width, channels)``, those of a dense layer ``(out, in)``. A price is
the ONNX importer's, on the same values with their axes in its order. Everything else is translated
into nodes of the ONNX standard.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from perfmodel.workload.importers.onnx import operators_movement as move
from perfmodel.workload.importers.onnx import operators_products as multiply
from perfmodel.workload.importers.onnx.extents import floor_div
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue, Shape, fixed
from perfmodel.workload.importers.onnx.operators_pointwise import pool
from perfmodel.workload.importers.onnx.operators_quantised import convert
from perfmodel.workload.importers.onnx.operators_special import fft, suppress
from perfmodel.workload.importers.onnx.pricing import Pricer, Pricing, counted
from perfmodel.workload.importers.onnx.registry import by_name, each, priced
from perfmodel.workload.importers.onnx.shapes import (
    broadcasting,
    cast,
    convolution,
    first_same,
    per_axis,
)
from perfmodel.workload.importers.onnx.shapes import pool as pooled
from perfmodel.workload.importers.onnx.shapes_made import blocks
from perfmodel.workload.importers.onnx.shapes_special import fused_matmul, sides
from perfmodel.workload.importers.tflite import shapes
from perfmodel.workload.importers.tflite.recurrent import (
    basic_lstm,
    lstm,
    sequence_shape,
    simple_rnn,
    svdf,
    svdf_shape,
)
from perfmodel.workload.symbols import constant, product, simplify


def _padding(n: OnnxNode, spatial: Shape, kernel: Sequence[int]) -> tuple[int, ...]:
    """Return the border that ``SAME`` adds, smaller half first."""
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


def windowed(price: Pricing) -> Pricing:
    """Return the price of ONNX for windows over images that have their channels last."""

    def pricing(p: Pricer, n: OnnxNode) -> None:
        plain = shapes.channels_second(n, p)
        x, *weights = plain.inputs
        assert x is not None
        kernel = plain.wholes("kernel_shape") or tuple(
            fixed(tap, "a kernel size") for w in weights[:1] if w for tap in w.known[2:]
        )
        plain.attributes = {**plain.attributes, "pads": _padding(n, x.known[2:], kernel)}
        price(p, plain)

    return pricing


def conv_transpose(p: Pricer, n: OnnxNode) -> None:
    """Price ``TRANSPOSE_CONV``: the work is the input's, each value spread over a window."""
    w, x, bias = n.need(1), n.need(2), n.get(3)
    out, *taps, channels = w.known

    def image(edge: OnnxValue) -> OnnxValue:
        batch, *spatial, last = edge.known
        return shapes.view(p, edge, (batch, last, *spatial))

    inputs = image(x), shapes.view(p, w, (channels, out, *taps)), bias
    attributes = {"strides": per_axis(n, "strides", len(taps))}
    plain = OnnxNode("ConvTranspose", n.name, inputs, (image(n.out),), attributes)
    multiply.conv(p, plain, transposed=True)


def biased_transpose(p: Pricer, n: OnnxNode) -> None:
    """Price MediaPipe's ``Convolution2DTransposeBias``: input, weights, bias."""
    conv_transpose(p, OnnxNode(n.op, n.name, (None, n.need(1), n.need(0), n.get(2)), n.outputs))


def fully_connected(p: Pricer, n: OnnxNode) -> None:
    """Price a dense layer."""
    x, w, bias = n.need(0), n.need(1), n.get(2)
    out, features = w.known
    rows = floor_div(n.out.elements, fixed(out, "the weights' outputs"))
    plain = OnnxNode("Gemm", n.name, n.inputs, n.outputs, n.attributes)
    dims = 1, rows, out, features
    multiply.matrices(p, plain, x, w, dims, bias=bias, b_batched=w.is_data)


def batch_matmul(p: Pricer, n: OnnxNode) -> None:
    """Price a product of two stacks of matrices."""
    a, b = (shapes.view(p, n.need(i), shape) for i, shape in enumerate(sides(n)))
    multiply.matmul(p, OnnxNode("MatMul", n.name, (a, b), n.outputs))


def converting(p: Pricer, n: OnnxNode) -> None:
    """Price ``QUANTIZE`` and ``DEQUANTIZE`` of what is computed."""
    op = "QuantizeLinear" if n.op == "Quantize" else "DequantizeLinear"
    convert(p, OnnxNode(op, n.name, n.inputs, n.outputs))


def assign(p: Pricer, n: OnnxNode) -> None:
    """Price ``ASSIGN_VARIABLE``: a copy to where the state lies, which is held all through."""
    state = n.get(1)
    if state is not None and state.shape == n.out.shape:
        n.out.tensor = p.tensor(state)
    p.add(n, "copy", [p.tensor(n.need(0))])


def lookup(p: Pricer, n: OnnxNode) -> None:
    """Price a lookup: the indices and the elements picked."""
    p.add(n, "gather", [*p.reads(n.get(1)), (p.tensor(n.need(0)), n.out.elements)])


def fourier(p: Pricer, n: OnnxNode) -> None:
    """Price ``RFFT2D``: a transform a row, half of it for real numbers, and one per column."""
    x = n.need(0)
    rows, columns = (fixed(d, "a length") for d in n.numbers(1, "the lengths"))
    each = rows * 0.5 * fft(columns) + (columns // 2 + 1) * fft(rows)
    ops = product(*x.known[:-2], each)
    p.add(n, "elementwise", [p.tensor(x)], ops=ops, function="fft")


def detections(p: Pricer, n: OnnxNode) -> None:
    """Price ``TFLite_Detection_PostProcess``: encoded boxes, scores of classes, anchors.

    A box is decoded (20 operations with two exponentials), its best class is looked for, and it is
    compared with those that are kept, as many as the first output holds.
    """
    boxes, scores = n.need(0), n.need(1)
    kept = n.out.known[1] if len(n.out.known) > 1 else 10
    p.add(
        n,
        "pool",
        p.reads(boxes, scores, n.get(2)),
        ops=simplify(scores.elements + product(product(*boxes.known[:-1]), 20 + 12 * kept)),
    )


def control_flow(p: Pricer, n: OnnxNode) -> None:
    """Refuse what runs other subgraphs, with their names."""
    raise NotPricedError(n.text("runs", "it runs another subgraph"))


_of: Final = shapes.as_in_onnx

#: What a reader of this format asks the module for (`perfmodel.workload.importers.onnx.domains`).
OPERATORS: Final = by_name(
    each(_of(convolution), windowed(multiply.conv), "Conv2D", "DepthwiseConv2D", "Conv3D"),
    each(_of(pooled), windowed(pool), "AveragePool", "MaxPool", "LpPool"),
    each(_of(blocks), move.copy, "DepthToSpace", "SpaceToDepth"),
    each(shapes.batched, move.copy, "SpaceToBatch", "BatchToSpace"),
    each(cast, converting, "Quantize", "Dequantize"),
    each(sequence_shape, lstm, "SequenceLSTM", "BidirectionalLSTM"),
    each(None, suppress, "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5"),
    each(None, control_flow, "IF", "WHILE", "CALL"),
    each(shapes.real_part, counted("elementwise", function="complex"), "Real", "Imag"),
    (
        *priced(counted("elementwise", 7, function="complex"), ComplexAbs=shapes.real_part),
        *priced(conv_transpose, TransposeConv=shapes.scattered),
        *priced(biased_transpose, Convolution2DTransposeBias=None),
        *priced(detections, TFLite_Detection_PostProcess=None),
        *priced(move.sample, TransformTensorBilinear=None),
        *priced(move.resize, Resize=shapes.resized),
        *priced(move.copy, Copy=first_same),
        *priced(assign, Assign=first_same),
        *priced(move.part, StridedSlice=shapes.strided),
        *priced(fully_connected, FullyConnected=shapes.dense),
        *priced(batch_matmul, BatchMatMul=fused_matmul),
        *priced(lookup, Gather=shapes.gathered),
        *priced(
            counted("norm", 6, inplace=True, function="l2_normalization"),
            L2Normalization=first_same,
        ),
        *priced(
            counted("elementwise", 2, of="output", reads="all", function="squared_difference"),
            SquaredDifference=broadcasting,
        ),
        *priced(fourier, RFFT2D=shapes.transformed),
        *priced(svdf, SVDF=svdf_shape),
        *priced(basic_lstm, BasicLSTM=sequence_shape),
        *priced(simple_rnn, SequenceRNN=sequence_shape),
    ),
)
