"""Caches of function results within a process, with one rule for keys and a limit in bytes.

Graphs, specs and facts are keys by identity: they are shared and immutable, and hashing their
content would cost more than computing many results. Everything else (numbers, names, categories) is
a key by value. Results read from files are recomputed when a file has changed. Each function
retains its most recent results up to `CACHE_BYTES`, based on their measured size, or on the size
stated in the decorator if measuring would take longer than the function.
`functools.lru_cache` is used instead for functions of few scalars or texts with small results in
hot loops (parsing a unit, the dimension of a column), and with one entry for files of the library
and process setup.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache, update_wrapper
from pathlib import Path
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar, cast

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

#: Size limit of the results of one function.
CACHE_BYTES: Final = 256 << 20
#: Typical size of a graph of a hundred operators with its lowered table.
GRAPH_BYTES: Final = 256 << 10
TABLE_BYTES: Final = 512 << 10
#: Typical size of the facts of a device under a runtime, with their views.
FACTS_BYTES: Final = 64 << 10

#: Caches of large results: functions that return the number of entries and that clear the cache.
_LARGE: Final[list[tuple[Callable[[], int], Callable[[], None]]]] = []


class _CacheEntry(NamedTuple):
    """A cached result, the arguments that it keeps alive, and its size."""

    result: Any
    arguments: tuple[Any, ...]
    size_bytes: int


class FileStamp(NamedTuple):
    """Modification time and size of a file, by which a change is detected."""

    file: str | Path
    modified_ns: int
    size_bytes: int


def cached(
    entry_bytes: int = 0, *, identity_keys: int = 0, is_excluded: Callable[..., bool] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that caches a pure function.

    Parameters
    ----------
    entry_bytes
        Typical size of a result in bytes; 0 to measure each result.
    identity_keys
        Number of leading positional arguments that are keys by identity.
    is_excluded
        Function that returns whether the result for some arguments is not to be cached, as for
        large arrays of one block of points. Only with keys by identity.

    Examples
    --------
    >>> calls = []
    >>> @cached(100, identity_keys=1)
    ... def length(numbers: list[int]) -> int:
    ...     calls.append(1)
    ...     return len(numbers)
    >>> numbers = [1, 2]
    >>> length(numbers), length(numbers), length([1, 2]), len(calls)
    (2, 2, 2, 2)
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        plain = cast("Callable[..., R]", function)
        if entry_bytes and not identity_keys:
            cached_function = lru_cache(maxsize=CACHE_BYTES // entry_bytes)(plain)
            if entry_bytes >= GRAPH_BYTES:
                clear = cached_function.cache_clear
                _LARGE.append((lambda: cached_function.cache_info().currsize, clear))
            return cast("Callable[P, R]", cached_function)
        # The cache holds references to the objects, so that their ids are not reused.
        results: dict[tuple[Any, ...], _CacheEntry] = {}
        free_bytes = CACHE_BYTES
        if entry_bytes >= GRAPH_BYTES:
            _LARGE.append((results.__len__, results.clear))

        def cached_call(*arguments: Any, **named: Any) -> R:
            nonlocal free_bytes
            key = arguments
            if identity_keys or named:
                by_identity = map(id, arguments[:identity_keys])
                key = (*by_identity, *arguments[identity_keys:], *named.items())
            entry = results.get(key)
            if entry is None:
                if is_excluded is not None and is_excluded(*arguments, **named):
                    return plain(*arguments, **named)
                result = plain(*arguments, **named)
                size = entry_bytes or measured_bytes(result)
                free_bytes = free_bytes if results else CACHE_BYTES
                while results and free_bytes < size:
                    free_bytes += results.pop(next(iter(results))).size_bytes
                free_bytes -= size
                entry = results[key] = _CacheEntry(result, arguments, size)
            return entry.result

        return cast("Callable[P, R]", update_wrapper(cached_call, function))

    return decorate


def stamp_of(file: str | Path) -> FileStamp:
    """Return the stamp of a file; zeros if it does not exist."""
    try:
        status = os.stat(file)
    except (OSError, ValueError):  # ValueError: a null character in the name
        return FileStamp(file, 0, 0)
    return FileStamp(file, status.st_mtime_ns, status.st_size)


def cached_by_files(
    entry_bytes: int,
) -> Callable[[Callable[P, tuple[R, Iterable[str | Path]]]], Callable[P, R]]:
    """Return a decorator that caches a function of files until one of them changes.

    Parameters
    ----------
    entry_bytes
        Typical size of a result in bytes.

    Returns
    -------
    callable
        Decorator of a function that returns a result and the files it depends on. Arguments are
        keys by value.
    """
    max_entries = CACHE_BYTES // entry_bytes

    def decorate(function: Callable[P, tuple[R, Iterable[str | Path]]]) -> Callable[P, R]:
        results: dict[tuple[Any, ...], tuple[R, list[FileStamp]]] = {}

        def cached_call(*arguments: P.args, **named: P.kwargs) -> R:
            key = (*arguments, *named.items())
            if key in results:
                result, stamps = results[key]
                if all(stamp_of(stamp.file) == stamp for stamp in stamps):
                    return result
            result, files = function(*arguments, **named)
            while len(results) >= max_entries:
                results.pop(next(iter(results)), None)
            results[key] = result, [*map(stamp_of, files)]
            return result

        return cast("Callable[P, R]", update_wrapper(cast("Any", cached_call), function))

    return decorate


def measured_bytes(result: Any) -> int:
    """Return the bytes of a result, including nested arrays, objects and containers.

    Reference cycles are not allowed.

    Examples
    --------
    >>> measured_bytes((np.zeros(1000), {"total": 1.0})) // 1000
    8
    """
    size = sys.getsizeof(result)
    if isinstance(result, float | int | str):
        return size
    if isinstance(result, np.ndarray):
        return max(size, result.nbytes)
    parts: list[Any] = []
    if isinstance(result, dict):
        parts += (*cast("dict[Any, Any]", result), *cast("dict[Any, Any]", result).values())
    elif isinstance(result, tuple | list):
        parts += cast("Iterable[Any]", result)
    elif not isinstance(result, type):
        slots: Iterable[str] = getattr(result, "__slots__", ())
        parts += (getattr(result, name, None) for name in slots)
        parts += getattr(result, "__dict__", {}).values()
    return size + sum(map(measured_bytes, parts))


def clear_large_caches(above: int) -> bool:
    """Clear all caches of large results if one exceeds a number of entries; return whether it did.

    Long-running processes must not grow: the size limit is chosen for searches over hundreds of
    structures, whereas a server may encounter large structures only.
    """
    full = any(size() > above for size, _ in _LARGE)
    for _, clear in _LARGE if full else ():
        clear()
    return full
