"""Deduplication of numeric columns, and searches that run once per distinct column.

The layers of a table, at all points of a sweep, are the columns of an array ``(fields, layers x
points)``; many are alike. `search_distinct` calls a kind's search of mappings or tiles once for
each distinct column and spreads the results; under JAX it calls the search on the host, and traced
programs call it as it is. The result is a step function of the numbers, so that tracers see it with
zero derivative. Results of calls
with few columns are cached by content; longer calls are sweeps.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from math import prod
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, namespace
from perfmodel.caches import cached
from perfmodel.tracing.array_namespace import NAMESPACE as TRACED

Floats: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.intp]
#: Distinct columns ``(fields, columns)`` and an option -> results ``(..., columns)``.
Search: TypeAlias = Callable[[Floats, int], Floats]

K = TypeVar("K", bound=Hashable)
#: Named tuple of arrays.
Record = TypeVar("Record", bound=Any)

#: Largest number of columns of a call whose results are cached.
_CACHED_COLUMNS: Final = 4096


def distinct(columns: Floats) -> tuple[Places, Places]:
    """Return the index of each distinct column's first occurrence, and every column's group.

    Columns are hashed to one number each, which sorts faster than whole columns; equality of
    columns with equal hashes is verified.

    Parameters
    ----------
    columns
        Shape ``(fields, columns)``, finite.

    Returns
    -------
    first, which
        ``columns[:, first][:, which]`` equals `columns`.
    """
    top = np.maximum(np.abs(columns).max(axis=1), np.finfo(np.float64).tiny * 4.0)
    marks = np.random.default_rng(0).uniform(0.5, 1.5, len(columns)) / top @ columns
    _, first, which = np.unique(marks, return_index=True, return_inverse=True)
    if not all(np.array_equal(row[first][which], row) for row in columns):
        _, first, which = np.unique(columns, axis=1, return_index=True, return_inverse=True)
    return first, which.reshape(-1)


def at(fields: Record, places: Any) -> Record:
    """Return a named tuple of arrays with each of them at some positions of its last axis."""
    return fields._make(values[..., places] for values in fields)


def places_of(keys: Iterable[K | None]) -> dict[K, Places]:
    """Return key -> places that have it, ordered by first occurrence; `None` is skipped."""
    places: dict[K, list[int]] = {}
    for place, key in enumerate(keys):
        if key is not None:
            places.setdefault(key, []).append(place)
    return {key: np.array(each, dtype=np.intp) for key, each in places.items()}


def search_distinct(
    values: Sequence[Value],
    search: Search,
    option: int,
    parts: Sequence[int],
    *,
    repeated: int | None = None,
) -> Value:
    """Return the search result of every layer.

    Parameters
    ----------
    values
        Fields of the layers: numbers or arrays that broadcast, of any namespace.
    search
        A module-level function: it is part of the cache key.
    option
        Passed to `search`.
    parts
        Shape of a layer's result; under a tracer the search must return exactly that.
    repeated
        In place of `option` in traced programs, which repeat a search for similar layers.

    Returns
    -------
    array
        Shape ``(*parts, *layers)``, with zero derivative.
    """
    xp = namespace(*values)
    if xp is TRACED:
        option = option if repeated is None else repeated
        called = partial(results_by_column, search=search, option=option, are_distinct=True)
        results = xp.by_column(called, values, prod(parts))
        return results.reshape(*parts, *results.shape[1:])
    arrays = xp.broadcast_arrays(*(xp.asarray(value, dtype=float) for value in values))
    if xp is np:
        return results_by_column(np.stack(arrays), search, option)
    jax: Any = import_module("jax")
    stacked = jax.lax.stop_gradient(xp.stack(arrays, axis=-1))
    last = tuple(range(-len(parts), 0))

    def on_host(fields: Any) -> Any:
        columns = np.moveaxis(np.asarray(fields, dtype=float), -1, 0)
        results = results_by_column(columns, search, option)
        return np.moveaxis(results, range(len(parts)), last).astype(stacked.dtype)

    shape = jax.ShapeDtypeStruct((*stacked.shape[:-1], *parts), stacked.dtype)
    results = jax.pure_callback(on_host, shape, stacked, vmap_method="expand_dims")
    return xp.moveaxis(jax.lax.stop_gradient(results), last, tuple(range(len(parts))))


def results_by_column(
    columns: Floats, search: Search, option: int, *, are_distinct: bool = False
) -> Floats:
    """Return the results ``(..., *layers)`` of a search for fields ``(fields, *layers)``.

    Each distinct column is searched once; results of few columns are cached by content.

    Parameters
    ----------
    are_distinct
        Whether few columns are known to differ.
    """
    flat = np.ascontiguousarray(columns.reshape(len(columns), -1))
    if flat.shape[1] > _CACHED_COLUMNS:
        results = results_of_distinct(flat, search, option)
    else:
        results = _cached_results(flat.tobytes(), len(flat), search, option, are_distinct)
    return results.reshape(*results.shape[:-1], *columns.shape[1:])


@cached(128 << 10)
def _cached_results(
    content: bytes, fields: int, search: Search, option: int, are_distinct: bool
) -> Floats:
    columns = np.frombuffer(content).reshape(fields, -1)
    results = (
        search(columns, option) if are_distinct else results_of_distinct(columns, search, option)
    )
    results.flags.writeable = False
    return results


def results_of_distinct(flat: Floats, search: Search, option: int) -> Floats:
    """Return the results of a search for columns, each distinct one searched once."""
    if not flat.shape[1]:
        return search(flat, option)
    first, which = distinct(flat)
    return search(flat[:, first], option)[..., which]


def by_distinct_column(
    numbers: Mapping[str, Value],
    function: Callable[[dict[str, Value]], Floats],
    parts: int,
    piece: int,
) -> Value:
    """Return a function of numbers, called once for each distinct column of those that are arrays.

    Parameters
    ----------
    numbers
        Name -> number or array; NumPy's, or those of a traced program. Arrays broadcast.
    function
        Numbers by name, with vectors in place of arrays -> results ``(parts, columns)``.
    parts, piece
        Results of a column, and columns of a call: as many as fit the caches.

    Returns
    -------
    array
        Shape ``(parts, *shape of the arrays)``.
    """
    columns = {n: v for n, v in numbers.items() if np.ndim(v) or namespace(v) is TRACED}

    def search(flat: Floats, _: int = 0) -> Floats:
        results = np.empty((parts, flat.shape[1]))
        for start in range(0, flat.shape[1], piece):
            some = slice(start, start + piece)
            results[:, some] = function(
                {**numbers, **dict(zip(columns, flat[:, some], strict=True))}
            )
        return results

    def called(flat: Floats) -> Floats:
        # Columns that are alike at every point are one already; at some points, others are.
        many = flat.shape[1] > _CACHED_COLUMNS
        return results_of_distinct(flat, search, 0) if many else search(flat)

    if namespace(*columns.values()) is TRACED:
        return TRACED.by_column(called, list(columns.values()), parts)
    fields = np.stack(np.broadcast_arrays(*columns.values()))
    results = results_of_distinct(fields.reshape(len(fields), -1), search, 0)
    return results.reshape(parts, *fields.shape[1:])
