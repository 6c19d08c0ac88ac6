"""Values of a spec file together with where each of them stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

Path: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from the top of a file."""

PROVENANCE = ("source", "confidence", "note", "fitted_on", "measured_at")
"""Keys of a number that speak of that very number, so a new value does not inherit them."""


@dataclass(frozen=True, slots=True)
class MarkedNode:
    """A value and its place.

    Attributes
    ----------
    value : scalar, dict of str to Node, or list of Node
    line, column : int
        Place of the value, from 1; 0 where unknown.
    file : str
    key_line, key_column : int
        Place of the key that names the value.
    """

    value: Any
    line: int = 0
    column: int = 0
    file: str = ""
    key_line: int = 0
    key_column: int = 0

    def plain(self) -> Any:
        """The value without places: dicts, lists and scalars."""
        value: Any = self.value  # narrowing an attribute would make its type partly unknown
        if isinstance(value, dict):
            return {key: node.plain() for key, node in self.children.items()}
        if isinstance(value, list):
            return [node.plain() for node in self.entries]
        return value

    @property
    def children(self) -> dict[str, MarkedNode]:
        """Entries of a mapping; empty for anything else."""
        value: Any = self.value
        return cast("dict[str, MarkedNode]", value) if isinstance(value, dict) else {}

    @property
    def entries(self) -> list[MarkedNode]:
        """Entries of a list; empty for anything else."""
        value: Any = self.value
        return cast("list[MarkedNode]", value) if isinstance(value, list) else []

    def child(self, key: str | int) -> MarkedNode | None:
        """The entry under a key, a position, or (in a list) the ``name`` of a mapping."""
        if isinstance(key, str):
            if isinstance(self.value, list):
                return next((n for n in self.entries if n.name == key), None)
            return self.children.get(key)
        return self.entries[key] if 0 <= key < len(self.entries) else None

    @property
    def name(self) -> str:
        """The ``name`` of a mapping; ``""`` where it has none."""
        named = self.children.get("name")
        return named.value if named is not None and isinstance(named.value, str) else ""


class Marks:
    """Where each value of a file stands; look up by tuple or by dotted path.

    Parameters
    ----------
    root : Node, or a callable that returns one
        The top of the file; a callable is asked at the first look, since most files are read
        without a fault that would need a place.
    """

    __slots__ = ("_root",)

    def __init__(self, root: MarkedNode | Callable[[], MarkedNode] | None = None) -> None:
        self._root = MarkedNode(None) if root is None else root

    @property
    def root(self) -> MarkedNode:
        """The top of the file."""
        if not isinstance(self._root, MarkedNode):
            self._root = self._root()
        return self._root

    def at(self, path: Path | str, *, key: bool = False) -> tuple[int, int]:
        """Line and column (from 1) of a value, or of its key.

        A path that does not exist gives the place of its nearest ancestor.
        """
        node = self.node(path)
        if key and node.key_line:
            return node.key_line, node.key_column
        return node.line, node.column

    def file(self, path: Path | str) -> str:
        """File that the value came from (a base's value stands in the base's file)."""
        return self.node(path).file

    def node(self, path: Path | str) -> MarkedNode:
        """The node at a path, or its nearest ancestor."""
        node = self.root
        for part in _parts(path):
            found = node.child(part)
            if found is None:
                break
            node = found
        return node

    def has(self, path: Path) -> bool:
        """Whether the path exists."""
        node: MarkedNode | None = self.root
        for part in path:
            node = node.child(part) if node is not None else None
        return node is not None

    def show(self, path: Path) -> str:
        """Dotted path with names in place of list positions: ``memories.dram.bandwidth``."""
        shown: list[str] = []
        node: MarkedNode | None = self.root
        for part in path:
            node = node.child(part) if node is not None else None
            shown.append(
                (node.name if node is not None else "") or str(part)
                if isinstance(part, int)
                else part
            )
        return ".".join(shown)

    def walk(self) -> Iterator[tuple[Path, MarkedNode]]:
        """Every value with its path, parents first."""
        stack: list[tuple[Path, MarkedNode]] = [((), self.root)]
        while stack:
            path, node = stack.pop()
            yield path, node
            below: list[tuple[Path, MarkedNode]] = [
                ((*path, k), n) for k, n in node.children.items()
            ]
            below += [((*path, i), n) for i, n in enumerate(node.entries)]
            stack.extend(reversed(below))


def merge(base: MarkedNode, over: MarkedNode) -> MarkedNode:
    """``over`` laid on ``base``: mappings key by key, lists of named entries by name.

    Other values are replaced. A mapping with a new ``value`` drops the provenance of the old one,
    for a source of the old number says nothing about the new.
    """
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        merged = dict(base.children)
        if "value" in over.children:
            merged = {k: n for k, n in merged.items() if k not in PROVENANCE}
        for key, node in over.children.items():
            merged[key] = merge(merged[key], node) if key in merged else node
        return replace(over, value=merged)
    if _named(base.entries) and _named(over.entries):
        by_name = {node.name: node for node in base.entries}
        for node in over.entries:
            by_name[node.name] = merge(by_name[node.name], node) if node.name in by_name else node
        return replace(over, value=list(by_name.values()))
    if "value" in base.children and not isinstance(over.value, (dict, list)):
        # A bare number over a documented one keeps what is not provenance (an accumulator, say).
        return merge(base, replace(over, value={"value": over}))
    return over


def _named(entries: Sequence[MarkedNode]) -> bool:
    return bool(entries) and all(node.name for node in entries)


def _parts(path: Path | str) -> Path:
    return tuple(path.split(".")) if isinstance(path, str) and path else tuple(path)
