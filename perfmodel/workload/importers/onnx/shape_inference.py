"""Shape inference of one node: built-in rules, then the file's declarations, then package onnx.

The built-in rules come first because they keep extents symbolic; package onnx serves operators of
the standard that have no rule here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    NotPricedError,
    OnnxNode,
    OnnxValue,
    Shape,
)
from perfmodel.workload.importers.onnx.operator_domains import domain_of
from perfmodel.workload.importers.onnx.pricer import MALFORMED_NODE_ERRORS, STANDARD
from perfmodel.workload.importers.onnx.records import FORMATS
from perfmodel.workload.symbols import Dim, constant


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
        The shape of the first output cannot be inferred.
    """
    reason = "no rule infers its shape"
    has_rule = False  # a rule applies: the onnx package could only guess
    try:
        rule = domain_of(node.domain).rule(node.op)
        if rule is not None:
            rule(node)
    except NotPricedError as error:
        reason, has_rule = str(error), True
        if isinstance(error, ContradictionError):
            node.contradiction = reason
    except MALFORMED_NODE_ERRORS as error:
        reason = f"it is malformed: {error}"
    if (
        [e for e in node.present_outputs if e.shape is None]
        and node.present_outputs[0].shape is None
        and not has_rule
    ):
        _standard_inference(node, opsets)
    declarations = [
        (edge, shape, format)
        for edge, shape, format in zip(node.outputs, declared, formats, strict=True)
        if edge is not None
    ]
    if node.opened_extents and all(shape is not None for _, shape, _ in declarations):
        # A declared shape takes precedence over a free dimension that depends on the data.
        node.opened_extents.clear()
        for edge, shape, _ in declarations:
            edge.shape = shape
    for edge, shape, format in declarations:
        if edge.shape is None and shape is not None:
            edge.shape, edge.format = shape, format
    if node.present_outputs and node.present_outputs[0].shape is None:
        raise NotPricedError(reason)


def _standard_inference(node: OnnxNode, opsets: Mapping[str, int]) -> None:
    """Infer the outputs of a standard node with the onnx package; free extents pass by name."""
    if node.domain not in STANDARD or any(edge.shape is None for edge in node.present_inputs):
        return
    try:
        onnx: Any = import_module("onnx")
        inference: Any = import_module("onnx.shape_inference")
    except ImportError:
        # Files of other formats are read without the onnx package.
        return
    helper = onnx.helper
    free: dict[str, Dim] = {}

    def extent(dim: Dim) -> int | str:
        number = constant(dim)
        if number is not None:
            return int(number)
        name = next((n for n, d in free.items() if d == dim), f"free_{len(free)}")
        free[name] = dim
        return name

    try:
        opset = opsets.get("", opsets.get("ai.onnx", 1))
        schema = onnx.defs.get_schema(node.op, opset)
        attributes: dict[str, Any] = {
            k: v for k, v in node.attributes.items() if isinstance(v, int | float | str | tuple)
        }
        inputs, outputs = (
            [e.name if e is not None else "" for e in ends] for ends in (node.inputs, node.outputs)
        )
        inferred = inference.infer_node_outputs(
            schema,
            helper.make_node(node.op, inputs, outputs, **attributes),
            {
                e.name: helper.make_tensor_type_proto(
                    _ELEMENTS.get(e.format, 1), list(map(extent, e.extents))
                )
                for e in node.present_inputs
            },
            {e.name: v for e in node.present_inputs if (v := _content(helper, e)) is not None},
            opset_imports=[helper.make_opsetid("", opset)],
        )
    except Exception:  # onnx's C++ raises arbitrary exceptions; all mean that nothing is known
        return
    for edge in node.present_outputs:
        tensor = getattr(inferred.get(edge.name), "tensor_type", None)
        if tensor is None or not tensor.HasField("shape"):
            continue
        dims = tensor.shape.dim
        if all(d.HasField("dim_value") or d.dim_param in free for d in dims):
            edge.shape = tuple(free.get(d.dim_param, int(d.dim_value)) for d in dims)
            format = FORMATS.get(int(tensor.elem_type), "")
            edge.format = "" if format == "fp32" else format


_ELEMENTS: Mapping[str, int] = {format: i for i, format in sorted(FORMATS.items(), reverse=True)}


def _content(helper: Any, edge: OnnxValue) -> Any:
    """Return the known numbers of a value as a ``TensorProto``; ``None`` if any is free."""
    numbers = list(map(constant, edge.numbers or ()))
    if edge.numbers is None or None in numbers:
        return None
    kind = _ELEMENTS.get(edge.format, 1)
    values = [float(v) if kind in {1, 10, 11} else int(v) for v in numbers if v is not None]
    return helper.make_tensor(edge.name, kind, list(edge.extents), values)
