"""Kinds of hardware: one module per kind, looked up by the name that a spec's ``kind:`` states."""

from __future__ import annotations

from typing import cast

from perfmodel.catalog import load_kind
from perfmodel.catalog import names as _names
from perfmodel.kinds.protocol import OPTIONAL, Equation, Kind, Terms

_FOUND: dict[str, Kind] = {}


def kind(name: str) -> Kind:
    """Return a kind of hardware by name: built-in, or registered by another package's entry point.

    Raises
    ------
    KeyError
        No kind of that name.
    """
    loaded = _FOUND.get(name)
    if loaded is None:
        loaded = cast("Kind | None", load_kind("perfmodel.kinds", name))
        if loaded is None:
            raise KeyError(name)
        for member in OPTIONAL:
            if not hasattr(loaded, member):
                setattr(loaded, member, getattr(Kind, member))
        _FOUND[name] = loaded
    return loaded


def names() -> list[str]:
    """Return the names of all kinds of engine."""
    return _names("perfmodel.kinds")


__all__ = ["Equation", "Kind", "Terms", "kind", "names"]
