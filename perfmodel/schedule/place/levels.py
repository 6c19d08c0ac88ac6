"""Levels: the memories that may hold weights or KV cache, as an engine reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from perfmodel import units
from perfmodel.arrays import first_number
from perfmodel.errors import Fault, InputError, nearest
from perfmodel.former import former_names
from perfmodel.hardware.memory import Memory
from perfmodel.kinds.rates import bandwidth
from perfmodel.prediction import Prediction

if not TYPE_CHECKING:
    __getattr__ = former_names(__name__, Level="PlacementLevel")

#: Kinds of memory in which nothing can be told to stay; `levels_of` takes them by name only.
UNPINNABLE = frozenset({"register_file", "cache"})
#: Kinds of memory that hold no KV cache unless they are told to: a token's keys and values are
#: written every step, and specs state how fast such memories are read, not written.
WRITE_ONCE = frozenset({"flash", "nand", "ufs", "emmc", "sd", "nvme", "storage", "disk"})


@dataclass(frozen=True, slots=True)
class PlacementLevel:
    """A memory that may hold tensors.

    Attributes
    ----------
    name
        Name of the memory.
    capacity_bytes
        What weights and KV cache may take of it.
    bandwidth_bytes_per_s
        At which an engine reads what lies here: the slowest memory on the way.
    energy_j_per_byte
        Of a byte read from here, all memories on the way; ``None`` where one does not say.
    holds
        Roles of the tensors it may hold: ``weight``, ``kv``.
    """

    name: str
    capacity_bytes: float
    bandwidth_bytes_per_s: float
    energy_j_per_byte: float | None = None
    holds: tuple[str, ...] = ("weight", "kv")

    @classmethod
    def of(cls, name: str, capacity: str | float, bandwidth: str | float,
           energy: str | float | None = None,
           holds: Sequence[str] = ("weight", "kv")) -> PlacementLevel:  # fmt: skip
        """Return a level from SI numbers or texts: ``Level.of("host", "64 GB", "25 GB/s")``.

        Raises
        ------
        InputError
            A text without its unit, or a number that is not above zero.
        """
        faults: list[Fault] = []

        def read(value: str | float, dimension: str, field: str) -> float:
            try:
                found = units.parse(value, dimension) if isinstance(value, str) else float(value)
            except units.UnitError as error:
                faults.append(Fault(error.message, f"{name}.{field}", expected=error.expected,
                                    suggestion=error.suggestion))  # fmt: skip
                return 1.0
            if not found > 0:
                faults.append(Fault(f"{found:g} is not above zero", f"{name}.{field}"))
            return found

        size = read(capacity, "bytes", "capacity")
        rate = read(bandwidth, "bandwidth", "bandwidth")
        joule = None if energy is None else read(energy, "energy_per_byte", "energy_per_byte")
        if faults:
            raise InputError(faults)
        return cls(name, size, rate, joule, tuple(holds))


def levels_of(
    prediction: Prediction,
    names: Iterable[str] | None = None,
    capacities: Mapping[str, str | float] | None = None,
    extra: Sequence[PlacementLevel] = (),
    kv: Iterable[str] | None = None,
) -> tuple[PlacementLevel, ...]:
    """Return the levels of a prediction's machine, fastest first.

    Bandwidths are those that the prediction itself draws (sustained shares, the laws of flash and
    storage). From main memory the activations' peak is taken off, as `Prediction.placement` does.

    Parameters
    ----------
    prediction
        One point.
    names
        Memories to use, by name or role; by default all that feed the engine but caches and
        register files, which cannot be told to keep anything.
    capacities
        Name -> bytes (or a text with a unit) that weights and KV cache may take of it, in place of
        what the spec leaves.
    extra
        Levels that the device does not have: the memory of a host behind a link.
    kv
        Levels that may hold the KV cache; by default those that are not flash, storage or disk.

    Raises
    ------
    InputError
        Unknown names, capacities that are none.
    """
    setting = prediction._setting  # pyright: ignore[reportPrivateUsage]
    machine = prediction.machine
    memories: dict[str, Memory] = {m.name: m for m in machine.hierarchy(setting.engine_name)}
    faults: list[Fault] = []
    own = {level.name for level in extra}
    known = [*memories, *own]

    def resolved(name: str, path: str) -> str:
        found = machine.resolve(f"memories.{name}.capacity").split(".")[1]
        if found not in known:
            faults.append(Fault(f"no memory '{name}' feeds the engine", path,
                                expected=f"one of {', '.join(known)}",
                                suggestion=nearest(name, known)))  # fmt: skip
        return found

    if names is None:
        chosen = [n for n, m in memories.items() if m.kind not in UNPINNABLE]
    else:
        chosen = [resolved(name, "levels") for name in names]
    keeps_kv = None if kv is None else {resolved(name, "kv_levels") for name in kv}
    sizes: dict[str, float] = {}
    for name, given in (capacities or {}).items():
        found = resolved(name, "capacities")
        try:
            sizes[found] = units.parse(given, "bytes") if isinstance(given, str) else float(given)
        except units.UnitError as error:
            faults.append(Fault(error.message, f"capacities.{name}", expected=error.expected,
                                suggestion=error.suggestion))  # fmt: skip
            continue
        if not sizes[found] >= 0:
            faults.append(Fault(f"{sizes[found]:g} is no capacity", f"capacities.{name}"))
    if faults:
        raise InputError(faults)
    rates = {name: first_number(bandwidth(setting, name)) for name in memories}
    energies = {name: setting.fact(f"memories.{name}.energy_per_byte") for name in memories}
    joules = {name: None if e is None else first_number(e) for name, e in energies.items()}
    paths = _paths(list(memories.values()), setting.engine_name, rates, joules)
    levels: list[PlacementLevel] = []
    for name in dict.fromkeys(chosen):
        if name in own:
            continue
        size = sizes.get(name)
        if size is None:
            size = first_number(setting.facts[f"memories.{name}.capacity"]) - first_number(
                setting.fact(f"memories.{name}.reserved", 0.0)
            )
            if name == setting.levels[-1]:
                size -= float(prediction.activation_bytes)
        rate, joule = paths[name]
        roles = ("weight",) if memories[name].kind in WRITE_ONCE else ("weight", "kv")
        levels.append(PlacementLevel(name, max(size, 0.0), rate, joule, roles))
    levels += [replace(level, capacity_bytes=sizes.get(level.name, level.capacity_bytes))
               for level in extra]  # fmt: skip
    if keeps_kv is not None:
        levels = [
            replace(v, holds=("weight", "kv") if v.name in keeps_kv else ("weight",))
            for v in levels
        ]
    return tuple(sorted(levels, key=lambda level: -level.bandwidth_bytes_per_s))


def _paths(
    memories: Sequence[Memory], engine: str, rates: Mapping[str, float],
    energies: Mapping[str, float | None],
) -> dict[str, tuple[float, float | None]]:  # fmt: skip
    """Return memory -> (slowest bandwidth on its best way to the engine, joule a byte of it)."""
    by_name = {m.name: m for m in memories}
    found: dict[str, tuple[float, float | None]] = {}

    def way(name: str, seen: frozenset[str]) -> tuple[float, float | None]:
        if name in found:
            return found[name]
        best: tuple[float, float | None] = (0.0, None)
        for target in by_name[name].feeds:
            if target == engine:
                rest: tuple[float, float | None] = (float("inf"), 0.0)
            elif target in by_name and target not in seen:
                rest = way(target, seen | {name})
            else:
                continue
            own = energies[name]
            joule = None if own is None or rest[1] is None else own + rest[1]
            if min(rates[name], rest[0]) > best[0]:
                best = (min(rates[name], rest[0]), joule)
        found[name] = best
        return best

    for memory in memories:
        way(memory.name, frozenset())
    return found
