"""Which tensors of a network are parameters, and whether the file mixes floating-point formats.

A file that was stored without its weights declares them as inputs; the operators that read them
state which inputs are parameters (``parameters`` in ``workloads/operators/traits.yaml``).
"""

from __future__ import annotations

from perfmodel.workload.importers.onnx.operator_traits import PARAMETERS
from perfmodel.workload.importers.onnx.records import RawGraph, RawTensor


def parameters_among_inputs(graph: RawGraph) -> set[str]:
    """Return the inputs that must be parameters, as in a file stored without its weights."""
    fixed_shapes = {
        v.name: v.shape
        for v in graph.inputs[1:]
        if v.shape is not None and all(isinstance(d, int) for d in v.shape)
    }
    parameters: set[str] = set()
    has_weights = bool(graph.stored)
    for node in graph.nodes:
        positions = PARAMETERS.get(node.op, ())
        parameters |= {
            node.inputs[i]
            for i in positions
            if i < len(node.inputs) and node.inputs[i] in fixed_shapes
        }
        if node.op in {"Gemm", "MatMul"} and not has_weights:
            parameters |= {n for n in node.inputs[1:2] if len(fixed_shapes.get(n) or ()) == 2}
    return parameters


def has_other_floats(graph: RawGraph) -> bool:
    """Return whether the file uses floating-point formats other than fp32."""
    others = {"fp16", "bf16", "fp64"}
    tensors = [
        *graph.stored.values(),
        *(
            value
            for node in graph.nodes
            if node.op == "Constant"
            for value in node.attributes.values()
            if isinstance(value, RawTensor)
        ),
    ]
    return (
        any(t.format in others and t.numbers is None and len(t.shape) for t in tensors)
        or any(v.format in others for v in graph.inputs)
        or any(has_other_floats(inner) for node in graph.nodes for inner in node.graphs.values())
    )
