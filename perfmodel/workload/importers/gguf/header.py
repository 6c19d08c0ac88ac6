"""Reader of GGUF headers: key-value pairs and tensor infos, without tensor data.

The format is specified in ggml-org/ggml, docs/gguf.md. A file consists of ``gguf_header_t`` (magic,
version, ``tensor_count``, ``metadata_kv_count``), the pairs ``gguf_metadata_kv_t`` (``key``,
``value_type``, ``value``), the infos ``gguf_tensor_info_t`` (``name``, ``n_dimensions``,
``dimensions``, ``type``, ``offset``), padding to ``general.alignment``, and the data. Each length
that a file states is checked against its size before any allocation. `split_files` calls
`read_header` for each file of a model.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final, NamedTuple

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.regular_files import FileBytes, open_regular_file
from perfmodel.workload.importers.gguf.ggml_types import TYPES, GgmlType

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
#: Number in the file -> code of `struct`; 7 is a bool, 8 a string, 9 an array.
_SCALARS: Final = {**dict(enumerate("BbHhIifB")), 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
#: Longest array that is stored (per-layer values); for longer ones (vocabularies) only the length.
_LONGEST_STORED: Final = 4096
#: Limit on the stored values of all arrays together.
_MOST_STORED: Final = 2**18
#: Limit on the bytes of a text (chat templates have a few thousand).
_TEXT: Final = 2**24
#: Limits on the keys and tensors of a file: a hundred times those of the largest known file.
_MOST_PAIRS, _MOST_TENSORS = 2**16, 2**18
#: Bytes read at once while skipping strings.
_PIECE: Final = 2**18
#: Limit on the strings in all arrays: ten times the largest vocabulary with its merges.
_STRINGS: Final = 2**22
_NAME: Final = 65_535
_AXES: Final = 4
_DEEPEST: Final = 3
#: Minimum bytes of a key-value pair and of a tensor info.
_LEAST_PAIR, _LEAST_TENSOR = 8 + 4 + 1, 8 + 4 + 8 + 4 + 8


class LongArray(NamedTuple):
    """Length of an array whose values are not stored, such as a vocabulary."""

    length: int


class GgufTensor(NamedTuple):
    """Tensor info of a GGUF file.

    Attributes
    ----------
    name
        Name in the file.
    shape
        Extents, row length first as in ggml.
    type
        Element type.
    entry_offset
        Byte offset of its entry in the header.
    """

    name: str
    shape: tuple[int, ...]
    type: GgmlType
    entry_offset: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of its data: ``elements / block * bytes of a block``."""
        return self.elements // self.type.block * self.type.size


@dataclass(frozen=True)
class GgufHeader:
    """Header of a file: everything before its data.

    Attributes
    ----------
    keys
        Key -> number, text, flag, list of up to 4096 of these, or `LongArray`.
    tensors
        Tensor infos in the order of the file.
    missing_bytes
        Missing bytes of data, if the file is truncated or only a header.
    """

    file: str
    version: int
    keys: dict[str, Any]
    tensors: tuple[GgufTensor, ...]
    missing_bytes: int = 0


class _UnreadableError(Exception):
    """A fault after which reading cannot continue."""


