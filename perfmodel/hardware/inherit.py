"""``base:`` in a spec file: the base's tree below the spec's own, provenance kept apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from perfmodel.errors import Fault, InputError
from perfmodel.hardware.device import Device, Power
from perfmodel.hardware.engine import Engine, engine_class
from perfmodel.hardware.link import Link
from perfmodel.hardware.memory import Memory
from perfmodel.hardware.quantity import Spec
from perfmodel.hardware.write import dimension_of
from perfmodel.marks import Marks, Node, merge

__all__ = ["inherited"]

Finder = Callable[[str], "Node"]

_OWN = ("name", "base", "aliases", "title", "schema_version", "source", "confidence")
"""Keys of a base that say what it is called, or are pushed down to its numbers."""


def inherited(root: Node, model: type[Spec], find: Finder, chain: tuple[str, ...] = ()) -> Node:
    """The tree of a spec with its bases merged in.

    Parameters
    ----------
    root : Node
        The spec as read.
    model : type
        Device or Runtime.
    find : callable
        Name of a spec -> its tree; raises InputError where there is none.
    chain : tuple of str
        Names on the way here, to find circles.

    Raises
    ------
    InputError
        For a missing base, a base that is no name, or bases in a circle.
    """
    base = root.children.get("base")
    if base is None:
        return root
    if not isinstance(base.value, str):
        raise InputError(_fault(base, "base is not a name", "the name of another spec"))
    chain = (*chain, root.name)
    if base.value in chain:
        circle = " -> ".join([*chain[chain.index(base.value) :], base.value])
        raise InputError(_fault(base, f"specs inherit in a circle: {circle}", "another base"))
    try:
        below = find(base.value)
    except InputError as error:
        fault = error.faults[0]
        if fault.file and fault.line:  # the base exists and is itself at fault
            raise
        raise InputError(_fault(base, f"no spec is named '{base.value}'", fault.expected,
                                fault.suggestion)) from None  # fmt: skip
    if below.name in chain:  # by way of an alias
        circle = " -> ".join([*chain[chain.index(below.name) :], below.name])
        raise InputError(_fault(base, f"specs inherit in a circle: {circle}", "another base"))
    below = settled(inherited(below, model, find, chain), model)
    kept = {key: node for key, node in below.children.items() if key not in _OWN}
    return merge(replace(below, value=kept), settled(root, model, keep=True))


def origins(root: Node, file: str) -> dict[str, str]:
    """Path of each number that stands in another file -> that file."""
    marks = Marks(root)
    return {
        marks.show(path): node.file
        for path, node in marks.walk()
        if node.file != file and not node.children and not node.entries
    }


def settled(root: Node, model: type[Spec], keep: bool = False) -> Node:
    """``root`` with default source and confidence written beside each number.

    Otherwise an heir's defaults would claim the numbers of its base.
    """
    top = _defaults(root)
    content = {k: v for k, v in root.children.items() if keep or k not in ("source", "confidence")}
    sections: dict[str, type[Spec]] = {}
    if model is Device:
        sections = {"engines": Engine, "memories": Memory, "links": Link, "power": Power}
    for key, node in list(content.items()):
        if key in sections and node.entries:
            content[key] = replace(
                node, value=[_entry(e, _class(e, sections[key]), top) for e in node.entries]
            )
        elif key in sections:
            content[key] = _entry(node, sections[key], top)
    return replace(root, value=_numbers(content, model, top))


def _class(entry: Node, model: type[Spec]) -> type[Spec]:
    kind = entry.children.get("kind")
    if model is Engine and kind is not None and isinstance(kind.value, str):
        return engine_class(kind.value) or model
    return model


def _entry(entry: Node, model: type[Spec], top: dict[str, Node]) -> Node:
    if not entry.children:
        return entry
    defaults = top | _defaults(entry)
    content = {k: v for k, v in entry.children.items() if k not in ("source", "confidence")}
    return replace(entry, value=_numbers(content, model, defaults))


def _numbers(
    content: dict[str, Node], model: type[Spec], defaults: dict[str, Node]
) -> dict[str, Node]:
    for key, node in content.items():
        info = model.model_fields.get(key)
        if info is None or not dimension_of(info):
            continue
        if node.children and "value" not in node.children:  # a mapping of numbers
            inner = {k: _number(n, defaults) for k, n in node.children.items()}
            content[key] = replace(node, value=inner)
        else:
            content[key] = _number(node, defaults)
    return content


def _number(node: Node, defaults: dict[str, Node]) -> Node:
    if node.children:
        return replace(node, value={**node.children, **{k: n for k, n in defaults.items()
                                                        if k not in node.children}})  # fmt: skip
    if node.value is None or not defaults:
        return node
    return replace(node, value={"value": node, **defaults})


def _defaults(node: Node) -> dict[str, Node]:
    return {k: node.children[k] for k in ("source", "confidence") if k in node.children}


def _fault(node: Node, message: str, expected: str = "", suggestion: str = "") -> Fault:
    return Fault(message, "base", node.file, node.line, node.column, expected, suggestion)
