"""Which nodes of a file a runtime dispatches: those that loading neither folds nor leaves out."""

from __future__ import annotations

from collections.abc import Callable

from perfmodel.workload.importers.onnx.node import OnnxNode, OnnxValue
from perfmodel.workload.importers.onnx.pricing import RANDOM
from perfmodel.workload.importers.onnx.read import FORMATS, RawGraph, RawNode
from perfmodel.workload.symbols import Poly

#: Operators whose last input is the shape of what they make.
_SHAPED = frozenset({"Reshape", "ConstantOfShape"})


def is_dispatched(
    raw: RawNode, node: OnnxNode, graph: RawGraph, format: Callable[[str], str]
) -> bool:
    """Tell whether a runtime that knows the file alone dispatches a node, and mark what it makes.

    Runtimes fold on loading what depends on stored numbers and fixed shapes only. They hand on what
    an ``Identity`` reads, but from outside of a body as its result, and what a ``Cast`` reads in
    the format that it casts to.

    Parameters
    ----------
    graph
        The graph or body that the node is in.
    format
        Format of an element type as edges state it.
    """
    present = node.present
    if raw.op in {"Shape", "Size"}:
        live = any(_unknown(edge) for edge in present)
    else:
        live = raw.op in RANDOM or any(e.live for e in present)
    shaped = raw.op in _SHAPED and bool(present) and not present[-1].live
    vague = any(e.vague for e in present) and not shaped
    for edge in node.made:
        edge.live, edge.vague = live, vague
    if raw.op in {"Identity", "Dropout"} and raw.outputs:
        return live and raw.outputs[0] in graph.results and raw.inputs[0] not in graph.computed
    to = raw.attributes.get("to")
    if raw.op == "Cast" and present and isinstance(to, int | str):
        cast = to if isinstance(to, str) else FORMATS.get(to, "?")
        return live and format(cast) != present[0].format
    return live


def _unknown(edge: OnnxValue) -> bool:
    """Whether the file alone does not tell a shape."""
    return edge.vague or edge.shape is None or any(isinstance(d, Poly) for d in edge.shape)
