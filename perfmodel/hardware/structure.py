"""Checks across the fields of a device: names, roles, who feeds whom, sources.

They run on raw file data (so that they report beside faults of single fields) and on a built
device alike, hence the tolerant access.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel

from perfmodel import units
from perfmodel.errors import nearest, one_of
from perfmodel.hardware.engine import COMPUTE_FORMATS, engine_class, engine_kinds, is_compute_format
from perfmodel.hardware.memory import memory_class, memory_kinds
from perfmodel.marks import Path
from perfmodel.pydantic_faults import Flaw

_RESERVED = ("main",)


def get(item: Any, key: str) -> Any:
    """A field of a mapping or of a model; None where absent."""
    if isinstance(item, Mapping):
        return cast("Mapping[str, Any]", item).get(key)
    return getattr(item, key, None)


def listed(item: Any, key: str) -> list[Any]:
    """A list field; empty where absent or no list."""
    found = get(item, key)
    return list(cast("Sequence[Any]", found)) if isinstance(found, (list, tuple)) else []


def mapped(item: Any, key: str) -> dict[str, Any]:
    """A mapping field; empty where absent or no mapping."""
    found = get(item, key)
    return dict(cast("Mapping[str, Any]", found)) if isinstance(found, Mapping) else {}


def names(item: Any, key: str) -> list[str]:
    """Names of the entries of a list field."""
    return [name for entry in listed(item, key) if isinstance(name := get(entry, "name"), str)]


def hierarchy(device: Any, engine: str) -> list[str]:
    """Names of the memories that feed an engine, nearest first, by breadth."""
    feeds = {
        str(get(m, "name")): [str(f) for f in listed(m, "feeds")]
        for m in listed(device, "memories")
    }
    distance: dict[str, int] = {}
    targets, depth = {engine}, 0
    while targets and depth <= len(feeds):
        found = {name for name, fed in feeds.items() if targets.intersection(fed)}
        distance |= dict.fromkeys(found, depth)  # the longest way counts
        targets, depth = found, depth + 1
    order = list(feeds)
    return sorted(distance, key=lambda name: (distance[name], order.index(name)))


def check_device(device: Any) -> Iterator[Flaw]:
    """Every structural flaw of a device (raw mapping or built)."""
    for section in ("engines", "memories", "links"):
        yield from _duplicates(device, section)
    yield from _engines(device)
    for index, memory in enumerate(listed(device, "memories")):
        kind = get(memory, "kind")
        if isinstance(kind, str) and memory_class(kind) is None:
            yield _unknown(("memories", index, "kind"), "kind of memory", kind, memory_kinds())
    yield from _roles(device)
    yield from _feeds(device)
    yield from _order(device)
    yield from _of_kinds(device)
    yield from _energy(device)
    yield from check_sources(device)


def _duplicates(device: Any, section: str) -> Iterator[Flaw]:
    seen: dict[str, int] = {}
    for index, entry in enumerate(listed(device, section)):
        name = get(entry, "name")
        if not isinstance(name, str):
            continue
        if name in seen:
            yield Flaw((section, index, "name"), f"'{name}' is used twice", "each name once")
        if name in _RESERVED:
            yield Flaw((section, index, "name"), f"'{name}' is reserved", "another name")
        seen[name] = index
    if section == "memories":
        engines = names(device, "engines")
        for index, entry in enumerate(listed(device, section)):
            if get(entry, "name") in engines:
                message = f"'{get(entry, 'name')}' is an engine too"
                yield Flaw((section, index, "name"), message, "names that differ")


def _engines(device: Any) -> Iterator[Flaw]:
    default, known = get(device, "default_engine"), names(device, "engines")
    if isinstance(default, str) and default not in known:
        yield _unknown(("default_engine",), "engine", default, known)
    for index, engine in enumerate(listed(device, "engines")):
        path: Path = ("engines", index)
        kind = get(engine, "kind")
        if isinstance(kind, str) and engine_class(kind) is None:
            yield _unknown((*path, "kind"), "kind of engine", kind, engine_kinds())
        for field in ("peaks", "vector_peaks", "energy_per_op"):
            for key in mapped(engine, field):
                if not is_compute_format(key):
                    yield Flaw(
                        (*path, field, key),
                        f"'{key}' is not a compute format",
                        "" if nearest(key, COMPUTE_FORMATS) else one_of(COMPUTE_FORMATS),
                        nearest(key, COMPUTE_FORMATS),
                        on_key=True,
                    )
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
    """Kinds of DRAM that energies are asked for."""
    asked = mapped(get(device, "energy"), "memories")
    if not asked:
        return
    from perfmodel.hardware.technology.offchip import dram_kinds

    memories = names(device, "memories")
    for name, kind in asked.items():
        where: Path = ("energy", "memories", name)
        if name not in memories:
            meant = nearest(name, memories)
            expected = "" if meant else f"one of {', '.join(memories) or 'none'}"
            yield Flaw(where, f"no memory is named '{name}'", expected, meant, on_key=True)
        elif isinstance(kind, str) and kind not in dram_kinds():
            yield _unknown(where, "kind of DRAM", kind, dram_kinds())


def _roles(device: Any) -> Iterator[Flaw]:
    seen: dict[str, str] = {}
    memories = names(device, "memories")
    for index, memory in enumerate(listed(device, "memories")):
        for at, role in enumerate(listed(memory, "roles")):
            where: Path = ("memories", index, "roles", at)
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
    for index, memory in enumerate(listed(device, "memories")):
        name = str(get(memory, "name"))
        place[name] = ("memories", index, "feeds")
        graph[name] = [str(target) for target in listed(memory, "feeds")]
        for at, target in enumerate(graph[name]):
            if target not in engines and target not in memories:
                choices = [n for n in (*engines, *memories) if n != name]
                yield _unknown((*place[name], at), "engine or memory", target, choices)
    cycle = _cycle(graph)
    if cycle:
        message = "memories feed each other in a circle: " + " -> ".join(cycle)
        yield Flaw(place[cycle[0]], message, "a hierarchy that ends at an engine")
        return
    broken = not graph or any(
        not targets or not {*targets} <= {*engines, *memories} for targets in graph.values()
    )  # then a lack of feeders is but a consequence
    for index, engine in enumerate([] if broken else listed(device, "engines")):
        name = get(engine, "name")
        if isinstance(name, str) and not hierarchy(device, name):
            message = f"no memory feeds engine '{name}'"
            yield Flaw(("engines", index), message, "a memory whose feeds name it")
    yield from _clocks(device, graph, place)


def _order(device: Any) -> Iterator[Flaw]:
    """Pairs of numbers of which one bounds the other."""
    for index, memory in enumerate(listed(device, "memories")):
        at: Path = ("memories", index)
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
    # All that a device draws with one engine at work lies between idling and its ceiling.
    for index, engine in enumerate(listed(device, "engines")):
        at = ("engines", index, "busy_power")
        drawn = number(get(engine, "busy_power"), "power")
        for field, above in (("idle", False), ("busy", True)):
            bound = number(get(power, field), "power")
            if drawn and bound and drawn != bound and (drawn > bound) is above:
                text, limit = (units.show(value, "power") for value in (drawn, bound))
                yield Flaw(
                    at,
                    f"{text} is {'above' if above else 'below'} power.{field}",
                    f"at {'most' if above else 'least'} {limit}",
                )


def _of_kinds(device: Any) -> Iterator[Flaw]:
    """What a kind's spec class says of several entries together (``device_flaws``)."""
    for section, class_of in (("engines", engine_class), ("memories", memory_class)):
        for index, entry in enumerate(listed(device, section)):
            kind = get(entry, "kind")
            check = getattr(class_of(kind) if isinstance(kind, str) else None, "device_flaws", None)
            if check is not None:
                yield from check(device, index)


