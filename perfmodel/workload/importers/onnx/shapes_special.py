"""Shapes of signals, selections that only the data decide, quantised and contributed operators."""

from __future__ import annotations

from perfmodel.workload.importers.onnx.extents import floor_div
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    Shape,
    axis_of,
    fixed,
    replaced,
    turned,
)
from perfmodel.workload.importers.onnx.read import FORMATS
from perfmodel.workload.importers.onnx.shapes import give, spread
from perfmodel.workload.importers.onnx.shapes_movement import sum_of
from perfmodel.workload.importers.onnx.shapes_products import stacked
from perfmodel.workload.symbols import Dim, constant, product, simplify


def dft(node: OnnxNode) -> None:
    """``DFT``: complex numbers are a last axis of 2."""
    x = list(node.shape(0))
    if not x:
        raise ContradictionError("a transform of a scalar")
    axis = transform_axis(node)
    if node.get(1) is not None:
        x[axis] = node.number(1, "the length")
    inverse, onesided = node.whole("inverse", 0), node.whole("onesided", 0)
    if onesided and not inverse:
        x[axis] = floor_div(x[axis], 2) + 1
    elif onesided and inverse and node.get(1) is None:
        x[axis] = (x[axis] - 1) * 2
    x[-1] = 1 if onesided and inverse else 2
    give(node, x)


def transform_axis(node: OnnxNode) -> int:
    """Return the axis that a ``DFT`` runs along (an attribute, an input since set 20)."""
    rank = len(node.shape(0))
    third = node.get(2)
    if third is not None:
        return axis_of(fixed(node.number(2, "the axis"), "an axis"), rank)
    # The default moved from 1 to the last but one with operator set 20, where both agree in
    # rank 3; the attribute is the older form.
    return node.axis(-2 if rank == 3 else 1, rank)


def stft_lengths(node: OnnxNode) -> tuple[Dim, Dim]:
    """Return how many frames an ``STFT`` has and how long they are."""
    signal = node.shape(0)
    step = fixed(node.number(1, "the frame step"), "the frame step")
    if node.get(3) is not None:
        length = node.number(3, "the frame length")
    elif node.get(2) is not None:
        length = node.shape(2)[0]
    else:
        raise ContradictionError("neither a window nor a frame length")
    if step <= 0:
        raise ContradictionError(f"a frame step of {step}")
    return simplify(floor_div(signal[1] - length, step) + 1), length


def stft(node: OnnxNode) -> None:
    """``STFT``: frames by bins."""
    frames, length = stft_lengths(node)
    bins = floor_div(length, 2) + 1 if node.whole("onesided", 1) else length
    give(node, (node.shape(0)[0], frames, bins, 2))


def nonzero(node: OnnxNode) -> None:
    """``NonZero``: the data decide how many."""
    x = node.need(0)
    give(node, (max(len(x.known), 1), _picked(node, 1, x.elements)), format="int64")


def _picked(node: OnnxNode, axis: int, most: Dim) -> Dim:
    """Return an extent that the data decide; by default all that there are."""
    return node.open(0, axis, constant(most) or 1)


def _along(node: OnnxNode) -> tuple[Shape, int]:
    """Return a shape and the axis that is picked from; all elements where none is stated."""
    x = node.shape(0)
    if "axis" not in node.attributes:
        x = (product(*x),)
    return x, node.axis(0, len(x))


def compress(node: OnnxNode) -> None:
    """``Compress``: the data decide how many."""
    x, axis = _along(node)
    give(node, replaced(x, axis, _picked(node, axis, x[axis])))


def suppression(node: OnnxNode) -> None:
    """``NonMaxSuppression``: the data decide how many boxes are left."""
    limit = node.get(2)
    most = (limit.number() if limit is not None else None) or 1
    give(node, (_picked(node, 0, product(*node.shape(1)[:2], most)), 3), format="int64")


def unique(node: OnnxNode) -> None:
    """``Unique``: the data decide how many."""
    x, axis = _along(node)
    count = _picked(node, axis, x[axis])
    give(node, replaced(x, axis, count))
    for i, extent in enumerate((count, x[axis], count), 1):
        give(node, (extent,), i, "int64")


def multinomial(node: OnnxNode) -> None:
    """``Multinomial``: samples of each row."""
    format = FORMATS.get(node.whole("dtype", 6), "int32")
    give(node, (node.shape(0)[0], node.whole("sample_size", 1)), format=format)


def quantise(node: OnnxNode) -> None:
    """``QuantizeLinear``: the format of the zero point, or of an attribute."""
    zero = node.get(2)
    stated = node.attributes.get("output_dtype")
    format = FORMATS.get(stated, "uint8") if isinstance(stated, int) and stated else "uint8"
    give(node, node.shape(0), format=zero.format if zero else format)


def dequantise(node: OnnxNode) -> None:
    """``DequantizeLinear``: the format of the scale."""
    give(node, node.shape(0), format=node.need(1).format)


def dynamic_quantise(node: OnnxNode) -> None:
    """``DynamicQuantizeLinear``: values, scale and zero point."""
    give(node, node.shape(0), format="uint8")
    give(node, (), 1)
    give(node, (), 2, "uint8")


