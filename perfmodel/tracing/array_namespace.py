"""Array namespace of traced arrays: NumPy arrays of objects, each a node or a constant.

NumPy adds, multiplies, indexes, reshapes and concatenates arrays of objects itself. What it can
only do with numbers (the larger of two, a choice, a logarithm) is done here element by element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from perfmodel.tracing.column_function import ColumnFunction, Columns
from perfmodel.tracing.expression import OPERATIONS, Node, NotTraceable


def _comparison(function: np.ufunc) -> Any:
    """Return a method that compares to objects, where NumPy's would convert each to a boolean."""

    def method(self: TracedArray, other: Any) -> Any:
        return function(self, other, dtype=object)

    return method


class TracedArray(np.ndarray[Any, np.dtype[Any]]):
    """Array of objects, each a `Node` or a constant."""

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return NAMESPACE

    def __bool__(self) -> bool:
        raise NotTraceable("a branch on an array that varies")

    __gt__, __ge__ = _comparison(np.greater), _comparison(np.greater_equal)
    __lt__, __le__ = _comparison(np.less), _comparison(np.less_equal)
    __eq__, __ne__ = _comparison(np.equal), _comparison(np.not_equal)

    @property
    def at(self) -> _Places:
        """Functional updates, as JAX's ``x.at[index].set(values)``."""
        return _Places(self, ...)


class _Places:
    """Places of an array that an update changes in a copy."""

    def __init__(self, array: Any, index: Any) -> None:
        self._array, self._index = array, index

    def __getitem__(self, index: Any) -> _Places:
        return _Places(self._array, index)

    def set(self, values: Any) -> Any:
        """Return a copy with other values at the places."""
        out = self._array.copy()
        out[self._index] = values
        return out

    def add(self, values: Any) -> Any:
        """Return a copy with values added, one after the other where a place is repeated."""
        return self._accumulated(np.add, values)

    def max(self, values: Any) -> Any:
        """Return a copy with the larger of the former and the new value at each place."""
        return self._accumulated(NAMESPACE.maximum, values)

    def _accumulated(self, function: Callable[..., Any], values: Any) -> Any:
        out = self._array.copy()
        rows = np.broadcast_to(values, (len(self._index), *out.shape[1:]))
        for row, new in zip(self._index, rows, strict=True):
            out[row] = function(out[row], new)
        return out


def traced(values: npt.ArrayLike) -> Any:
    """Return values as a traced array."""
    return np.asarray(values, dtype=object).view(TracedArray)


@cache
def _elementwise(name: str, operands: int) -> Callable[..., Any]:
    def apply(*scalars: Any) -> Any:
        for each in scalars:
            if isinstance(each, Node):
                return each.trace.apply(name, *scalars)
        return OPERATIONS[name](*scalars)

    ufunc = np.frompyfunc(apply, operands, 1)

    def function(*values: Any) -> Any:
        if not any(np.ndim(each) for each in values):
            return apply(*values)
        out = ufunc(*(traced(each) for each in values))
        return out.view(TracedArray) if isinstance(out, np.ndarray) else out

    return function


def _reduction(name: str) -> Callable[..., Any]:
    def reduce(values: Any, axis: int | None = None) -> Any:
        function: Callable[..., Any] = getattr(NAMESPACE, name)
        array: Any = traced(values)
        array = array.reshape(-1) if axis is None else np.moveaxis(array, axis, 0)
        total = array[0]
        for each in array[1:]:
            total = function(total, each)
        return total

    return reduce


