"""Operators that onnxruntime fuses: embeddings with normalisation, SwiGLU, mixtures of experts.

Shapes follow onnxruntime's docs/ContribOperators.md (domain ``com.microsoft``). Entries of
``workloads/operators/onnx.yaml`` name these functions.
"""

from __future__ import annotations

from perfmodel.workload.graph import Tensor
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    replace_axis,
    require_integer,
)
from perfmodel.workload.importers.onnx.output_shapes import set_output
from perfmodel.workload.importers.onnx.pricer import Pricer
from perfmodel.workload.nest import LoopNest, gemm_nest
from perfmodel.workload.symbols import Dim, distinct_experts, product, simplify
from perfmodel.workload.vector_functions import VECTOR_OPS


def embed_norm_shape(node: OnnxNode) -> None:
    """Set the shapes of ``EmbedLayerNormalization``: ``ids.shape + (hidden,)``, and the mask's.

    The outputs are the normalised sum of word, position and segment embeddings, the index of the
    mask, and the sum before normalisation.
    """
    ids, table = node.shape(0), node.require(2)
    rows = *ids, table.extents[-1]
    set_output(node, rows, format=table.format)
    set_output(node, ids[:1], 1, "int32")
    set_output(node, rows, 2, table.format)


def swiglu_shape(node: OnnxNode) -> None:
    """Set the shape of ``SwiGLU``: the axis is halved, as one half gates the other."""
    x = node.shape(0)
    two = node.get(1)
    if two is None or two.shape != x:
        axis = node.axis(-1, len(x))
        x = replace_axis(x, axis, x[axis] / 2)
    set_output(node, x)


def reject_scan(node: OnnxNode) -> None:
    """Reject a ``Scan`` whose body cannot be unrolled."""
    count = node.integer("num_scan_inputs", 0)
    raise ContradictionError(f"attribute 'num_scan_inputs' is {count} of {len(node.inputs)} inputs")


def price_embed_norm(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``EmbedLayerNormalization``: three lookups, then two sums and a normalisation."""
    ids, y = node.require(0), node.first_output
    reads: list[Tensor | tuple[Tensor, Dim]] = list(pricer.reads(ids, node.get(1)))
    for table in node.inputs[2:5]:
        if table is not None:
            table.tag = table.tag or "embedding"
            reads.append((pricer.weight(table), y.elements))
    for vector in node.inputs[5:7]:
        reads += pricer.vector(vector)
    ops = product(VECTOR_OPS["layer_norm"] + 2, y.elements)
    pricer.add(node, "gather", reads, [pricer.tensor(y)], ops=ops)


def price_experts(pricer: Pricer, node: OnnxNode) -> None:
    """Price ``MoE`` of onnxruntime: each token is processed by k of E experts.

    T tokens give ``T k`` rows, each of which takes one product of width D by features F for every
    weight tensor, ``T k D F`` multiply-accumulates, and 8 vector operations per hidden element. The
    weights that are read are those of the experts that uniform routing is expected to touch, ``E (1
    - (1 - k / E)^T)`` (`perfmodel.workload.symbols.distinct_experts`).
    """
    x, router = node.require(0), node.require(1)
    per_token = node.integer("k", 1)
    count = require_integer(router.extents[-1], "the experts")
    tokens = product(*router.extents[:-1])
    rows = product(tokens, per_token)
    weights = [
        e for e in (node.get(2), node.get(4), node.get(6)) if e is not None and len(e.extents) == 3
    ]
    if not weights:
        raise NotPricedError("the weights of its experts are missing")
    width = x.extents[-1]
    touched = distinct_experts(count, per_token, tokens)
    reads: list[Tensor | tuple[Tensor, Dim]] = [pricer.tensor(x), pricer.tensor(router)]
    nests: list[LoopNest] = []
    y = pricer.tensor(node.first_output)
    for edge in weights:
        edge.tag = edge.tag or "expert"
        w = pricer.weight(edge)
        per_expert = simplify(w.elements / count)
        reads.append((w, product(touched, per_expert)))
        features = simplify(per_expert / width)
        nests.append(gemm_nest(1, rows, features, width, x.name, w.name, y.name, b_batched=False))
    pricer.add(
        node,
        "moe",
        reads,
        nests=nests,
        ops=product(rows, 8, nests[0].size("n")),
        pair=(pricer.weight(weights[0]).slot, pricer.tensor(x).slot),
        attributes={"experts": count, "per_token": per_token},
    )
