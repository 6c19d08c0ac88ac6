"""``base:`` in a spec file: the base's tree below the spec's own, provenance kept apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from perfmodel import units
from perfmodel.errors import Fault, InputError
from perfmodel.hardware.device import Device, EnergyModel, Power
from perfmodel.hardware.engine import Engine, engine_class
from perfmodel.hardware.kernel import kernel_class
from perfmodel.hardware.link import Link
from perfmodel.hardware.memory import Memory, memory_class
from perfmodel.hardware.quantity import Spec
from perfmodel.hardware.runtime import Runtime, Serving
from perfmodel.hardware.structure import get, hierarchy, listed
from perfmodel.hardware.write import dimension_of
from perfmodel.marks import MarkedNode, Marks, merge

_PER_CLOCK = "bandwidth_per_clock"

Finder = Callable[[str], "MarkedNode"]

_OWN = ("name", "base", "aliases", "title", "schema_version", "source", "confidence")
"""Keys of a base that say what it is called, or are pushed down to its numbers."""


def inherited(
    root: MarkedNode, model: type[Spec], find: Finder, chain: tuple[str, ...] = ()
) -> MarkedNode:
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
        raise InputError(
            _fault(base, f"no spec is named '{base.value}'", fault.expected, fault.suggestion)
        ) from None
    if below.name in chain:  # by way of an alias
        circle = " -> ".join([*chain[chain.index(below.name) :], below.name])
        raise InputError(_fault(base, f"specs inherit in a circle: {circle}", "another base"))
    below = settled(inherited(below, model, find, chain), model)
    if model is Device:
        below = _rescaled(below, root)
    kept = {key: node for key, node in below.children.items() if key not in _OWN}
    return merge(replace(below, value=kept), settled(root, model, keep=True))


def _rescaled(below: MarkedNode, root: MarkedNode) -> MarkedNode:
    """``below`` with sustained bandwidths that follow the bandwidths that ``root`` restates.

    What a base measured is a fraction of its theoretical rate; its figure in bytes per second says
    nothing about another rate.
    """
    restated = {
        entry.name: entry.children["bandwidth"]
        for entry in _memories(root)
        if "bandwidth" in entry.children and "sustained_bandwidth" not in entry.children
    }
    changed = [
        _sustained(below, entry, restated[entry.name]) if entry.name in restated else entry
        for entry in _memories(below)
    ]
    if not changed or not restated:
        return below
    memories = replace(below.children["memories"], value=changed)
    return replace(below, value=below.children | {"memories": memories})


def _memories(root: MarkedNode) -> list[MarkedNode]:
    memories = root.children.get("memories")
    return memories.entries if memories is not None else []


def _sustained(below: MarkedNode, memory: MarkedNode, bandwidth: MarkedNode) -> MarkedNode:
    given = memory.children.get("sustained_bandwidth")
    rates = [_rate(node) for node in (given, memory.children.get("bandwidth"), bandwidth)]
    old, theoretical, new = rates
    if given is None or old is None or theoretical is None or new is None or not theoretical[0]:
        return memory  # nothing to follow, or a fault that is reported where it stands
    fraction = old[0] / theoretical[0]
    if old[1] != theoretical[1]:
        clock = _clock(below, memory)
        if clock is None:
            return memory
        fraction *= clock if old[1] == _PER_CLOCK else 1.0 / clock
    if not math.isfinite(new[0] * fraction):
        return memory
    text = units.show(new[0] * fraction, new[1], digits=None)
    content = given.children or {"value": given}
    number = replace(content["value"], value=text)
    said = content["note"].value if "note" in content else None
    note = f"{fraction:.3g} of the theoretical rate, as in the base" + (f"; {said}" if said else "")
    content = content | {"value": number, "note": replace(number, value=note)}
    return replace(
        memory, value=memory.children | {"sustained_bandwidth": replace(given, value=content)}
    )


def _rate(node: MarkedNode | None) -> tuple[float, str] | None:
    """A bandwidth in SI and its dimension; None where it is none."""
    text = node.children["value"].value if node and "value" in node.children else None
    text = node.value if node and text is None else text
    if not isinstance(text, str):
        return None
    dimension = _PER_CLOCK if units.dimension(text) == _PER_CLOCK else "bandwidth"
    try:
        return units.parse(text, dimension), dimension
    except units.UnitError:
        return None


def _clock(root: MarkedNode, memory: MarkedNode) -> float | None:
    """Clock in Hz of the engine that a memory's bandwidth per clock goes by."""
    plain = root.plain()
    by = memory.children.get("clocked_by")
    for engine in listed(plain, "engines"):
        name = str(get(engine, "name"))
        if by.value == name if by is not None else memory.name in hierarchy(plain, name):
            clock = get(engine, "clock")
            text = get(cast("Any", clock), "value") if isinstance(clock, dict) else clock
            try:
                return units.parse(str(text), "frequency") or None
            except units.UnitError:
                return None
    return None


