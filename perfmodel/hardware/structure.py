"""Consistency checks across the fields of a device: names, roles, memory feeds, sources.

They run both on raw file data (to be reported together with faults of single fields) and on a built
device, hence the tolerant access.
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
from perfmodel.marks import Path
from perfmodel.pydantic_faults import Flaw

_RESERVED = ("main",)


def get(item: Any, key: str) -> Any:
    """Return a field of a mapping or of a model; None if absent."""
    if isinstance(item, Mapping):
        return cast("Mapping[str, Any]", item).get(key)
    return getattr(item, key, None)


def listed(item: Any, key: str) -> list[Any]:
    """Return a list field; empty if absent or not a list."""
    value = get(item, key)
    return list(cast("Sequence[Any]", value)) if isinstance(value, (list, tuple)) else []


def mapped(item: Any, key: str) -> dict[str, Any]:
    """Return a mapping field; empty if absent or not a mapping."""
    value = get(item, key)
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else {}


def _entries(device: Any, section: str) -> list[tuple[Path, Any]]:
    """Return (path, entry) of each entry of a section."""
    return [((section, index), entry) for index, entry in enumerate(listed(device, section))]


def names(item: Any, key: str) -> list[str]:
    """Return the names of the entries of a list field."""
    return [name for entry in listed(item, key) if isinstance(name := get(entry, "name"), str)]


def hierarchy(device: Any, engine: str) -> list[str]:
    """Return the names of the memories that feed an engine, nearest first (breadth-first)."""
    feeds = {
        str(get(m, "name")): [str(f) for f in listed(m, "feeds")]
        for m in listed(device, "memories")
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
    for at, memory in _entries(device, "memories"):
        kind = get(memory, "kind")
        if isinstance(kind, str) and memory_class(kind) is None:
            yield _unknown((*at, "kind"), "kind of memory", kind, memory_kinds())
    yield from _roles(device)
    yield from _feeds(device)
    yield from _order(device)
    yield from _of_kinds(device)
    yield from _energy(device)
    yield from check_sources(device)


def _duplicates(device: Any, section: str) -> Iterator[Flaw]:
    seen: set[str] = set()
    engines = names(device, "engines") if section == "memories" else ()
    for at, entry in _entries(device, section):
        name = get(entry, "name")
        if not isinstance(name, str):
            continue
        for known, message, expected in (
            (seen, "is used twice", "each name once"),
            (_RESERVED, "is reserved", "another name"),
            (engines, "is an engine too", "names that differ"),
        ):
            if name in known:
                yield Flaw((*at, "name"), f"'{name}' {message}", expected)
        seen.add(name)


def _engines(device: Any) -> Iterator[Flaw]:
    default, known = get(device, "default_engine"), names(device, "engines")
    if isinstance(default, str) and default not in known:
        yield _unknown(("default_engine",), "engine", default, known)
    for path, engine in _entries(device, "engines"):
        kind = get(engine, "kind")
        if isinstance(kind, str) and engine_class(kind) is None:
            yield _unknown((*path, "kind"), "kind of engine", kind, engine_kinds())
        for field in ("peaks", "vector_peaks", "energy_per_op"):
            for key in mapped(engine, field):
                if not is_compute_format(key):
                    message = f"'{key}' is not a compute format"
                    where = (*path, field, key)
                    yield Flaw.no_such(where, message, key, COMPUTE_FORMATS, on_key=True)
        yield from _sparsity(engine, path)


def _sparsity(engine: Any, path: Path) -> Iterator[Flaw]:
    speedups = mapped(engine, "sparse_speedup")
    for key, speedup in speedups.items():
        if isinstance(speedup, (int, float)) and speedup < 1:
            yield Flaw((*path, "sparse_speedup", key), f"{speedup} would slow down", "1 or more")
    for field in ("peaks", "vector_peaks"):
        for key, peak in mapped(engine, field).items():
            sparsity = None if isinstance(peak, (str, int, float)) else get(peak, "sparsity")
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
    kinds = mapped(get(device, "energy"), "memories")
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
    seen: dict[str, str] = {}
    memories = names(device, "memories")
    for at, memory in _entries(device, "memories"):
        for index, role in enumerate(listed(memory, "roles")):
            where = (*at, "roles", index)
            if not isinstance(role, str):
                continue
            if role in seen:
                message = f"role '{role}' is taken by '{seen[role]}'"
                yield Flaw(where, message, "each role once")
            elif role in memories and role != get(memory, "name"):
                yield Flaw(where, f"role '{role}' is the name of a memory", "another word")
            seen.setdefault(str(role), str(get(memory, "name")))


def _feeds(device: Any) -> Iterator[Flaw]:
    engines, memories = names(device, "engines"), names(device, "memories")
    graph: dict[str, list[str]] = {}
    place: dict[str, Path] = {}
    for at, memory in _entries(device, "memories"):
        name = str(get(memory, "name"))
        place[name] = (*at, "feeds")
        graph[name] = [str(target) for target in listed(memory, "feeds")]
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
    for at, engine in [] if broken else _entries(device, "engines"):
        name = get(engine, "name")
        if isinstance(name, str) and not hierarchy(device, name):
            yield Flaw(at, f"no memory feeds engine '{name}'", "a memory whose feeds name it")
    yield from _clocks(device, place)


def _order(device: Any) -> Iterator[Flaw]:
    """Yield violations of an order between two numbers, such as sustained <= theoretical."""
    for at, memory in _entries(device, "memories"):
        yield from at_most(memory, "sustained_bandwidth", "bandwidth", "bandwidth", at)
        yield from at_most(memory, "unit_bandwidth", "bandwidth", "bandwidth", at)
        yield from at_most(memory, "reserved", "capacity", "bytes", at)
        yield from at_most(memory, "way", "capacity", "bytes", at)
        yield from at_most(memory, "ramp_start", "ramp_end", "bytes", at)
        for field, other in (("ramp_start", "ramp_end"), ("ramp_end", "ramp_start")):
            if get(memory, field) is not None and get(memory, other) is None:
                yield Flaw((*at, field), f"is given without {other}", "both ends of the ramp")
    power = get(device, "power")
    yield from at_most(power, "idle", "busy", "power", ("power",))
    yield from at_most(power, "ambient", "limit", "temperature", ("power",))
    # Device power with one active engine must be between idle and sustained power.
    for at, engine in _entries(device, "engines"):
        drawn = number(get(engine, "busy_power"), "power")
        for field, above in (("idle", False), ("busy", True)):
            bound = number(get(power, field), "power")
            if drawn and bound and drawn != bound and (drawn > bound) is above:
                text, limit = (units.show(value, "power") for value in (drawn, bound))
                yield Flaw(
                    (*at, "busy_power"),
                    f"{text} is {'above' if above else 'below'} power.{field}",
                    f"at {'most' if above else 'least'} {limit}",
                )


def _of_kinds(device: Any) -> Iterator[Flaw]:
    """Yield flaws across entries, as checked by ``device_flaws`` of a kind's spec class."""
    for section, class_of in (("engines", engine_class), ("memories", memory_class)):
        for index, entry in enumerate(listed(device, section)):
            kind = get(entry, "kind")
            check = getattr(class_of(kind) if isinstance(kind, str) else None, "device_flaws", None)
            if check is not None:
                yield from check(device, index)


