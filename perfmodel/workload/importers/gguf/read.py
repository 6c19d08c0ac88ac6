"""Header of a GGUF file: keys, values and where tensors lie; the tensors themselves are not read.

The format is specified in ggml-org/ggml, ``docs/gguf.md``: magic, version, counts, key-value pairs,
tensor infos, padding, data. Lengths that a file states are held against its size before anything is
made of them.
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
#: Arrays up to this length are kept (per-layer values); of longer ones (vocabularies) the length.
_KEPT: Final = 4096
#: Values of all arrays that are kept, and bytes of a text: a template of chats has a few thousand.
_KEPT_IN_ALL: Final = 2**18
_TEXT: Final = 2**24
#: Keys and tensors of a file: a hundred times those of the largest.
_MOST_PAIRS, _MOST_TENSORS = 2**16, 2**18
#: Bytes that are looked at together where strings are gone past.
_PIECE: Final = 2**18
#: Strings of all arrays together: ten times the largest vocabulary with its merges.
_STRINGS: Final = 2**22
_NAME: Final = 65_535
_AXES: Final = 4
_DEEPEST: Final = 3
#: Least bytes of a key-value pair and of a tensor info.
_LEAST_PAIR, _LEAST_TENSOR = 8 + 4 + 1, 8 + 4 + 8 + 4 + 8


class LongArray(NamedTuple):
    """An array of which the length alone was kept."""

    length: int


class StoredAs(NamedTuple):
    """A tensor of the file.

    Attributes
    ----------
    name
        As the file calls it.
    shape
        Row length first, as ggml counts axes.
    type
        What it is stored in.
    at
        Byte of the header at which its entry begins.
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
        """Bytes of its data: whole blocks a row."""
        return self.elements // self.type.block * self.type.size


@dataclass(frozen=True)
class Header:
    """What a file says before its data.

    Attributes
    ----------
    keys
        Key -> number, text, flag, list of up to 4096 such, or `LongArray`.
    tensors
        In the order of the file.
    big_endian
        Whether its numbers are.
    lacks
        Bytes of data that the file ends short of: it is cut off, or a header alone.
    """

    file: str
    version: int
    keys: dict[str, Any]
    tensors: tuple[StoredAs, ...]
    big_endian: bool = False
    lacks: int = 0


class _Broken(Exception):
    """What cannot be read past."""


