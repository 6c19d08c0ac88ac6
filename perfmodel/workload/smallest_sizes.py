"""Smallest valid sizes of a network: those for which no tensor is empty.

A convolution or pool over an image smaller than its window has no output rows, or a negative number
of them, and so would the counts derived from it; likewise a search for more neighbours than there
are points. Only sizes and counts whose formula can reach zero or below are checked. A fault states
the least valid size, found by doubling and bisection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from perfmodel.arrays import Value, is_array, namespace
from perfmodel.caches import GRAPH_BYTES, cached
from perfmodel.errors import Fault
from perfmodel.workload.graph import Graph
from perfmodel.workload.symbols import (
    Atom,
    AtomValues,
    Poly,
    constant,
    evaluate,
    free_parameters,
    parameters_of,
)

#: Free dimensions that are fractions, from 0 to 1.
SHARES: Final = frozenset({"input_rate", "spike_rate"})

#: Functions that are positive if all their arguments are.
_POSITIVE_LIKE_ARGUMENTS: Final = frozenset(
    {"ceil_div", "reciprocal", "distinct_experts", "power_law_experts", "busiest_device", "minimum"}
)
#: Functions that are positive for any arguments.
_ALWAYS_POSITIVE: Final = frozenset({"divisible", "power_of_two"})
#: Valid points that are cached per graph.
_MAX_CACHED_POINTS: Final = 4096
#: Upper limit of the search for the least valid size.
_SEARCH_LIMIT: Final = 1 << 20


class SmallSizes:
    """Sizes and operation counts of a graph that free dimensions may bring to zero or below."""

    def __init__(self, graph: Graph) -> None:
        self._sizes: dict[Poly, str] = {}
        for tensor in graph.tensors.values():
            for size in tensor.shape:
                if isinstance(size, Poly) and size not in self._sizes and _may_vanish(size):
                    self._sizes[size] = tensor.name
        counts = {
            op.vector_ops: op.name
            for _, op in graph.walk()
            if isinstance(op.vector_ops, Poly) and _may_be_negative(op.vector_ops)
        }
        self._counts: dict[Poly, str] = counts
        self._graph = graph
        self._free = tuple(sorted(free_parameters(*self._sizes, *counts)))
        self._valid_points: set[tuple[float, ...]] = set()

    def faults(self, values: Mapping[str, Value], name: str) -> list[Fault]:
        """Return a fault for each free dimension that is too small for the network.

        Parameters
        ----------
        values
            Free dimension -> number or array; arrays broadcast. Tracers are not checked.
        name
            Name of the network in messages.
        """
        if not self._free:
            return []
        point = tuple(values[n] for n in self._free)
        if namespace(*point) is not np:
            return []
        is_scalar = not any(map(is_array, point))
        if is_scalar and point in self._valid_points:
            return []
        # Restricted to dimensions of the checked sizes, because others may be tracers.
        atoms = {
            n: np.asarray(v, dtype=float) if is_array(v) else v
            for n, v in values.items()
            if n in self._free
        }
        bound = AtomValues(atoms, relaxed=False)
        small = {
            size: numbers
            for size in (*self._sizes, *self._counts)
            if np.any(self._too_small(size, numbers := np.asarray(_values_of(size, bound))))
        }
        if small:
            return self._faults_of(small, values, name)
        if is_scalar:
            if len(self._valid_points) >= _MAX_CACHED_POINTS:
                self._valid_points.clear()
            self._valid_points.add(point)
        return []

    def least(self, free: str, values: Mapping[str, Value]) -> float:
        """Return the least valid whole number of a dimension; 0 if any is valid."""
        if free not in self._free:
            return 0.0
        return self._least(free, {n: _largest(v) for n, v in values.items()}, 0.0) or 0.0

    def _too_small(self, size: Poly, numbers: Value) -> Value:
        return numbers <= 0.0 if size in self._sizes else numbers < 0.0

    def _faults_of(
        self, small: Mapping[Poly, Value], values: Mapping[str, Value], name: str
    ) -> list[Fault]:
        """Return one fault per dimension: that of the first too small size in execution order."""
        writers = {
            written: operator.name
            for _, operator in self._graph.walk()
            for written in operator.writes
        }
        order = {tensor: i for i, tensor in enumerate(writers)}
        faults: dict[str, Fault] = {}
        for size in sorted(small, key=lambda s: order.get(self._sizes.get(s, ""), -1)):
            tensor = self._sizes.get(size, "")
            for free in sorted(free_parameters(size)):
                if free in faults or _is_factor(free, size):
                    continue
                point, reached = _first_violation(
                    values[free], small[size], self._too_small(size, small[size])
                )
                least = self._least(free, {n: _largest(v) for n, v in values.items()}, point)
                remainder = f"a size of {reached:g} in"
                if size in self._counts:
                    tensor, remainder = self._counts[size], f"{reached:g} operations to"
                faults[free] = Fault(
                    f"'{name}' does not take {free}={point:g}: it leaves {remainder}"
                    f" '{writers.get(tensor, tensor)}'",
                    path=free,
                    expected=f"at least {least:g}" if least else "a smaller number",
                )
        return list(faults.values())

    def _least(self, free: str, values: Mapping[str, Value], too_small: float) -> float | None:
        """Return the least valid whole number of a dimension above `too_small`, if there is one."""
        dependent = [s for s in (*self._sizes, *self._counts) if free in free_parameters(s)]

        def is_valid(number: int) -> bool:
            point = {**values, free: number}
            return not any(self._too_small(size, evaluate(size, point)) for size in dependent)

        low, high = max(int(too_small), 0), 1
        while not (high > low and is_valid(high)):
            high *= 2
            if high > _SEARCH_LIMIT:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if is_valid(middle) else (middle, high)
        return float(high)


@cached(GRAPH_BYTES, identity_keys=1)
def small_sizes(graph: Graph) -> SmallSizes:
    """Return the checks of a graph, cached."""
    return SmallSizes(graph)


def _may_vanish(size: Poly) -> bool:
    """Return whether a size may be zero or negative for positive free dimensions."""
    if not SHARES.isdisjoint(free_parameters(size)):
        return False
    return not _positive(size) and not _floored_at_zero(size)


def _positive(size: Poly) -> bool:
    """Return whether every term is positive for positive dimensions."""
    return bool(size.terms) and all(
        c > 0.0 and all(map(_above_zero, (atom for atom, _ in monomial)))
        for monomial, c in size.terms.items()
    )


@cached(200)
def _above_zero(atom: Atom) -> bool:
    """Return whether an atom is positive for positive dimensions."""
    if not atom.args or atom.name in _ALWAYS_POSITIVE:
        return True
    positive = [_positive(argument) for argument in atom.args]
    if atom.name == "maximum":
        return any(positive)
    return atom.name in _POSITIVE_LIKE_ARGUMENTS and all(positive)


def _may_be_negative(count: Poly) -> bool:
    """Return whether a count in terms of plain dimensions has a negative term.

    A count in terms of derived sizes is nonnegative whenever those sizes are valid.
    """
    plain = all(not atom.args for monomial in count.terms for atom, _ in monomial)
    return plain and any(c < 0.0 for c in count.terms.values())


def _is_factor(free: str, size: Poly) -> bool:
    """Return whether a dimension is a factor of every term, so that it cannot change the sign."""
    powers = {
        tuple(n for atom, n in monomial if not atom.args and atom.name == free)
        for monomial in size.terms
    }
    inside = any(
        atom.args and free in parameters_of(atom) for monomial in size.terms for atom, _ in monomial
    )
    return len(powers) == 1 and powers != {()} and not inside


def _floored_at_zero(size: Poly) -> bool:
    """Return whether the file itself bounds a size by zero, as for an empty slice."""
    return any(
        atom.name == "maximum" and any(constant(a) == 0.0 for a in atom.args)
        for monomial in size.terms
        for atom, _ in monomial
    )


def _values_of(size: Poly, atoms: AtomValues) -> Value:
    return sum((c * atoms.monomial(m) for m, c in size.terms.items()), 0.0)


def _first_violation(values: Value, sizes: Value, small: Value) -> tuple[float, float]:
    """Return the first value of a dimension with a too small size, and that size."""
    arrays = np.broadcast_arrays(np.asarray(values, dtype=float), sizes, small)
    value, size, is_small = map(np.ravel, arrays)
    first = int(np.argmax(is_small))
    return float(value[first]), float(size[first])


def _largest(value: Value) -> Value:
    """Return a number: the largest of an array, for which a size is too small last."""
    return float(np.max(value)) if is_array(value) else value
