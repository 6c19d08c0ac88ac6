"""Reader of flatbuffers that checks every offset, length and count.

Layout (google/flatbuffers, "FlatBuffers internals"): the file begins with a 32-bit offset to the
root table. A table begins with a signed 32-bit offset back to its vtable: two 16-bit sizes, then
the 16-bit offset of each field, 0 for an absent one. All other offsets point forward; strings and
vectors begin with a 32-bit length. The generated readers of packages ``flatbuffers`` and ``tflite``
follow offsets unchecked, so that a broken file raises a bare ``struct.error`` or returns unrelated
bytes. This reader reports a fault with the byte and the field instead.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from perfmodel.errors import Fault
from perfmodel.regular_files import FileBytes

#: Faults after which reading stops, because one broken offset may cause many.
_MOST_FAULTS: Final = 20

#: Scalar types of a schema -> `struct` format.
KINDS: Final = {
    "bool": "<?",
    "int8": "<b",
    "uint8": "<B",
    "int16": "<h",
    "uint16": "<H",
    "int32": "<i",
    "uint32": "<I",
    "int64": "<q",
    "uint64": "<Q",
    "float32": "<f",
    "float64": "<d",
}

_Made = TypeVar("_Made")


class Flatbuffer:
    """The bytes of a file, and the faults found in them.

    Parameters
    ----------
    data
        Content of the file.
    file
        Name of the file in messages.
    """

    def __init__(self, data: bytes | FileBytes, file: str) -> None:
        self.data = data
        self.file = file
        self.faults: list[Fault] = []
        # Offsets may alias one vector many times; valid files read few bytes more than once.
        self._budget = 4 * len(data) + 65536

    def fault(self, path: str, at: int, message: str, expected: str = "", near: str = "") -> None:
        """Record a fault of field `path` at byte `at`."""
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(
                Fault(f"{message} (byte {at})", path, self.file, 0, 0, expected, near)
            )

    @property
    def stopped(self) -> bool:
        """Whether reading should stop: too many faults, or the byte budget is exhausted."""
        return len(self.faults) >= _MOST_FAULTS or self._budget <= 0

    def number(self, kind: str, at: int, path: str) -> Any:
        """Return a scalar; 0 with a fault if it is outside the file."""
        form = KINDS[kind]
        if not 0 <= at <= len(self.data) - struct.calcsize(form):
            self.fault(path, at, "lies outside the file", f"a byte below {len(self.data)}")
            return 0
        return struct.unpack(form, self.data[at : at + struct.calcsize(form)])[0]

    def numbers(self, kind: str, at: int, count: int) -> tuple[Any, ...]:
        """Return scalars from a range that has been checked."""
        form = f"<{count}{KINDS[kind][1]}"
        return struct.unpack(form, self.data[at : at + struct.calcsize(form)])

    def spend(self, size: int, path: str, at: int) -> bool:
        """Charge bytes to the budget; return whether any of it is left."""
        if self._budget <= 0:
            return False
        self._budget -= size
        if self._budget <= 0:
            self.fault(path, at, "points again and again to the same bytes", "each part once")
        return self._budget > 0

    def root(self, path: str) -> FlatbufferTable | None:
        """Return the root table of the file."""
        return self.table(self.number("uint32", 0, path), path)

    def table(self, at: int, path: str) -> FlatbufferTable | None:
        """Return the table at a byte; ``None`` with a fault if it is invalid."""
        vtable_distance = self.number("int32", at, path) if at >= 4 else 0
        vtable = at - vtable_distance
        size = len(self.data)
        if at < 4 or at + 4 > size:
            self.fault(
                path, at, "is not a table: lies outside the file", f"a byte from 4 to {size}"
            )
            return None
        if not 0 <= vtable <= size - 4:
            message = f"is not a table: its vtable would lie at byte {vtable}"
            self.fault(path, at, message, f"a byte from 0 to {size - 4}")
            return None
        length, table_size = self.numbers("uint16", vtable, 2)
        if length < 4 or length % 2 or vtable + length > size:
            message = f"is not a table: its vtable has {length} bytes"
            self.fault(path, vtable, message, "an even number from 4, inside the file")
            return None
        if table_size < 4 or at + table_size > size:
            self.fault(
                path, at, f"is not a table: it has {table_size} bytes", "from 4, inside the file"
            )
            return None
        if not self.spend(table_size, path, at):
            return None
        return FlatbufferTable(self, at, path, vtable, length, table_size)


@dataclass(frozen=True, slots=True)
class FlatbufferTable:
    """A table with its fields by slot, the number of a field in the schema."""

    buffer: Flatbuffer
    at: int
    path: str
    _vtable: int
    _length: int
    _inline: int

    def _field(self, slot: int, size: int, name: str) -> int:
        """Return the byte of a field; 0 if the table omits it."""
        entry = 4 + 2 * slot
        if entry + 2 > self._length:
            return 0
        offset: int = self.buffer.numbers("uint16", self._vtable + entry, 1)[0]
        if offset == 0:
            return 0
        if offset < 4 or offset + size > self._inline:
            message = f"lies {offset} bytes into a table of {self._inline}"
            place = f"{self.path}.{name}", self._vtable + entry
            self.buffer.fault(*place, message, "a place inside the table")
            return 0
        return self.at + offset

    def fault(self, name: str, message: str, expected: str = "", near: str = "") -> None:
        """Record a fault of a field, at the byte of this table."""
        path = f"{self.path}.{name}" if name else self.path
        self.buffer.fault(path, self.at, message, expected, near)

    def has(self, slot: int) -> bool:
        """Return whether the table contains a field."""
        return self._field(slot, 1, "") != 0

    def scalar(self, slot: int, kind: str, name: str, default: Any = 0) -> Any:
        """Return a scalar field."""
        at = self._field(slot, struct.calcsize(KINDS[kind]), name)
        return self.buffer.number(kind, at, f"{self.path}.{name}") if at else default

    def _target(self, slot: int, name: str) -> int:
        """Return the byte that an offset field points to; 0 if it is absent or broken."""
        at = self._field(slot, 4, name)
        if not at:
            return 0
        distance: int = self.buffer.number("uint32", at, f"{self.path}.{name}")
        if distance < 4 or at + distance > len(self.buffer.data) - 4:
            message = f"points {distance} bytes on, to no place of the file"
            expected = f"from 4 to {len(self.buffer.data) - 4 - at}"
            self.buffer.fault(f"{self.path}.{name}", at, message, expected)
            return 0
        return at + distance

    def table(self, slot: int, name: str) -> FlatbufferTable | None:
        """Return a field that is a table, or ``None``."""
        at = self._target(slot, name)
        return self.buffer.table(at, f"{self.path}.{name}") if at else None

    def span(self, slot: int, width: int, name: str) -> tuple[int, int]:
        """Return the byte and the number of a vector's elements; ``(0, 0)`` if it is absent."""
        at = self._target(slot, name)
        if not at:
            return 0, 0
        count: int = self.buffer.number("uint32", at, f"{self.path}.{name}")
        available = (len(self.buffer.data) - at - 4) // width
        if count > available:
            expected = f"at most {available}, which the file holds from there"
            self.buffer.fault(f"{self.path}.{name}", at, f"claims {count} elements", expected)
            return 0, 0
        return at + 4, count

    def vector(self, slot: int, kind: str, name: str) -> tuple[Any, ...]:
        """Return a vector of scalars."""
        width = struct.calcsize(KINDS[kind])
        at, count = self.span(slot, width, name)
        if not self.buffer.spend(count * width, f"{self.path}.{name}", at):
            return ()
        return self.buffer.numbers(kind, at, count)

    def text(self, slot: int, name: str) -> str:
        """Return a string; empty with a fault if it is not UTF-8."""
        at, count = self.span(slot, 1, name)
        if not self.buffer.spend(count, f"{self.path}.{name}", at):
            return ""
        try:
            return self.buffer.data[at : at + count].decode("utf-8")
        except UnicodeDecodeError:
            self.buffer.fault(f"{self.path}.{name}", at, "is not UTF-8", "text")
            return ""

    def each(
        self, slot: int, name: str, make: Callable[[FlatbufferTable], _Made]
    ) -> list[_Made | None]:
        """Return ``make(table)`` for each table of a vector; ``None`` for a broken table."""
        start, count = self.span(slot, 4, name)
        entries: list[_Made | None] = []
        for i in range(count):
            if self.buffer.stopped:
                break
            path = f"{self.path}.{name}[{i}]"
            at = start + 4 * i
            table = self.buffer.table(at + self.buffer.number("uint32", at, path), path)
            entries.append(None if table is None else make(table))
        return entries
