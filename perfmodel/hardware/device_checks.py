"""Consistency checks across the fields of a device: names, roles, memory feeds, sources.

They run both on raw file data (to be reported together with faults of single fields) and on a built
device, so that fields are read by `field_of`, `list_field` and `mapping_field`, which accept
either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, cast

from pydantic import BaseModel

from perfmodel import units
from perfmodel.errors import nearest
from perfmodel.hardware.engine import COMPUTE_FORMATS, engine_class, engine_kinds, is_compute_format
from perfmodel.hardware.memory import memory_class, memory_kinds
from perfmodel.pydantic_faults import Flaw
from perfmodel.source_positions import Path

_RESERVED = ("main",)


def field_of(item: Any, key: str) -> Any:
    """Return a field of a mapping or of a model; None if absent."""
    if isinstance(item, Mapping):
        return cast("Mapping[str, Any]", item).get(key)
    return getattr(item, key, None)


def list_field(item: Any, key: str) -> list[Any]:
    """Return a list field; empty if absent or not a list."""
    value = field_of(item, key)
    return list(cast("Sequence[Any]", value)) if isinstance(value, (list, tuple)) else []


def mapping_field(item: Any, key: str) -> dict[str, Any]:
    """Return a mapping field; empty if absent or not a mapping."""
    value = field_of(item, key)
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else {}


def _entries(device: Any, section: str) -> list[tuple[Path, Any]]:
    """Return (path, entry) of each entry of a section."""
    return [((section, index), entry) for index, entry in enumerate(list_field(device, section))]


def names(item: Any, key: str) -> list[str]:
    """Return the names of the entries of a list field."""
    return [
        name for entry in list_field(item, key) if isinstance(name := field_of(entry, "name"), str)
    ]


def hierarchy(device: Any, engine: str) -> list[str]:
    """Return the names of the memories that feed an engine, nearest first (breadth-first)."""
    feeds = {
        str(field_of(m, "name")): [str(f) for f in list_field(m, "feeds")]
        for m in list_field(device, "memories")
    }
    distance: dict[str, int] = {}
    targets, depth = {engine}, 0
    while targets and depth <= len(feeds):
        feeders = {name for name, fed in feeds.items() if targets.intersection(fed)}
        distance |= dict.fromkeys(feeders, depth)  # the longest path counts
        targets, depth = feeders, depth + 1
    order = list(feeds)
    return sorted(distance, key=lambda name: (distance[name], order.index(name)))


def check_device(device: Any) -> Iterator[Flaw]:
    """Yield every structural flaw of a device (raw mapping or built)."""
    for section in ("engines", "memories", "links"):
        yield from _duplicates(device, section)
    yield from _engines(device)
    for path, memory in _entries(device, "memories"):
        kind = field_of(memory, "kind")
        if isinstance(kind, str) and memory_class(kind) is None:
            yield _unknown((*path, "kind"), "kind of memory", kind, memory_kinds())
    yield from _roles(device)
    yield from _feeds(device)
    yield from _order(device)
    yield from _of_kinds(device)
    yield from _energy(device)
    yield from check_sources(device)


def _duplicates(device: Any, section: str) -> Iterator[Flaw]:
    """Yield duplicate and reserved names of a section."""
    seen: set[str] = set()
    engines = names(device, "engines") if section == "memories" else ()
    for path, entry in _entries(device, section):
        name = field_of(entry, "name")
        if not isinstance(name, str):
            continue
        for known, message, expected in (
            (seen, "is used twice", "each name once"),
            (_RESERVED, "is reserved", "another name"),
            (engines, "is an engine too", "names that differ"),
        ):
            if name in known:
                yield Flaw((*path, "name"), f"'{name}' {message}", expected)
        seen.add(name)


def _engines(device: Any) -> Iterator[Flaw]:
    """Yield unknown default engines, kinds and compute formats."""
    default, known = field_of(device, "default_engine"), names(device, "engines")
    if isinstance(default, str) and default not in known:
        yield _unknown(("default_engine",), "engine", default, known)
    for path, engine in _entries(device, "engines"):
        kind = field_of(engine, "kind")
        if isinstance(kind, str) and engine_class(kind) is None:
            yield _unknown((*path, "kind"), "kind of engine", kind, engine_kinds())
        for field in ("peaks", "vector_peaks", "energy_per_op"):
            for key in mapping_field(engine, field):
                if not is_compute_format(key):
                    message = f"'{key}' is not a compute format"
                    where = (*path, field, key)
                    yield Flaw.no_such(where, message, key, COMPUTE_FORMATS, on_key=True)
        yield from _sparsity(engine, path)


def _sparsity(engine: Any, path: Path) -> Iterator[Flaw]:
    """Yield peaks that leave open whether they are dense, and speed-ups below 1."""
    speedups = mapping_field(engine, "sparse_speedup")
    for key, speedup in speedups.items():
        if isinstance(speedup, (int, float)) and speedup < 1:
            yield Flaw((*path, "sparse_speedup", key), f"{speedup} would slow down", "1 or more")
    for field in ("peaks", "vector_peaks"):
        for key, peak in mapping_field(engine, field).items():
            sparsity = None if isinstance(peak, (str, int, float)) else field_of(peak, "sparsity")
            where = (*path, field, key)
            if sparsity is None:
                if speedups and field == "peaks":
                    message = "does not say dense or sparse, on an engine with a sparse speed-up"
                    yield Flaw(where, message, "sparsity: dense")
            elif sparsity != "dense" and str(sparsity) not in speedups:
                choices = ["dense", *speedups]
                yield Flaw(
                    (*where, "sparsity"),
                    f"the dense peak cannot be told from a '{sparsity}' one",
                    f"dense, or a key of sparse_speedup ({', '.join(speedups) or 'none'})",
                    nearest(str(sparsity), choices),
                )


def _energy(device: Any) -> Iterator[Flaw]:
    """Yield the flaws of the DRAM kinds in ``energy.memories``."""
    kinds = mapping_field(field_of(device, "energy"), "memories")
    if not kinds:
        return
    from perfmodel.hardware.technology.offchip import dram_kinds

    memories = names(device, "memories")
    for name, kind in kinds.items():
        where: Path = ("energy", "memories", name)
        if name not in memories:
            message = f"no memory is named '{name}'"
            yield Flaw.no_such(where, message, name, memories, on_key=True)
        elif isinstance(kind, str) and kind not in dram_kinds():
            yield _unknown(where, "kind of DRAM", kind, dram_kinds())


def _roles(device: Any) -> Iterator[Flaw]:
    """Yield roles that two memories share, or that are names of memories."""
    seen: dict[str, str] = {}
    memories = names(device, "memories")
    for path, memory in _entries(device, "memories"):
        for index, role in enumerate(list_field(memory, "roles")):
            where = (*path, "roles", index)
            if not isinstance(role, str):
                continue
            if role in seen:
                message = f"role '{role}' is taken by '{seen[role]}'"
                yield Flaw(where, message, "each role once")
            elif role in memories and role != field_of(memory, "name"):
                yield Flaw(where, f"role '{role}' is the name of a memory", "another word")
            seen.setdefault(str(role), str(field_of(memory, "name")))


def _feeds(device: Any) -> Iterator[Flaw]:
    """Yield unknown targets of memories, cycles among them, and engines without a memory."""
    engines, memories = names(device, "engines"), names(device, "memories")
    graph: dict[str, list[str]] = {}
    place: dict[str, Path] = {}
    for path, memory in _entries(device, "memories"):
        name = str(field_of(memory, "name"))
        place[name] = (*path, "feeds")
        graph[name] = [str(target) for target in list_field(memory, "feeds")]
        for index, target in enumerate(graph[name]):
            if target not in engines and target not in memories:
                choices = [n for n in (*engines, *memories) if n != name]
                yield _unknown((*place[name], index), "engine or memory", target, choices)
    cycle = _cycle(graph)
    if cycle:
        message = "memories feed each other in a circle: " + " -> ".join(cycle)
        yield Flaw(place[cycle[0]], message, "a hierarchy that ends at an engine")
        return
    broken = not graph or any(
        not targets or not {*targets} <= {*engines, *memories} for targets in graph.values()
    )  # missing feeders would only be a consequence of that
    for path, engine in [] if broken else _entries(device, "engines"):
        name = field_of(engine, "name")
        if isinstance(name, str) and not hierarchy(device, name):
            yield Flaw(path, f"no memory feeds engine '{name}'", "a memory whose feeds name it")
    yield from _clocks(device, place)


def _order(device: Any) -> Iterator[Flaw]:
    """Yield violations of an order between two numbers, such as sustained <= theoretical."""
    for path, memory in _entries(device, "memories"):
        yield from at_most(memory, "sustained_bandwidth", "bandwidth", "bandwidth", path)
        yield from at_most(memory, "unit_bandwidth", "bandwidth", "bandwidth", path)
        yield from at_most(memory, "reserved", "capacity", "bytes", path)
        yield from at_most(memory, "way", "capacity", "bytes", path)
        yield from at_most(memory, "ramp_start", "ramp_end", "bytes", path)
        for field, other in (("ramp_start", "ramp_end"), ("ramp_end", "ramp_start")):
            if field_of(memory, field) is not None and field_of(memory, other) is None:
                yield Flaw((*path, field), f"is given without {other}", "both ends of the ramp")
    power = field_of(device, "power")
    yield from at_most(power, "idle", "busy", "power", ("power",))
    for limit in ("limit", "chip_limit"):
        yield from at_most(power, "ambient", limit, "temperature", ("power",))
    # Device power with one active engine must be between idle and sustained power.
    for path, engine in _entries(device, "engines"):
        drawn = si_value(field_of(engine, "busy_power"), "power")
        for field, above in (("idle", False), ("busy", True)):
            bound = si_value(field_of(power, field), "power")
            if drawn and bound and drawn != bound and (drawn > bound) is above:
                text, limit = (units.show(value, "power") for value in (drawn, bound))
                yield Flaw(
                    (*path, "busy_power"),
                    f"{text} is {'above' if above else 'below'} power.{field}",
                    f"at {'most' if above else 'least'} {limit}",
                )


def _of_kinds(device: Any) -> Iterator[Flaw]:
    """Yield flaws across entries, as checked by ``device_flaws`` of a kind's spec class."""
    for section, class_of in (("engines", engine_class), ("memories", memory_class)):
        for index, entry in enumerate(list_field(device, section)):
            kind = field_of(entry, "kind")
            check = getattr(class_of(kind) if isinstance(kind, str) else None, "device_flaws", None)
            if check is not None:
                yield from check(device, index)


