"""Names of an earlier version: they still answer, with a warning, for one minor version."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any


def former_names(module: str, **names: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module that answers the former names of what it has.

    Parameters
    ----------
    module : str
        The module's ``__name__``.
    **names : str
        Former name -> name of today.

    Returns
    -------
    callable
        Attribute name -> what the module has under the name of today. It warns with a
        `DeprecationWarning` and raises `AttributeError` for names that never were.

    Examples
    --------
    A module defines ``__getattr__ = former_names(__name__, Plan="SweepPlan")`` under
    ``if not TYPE_CHECKING``, so that a type checker knows the names of today alone:

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
