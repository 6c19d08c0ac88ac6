"""Prices of operators that TensorFlow Lite means otherwise than ONNX.

Images have their channels last, weights of a convolution are ``(out, height, width, in)``, those of
a depthwise one ``(1, height, width, channels)``, those of a dense layer ``(out, in)``. A price is
the ONNX importer's, on the same values with their axes in its order. Everything else is translated
into nodes of the ONNX standard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from perfmodel.workload.importers.onnx import operators_movement as move
from perfmodel.workload.importers.onnx.extents import floor_div
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue, Shape, fixed
from perfmodel.workload.importers.onnx.operators_pointwise import pool
from perfmodel.workload.importers.onnx.operators_products import (
    convolution,
    matrices,
    product_of,
)
from perfmodel.workload.importers.onnx.operators_quantised import convert
from perfmodel.workload.importers.onnx.pricing import Pricer, counted
from perfmodel.workload.importers.onnx.registry import by_name, each, priced
from perfmodel.workload.importers.onnx.shapes import broadcasting, first_same, per_axis
from perfmodel.workload.importers.onnx.shapes_movement import numbers
from perfmodel.workload.importers.tflite import shapes
from perfmodel.workload.importers.tflite.recurrent import (
    basic_lstm,
    lstm,
    sequence_shape,
    simple_rnn,
    svdf,
    svdf_shape,
)
from perfmodel.workload.symbols import Dim, constant, product, simplify


def _turned(shape: Shape) -> Shape:
    """Return a shape whose last axis comes second: channels first."""
    return (shape[0], shape[-1], *shape[1:-1])


def _view(p: Pricer, edge: OnnxValue, shape: Shape) -> OnnxValue:
    """Return a value with its axes in the order of the ONNX importer; the tensor is the same."""
    if edge.kind == "constant" and edge.tensor is None:
        edge.kind = "weight"
    view = OnnxValue(edge.name, shape, edge.kind, edge.format, tensor=edge.tensor, tag=edge.tag)
    if edge.tensor is None:
        # Weights are declared as they are seen here; of images the pricer knows the order.
        edge.tensor = view.tensor = p.tensor(edge if edge.is_data else view)
    return view


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


def conv(p: Pricer, n: OnnxNode) -> None:
    """Price a convolution with channels last."""
    x, w, bias = n.need(0), n.need(1), n.get(2)
    if n.op == "Conv3D":
        depth, height, width, each, out = w.known
        taps: Shape = (depth, height, width)
        weights: Shape = (out, each, *taps)
        groups: Dim = 1
    elif n.op == "DepthwiseConv2D":
        taps = w.known[1:-1]
        weights, groups = (w.known[-1], 1, *taps), x.known[-1]
    else:
        taps = w.known[1:-1]
        weights = (w.known[0], w.known[-1], *taps)
        groups = floor_div(x.known[-1], fixed(w.known[-1], "the weights' channels"))
    kernel = [fixed(t, "a kernel size") for t in taps]
    attributes = {
        "strides": per_axis(n, "strides", len(kernel)),
        "dilations": per_axis(n, "dilations", len(kernel)),
        "pads": _padding(n, x.known[1:-1], kernel),
        "group": fixed(groups, "the number of groups"),
    }
    y = _view(p, n.out, _turned(n.out.known))
    views = (_view(p, x, _turned(x.known)), _view(p, w, weights))
    plain = OnnxNode("Conv", n.name, (*views, bias), (y,), attributes)
    convolution(p, plain, *views, bias)


def conv_transpose(p: Pricer, n: OnnxNode) -> None:
    """Price ``TRANSPOSE_CONV``: the work is the input's, each value spread over a window."""
    w, x, bias = n.need(1), n.need(2), n.get(3)
    kernel = [fixed(t, "a kernel size") for t in w.known[1:-1]]
    weights = (w.known[-1], w.known[0], *kernel)
    views = (_view(p, x, _turned(x.known)), _view(p, w, weights))
    y = _view(p, n.out, _turned(n.out.known))
    attributes = {"strides": n.wholes("strides") or (1,) * len(kernel)}
    plain = OnnxNode("ConvTranspose", n.name, (*views, bias), (y,), attributes)
    convolution(p, plain, *views, bias, transposed=True)


def biased_transpose(p: Pricer, n: OnnxNode) -> None:
    """Price MediaPipe's ``Convolution2DTransposeBias``: input, weights, bias."""
    conv_transpose(p, OnnxNode(n.op, n.name, (None, n.need(1), n.need(0), n.get(2)), n.outputs))


