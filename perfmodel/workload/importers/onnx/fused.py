"""Shapes and prices of operators that onnxruntime fuses, mixtures of experts among them."""

from __future__ import annotations

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    fixed,
    replaced,
)
from perfmodel.workload.importers.onnx.pricing import Pricer
from perfmodel.workload.importers.onnx.shapes import give
from perfmodel.workload.nest import LoopNest, gemm_nest
from perfmodel.workload.symbols import Dim, distinct_experts, product, simplify
from perfmodel.workload.vector_functions import VECTOR_OPS


def embed_norm_shape(node: OnnxNode) -> None:
    """Set the shapes of ``EmbedLayerNormalization``: normalised sums of embeddings.

    Word, position and segment embeddings are summed.
    """
    ids, table = node.shape(0), node.need(2)
    rows = *ids, table.known[-1]
    give(node, rows, format=table.format)
    give(node, ids[:1], 1, "int32")
    give(node, rows, 2, table.format)


def swiglu(node: OnnxNode) -> None:
    """Set the shape of ``SwiGLU``: one half of the last axis gates the other."""
    x = node.shape(0)
    two = node.get(1)
    if two is None or two.shape != x:
        axis = node.axis(-1, len(x))
        x = replaced(x, axis, x[axis] / 2)
    give(node, x)


def scan(node: OnnxNode) -> None:
    """Reject a ``Scan`` whose body cannot be unrolled."""
    count = node.integer("num_scan_inputs", 0)
    raise ContradictionError(f"attribute 'num_scan_inputs' is {count} of {len(node.inputs)} inputs")


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
    """Price ``MoE`` of onnxruntime, reading the experts that uniform routing is expected to touch.

    Each of the ``tokens * k`` rows requires one matrix product per weight tensor, and 8 vector
    operations per hidden element.
    """
    x, router = n.need(0), n.need(1)
    per_token = n.integer("k", 1)
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
