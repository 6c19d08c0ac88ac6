"""Parser of ONNX files to plain objects, with small constants for shapes and without weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any, Final, TypeAlias

from perfmodel.errors import Fault, InputError, input_error, nearest, printable
from perfmodel.regular import contents
from perfmodel.workload.importers.element_types import numbered
from perfmodel.workload.importers.onnx.functions import written_out
from perfmodel.workload.importers.onnx.signature import signature_faults

#: Names visible in a graph: its own, then those of the enclosing graphs.
Known: TypeAlias = tuple[set[str], ...]

#: TensorProto element type -> numeric format.
FORMATS: Mapping[int, str] = numbered("onnx")

#: Attribute type -> its protobuf field, for single values and for lists.
_SINGLE: Mapping[int, str] = {1: "f", 2: "i", 3: "s"}
_LISTS: Mapping[int, str] = {6: "floats", 7: "ints", 8: "strings"}

#: Largest number of elements of a stored constant, and limits on the sizes that a file may claim.
KEPT = 4096
#: Budget of elements over all stored constants, and largest size of one once it is exhausted.
#: Floating-point constants are never stored above that size.
KEPT_IN_ALL = 2**21
KEPT_SURELY = 16
LARGEST_EXTENT = 2**40
LARGEST_BYTES = 2**31
_DEEPEST = 24

#: Largest number of listed faults of a file, and of faults with a suggestion.
_MOST_FAULTS: Final = 100
_MOST_SUGGESTIONS: Final = 20


@dataclass(slots=True)
class RawTensor:
    """A stored tensor: shape, format, and numbers if they are few."""

    shape: tuple[int, ...]
    format: str
    numbers: tuple[int | float, ...] | None = None
    buffer: bool = False
    """Whether the tensor is no parameter: statistics, masks, positions."""


@dataclass(slots=True)
class RawValue:
    """A declared value; an extent is a number, a name, or ``None``."""

    name: str
    shape: tuple[int | str | None, ...] | None
    format: str


@dataclass(slots=True)
class RawNode:
    """A node by the names of its inputs and outputs (empty if absent)."""

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    graphs: dict[str, RawGraph] = field(default_factory=dict[str, "RawGraph"])


@dataclass(slots=True)
class RawGraph:
    """A graph or the body of a control-flow node."""

    name: str
    nodes: list[RawNode]
    stored: dict[str, RawTensor]
    inputs: list[RawValue]
    outputs: list[str]
    declared: dict[str, RawValue]
    replaceable: frozenset[str] = frozenset()
    """Stored tensors that are inputs as well: a run may override them, so they are not folded."""
    results: frozenset[str] = field(init=False)
    """Names of the outputs."""
    computed: frozenset[str] = field(init=False)
    """Names of the values that its nodes compute."""

    def __post_init__(self) -> None:
        self.results = frozenset(self.outputs)
        self.computed = frozenset(name for node in self.nodes for name in node.outputs)


@dataclass(slots=True)
class RawModel:
    """A file: its graph, the versions of its operator sets, and its path."""

    graph: RawGraph
    opsets: dict[str, int]
    file: str
    pinned: bool = False
    """Whether the file fixes plain fp32 too, as it does next to integers."""
    precision: str = ""
    """Precision of the file; empty for that of its weights."""
    channels_last: bool = False
    """Whether images have their channels last; in the graph they are second."""
    notes: tuple[str, ...] = ()
    """Notes for the user about the file."""
    name: str = ""
    """Name of the network in the file; empty for the file's own name."""

    @property
    def opset(self) -> int:
        """Version of the standard operator set."""
        return self.opsets.get("", self.opsets.get("ai.onnx", 1))


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
    content = contents(file, LARGEST_BYTES, wanted="a model with its weights in another file")
    expected = "an ONNX model (protobuf)"
    try:
        # Parsing the bytes does not load external data files.
        model = onnx.ModelProto.FromString(content)
    except (decode_error, RuntimeError, ValueError):
        raise input_error("is truncated or no ONNX", file=str(file), expected=expected) from None
    del content
    if not model.ir_version or not model.HasField("graph") or not len(model.graph.node):
        raise input_error("holds no ONNX graph", file=str(file), expected=expected)
    model = written_out(model, str(file))
    return _OnnxReader(onnx, str(file)).model(model)


