"""Inheritance of specs (``base:``): merges a spec over its base, keeping each number's source.

`merge_bases` works on the tree of a file before validation (`perfmodel.source_positions.merge`).
The default source and confidence of each spec are first written to its own numbers, since those of
the heir do not apply to inherited numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from pydantic_core import PydanticCustomError

from perfmodel import units
from perfmodel.errors import Fault, InputError
from perfmodel.hardware.device import Device, EnergyModel, Power, SiteSpec, UseSpec
from perfmodel.hardware.device_checks import field_of, hierarchy, list_field, si_value
from perfmodel.hardware.engine import Engine, engine_class
from perfmodel.hardware.kernel import Kernel, kernel_class
from perfmodel.hardware.link import Link
from perfmodel.hardware.memory import Memory, memory_class
from perfmodel.hardware.quantity import Of, Rate, Spec
from perfmodel.hardware.runtime import Runtime, Serving
from perfmodel.hardware.spec_yaml import dimension_of
from perfmodel.source_positions import MarkedNode, Marks, merge

_BANDWIDTH: Final = Of("bandwidth", positive=True, per_clock=True)
#: Spec class -> section -> class of its entries.
_SECTIONS: Final[Mapping[type[Spec], Mapping[str, type[Spec]]]] = {
    Device: {
        "engines": Engine,
        "memories": Memory,
        "links": Link,
        "power": Power,
        "energy": EnergyModel,
        "site": SiteSpec,
        "use": UseSpec,
    },
    Runtime: {"serving": Serving, "kernels": Kernel},
}

Finder = Callable[[str], "MarkedNode"]

_NOT_INHERITED = (
    *("name", "base", "aliases", "title", "schema_version", "source", "confidence"),
    *("price", "volume", "operating_points"),
)
"""Keys of a base that are not inherited: its names, defaults that its numbers have been given, what
the product costs and how many are made, and its modes (``power.voltage``, ``power.sleep``), since
an heir is another product."""


def merge_bases(
    root: MarkedNode, model: type[Spec], find: Finder, chain: tuple[str, ...] = ()
) -> MarkedNode:
    """Return the tree of a spec with its bases merged in.

    Parameters
    ----------
    root : MarkedNode
        The spec as read.
    model : type
        Device or Runtime.
    find : callable
        Name of a spec -> its tree; raises InputError for an unknown name.
    chain : tuple of str
        Names of the heirs visited so far, for cycle detection.

    Raises
    ------
    InputError
        A missing base, a base that is not a name, or a cycle of bases.
    """
    base = root.children.get("base")
    if base is None:
        return root
    if not isinstance(base.value, str):
        raise InputError(_fault(base, "base is not a name", "the name of another spec"))
    chain = (*chain, root.name)
    if base.value in chain:
        raise InputError(_cycle_fault(base, chain, base.value))
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
        raise InputError(_cycle_fault(base, chain, below.name))
    below = with_own_defaults(merge_bases(below, model, find, chain), model)
    if model is Device:
        below = _rescaled(below, root)
    heritable = {key: node for key, node in below.children.items() if key not in _NOT_INHERITED}
    if power := heritable.get("power"):
        own = {key: node for key, node in power.children.items() if key not in ("voltage", "sleep")}
        heritable["power"] = replace(power, value=own)
    return merge(replace(below, value=heritable), with_own_defaults(root, model, keep=True))


def _rescaled(below: MarkedNode, root: MarkedNode) -> MarkedNode:
    """Return `below` with the numbers rescaled that are proportional to one that `root` restates.

    The peaks of an engine are proportional to its clock and units. Of a memory the sustained
    fraction of the base's theoretical bandwidth is inherited, not the figure in B/s:
    ``sustained = new_bandwidth * base_sustained / base_bandwidth``.
    """
    content = dict(below.children)
    for section, rescale in (("engines", _peaks), ("memories", _sustained)):
        heirs, bases = root.children.get(section), content.get(section)
        if heirs is None or bases is None:
            continue
        restated = {entry.name: entry for entry in heirs.entries}
        entries = [
            rescale(below, entry, restated[entry.name]) if entry.name in restated else entry
            for entry in bases.entries
        ]
        if entries:
            content[section] = replace(bases, value=entries)
    return replace(below, value=content)


def _peaks(_: MarkedNode, engine: MarkedNode, heir: MarkedNode) -> MarkedNode:
    """Return an engine with its peaks rescaled to the clock and units that its heir restates."""
    growth = {
        field: _ratio(heir.children.get(field), engine.children.get(field), dimension)
        for field, dimension in (("units", "count"), ("clock", "frequency"))
    }
    if {"peaks", "kind"} & heir.children.keys() or set(growth.values()) == {1.0}:
        return engine  # stated, or another engine of that name
    content = dict(engine.children)
    for name in ("peaks", "vector_peaks"):
        if name in content and name not in heir.children:
            peaks = {key: _grown(peak, growth) for key, peak in content[name].children.items()}
            content[name] = replace(content[name], value=peaks)
    return replace(engine, value=content)


def _ratio(new: MarkedNode | None, old: MarkedNode | None, dimension: str) -> float:
    """Return the ratio of two stated numbers; 1 if either is missing or invalid."""
    values = [node and si_value(node.plain(), dimension) for node in (new, old)]
    return values[0] / values[1] if values[0] and values[1] else 1.0


def _grown(peak: MarkedNode, growth: Mapping[str, float]) -> MarkedNode:
    """Return a peak times the growth of its engine; one with a clock of its own follows that."""
    rate = si_value(peak.plain(), "compute")
    if rate is None:
        return peak
    content = peak.children or {"value": peak}
    number, unit = content["value"], "FLOP/s" if "FLOP" in str(content["value"].value) else "OP/s"
    rate *= growth["units"] * (1.0 if "clock" in content else growth["clock"])
    text = units.show(rate, "compute", digits=None, unit=unit)
    note = replace(number, value="the base's, by clock and units")
    return replace(peak, value={**content, "value": replace(number, value=text), "note": note})


def _sustained(below: MarkedNode, memory: MarkedNode, heir: MarkedNode) -> MarkedNode:
    """Return a memory with its sustained bandwidth rescaled to the one that its heir restates."""
    stated = memory.children.get("sustained_bandwidth")
    theoretical, new = (_rate(entry.children.get("bandwidth")) for entry in (memory, heir))
    old = _rate(stated)
    if stated is None or "sustained_bandwidth" in heir.children:
        return memory
    if old is None or theoretical is None or new is None:
        return memory  # nothing to rescale, or a fault that validation reports
    fraction = old.value / theoretical.value
    if old.per_clock != theoretical.per_clock:
        clock = _clock(below, memory)
        if clock is None:
            return memory
        fraction *= clock if old.per_clock else 1.0 / clock
    if not math.isfinite(new.value * fraction):
        return memory
    dimension = "bandwidth_per_clock" if new.per_clock else "bandwidth"
    text = units.show(new.value * fraction, dimension, digits=None)
    content = stated.children or {"value": stated}
    number = replace(content["value"], value=text)
    base_note = content["note"].value if "note" in content else None
    note = f"{fraction:.3g} of the theoretical rate, as in the base"
    note += f"; {base_note}" if base_note else ""
    content = content | {"value": number, "note": replace(number, value=note)}
    return replace(
        memory, value=memory.children | {"sustained_bandwidth": replace(stated, value=content)}
    )


def _rate(node: MarkedNode | None) -> Rate | None:
    """Return a bandwidth node as a `Rate`; None if it is not a valid bandwidth."""
    text = None if node is None else node.children.get("value", node).value
    if not isinstance(text, str):
        return None
    try:
        return Rate(**_BANDWIDTH.convert(text, from_file=True))
    except PydanticCustomError:
        return None


def _clock(root: MarkedNode, memory: MarkedNode) -> float | None:
    """Return the clock, in Hz, that applies to a memory's bandwidth per clock."""
    plain = root.plain()
    by = memory.children.get("clocked_by")
    for engine in list_field(plain, "engines"):
        name = str(field_of(engine, "name"))
        if by.value == name if by is not None else memory.name in hierarchy(plain, name):
            return si_value(field_of(engine, "clock"), "frequency") or None
    return None


