"""Kinds of hardware: one file a kind, found by the name that a spec's ``kind:`` takes."""

from __future__ import annotations

from typing import cast

from perfmodel.catalog import load_kind
from perfmodel.catalog import names as _names
from perfmodel.kinds.protocol import OPTIONAL, Equation, Kind, Terms

_FOUND: dict[str, Kind] = {}


def kind(name: str) -> Kind:
    """Return a kind of hardware by name: a built-in, or another package's (entry points).

    Raises
    ------
    KeyError
        No such kind.
    """
    found = _FOUND.get(name)
    if found is None:
        found = cast("Kind | None", load_kind("perfmodel.kinds", name))
        if found is None:
            raise KeyError(name)
        for member in OPTIONAL:
            if not hasattr(found, member):
                setattr(found, member, getattr(Kind, member))
        _FOUND[name] = found
    return found


def names() -> list[str]:
    """Return the names of all kinds of engine."""
    return _names("perfmodel.kinds")


__all__ = ["Equation", "Kind", "Terms", "kind", "names"]
