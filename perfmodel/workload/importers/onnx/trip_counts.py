"""How often the body of an ONNX ``Loop`` or ``Scan`` runs, as far as the file determines it.

By the ONNX standard (onnx/onnx, docs/Operators.md, sections ``Loop`` and ``Scan``) a ``Scan`` runs
its body once for each slice of its scanned inputs, and a ``Loop`` runs it at most ``M`` times, as
long as a condition is true, which the body computes anew in each iteration. If the condition is
provably true, the trip count is ``M``; otherwise the data decide, and `walk` makes the trip count a
free dimension.
"""

from __future__ import annotations

from typing import cast

from perfmodel.workload.importers.onnx.node import OnnxValue
from perfmodel.workload.importers.onnx.records import RawGraph, RawNode, RawTensor

#: Operators whose result is true exactly if their first input is true.
_UNCHANGED_CONDITION = frozenset({"Identity", "Cast"})


def scan_axes(raw: RawNode) -> tuple[int, ...] | None:
    """Return the axis of each scanned input that a ``Scan`` slices; ``None`` if malformed."""
    count = raw.attributes.get("num_scan_inputs")
    if not isinstance(count, int) or not 0 < count <= len(raw.inputs):
        return None
    stated = cast("object", raw.attributes.get("scan_input_axes", (0,) * count))
    if not isinstance(stated, tuple):
        return None
    axes = tuple(axis for axis in cast("tuple[object, ...]", stated) if isinstance(axis, int))
    return axes if len(axes) == count else None


def runs_all_iterations(inputs: tuple[OnnxValue | None, ...], body: RawGraph) -> bool:
    """Return whether the condition of a ``Loop`` stays true, so that all iterations run.

    The condition before the first iteration is the second input of the node (true if absent) and
    must be known. The condition of each further iteration is the first output of the body. It stays
    true if the body returns its own condition (its second input), or a constant that is true;
    ``Identity`` and ``Cast`` between these and the output change nothing. A condition that the body
    computes in any other way counts as unknown.
    """
    initial = inputs[1] if len(inputs) > 1 else None
    if initial is not None and not initial.number():
        return False
    source = body.outputs[0] if body.outputs else ""
    # Nodes are in topological order, so that one pass backwards reaches the source.
    for node in reversed(body.nodes):
        if source in node.outputs:
            if node.op == "Constant":
                return any(map(_is_true, node.attributes.values()))
            if node.op not in _UNCHANGED_CONDITION:
                return False
            source = node.inputs[0]
    if len(body.inputs) > 1 and source == body.inputs[1].name:
        return True
    return _is_true(body.stored.get(source))


def _is_true(value: object) -> bool:
    """Return whether a stored tensor, or the attribute of a ``Constant``, is one true number."""
    numbers = value.numbers if isinstance(value, RawTensor) else (value,)
    return numbers is not None and len(numbers) == 1 and bool(numbers[0])