class _GgufReader:
    """Reads values one after the other; whoever reads past the end is told where."""

    def __init__(self, data: FileBytes, file: str) -> None:
        self.data, self.file, self.size = data, file, len(data)
        self.at = 0
        self.order = "<"
        self.strings = 0
        self.kept = 0
        self.faults: list[Fault] = []

    def left(self) -> int:
        """Return bytes that follow."""
        return self.size - self.at

    def broken(self, message: str, expected: str = "", at: int | None = None) -> _Broken:
        """Note a fault at a byte."""
        self.fault(message, expected, at)
        return _Broken()

    def fault(
        self, message: str, expected: str = "", at: int | None = None, path: str = ""
    ) -> None:
        """Note a fault that reading goes on after."""
        place = f"byte {self.at if at is None else at}"
        where = f"{place}: {path}" if path else place
        self.faults.append(Fault(message, where, self.file, expected=expected))

    def number(self, code: str) -> Any:
        """Return a number."""
        size = struct.calcsize(code)
        if self.left() < size:
            raise self.broken("the header ends in the middle of a value", f"{size} more bytes")
        (value,) = struct.unpack(self.order + code, self.data[self.at : self.at + size])
        self.at += size
        return value

    def text(self, what: str, longest: int, *, strict: bool = True) -> str:
        """Return a string; its length is held against what is left."""
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
        """Return a value of a type."""
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
        """Return an array, or its length where it is long."""
        start = self.at
        kind, length = self.number("I"), self.number("Q")
        if kind not in _SCALARS and kind not in (_STRING, _ARRAY):
            raise self.broken(f"unknown type of value {kind}", "0 to 12", start)
        code = _SCALARS.get(kind)
        least = struct.calcsize(code) if code else 8 if kind == _STRING else 12
        if length > self.left() // least:
            expected = f"at most {self.left() // least} in what is left of the file"
            raise self.broken(f"an array of {length} values", expected, start)
        self.kept += length
        long = length > _KEPT or self.kept > _KEPT_IN_ALL
        if code:
            begin, self.at = self.at, self.at + length * least
            if long:
                return LongArray(length)
            return list(struct.unpack(f"{self.order}{length}{code}", self.data[begin : self.at]))
        self.strings += length
        if self.strings > _STRINGS:
            raise self.broken(f"{self.strings} texts in arrays", f"at most {_STRINGS}", start)
        if kind == _STRING and long:
            return self.skipped(length)
        return [self.value(kind, depth + 1) for _ in range(length)]

    def skipped(self, length: int) -> LongArray:
        """Go past strings."""
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
        The file cannot be read, or is not sound; every fault that reading could go on after.
    """
    file = str(path)
    with open_file(path) as stream:
        data = FileBytes(stream, file)
        if not len(data):
            raise input_error("is empty", file=file, expected="a GGUF file")
        reader = _GgufReader(data, file)
        try:
            found = _header(reader)
        except _Broken:
            found = None
        if reader.faults or found is None:
            raise InputError(reader.faults)
        return found


def _header(r: _GgufReader) -> Header:
    if r.data[:4] != _MAGIC:
        raise r.broken("is no GGUF file", "the letters GGUF", 0)
    r.at = 4
    version = r.number("I")
    if version and not version & 0xFFFF:
        r.order, r.at = ">", 4
        version = r.number("I")
    if version not in _VERSIONS:
        raise r.broken(f"version {version} of GGUF", "version 2 or 3", 4)
    tensors, pairs = r.number("Q"), r.number("Q")
    for count, least, most, what, at in (
        (tensors, _LEAST_TENSOR, _MOST_TENSORS, "tensors", 8),
        (pairs, _LEAST_PAIR, _MOST_PAIRS, "keys", 16),
    ):
        fitting = r.left() // least
        if count > fitting:
            r.fault(f"{count} {what}", f"at most {fitting} in a file of {r.size} bytes", at)
        elif count > most:
            r.fault(f"{count} {what}", f"at most {most}", at)
    if r.faults:
        raise _Broken
    keys = _pairs(r, pairs)
    infos = _tensors(r, tensors)
    alignment = keys.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        r.fault(f"{alignment!r} is no alignment", "a power of two", path="general.alignment")
        alignment = 32
    ends = _offsets(r, infos, alignment)
    begins = -(-r.at // alignment) * alignment
    lacks = max(0, begins + ends - r.size) if infos else 0
    return Header(r.file, version, keys, tuple(info for info, _ in infos), r.order == ">", lacks)


def _pairs(r: _GgufReader, count: int) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for _ in range(count):
        start = r.at
        key = r.text("a key", _NAME)
        if key in keys:
            r.fault(f"'{key}' stands there twice", at=start)
        keys[key] = r.value(r.number("I"))
    return keys


def _tensors(r: _GgufReader, count: int) -> list[tuple[StoredAs, int]]:
    found: list[tuple[StoredAs, int]] = []
    names: set[str] = set()
    for _ in range(count):
        start = r.at
        name = r.text("a name", _NAME)
        axes = r.number("I")
        if not 1 <= axes <= _AXES:
            raise r.broken(f"'{name}' has {axes} axes", f"1 to {_AXES}", start)
        shape = tuple(r.number("Q") for _ in range(axes))
        kind, offset = r.number("I"), r.number("Q")
        if name in names:
            r.fault(f"'{name}' stands there twice", at=start)
        names.add(name)
        type_ = TYPES.get(kind)
        if type_ is None:
            expected = ", ".join(t.name for t in TYPES.values())
            r.fault(f"'{name}' is of the unknown type {kind}", expected, start)
        elif min(shape) < 1 or prod(shape) > 2**48:
            r.fault(f"'{name}' has the shape {list(shape)}", "whole numbers from 1", start)
        elif shape[0] % type_.block:
            expected = f"a multiple of {type_.block}, a block of {type_.name}"
            r.fault(f"rows of '{name}' have {shape[0]} elements", expected, start)
        else:
            found.append((StoredAs(name, shape, type_, start), offset))
    return found


def _offsets(r: _GgufReader, infos: list[tuple[StoredAs, int]], alignment: int) -> int:
    """Check that data follow each other, padded, as writers put them; return where they end."""
    begins = ends = 0
    for info, offset in infos if not r.faults else ():
        if offset != begins:
            r.fault(f"'{info.name}' begins at {offset} of the data", f"{begins}", info.at)
            break
        ends = begins + info.bytes
        begins = -(-ends // alignment) * alignment
    return ends
