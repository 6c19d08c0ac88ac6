"""Modules of the standard library that are imported when they are used, not when they are named.

Dependencies import some modules at their top that no ordinary command ever uses. A placeholder
in `sys.modules` saves the time: `importlib.metadata` alone, with the parser of e-mails that it
needs, takes longer than reading a spec.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, Final

#: Module -> functions that dependencies import by name.
_POSTPONED: Final = {
    "importlib.metadata": ("entry_points",),  # pydantic: its search for plug-ins
    "secrets": (),  # pydantic: a type of keys; loads OpenSSL
    "pickle": (),  # numpy: arrays in files
    "ipaddress": (),  # urllib, of pathlib: hosts in brackets
}


class _PostponedModule(ModuleType):
    """Placeholder of a module that imports it at the first use of an attribute.

    `importlib.util.LazyLoader` would import it at the second ``import`` already, and at every
    ``from module import function``.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system looks for `__path__`
            raise AttributeError(name)
        if name in _POSTPONED[self.__name__]:
            return partial(self._call, name)
        return getattr(self._imported(), name)

    def _imported(self) -> ModuleType:
        """Return the module itself."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return import_module(self.__name__)

    def _call(self, function: str, *arguments: Any, **named: Any) -> Any:
        """Call a function of the module."""
        return getattr(self._imported(), function)(*arguments, **named)


def postpone_imports() -> None:
    """Put placeholders for the postponed modules that are not imported yet."""
    for name in _POSTPONED.keys() - sys.modules.keys():
        sys.modules[name] = module = _PostponedModule(name)
        package, _, attribute = name.rpartition(".")
        if package:
            setattr(sys.modules[package], attribute, module)