def at_most(item: Any, low: str, high: str, dimension: str, at: Path) -> Iterator[Flaw]:
    """Yield a flaw if the number `low` of an entry is above the number `high`."""
    least, most = number(get(item, low), dimension), number(get(item, high), dimension)
    if least is not None and most is not None and least > most > 0:
        text = units.show(least, dimension)
        yield Flaw((*at, low), f"{text} is above {high}", f"at most {units.show(most, dimension)}")


def number(stated: Any, dimension: str) -> float | None:
    """Return the SI value of a raw or built number; None if absent, per clock or invalid."""
    if isinstance(stated, BaseModel):
        return None if get(stated, "per_clock") else get(stated, "value")
    text = get(stated, "value") if isinstance(stated, Mapping) else stated
    if dimension == "count" and isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    try:
        return units.parse(text, dimension) if isinstance(text, str) else None
    except units.UnitError:
        return None


def _clocks(device: Any, place: Mapping[str, Path]) -> Iterator[Flaw]:
    """Yield bandwidths per clock without exactly one engine that has a clock."""
    engines = {str(get(e, "name")): e for e in listed(device, "engines")}
    for memory in listed(device, "memories"):
        name = str(get(memory, "name"))
        clocked_by = get(memory, "clocked_by")
        base = place[name][:-1]
        if isinstance(clocked_by, str) and clocked_by not in engines:
            yield _unknown((*base, "clocked_by"), "engine", clocked_by, list(engines))
            continue
        for field in ("bandwidth", "sustained_bandwidth", "unit_bandwidth"):
            if not _per_clock(get(memory, field)):
                continue
            fed = [e for e in sorted(engines) if name in hierarchy(device, e)]
            fed = [clocked_by] if clocked_by else fed
            if len(fed) > 1:
                message = f"per clock of which engine? it feeds {', '.join(fed)}"
                yield Flaw((*base, field), message, f"clocked_by: {fed[0]}")
            elif fed and get(engines[fed[0]], "clock") is None:
                message = f"is per clock, but engine '{fed[0]}' has no clock"
                yield Flaw((*base, field), message, "a clock there, or B/s here")


def _per_clock(bandwidth: Any) -> bool:
    if isinstance(bandwidth, BaseModel):
        return bool(get(bandwidth, "per_clock"))
    text = bandwidth if isinstance(bandwidth, str) else get(bandwidth, "value")
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
    known = list(mapped(spec, "sources"))
    for path, key in _cited(spec, ()):
        if key not in known:
            yield _unknown((*path, "source"), "entry of sources", key, known)


def _cited(item: Any, path: Path) -> Iterator[tuple[Path, str]]:
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
        elif not (path == () and key == "sources"):
            yield from _cited(value, (*path, key))


def _unknown(path: Path, noun: str, name: str, known: Sequence[str]) -> Flaw:
    return Flaw.no_such(path, f"no {noun} is named '{name}'", name, known)
