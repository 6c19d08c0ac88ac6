"""Trip counts of ``Loop`` and ``Scan``: scanned axes, and conditions that never stop a loop."""

from __future__ import annotations

from typing import cast

from perfmodel.workload.importers.onnx.node import OnnxValue
from perfmodel.workload.importers.onnx.read import RawGraph, RawNode


def scan_axes(raw: RawNode) -> tuple[int, ...] | None:
    """Return the axis of each scanned input that a ``Scan`` slices; ``None`` if malformed."""
    count = raw.attributes.get("num_scan_inputs")
    if not isinstance(count, int) or not 0 < count <= len(raw.inputs):
        return None
    listed = cast("object", raw.attributes.get("scan_input_axes", (0,) * count))
    if not isinstance(listed, tuple):
        return None
    axes = tuple(a for a in cast("tuple[object, ...]", listed) if isinstance(a, int))
    return axes if len(axes) == count else None


def runs_through(raw: RawNode, inputs: tuple[OnnxValue | None, ...], body: RawGraph) -> bool:
    """Return whether a loop's condition is passed through unchanged or constantly true."""
    first = inputs[1] if len(inputs) > 1 else None
    if first is not None and not first.number():
        return False
    last = body.outputs[0] if body.outputs else ""
    if len(body.inputs) > 1 and last == body.inputs[1].name:
        return True
    if last in body.stored:
        return True
    makers = {o: n for n in body.nodes for o in n.outputs}
    while last in makers and makers[last].op in {"Identity", "Cast"}:
        last = makers[last].inputs[0]
        if len(body.inputs) > 1 and last == body.inputs[1].name:
            return True
    return last in body.stored or (last in makers and makers[last].op == "Constant")
