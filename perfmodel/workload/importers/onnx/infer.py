"""Infer what a node writes: own rules first, then the file's declarations, then onnx itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from perfmodel.workload.importers.onnx.domains import domain_of
from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    OnnxValue,
    Shape,
)
from perfmodel.workload.importers.onnx.pricing import MALFORMED, STANDARD
from perfmodel.workload.importers.onnx.read import FORMATS
from perfmodel.workload.symbols import constant


def infer(
    node: OnnxNode,
    opsets: Mapping[str, int],
    declared: Sequence[Shape | None],
    formats: Sequence[str],
) -> None:
    """Set shapes and formats of a node's outputs.

    Raises
    ------
    NotPricedError
        Nothing tells the shape of its first output.
    """
    reason = "nothing infers its shape"
    known = False  # what an own rule leaves open, onnx would guess
    try:
        rule = domain_of(node.domain).rule(node.op)
        if rule is not None:
            rule(node)
    except NotPricedError as error:
        reason, known = str(error), True
        if isinstance(error, ContradictionError):
            node.contradiction = reason
    except MALFORMED as error:
        reason = f"it is malformed: {error}"
    if [e for e in node.made if e.shape is None] and node.made[0].shape is None and not known:
        _standard_inference(node, opsets)
    stated = [
        (edge, shape, format)
        for edge, shape, format in zip(node.outputs, declared, formats, strict=True)
        if edge is not None
    ]
    if node.opened and all(shape is not None for _, shape, _ in stated):
        # The file knows better than a free dimension what the data decide.
        node.opened.clear()
        for edge, shape, _ in stated:
            edge.shape = shape
    for edge, shape, format in stated:
        if edge.shape is None and shape is not None:
            edge.shape, edge.format = shape, format
    if node.made and node.made[0].shape is None:
        raise NotPricedError(reason)


def _standard_inference(node: OnnxNode, opsets: Mapping[str, int]) -> None:
    """Ask onnx for the outputs of one standard node whose inputs have fixed shapes."""
    if node.domain not in STANDARD:
        return
    if not all(e.shape is not None and None not in map(constant, e.shape) for e in node.present):
        return
    try:
        onnx: Any = import_module("onnx")
        inference: Any = import_module("onnx.shape_inference")
    except ImportError:
        # The node is of a format that is read without that package.
        return
    helper = onnx.helper
    try:
        opset = opsets.get("", opsets.get("ai.onnx", 1))
        schema = onnx.defs.get_schema(node.op, opset)
        attributes: dict[str, Any] = {
            k: v for k, v in node.attributes.items() if isinstance(v, int | float | str | tuple)
        }
        inputs, outputs = (
            [e.name if e is not None else "" for e in ends] for ends in (node.inputs, node.outputs)
        )
        proto = helper.make_node(node.op, inputs, outputs, **attributes)
        types = {
            e.name: helper.make_tensor_type_proto(_ELEMENTS.get(e.format, 1), _extents(e))
            for e in node.present
        }
        data = {e.name: _content(helper, e) for e in node.present if e.numbers is not None}
        made = inference.infer_node_outputs(
            schema,
            proto,
            types,
            {k: v for k, v in data.items() if v is not None},
            opset_imports=[helper.make_opsetid("", opset)],
        )
    except Exception:  # onnx's C++ raises what it likes: there is no answer then
        return
    for edge in node.made:
        kind = made.get(edge.name)
        if kind is None or not kind.HasField("tensor_type"):
            continue
        tensor = kind.tensor_type
        if not tensor.HasField("shape"):
            continue
        dims = tensor.shape.dim
        if all(d.HasField("dim_value") and d.dim_value >= 0 for d in dims):
            edge.shape = tuple(int(d.dim_value) for d in dims)
            format = FORMATS.get(int(tensor.elem_type), "")
            edge.format = "" if format == "fp32" else format


_ELEMENTS: Mapping[str, int] = {format: i for i, format in sorted(FORMATS.items(), reverse=True)}


def _extents(edge: OnnxValue) -> list[int]:
    return [int(constant(d) or 0) for d in edge.known]


def _content(helper: Any, edge: OnnxValue) -> Any:
    numbers = list(map(constant, edge.numbers or ()))
    if None in numbers:
        return None
    kind = _ELEMENTS.get(edge.format, 1)
    values = [float(v) if kind in {1, 10, 11} else int(v) for v in numbers if v is not None]
    return helper.make_tensor(edge.name, kind, _extents(edge), values)
