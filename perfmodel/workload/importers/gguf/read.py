"""Reader of GGUF headers: keys, values and tensor infos, without tensor data.

The format is specified in ggml-org/ggml, ``docs/gguf.md``: magic, version, counts, key-value pairs,
tensor infos, padding, data. Lengths stated in a file are checked against its size before any
allocation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final, NamedTuple

from perfmodel.errors import Fault, InputError, input_error
from perfmodel.regular import FileBytes, open_file
from perfmodel.workload.importers.gguf.types import TYPES, GgmlType

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
    """Length of an array whose values were not stored."""

    length: int


class StoredAs(NamedTuple):
    """Tensor info of a GGUF file.

    Attributes
    ----------
    name
        Name in the file.
    shape
        Extents, row length first as in ggml.
    type
        Element type.
    at
        Byte offset of its entry in the header.
    """

    name: str
    shape: tuple[int, ...]
    type: GgmlType
    at: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of its data: an integral number of blocks per row."""
        return self.elements // self.type.block * self.type.size


@dataclass(frozen=True)
class Header:
    """Header of a file: everything before its data.

    Attributes
    ----------
    keys
        Key -> number, text, flag, list of up to 4096 of these, or `LongArray`.
    tensors
        Tensor infos in the order of the file.
    big_endian
        Whether its numbers are big-endian.
    lacks
        Missing bytes of data, if the file is truncated or only a header.
    """

    file: str
    version: int
    keys: dict[str, Any]
    tensors: tuple[StoredAs, ...]
    big_endian: bool = False
    lacks: int = 0


class _Broken(Exception):
    """A fault after which reading cannot continue."""


