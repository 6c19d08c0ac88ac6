"""Factorisation of a network's tensor axes into variables, by unification.

Pruning the channels of one layer changes every tensor whose axis is coupled to them. An axis is
represented as a sequence of segments (a concatenation has several), and a segment as a product of
variables (a flattened image is channels x height x width). Operators state which axes, or products
of axes, are equal; two equal sequences are matched segment by segment, and a variable is split if
a boundary of the other sequence falls inside it. Only extents matter, not the order of channels, so
the order of a product is ignored: a channel shuffle is two reshapes around a transposition.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import TypeAlias

from perfmodel.workload.symbols import Dim, product, total

#: ``(tensor, axis)``, or ``(operator#nest, dimension)`` of a loop nest.
Key: TypeAlias = tuple[str, int | str]
#: Variables whose product is the extent; empty for an extent of 1.
Segment: TypeAlias = tuple[int, ...]
Structure: TypeAlias = tuple[Segment, ...]

#: Reason for freezing extents that count positions (images, rows, tokens); never reported.
POSITION = "position"

#: An extent of one.
_ONE: Structure = ((),)


def _product_of(left: Structure, right: Structure) -> Structure:
    return tuple(tuple(sorted((*a, *b))) for a in left for b in right)


class Axes:
    """Variables of axes, their bindings, and the reasons for which they are frozen.

    Extents are compared as numbers: those of a `probe`, which assigns distinct numbers to the free
    dimensions.
    """

    def __init__(self) -> None:
        self.structures: dict[Key, Structure] = {}
        self.dims: dict[Key, Dim] = {}
        self._sizes: list[float] = []
        self._defaults: list[float] = []
        self._dimensions: list[Dim | None] = []
        self._bound: dict[int, Structure] = {}
        self._reasons: dict[int, str] = {}

    # Variables.

    def new(self, size: float, default: float, dim: Dim | None = None) -> int:
        """Return a new variable with its extent in the probe, by default, and as a dimension."""
        self._sizes.append(size)
        self._defaults.append(default)
        self._dimensions.append(dim)
        return len(self._sizes) - 1

    def axis(self, key: Key, size: float, default: float, dim: Dim) -> None:
        """Declare an axis with a new variable."""
        self.structures[key] = ((self.new(size, default, dim),),)
        self.dims[key] = dim

    def dim(self, variable: int) -> Dim:
        """Return the extent of a variable."""
        dimension = self._dimensions[variable]
        number = self._defaults[variable] if dimension is None else dimension
        return int(number) if isinstance(number, float) and number.is_integer() else number

    def default(self, variable: int) -> float:
        """Return the extent of a variable at the graph's defaults."""
        return self._defaults[variable]

    def size(self, structure: Structure) -> float:
        """Return the extent of a structure in the probe."""
        return sum(self._segment_size(segment) for segment in structure)

    def _segment_size(self, segment: Segment) -> float:
        return math.prod((self._sizes[variable] for variable in segment), start=1.0)

    # Structures.

    def structure(self, key: Key) -> Structure:
        """Return the structure of an axis in unbound variables."""
        structure = self.structures[key] = self.resolved(self.structures[key])
        return structure

    def product(self, keys: Iterable[Key]) -> Structure:
        """Return the structure of a product of axes."""
        return self.multiplied(*(self.structures[key] for key in keys))

    def multiplied(self, *structures: Structure) -> Structure:
        """Return the product of structures."""
        return reduce(_product_of, map(self.resolved, structures), _ONE)

    def resolved(self, structure: Structure) -> Structure:
        """Return a structure with bound variables substituted; extents of 1 are dropped."""
        return tuple(
            part
            for segment in structure
            for part in reduce(_product_of, map(self._substituted, segment), _ONE)
        )

    def _substituted(self, variable: int) -> Structure:
        """Return the structure of a variable, following its bindings."""
        if self._sizes[variable] == 1.0:
            return _ONE
        bound = self._bound.get(variable)
        if bound is None:
            return ((variable,),)
        structure = self._bound[variable] = self.resolved(bound)
        return structure

    def variables(self, key: Key) -> Iterator[int]:
        """Iterate over the variables of an axis."""
        for segment in self.structure(key):
            yield from segment

    # Constraints.

    def freeze(self, structure: Structure, reason: str) -> None:
        """Mark an extent as fixed, with a reason."""
        for segment in self.resolved(structure):
            for variable in segment:
                self._reasons.setdefault(variable, reason)

    def freeze_axes(self, keys: Iterable[Key], reason: str = POSITION) -> None:
        """Mark axes as fixed, with a reason."""
        for key in keys:
            self.freeze(self.structures[key], reason)

    def reason(self, variable: int) -> str:
        """Return the reason why a variable is fixed; empty if it is free."""
        return self._reasons.get(variable, "")

    def unify(self, left: Structure, right: Structure, reason: str = "reshaped") -> bool:
        """Unify two structures; if that is impossible, freeze both with the reason."""
        a, b = list(self.resolved(left)), list(self.resolved(right))
        if self.size(tuple(a)) != self.size(tuple(b)):
            self.freeze((*a, *b), reason)
            return False
        while a and b:
            a[:1], b[:1] = self.resolved((a[0],)), self.resolved((b[0],))
            x, y = self._segment_size(a[0]), self._segment_size(b[0])
            if x == y:
                if not self._unify_segments(a.pop(0), b.pop(0)):
                    self.freeze((*a, *b), reason)
                    return False
            elif not self._split_variable(a[0], y) if x > y else not self._split_variable(b[0], x):
                self.freeze((*a, *b), reason)
                return False
        return True

    def unify_axes(self, first: Key, *others: Key) -> None:
        """Unify axes."""
        for other in others:
            self.unify(self.structures[first], self.structures[other])

    def _unify_segments(self, left: Segment, right: Segment) -> bool:
        """Unify two products of equal extent; return whether their factors match."""
        x, y = list(left), list(right)
        for variable in left:
            if variable in y:
                x.remove(variable)
                y.remove(variable)
        if not x and not y:
            return True
        if len(x) == 1 and len(y) == 1:
            self._merge(x[0], y[0])
        elif len(x) == 1:
            self._bind(x[0], (tuple(y),))
        elif len(y) == 1:
            self._bind(y[0], (tuple(x),))
        else:
            # Factors of one extent are assumed to be equal in order of size.
            x.sort(key=self._sizes.__getitem__)
            y.sort(key=self._sizes.__getitem__)
            sizes = [[self._sizes[variable] for variable in side] for side in (x, y)]
            if sizes[0] != sizes[1]:
                self.freeze((left, right), "reshaped")
                return False
            for variable, other in zip(x, y, strict=True):
                self._merge(variable, other)
        return True

    def _merge(self, left: int, right: int) -> None:
        """Merge two variables into the older, unless only the newer one has a dimension."""
        a, b = sorted((left, right))
        if self._dimensions[a] is None and self._dimensions[b] is not None:
            a, b = b, a
        if a != b:
            self._bind(b, ((a,),))

    def _bind(self, variable: int, structure: Structure) -> None:
        self._bound[variable] = structure
        reason = self._reasons.get(variable)
        if reason:
            self.freeze(structure, reason)

    def _split_variable(self, segment: Segment, size: float) -> bool:
        """Split one variable of a segment so that its first part has the given size."""
        total = self._segment_size(segment)
        for variable in segment:
            others = total / self._sizes[variable]
            first = size / others
            if first == int(first):
                share = self._defaults[variable] / self._sizes[variable]
                second = self._sizes[variable] - first
                parts = (self.new(first, first * share), self.new(second, second * share))
                self._bind(variable, ((parts[0],), (parts[1],)))
                return True
        self.freeze((segment,), "reshaped")
        return False

    def reshape(self, left: Sequence[Key], right: Sequence[Key], reason: str = "reshaped") -> bool:
        """Unify the axes of one tensor with those of a reshaped one, in order."""
        a, b = list(left), list(right)
        while a or b:
            group_a, group_b = a[:1], b[:1]
            del a[:1], b[:1]
            x, y = self.size(self.product(group_a)), self.size(self.product(group_b))
            while x != y and (a if x < y else b):
                if x < y:
                    group_a.append(a.pop(0))
                    x = self.size(self.product(group_a))
                else:
                    group_b.append(b.pop(0))
                    y = self.size(self.product(group_b))
            if x != y:
                self.freeze_axes([*group_a, *group_b, *a, *b], reason)
                return False
            self.unify(self.product(group_a), self.product(group_b), reason)
        return True

    # Extents.

    def extent(self, key: Key, changed: dict[int, Dim]) -> Dim:
        """Return the extent of an axis when some variables change."""
        if not any(variable in changed for variable in self.variables(key)):
            return self.dims[key]
        segments = self.structure(key)
        return total(product(*(changed.get(v, self.dim(v)) for v in s)) for s in segments)
