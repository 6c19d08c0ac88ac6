"""Translation of a network of another format into ONNX nodes, with their shapes inferred.

The Keras reader adds one node after another to a `Tracer`, which infers the shape of each output
with the rules of the ONNX walk, because the next layer's weights depend on it. The resulting
records are priced like an ONNX file.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from perfmodel.workload.importers.onnx.constant_folding import fold_constants
from perfmodel.workload.importers.onnx.free_dimensions import Dimensions
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode, OnnxValue, Shape
from perfmodel.workload.importers.onnx.pricer import MALFORMED_NODE_ERRORS
from perfmodel.workload.importers.onnx.records import (
    LARGEST_EXTENT,
    RawGraph,
    RawModel,
    RawNode,
    RawTensor,
    RawValue,
)
from perfmodel.workload.importers.onnx.shape_inference import infer
from perfmodel.workload.importers.onnx.synthetic_operators import DOMAIN, UNKNOWN
from perfmodel.workload.symbols import Dim, constant, product

#: ONNX operator set of the emitted nodes.
_OPSET: Final = 23

#: Largest number of nodes that a file may unfold to.
_MOST_NODES: Final = 10_000


class TooLargeError(Exception):
    """A file unfolds to more than the largest number of nodes."""


@dataclass
class Tracer:
    """Collect ONNX nodes and infer the shape of each output with the rules of the ONNX walk.

    Attributes
    ----------
    stored
        Parameters and constants by name.
    edges
        Value -> shape, kind and format, as far as known.
    name_counts
        Name -> how many values asked for it, so that names are unique.
    merged_paddings
        Number of explicit paddings that were merged into convolutions.
    """

    nodes: list[RawNode] = field(default_factory=list[RawNode])
    stored: dict[str, RawTensor] = field(default_factory=dict[str, RawTensor])
    inputs: list[RawValue] = field(default_factory=list[RawValue])
    edges: dict[str, OnnxValue] = field(default_factory=dict[str, OnnxValue])
    dimensions: Dimensions = field(default_factory=Dimensions)
    name_counts: dict[str, int] = field(default_factory=dict[str, int])
    merged_paddings: int = 0

    def name(self, stem: str) -> str:
        """Return an unused name: the stem, with a suffix if it is taken."""
        while (n := self.name_counts.get(stem, 0) + 1) > 1:
            self.name_counts[stem] = n
            stem = f"{stem}_{n}"
        self.name_counts[stem] = 1
        return stem

    def input(self, name: str, shape: Sequence[int | str | None], format: str = "fp32") -> str:
        """Declare an input of the network; extents that are not numbers become free dimensions."""
        value = RawValue(self.name(name), tuple(shape), format)
        self.inputs.append(value)
        fixed = "" if format == "fp32" else format
        self.edges[value.name] = OnnxValue(
            value.name, self.dimensions.input_shape(value), format=fixed
        )
        return value.name

    def weight(self, name: str, shape: Sequence[int], format: str = "fp32") -> str:
        """Declare parameters; a name that is already declared is left as it is."""
        if name not in self.stored:
            self.name_counts.setdefault(name, 1)
            self.stored[name] = RawTensor(tuple(shape), format)
            fixed = "" if format == "fp32" else format
            self.edges[name] = OnnxValue(name, tuple(shape), "weight", fixed)
        return name

    def integer_list(self, name: str, values: Sequence[int]) -> str:
        """Declare a list of integers from which a shape is computed."""
        label = self.name(name)
        numbers = tuple(values)
        self.stored[label] = RawTensor((len(numbers),), "int64", numbers)
        self.edges[label] = OnnxValue(label, (len(numbers),), "constant", "int64", numbers)
        return label

    def shape(self, name: str) -> Shape:
        """Return the shape of a value.

        Raises
        ------
        NotPricedError
            The shape is unknown.
        """
        return self.edges[name].extents

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        *,
        name: str = "",
        domain: str = "",
        outputs: int | Sequence[bool] = 1,
        **attributes: Any,
    ) -> list[str]:
        """Add a node and return the names of its outputs, empty for an omitted output.

        Raises
        ------
        NotPricedError
            The attributes contradict the shapes of the inputs.
        TooLargeError
            The network exceeds the largest number of nodes.
        """
        if len(self.nodes) >= _MOST_NODES:
            raise TooLargeError
        label = self.name(name or op)
        is_output_present = (True,) * outputs if isinstance(outputs, int) else tuple(outputs)
        names = [
            (label if i == 0 and len(is_output_present) == 1 else f"{label}.{i}") if present else ""
            for i, present in enumerate(is_output_present)
        ]
        results = tuple(OnnxValue(n) if n else None for n in names)
        read_values = tuple(self.edges.get(n) if n else None for n in inputs)
        node = OnnxNode(op, label, read_values, results, attributes, domain)
        infer(node, {"": _OPSET}, [None] * len(names), [""] * len(names))
        for edge in node.present_outputs:
            if edge.shape is not None:
                size = constant(product(*edge.shape))
                if size is not None and size > LARGEST_EXTENT:
                    raise NotPricedError(f"it would make {size:g} elements")
        kinds = {e.kind for e in node.present_inputs}
        if kinds and "data" not in kinds:
            for edge in node.present_outputs:
                edge.kind = "weight" if "weight" in kinds else "constant"
            with suppress(NotPricedError, *MALFORMED_NODE_ERRORS):  # its numbers are not needed
                fold_constants(node)
        self.edges |= {edge.name: edge for edge in node.present_outputs}
        self.nodes.append(RawNode(op, domain, label, tuple(inputs), tuple(names), attributes))
        return names

    def view(
        self, x: str, axes: Sequence[tuple[int, Sequence[int]]], like: str = "", name: str = ""
    ) -> str:
        """Add a change of shape that moves nothing (`view_shape` in `onnx.synthetic_operators`)."""
        entries = tuple((int(n), tuple(a)) for n, a in axes)
        read = [x, like] if like else [x]
        return self.add("View", read, name=name or f"{x}.view", domain=DOMAIN, axes=entries)[0]

    def permute(self, x: str, order: Sequence[int]) -> str:
        """Add a permutation of axes: a relabelling without movement of data."""
        return self.view(x, [(1, (axis,)) for axis in order], name=f"{x}.order")

    def add_unpriced(
        self,
        op: str,
        inputs: Sequence[str],
        shapes: Sequence[Sequence[Dim] | None],
        reason: str,
        name: str = "",
    ) -> list[str]:
        """Add an operator without a price; it is listed with the shapes that are known."""
        return self.add(
            op,
            inputs,
            name=name,
            domain=UNKNOWN,
            outputs=len(shapes),
            shapes=tuple(None if shape is None else tuple(shape) for shape in shapes),
            reason=reason,
        )

    def model(self, outputs: Sequence[str], file: str, name: str = "") -> RawModel:
        """Return the network.

        Zero paddings are merged into convolutions, and an input that is read only through one
        permutation is declared in the permuted order.
        """
        self._merge_paddings(outputs)
        self._reorder_inputs(outputs)
        ends = self.inputs, list(dict.fromkeys(outputs))
        graph = RawGraph(name, self.nodes, self.stored, *ends, {})
        return RawModel(graph, {"": _OPSET}, file, name=name)

    def _readers(self) -> dict[str, list[RawNode]]:
        """Return, for each value, the nodes that read it, once per read."""
        readers: dict[str, list[RawNode]] = {}
        for node in self.nodes:
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        return readers

    def _merge_paddings(self, outputs: Sequence[str]) -> None:
        """Merge a zero padding into the convolution that is its only reader."""
        readers = self._readers()
        merged: set[int] = set()
        for node in self.nodes:
            if node.op != "Pad" or node.domain or node.outputs[0] in outputs:
                continue
            conv, *others = readers.get(node.outputs[0], [node])
            if others or conv.op != "Conv" or conv.inputs[0] != node.outputs[0]:
                continue
            if any(conv.attributes.get("pads", (1,))):
                continue
            pads: Any = node.attributes.get("pads", ())
            half = len(pads) // 2
            conv.attributes["pads"] = (*pads[2:half], *pads[half + 2 :])
            conv.inputs = (node.inputs[0], *conv.inputs[1:])
            merged.add(id(node))
        self.merged_paddings = len(merged)
        self.nodes = [node for node in self.nodes if id(node) not in merged]

    def _reorder_inputs(self, outputs: Sequence[str]) -> None:
        """Declare an input in the order of axes in which all of its readers permute it."""
        readers = self._readers()
        dropped: set[int] = set()
        renamed: dict[str, str] = {}
        for i, value in enumerate(self.inputs):
            nodes = readers.get(value.name, [])
            orders = {_permutation_of(node) for node in nodes}
            if len(orders) != 1 or value.name in outputs or value.shape is None:
                continue
            (order,) = orders
            if order is None or any(n.outputs[0] in outputs for n in nodes):
                continue
            if any(not isinstance(value.shape[a], int) for a in order[1:]) and order[0] != 0:
                continue
            named = self.dimensions.input_shape(value) or ()
            shape = tuple(
                value.shape[a] if isinstance(value.shape[a], int) else str(named[a]) for a in order
            )
            self.inputs[i] = RawValue(value.name, shape, value.format)
            dropped |= {id(n) for n in nodes}
            renamed |= {n.outputs[0]: value.name for n in nodes}
        self.nodes = [n for n in self.nodes if id(n) not in dropped]
        for node in self.nodes:
            node.inputs = tuple(renamed.get(name, name) for name in node.inputs)


def _permutation_of(node: RawNode) -> tuple[int, ...] | None:
    """Return the permutation that a view applies; ``None`` if it does anything else."""
    if node.op != "View" or node.domain != DOMAIN or len(node.inputs) != 1:
        return None
    axes: Any = node.attributes["axes"]
    order = tuple(a[0] for n, a in axes if n == 1 and len(a) == 1)
    return order if len(order) == len(axes) and len(set(order)) == len(order) else None
