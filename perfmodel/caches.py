"""Results that are worked out once in a process: one rule for their keys, and a bound in bytes.

Graphs, specs and facts are keys by identity: they are shared and never change in place, and a hash
of their content would cost more than many of the results. All else (numbers, names, categories) is
a key by value. Of each function the latest results stay, as many as `CACHE_BYTES` hold of the size
that its decorator states.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, update_wrapper
from typing import Any, Final, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

#: Most that the results of one function take.
CACHE_BYTES: Final = 256 << 20
#: A graph of a hundred operators, and the table that it is lowered to.
GRAPH_BYTES: Final = 256 << 10
TABLE_BYTES: Final = 512 << 10
#: Facts of a device under a runtime, and views of them.
FACTS_BYTES: Final = 64 << 10

#: Caches of large results: how many each has, and what empties it.
_LARGE: Final[list[tuple[Callable[[], int], Callable[[], None]]]] = []


def cached(
    entry_bytes: int, *, same: int = 0, passing: Callable[..., bool] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that works out a pure function once for equal arguments.

    Parameters
    ----------
    entry_bytes
        Typical size of a result.
    same
        How many of the first arguments are keys by identity; they are positional.
    passing
        Tells of arguments whose result is not to stay: arrays of one block of points do not come
        again, and may be large. Only where some are keys by identity.

    Examples
    --------
    >>> calls = []
    >>> @cached(100, same=1)
    ... def length(numbers: list[int]) -> int:
    ...     calls.append(1)
    ...     return len(numbers)
    >>> numbers = [1, 2]
    >>> length(numbers), length(numbers), length([1, 2]), len(calls)
    (2, 2, 2, 2)
    """
    most = CACHE_BYTES // entry_bytes

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        plain = cast("Callable[..., R]", function)
        if not same:
            known = lru_cache(maxsize=most)(plain)
            if entry_bytes >= GRAPH_BYTES:
                _LARGE.append((lambda: known.cache_info().currsize, known.cache_clear))
            return cast("Callable[P, R]", known)
        # The objects are held beside the result, so that an id is not used again.
        results: dict[tuple[Any, ...], tuple[R, tuple[Any, ...]]] = {}
        if entry_bytes >= GRAPH_BYTES:
            _LARGE.append((results.__len__, results.clear))

        def remembered(*arguments: Any, **named: Any) -> R:
            key = (*map(id, arguments[:same]), *arguments[same:], *named.items())
            entry = results.get(key)
            if entry is None:
                if passing is not None and passing(*arguments, **named):
                    return plain(*arguments, **named)
                while len(results) >= most:
                    results.pop(next(iter(results)), None)
                entry = results[key] = plain(*arguments, **named), arguments
            return entry[0]

        return cast("Callable[P, R]", update_wrapper(remembered, function))

    return decorate


def forget_large(above: int) -> bool:
    """Forget all large results where more than some of one function are known; tell whether.

    What runs for days must not grow: the bound is for searches that meet hundreds of structures;
    those of a process that answers anybody's questions may each be large.
    """
    full = any(size() > above for size, _ in _LARGE)
    for _, clear in _LARGE if full else ():
        clear()
    return full