def origins(root: MarkedNode, file: str) -> dict[str, str]:
    """Return path -> file for each number that is stated in another file."""
    marks = Marks(root)
    return {
        marks.show(path): node.file
        for path, node in marks.walk()
        if node.file != file and not node.children and not node.entries
    }


def with_own_defaults(root: MarkedNode, model: type[Spec], keep: bool = False) -> MarkedNode:
    """Return `root` with its default source and confidence attached to each number.

    Otherwise an heir's defaults would apply to the numbers of its base.
    """
    top = _defaults(root)
    content = {k: v for k, v in root.children.items() if keep or k not in ("source", "confidence")}
    for key, node in list(content.items()):
        section = _SECTIONS[model].get(key)
        if section is None:
            continue
        if key == "energy" and isinstance(node.value, str):  # short form: the node only
            content[key] = _entry(replace(node, value={"node": node}), section, top)
        elif node.entries:
            entries = [_entry(e, _class(e, section), top) for e in node.entries]
            content[key] = replace(node, value=entries)
        elif section is Kernel:
            kernels = {
                name: _entry(kernel, kernel_class(kernel.children), top)
                for name, kernel in node.children.items()
            }
            content[key] = replace(node, value=kernels)
        else:
            content[key] = _entry(node, section, top)
    return replace(root, value=_numbers(content, model, top))


def _class(entry: MarkedNode, model: type[Spec]) -> type[Spec]:
    """Return the spec class that the kind of an entry selects; `model` if it has none."""
    kind = entry.children.get("kind")
    readers: Mapping[type[Spec], Callable[[str], type[Spec] | None]]
    readers = {Engine: engine_class, Memory: memory_class}
    class_of = readers.get(model)
    if class_of is None or kind is None or not isinstance(kind.value, str):
        return model
    return class_of(kind.value) or model


def _entry(entry: MarkedNode, model: type[Spec], top: dict[str, MarkedNode]) -> MarkedNode:
    if not entry.children:
        return entry
    defaults = top | _defaults(entry)
    content = {k: v for k, v in entry.children.items() if k not in ("source", "confidence")}
    return replace(entry, value=_numbers(content, model, defaults))


def _numbers(
    content: dict[str, MarkedNode], model: type[Spec], defaults: dict[str, MarkedNode]
) -> dict[str, MarkedNode]:
    """Return the content of an entry with default source and confidence at each number."""
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
        return replace(node, value=node.children | {**defaults, **node.children})
    if node.value is None or not defaults:
        return node
    return replace(node, value={"value": node, **defaults})


def _defaults(node: MarkedNode) -> dict[str, MarkedNode]:
    return {k: node.children[k] for k in ("source", "confidence") if k in node.children}


def _fault(node: MarkedNode, message: str, expected: str = "", suggestion: str = "") -> Fault:
    return Fault(message, "base", node.file, node.line, node.column, expected, suggestion)


def _cycle_fault(base: MarkedNode, chain: tuple[str, ...], name: str) -> Fault:
    circle = " -> ".join([*chain[chain.index(name) :], name])
    return _fault(base, f"specs inherit in a circle: {circle}", "another base")
