"""Read a flatbuffer whose every offset, length and count is checked.

The layout is that of flatbuffers' "Internals": a table begins with a signed offset back to its
vtable, which holds the place of each field; offsets elsewhere point forward; strings and vectors
begin with their length. The generated readers of the packages ``flatbuffers`` and ``tflite``
follow offsets wherever they point, and raise a bare ``struct.error`` or return bytes of something
else where a file is broken, so this one is separate: a fault names the byte and the field.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from perfmodel.errors import Fault
from perfmodel.regular import FileBytes

#: How many faults are collected before reading stops: one broken offset may make many.
_MOST_FAULTS: Final = 20

#: Scalars by their names in a schema, as `struct` writes them.
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
        The whole file.
    file
        Its name, for messages.
    """

    def __init__(self, data: bytes | FileBytes, file: str) -> None:
        self.data = data
        self.file = file
        self.faults: list[Fault] = []
        # No honest file says its bytes twice over, but many offsets may point to one vector.
        self._budget = 4 * len(data) + 65536

    def fault(self, path: str, at: int, message: str, expected: str = "", near: str = "") -> None:
        """Note a fault of the field `path` at byte `at`; one message a field."""
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(
                Fault(f"{message} (byte {at})", path, self.file, 0, 0, expected, near)
            )

    @property
    def stopped(self) -> bool:
        """Whether so much is wrong that reading on tells nothing."""
        return len(self.faults) >= _MOST_FAULTS or self._budget <= 0

    def number(self, kind: str, at: int, path: str) -> Any:
        """Return a scalar; 0 and a fault where the file ends before it."""
        form = KINDS[kind]
        if not 0 <= at <= len(self.data) - struct.calcsize(form):
            self.fault(path, at, "lies outside the file", f"a byte below {len(self.data)}")
            return 0
        return struct.unpack(form, self.data[at : at + struct.calcsize(form)])[0]

    def numbers(self, kind: str, at: int, count: int) -> tuple[Any, ...]:
        """Return scalars of a range that was checked."""
        form = f"<{count}{KINDS[kind][1]}"
        return struct.unpack(form, self.data[at : at + struct.calcsize(form)])

    def spend(self, size: int, path: str, at: int) -> bool:
        """Count bytes read; whether there are more left than honest files need."""
        if self._budget <= 0:
            return False
        self._budget -= size
        if self._budget <= 0:
            self.fault(path, at, "points again and again to the same bytes", "each part once")
        return self._budget > 0

    def root(self, path: str) -> FlatbufferTable | None:
        """Return the table that the file begins with."""
        return self.table(self.number("uint32", 0, path), path)

    def table(self, at: int, path: str) -> FlatbufferTable | None:
        """Return the table at a byte, ``None`` and a fault where there can be none."""
        back = self.number("int32", at, path) if at >= 4 else 0
        vtable = at - back
        size = len(self.data)
        if at < 4 or at + 4 > size:
            self.fault(path, at, "is no table: lies outside the file", f"a byte from 4 to {size}")
            return None
        if not 0 <= vtable <= size - 4:
            message = f"is no table: its vtable would lie at byte {vtable}"
            self.fault(path, at, message, f"a byte from 0 to {size - 4}")
            return None
        length, inline = self.numbers("uint16", vtable, 2)
        if length < 4 or length % 2 or vtable + length > size:
            message = f"is no table: its vtable has {length} bytes"
            self.fault(path, vtable, message, "an even number from 4, inside the file")
            return None
        if inline < 4 or at + inline > size:
            self.fault(path, at, f"is no table: it has {inline} bytes", "from 4, inside the file")
            return None
        if not self.spend(inline, path, at):
            return None
        return FlatbufferTable(self, at, path, vtable, length, inline)


@dataclass(frozen=True, slots=True)
class FlatbufferTable:
    """A table: its fields by slot, the number of the field in the schema."""

    buffer: Flatbuffer
    at: int
    path: str
    _vtable: int
    _length: int
    _inline: int

    def _field(self, slot: int, size: int, name: str) -> int:
        """Return the byte of a field, 0 where the table leaves it out."""
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
        """Note a fault of a field, at the byte of this table."""
        path = f"{self.path}.{name}" if name else self.path
        self.buffer.fault(path, self.at, message, expected, near)

    def has(self, slot: int) -> bool:
        """Whether the table holds a field."""
        return self._field(slot, 1, "") != 0

    def scalar(self, slot: int, kind: str, name: str, default: Any = 0) -> Any:
        """Return a field that is one number."""
        at = self._field(slot, struct.calcsize(KINDS[kind]), name)
        return self.buffer.number(kind, at, f"{self.path}.{name}") if at else default

    def _target(self, slot: int, name: str) -> int:
        """Return the byte that an offset field points to, 0 where it is absent or broken."""
        at = self._field(slot, 4, name)
        if not at:
            return 0
        step: int = self.buffer.number("uint32", at, f"{self.path}.{name}")
        if step < 4 or at + step > len(self.buffer.data) - 4:
            message = f"points {step} bytes on, to no place of the file"
            expected = f"from 4 to {len(self.buffer.data) - 4 - at}"
            self.buffer.fault(f"{self.path}.{name}", at, message, expected)
            return 0
        return at + step

    def table(self, slot: int, name: str) -> FlatbufferTable | None:
        """Return a field that is a table."""
        at = self._target(slot, name)
        return self.buffer.table(at, f"{self.path}.{name}") if at else None

    def span(self, slot: int, width: int, name: str) -> tuple[int, int]:
        """Return where the elements of a vector begin, and how many it has: ``(0, 0)`` if none."""
        at = self._target(slot, name)
        if not at:
            return 0, 0
        count: int = self.buffer.number("uint32", at, f"{self.path}.{name}")
        left = (len(self.buffer.data) - at - 4) // width
        if count > left:
            expected = f"at most {left}, which the file holds from there"
            self.buffer.fault(f"{self.path}.{name}", at, f"claims {count} elements", expected)
            return 0, 0
        return at + 4, count

    def vector(self, slot: int, kind: str, name: str) -> tuple[Any, ...]:
        """Return a vector of numbers."""
        width = struct.calcsize(KINDS[kind])
        at, count = self.span(slot, width, name)
        if not self.buffer.spend(count * width, f"{self.path}.{name}", at):
            return ()
        return self.buffer.numbers(kind, at, count)

    def text(self, slot: int, name: str) -> str:
        """Return a string; a fault where it is not UTF-8."""
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
        """Return what is made of each table of a vector, ``None`` for one that is broken."""
        start, count = self.span(slot, 4, name)
        made: list[_Made | None] = []
        for i in range(count):
            if self.buffer.stopped:
                break
            path = f"{self.path}.{name}[{i}]"
            at = start + 4 * i
            table = self.buffer.table(at + self.buffer.number("uint32", at, path), path)
            made.append(None if table is None else make(table))
        return made
