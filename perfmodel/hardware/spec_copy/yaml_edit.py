"""Edits of the text of a spec file that preserve everything else, including comments.

A copy of a spec keeps the order, the comments and the notes of the original. Values are located by
the positions of YAML nodes and replaced in the text; the file is never dumped anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

import yaml

from perfmodel.source_positions import PROVENANCE
from perfmodel.specfile import reads_as_text

#: Keys of a number that only describe the old value.
_DESCRIBES_OLD_VALUE: Final = frozenset((*PROVENANCE, "value", "clock"))


class SpecText:
    """Text of a spec file with the positions of its values.

    The strict reader has validated the file before; this one only locates values.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._root = cast("yaml.MappingNode", _compose(text))

    def entry(self, section: str, name: str = "") -> yaml.MappingNode | None:
        """Return the mapping of a section, or its entry with a name."""
        pair = _child(self._root, section)
        if pair is None or not name:
            value = pair and pair.value
            return value if isinstance(value, yaml.MappingNode) else None
        listed = isinstance(pair.value, yaml.SequenceNode)
        for entry in cast("list[yaml.Node]", pair.value.value if listed else []):
            named = _child(entry, "name")
            if named is not None and named.value.value == name:
                return cast("yaml.MappingNode", entry)
        return None

    def remove(self, key: str) -> None:
        """Remove a top-level key with its lines."""
        pair = _child(self._root, key)
        if pair is not None:
            start = self._line_start(pair.key.start_mark.index)
            self._apply([(start, self._line_end(_end(pair.value)) + 1, "")])

    def put(self, section: str, key: str, written: str) -> None:
        """Set a top-level key, or a key of a section, to a text in flow style."""
        node = self.entry(section) if section else self._root
        self._apply([self._edit_of_key(node or self._root, key, written)])

    def put_number(
        self, section: str, name: str, path: list[str], value: str, provenance: Mapping[str, str]
    ) -> None:
        """Set a number below an entry with its provenance, preserving its other keys.

        Parameters
        ----------
        section, name
            ``memories`` and ``dram``; empty for the top of the file, or of a section.
        path
            Keys below the entry: ``["peaks", "int8"]``.
        value
            The number with its unit.
        provenance
            ``source``, ``confidence``, ``note`` and further keys of the number.
        """
        parent = (self.entry(section, name) if section else None) or self._root
        *above, key = path
        for position, step in enumerate(above):
            pair = _child(parent, step)
            if pair is None or not isinstance(pair.value, yaml.MappingNode):
                inner = f"{{{key}: {self._number(None, value, provenance)}}}"
                for outer in reversed(above[position + 1 :]):
                    inner = f"{{{outer}: {inner}}}"
                self._apply([self._edit_of_key(parent, step, inner)])
                return
            parent = pair.value
        pair = _child(parent, key)
        written = self._number(pair.value if pair else None, value, provenance)
        self._apply([self._edit_of_key(parent, key, written)])

    def mark_as_estimates(self, origin: str) -> int:
        """Mark every measured or fitted number as carried over from another device.

        Such numbers become ``estimated``, with a note on their former confidence.

        Returns
        -------
        int
            Number of changed confidences, of numbers and of defaults.
        """
        edits: list[tuple[int, int, str]] = []
        marked = 0
        for node in _mappings(self._root):
            stated = _child(node, "confidence")
            if stated is None or stated.value.value not in ("measured", "fitted"):
                continue
            marked += 1
            edits.append((stated.value.start_mark.index, _end(stated.value), "estimated"))
            if _child(node, "value") is None:
                continue  # default of other numbers; noted in the header of the file
            origin_text, note = (
                f"{stated.value.value} on {origin}, carried over",
                _child(node, "note"),
            )
            written = quoted(f"{note.value.value}; {origin_text}" if note else origin_text)
            edits.append(self._edit_of_key(node, "note", written))
        self._apply(edits)
        return marked

    def _edit_of_key(
        self, parent: yaml.MappingNode, key: str, written: str
    ) -> tuple[int, int, str]:
        """Return the edit that sets a key of a mapping to a text in flow style."""
        pair = _child(parent, key)
        if pair is not None:
            return pair.key.end_mark.index, _end(pair.value), f": {written}"
        if parent.flow_style:
            position = parent.end_mark.index - 1
            return position, position, f"{', ' if parent.value else ''}{key}: {written}"
        position = self._line_end(_end(parent))
        column = parent.value[0][0].start_mark.column
        return position, position, f"\n{' ' * column}{key}: {written}"

    def _apply(self, edits: list[tuple[int, int, str]]) -> None:
        for start, end, new in sorted(edits, reverse=True):
            self.text = self.text[:start] + new + self.text[end:]
        self._root = cast("yaml.MappingNode", _compose(self.text))

    def _number(self, node: yaml.Node | None, value: str, provenance: Mapping[str, str]) -> str:
        """Return a number with its provenance as text, keeping the other keys of a node."""
        parts = [f"value: {quoted(value)}"]
        parts += [f"{key}: {quoted(text)}" for key, text in provenance.items()]
        if isinstance(node, yaml.MappingNode):
            for key, child in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
                if key.value not in _DESCRIBES_OLD_VALUE and key.value not in provenance:
                    parts.append(f"{key.value}: {self.text[child.start_mark.index : _end(child)]}")
        return "{" + ", ".join(parts) + "}"

    def _line_start(self, position: int) -> int:
        return self.text.rfind("\n", 0, position) + 1

    def _line_end(self, position: int) -> int:
        end = self.text.find("\n", position)
        return len(self.text) if end < 0 else end


def quoted(text: str) -> str:
    """Return a text as a YAML scalar that reads back unchanged; a bare number remains bare."""
    try:
        float(text)
    except ValueError:
        plain = text.replace("_", "").isalnum() and reads_as_text(text)
        return text if plain else json.dumps(text, ensure_ascii=False)
    return text


def _compose(text: str) -> yaml.Node:
    # Both loaders count characters in their marks; composing executes no constructors.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return cast("Any", yaml).compose(text, Loader=loader)


class _Entry(NamedTuple):
    """A key and its value in a mapping."""

    key: yaml.Node
    value: yaml.Node


def _child(node: yaml.Node, key: str) -> _Entry | None:
    if isinstance(node, yaml.MappingNode):
        for pair in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            if pair[0].value == key:
                return _Entry(*pair)
    return None


def _end(node: yaml.Node) -> int:
    """Return the end index of a value; for a block collection, the end of its last value."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return node.end_mark.index


def _mappings(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    """Yield all mappings of a tree except those of the cited sources."""
    if isinstance(node, yaml.MappingNode):
        yield node
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            if key.value != "sources":
                yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in cast("list[yaml.Node]", node.value):
            yield from _mappings(value)