def at_most(item: Any, low: str, high: str, dimension: str, path: Path) -> Iterator[Flaw]:
    """Yield a flaw if the number `low` of an entry is above the number `high`."""
    least = si_value(field_of(item, low), dimension)
    most = None if least is None else si_value(field_of(item, high), dimension)
    if least is not None and most is not None and least > most > 0:
        text = units.show(least, dimension)
        yield Flaw(
            (*path, low), f"{text} is above {high}", f"at most {units.show(most, dimension)}"
        )


def si_value(stated: Any, dimension: str) -> float | None:
    """Return the SI value of a raw or built number; None if absent, per clock or invalid."""
    if stated is None or _per_clock(stated):
        return None
    if isinstance(stated, BaseModel):
        return field_of(stated, "value")
    text = field_of(stated, "value") if isinstance(stated, Mapping) else stated
    if dimension == "count" and isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    try:
        return units.parse(text, dimension) if isinstance(text, str) else None
    except units.UnitError:
        return None


def _clocks(device: Any, place: Mapping[str, Path]) -> Iterator[Flaw]:
    """Yield bandwidths per clock without exactly one engine that has a clock."""
    engines = {str(field_of(e, "name")): e for e in list_field(device, "engines")}
    for memory in list_field(device, "memories"):
        name = str(field_of(memory, "name"))
        clocked_by = field_of(memory, "clocked_by")
        base = place[name][:-1]
        if isinstance(clocked_by, str) and clocked_by not in engines:
            yield _unknown((*base, "clocked_by"), "engine", clocked_by, list(engines))
            continue
        for field in ("bandwidth", "sustained_bandwidth", "unit_bandwidth"):
            if not _per_clock(field_of(memory, field)):
                continue
            fed = [e for e in sorted(engines) if name in hierarchy(device, e)]
            fed = [clocked_by] if clocked_by else fed
            if len(fed) > 1:
                message = f"per clock of which engine? it feeds {', '.join(fed)}"
                yield Flaw((*base, field), message, f"clocked_by: {fed[0]}")
            elif fed and field_of(engines[fed[0]], "clock") is None:
                message = f"is per clock, but engine '{fed[0]}' has no clock"
                yield Flaw((*base, field), message, "a clock there, or B/s here")


