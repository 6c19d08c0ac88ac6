"""Kinds of hardware: one file a kind, found by the name that a spec's ``kind:`` takes."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from perfmodel.kinds.protocol import Equation, Kind, Terms

#: Built-in kinds; others are found through the entry points ``perfmodel.kinds``.
BUILT_IN = ("roofline",)

_FOUND: dict[str, Kind] = {}


def kind(name: str) -> Kind:
    """Return a kind of hardware by name.

    Raises
    ------
    KeyError
        No such kind.
    """
    found = _FOUND.get(name)
    if found is None:
        if name in BUILT_IN:
            found = cast("Kind", import_module(f"perfmodel.kinds.{name}").KIND)
        else:
            for point in entry_points(group="perfmodel.kinds", name=name):
                found = cast("Kind", point.load())
                break
        if found is None:
            raise KeyError(name)
        _FOUND[name] = found
    return found


__all__ = ["BUILT_IN", "Equation", "Kind", "Terms", "kind"]