class ArrayNamespace:
    """Functions of the array namespace; any other raises `NotTraceable`."""

    __name__: str = "perfmodel.tracing"
    inf: Final = np.inf
    nan: Final = np.nan

    maximum = staticmethod(_elementwise("maximum", 2))
    minimum = staticmethod(_elementwise("minimum", 2))
    where = staticmethod(_elementwise("where", 3))
    ceil = staticmethod(_elementwise("ceil", 1))
    floor = staticmethod(_elementwise("floor", 1))
    round = staticmethod(_elementwise("round", 1))
    sqrt = staticmethod(_elementwise("sqrt", 1))
    exp = staticmethod(_elementwise("exp", 1))
    log = staticmethod(_elementwise("log", 1))
    log2 = staticmethod(_elementwise("log2", 1))
    abs = staticmethod(_elementwise("abs", 1))
    max = staticmethod(_reduction("maximum"))
    min = staticmethod(_reduction("minimum"))

    def __getattr__(self, name: str) -> Any:
        raise NotTraceable(f"no function {name} of traced arrays")

    def apply(self, operation: str, left: Any, right: Any) -> Any:
        """Return an operation of the elements of an array with a node, or of a node with them."""
        return _elementwise(operation, 2)(left, right)

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        """Return values as a traced array; a single node stays as it is."""
        return values if isinstance(values, Node) else traced(values)

    def zeros(self, shape: Any) -> Any:
        """Return an array of zeros."""
        return traced(np.zeros(shape))

    def ones(self, shape: Any) -> Any:
        """Return an array of ones."""
        return traced(np.ones(shape))

    def zeros_like(self, values: Any) -> Any:
        """Return an array of zeros of the same shape."""
        return traced(np.zeros(np.shape(values)))

    def ones_like(self, values: Any) -> Any:
        """Return an array of ones of the same shape."""
        return traced(np.ones(np.shape(values)))

    def full(self, shape: Any, value: Any) -> Any:
        """Return an array that has one value everywhere."""
        return self.broadcast_to(value, shape)

    def broadcast_to(self, values: Any, shape: Any) -> Any:
        """Return values repeated to a shape, as a copy."""
        return np.broadcast_to(traced(values), shape).copy().view(TracedArray)

    def broadcast_arrays(self, *arrays: Any) -> list[Any]:
        """Return values repeated to their common shape, as copies."""
        shape = np.broadcast_shapes(*map(np.shape, arrays))
        return [self.broadcast_to(each, shape) for each in arrays]

    def atleast_1d(self, values: Any) -> Any:
        """Return values as an array of one axis or more."""
        return np.atleast_1d(traced(values)).view(TracedArray)

    def reshape(self, values: Any, shape: Any) -> Any:
        """Return values in another shape."""
        return traced(values).reshape(shape)

    def concatenate(self, arrays: Sequence[Any], axis: int = 0) -> Any:
        """Return arrays joined along an axis."""
        return np.concatenate([traced(each) for each in arrays], axis=axis).view(TracedArray)

    def stack(self, arrays: Sequence[Any], axis: int = 0) -> Any:
        """Return arrays joined along a new axis."""
        return np.stack([traced(each) for each in arrays], axis=axis).view(TracedArray)

    def clip(self, values: Any, low: Any, high: Any) -> Any:
        """Return values held between two bounds."""
        return self.minimum(self.maximum(values, low), high)

    def sum(self, values: Any, axis: int | None = None) -> Any:
        """Return the sum over an axis, or of everything."""
        return traced(values).sum(axis=axis)

    def isfinite(self, values: Any) -> Any:
        """Return whether values are finite; none is no number."""
        return self.abs(values) < np.inf

    def by_column(
        self, function: Callable[[Columns], Columns], fields: Sequence[Any], parts: int
    ) -> Any:
        """Return a function of columns of numbers, which programs call as it is.

        Parameters
        ----------
        function
            Columns ``(fields, columns)`` -> results ``(parts, columns)``, each of its own column.
            It is called at once for columns that do not vary.
        fields
            Numbers or arrays that broadcast.

        Returns
        -------
        array
            Shape ``(parts, *shape of the fields)``.
        """
        arrays = np.broadcast_arrays(*map(traced, fields))
        groups: dict[tuple[Any, ...], int] = {}
        columns = list(zip(*(each.reshape(-1).tolist() for each in arrays), strict=True))
        which = [groups.setdefault(column, len(groups)) for column in columns]
        distinct = np.array(list(groups), dtype=object).reshape(len(groups), len(arrays)).T
        is_node = np.array([[isinstance(x, Node) for x in field] for field in distinct.tolist()])
        varies = is_node.any(axis=0)
        results = np.empty((parts, len(groups)), dtype=object)
        if not varies.all():
            results[:, ~varies] = function(distinct[:, ~varies].astype(float))
        if varies.any():
            places = np.nonzero(is_node[:, varies])
            nodes = distinct[:, varies][places]
            constants = np.where(is_node, 0.0, distinct)[:, varies].astype(float)
            apply: Callable[..., Node] = nodes[0].trace.apply
            call = apply("columns", ColumnFunction(function, constants, places), *nodes)
            items = [apply("item", call, i) for i in range(parts * int(varies.sum()))]
            results[:, varies] = np.array(items, dtype=object).reshape(parts, -1)
        return traced(results[:, which].reshape(parts, *arrays[0].shape))


NAMESPACE: Final = ArrayNamespace()
