"""Nodes of a file that a runtime dispatches: those that survive constant folding on load."""

from __future__ import annotations

from collections.abc import Callable

from perfmodel.workload.importers.onnx.node import OnnxNode, OnnxValue
from perfmodel.workload.importers.onnx.read import FORMATS, RawGraph, RawNode
from perfmodel.workload.importers.onnx.traits import RANDOM
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
    present = node.present
    if raw.op in {"Shape", "Size"}:
        live = any(_unknown(edge) for edge in present)
    else:
        live = raw.op in RANDOM or any(e.live for e in present)
    shaped = raw.op in _SHAPED and bool(present) and not present[-1].live
    vague = any(e.vague for e in present) and not shaped
    for edge in node.written:
        edge.live, edge.vague = live, vague
    if raw.op in {"Identity", "Dropout"} and raw.outputs:
        return live and raw.outputs[0] in graph.results and raw.inputs[0] not in graph.computed
    to = raw.attributes.get("to")
    if raw.op == "Cast" and present and isinstance(to, int | str):
        cast = to if isinstance(to, str) else FORMATS.get(to, "?")
        return live and format(cast) != present[0].format
    return live


def _unknown(edge: OnnxValue) -> bool:
    """Return whether the file does not determine a value's shape."""
    return edge.vague or edge.shape is None or any(isinstance(d, Poly) for d in edge.shape)
