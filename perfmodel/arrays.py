"""Choice of the array namespace: formulas run on plain numbers, NumPy arrays or JAX tracers.

A formula calls ``xp = namespace(a, b)`` and uses ``xp.maximum``, ``xp.where`` and so on. The same
code then evaluates one point, a sweep over many points, or a derivative with JAX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
#: Number, NumPy array, or array (or tracer) of another namespace such as JAX.
Value: TypeAlias = Any


def is_array(value: Value) -> bool:
    """Return whether `value` is an array or a tracer rather than a plain number."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def namespace(*values: Value) -> Any:
    """Return the common array namespace of the values.

    This is NumPy unless a value belongs to another namespace (JAX arrays and tracers).
    """
    for value in values:
        if type(value) is np.ndarray or isinstance(value, float | int | np.generic):
            continue
        if type(value).__module__.partition(".")[0] in {"jax", "jaxlib"}:
            import jax.numpy as jnp  # pyright: ignore[reportMissingImports]

            return jnp
        getter = getattr(value, "__array_namespace__", None)
        if getter is not None:
            return getter()
    return np


def first_number(value: Value) -> float:
    """Return the first number of an array, or the number itself."""
    return float(np.asarray(value, dtype=float).reshape(-1)[0])


def least(value: Value) -> float:
    """Return the minimum of a number or an array, propagating NaN; 0 for a tracer."""
    if type(value) is np.ndarray:
        return value.item() if value.size == 1 else np.minimum.reduce(value, axis=None)
    if isinstance(value, float | int):
        return value
    return float(np.min(value)) if namespace(value) is np else 0.0


def points_shape(*values: Value) -> tuple[int, ...]:
    """Return the broadcast shape of the values; ``()`` when all are numbers.

    Raises
    ------
    ValueError
        The shapes do not broadcast.
    """
    shapes = {np.shape(value) for value in values if is_array(value)}
    if not shapes:
        return ()
    return shapes.pop() if len(shapes) == 1 else np.broadcast_shapes(*shapes)


def by_row(values: Sequence[Value], points: int, xp: Any) -> Array:
    """Stack one number or array over points per row into one array.

    Parameters
    ----------
    values
        One per row: a number, or an array of shape ``(points,)``.
    xp
        Common array namespace of the values.

    Returns
    -------
    array
        Shape ``(rows, points)`` if any value is an array, else ``(rows, 1)``.
    """
    if any(is_array(value) and np.ndim(value) for value in values):
        columns = [xp.broadcast_to(xp.asarray(v, dtype=float), (points,)) for v in values]
        return xp.stack(columns)
    return xp.asarray(values, dtype=float)[:, None]


def reduce_segments(ufunc: np.ufunc, values: Value, starts: Value) -> Value:
    """Return the reduction of each segment of rows, ``ufunc.reduceat(values, starts, axis=0)``.

    Segments are given by their ascending starts; each ends where the next one begins.

    For many columns NumPy's `reduceat` is ten times slower than one reduction per segment.
    """
    if values.shape[1] < 64:
        return ufunc.reduceat(values, starts, axis=0)
    ends = np.append(starts[1:], len(values))
    out = np.empty((len(starts), values.shape[1]))
    for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        ufunc.reduce(values[start:end], axis=0, out=out[i])
    return out


def expanded_ranges(
    items: npt.NDArray[np.intp], starts: npt.NDArray[np.intp], sizes: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return each item as often as its range has members, and these members.

    Parameters
    ----------
    items, starts, sizes
        An item per range, its first member, and the number of its members.

    Examples
    --------
    >>> items, members = expanded_ranges(np.array([7, 8]), np.array([0, 5]), np.array([2, 3]))
    >>> items.tolist(), members.tolist()
    ([7, 7, 8, 8, 8], [0, 1, 5, 6, 7])
    """
    offset = np.arange(sizes.sum(), dtype=np.intp) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(items, sizes), np.repeat(starts, sizes) + offset