def quantised_pair(node: OnnxNode) -> None:
    """``QLinearAdd``, ``QLinearMul``: inputs 0 and 3 are broadcast."""
    zero = node.get(7)
    give(node, spread(node.shape(0), node.shape(3)), format=zero.format if zero else None)


def quantised_concat(node: OnnxNode) -> None:
    """``QLinearConcat``: scale, zero point, then a triple an input."""
    shapes = [e.known for e in node.inputs[2::3] if e is not None]
    if not shapes:
        raise ContradictionError("it has no inputs")
    axis = node.axis(0, len(shapes[0]))
    total = sum_of(shape[axis] for shape in shapes)
    give(node, replaced(shapes[0], axis, total), format=node.need(1).format)


def quantised_gemm(node: OnnxNode) -> None:
    """``QGemm``: ``A, scale, zero, B, scale, zero, C, scale, zero``."""
    a, b = node.shape(0, 2), node.shape(3, 2)
    give(
        node,
        (a[1] if node.whole("transA", 0) else a[0], b[0] if node.whole("transB", 0) else b[1]),
        format=(node.get(8) or node.need(1)).format,
    )


def spatial_mean(node: OnnxNode) -> None:
    """``QLinearGlobalAveragePool``."""
    x = node.shape(0)
    ones = (1,) * (len(x) - 2)
    give(node, (x[0], *ones, x[-1]) if node.whole("channels_last", 0) else (*x[:2], *ones))


def integer_to_float(node: OnnxNode) -> None:
    """``MatMulIntegerToFloat`` and ``DynamicQuantizeMatMul``: float results."""
    give(node, stacked(node.shape(0), node.shape(1)), format=node.need(2).format)


def narrow(node: OnnxNode) -> None:
    """``MatMulNBits`` and ``MatMulBnb4``: weights in a few bits, features as an attribute."""
    x = node.shape(0, 1)
    features = node.whole("N", 0)
    if features <= 0 or node.whole("K", 0) <= 0:
        raise ContradictionError("attributes 'K' and 'N' are missing")
    give(node, (*x[:-1], features))


def quantised_lstm(node: OnnxNode) -> None:
    """``DynamicQuantizeLSTM``: as ``LSTM``, its recurrent weights turned, results in float."""
    steps, batch, _ = node.shape(0, 3)
    directions, hidden, _ = node.shape(2, 3)
    give(node, (steps, directions, batch, hidden))
    for i in (1, 2):
        give(node, (directions, batch, hidden), i)


def fused_matmul(node: OnnxNode) -> None:
    """``FusedMatMul``: either side turned."""
    give(node, stacked(*sides(node)))


def sides(node: OnnxNode) -> tuple[Shape, Shape]:
    """Return the shapes of both sides of a product as they are multiplied."""
    a, b = node.shape(0, 2), node.shape(1, 2)
    return (
        turned(a) if node.whole("transA", 0) else a,
        turned(b) if node.whole("transB", 0) else b,
    )


def embed_norm(node: OnnxNode) -> None:
    """``EmbedLayerNormalization``: word, position and segment embeddings, normalised."""
    ids, table = node.shape(0), node.need(2)
    rows = *ids, table.known[-1]
    give(node, rows, format=table.format)
    give(node, ids[:1], 1, "int32")
    give(node, rows, 2, table.format)


def block_gather(node: OnnxNode) -> None:
    """``GatherBlockQuantized``: rows of a narrow table, unpacked."""
    x = node.shape(0)
    axis = axis_of(node.whole("gather_axis", 0), len(x))
    bits = node.whole("bits", 4)
    if node.need(0).format in {"uint8", "int8"} and bits < 8:
        x = (*x[:-1], x[-1] * (8 // bits))
    give(node, replaced(x, axis, *node.shape(1)), format=node.need(2).format)


def swiglu(node: OnnxNode) -> None:
    """``SwiGLU``: half of the last axis gates the other."""
    x = node.shape(0)
    two = node.get(1)
    if two is None or two.shape != x:
        axis = node.axis(-1, len(x))
        x = replaced(x, axis, x[axis] / 2)
    give(node, x)


def linear_attention(node: OnnxNode) -> None:
    """``LinearAttention``: the values of each query head, and the state kept."""
    q, k, v = (node.shape(i, 3) for i in range(3))
    heads, groups = node.whole("q_num_heads", 0), node.whole("kv_num_heads", 0)
    if heads <= 0 or groups <= 0:
        raise ContradictionError("attributes 'q_num_heads' and 'kv_num_heads' are missing")
    wide = simplify(v[2] / groups)
    give(node, (q[0], q[1], product(heads, wide)))
    give(node, (q[0], groups, k[2] / groups, wide), 1)


def causal_conv(node: OnnxNode) -> None:
    """``CausalConvWithState``: as long as the input, and the last positions but one window."""
    x, w = node.shape(0, 3), node.shape(1, 3)
    give(node, x)
    give(node, (*x[:2], w[2] - 1), 1)


def scan(node: OnnxNode) -> None:
    """``Scan`` comes here where no body can be written out."""
    count = node.whole("num_scan_inputs", 0)
    raise ContradictionError(f"attribute 'num_scan_inputs' is {count} of {len(node.inputs)} inputs")
