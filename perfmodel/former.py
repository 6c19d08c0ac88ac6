"""Deprecated names of an earlier version, supported with a warning for one minor version."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def former_names(module: str, **names: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a module that resolves deprecated names.

    Parameters
    ----------
    module : str
        ``__name__`` of the module.
    **names : str
        Deprecated name -> current name.

    Returns
    -------
    callable
        Function from a deprecated name to the attribute under its current name. It issues a
        `DeprecationWarning`, and raises `AttributeError` for unknown names.

    Examples
    --------
    A module defines ``__getattr__ = former_names(__name__, Plan="SweepPlan")`` under
    ``if not TYPE_CHECKING``, so that a type checker knows current names only:

    >>> import warnings
    >>> from perfmodel.sweep import SweepPlan
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     from perfmodel.sweep import Plan
    >>> Plan is SweepPlan
    True
    """

    def former(name: str) -> Any:
        current = names.get(name)
        if current is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is called {current} now", DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[module], current)

    return former


def former_attributes(**names: str) -> Callable[[Any, str], Any]:
    """Return a ``__getattr__`` for a class that resolves deprecated attribute names.

    Parameters
    ----------
    **names : str
        Deprecated name -> current name.

    Returns
    -------
    callable
        Function from an object and a deprecated name to the attribute under its current name. It
        issues a `DeprecationWarning`, and raises `AttributeError` for unknown names.
    """

    def former(self: Any, name: str) -> Any:
        current, kind = names.get(name), type(self).__name__
        if current is None:
            raise AttributeError(f"{kind!r} object has no attribute {name!r}")
        warnings.warn(f"{kind}.{name} is called {current} now", DeprecationWarning, stacklevel=2)
        return getattr(self, current)

    return former


def former_parameters(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that makes a function accept deprecated parameter names.

    Parameters
    ----------
    **names : str
        Deprecated name -> current name; ``"not NAME"`` if the meaning is inverted.

    Returns
    -------
    callable
        Decorator that preserves the signature of the function. A deprecated name issues a
        `DeprecationWarning`; together with the current name it raises a `TypeError`.

    Examples
    --------
    >>> import warnings
    >>> @former_parameters(seconds="time_limit_s", unfused="not fuse")
    ... def ask(*, time_limit_s: float = 20.0, fuse: bool = True) -> tuple[float, bool]:
    ...     return time_limit_s, fuse
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     ask(seconds=5.0, unfused=True)
    (5.0, False)
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        today: Any = function

        @wraps(function)
        def answer(*args: P.args, **kwargs: P.kwargs) -> R:
            if names.keys().isdisjoint(kwargs):
                return function(*args, **kwargs)
            options: dict[str, Any] = dict(kwargs)
            for former in names.keys() & options.keys():
                turned, _, current = names[former].rpartition(" ")
                if current in options:
                    message = f"{function.__name__}() got both '{former}' and '{current}'"
                    raise TypeError(message)
                value = options.pop(former)
                options[current] = not value if turned else value
                warnings.warn(
                    f"'{former}' of {function.__name__}() is called '{names[former]}' now",
                    DeprecationWarning,
                    stacklevel=2,
                )
            return today(*args, **options)

        return answer

    return decorated


def former_settings(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function to accept settings as keywords, which are deprecated in favour of `set`.

    Parameters
    ----------
    function : callable
        Function with a parameter `set`.

    Returns
    -------
    callable
        Function that issues a `DeprecationWarning` for keywords that are not its parameters.
    """
    known = signature(function).parameters
    today: Any = function

    @wraps(function)
    def answer(*args: P.args, **kwargs: P.kwargs) -> R:
        options: dict[str, Any] = dict(kwargs)
        settings = {name: options.pop(name) for name in kwargs if name not in known}
        if settings:
            names = ", ".join(settings)
            warnings.warn(
                f"settings of {function.__name__}() are given in 'set' now: {names}",
                DeprecationWarning,
                stacklevel=2,
            )
            options["set"] = {**(options.get("set") or {}), **settings}
        return today(*args, **options)

    return answer
