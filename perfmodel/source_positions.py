"""Values of a YAML or JSON file together with their line and column.

`perfmodel.specfile` reads a file into a tree of `MarkedNode`, and `Marks` finds the position of a
value by its path, so that every fault of a file can be reported as ``file:line:column``. `merge`
combines a spec with the spec it inherits from (``base:``), value by value. "Mark" is the word of
YAML parsers for a position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

Path: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from the top of a file."""

_Children: TypeAlias = "dict[str, MarkedNode]"

PROVENANCE = ("source", "confidence", "note", "fitted_on", "measured_at")
"""Keys of a number that speak of that very number, so a new value does not inherit them."""


@dataclass(slots=True)
class MarkedNode:
    """Value with its source position; never changed, but frozen it would take five times as long.

    Attributes
    ----------
    value : scalar, dict of str to MarkedNode, or list of MarkedNode
        Value.
    line, column : int
        Position of the value, from 1; 0 if unknown.
    file : str
        File that contains the value.
    key_line, key_column : int
        Position of the key of the value.
    """

    value: Any
    line: int = 0
    column: int = 0
    file: str = ""
    key_line: int = 0
    key_column: int = 0

    def plain(self) -> Any:
        """Return the value without positions: dicts, lists and scalars."""
        value: Any = self.value  # narrowing an attribute would make its type partly unknown
        if type(value) is dict:
            return {key: node.plain() for key, node in cast("_Children", value).items()}
        if type(value) is list:
            return [node.plain() for node in cast("list[MarkedNode]", value)]
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
        """Return the entry of a key, an index, or (in a list) the ``name`` of a mapping."""
        if isinstance(key, str):
            if isinstance(self.value, list):
                return next((n for n in self.entries if n.name == key), None)
            return self.children.get(key)
        return self.entries[key] if 0 <= key < len(self.entries) else None

    @property
    def name(self) -> str:
        """The ``name`` of a mapping; ``""`` if it has none."""
        named = self.children.get("name")
        return named.value if named is not None and isinstance(named.value, str) else ""


class Marks:
    """Source positions of the values of a file, by tuple or dotted path.

    Parameters
    ----------
    root : MarkedNode, or a callable that returns one
        Root of the file; a callable is called on first use, since positions are required only for
        faults.
    """

    __slots__ = ("_root",)

    def __init__(self, root: MarkedNode | Callable[[], MarkedNode] | None = None) -> None:
        self._root = MarkedNode(None) if root is None else root

    @property
    def root(self) -> MarkedNode:
        """Root of the file."""
        if not isinstance(self._root, MarkedNode):
            self._root = self._root()
        return self._root

    def at(self, path: Path | str, *, key: bool = False) -> tuple[int, int]:
        """Return line and column (from 1) of a value, or of its key.

        For a path that does not exist, return the position of its nearest ancestor.
        """
        node = self.node(path)
        if key and node.key_line:
            return node.key_line, node.key_column
        return node.line, node.column

    def file(self, path: Path | str) -> str:
        """Return the file of a value (values of a base are in the base's file)."""
        return self.node(path).file

    def node(self, path: Path | str) -> MarkedNode:
        """Return the node at a path, or its nearest ancestor."""
        node = self.root
        for part in _parts(path):
            child = node.child(part)
            if child is None:
                break
            node = child
        return node

    def has(self, path: Path) -> bool:
        """Return whether the path exists."""
        node: MarkedNode | None = self.root
        for part in path:
            node = node.child(part) if node is not None else None
        return node is not None

    def show(self, path: Path) -> str:
        """Return a dotted path with names instead of list indices: ``memories.dram.bandwidth``."""
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
        """Yield all values with their paths, parents first."""
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
    """Merge `over` into `base`: mappings key by key, lists of named entries by name.

    Other values are replaced. A mapping with a new ``value`` loses the provenance of the old one,
    since the source of the old number does not apply to the new one.
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
        # A bare number that replaces a documented one keeps other entries (an accumulator).
        return merge(base, replace(over, value={"value": over}))
    return over


def _named(entries: Sequence[MarkedNode]) -> bool:
    return bool(entries) and all(node.name for node in entries)


def _parts(path: Path | str) -> Path:
    return tuple(path.split(".")) if isinstance(path, str) and path else tuple(path)
