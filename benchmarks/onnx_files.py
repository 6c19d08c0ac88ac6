"""ONNX files of any number of operators: chains, residual networks, exported transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class OnnxFile:
    """Nodes and weights in the order in which they are added."""

    def __init__(self, *shape: int | str) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def weight(self, values: Any) -> str:
        """Add a stored tensor and return its name."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def zeros(self, *shape: int) -> str:
        """Add a tensor of zeros and return its name."""
        return self.weight(np.zeros(shape, np.float32))

    def save(self, path: Path, operators: int) -> None:
        """Write the first operators, the last of which is the output."""
        nodes = self.nodes[:operators]
        output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
        graph = helper.make_graph(nodes, path.stem, [self.input], [output], self.weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)


def chain(operators: int) -> OnnxFile:
    """Return functions of each element, one after the other."""
    file, x = OnnxFile(64), "x"
    for i in range(operators):
        x = file.add("Relu" if i % 2 else "Sigmoid", x)
    return file


def residual(operators: int) -> OnnxFile:
    """Return blocks of two convolutions with a sum."""
    file, x = OnnxFile(16, 8, 8), "x"
    options = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    while len(file.nodes) < operators:
        y = file.add("Conv", x, file.zeros(16, 16, 3, 3), file.zeros(16), **options)
        y = file.add("Relu", y)
        y = file.add("Conv", y, file.zeros(16, 16, 3, 3), file.zeros(16), **options)
        x = file.add("Relu", file.add("Add", y, x))
    return file


def transformer(operators: int, width: int = 64, heads: int = 4) -> OnnxFile:
    """Return encoder layers as exporters write them, with their arithmetic on shapes."""
    file, x = OnnxFile("sequence", width), "x"
    while len(file.nodes) < operators:
        y = _normalised(file, x, width)
        q, k, v = (
            file.add(
                "Transpose", _reshaped(file, _linear(file, y, width, width), heads, -1), perm=p
            )
            for p in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        )
        scores = file.add("Div", file.add("MatMul", q, k), file.weight(np.float32(4.0)))
        y = file.add("MatMul", file.add("Softmax", scores, axis=-1), v)
        y = _reshaped(file, file.add("Transpose", y, perm=[0, 2, 1, 3]), width)
        x = file.add("Add", x, _linear(file, y, width, width))
        y = _linear(file, _normalised(file, x, width), width, 4 * width)
        gate = file.add("Erf", file.add("Div", y, file.weight(np.float32(2**0.5))))
        gate = file.add("Add", gate, file.weight(np.float32(1.0)))
        y = file.add("Mul", file.add("Mul", y, gate), file.weight(np.float32(0.5)))
        x = file.add("Add", x, _linear(file, y, 4 * width, width))
    return file


def _linear(file: OnnxFile, x: str, inputs: int, outputs: int) -> str:
    return file.add("Add", file.add("MatMul", x, file.zeros(inputs, outputs)), file.zeros(outputs))


def _normalised(file: OnnxFile, x: str, width: int) -> str:
    centred = file.add("Sub", x, file.add("ReduceMean", x, axes=[-1]))
    squared = file.add("Pow", centred, file.weight(np.float32(2.0)))
    variance = file.add("ReduceMean", squared, axes=[-1])
    deviation = file.add("Sqrt", file.add("Add", variance, file.weight(np.float32(1e-5))))
    scaled = file.add("Mul", file.add("Div", centred, deviation), file.zeros(width))
    return file.add("Add", scaled, file.zeros(width))


def _reshaped(file: OnnxFile, x: str, *features: int) -> str:
    shape = file.add("Shape", x)
    extents = [
        file.add(
            "Unsqueeze",
            file.add("Gather", shape, file.weight(np.int64(axis)), axis=0),
            file.weight(np.array([0])),
        )
        for axis in (0, 1)
    ]
    fixed = [file.weight(np.array([extent])) for extent in features]
    return file.add("Reshape", x, file.add("Concat", *extents, *fixed, axis=0))


FILES: Mapping[str, Callable[[int], OnnxFile]] = {
    "chain": chain,
    "residual network": residual,
    "transformer": transformer,
}
