"""Read a ``.tflite`` file into light values: no weights, only small constants."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Final

from perfmodel.errors import InputError, input_error
from perfmodel.regular import FileBytes, open_file
from perfmodel.workload.importers.onnx.read import KEPT, LARGEST_EXTENT
from perfmodel.workload.importers.tflite.flatbuffer import KINDS, Flatbuffer, FlatbufferTable
from perfmodel.workload.importers.tflite.schema import (
    ACTIVATIONS,
    BUILTINS,
    ELEMENT_BITS,
    FORMATS,
    IDENTIFIER,
    OPTIONS,
    PADDINGS,
)

_EXPECTED: Final = "a TensorFlow Lite model (flatbuffer with the identifier TFL3)"

#: How numbers of a small constant are stored, where that is not what their format is called.
_STORED: Final = {"bool": "uint8", "fp32": "float32", "fp64": "float64"}

#: Bytes from which a file is mapped rather than read.
_LARGE: Final = 2**26

#: Options that are one of some names.
_NAMED: Final = {"activation": ACTIVATIONS, "padding": PADDINGS}

#: Operators that may make no tensor; of custom ones nothing is known.
_SILENT: Final = frozenset({"ASSIGN_VARIABLE", "CALL_ONCE", "IF", "WHILE", "CALL"})

#: Operators between constants of float16 or a sparse form and those that use them.
UNPACKED: Final = frozenset({"DEQUANTIZE", "DENSIFY"})


@dataclass(slots=True)
class TfliteTensor:
    """A tensor of a subgraph.

    Attributes
    ----------
    name
        The file's, made unique in its subgraph.
    shape
        Extents as the file was converted with.
    signature
        The same with ``None`` for a free extent.
    format
        Numeric format.
    stored_bytes
        Bytes of its content in the file; 0 where it is computed.
    numbers
        The content where it is small.
    scales
        How many scales it is quantised with: 0, 1, or one per channel.
    sparse
        Whether only some of its elements are stored.
    variable
        Whether it keeps its content from one run to the next.
    """

    name: str
    shape: tuple[int, ...]
    signature: tuple[int | None, ...]
    format: str
    constant: bool
    buffer: int = 0
    stored_bytes: int = 0
    numbers: tuple[int | float, ...] | None = None
    scales: int = 0
    sparse: bool = False
    variable: bool = False

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(slots=True)
class TfliteOperator:
    """An operator: indices of its tensors (-1 where absent), and its options."""

    op: str = ""
    custom: bool = False
    version: int = 1
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class TfliteSubgraph:
    """A subgraph in the order in which it runs."""

    name: str
    tensors: list[TfliteTensor]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: list[TfliteOperator]


@dataclass(slots=True)
class TfliteModel:
    """A file.

    Attributes
    ----------
    subgraphs
        The first is the network; operators of control flow run the others.
    buffer_bytes
        Bytes of each buffer.
    metadata
        Names of what else the file carries.
    """

    version: int
    description: str
    subgraphs: list[TfliteSubgraph]
    buffer_bytes: list[int]
    metadata: list[str]
    file: str
    size: int


def read_tflite(path: str | Path) -> TfliteModel:
    """Read a file.

    Raises
    ------
    InputError
        It cannot be read, is no TensorFlow Lite model, or contradicts itself; every fault at once,
        each with the byte and the field.
    """
    file = Path(path)
    with open_file(file) as stream:
        # Of a large file only what is looked at is brought in: not the weights.
        large = FileBytes(stream, str(file))
        data = large if len(large) > _LARGE else large[: len(large)]
        if len(data) < 8 or data[4:8] != IDENTIFIER:
            raise input_error("is no TensorFlow Lite model", file=str(file), expected=_EXPECTED)
        return _TfliteReader(Flatbuffer(data, str(file))).model()


@dataclass(slots=True)
class _Buffer:
    """Where a buffer's bytes lie in the file."""

    at: int = 0
    size: int = 0
    outside: bool = False