def _per_clock(bandwidth: Any) -> bool:
    if isinstance(bandwidth, BaseModel):
        return bool(field_of(bandwidth, "per_clock"))
    text = bandwidth if isinstance(bandwidth, str) else field_of(bandwidth, "value")
    return isinstance(text, str) and text.rstrip().endswith(("/clock", "/cycle"))


def _cycle(feeds: Mapping[str, list[str]]) -> list[str]:
    """Return the names along a cycle, the first repeated at the end; empty if there is none."""
    try:
        TopologicalSorter(feeds).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1][:0:-1]  # each feeds the next
        first = circle.index(next(name for name in feeds if name in circle))
        return [*circle[first:], *circle[: first + 1]]
    return []


def check_sources(spec: Any) -> Iterator[Flaw]:
    """Yield every ``source`` that does not name an entry of ``sources``."""
    known = list(mapping_field(spec, "sources"))
    for path, key in _cited(spec, ()):
        if key not in known:
            yield _unknown((*path, "source"), "entry of sources", key, known)


def _cited(item: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the path and key of every ``source``, at any depth."""
    fields: Iterable[tuple[str, Any]] = ()
    if isinstance(item, Mapping):
        fields = cast("Mapping[str, Any]", item).items()
    elif isinstance(item, BaseModel):
        fields = item
    elif isinstance(item, (list, tuple)):
        for index, entry in enumerate(cast("Sequence[Any]", item)):
            yield from _cited(entry, (*path, index))
    for key, value in fields:
        if key == "source":
            if isinstance(value, str):
                yield path, value
        elif not isinstance(value, str | float | int | None) and not (
            path == () and key == "sources"
        ):
            yield from _cited(value, (*path, key))


def _unknown(path: Path, noun: str, name: str, known: Sequence[str]) -> Flaw:
    return Flaw.no_such(path, f"no {noun} is named '{name}'", name, known)
