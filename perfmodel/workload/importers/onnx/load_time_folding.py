"""Which nodes of a file a runtime dispatches: those that survive constant folding on load.

onnxruntime's basic graph optimisations (constant folding, redundant node elimination) act on the
file only, before any free dimension has a number. What they leave is launched on every run.
"""

from __future__ import annotations

from collections.abc import Callable

from perfmodel.workload.importers.onnx.node import OnnxNode, OnnxValue
from perfmodel.workload.importers.onnx.operator_traits import RANDOM
from perfmodel.workload.importers.onnx.records import FORMATS, RawGraph, RawNode
from perfmodel.workload.symbols import Poly

#: Operators whose last input is the shape of their output.
_SHAPED = frozenset({"Reshape", "ConstantOfShape"})


def is_dispatched(
    raw: RawNode, node: OnnxNode, graph: RawGraph, format: Callable[[str], str]
) -> bool:
    """Return whether a runtime that knows only the file dispatches a node; mark its outputs.

    On loading, runtimes fold nodes that depend only on stored numbers and fixed shapes. They remove
    an ``Identity``, unless it returns a value from outside a body as the body's result, and a
    ``Cast`` to the format that its input already has.

    Parameters
    ----------
    graph
        The graph or body that contains the node.
    format
        Function from an element type to the format on edges.
    """
    present = node.present_inputs
    if raw.op in {"Shape", "Size"}:
        is_live = any(_unknown(edge) for edge in present)
    else:
        is_live = raw.op in RANDOM or any(e.is_live for e in present)
    has_known_target = raw.op in _SHAPED and bool(present) and not present[-1].is_live
    has_unknown_shape = any(e.has_unknown_shape for e in present) and not has_known_target
    for edge in node.present_outputs:
        edge.is_live, edge.has_unknown_shape = is_live, has_unknown_shape
    if raw.op in {"Identity", "Dropout"} and raw.outputs:
        return is_live and raw.outputs[0] in graph.results and raw.inputs[0] not in graph.computed
    target_type = raw.attributes.get("to")
    if raw.op == "Cast" and present and isinstance(target_type, int | str):
        target_format = (
            target_type if isinstance(target_type, str) else FORMATS.get(target_type, "?")
        )
        return is_live and format(target_format) != present[0].format
    return is_live


def _unknown(edge: OnnxValue) -> bool:
    """Return whether the file does not determine a value's shape."""
    return (
        edge.has_unknown_shape or edge.shape is None or any(isinstance(d, Poly) for d in edge.shape)
    )
