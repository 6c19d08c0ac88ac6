"""Prices of recurrent cells, signal transforms, selections, and fused operators of onnxruntime."""

from __future__ import annotations

import math

from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, fixed, turned
from perfmodel.workload.importers.onnx.operators_products import matmul, matrices
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import GATES
from perfmodel.workload.importers.onnx.shapes_special import stft_lengths, transform_axis
from perfmodel.workload.nest import LoopNest, Operand, conv_nest, gemm_nest, indexed
from perfmodel.workload.symbols import Dim, constant, distinct_experts, product, simplify


def recurrent(p: Pricer, n: OnnxNode) -> None:
    """Price ``LSTM``, ``GRU``, ``RNN``.

    The product with the input is one GEMM over all steps, so its weights are read once; that with
    the hidden state waits for each step, so nothing says that its weights stay near the engine.
    """
    x, w, r, bias = n.need(0), n.need(1), n.need(2), n.get(3)
    gates = GATES[n.op]
    steps, batch, features = x.known
    if n.whole("layout", 0):
        steps, batch = batch, steps
    directions, hidden = r.known[0], r.known[-1]
    width = simplify(hidden * gates)
    wt, rt = p.weight(w), p.weight(r)
    made = [p.tensor(e) for e in n.made]
    if not made:
        raise NotPricedError("it has no output")
    y = made[0]
    state = p.scratch(f"{n.name}.state", (batch, directions, hidden), role="state")
    source = p.tensor(x)

    def nest(weight: Tensor, k: Dim, name: str) -> LoopNest:
        extents = steps, directions, batch, width, k
        return LoopNest(
            tuple(zip("tdmnk", extents, strict=True)),
            (
                Operand(name, "input", indexed("mtk")),
                Operand(weight.name, "weight", indexed("dnk")),
                Operand(y.name, "output", indexed("mtdn")),
            ),
        )

    states = 2 if n.op == "LSTM" else 1
    p.add(
        n,
        "recurrent",
        [
            source,
            wt,
            *((t, product(t.elements, steps)) for t in (rt, *p.vector(bias))),
            *p.reads(n.get(5), n.get(6)),
        ],
        [*made, (state, product(2 * states, state.elements, steps))],
        nests=[nest(wt, features, source.name), nest(rt, hidden, state.name)],
        ops=product(batch, steps, directions, hidden, gates * 8),
        pair=(wt.slot, source.slot),
        attributes={"cell": n.op.lower()},
    )


def quantised_lstm(p: Pricer, n: OnnxNode) -> None:
    """Price ``DynamicQuantizeLSTM``: 8-bit weights, turned; inputs are quantised as it runs."""
    w, r = n.need(1), n.need(2)
    for edge in (w, r):
        if len(edge.known) != 3:
            raise NotPricedError(f"'{edge.name}' has {len(edge.known)} dimensions and not 3")
        if edge.tensor is None and not edge.is_data:
            edge.kind, edge.shape = "weight", turned(edge.known)
    recurrent(p, OnnxNode("LSTM", n.name, n.inputs[:8], n.outputs, n.attributes))


def fft(size: int) -> float:
    """Operations of a complex FFT, ``5 n log2 n`` (Cooley and Tukey's radix 2, real operations)."""
    return 5.0 * size * math.log2(size) if size > 1 else 0.0


def dft(p: Pricer, n: OnnxNode) -> None:
    """Price ``DFT`` as an FFT; half of it for real input."""
    x = n.need(0)
    size = x.known[transform_axis(n)]
    real = constant(x.known[-1]) == 1
    signals = simplify(product(*x.known[:-1]) / size)
    each = fft(fixed(size, "the length of a transform")) * (0.5 if real else 1.0)
    ops = product(signals, each)
    p.add(n, "elementwise", [p.tensor(x)], ops=ops, function="fft")


def stft(p: Pricer, n: OnnxNode) -> None:
    """Price ``STFT``: a window product and a real FFT a frame."""
    x = n.need(0)
    frames, length = stft_lengths(n)
    size = fixed(length, "the length of a frame")
    p.add(
        n,
        "elementwise",
        [(p.tensor(x), product(x.known[0], frames, size)), *p.reads(n.get(2))],
        ops=product(x.known[0], frames, 0.5 * fft(size) + size),
        function="fft",
    )


def select(p: Pricer, n: OnnxNode) -> None:
    """Price ``TopK`` and ``Unique``: every element passes a heap of k, or a sort."""
    x = n.need(0)
    number = constant(n.out.known[-1] if n.op == "TopK" else x.elements)
    depth = math.log2(number + 1) if number else 16.0
    p.add(n, "pool", p.reads(x), ops=product(x.elements, max(depth, 1.0)))


def suppress(p: Pricer, n: OnnxNode) -> None:
    """Price ``NonMaxSuppression``.

    Of each class at most `k` boxes are kept and every box is compared with those: ``n k`` overlaps
    of 12 operations (the worst case; how many are kept only the data tell).
    """
    boxes, scores, limit = n.need(0), n.need(1), n.get(2)
    count = boxes.known[-2]
    most = limit.number() if limit is not None else None
    overlaps = product(*scores.known[:-1], count, count if most is None else most)
    p.add(n, "pool", p.reads(boxes, scores), ops=product(overlaps, 12))


