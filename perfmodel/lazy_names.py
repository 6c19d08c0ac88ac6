"""Names of a package that are imported from its modules on first access.

Importing the package is then cheap, and ``from package import Name`` imports one module only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, names_by_module: Mapping[str, Sequence[str]], **aliases: str
) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package that imports names on first access.

    Parameters
    ----------
    package
        ``__name__`` of the package.
    names_by_module
        Module of the package -> names that it defines.
    **aliases
        Name in the package -> its name in the module, if they differ.

    Returns
    -------
    callable
        Function from a name to its value. It raises `AttributeError` for unknown names.

    Examples
    --------
    A package repeats the imports under ``if TYPE_CHECKING``, for type checkers.

    >>> attribute = lazy_names("perfmodel.table", {"columnar": ["Table"]})
    >>> from perfmodel.table import Table
    >>> attribute("Table") is Table
    True
    """
    modules = {name: module for module, names in names_by_module.items() for name in names}

    def package_attribute(name: str) -> Any:
        attribute = aliases.get(name, name)
        if attribute not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{modules[attribute]}"), attribute)
        setattr(sys.modules[package], name, value)
        return value

    return package_attribute