class _OnnxReader:
    """Conversion of the protobuf, collecting faults."""

    def __init__(self, onnx: Any, file: str) -> None:
        self.onnx = onnx
        self.file = file
        self.faults: list[Fault] = []
        self.opsets: dict[str, int] = {}
        self.unlisted = 0
        self.stored_numbers = 0

    def model(self, proto: Any) -> RawModel:
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
        if len(self.faults) >= _MOST_FAULTS:
            self.unlisted += 1
            return
        self.faults.append(Fault(message, path, self.file, expected=expected, suggestion=near))

    def near(self, name: str, *known: Iterable[str]) -> str:
        """Return the nearest known name; only the first faults carry a suggestion."""
        if len(self.faults) >= _MOST_SUGGESTIONS:
            return ""
        return nearest(name, chain(*known))

    def graph(self, proto: Any, path: str, outer: Known, depth: int) -> RawGraph:
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
            if name and not _in(name, known):
                near = self.near(name, *known)
                self.fault(f"{path}.output", f"no node makes '{name}'", "an output of a node", near)
        if not outputs:
            self.fault(f"{path}.output", "the graph has no output", "a value that a node makes")
        replaceable = frozenset(str(v.name) for v in proto.input).intersection(stored)
        return RawGraph(str(proto.name), nodes, stored, inputs, outputs, declared, replaceable)

    def nodes(self, protos: Iterable[Any], path: str, known: Known, depth: int) -> list[RawNode]:
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

    def order(self, rows: Sequence[Any], path: str, known: Known) -> list[int]:
        """Return a topological order of the nodes; the file's own order if it is one."""
        makers: dict[str, int] = {}
        before = len(self.faults)
        for i, proto in enumerate(rows):
            if not proto.op_type:
                self.fault(f"{path}.node[{i}]", "has no operator type", "such as Conv")
            for name in proto.output:
                if name and (name in makers or _in(name, known)):
                    place = f"{path}.node[{i}].output"
                    self.fault(place, f"'{name}' is made twice", "each name once")
                makers[name] = i
        needs: list[set[int]] = []
        for i, proto in enumerate(rows):
            reads = {str(n) for n in proto.input} | set(_captured(proto, _DEEPEST))
            for name in proto.input:
                if name and name not in makers and not _in(name, known):
                    self.fault(
                        f"{path}.node[{i}].input",
                        f"'{proto.name or proto.op_type}' reads '{name}'",
                        "a value that an input, a weight or a node gives",
                        self.near(str(name), *known, makers),
                    )
            needs.append({makers[n] for n in reads if n and n in makers and not _in(n, known)})
        if len(self.faults) > before:
            return list(range(len(rows)))  # with these faults, a cycle may be spurious
        done: set[int] = set()
        order: list[int] = []
        stack: list[tuple[int, bool]] = [(i, False) for i in reversed(range(len(rows)))]
        waiting: set[int] = set()
        while stack:
            i, ready = stack.pop()
            if i in done:
                continue
            if ready:
                waiting.discard(i)
                done.add(i)
                order.append(i)
                continue
            if i in waiting:
                message = f"'{rows[i].name or rows[i].op_type}' waits for itself"
                self.fault(f"{path}.node[{i}]", message, "a graph without a cycle")
                return list(range(len(rows)))
            waiting.add(i)
            stack.append((i, True))
            stack += [(j, False) for j in sorted(needs[i], reverse=True) if j not in done]
        return order

    def attribute(self, node: RawNode, proto: Any, path: str, known: Known, depth: int) -> None:
        kinds = self.onnx.AttributeProto
        name = str(proto.name)
        if proto.type == kinds.GRAPH:
            node.graphs[name] = self.graph(proto.g, f"{path}.{name}", known, depth + 1)
        elif proto.type == kinds.TENSOR:
            node.attributes[name] = self.tensor(proto.t, f"{path}.{name}")
        elif proto.type == kinds.SPARSE_TENSOR:
            node.attributes[name] = _sparse(proto.sparse_tensor)
        elif proto.type in _SINGLE:
            (node.attributes[name],) = _plain([getattr(proto, _SINGLE[proto.type])])
        elif proto.type in _LISTS:
            node.attributes[name] = _plain(getattr(proto, _LISTS[proto.type]))

    def value(self, proto: Any, path: str) -> RawValue:
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
                        message = f"an extent of {size} is absurd"
                        self.fault(f"{path}.{name}", message, f"at most {LARGEST_EXTENT}")
                    # Exporters write 0 and -1 for unknown extents.
                    shape.append(size if size > 0 else None)
                else:
                    shape.append(printable(str(dim.dim_param).strip()) or None)
        format = FORMATS.get(int(kind.elem_type), "")
        return RawValue(name, None if shape is None else tuple(shape), format)

    def tensor(self, proto: Any, path: str) -> RawTensor:
        shape = tuple(int(d) for d in proto.dims)
        name = f"{path}.{proto.name}" if proto.name else path
        if any(d < 0 or d > LARGEST_EXTENT for d in shape):
            self.fault(name, f"{list(shape)} is no shape", f"extents from 0 to {LARGEST_EXTENT}")
            return RawTensor((0,), "fp32")
        size = prod(shape)
        if size > LARGEST_EXTENT:
            message = f"a tensor of {size:g} elements is absurd"
            self.fault(name, message, f"at most {LARGEST_EXTENT}")
        format = FORMATS.get(int(proto.data_type))
        if format is None:
            message = f"{int(proto.data_type)} is no element type"
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
        most = KEPT if self.stored_numbers < KEPT_IN_ALL else KEPT_SURELY
        few = size <= (min(most, KEPT_SURELY) if format.startswith(("fp", "bf")) else most)
        if external or format == "string":
            return None
        raw = len(proto.raw_data)
        if raw and not format.startswith(("int4", "fp4", "int2")):
            width = self.onnx.helper.tensor_dtype_to_np_dtype(proto.data_type).itemsize
            if raw != size * width:
                message = f"holds {raw} bytes for {size} elements of {format}"
                self.fault(path, message, f"{size * width} bytes")
                return None
        if not few or not (size == 0 or raw or _listed(proto)):
            return None
        try:
            array = self.onnx.numpy_helper.to_array(proto)
            self.stored_numbers += size
            return tuple(array.ravel().tolist())
        except (ValueError, TypeError, IndexError) as error:
            self.fault(path, f"its data cannot be read: {error}", "as much data as its shape says")
            return None


def _plain(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values)


def _sparse(proto: Any) -> RawTensor:
    format = FORMATS.get(int(proto.values.data_type), "fp32")
    return RawTensor(tuple(map(int, proto.dims)), format)


def _in(name: str, known: Known) -> bool:
    return any(name in names for names in known)


def _listed(proto: Any) -> bool:
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