class _GgufReader:
    """Sequential reader of values; reading past the end raises a fault with the byte offset."""

    def __init__(self, data: FileBytes, file: str) -> None:
        self.data, self.file, self.size = data, file, len(data)
        self.at = 0
        self.order = "<"
        self.strings = 0
        self.stored_values = 0
        self.faults: list[Fault] = []

    def left(self) -> int:
        """Return the number of remaining bytes."""
        return self.size - self.at

    def broken(self, message: str, expected: str = "", at: int | None = None) -> _Broken:
        """Record a fatal fault at a byte offset and return the exception to raise."""
        self.fault(message, expected, at)
        return _Broken()

    def fault(
        self, message: str, expected: str = "", at: int | None = None, path: str = ""
    ) -> None:
        """Record a fault after which reading continues."""
        place = f"byte {self.at if at is None else at}"
        where = f"{place}: {path}" if path else place
        self.faults.append(Fault(message, where, self.file, expected=expected))

    def number(self, code: str) -> Any:
        """Read a number of a `struct` code."""
        size = struct.calcsize(code)
        if self.left() < size:
            raise self.broken("the header ends in the middle of a value", f"{size} more bytes")
        (value,) = struct.unpack(self.order + code, self.data[self.at : self.at + size])
        self.at += size
        return value

    def text(self, what: str, longest: int, *, strict: bool = True) -> str:
        """Read a string, checking its length against the remaining bytes."""
        start = self.at
        length = self.number("Q")
        most = min(longest, self.left())
        if length > most:
            raise self.broken(f"{what} of {length} bytes", f"at most {most}", start)
        raw = self.data[self.at : self.at + length]
        self.at += length
        try:
            return raw.decode()
        except UnicodeDecodeError:
            if strict:
                self.fault(f"{what} is not UTF-8", "a text", start)
            return raw.decode(errors="replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        """Read a value of a type."""
        start = self.at
        if kind in _SCALARS:
            number = self.number(_SCALARS[kind])
            if kind == 7 and number > 1:
                self.fault(f"{number} is no flag", "0 or 1", start)
            return bool(number) if kind == 7 else number
        if kind == _STRING:
            return self.text("a text", longest=_TEXT, strict=False)
        if kind != _ARRAY:
            raise self.broken(f"unknown type of value {kind}", "0 to 12", start - 4)
        if depth == _DEEPEST:
            raise self.broken("arrays inside arrays inside arrays", "at most three deep", start)
        return self.array(depth)

    def array(self, depth: int) -> Any:
        """Read an array, or only its length if it is long."""
        start = self.at
        kind, length = self.number("I"), self.number("Q")
        if kind not in _SCALARS and kind not in (_STRING, _ARRAY):
            raise self.broken(f"unknown type of value {kind}", "0 to 12", start)
        code = _SCALARS.get(kind)
        least = struct.calcsize(code) if code else 8 if kind == _STRING else 12
        if length > self.left() // least:
            expected = f"at most {self.left() // least} in what is left of the file"
            raise self.broken(f"an array of {length} values", expected, start)
        # The elements of an array of arrays are read one by one, each stored or not by itself.
        long = kind != _ARRAY and (
            length > _LONGEST_STORED or self.stored_values + length > _MOST_STORED
        )
        if not long:
            self.stored_values += length
        if code:
            begin, self.at = self.at, self.at + length * least
            if long:
                return LongArray(length)
            return list(struct.unpack(f"{self.order}{length}{code}", self.data[begin : self.at]))
        self.strings += length
        if self.strings > _STRINGS:
            raise self.broken(f"{self.strings} texts in arrays", f"at most {_STRINGS}", start)
        if long:
            return self.skipped(length)
        return [self.value(kind, depth + 1) for _ in range(length)]

    def skipped(self, length: int) -> LongArray:
        """Skip an array of strings."""
        unpack = struct.Struct(f"{self.order}Q").unpack_from
        at, size = self.at, self.size
        piece, begin = b"", at
        for _ in range(length):
            if size - at < 8:
                raise self.broken("the header ends in the middle of an array", "more texts", at)
            if at + 8 - begin > len(piece):
                piece, begin = self.data[at : at + _PIECE], at
            (long,) = unpack(piece, at - begin)
            at += 8
            if long > size - at:
                raise self.broken(f"a text of {long} bytes", f"at most {size - at}", at - 8)
            at += long
        self.at = at
        return LongArray(length)


def read_header(path: Path) -> Header:
    """Return the header of one file.

    Raises
    ------
    InputError
        The file cannot be read or is malformed; lists every fault up to the first fatal one.
    """
    file = str(path)
    with open_file(path) as stream:
        data = FileBytes(stream, file)
        if not len(data):
            raise input_error("is empty", file=file, expected="a GGUF file")
        reader = _GgufReader(data, file)
        try:
            header = _header(reader)
        except _Broken:
            header = None
        if reader.faults or header is None:
            raise InputError(reader.faults)
        return header


def _header(reader: _GgufReader) -> Header:
    if reader.data[:4] != _MAGIC:
        raise reader.broken("is no GGUF file", "the letters GGUF", 0)
    reader.at = 4
    version = reader.number("I")
    if version and not version & 0xFFFF:
        reader.order, reader.at = ">", 4
        version = reader.number("I")
    if version not in _VERSIONS:
        raise reader.broken(f"version {version} of GGUF", "version 2 or 3", 4)
    tensors, pairs = reader.number("Q"), reader.number("Q")
    for count, least, most, noun, at in (
        (tensors, _LEAST_TENSOR, _MOST_TENSORS, "tensors", 8),
        (pairs, _LEAST_PAIR, _MOST_PAIRS, "keys", 16),
    ):
        fitting = reader.left() // least
        if count > fitting:
            reader.fault(
                f"{count} {noun}", f"at most {fitting} in a file of {reader.size} bytes", at
            )
        elif count > most:
            reader.fault(f"{count} {noun}", f"at most {most}", at)
    if reader.faults:
        raise _Broken
    keys = _pairs(reader, pairs)
    infos = _tensors(reader, tensors)
    alignment = keys.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        reader.fault(f"{alignment!r} is no alignment", "a power of two", path="general.alignment")
        alignment = 32
    ends = _offsets(reader, infos, alignment)
    begins = -(-reader.at // alignment) * alignment
    lacks = max(0, begins + ends - reader.size) if infos else 0
    return Header(
        reader.file, version, keys, tuple(info for info, _ in infos), reader.order == ">", lacks
    )


def _pairs(reader: _GgufReader, count: int) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for _ in range(count):
        start = reader.at
        key = reader.text("a key", _NAME)
        if key in keys:
            reader.fault(f"'{key}' stands there twice", at=start)
        keys[key] = reader.value(reader.number("I"))
    return keys


def _tensors(reader: _GgufReader, count: int) -> list[tuple[StoredAs, int]]:
    tensors: list[tuple[StoredAs, int]] = []
    names: set[str] = set()
    for _ in range(count):
        start = reader.at
        name = reader.text("a name", _NAME)
        axes = reader.number("I")
        if not 1 <= axes <= _AXES:
            raise reader.broken(f"'{name}' has {axes} axes", f"1 to {_AXES}", start)
        shape = tuple(reader.number("Q") for _ in range(axes))
        kind, offset = reader.number("I"), reader.number("Q")
        if name in names:
            reader.fault(f"'{name}' stands there twice", at=start)
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
            tensors.append((StoredAs(name, shape, type_, start), offset))
    return tensors


def _offsets(reader: _GgufReader, infos: list[tuple[StoredAs, int]], alignment: int) -> int:
    """Check that tensor data are contiguous up to padding; return the end of the last tensor."""
    begins = ends = 0
    for info, offset in infos if not reader.faults else ():
        if offset != begins:
            reader.fault(f"'{info.name}' begins at {offset} of the data", f"{begins}", info.at)
            break
        ends = begins + info.bytes
        begins = -(-ends // alignment) * alignment
    return ends
