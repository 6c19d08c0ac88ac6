"""Networks of ONNX files whose weights are replaced: where they stand, and runs with others.

A *layer* is a stored operand of a product (Conv, MatMul, Gemm, LSTM); its *rows* are the output
channels, each quantised with a scale of its own. A *part* is a range of rows of one layer: what a
decision is about. Biases, normalisations and tables of positions stay as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

Array = np.ndarray[Any, Any]

#: Packages with the networks, and the file inside.
FILES = {
    "magika": ("magika", "magika/models/standard_v3_3/model.onnx"),
    "rapidocr": ("rapidocr-onnxruntime", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"),
}


def package_file(network: str) -> Path:
    """Return the ONNX file; `PackageNotFoundError` where its package is not installed."""
    package, inside = FILES[network]
    return Path(str(distribution(package).locate_file(inside)))


@dataclass(frozen=True)
class Layer:
    """A stored operand and which of its axes are output channels."""

    name: str
    op: str
    axes: tuple[int, ...]
    values: Array

    def rows(self) -> Array:
        """Return the weights as (output channels, weights of each)."""
        front = np.moveaxis(self.values, self.axes, range(len(self.axes)))
        return front.reshape(int(np.prod(front.shape[: len(self.axes)])), -1)

    def restored(self, rows: Array) -> Array:
        """Return `rows` in the shape of the operand."""
        shape = np.moveaxis(self.values, self.axes, range(len(self.axes))).shape
        back = np.moveaxis(rows.reshape(shape), range(len(self.axes)), self.axes)
        return np.ascontiguousarray(back, dtype=np.float32)


@dataclass(frozen=True)
class Part:
    """Rows `start` to `stop` of a layer."""

    name: str
    layer: int
    start: int
    stop: int
    weights: int


def _output_axes(node: Any, place: int, dims: int) -> tuple[int, ...] | None:
    """Which axes of an operand are output channels; None where the operand is not weights."""
    transposed = {a.name: a.i for a in node.attribute}
    if node.op_type == "Conv":
        return (0,) if place == 1 else None
    if node.op_type == "MatMul":
        return (dims - 1,) if place == 1 else (dims - 2,)
    if node.op_type == "Gemm" and place < 2:
        flipped = transposed.get("transB" if place else "transA", 0)
        return ((1 + place + flipped) % 2,) if place == 0 else (0 if flipped else 1,)
    if node.op_type in {"LSTM", "GRU", "RNN"}:
        return (0, 1) if place in (1, 2) else None
    return None


class Network:
    """A model with its layers, in the order in which they are computed.

    `blocks` cuts a layer's rows into several parts: name of the operand -> how many.
    """

    def __init__(self, file: Path, blocks: Mapping[str, int] | None = None) -> None:
        self.proto = onnx.load(file)
        _constants_to_initialisers(self.proto)
        graph = self.proto.graph
        stored = {t.name: t for t in graph.initializer}
        layers: dict[str, Layer] = {}
        for node in graph.node:
            for place, name in enumerate(node.input):
                if name not in stored or len(stored[name].dims) < 2 or name in layers:
                    continue
                axes = _output_axes(node, place, len(stored[name].dims))
                if axes is not None:
                    values = numpy_helper.to_array(stored[name])
                    layers[name] = Layer(name, node.op_type, axes, values)
        self.layers = tuple(layers.values())
        parts: list[Part] = []
        for i, layer in enumerate(self.layers):
            rows = layer.rows()
            cuts = (blocks or {}).get(layer.name, 1)
            edges = np.linspace(0, len(rows), cuts + 1).astype(int)
            for k, (start, stop) in enumerate(itertools.pairwise(edges)):
                name = layer.name if cuts == 1 else f"{layer.name}[{start}:{stop}]"
                size = int(stop - start) * rows.shape[1]
                parts.append(Part(name or str(k), i, int(start), int(stop), size))
        self.parts = tuple(parts)

    @property
    def weights(self) -> int:
        """How many weights the parts have together."""
        return sum(part.weights for part in self.parts)

    def rows(self, part: Part) -> Array:
        """Return the weights of a part, shape (output channels, weights of each)."""
        return self.layers[part.layer].rows()[part.start : part.stop]

    def changed(self, rows: Mapping[Part, Array]) -> dict[str, Array]:
        """Return whole operands by name, in which the rows of some parts are replaced."""
        whole: dict[int, Array] = {}
        for part, values in rows.items():
            into = whole.setdefault(part.layer, self.layers[part.layer].rows().copy())
            into[part.start : part.stop] = values
        return {self.layers[i].name: self.layers[i].restored(w) for i, w in whole.items()}

    def model(self, operands: Mapping[str, Array]) -> bytes:
        """Return the serialised model with these operands as fp32 initialisers."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self.proto)
        for tensor in copy.graph.initializer:
            if tensor.name in operands:
                tensor.CopyFrom(numpy_helper.from_array(operands[tensor.name], tensor.name))
        return copy.SerializeToString()

    def session(self, operands: Mapping[str, Array]) -> ort.InferenceSession:
        """Return an onnxruntime session of the model with these operands."""
        return open_session(self.model(operands))


def open_session(model: bytes) -> ort.InferenceSession:
    """Return a session of one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _constants_to_initialisers(model: Any) -> None:
    graph = model.graph
    kept: list[Any] = []
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            tensor = graph.initializer.add()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
