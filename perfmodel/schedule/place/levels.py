"""Levels: memories that may hold weights or KV cache, with their bandwidth to an engine.

A read passes all memories on the way to the engine: its bandwidth is that of the slowest, its
energy per byte the sum over all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from perfmodel.arrays import first_number
from perfmodel.deprecation import deprecated_names
from perfmodel.errors import Fault, not_among
from perfmodel.hardware.memory import Memory
from perfmodel.kinds.rates import bandwidth
from perfmodel.prediction import Prediction
from perfmodel.settings import FaultList

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Level="PlacementLevel")

#: Kinds of memory to which nothing can be pinned; `levels_of` includes them by name only.
UNPINNABLE = frozenset({"register_file", "cache"})
#: Kinds of memory that hold no KV cache unless requested: keys and values of a token are written
#: in every step, and specs state the read bandwidth of such memories, not the write bandwidth.
WRITE_ONCE = frozenset({"flash", "nand", "ufs", "emmc", "sd", "nvme", "storage", "disk"})


@dataclass(frozen=True, slots=True)
class PlacementLevel:
    """A memory that may hold tensors.

    Attributes
    ----------
    name
        Name of the memory.
    capacity_bytes
        Capacity available to weights and KV cache.
    bandwidth_bytes_per_s
        Bandwidth of reads by an engine: that of the slowest memory on the path.
    energy_j_per_byte
        Energy per byte read, over all memories on the path; ``None`` if one does not state it.
    holds
        Roles of the tensors it may hold: ``weight``, ``kv``.
    """

    name: str
    capacity_bytes: float
    bandwidth_bytes_per_s: float
    energy_j_per_byte: float | None = None
    holds: tuple[str, ...] = ("weight", "kv")

    @classmethod
    def of(
        cls,
        name: str,
        capacity: str | float,
        bandwidth: str | float,
        energy: str | float | None = None,
        holds: Sequence[str] = ("weight", "kv"),
    ) -> PlacementLevel:
        """Return a level from SI numbers or texts: ``Level.of("host", "64 GB", "25 GB/s")``.

        Raises
        ------
        InputError
            A text has no unit, or a number is not positive.
        """
        faults = FaultList()

        def read(value: str | float, dimension: str, field: str) -> float:
            path = f"{name}.{field}"
            number = faults.quantity(value, dimension, path)
            if number is None:
                return 1.0
            if not number > 0:
                faults.append(Fault(f"{number:g} is not above zero", path))
            return number

        size = read(capacity, "bytes", "capacity")
        rate = read(bandwidth, "bandwidth", "bandwidth")
        joule = None if energy is None else read(energy, "energy_per_byte", "energy_per_byte")
        faults.settle()
        return cls(name, size, rate, joule, tuple(holds))


def levels_of(
    prediction: Prediction,
    names: Iterable[str] | None = None,
    capacities: Mapping[str, str | float] | None = None,
    extra: Sequence[PlacementLevel] = (),
    kv: Iterable[str] | None = None,
) -> tuple[PlacementLevel, ...]:
    """Return the levels of a prediction's machine, fastest first.

    Bandwidths are those of the prediction (sustained shares, laws of flash and storage). The peak
    of activations is subtracted from main memory, as in `Prediction.placement`.

    Parameters
    ----------
    prediction
        Prediction of a single configuration.
    names
        Memories to use, by name or role; by default all that feed the engine except caches and
        register files, whose contents cannot be controlled.
    capacities
        Capacity for weights and KV cache, by memory, in bytes or as a text with a unit; replaces
        the capacity left by the spec.
    extra
        Levels that are not part of the device: the memory of a host behind a link.
    kv
        Levels that may hold the KV cache; by default all except flash, storage and disk.

    Raises
    ------
    InputError
        A name is unknown, or a capacity is invalid.
    """
    setting = prediction.setting
    machine = prediction.machine
    memories = {memory.name: memory for memory in machine.hierarchy(setting.engine_name)}
    extra_names = {level.name for level in extra}
    known = [*memories, *extra_names]
    faults = FaultList()

    def resolved(name: str, path: str) -> str:
        memory = machine.resolve(f"memories.{name}.capacity").split(".")[1]
        faults.extend(not_among(f"no memory '{name}' feeds the engine", memory, known, path))
        return memory

    if names is None:
        used = [name for name, memory in memories.items() if memory.kind not in UNPINNABLE]
    else:
        used = [resolved(name, "levels") for name in names]
    kv_names = None if kv is None else {resolved(name, "kv_levels") for name in kv}
    sizes: dict[str, float] = {}
    for name, capacity in (capacities or {}).items():
        memory, path = resolved(name, "capacities"), f"capacities.{name}"
        size = faults.quantity(capacity, "bytes", path)
        if size is not None:
            sizes[memory] = size
            if not size >= 0:
                faults.append(Fault(f"{size:g} is not a valid capacity", path))
    faults.settle()
    own = [name for name in dict.fromkeys(used) if name not in extra_names]
    levels = _device_levels(prediction, memories, own, sizes)
    levels += [
        replace(level, capacity_bytes=sizes.get(level.name, level.capacity_bytes))
        for level in extra
    ]
    if kv_names is not None:
        levels = [
            replace(level, holds=("weight", "kv") if level.name in kv_names else ("weight",))
            for level in levels
        ]
    return tuple(sorted(levels, key=lambda level: -level.bandwidth_bytes_per_s))


def _device_levels(
    prediction: Prediction,
    memories: Mapping[str, Memory],
    names: Iterable[str],
    sizes: Mapping[str, float],
) -> list[PlacementLevel]:
    """Return the levels of the device itself; `sizes` replace the capacities of the spec."""
    setting = prediction.setting
    rates = {name: first_number(bandwidth(setting, name)) for name in memories}
    energies = {name: setting.fact(f"memories.{name}.energy_per_byte") for name in memories}
    joules = {name: None if e is None else first_number(e) for name, e in energies.items()}
    paths = _paths(memories, setting.engine_name, rates, joules)
    levels: list[PlacementLevel] = []
    for name in names:
        size = sizes.get(name)
        if size is None:
            size = first_number(setting.facts[f"memories.{name}.capacity"]) - first_number(
                setting.fact(f"memories.{name}.reserved", 0.0)
            )
            if name == setting.levels[-1]:
                size -= float(prediction.activation_bytes)
        roles = ("weight",) if memories[name].kind in WRITE_ONCE else ("weight", "kv")
        levels.append(PlacementLevel(name, max(size, 0.0), *paths[name], roles))
    return levels


def _paths(
    memories: Mapping[str, Memory],
    engine: str,
    rates: Mapping[str, float],
    energies: Mapping[str, float | None],
) -> dict[str, tuple[float, float | None]]:
    """Return the bandwidth and joules per byte of each memory on its best path to the engine."""
    paths: dict[str, tuple[float, float | None]] = {}

    def best_path(name: str, seen: frozenset[str]) -> tuple[float, float | None]:
        if name in paths:
            return paths[name]
        best: tuple[float, float | None] = (0.0, None)
        for target in memories[name].feeds:
            if target == engine:
                rate, inner = float("inf"), 0.0
            elif target in memories and target not in seen:
                rate, inner = best_path(target, seen | {name})
            else:
                continue
            outer = energies[name]
            joule = None if outer is None or inner is None else outer + inner
            if min(rates[name], rate) > best[0]:
                best = (min(rates[name], rate), joule)
        paths[name] = best
        return best

    for name in memories:
        best_path(name, frozenset())
    return paths
