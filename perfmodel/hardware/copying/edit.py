"""Changes to the text of a spec file that leave everything else, comments too, as it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import yaml

from perfmodel.marks import PROVENANCE
from perfmodel.specfile import reads_as_text

#: Keys of a number that describe the old value alone.
_OF_THE_OLD: Final = frozenset((*PROVENANCE, "value", "clock"))


class SpecText:
    """A spec file as text, and the places of its values.

    The file has been read by the strict reader before: this one finds places alone.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._root = cast("yaml.MappingNode", _compose(text))

    def entry(self, section: str, name: str = "") -> yaml.MappingNode | None:
        """The mapping of a section, or its entry with a name."""
        found = _child(self._root, section)
        if found is None or not name:
            return found[1] if found and isinstance(found[1], yaml.MappingNode) else None
        listed = isinstance(found[1], yaml.SequenceNode)
        for entry in cast("list[yaml.Node]", found[1].value if listed else []):
            named = _child(entry, "name")
            if named is not None and named[1].value == name:
                return cast("yaml.MappingNode", entry)
        return None

    def remove(self, key: str) -> None:
        """Take a key of the top out, with the lines that it stands on."""
        found = _child(self._root, key)
        if found is not None:
            start = self._line_start(found[0].start_mark.index)
            self._apply([(start, self._line_end(_end(found[1])) + 1, "")])

    def put(self, section: str, key: str, written: str) -> None:
        """Set a key of the top, or of a section, to a text in flow style."""
        node = self.entry(section) if section else self._root
        self._apply([self._placed(node or self._root, key, written)])

    def put_number(
        self, section: str, name: str, path: list[str], value: str, said: Mapping[str, str]
    ) -> None:
        """Set a number below an entry, with where it is from; other keys of it are kept.

        Parameters
        ----------
        section, name
            ``memories`` and ``dram``; the top of the file, or of a section, where empty.
        path
            Keys below the entry: ``["peaks", "int8"]``.
        value
            The number with its unit.
        said
            ``source``, ``confidence``, ``note`` and further keys of the number.
        """
        parent = (self.entry(section, name) if section else None) or self._root
        *above, key = path
        for at, step in enumerate(above):
            found = _child(parent, step)
            if found is None or not isinstance(found[1], yaml.MappingNode):
                inner = f"{{{key}: {self._number(None, value, said)}}}"
                for outer in reversed(above[at + 1 :]):
                    inner = f"{{{outer}: {inner}}}"
                self._apply([self._placed(parent, step, inner)])
                return
            parent = found[1]
        found = _child(parent, key)
        written = self._number(found[1] if found else None, value, said)
        self._apply([self._placed(parent, key, written)])

    def lower(self, origin: str) -> int:
        """Mark every measured or fitted number as carried over from another device.

        Such numbers become ``estimated``, with a note that says what they were.

        Returns
        -------
        int
            How many numbers, and defaults of numbers, said so.
        """
        edits: list[tuple[int, int, str]] = []
        marked = 0
        for node in _mappings(self._root):
            stated = _child(node, "confidence")
            if stated is None or stated[1].value not in ("measured", "fitted"):
                continue
            marked += 1
            edits.append((stated[1].start_mark.index, _end(stated[1]), "estimated"))
            if _child(node, "value") is None:
                continue  # a default of other numbers: the head of the file says it
            said, note = f"{stated[1].value} on {origin}, carried over", _child(node, "note")
            written = quoted(f"{note[1].value}; {said}" if note else said)
            edits.append(self._placed(node, "note", written))
        self._apply(edits)
        return marked

    def _placed(self, parent: yaml.MappingNode, key: str, written: str) -> tuple[int, int, str]:
        """The edit that sets a key of a mapping to a text in flow style."""
        found = _child(parent, key)
        if found is not None:
            return found[0].end_mark.index, _end(found[1]), f": {written}"
        if parent.flow_style:
            at = parent.end_mark.index - 1
            return at, at, f"{', ' if parent.value else ''}{key}: {written}"
        at = self._line_end(_end(parent))
        column = parent.value[0][0].start_mark.column
        return at, at, f"\n{' ' * column}{key}: {written}"

    def _apply(self, edits: list[tuple[int, int, str]]) -> None:
        for start, end, new in sorted(edits, reverse=True):
            self.text = self.text[:start] + new + self.text[end:]
        self._root = cast("yaml.MappingNode", _compose(self.text))

    def _number(self, node: yaml.Node | None, value: str, said: Mapping[str, str]) -> str:
        parts = [f"value: {quoted(value)}"]
        parts += [f"{key}: {quoted(text)}" for key, text in said.items()]
        if isinstance(node, yaml.MappingNode):
            for key, kept in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
                if key.value not in _OF_THE_OLD and key.value not in said:
                    parts.append(f"{key.value}: {self.text[kept.start_mark.index : _end(kept)]}")
        return "{" + ", ".join(parts) + "}"

    def _line_start(self, at: int) -> int:
        return self.text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        found = self.text.find("\n", at)
        return len(self.text) if found < 0 else found


def quoted(text: str) -> str:
    """A text as a scalar that reads back as itself; a bare number stays bare."""
    try:
        float(text)
    except ValueError:
        plain = text.replace("_", "").isalnum() and reads_as_text(text)
        return text if plain else json.dumps(text, ensure_ascii=False)
    return text


def _compose(text: str) -> yaml.Node:
    # Both loaders count characters in their marks; composing runs no code of a file.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return cast("Any", yaml).compose(text, Loader=loader)


def _child(node: yaml.Node, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for pair in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            if pair[0].value == key:
                return pair
    return None


def _end(node: yaml.Node) -> int:
    """Where a value ends; that of a block collection is the end of its last value."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return node.end_mark.index


def _mappings(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            if key.value != "sources":
                yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in cast("list[yaml.Node]", node.value):
            yield from _mappings(value)