def pooling(p: Pricer, n: OnnxNode) -> None:
    """Price a pool with channels last."""
    x = n.need(0)
    kernel = n.wholes("kernel_shape") or ()
    views = (_view(p, x, _turned(x.known)),)
    y = _view(p, n.out, _turned(n.out.known))
    attributes = {
        "kernel_shape": kernel,
        "strides": per_axis(n, "strides", len(kernel)),
        "pads": _padding(n, x.known[1:-1], kernel),
    }
    pool(p, OnnxNode(n.op, n.name, views, (y,), attributes))


def fully_connected(p: Pricer, n: OnnxNode) -> None:
    """Price a dense layer."""
    x, w, bias = n.need(0), n.need(1), n.get(2)
    out, features = w.known
    rows = floor_div(n.out.elements, fixed(out, "the weights' outputs"))
    plain = OnnxNode("Gemm", n.name, n.inputs, n.outputs, n.attributes)
    matrices(p, plain, x, w, (1, rows, out, features), bias=bias, b_batched=w.is_data)


def batch_matmul(p: Pricer, n: OnnxNode) -> None:
    """Price a product of two stacks of matrices."""
    a, b = (
        _view(p, n.need(i), shape) if n.need(i).is_data else _weights(p, n.need(i), shape)
        for i, shape in enumerate(shapes.sides(n))
    )
    product_of(p, OnnxNode("MatMul", n.name, (a, b), n.outputs, n.attributes), a, b)


def _weights(p: Pricer, edge: OnnxValue, shape: Shape) -> OnnxValue:
    edge.kind = "weight"
    return _view(p, edge, shape)


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
    """Price ``RFFT2D``: ``5 n log2 n`` operations a complex transform.

    That is Cooley and Tukey's radix 2; half of it for real rows, none for columns of one number.
    """
    x = n.need(0)
    rows, columns = (fixed(d, "a length") for d in numbers(n.get(1), "the lengths"))
    images = product(*x.known[:-2])
    ops = rows * 2.5 * columns * math.log2(columns)
    ops += (columns // 2 + 1) * 5.0 * rows * math.log2(rows)
    p.add(n, "elementwise", [p.tensor(x)], ops=product(images, ops), attributes={"function": "fft"})


def suppress(p: Pricer, n: OnnxNode) -> None:
    """Price ``NON_MAX_SUPPRESSION_V4`` and ``_V5``.

    Every box is compared with those that are kept: 12 operations an overlap, of as many as may be
    kept (how many are only the data tell).
    """
    boxes, limit = n.need(0), n.get(2)
    most = limit.number() if limit is not None else None
    count = boxes.known[0]
    p.add(
        n, "pool", p.reads(boxes, n.get(1)), ops=product(count, count if most is None else most, 12)
    )


def detections(p: Pricer, n: OnnxNode) -> None:
    """Price ``TFLite_Detection_PostProcess``: encoded boxes, scores of classes, anchors.

    A box is decoded (20 operations with two exponentials), its best class is looked for, and it is
    compared with those that are kept, as many as the first output holds.
    """
    boxes, scores = n.need(0), n.need(1)
    kept = n.out.known[1] if len(n.out.known) > 1 else 10
    count = product(*boxes.known[:-1])
    p.add(
        n,
        "pool",
        p.reads(boxes, scores, n.get(2)),
        ops=simplify(scores.elements + product(count, 20 + 12 * kept)),
    )


def control_flow(p: Pricer, n: OnnxNode) -> None:
    """Refuse what runs other subgraphs, with their names."""
    raise NotPricedError(n.text("runs", "it runs another subgraph"))


#: What a reader of this format asks the module for (`perfmodel.workload.importers.onnx.domains`).
OPERATORS: Final = by_name(
    each(shapes.convolved, conv, "Conv2D", "DepthwiseConv2D", "Conv3D"),
    each(shapes.pooled, pooling, "AveragePool", "MaxPool", "LpPool"),
    each(shapes.blocks, move.copy, "DepthToSpace", "SpaceToDepth"),
    each(shapes.batched, move.copy, "SpaceToBatch", "BatchToSpace"),
    each(shapes.converted, converting, "Quantize", "Dequantize"),
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
        *priced(batch_matmul, BatchMatMul=shapes.multiplied),
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