def at_most(item: Any, low: str, high: str, dimension: str, at: Path) -> Iterator[Flaw]:
    """Yield a flaw where one number of an entry is above another that bounds it."""
    least, most = number(get(item, low), dimension), number(get(item, high), dimension)
    if least is not None and most is not None and least > most > 0:
        text = units.show(least, dimension)
        yield Flaw((*at, low), f"{text} is above {high}", f"at most {units.show(most, dimension)}")


def number(given: Any, dimension: str) -> float | None:
    """SI value of a raw or built number; None where it is absent, per clock or at fault itself."""
    if isinstance(given, BaseModel):
        return None if get(given, "per_clock") else get(given, "value")
    text = get(given, "value") if isinstance(given, Mapping) else given
    if dimension == "count" and isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    try:
        return units.parse(text, dimension) if isinstance(text, str) else None
    except units.UnitError:
        return None


def _clocks(
    device: Any, graph: Mapping[str, list[str]], place: Mapping[str, Path]
) -> Iterator[Flaw]:
    """A bandwidth per clock needs one engine with a clock."""
    engines = {str(get(e, "name")): e for e in listed(device, "engines")}
    for memory in listed(device, "memories"):
        name = str(get(memory, "name"))
        chosen = get(memory, "clocked_by")
        base = place[name][:-1]
        if isinstance(chosen, str) and chosen not in engines:
            yield _unknown((*base, "clocked_by"), "engine", chosen, list(engines))
            continue
        for field in ("bandwidth", "sustained_bandwidth", "unit_bandwidth"):
            if not _per_clock(get(memory, field)):
                continue
            fed = [chosen] if chosen else sorted(_engines_fed(name, graph, engines))
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


def _engines_fed(name: str, graph: Mapping[str, list[str]], engines: Iterable[str]) -> set[str]:
    fed: set[str] = set()
    waiting, seen = [name], {name}
    while waiting:
        for target in graph.get(waiting.pop(), []):
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return fed | seen.intersection(engines)


def _cycle(graph: Mapping[str, list[str]]) -> list[str]:
    """Names round a circle, the first repeated at the end; empty where there is none."""
    done: set[str] = set()
    for start in graph:
        trail: list[str] = []
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(graph[start]))]
        trail.append(start)
        while stack:
            name, targets = stack[-1]
            target = next((t for t in targets if t in graph and t not in done), None)
            if target is None:
                done.add(name)
                stack.pop()
                trail.pop()
            elif target in trail:
                return [*trail[trail.index(target) :], target]
            else:
                trail.append(target)
                stack.append((target, iter(graph[target])))
    return []


def check_sources(spec: Any) -> Iterator[Flaw]:
    """Every ``source`` names an entry of ``sources``."""
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
    meant = nearest(name, known)
    choices = ", ".join(dict.fromkeys(known)) or "none"
    expected = "" if meant else f"one of {choices}"
    return Flaw(path, f"no {noun} is named '{name}'", expected, meant)
