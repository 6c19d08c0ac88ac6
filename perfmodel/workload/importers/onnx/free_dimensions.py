"""Free dimensions of a file: their names, default numbers, and bindings.

A dynamic extent is an unbound polynomial variable (``dim_param`` in ONNX, -1 in TensorFlow Lite, a
SymPy symbol in torch.export). The default is 1 for a batch, 224 for a side of an image, 128 for any
other length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from perfmodel.errors import printable
from perfmodel.workload.importers.onnx.node import Shape
from perfmodel.workload.importers.onnx.records import RawValue
from perfmodel.workload.symbols import Dim, simplify, symbol

#: Placeholders that exporters write for an extent without a name.
_NAMELESS = re.compile(r"^(\?|-1|None|none|unk|Unknown|unknown|)$")
_BATCH = re.compile(r"^(b|n|bs|batch|batch.?size|num.?batch\w*|nbatch)$", re.IGNORECASE)
_TERM = re.compile(r"\s*([+*-])\s*")

#: Defaults if neither the file nor the caller states a number.
IMAGE_DEFAULT = 224
LENGTH_DEFAULT = 128


@dataclass(slots=True)
class Dimensions:
    """Names and numbers of the free dimensions.

    Attributes
    ----------
    bound
        Numbers of the dimensions that the structure of the graph depends on.
    defaults
        Name -> number if the caller gives none.
    where
        Name -> the input and axis where it first appears.
    known
        Names of the dimensions registered by `input_shape`.
    length
        Default of an extent that is neither a batch nor a side of an image.
    first
        Shape of the network's first input, which the defaults of other inputs follow.
    """

    bound: dict[str, int] = field(default_factory=dict[str, int])
    defaults: dict[str, float] = field(default_factory=dict[str, float])
    where: dict[str, str] = field(default_factory=dict[str, str])
    known: set[str] = field(default_factory=set[str])
    length: int = LENGTH_DEFAULT
    first: tuple[int | str | None, ...] = ()

    def input_shape(self, value: RawValue) -> Shape | None:
        """Return the shape of a network input, and register its free dimensions.

        An extent without a name becomes a dimension named after its input and axis.
        """
        if value.shape is None:
            return None
        dims: list[Dim] = []
        for axis, entry in enumerate(value.shape):
            if isinstance(entry, int):
                dims.append(entry)
                continue
            is_named = entry is not None and not _NAMELESS.match(entry)
            name = (
                entry if is_named and entry is not None else printable(f"dim_{value.name}_{axis}")
            )
            expression = self.expression(name)
            if expression is not None:
                dims.append(expression)
                continue
            if name not in self.known:
                self.known.add(name)
                self.where[name] = f"axis {axis} of '{value.name}'"
                self.defaults.setdefault(name, self.default(name, axis, value))
            dims.append(self.dim(name))
        return tuple(dims)

    def default(self, name: str, axis: int, value: RawValue) -> float:
        """Return the default of a free extent: a batch, an image's side, or a length.

        The first input's layout decides; other inputs of the same rank use its extents.
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
        """Return a free dimension as a symbol, or its number if it is bound."""
        return self.bound[name] if name in self.bound else symbol(name)

    def declared_shape(self, value: RawValue) -> Shape | None:
        """Return the shape that a file declares for a computed value; registers no dimensions.

        ``None`` if an extent is neither a number nor an expression of registered dimensions.
        """
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
            expression = self.expression(entry) if entry is not None else None
            if expression is None:
                return None
            dims.append(expression)
        return tuple(dims)

    def expression(self, text: str) -> Dim | None:
        """Parse sums and products of known names and numbers (``past_length + 1``)."""
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
        # Products bind tighter than sums.
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
