"""Deprecated names: each works for one more minor version, with a `DeprecationWarning`.

Four helpers cover the four places in which a name can change: attributes of a module
(`deprecated_names`), attributes of a class (`deprecated_attributes`), parameters of a function
(`deprecated_parameters`), and settings that were once keywords of a function
(`deprecated_settings`). `docs/former_names.md` lists all such names for users.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def deprecated_names(module: str, **names: str) -> Callable[[str], Any]:
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
    A module defines ``__getattr__ = deprecated_names(__name__, Plan="SweepPlan")`` under
    ``if not TYPE_CHECKING``, so that a type checker knows current names only:

    >>> import warnings
    >>> from perfmodel.sweep import SweepPlan
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     from perfmodel.sweep import Plan
    >>> Plan is SweepPlan
    True
    """

    def module_attribute(name: str) -> Any:
        current = names.get(name)
        if current is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is called {current} now", DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[module], current)

    return module_attribute


def deprecated_attributes(**names: str) -> Callable[[Any, str], Any]:
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

    def instance_attribute(self: Any, name: str) -> Any:
        current, kind = names.get(name), type(self).__name__
        if current is None:
            raise AttributeError(f"{kind!r} object has no attribute {name!r}")
        warnings.warn(f"{kind}.{name} is called {current} now", DeprecationWarning, stacklevel=2)
        return getattr(self, current)

    return instance_attribute


def deprecated_parameters(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
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
    >>> @deprecated_parameters(seconds="time_limit_s", unfused="not fuse")
    ... def ask(*, time_limit_s: float = 20.0, fuse: bool = True) -> tuple[float, bool]:
    ...     return time_limit_s, fuse
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     ask(seconds=5.0, unfused=True)
    (5.0, False)
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        call: Any = function  # its options are not typed by P once they are renamed

        @wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            if names.keys().isdisjoint(kwargs):
                return function(*args, **kwargs)
            options: dict[str, Any] = dict(kwargs)
            for deprecated in names.keys() & options.keys():
                is_inverted, _, current = names[deprecated].rpartition(" ")
                if current in options:
                    message = f"{function.__name__}() got both '{deprecated}' and '{current}'"
                    raise TypeError(message)
                value = options.pop(deprecated)
                options[current] = not value if is_inverted else value
                warnings.warn(
                    f"'{deprecated}' of {function.__name__}() is called '{names[deprecated]}' now",
                    DeprecationWarning,
                    stacklevel=2,
                )
            return call(*args, **options)

        return wrapper

    return decorate


def deprecated_settings(function: Callable[P, R]) -> Callable[P, R]:
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
    parameters = signature(function).parameters
    call: Any = function  # its options are not typed by P once the settings are moved

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        options: dict[str, Any] = dict(kwargs)
        settings = {name: options.pop(name) for name in kwargs if name not in parameters}
        if settings:
            names = ", ".join(settings)
            warnings.warn(
                f"settings of {function.__name__}() are given in 'set' now: {names}",
                DeprecationWarning,
                stacklevel=2,
            )
            options["set"] = {**(options.get("set") or {}), **settings}
        return call(*args, **options)

    return wrapper
