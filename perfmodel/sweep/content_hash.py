"""Content hashes that are equal exactly for equal objects, in any process.

The value is traversed like a Merkle tree: the hash (SHA-256) of an object covers its type and the
hashes of its parts. A spec, a model or a machine is hashed by its pickled state, so that no
attribute has to be listed here or can be forgotten. `perfmodel.sweep.identity` uses the hashes to
decide whether an interrupted sweep can be resumed.
"""

from __future__ import annotations

import hashlib
import pickle
import types
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, Final, cast

import numpy as np
from pydantic import BaseModel

from perfmodel.package_data import data_root

#: Groups of entry points whose code may affect a row.
_GROUPS: Final = ("perfmodel.families", "perfmodel.kinds")
_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes, type(...))
_NAMED: Final = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)


def digest(value: Any) -> str:
    """Return a value's content hash, 32 hexadecimal digits."""
    return _ContentHasher().of(value).hex()[:32]


class _ContentHasher:
    """One traversal of an object; repeated references are hashed once."""

    def __init__(self) -> None:
        # References keep the objects alive, so that no address is reused during the traversal.
        self._known: dict[int, tuple[Any, bytes]] = {}
        self._open: set[int] = set()

    def of(self, value: Any) -> bytes:
        """Return the hash of a value; a value that contains itself ends the recursion."""
        if isinstance(value, _PLAIN) and type(value) in _PLAIN:
            return _hash(type(value).__name__, repr(value).encode())
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        if id(value) in self._open:
            return _hash("within itself")
        self._open.add(id(value))
        result = self._hash_by_type(value)
        self._open.discard(id(value))
        self._known[id(value)] = value, result
        return result

    def _hash_by_type(self, value: Any) -> bytes:
        """Return the hash of a value that was not met before, by its type."""
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        match value:
            case np.ndarray() if not cast("Any", value).dtype.hasobject:
                array: Any = np.ascontiguousarray(cast("Any", value))
                return _hash(
                    name, array.dtype.str.encode(), repr(array.shape).encode(), array.tobytes()
                )
            case Mapping():
                items = cast("Mapping[Any, Any]", value).items()
                parts = (self.of(each) for pair in items for each in pair)
                return _hash(name, *parts)
            case set() | frozenset():
                return _hash(name, *sorted(map(self.of, cast("frozenset[Any]", value))))
            case list() | tuple():
                return _hash(name, *map(self.of, cast("list[Any]", value)))
            case PurePath():
                return _hash(name, str(value).encode())
            case BaseModel():
                dumped = value.model_dump(exclude_defaults=True, exclude={"base"})
                return _hash(name, self.of(dumped))
            case _ if isinstance(value, _NAMED):
                module = getattr(value, "__module__", "")
                return _hash(f"{module}.{getattr(value, '__qualname__', value)}")
            case _:
                return self._hash_of_pickled_state(name, value)

    def _hash_of_pickled_state(self, name: str, value: Any) -> bytes:
        """Return the digest of an object's pickled state."""
        try:
            sent = value.__reduce_ex__(4)
        except (TypeError, AttributeError, pickle.PicklingError):
            return _hash(name)  # a lock, a lambda: code, which `sources_digest` covers
        if isinstance(sent, str):
            return _hash(name, sent.encode())
        constructor, arguments, state, *more = (*sent, None, None, None)[:5]
        items = [list(part) for part in more if part is not None]
        return _hash(name, self.of(constructor), self.of(arguments), self.of(state), self.of(items))


def _hash(name: str, *parts: bytes) -> bytes:
    """Return the SHA-256 of a name and some parts, each preceded by its length."""
    sha = hashlib.sha256(name.encode())
    for part in parts:
        sha.update(len(part).to_bytes(8, "little"))
        sha.update(part)
    return sha.digest()


@lru_cache(maxsize=1)
def sources_digest() -> str:
    """Return a digest of perfmodel's code and of the tables that it reads implicitly."""
    package = Path(__file__).resolve().parents[1]
    sha = hashlib.sha256()
    # Models are hashed by their graphs; tables in folders next to them are read by code.
    tables = (data_root() / "energy", "*.yaml"), (data_root("workloads"), "*/*.yaml")
    for root, pattern in ((package, "*.py"), *tables):
        for path in sorted(root.rglob(pattern)):
            content = path.read_bytes()
            sha.update(f"{path.relative_to(root).as_posix()} {len(content)} ".encode())
            sha.update(content)
    return sha.hexdigest()[:16]


def packages() -> dict[str, str]:
    """Return the packages that add kinds, families and other entry points, with their versions."""
    from importlib.metadata import entry_points

    versions: dict[str, str] = {}
    for group in _GROUPS:
        for point in entry_points(group=group):
            version = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
            versions[f"{group}:{point.name}"] = version
    return dict(sorted(versions.items()))