def origins(root: MarkedNode, file: str) -> dict[str, str]:
    """Path of each number that stands in another file -> that file."""
    marks = Marks(root)
    return {
        marks.show(path): node.file
        for path, node in marks.walk()
        if node.file != file and not node.children and not node.entries
    }


def settled(root: MarkedNode, model: type[Spec], keep: bool = False) -> MarkedNode:
    """``root`` with default source and confidence written beside each number.

    Otherwise an heir's defaults would claim the numbers of its base.
    """
    top = _defaults(root)
    content = {k: v for k, v in root.children.items() if keep or k not in ("source", "confidence")}
    sections: dict[str, type[Spec]] = {"serving": Serving} if model is Runtime else {}
    if model is Device:
        sections = {
            "engines": Engine,
            "memories": Memory,
            "links": Link,
            "power": Power,
            "energy": EnergyModel,
        }
    for key, node in list(content.items()):
        if key == "energy" and isinstance(node.value, str):  # its node alone
            node = replace(node, value={"node": node})
        if key in sections and node.entries:
            content[key] = replace(
                node, value=[_entry(e, _class(e, sections[key]), top) for e in node.entries]
            )
        elif key in sections:
            content[key] = _entry(node, sections[key], top)
        elif key == "kernels" and model is Runtime:
            content[key] = replace(
                node,
                value={
                    name: _entry(kernel, kernel_class(kernel.children), top)
                    for name, kernel in node.children.items()
                },
            )
    return replace(root, value=_numbers(content, model, top))


def _class(entry: MarkedNode, model: type[Spec]) -> type[Spec]:
    kind = entry.children.get("kind")
    if model is Engine and kind is not None and isinstance(kind.value, str):
        return engine_class(kind.value) or model
    if model is Memory and kind is not None and isinstance(kind.value, str):
        return memory_class(kind.value) or model
    return model


def _entry(entry: MarkedNode, model: type[Spec], top: dict[str, MarkedNode]) -> MarkedNode:
    if not entry.children:
        return entry
    defaults = top | _defaults(entry)
    content = {k: v for k, v in entry.children.items() if k not in ("source", "confidence")}
    return replace(entry, value=_numbers(content, model, defaults))


def _numbers(
    content: dict[str, MarkedNode], model: type[Spec], defaults: dict[str, MarkedNode]
) -> dict[str, MarkedNode]:
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


def _number(node: MarkedNode, defaults: dict[str, MarkedNode]) -> MarkedNode:
    if node.children:
        return replace(
            node,
            value={
                **node.children,
                **{k: n for k, n in defaults.items() if k not in node.children},
            },
        )
    if node.value is None or not defaults:
        return node
    return replace(node, value={"value": node, **defaults})


def _defaults(node: MarkedNode) -> dict[str, MarkedNode]:
    return {k: node.children[k] for k in ("source", "confidence") if k in node.children}


def _fault(node: MarkedNode, message: str, expected: str = "", suggestion: str = "") -> Fault:
    return Fault(message, "base", node.file, node.line, node.column, expected, suggestion)
