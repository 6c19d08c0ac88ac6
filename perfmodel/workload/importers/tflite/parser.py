"""Parser of ``.tflite`` files: tensors, operators and small constants, without weights.

The schema is tensorflow/lite/schema/schema.fbs, version 3: table ``Model`` (``version``,
``operator_codes``, ``subgraphs``, ``description``, ``buffers``, ``metadata``), ``SubGraph``
(``tensors``, ``inputs``, ``outputs``, ``operators``, ``name``), ``Tensor`` and ``Operator``. Fields
are read by their slot, the position in the schema. All faults are collected and raised together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Final

from perfmodel.errors import InputError, input_error
from perfmodel.regular_files import FileBytes, open_regular_file
from perfmodel.workload.importers.onnx.records import LARGEST_EXTENT, MOST_STORED_NUMBERS
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

#: Numeric format -> storage type, if the names differ.
_STORED: Final = {"bool": "uint8", "fp32": "float32", "fp64": "float64"}

#: File size in bytes above which the file is mapped instead of read.
_LARGE: Final = 2**26

#: Options that are an index into a list of names.
_NAMED: Final = {"activation": ACTIVATIONS, "padding": PADDINGS}

#: Builtin operators that may have no outputs; custom operators may have none either.
_SILENT: Final = frozenset({"ASSIGN_VARIABLE", "CALL_ONCE", "IF", "WHILE", "CALL"})

#: Operators that unpack constants stored in float16 or in sparse form.
UNPACKED: Final = frozenset({"DEQUANTIZE", "DENSIFY"})


@dataclass(slots=True)
class TfliteTensor:
    """A tensor of a subgraph.

    Attributes
    ----------
    name
        Name in the file, made unique within its subgraph.
    shape
        Extents at conversion.
    signature
        The extents, with ``None`` for a free one.
    format
        Numeric format.
    stored_bytes
        Bytes of its content in the file; 0 if it is computed.
    numbers
        The content if it is small.
    scales
        Number of quantisation scales: 0, 1, or one per channel.
    is_sparse
        Whether it is stored in sparse form.
    is_variable
        Whether its content persists between runs.
    """

    name: str
    shape: tuple[int, ...]
    signature: tuple[int | None, ...]
    format: str
    is_constant: bool
    buffer: int = 0
    stored_bytes: int = 0
    numbers: tuple[int | float, ...] | None = None
    scales: int = 0
    is_sparse: bool = False
    is_variable: bool = False

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(slots=True)
class TfliteOperator:
    """An operator: indices of its tensors (-1 for an absent one), and its options."""

    op: str = ""
    is_custom: bool = False
    version: int = 1
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class TfliteSubgraph:
    """A subgraph with its operators in order of execution."""

    name: str
    tensors: list[TfliteTensor]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: list[TfliteOperator]


@dataclass(slots=True)
class TfliteModel:
    """The content of a file.

    Attributes
    ----------
    subgraphs
        The network, followed by the subgraphs that its control-flow operators run.
    buffer_bytes
        Size of each buffer.
    """

    version: int
    description: str
    subgraphs: list[TfliteSubgraph]
    buffer_bytes: list[int]
    file: str


def read_tflite(path: str | Path) -> TfliteModel:
    """Parse a TensorFlow Lite file.

    Raises
    ------
    InputError
        The file cannot be read, is not a TensorFlow Lite model, or contradicts itself; all faults
        at once, each with the byte and the field.
    """
    file = Path(path)
    with open_regular_file(file) as stream:
        # Mapping a large file avoids reading its weights.
        large = FileBytes(stream, str(file))
        data = large if len(large) > _LARGE else large[: len(large)]
        if len(data) < 8 or data[4:8] != IDENTIFIER:
            raise input_error("is not a TensorFlow Lite model", file=str(file), expected=_EXPECTED)
        return _TfliteReader(Flatbuffer(data, str(file))).model()


@dataclass(slots=True)
class _Buffer:
    """Byte range of a buffer in the file."""

    at: int = 0
    size: int = 0
    outside: bool = False


@dataclass
class _TfliteReader:
    """Conversion of the tables, collecting faults."""

    source: Flatbuffer
    buffers: list[_Buffer] = field(default_factory=list[_Buffer])
    codes: list[tuple[str, bool, int]] = field(default_factory=list[tuple[str, bool, int]])

    def model(self) -> TfliteModel:
        """Read table ``Model``."""
        root = self.source.root("model")
        if root is None:
            raise InputError(self.source.faults)
        version = root.scalar(0, "uint32", "version")
        if version != 3:
            root.fault("version", f"version {version} of the schema", "version 3")
        self.buffers = [b or _Buffer() for b in root.each(4, "buffers", self.buffer)]
        codes = root.each(1, "operator_codes", self.code)
        self.codes = [code or ("CUSTOM", True, 0) for code in codes]
        graphs = root.each(2, "subgraphs", self.subgraph)
        subgraphs = [g for g in graphs if g is not None]
        if not graphs:
            root.fault("subgraphs", "holds no subgraph", "at least one")
        elif subgraphs and subgraphs[0] is graphs[0] and not self.source.faults:
            for name in ("operators", "outputs"):
                if not getattr(subgraphs[0], name):
                    root.fault(f"subgraphs[0].{name}", "holds none", "at least one")
        description = root.text(3, "description")
        if self.source.faults:
            raise InputError(self.source.faults)
        return TfliteModel(
            version,
            description,
            subgraphs,
            [b.size for b in self.buffers],
            self.source.file,
        )

    def buffer(self, table: FlatbufferTable) -> _Buffer:
        """Read a buffer's byte range: inside its table, or after the tables above 2 GiB."""
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
        """Read an operator code, stored in one byte by old files and in both fields by new ones."""
        number: int = max(
            table.scalar(0, "int8", "deprecated_builtin_code"),
            table.scalar(3, "int32", "builtin_code"),
        )
        custom = table.text(1, "custom_code")
        version = table.scalar(2, "int32", "version", 1)
        if not 0 <= number < len(BUILTINS):
            # A newer schema may define it: report the operator by number, without a price.
            return f"BUILTIN_{number}", False, version
        name: str = BUILTINS[number]
        return (custom or name, True, version) if name == "CUSTOM" else (name, False, version)

    def subgraph(self, table: FlatbufferTable) -> TfliteSubgraph:
        """Read table ``SubGraph``."""
        tensors = [
            t or TfliteTensor("", (), (), "fp32", is_constant=True)
            for t in table.each(0, "tensors", self.tensor)
        ]
        _unique(tensors)
        inputs = self.indices(table, 1, "inputs", len(tensors))
        outputs = self.indices(table, 2, "outputs", len(tensors))
        if self.source.faults:
            # Checking operators against broken tensors would produce spurious faults.
            return TfliteSubgraph("", tensors, inputs, outputs, [])
        available = {*inputs, *(i for i, t in enumerate(tensors) if t.is_constant or t.is_variable)}
        sound = table.each(3, "operators", lambda t: self.operator(t, tensors, available))
        operators = [operator for operator in sound if operator is not None]
        for i in outputs:
            if i not in available and not self.source.faults:
                message = f"no node produces '{tensors[i].name}'"
                table.fault("outputs", message, "an output of an operator")
        return TfliteSubgraph(table.text(4, "name"), tensors, inputs, outputs, operators)

    def indices(
        self, table: FlatbufferTable, slot: int, name: str, count: int, least: int = 0
    ) -> tuple[int, ...]:
        """Return tensor indices; any out of range is a fault."""
        indices: tuple[int, ...] = table.vector(slot, "int32", name)
        wrong = [i for i in indices if not least <= i < count]
        for index in wrong[:4]:
            table.fault(
                name, f"there is no tensor {index}", f"an index from {least} to {count - 1}"
            )
        return () if wrong else indices

    def operator(
        self, table: FlatbufferTable, tensors: list[TfliteTensor], available: set[int]
    ) -> TfliteOperator | None:
        """Read table ``Operator``: its code, tensors and options."""
        index: int = table.scalar(0, "uint32", "opcode_index")
        if index >= len(self.codes):
            message = f"there is no operator code {index}"
            table.fault("opcode_index", message, f"an index below {len(self.codes)}")
            return None
        name, custom, version = self.codes[index]
        inputs = self.indices(table, 1, "inputs", len(tensors), -1)
        outputs = self.indices(table, 2, "outputs", len(tensors))
        for i in inputs:
            if i < 0 or i in available:
                continue
            # An empty constant has no buffer.
            tensors[i].is_constant = tensors[i].is_constant or not tensors[i].elements
            if tensors[i].elements:
                message = f"{name} reads '{tensors[i].name}' before an operator produces it"
                table.fault("inputs", message, "operators in the order in which they run")
            available.add(i)
        for i in outputs:
            if i in available and not tensors[i].is_variable:
                message = f"{name} produces '{tensors[i].name}', which already exists"
                table.fault("outputs", message, "each tensor once")
        if not outputs and not custom and name not in _SILENT and not self.source.faults:
            table.fault("outputs", f"{name} produces no tensor", "a tensor")
        available.update(outputs)
        return TfliteOperator(name, custom, version, inputs, outputs, self.options(table, name))

    def options(self, table: FlatbufferTable, op: str) -> dict[str, Any]:
        """Read the options of an operator; defaults for those that it omits."""
        if op not in OPTIONS:
            return {}
        number, fields = OPTIONS[op]
        stated = table.scalar(3, "uint8", "builtin_options_type")
        inner = table.table(4, "builtin_options") if stated else None
        if stated not in {0, number}:
            message = f"{op} with options {stated}"
            table.fault("builtin_options_type", message, f"options {number}, or none")
            return {}
        values: dict[str, Any] = {}
        for name, (slot, kind, default) in fields.items():
            if inner is None:
                values[name] = default
            elif kind == "vector":
                values[name] = inner.vector(slot, "int32", name)
            elif kind == "text":
                values[name] = inner.text(slot, name)
            else:
                values[name] = inner.scalar(slot, kind, name, default)
            known = _NAMED.get(name)
            if known is not None and not 0 <= values[name] < len(known):
                message = f"{op} with {name} {values[name]}"
                table.fault(f"builtin_options.{name}", message, "from 0: " + ", ".join(known))
                values[name] = 0
        return values

    def tensor(self, table: FlatbufferTable) -> TfliteTensor:
        """Read table ``Tensor``: shape, element type, buffer and quantisation."""
        shape: tuple[int, ...] = table.vector(0, "int32", "shape")
        kind = table.scalar(1, "int8", "type")
        index = table.scalar(2, "uint32", "buffer")
        name = table.text(3, "name")
        quantised = table.table(4, "quantization")
        scales = quantised.span(2, 4, "scale")[1] if quantised is not None else 0
        sparse = table.has(6)
        stated_signature: tuple[int, ...] = table.vector(7, "int32", "shape_signature")
        if any(d < 0 for d in shape) or prod(shape) > LARGEST_EXTENT:
            expected = f"extents from 0, at most {LARGEST_EXTENT} elements"
            table.fault("shape", f"{list(shape)} is not a shape", expected)
            shape = ()
        if not 0 <= kind < len(FORMATS):
            table.fault("type", f"{kind} is not an element type", f"from 0 to {len(FORMATS) - 1}")
            kind = 0
        if index >= max(len(self.buffers), 1):
            message = f"there is no buffer {index}"
            table.fault("buffer", message, f"an index below {len(self.buffers)}")
            index = 0
        signature: tuple[int | None, ...] = shape
        if len(stated_signature) == len(shape):
            signature = tuple(
                s if d >= 0 else None for d, s in zip(stated_signature, shape, strict=True)
            )
        elif stated_signature:
            message = f"{len(stated_signature)} extents for {len(shape)} of the shape"
            table.fault("shape_signature", message, "one for each")
        buffer = self.buffers[index] if index < len(self.buffers) else _Buffer()
        format, size = FORMATS[kind], prod(shape)
        # Buffer 0 is empty by convention.
        tensor = TfliteTensor(
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
        expected_bytes = (size * ELEMENT_BITS[kind] + 7) // 8
        if ELEMENT_BITS[kind] and buffer.size and not sparse:
            if expected_bytes != buffer.size:
                message = f"'{name}' has {buffer.size} bytes for {size} elements of {format}"
                table.fault("buffer", message, f"{expected_bytes} bytes")
            else:
                tensor.numbers = self.numbers(format, kind, buffer, size)
        elif size == 0:
            tensor.numbers = ()
        return tensor

    def numbers(
        self, format: str, kind: int, buffer: _Buffer, size: int
    ) -> tuple[int | float, ...] | None:
        """Return the numbers of a small constant (shapes and axes, never weights)."""
        stored = _STORED.get(format, format)
        if stored not in KINDS or size > (16 if format.startswith("fp") else MOST_STORED_NUMBERS):
            return None
        if FORMATS.index(format) != kind:
            stored = "u" + stored
        return self.source.numbers(stored, buffer.at, size)


def _unique(tensors: list[TfliteTensor]) -> None:
    """Make tensor names unique by appending the index to duplicate or empty ones."""
    used_names: set[str] = set()
    for i, tensor in enumerate(tensors):
        tensor.name = tensor.name or f"tensor_{i}"
        if tensor.name in used_names:
            tensor.name += f"#{i}"
        while tensor.name in used_names:
            tensor.name += "'"
        used_names.add(tensor.name)
