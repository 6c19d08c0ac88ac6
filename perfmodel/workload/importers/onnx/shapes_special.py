"""Shapes of signals, selections that only the data decide, quantised and contributed operators."""

from __future__ import annotations

from perfmodel.workload.importers.onnx.extents import floor_div
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    axis_of,
    fixed,
    replaced,
)
from perfmodel.workload.importers.onnx.read import FORMATS
from perfmodel.workload.importers.onnx.shapes import (
    give,
    ranked,
    spread,
)
from perfmodel.workload.importers.onnx.shapes_movement import numbers
from perfmodel.workload.importers.onnx.shapes_products import stacked
from perfmodel.workload.symbols import Dim, constant, product, simplify


def dft(node: OnnxNode) -> None:
    """``DFT``: complex numbers are a last axis of 2."""
    x = list(node.need(0).known)
    if not x:
        raise ContradictionError("a transform of a scalar")
    axis = transform_axis(node)
    if node.get(1) is not None:
        x[axis] = numbers(node.get(1), "the length")[0]
    inverse, onesided = node.whole("inverse", 0), node.whole("onesided", 0)
    if onesided and not inverse:
        x[axis] = simplify(floor_div(x[axis], 2) + 1)
    elif onesided and inverse and node.get(1) is None:
        x[axis] = simplify((x[axis] - 1) * 2)
    x[-1] = 1 if onesided and inverse else 2
    give(node, x)


def transform_axis(node: OnnxNode) -> int:
    """Return the axis that a ``DFT`` runs along (an attribute, an input since set 20)."""
    rank = len(node.need(0).known)
    third = node.get(2)
    if third is not None:
        return axis_of(fixed(numbers(third, "the axis")[0], "an axis"), rank)
    # The default moved from 1 to the last but one with operator set 20, where both agree in
    # rank 3; the attribute is the older form.
    return node.axis(-2 if rank == 3 else 1, rank)


def stft_lengths(node: OnnxNode) -> tuple[Dim, Dim]:
    """Return how many frames an ``STFT`` has and how long they are."""
    signal = node.need(0).known
    step = fixed(numbers(node.get(1), "the frame step")[0], "the frame step")
    if node.get(3) is not None:
        length = numbers(node.get(3), "the frame length")[0]
    elif node.get(2) is not None:
        length = node.need(2).known[0]
    else:
        raise ContradictionError("neither a window nor a frame length")
    if step <= 0:
        raise ContradictionError(f"a frame step of {step}")
    return simplify(floor_div(signal[1] - length, step) + 1), length


def stft(node: OnnxNode) -> None:
    """``STFT``: frames by bins."""
    frames, length = stft_lengths(node)
    bins = simplify(floor_div(length, 2) + 1) if node.whole("onesided", 1) else length
    give(node, (node.need(0).known[0], frames, bins, 2))


def nonzero(node: OnnxNode) -> None:
    """``NonZero``: the data decide how many."""
    x = node.need(0)
    give(node, (max(len(x.known), 1), _picked(node, 1, x.elements)), format="int64")


def _picked(node: OnnxNode, axis: int, most: Dim) -> Dim:
    """Return an extent that the data decide; by default all that there are."""
    return node.open(0, axis, constant(most) or 1)


def compress(node: OnnxNode) -> None:
    """``Compress``: the data decide how many."""
    x = node.need(0).known
    if "axis" not in node.attributes:
        give(node, (_picked(node, 0, product(*x)),))
        return
    axis = node.axis(0, len(x))
    give(node, replaced(x, axis, _picked(node, axis, x[axis])))


def suppression(node: OnnxNode) -> None:
    """``NonMaxSuppression``: the data decide how many boxes are left."""
    limit = node.get(2)
    most: Dim = 0
    if limit is not None and limit.number() is not None:
        most = limit.number() or 0
    classes = product(*node.need(1).known[:2])
    give(node, (_picked(node, 0, product(classes, most or 1)), 3), format="int64")


def unique(node: OnnxNode) -> None:
    """``Unique``: the data decide how many."""
    x = node.need(0).known
    if "axis" in node.attributes:
        axis = node.axis(0, len(x))
        count = _picked(node, axis, x[axis])
        give(node, replaced(x, axis, count))
    else:
        axis = 0
        count = _picked(node, 0, product(*x))
        give(node, (count,))
    give(node, (count,), 1, "int64")
    give(node, (x[axis] if "axis" in node.attributes else product(*x),), 2, "int64")
    give(node, (count,), 3, "int64")


def multinomial(node: OnnxNode) -> None:
    """``Multinomial``: samples of each row."""
    to = node.whole("dtype", 6)
    samples = node.whole("sample_size", 1)
    give(node, (node.need(0).known[0], samples), format=FORMATS.get(to, "int32"))


def quantise(node: OnnxNode) -> None:
    """``QuantizeLinear``: the format of the zero point, or of an attribute."""
    zero = node.get(2)
    stated = node.attributes.get("output_dtype")
    format = FORMATS.get(stated, "uint8") if isinstance(stated, int) and stated else "uint8"
    give(node, node.need(0).known, format=zero.format if zero is not None else format)


def dequantise(node: OnnxNode) -> None:
    """``DequantizeLinear``: the format of the scale."""
    give(node, node.need(0).known, format=node.need(1).format)


def dynamic_quantise(node: OnnxNode) -> None:
    """``DynamicQuantizeLinear``: values, scale and zero point."""
    give(node, node.need(0).known, format="uint8")
    give(node, (), 1)
    give(node, (), 2, "uint8")


