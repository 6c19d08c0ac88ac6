"""Weights of an ONNX file: the constant tensor of each operator, and its output-channel axis."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from perfmodel.arrays import Array
from perfmodel.errors import input_error
from perfmodel.search.accuracy.layer_weights import LayerWeights, Weight, Weights
from perfmodel.workload.importers.onnx.parser import read_onnx

#: Operator -> positions of the inputs that may be weights.
_OPERANDS: Final[dict[str, tuple[int, ...]]] = {
    "Conv": (1,),
    "FusedConv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (1, 0),
    "FusedGemm": (1, 0),
    "MatMul": (1, 0),
    "FusedMatMul": (1, 0),
    "Einsum": (1, 0),
    "Gather": (0,),
    "LSTM": (1, 2),
    "GRU": (1, 2),
    "RNN": (1, 2),
    "Attention": (1,),
}
_RECURRENT: Final = frozenset({"LSTM", "GRU", "RNN"})
_DEEPEST: Final = 16


class OnnxConstant(NamedTuple):
    """A constant: the name of its stored tensor, its values, and the type that operators see."""

    name: str
    values: Array
    kind: Any


class OnnxWeightedNode(NamedTuple):
    """A node, its weights, their input positions and element types, and its activation input."""

    node: Any
    weights: tuple[Weight, ...]
    places: tuple[int, ...]
    kinds: tuple[Any, ...]
    activation: str


class OnnxConstantResolver:
    """Resolver of constants in a file, through casts, transpositions and dequantisation."""

    def __init__(self, model: Any) -> None:
        self._helper: Any = import_module("onnx.numpy_helper")
        self._found: dict[str, OnnxConstant | None] = {}
        self.tensors: dict[str, Any] = {}
        self.makers: dict[str, Any] = {}
        for graph in _graphs(model.graph):
            for tensor in graph.initializer:
                self.tensors.setdefault(tensor.name, tensor)
            for node in graph.node:
                for output in node.output:
                    self.makers.setdefault(output, node)
                if node.op_type == "Constant":
                    for attribute in node.attribute:
                        if attribute.name == "value":
                            self.tensors.setdefault(node.output[0], attribute.t)

    def find(self, name: str, depth: int = 0) -> OnnxConstant | None:
        """Return the constant with a name, or None if the value is not constant."""
        if name not in self._found:
            self._found[name] = self._find(name, depth)
        return self._found[name]

    def _find(self, name: str, depth: int) -> OnnxConstant | None:
        """Return the constant with a name, evaluated through the nodes that produce it."""
        if name in self.tensors:
            values: Any = self._helper.to_array(self.tensors[name])
            if values.dtype.kind in "OSU":
                return None
            return OnnxConstant(name, np.asarray(values, dtype=np.float64), values.dtype)
        node = self.makers.get(name)
        if node is None or depth > _DEEPEST or not node.input:
            return None
        if node.op_type not in {"Identity", "Cast", "Transpose", "Reshape", "DequantizeLinear"}:
            return None
        inner = self.find(node.input[0], depth + 1)
        if inner is None or node.op_type == "Identity":
            return inner
        values = inner.values
        attributes = _attributes(node)
        if node.op_type == "Cast":
            onnx: Any = import_module("onnx.helper")
            return inner._replace(kind=onnx.tensor_dtype_to_np_dtype(attributes["to"]))
        if node.op_type == "Transpose":
            return inner._replace(values=values.transpose(attributes.get("perm")))
        others = [self.find(i, depth + 1) if i else None for i in node.input[1:]]
        if not others or others[0] is None:
            return None
        if node.op_type == "Reshape":
            shape = [int(n) for n in others[0].values]
            shape = [values.shape[i] if n == 0 else n for i, n in enumerate(shape)]
            return inner._replace(values=values.reshape(shape))
        return _dequantised(
            inner, others, int(attributes.get("axis", 1)), attributes.get("block_size", 0)
        )


def _dequantised(
    inner: OnnxConstant, others: list[OnnxConstant | None], axis: int, block: int
) -> OnnxConstant | None:
    if not others or others[0] is None or block:
        return None
    scale = others[0].values
    zero = others[1].values if len(others) > 1 and others[1] is not None else np.zeros(())
    if scale.ndim == 1 and scale.size > 1:
        shape = [1] * inner.values.ndim
        shape[axis] = -1
        scale = scale.reshape(shape)
        zero = zero.reshape(shape) if zero.size > 1 else zero
    return OnnxConstant(inner.name, (inner.values - zero) * scale, others[0].kind)


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and all subgraphs of its nodes."""
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        yield current
        for node in current.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    waiting.append(attribute.g)
                waiting.extend(attribute.graphs)