def fused_matmul(p: Pricer, n: OnnxNode) -> None:
    """Price ``FusedMatMul``: either side may be turned."""
    if not n.whole("transA", 0):
        matmul(p, n)
        return
    a, b = n.need(0), n.need(1)
    *lead, k, m = a.known
    features = n.out.known[-1]
    if b.is_data and len(b.known) > 2:
        matrices(p, n, a, b, (product(*n.out.known[:-2]), m, features, k), b_batched=True)
    else:
        matrices(p, n, a, b, (1, product(*lead, m), features, k), b_batched=b.is_data)


def embed_norm(p: Pricer, n: OnnxNode) -> None:
    """Price ``EmbedLayerNormalization``: three lookups, their sum, a normalisation."""
    ids, y = n.need(0), n.out
    reads: list[Tensor | tuple[Tensor, Dim]] = list(p.reads(ids, n.get(1)))
    for table in n.inputs[2:5]:
        if table is not None:
            table.tag = table.tag or "embedding"
            reads.append((p.weight(table), y.elements))
    for vector in n.inputs[5:7]:
        reads += p.vector(vector)
    ops = product(VECTOR_OPS["layer_norm"] + 2, y.elements)
    p.add(n, "gather", reads, [p.tensor(y)], ops=ops)


def experts(p: Pricer, n: OnnxNode) -> None:
    """Price ``MoE`` of onnxruntime: the experts that uniform routing of the tokens touches."""
    x, router = n.need(0), n.need(1)
    per_token = n.whole("k", 1)
    count = fixed(router.known[-1], "the experts")
    tokens = product(*router.known[:-1])
    rows = product(tokens, per_token)
    weights = [e for e in (n.get(2), n.get(4), n.get(6)) if e is not None and len(e.known) == 3]
    if not weights:
        raise NotPricedError("the weights of its experts are missing")
    width = x.known[-1]
    touched = distinct_experts(count, per_token, tokens)
    reads: list[Tensor | tuple[Tensor, Dim]] = [p.tensor(x), p.tensor(router)]
    nests: list[LoopNest] = []
    y = p.tensor(n.out)
    for edge in weights:
        edge.tag = edge.tag or "expert"
        w = p.weight(edge)
        per_expert = simplify(w.elements / count)
        reads.append((w, product(touched, per_expert)))
        features = simplify(per_expert / width)
        nests.append(gemm_nest(1, rows, features, width, x.name, w.name, y.name, b_batched=False))
    p.add(
        n,
        "moe",
        reads,
        nests=nests,
        ops=product(rows, 8, nests[0].size("n")),
        pair=(p.weight(weights[0]).slot, p.tensor(x).slot),
        attributes={"experts": count, "per_token": per_token},
    )


def linear_attention(p: Pricer, n: OnnxNode) -> None:
    """Price ``LinearAttention``: per step an outer product into the state and a product with it.

    The delta rules read the state once more to correct it; decay and rate are elementwise.
    """
    q, k, v = n.need(0), n.need(1), n.need(2)
    batch, steps, width = k.known
    heads, groups = n.whole("q_num_heads", 1), n.whole("kv_num_heads", 1)
    key, value = simplify(width / groups), simplify(v.known[2] / groups)
    state = p.scratch(f"{n.name}.state", (batch, groups, key, value), role="state")
    y = p.tensor(n.out)
    delta = "delta" in n.text("update_rule", "gated_delta")

    def nest(count: Dim, a: str, b: str, out: str) -> LoopNest:
        return LoopNest(
            (("b", batch), ("t", steps), ("h", count), ("i", key), ("j", value)),
            (
                Operand(a, "input", indexed("bthi")),
                Operand(b, "input", indexed("bthj")),
                Operand(out, "output", indexed("bthj")),
            ),
        )

    names = p.tensor(q).name, p.tensor(k).name, p.tensor(v).name
    nests = [
        nest(groups, names[1], names[2], state.name),
        nest(heads, names[0], state.name, y.name),
    ]
    if delta:
        nests.append(nest(groups, names[1], state.name, state.name))
    gates = 2 if "gated" in n.text("update_rule", "") else 1
    p.add(
        n,
        "recurrent",
        p.reads(*n.present),
        [*(p.tensor(e) for e in n.made), (state, product(2, state.elements, steps))],
        nests=nests,
        ops=product(batch, steps, groups, key, value, gates),
        pair=("activation", "activation"),
        attributes={"cell": "linear_attention"},
    )


def causal_conv(p: Pricer, n: OnnxNode) -> None:
    """Price ``CausalConvWithState``: a depthwise convolution over the past and the input."""
    x, w, bias = n.need(0), n.need(1), n.get(2)
    batch, channels, steps = x.known
    window = fixed(w.known[2], "a kernel size")
    source, weights, y = p.tensor(x), p.weight(w), p.tensor(n.out)
    names = source.name, weights.name, y.name
    nest = conv_nest(batch, channels, 1, 1, [steps], [window], [1], [1], [steps], names)
    active = VECTOR_OPS["silu"] if n.text("activation", "none") not in {"none", ""} else 0
    p.add(
        n,
        "depthwise",
        [source, weights, *p.vector(bias), *p.reads(n.get(3))],
        nests=[nest],
        ops=product(active + (bias is not None), n.out.elements),
        pair=(weights.slot, source.slot),
    )
