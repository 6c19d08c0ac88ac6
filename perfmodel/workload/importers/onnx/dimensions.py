"""Free dimensions of a file: their names, defaults, and which of them are bound for good."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from perfmodel.errors import printable
from perfmodel.workload.importers.onnx.node import Shape
from perfmodel.workload.importers.onnx.read import RawValue
from perfmodel.workload.symbols import Dim, simplify, symbol

#: What exporters write where they know no name.
_NAMELESS = re.compile(r"^(\?|-1|None|none|unk|Unknown|unknown|)$")
_BATCH = re.compile(r"^(b|n|bs|batch|batch.?size|num.?batch\w*|nbatch)$", re.IGNORECASE)
_TERM = re.compile(r"\s*([+*-])\s*")

#: Defaults where neither the file nor the caller gives a number.
IMAGE_DEFAULT = 224
LENGTH_DEFAULT = 128


@dataclass(slots=True)
class Dimensions:
    """Names and numbers of the free dimensions.

    Attributes
    ----------
    bound
        Those bound for good: the structure of the graph depends on them.
    defaults
        Name -> number to take where the caller gives none.
    where
        Name -> the input and axis it was first seen at.
    length
        Default of an extent that is neither a batch nor a side of an image.
    """

    bound: dict[str, int] = field(default_factory=dict[str, int])
    defaults: dict[str, float] = field(default_factory=dict[str, float])
    where: dict[str, str] = field(default_factory=dict[str, str])
    known: set[str] = field(default_factory=set[str])
    length: int = LENGTH_DEFAULT
    first: tuple[int | str | None, ...] = ()

    def shape(self, value: RawValue) -> Shape | None:
        """Return the shape of a network input; extents without a name get one."""
        if value.shape is None:
            return None
        dims: list[Dim] = []
        for axis, entry in enumerate(value.shape):
            if isinstance(entry, int):
                dims.append(entry)
                continue
            named = entry is not None and not _NAMELESS.match(entry)
            name = entry if named and entry is not None else printable(f"dim_{value.name}_{axis}")
            parsed = self.expression(name)
            if parsed is not None:
                dims.append(parsed)
                continue
            if name not in self.known:
                self.known.add(name)
                self.where[name] = f"axis {axis} of '{value.name}'"
                self.defaults.setdefault(name, self.default(name, axis, value))
            dims.append(self.dim(name))
        return tuple(dims)

    def default(self, name: str, axis: int, value: RawValue) -> float:
        """Return the number to take for a free extent: of a batch, an image's side, a length.

        The first input decides; others follow it where they have as many axes.
        """
        shape = value.shape or ()
        first = self.first = self.first or shape
        if _BATCH.match(name) or axis == 0 or len(shape) != len(first):
            return 1
        if shape is not first and isinstance(first[axis], int):
            return float(first[axis] or 1)
        channels, last = (first[1], first[3]) if len(first) == 4 else (None, None)
        if (channels in {1, 3, 4} and axis in {2, 3}) or (last in {1, 3, 4} and axis in {1, 2}):
            return IMAGE_DEFAULT
        return self.length

    def dim(self, name: str) -> Dim:
        """Return a free dimension, or its number where it is bound for good."""
        return self.bound[name] if name in self.bound else symbol(name)

    def declared(self, value: RawValue) -> Shape | None:
        """Return a declared shape whose every extent is a number or a known name."""
        if value.shape is None:
            return None
        dims: list[Dim] = []
        for entry in value.shape:
            if isinstance(entry, int):
                dims.append(entry)
                continue
            if entry in self.known:
                dims.append(self.dim(entry))
                continue
            parsed = self.expression(entry) if entry is not None else None
            if parsed is None:
                return None
            dims.append(parsed)
        return tuple(dims)

    def expression(self, text: str) -> Dim | None:
        """Return sums and products of known names and numbers (``past_length + 1``)."""
        parts = _TERM.split(text)
        if len(parts) < 3:
            return None
        values: list[Dim] = []
        for word in parts[::2]:
            if word.isdigit() and len(word) < 10:
                values.append(int(word))
            elif word in self.known:
                values.append(self.dim(word))
            else:
                return None
        signs = parts[1::2]
        # Products first, then sums from the left.
        terms: list[Dim] = [values[0]]
        joins: list[str] = []
        for sign, value in zip(signs, values[1:], strict=True):
            if sign == "*":
                terms[-1] = terms[-1] * value
            else:
                terms.append(value)
                joins.append(sign)
        total = terms[0]
        for sign, value in zip(joins, terms[1:], strict=True):
            total = total + value if sign == "+" else total - value
        return simplify(total)
