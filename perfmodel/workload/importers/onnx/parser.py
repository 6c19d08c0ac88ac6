"""Parser of ONNX files: protobuf to records, checked, without reading the weights.

The format is defined by onnx/onnx, onnx/onnx.proto (message ``ModelProto``). Of stored tensors only
small ones are read, because shapes may depend on them: sizes of a reshape, scales of a resize. All
faults of a file are collected and raised together. `onnx.load` calls `read_onnx`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError
from importlib import import_module
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any, Final, TypeAlias

from perfmodel.errors import Fault, InputError, input_error, nearest, printable
from perfmodel.regular_files import read_bytes
from perfmodel.workload.importers.onnx.function_inlining import inline_functions
from perfmodel.workload.importers.onnx.operator_signatures import signature_faults
from perfmodel.workload.importers.onnx.records import (
    FORMATS,
    LARGEST_EXTENT,
    MOST_STORED_NUMBERS,
    RawGraph,
    RawModel,
    RawNode,
    RawTensor,
    RawValue,
)
from perfmodel.workload.importers.topological_order import topological_order

#: Names visible in a graph: its own, then those of the enclosing graphs.
VisibleNames: TypeAlias = tuple[set[str], ...]

#: Attribute type -> its protobuf field, for single values and for lists.
_SINGLE: Mapping[int, str] = {1: "f", 2: "i", 3: "s"}
_LISTS: Mapping[int, str] = {6: "floats", 7: "ints", 8: "strings"}

#: Budget of elements over all stored constants, and largest size of one once it is exhausted.
#: Floating-point constants are never stored above that size.
STORED_NUMBERS_BUDGET = 2**21
FEW_NUMBERS = 16
#: Largest accepted file in bytes, and deepest accepted nesting of graphs.
LARGEST_BYTES = 2**31
_DEEPEST = 24

#: Largest number of listed faults of a file, and of faults with a suggestion.
_MOST_FAULTS: Final = 100
_MOST_SUGGESTIONS: Final = 20


def read_onnx(path: str | Path) -> RawModel:
    """Parse an ONNX file.

    Raises
    ------
    InputError
        The file cannot be read, is not ONNX, or contains no well-formed graph; all faults at once.
    """
    file = Path(path)
    try:
        onnx: Any = import_module("onnx")
        decode_error: Any = import_module("google.protobuf.message").DecodeError
    except ImportError:
        raise input_error(
            "reading ONNX needs the package onnx",
            file=str(file),
            expected="pip install 'perfmodel[onnx]'",
        ) from None
    content = read_bytes(file, LARGEST_BYTES, wanted="a model with its weights in another file")
    expected = "an ONNX model (protobuf)"
    try:
        # Parsing the bytes does not load external data files.
        model = onnx.ModelProto.FromString(content)
    except (decode_error, RuntimeError, ValueError):
        raise input_error("is truncated or not ONNX", file=str(file), expected=expected) from None
    del content
    if not model.ir_version or not model.HasField("graph") or not len(model.graph.node):
        raise input_error("holds no ONNX graph", file=str(file), expected=expected)
    model = inline_functions(model, str(file))
    return _OnnxReader(onnx, str(file)).model(model)


class _OnnxReader:
    """Conversion of the protobuf to records, collecting faults."""

    def __init__(self, onnx: Any, file: str) -> None:
        self.onnx = onnx
        self.file = file
        self.faults: list[Fault] = []
        self.opsets: dict[str, int] = {}
        self.unlisted = 0
        self.stored_numbers = 0

    def model(self, proto: Any) -> RawModel:
        """Read a ``ModelProto``."""
        garbled = [name for name in _names(proto.graph, _DEEPEST) if isinstance(name, bytes)]
        for name in dict.fromkeys(garbled[:20]):
            self.fault("graph", f"the name {name!r} is not UTF-8", "names in UTF-8")
        if garbled:
            raise InputError(self.faults)
        opsets = self.opsets
        for entry in proto.opset_import:
            opsets[str(entry.domain)] = int(entry.version)
            if entry.version < 1:
                message = f"there is no operator set {entry.version}"
                self.fault("opset_import", message, "a version from 1")
        graph = self.graph(proto.graph, "graph", (), 0)
        if not opsets:
            self.fault("opset_import", "names no operator set", "a version of the standard's")
        if self.unlisted:
            message = f"{self.unlisted} further faults are not listed"
            self.faults.append(Fault(message, "graph", self.file))
        if self.faults:
            raise InputError(self.faults)
        return RawModel(graph, opsets, self.file)

    def fault(self, path: str, message: str, expected: str, near: str = "") -> None:
        """Record a fault; faults after the first hundred are only counted."""
        if len(self.faults) >= _MOST_FAULTS:
            self.unlisted += 1
            return
        self.faults.append(Fault(message, path, self.file, expected=expected, suggestion=near))

    def suggestion_for(self, name: str, *known: Iterable[str]) -> str:
        """Return the nearest known name; only the first faults carry a suggestion."""
        if len(self.faults) >= _MOST_SUGGESTIONS:
            return ""
        return nearest(name, chain(*known))

    def graph(self, proto: Any, path: str, outer: VisibleNames, depth: int) -> RawGraph:
        """Read a ``GraphProto``, the main graph or the body of a control-flow node."""
        if depth > _DEEPEST:
            self.fault(path, f"is nested deeper than {_DEEPEST} graphs", "a flatter model")
            return RawGraph("", [], {}, [], [], {})
        stored = {str(t.name): self.tensor(t, f"{path}.initializer") for t in proto.initializer}
        stored |= {str(s.values.name): _sparse(s) for s in proto.sparse_initializer}
        inputs = [self.value(v, f"{path}.input") for v in proto.input if v.name not in stored]
        declared = {str(v.name): self.value(v, path) for v in (*proto.value_info, *proto.output)}
        known = ({*stored, *(v.name for v in inputs)}, *outer)
        nodes = self.nodes(proto.node, path, known, depth)
        outputs = [str(v.name) for v in proto.output]
        for name in outputs:
            if name and not _is_visible(name, known):
                near = self.suggestion_for(name, *known)
                self.fault(
                    f"{path}.output", f"no node produces '{name}'", "an output of a node", near
                )
        if not outputs:
            self.fault(f"{path}.output", "the graph has no output", "a value that a node produces")
        replaceable = frozenset(str(v.name) for v in proto.input).intersection(stored)
        return RawGraph(str(proto.name), nodes, stored, inputs, outputs, declared, replaceable)

    def nodes(
        self, protos: Iterable[Any], path: str, known: VisibleNames, depth: int
    ) -> list[RawNode]:
        """Read nodes in topological order, adding their outputs to the known names."""
        rows = list(protos)
        order = self.order(rows, path, known)
        nodes: list[RawNode] = []
        counts: dict[str, int] = {}
        for i in order:
            proto = rows[i]
            op = str(proto.op_type)
            n = counts[op] = counts.get(op, 0) + 1
            node = RawNode(
                op,
                str(proto.domain),
                str(proto.name) or f"{op}_{n}",
                tuple(map(str, proto.input)),
                tuple(map(str, proto.output)),
            )
            for message, expected, near in signature_faults(proto, self.opsets):
                self.fault(f"{path}.node[{i}]: {node.op} at {node.name}", message, expected, near)
            for attribute in proto.attribute:
                self.attribute(node, attribute, f"{path}.node[{i}]", known, depth)
            known[0].update(node.outputs)
            nodes.append(node)
        return nodes

    def order(self, rows: Sequence[Any], path: str, known: VisibleNames) -> list[int]:
        """Return a topological order of the nodes; the file's own order if it is one."""
        producer_of: dict[str, int] = {}
        faults_before = len(self.faults)
        for i, proto in enumerate(rows):
            if not proto.op_type:
                self.fault(f"{path}.node[{i}]", "has no operator type", "such as Conv")
            for name in proto.output:
                if name and (name in producer_of or _is_visible(name, known)):
                    place = f"{path}.node[{i}].output"
                    self.fault(place, f"'{name}' is produced twice", "each name once")
                producer_of[name] = i
        predecessors: list[set[int]] = []
        for i, proto in enumerate(rows):
            reads = {str(n) for n in proto.input} | set(_captured(proto, _DEEPEST))
            for name in proto.input:
                if name and name not in producer_of and not _is_visible(name, known):
                    self.fault(
                        f"{path}.node[{i}].input",
                        f"'{proto.name or proto.op_type}' reads '{name}'",
                        "an input, a weight or the output of a node",
                        self.suggestion_for(str(name), *known, producer_of),
                    )
            predecessors.append(
                {
                    producer_of[n]
                    for n in reads
                    if n and n in producer_of and not _is_visible(n, known)
                }
            )
        if len(self.faults) > faults_before:
            return list(range(len(rows)))  # with these faults, a cycle may be spurious
        try:
            return topological_order(predecessors)
        except CycleError as error:
            i: int = error.args[1][0]
            message = f"'{rows[i].name or rows[i].op_type}' depends on itself"
            self.fault(f"{path}.node[{i}]", message, "a graph without a cycle")
            return list(range(len(rows)))

    def attribute(
        self, node: RawNode, proto: Any, path: str, known: VisibleNames, depth: int
    ) -> None:
        """Read an ``AttributeProto`` into a node: a number, a text, a list, a tensor or a graph."""
        kinds = self.onnx.AttributeProto
        name = str(proto.name)
        if proto.type == kinds.GRAPH:
            node.graphs[name] = self.graph(proto.g, f"{path}.{name}", known, depth + 1)
        elif proto.type == kinds.TENSOR:
            node.attributes[name] = self.tensor(proto.t, f"{path}.{name}")
        elif proto.type == kinds.SPARSE_TENSOR:
            node.attributes[name] = _sparse(proto.sparse_tensor)
        elif proto.type in _SINGLE:
            (node.attributes[name],) = _decoded([getattr(proto, _SINGLE[proto.type])])
        elif proto.type in _LISTS:
            node.attributes[name] = _decoded(getattr(proto, _LISTS[proto.type]))

    def value(self, proto: Any, path: str) -> RawValue:
        """Read a ``ValueInfoProto``; extents of 0, -1 or without a name are unknown."""
        name = str(proto.name)
        if not proto.type.HasField("tensor_type"):
            return RawValue(name, None, "")
        kind = proto.type.tensor_type
        shape: list[int | str | None] | None = None
        if kind.HasField("shape"):
            shape = []
            for dim in kind.shape.dim:
                if dim.HasField("dim_value"):
                    size = int(dim.dim_value)
                    if size > LARGEST_EXTENT:
                        message = f"an extent of {size} is too large"
                        self.fault(f"{path}.{name}", message, f"at most {LARGEST_EXTENT}")
                    # Exporters write 0 and -1 for unknown extents.
                    shape.append(size if size > 0 else None)
                else:
                    shape.append(printable(str(dim.dim_param).strip()) or None)
        format = FORMATS.get(int(kind.elem_type), "")
        return RawValue(name, None if shape is None else tuple(shape), format)

    def tensor(self, proto: Any, path: str) -> RawTensor:
        """Read a ``TensorProto``: shape, element type, and numbers if they are few."""
        shape = tuple(int(d) for d in proto.dims)
        name = f"{path}.{proto.name}" if proto.name else path
        if any(d < 0 or d > LARGEST_EXTENT for d in shape):
            self.fault(name, f"{list(shape)} is not a shape", f"extents from 0 to {LARGEST_EXTENT}")
            return RawTensor((0,), "fp32")
        size = prod(shape)
        if size > LARGEST_EXTENT:
            message = f"a tensor of {size:g} elements is too large"
            self.fault(name, message, f"at most {LARGEST_EXTENT}")
        format = FORMATS.get(int(proto.data_type))
        if format is None:
            message = f"{int(proto.data_type)} is not an element type"
            self.fault(name, message, f"a number from 1 to {max(FORMATS)}")
            return RawTensor(shape, "fp32")
        return RawTensor(shape, format, self.numbers(proto, size, format, name))

    def numbers(
        self, proto: Any, size: int, format: str, path: str
    ) -> tuple[int | float, ...] | None:
        """Return the numbers of a small tensor; ``None`` if it is large or stored externally.

        Floating-point tensors are limited to 16 elements: scales of a resize, never weights.
        """
        external = proto.data_location == self.onnx.TensorProto.EXTERNAL
        limit = MOST_STORED_NUMBERS if self.stored_numbers < STORED_NUMBERS_BUDGET else FEW_NUMBERS
        is_small = size <= (min(limit, FEW_NUMBERS) if format.startswith(("fp", "bf")) else limit)
        if external or format == "string":
            return None
        raw_bytes = len(proto.raw_data)
        if raw_bytes and not format.startswith(("int4", "fp4", "int2")):
            width = self.onnx.helper.tensor_dtype_to_np_dtype(proto.data_type).itemsize
            if raw_bytes != size * width:
                message = f"holds {raw_bytes} bytes for {size} elements of {format}"
                self.fault(path, message, f"{size * width} bytes")
                return None
        if not is_small or not (size == 0 or raw_bytes or _has_typed_data(proto)):
            return None
        try:
            array = self.onnx.numpy_helper.to_array(proto)
            self.stored_numbers += size
            return tuple(array.ravel().tolist())
        except (ValueError, TypeError, IndexError) as error:
            self.fault(
                path, f"its data cannot be read: {error}", "as much data as its shape states"
            )
            return None