@dataclass
class _TfliteReader:
    """Walks the tables and collects faults."""

    source: Flatbuffer
    buffers: list[_Buffer] = field(default_factory=list[_Buffer])
    codes: list[tuple[str, bool, int]] = field(default_factory=list[tuple[str, bool, int]])

    def model(self) -> TfliteModel:
        root = self.source.root("model")
        if root is None:
            raise InputError(self.source.faults)
        version = root.scalar(0, "uint32", "version")
        if version != 3:
            root.fault("version", f"version {version} of the schema", "version 3")
        self.buffers = [b or _Buffer() for b in root.each(4, "buffers", self.buffer)]
        codes = root.each(1, "operator_codes", self.code)
        self.codes = [code or ("CUSTOM", True, 0) for code in codes]
        found = root.each(2, "subgraphs", self.subgraph)
        subgraphs = [g for g in found if g is not None]
        if not found:
            root.fault("subgraphs", "holds no subgraph", "at least one")
        elif subgraphs and subgraphs[0] is found[0] and not self.source.faults:
            for name in ("operators", "outputs"):
                if not getattr(subgraphs[0], name):
                    root.fault(f"subgraphs[0].{name}", "holds none", "at least one")
        description = root.text(3, "description")
        names = root.each(6, "metadata", lambda t: t.text(0, "name"))
        if self.source.faults:
            raise InputError(self.source.faults)
        return TfliteModel(
            version,
            description,
            subgraphs,
            [b.size for b in self.buffers],
            [n or "" for n in names],
            self.source.file,
            len(self.source.data),
        )

    def buffer(self, table: FlatbufferTable) -> _Buffer:
        """Read where a buffer lies: inside its table, or (files over 2 GiB) behind the tables."""
        at, count = table.span(0, 1, "data")
        offset, size = table.scalar(1, "uint64", "offset"), table.scalar(2, "uint64", "size")
        if count or offset <= 1:
            return _Buffer(at, count)
        if offset + size > len(self.source.data):
            message = f"{size} bytes from byte {offset} on lie outside the file"
            table.fault("offset", message, f"an end up to byte {len(self.source.data)}")
            return _Buffer()
        return _Buffer(offset, size, outside=True)

    def code(self, table: FlatbufferTable) -> tuple[str, bool, int]:
        """Read an operator code: old files have one byte for it, new ones both numbers."""
        number: int = max(
            table.scalar(0, "int8", "deprecated_builtin_code"),
            table.scalar(3, "int32", "builtin_code"),
        )
        custom = table.text(1, "custom_code")
        version = table.scalar(2, "int32", "version", 1)
        if not 0 <= number < len(BUILTINS):
            # A newer schema may have it: it is named, and not priced.
            return f"BUILTIN_{number}", False, version
        name: str = BUILTINS[number]
        return (custom or name, True, version) if name == "CUSTOM" else (name, False, version)

    def subgraph(self, table: FlatbufferTable) -> TfliteSubgraph:
        tensors = [
            t or TfliteTensor("", (), (), "fp32", constant=True)
            for t in table.each(0, "tensors", self.tensor)
        ]
        _unique(tensors)
        inputs = self.indices(table, 1, "inputs", len(tensors))
        outputs = self.indices(table, 2, "outputs", len(tensors))
        if self.source.faults:
            # What is read and made would be compared with tensors that are not there.
            return TfliteSubgraph("", tensors, inputs, outputs, [])
        made = {*inputs, *(i for i, t in enumerate(tensors) if t.constant or t.variable)}
        sound = table.each(3, "operators", lambda t: self.operator(t, tensors, made))
        operators = [operator for operator in sound if operator is not None]
        for i in outputs:
            if i not in made and not self.source.faults:
                message = f"nothing makes '{tensors[i].name}'"
                table.fault("outputs", message, "an output of an operator")
        return TfliteSubgraph(table.text(4, "name"), tensors, inputs, outputs, operators)

    def indices(
        self, table: FlatbufferTable, slot: int, name: str, count: int, least: int = 0
    ) -> tuple[int, ...]:
        """Return tensor indices; those out of range become faults."""
        found: tuple[int, ...] = table.vector(slot, "int32", name)
        wrong = [i for i in found if not least <= i < count]
        for index in wrong[:4]:
            table.fault(
                name, f"there is no tensor {index}", f"an index from {least} to {count - 1}"
            )
        return () if wrong else found

    def operator(
        self, table: FlatbufferTable, tensors: list[TfliteTensor], made: set[int]
    ) -> TfliteOperator | None:
        index: int = table.scalar(0, "uint32", "opcode_index")
        if index >= len(self.codes):
            message = f"there is no operator code {index}"
            table.fault("opcode_index", message, f"an index below {len(self.codes)}")
            return None
        name, custom, version = self.codes[index]
        inputs = self.indices(table, 1, "inputs", len(tensors), -1)
        outputs = self.indices(table, 2, "outputs", len(tensors))
        for i in inputs:
            if i < 0 or i in made:
                continue
            # An empty constant has no bytes anywhere.
            tensors[i].constant = tensors[i].constant or not tensors[i].elements
            if tensors[i].elements:
                message = f"{name} reads '{tensors[i].name}', which nothing made yet"
                table.fault("inputs", message, "operators in the order in which they run")
            made.add(i)
        for i in outputs:
            if i in made and not tensors[i].variable:
                message = f"{name} makes '{tensors[i].name}', which is there already"
                table.fault("outputs", message, "each tensor once")
        if not outputs and not custom and name not in _SILENT and not self.source.faults:
            table.fault("outputs", f"{name} makes nothing", "a tensor")
        made.update(outputs)
        return TfliteOperator(name, custom, version, inputs, outputs, self.options(table, name))

    def options(self, table: FlatbufferTable, op: str) -> dict[str, Any]:
        """Read the options of an operator that has some; defaults where it says none."""
        if op not in OPTIONS:
            return {}
        number, fields = OPTIONS[op]
        stated = table.scalar(3, "uint8", "builtin_options_type")
        inner = table.table(4, "builtin_options") if stated else None
        if stated not in {0, number}:
            message = f"{op} with options {stated}"
            table.fault("builtin_options_type", message, f"options {number}, or none")
            return {}
        found: dict[str, Any] = {}
        for name, (slot, kind, default) in fields.items():
            if inner is None:
                found[name] = default
            elif kind == "vector":
                found[name] = inner.vector(slot, "int32", name)
            elif kind == "text":
                found[name] = inner.text(slot, name)
            else:
                found[name] = inner.scalar(slot, kind, name, default)
            known = _NAMED.get(name)
            if known is not None and not 0 <= found[name] < len(known):
                message = f"{op} with {name} {found[name]}"
                table.fault(f"builtin_options.{name}", message, "from 0: " + ", ".join(known))
                found[name] = 0
        return found

    def tensor(self, table: FlatbufferTable) -> TfliteTensor:
        shape: tuple[int, ...] = table.vector(0, "int32", "shape")
        kind = table.scalar(1, "int8", "type")
        index = table.scalar(2, "uint32", "buffer")
        name = table.text(3, "name")
        quantised = table.table(4, "quantization")
        scales = quantised.span(2, 4, "scale")[1] if quantised is not None else 0
        sparse = table.has(6)
        stated: tuple[int, ...] = table.vector(7, "int32", "shape_signature")
        if any(d < 0 for d in shape) or prod(shape) > LARGEST_EXTENT:
            expected = f"extents from 0, at most {LARGEST_EXTENT} elements"
            table.fault("shape", f"{list(shape)} is no shape", expected)
            shape = ()
        if not 0 <= kind < len(FORMATS):
            table.fault("type", f"{kind} is no element type", f"from 0 to {len(FORMATS) - 1}")
            kind = 0
        if index >= max(len(self.buffers), 1):
            message = f"there is no buffer {index}"
            table.fault("buffer", message, f"an index below {len(self.buffers)}")
            index = 0
        signature: tuple[int | None, ...] = shape
        if len(stated) == len(shape):
            signature = tuple(s if d >= 0 else None for d, s in zip(stated, shape, strict=True))
        elif stated:
            message = f"{len(stated)} extents for {len(shape)} of the shape"
            table.fault("shape_signature", message, "one each")
        buffer = self.buffers[index] if index < len(self.buffers) else _Buffer()
        format, size = FORMATS[kind], prod(shape)
        # Buffer 0 is empty by convention.
        made = TfliteTensor(
            name,
            shape,
            signature,
            format,
            buffer.size > 0,
            index,
            buffer.size,
            None,
            scales,
            sparse,
            bool(table.scalar(5, "bool", "is_variable")),
        )
        needed = (size * ELEMENT_BITS[kind] + 7) // 8
        if ELEMENT_BITS[kind] and buffer.size and not sparse:
            if needed != buffer.size:
                message = f"'{name}' has {buffer.size} bytes for {size} elements of {format}"
                table.fault("buffer", message, f"{needed} bytes")
            else:
                made.numbers = self.numbers(format, kind, buffer, size)
        elif size == 0:
            made.numbers = ()
        return made

    def numbers(
        self, format: str, kind: int, buffer: _Buffer, size: int
    ) -> tuple[int | float, ...] | None:
        """Return the numbers of a small constant: shapes and axes, never weights."""
        stored = _STORED.get(format, format)
        if stored not in KINDS or size > (16 if format.startswith("fp") else KEPT):
            return None
        if FORMATS.index(format) != kind:
            stored = "u" + stored
        return self.source.numbers(stored, buffer.at, size)


def _unique(tensors: list[TfliteTensor]) -> None:
    """Name tensors that the file calls the same, or nothing, by their place as well."""
    taken: set[str] = set()
    for i, tensor in enumerate(tensors):
        tensor.name = tensor.name or f"tensor_{i}"
        if tensor.name in taken:
            tensor.name += f"#{i}"
        while tensor.name in taken:
            tensor.name += "'"
        taken.add(tensor.name)