def _attributes(node: Any) -> dict[str, Any]:
    helper: Any = import_module("onnx.helper")
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def weighted_nodes(model: Any) -> list[OnnxWeightedNode]:
    """Return the nodes that multiply by constants, in the order of the file."""
    constants = OnnxConstantResolver(model)
    nodes: list[OnnxWeightedNode] = []
    for graph in _graphs(model.graph):
        for node in graph.node:
            wanted = _OPERANDS.get(node.op_type, ())
            weights: list[Weight] = []
            places: list[int] = []
            kinds: list[Any] = []
            for place in wanted:
                if place >= len(node.input) or (weights and node.op_type not in _RECURRENT):
                    continue
                constant = constants.find(node.input[place])
                if constant is None or constant.values.ndim < 2:
                    continue
                axis = _output_axis(node, place, constant.values.ndim)
                weights.append(Weight(constant.name, axis, constant.values))
                places.append(place)
                kinds.append(constant.kind)
            if weights:
                others = [i for i in node.input if i and constants.find(i) is None]
                nodes.append(
                    OnnxWeightedNode(
                        node,
                        tuple(weights),
                        tuple(places),
                        tuple(kinds),
                        others[0] if others else "",
                    )
                )
    return nodes


def _output_axis(node: Any, place: int, axes: int) -> int:
    """Return the axis of the output channels in a node's weight tensor."""
    op = node.op_type
    attributes = _attributes(node)
    if op in {"Conv", "FusedConv", "Gather"}:
        return 0
    if op in {"ConvTranspose", *_RECURRENT}:
        return 1
    if op in {"Gemm", "FusedGemm"}:
        turned = bool(attributes.get("transB" if place else "transA", 0))
        return (0 if turned else 1) if place else (1 if turned else 0)
    if op == "Einsum":
        equation = attributes["equation"].decode().replace(" ", "")
        terms, _, result = equation.partition("->")
        letters = terms.split(",")[place]
        output_axes = [i for i, letter in enumerate(letters) if letter in result and letter != "."]
        return output_axes[-1] if output_axes else axes - 1
    turned = bool(attributes.get("transB" if place else "transA", 0))
    last = (axes - 2) if turned else (axes - 1)
    return last if place else (axes - 1 if turned else axes - 2)


def read_onnx_weights(path: Path) -> Weights:
    """Read the weights of an ONNX file; layers are named by tensor, operator or operator output.

    Raises
    ------
    InputError
        As `perfmodel.workload.importers.onnx.parser.read_onnx`; a missing external data file; no
        operator with constant weights.
    """
    return layers_of(weighted_nodes(load(path)), path)


def layers_of(operands: list[OnnxWeightedNode], path: Path) -> Weights:
    """Return the layers of a file's operators.

    Raises
    ------
    InputError
        There are none.
    """
    if not operands:
        raise input_error(
            "no operator multiplies by constant weights",
            file=str(path),
            expected="convolutions or products with stored floating-point weights",
        )
    uses: dict[str, list[OnnxWeightedNode]] = {}
    for operand in operands:
        for weight in operand.weights:
            uses.setdefault(weight.name, []).append(operand)
    layers: list[LayerWeights] = []
    for name, users in uses.items():
        weight = next(w for w in users[0].weights if w.name == name)
        inputs = tuple(user.activation for user in users)
        layers.append(LayerWeights(name, (weight,), inputs, len(users)))
    aliases: dict[str, LayerWeights] = {}
    for node, weights, _, _, activation in operands:
        for name in (node.name, *node.output):
            if name and name not in uses:
                aliases.setdefault(name, LayerWeights(name, weights, (activation,)))
    return Weights(path.name, layers, aliases)


def load(path: Path) -> Any:
    """Return the ONNX model with its weights.

    Raises
    ------
    InputError
        The file is not valid ONNX, or external weights cannot be read.
    """
    read_onnx(path)
    onnx: Any = import_module("onnx")
    try:
        return onnx.load(str(path))
    except Exception as error:  # the errors of onnx have no common base class
        reason = (str(error).splitlines() or ["cannot be read"])[0]
        raise input_error(
            f"weights in another file cannot be read: {reason}",
            file=str(path),
            expected="the files of weights beside it",
        ) from None