def quantised_pair(node: OnnxNode) -> None:
    """``QLinearAdd``, ``QLinearMul``: inputs 0 and 3 are broadcast."""
    zero = node.get(7)
    give(node, spread(node.need(0).known, node.need(3).known),
         format=zero.format if zero is not None else None)  # fmt: skip


def quantised_concat(node: OnnxNode) -> None:
    """``QLinearConcat``: scale, zero point, then a triple an input."""
    parts = [e for e in node.inputs[2::3] if e is not None]
    if not parts:
        raise ContradictionError("it has no inputs")
    axis = node.axis(0, len(parts[0].known))
    total: Dim = 0
    for part in parts:
        total = total + part.known[axis]
    shape = parts[0].known
    give(node, replaced(shape, axis, total), format=node.need(1).format)


def quantised_gemm(node: OnnxNode) -> None:
    """``QGemm``: ``A, scale, zero, B, scale, zero, C, scale, zero``."""
    a, b = ranked(node.need(0), 2), ranked(node.need(3), 2)
    zero = node.get(8)
    give(
        node,
        (a[1] if node.whole("transA", 0) else a[0], b[0] if node.whole("transB", 0) else b[1]),
        format=zero.format if zero is not None else node.need(1).format,
    )


def spatial_mean(node: OnnxNode) -> None:
    """``QLinearGlobalAveragePool``."""
    x = node.need(0).known
    ones = (1,) * (len(x) - 2)
    last = node.whole("channels_last", 0)
    give(node, (x[0], *ones, x[-1]) if last else (*x[:2], *ones))


def integer_to_float(node: OnnxNode) -> None:
    """``MatMulIntegerToFloat`` and ``DynamicQuantizeMatMul``: float results."""
    scale = node.need(2)
    give(node, stacked(node.need(0).known, node.need(1).known), format=scale.format)


def narrow(node: OnnxNode) -> None:
    """``MatMulNBits`` and ``MatMulBnb4``: weights in a few bits, features as an attribute."""
    x = ranked(node.need(0), 1)
    features = node.whole("N", 0)
    if features <= 0 or node.whole("K", 0) <= 0:
        raise ContradictionError("attributes 'K' and 'N' are missing")
    give(node, (*x[:-1], features))


def quantised_lstm(node: OnnxNode) -> None:
    """``DynamicQuantizeLSTM``: as ``LSTM``, its recurrent weights turned, results in float."""
    x, r = ranked(node.need(0), 3), ranked(node.need(2), 3)
    directions, hidden = r[0], r[1]
    give(node, (x[0], directions, x[1], hidden))
    for i in (1, 2):
        give(node, (directions, x[1], hidden), i)


def fused_matmul(node: OnnxNode) -> None:
    """``FusedMatMul``: either side turned."""
    a, b = ranked(node.need(0), 2), ranked(node.need(1), 2)
    if node.whole("transA", 0):
        a = (*a[:-2], a[-1], a[-2])
    if node.whole("transB", 0):
        b = (*b[:-2], b[-1], b[-2])
    give(node, stacked(a, b))


def embed_norm(node: OnnxNode) -> None:
    """``EmbedLayerNormalization``: word, position and segment embeddings, normalised."""
    ids, table = node.need(0).known, node.need(2).known
    give(node, (*ids, table[-1]), format=node.need(2).format)
    give(node, ids[:1], 1, "int32")
    give(node, (*ids, table[-1]), 2, node.need(2).format)


def block_gather(node: OnnxNode) -> None:
    """``GatherBlockQuantized``: rows of a narrow table, unpacked."""
    x, index = node.need(0).known, node.need(1).known
    axis = axis_of(node.whole("gather_axis", 0), len(x))
    bits = node.whole("bits", 4)
    wide = list(x)
    if node.need(0).format in {"uint8", "int8"} and bits < 8:
        wide[-1] = simplify(wide[-1] * (8 // bits))
    give(node, replaced(tuple(wide), axis, *index), format=node.need(2).format)


def swiglu(node: OnnxNode) -> None:
    """``SwiGLU``: half of the last axis gates the other."""
    x = node.need(0).known
    two = node.get(1)
    if two is not None and two.shape == node.need(0).shape:
        give(node, x)
        return
    axis = node.axis(-1, len(x))
    give(node, replaced(x, axis, simplify(x[axis] / 2)))


def linear_attention(node: OnnxNode) -> None:
    """``LinearAttention``: the values of each query head, and the state kept."""
    q, k, v = (ranked(node.need(i), 3) for i in range(3))
    heads, groups = node.whole("q_num_heads", 0), node.whole("kv_num_heads", 0)
    if heads <= 0 or groups <= 0:
        raise ContradictionError("attributes 'q_num_heads' and 'kv_num_heads' are missing")
    wide = simplify(v[2] / groups)
    give(node, (q[0], q[1], product(heads, wide)))
    give(node, (q[0], groups, simplify(k[2] / groups), wide), 1)


def causal_conv(node: OnnxNode) -> None:
    """``CausalConvWithState``: as long as the input, and the last positions but one window."""
    x, w = ranked(node.need(0), 3), ranked(node.need(1), 3)
    give(node, x)
    give(node, (*x[:2], simplify(w[2] - 1)), 1)


def scan(node: OnnxNode) -> None:
    """``Scan`` comes here where no body can be written out."""
    count = node.whole("num_scan_inputs", 0)
    raise ContradictionError(f"attribute 'num_scan_inputs' is {count} of {len(node.inputs)} inputs")