class _GgufReader:
    """Sequential reader of values; a read past the end is a fault with its byte offset."""

    def __init__(self, data: FileBytes, file: str) -> None:
        self.data, self.file, self.size = data, file, len(data)
        self.position = 0
        self.order = "<"
        self.strings = 0
        self.stored_values = 0
        self.faults: list[Fault] = []

    def remaining_bytes(self) -> int:
        """Return the number of remaining bytes."""
        return self.size - self.position

    def fatal_fault(
        self, message: str, expected: str = "", at: int | None = None
    ) -> _UnreadableError:
        """Record a fatal fault at a byte offset and return the exception to raise."""
        self.fault(message, expected, at)
        return _UnreadableError()

    def fault(
        self, message: str, expected: str = "", at: int | None = None, path: str = ""
    ) -> None:
        """Record a fault after which reading continues."""
        place = f"byte {self.position if at is None else at}"
        place_and_path = f"{place}: {path}" if path else place
        self.faults.append(Fault(message, place_and_path, self.file, expected=expected))

    def number(self, code: str) -> Any:
        """Read a scalar by its `struct` code."""
        size = struct.calcsize(code)
        if self.remaining_bytes() < size:
            raise self.fatal_fault("the header ends in the middle of a value", f"{size} more bytes")
        (value,) = struct.unpack(self.order + code, self.data[self.position : self.position + size])
        self.position += size
        return value

    def text(self, what: str, longest: int, *, strict: bool = True) -> str:
        """Read a ``gguf_string_t``: a 64-bit length, checked against the file, and UTF-8 bytes."""
        start = self.position
        length = self.number("Q")
        most = min(longest, self.remaining_bytes())
        if length > most:
            raise self.fatal_fault(f"{what} of {length} bytes", f"at most {most}", start)
        raw = self.data[self.position : self.position + length]
        self.position += length
        try:
            return raw.decode()
        except UnicodeDecodeError:
            if strict:
                self.fault(f"{what} is not UTF-8", "a text", start)
            return raw.decode(errors="replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        """Read a value by its ``gguf_metadata_value_type``."""
        start = self.position
        if kind in _SCALARS:
            number = self.number(_SCALARS[kind])
            if kind == 7 and number > 1:
                self.fault(f"{number} is not a flag", "0 or 1", start)
            return bool(number) if kind == 7 else number
        if kind == _STRING:
            return self.text("a text", longest=_TEXT, strict=False)
        if kind != _ARRAY:
            raise self.fatal_fault(f"unknown type of value {kind}", "0 to 12", start - 4)
        if depth == _DEEPEST:
            raise self.fatal_fault(
                "arrays inside arrays inside arrays", "at most three deep", start
            )
        return self.array(depth)

    def array(self, depth: int) -> Any:
        """Read an array (element type, 64-bit length, values), or only its length if it is long."""
        start = self.position
        kind, length = self.number("I"), self.number("Q")
        if kind not in _SCALARS and kind not in (_STRING, _ARRAY):
            raise self.fatal_fault(f"unknown type of value {kind}", "0 to 12", start)
        code = _SCALARS.get(kind)
        least_bytes = struct.calcsize(code) if code else 8 if kind == _STRING else 12
        if length > self.remaining_bytes() // least_bytes:
            expected = (
                f"at most {self.remaining_bytes() // least_bytes} in what is left of the file"
            )
            raise self.fatal_fault(f"an array of {length} values", expected, start)
        # The elements of an array of arrays are read one by one, each stored or not by itself.
        is_long = kind != _ARRAY and (
            length > _LONGEST_STORED or self.stored_values + length > _MOST_STORED
        )
        if not is_long:
            self.stored_values += length
        if code:
            data_start, self.position = self.position, self.position + length * least_bytes
            if is_long:
                return LongArray(length)
            return list(
                struct.unpack(f"{self.order}{length}{code}", self.data[data_start : self.position])
            )
        self.strings += length
        if self.strings > _STRINGS:
            raise self.fatal_fault(f"{self.strings} texts in arrays", f"at most {_STRINGS}", start)
        if is_long:
            return self.skip_strings(length)
        return [self.value(kind, depth + 1) for _ in range(length)]

    def skip_strings(self, length: int) -> LongArray:
        """Skip the strings of an array, reading only their lengths."""
        unpack = struct.Struct(f"{self.order}Q").unpack_from
        position, size = self.position, self.size
        chunk, chunk_start = b"", position
        for _ in range(length):
            if size - position < 8:
                raise self.fatal_fault(
                    "the header ends in the middle of an array", "more texts", position
                )
            if position + 8 - chunk_start > len(chunk):
                chunk, chunk_start = self.data[position : position + _PIECE], position
            (string_length,) = unpack(chunk, position - chunk_start)
            position += 8
            if string_length > size - position:
                raise self.fatal_fault(
                    f"a text of {string_length} bytes", f"at most {size - position}", position - 8
                )
            position += string_length
        self.position = position
        return LongArray(length)


def read_header(path: Path) -> GgufHeader:
    """Return the header of one file.

    Raises
    ------
    InputError
        The file cannot be read or is malformed; lists every fault up to the first fatal one.
    """
    file = str(path)
    with open_regular_file(path) as stream:
        data = FileBytes(stream, file)
        if not len(data):
            raise input_error("is empty", file=file, expected="a GGUF file")
        reader = _GgufReader(data, file)
        try:
            header = _read_header_of(reader)
        except _UnreadableError:
            header = None
        if reader.faults or header is None:
            raise InputError(reader.faults)
        return header


def _read_header_of(reader: _GgufReader) -> GgufHeader:
    """Read the header: magic, version, counts, pairs, tensor infos, and check the data offsets.

    A version whose low 16 bits are zero marks a big-endian file.
    """
    if reader.data[:4] != _MAGIC:
        raise reader.fatal_fault("is not a GGUF file", "the letters GGUF", 0)
    reader.position = 4
    version = reader.number("I")
    if version and not version & 0xFFFF:
        reader.order, reader.position = ">", 4
        version = reader.number("I")
    if version not in _VERSIONS:
        raise reader.fatal_fault(f"version {version} of GGUF", "version 2 or 3", 4)
    tensors, pairs = reader.number("Q"), reader.number("Q")
    for count, least, most, noun, at in (
        (tensors, _LEAST_TENSOR, _MOST_TENSORS, "tensors", 8),
        (pairs, _LEAST_PAIR, _MOST_PAIRS, "keys", 16),
    ):
        most_that_fit = reader.remaining_bytes() // least
        if count > most_that_fit:
            reader.fault(
                f"{count} {noun}", f"at most {most_that_fit} in a file of {reader.size} bytes", at
            )
        elif count > most:
            reader.fault(f"{count} {noun}", f"at most {most}", at)
    if reader.faults:
        raise _UnreadableError
    keys = _read_key_values(reader, pairs)
    infos = _read_tensor_infos(reader, tensors)
    alignment = keys.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        reader.fault(
            f"{alignment!r} is not an alignment", "a power of two", path="general.alignment"
        )
        alignment = 32
    data_end = _check_offsets(reader, infos, alignment)
    data_start = -(-reader.position // alignment) * alignment
    missing_bytes = max(0, data_start + data_end - reader.size) if infos else 0
    return GgufHeader(
        reader.file,
        version,
        keys,
        tuple(info for info, _ in infos),
        missing_bytes,
    )


def _read_key_values(reader: _GgufReader, count: int) -> dict[str, Any]:
    """Read the pairs ``gguf_metadata_kv_t``; a repeated key is a fault."""
    keys: dict[str, Any] = {}
    for _ in range(count):
        start = reader.position
        key = reader.text("a key", _NAME)
        if key in keys:
            reader.fault(f"'{key}' occurs twice", at=start)
        keys[key] = reader.value(reader.number("I"))
    return keys


def _read_tensor_infos(reader: _GgufReader, count: int) -> list[tuple[GgufTensor, int]]:
    """Read the infos ``gguf_tensor_info_t``, each with the offset of its data."""
    tensors: list[tuple[GgufTensor, int]] = []
    names: set[str] = set()
    for _ in range(count):
        start = reader.position
        name = reader.text("a name", _NAME)
        axes = reader.number("I")
        if not 1 <= axes <= _AXES:
            raise reader.fatal_fault(f"'{name}' has {axes} axes", f"1 to {_AXES}", start)
        shape = tuple(reader.number("Q") for _ in range(axes))
        kind, offset = reader.number("I"), reader.number("Q")
        if name in names:
            reader.fault(f"'{name}' occurs twice", at=start)
        names.add(name)
        type_ = TYPES.get(kind)
        if type_ is None:
            expected = ", ".join(t.name for t in TYPES.values())
            reader.fault(f"'{name}' is of the unknown type {kind}", expected, start)
        elif min(shape) < 1 or prod(shape) > 2**48:
            reader.fault(f"'{name}' has the shape {list(shape)}", "whole numbers from 1", start)
        elif shape[0] % type_.block:
            expected = f"a multiple of {type_.block}, a block of {type_.name}"
            reader.fault(f"rows of '{name}' have {shape[0]} elements", expected, start)
        else:
            tensors.append((GgufTensor(name, shape, type_, start), offset))
    return tensors


def _check_offsets(reader: _GgufReader, infos: list[tuple[GgufTensor, int]], alignment: int) -> int:
    """Check that tensor data are contiguous up to padding; return the end of the last tensor.

    Each offset must be ``ceil(end of the previous tensor / alignment) * alignment``.
    """
    expected_offset = end = 0
    for info, offset in infos if not reader.faults else ():
        if offset != expected_offset:
            reader.fault(
                f"'{info.name}' begins at {offset} of the data",
                f"{expected_offset}",
                info.entry_offset,
            )
            break
        end = expected_offset + info.bytes
        expected_offset = -(-end // alignment) * alignment
    return end