def _decoded(values: Iterable[Any]) -> tuple[Any, ...]:
    """Return attribute values with bytes decoded as text."""
    return tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values)


def _sparse(proto: Any) -> RawTensor:
    """Read a ``SparseTensorProto`` by its dense shape, without its numbers."""
    format = FORMATS.get(int(proto.values.data_type), "fp32")
    return RawTensor(tuple(map(int, proto.dims)), format)


def _is_visible(name: str, known: VisibleNames) -> bool:
    """Return whether a name is visible in a graph."""
    return any(name in names for names in known)


def _has_typed_data(proto: Any) -> bool:
    """Return whether a tensor has its numbers in a typed field instead of ``raw_data``."""
    return any(
        len(getattr(proto, name))
        for name in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
    )


def _names(graph: Any, depth: int) -> Iterable[object]:
    """Yield every name in a graph; protobuf returns names that are not UTF-8 as bytes."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name
        for dim in value.type.tensor_type.shape.dim:
            yield dim.dim_param
    for tensor in graph.initializer:
        yield tensor.name
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            if depth > 0 and attribute.HasField("g"):
                yield from _names(attribute.g, depth - 1)


def _captured(proto: Any, depth: int) -> Iterable[str]:
    """Yield the names that a node's subgraphs read from outside the subgraph."""
    if depth <= 0:
        return
    for attribute in proto.attribute:
        if attribute.HasField("g"):
            inner = {str(n) for node in attribute.g.node for n in node.output}
            for node in attribute.g.node:
                for name in (*node.input, *_captured(node, depth - 1)):
                    if name not in inner:
                        yield str(name)
            for output in attribute.g.output:
                if output.name not in inner:
                    yield str(output.name)
