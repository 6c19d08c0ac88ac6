"""Spec of a memory: capacity, bandwidth, latency, and the engines and memories that it feeds.

The memories that feed an engine, directly or through others, form its hierarchy. A kind of memory
with its own bandwidth law (a cache, NAND flash) registers a subclass and the law.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field

from perfmodel.catalog import load_kind, names
from perfmodel.hardware.field_types import EnergyPerByte, Size, Time
from perfmodel.hardware.quantity import Confidence, Of, Quantity, Rate, Spec

MEMORY_KINDS: Final = (
    "register_file",
    "scratchpad",
    "dram",
    "flash",
    "storage",
    "disk",
)
"""Kinds of memory described by the base class; others have their own class."""

Capacity: TypeAlias = Annotated[Quantity, Of("bytes", positive=True)]
Bandwidth: TypeAlias = Annotated[Rate, Of("bandwidth", positive=True, per_clock=True)]


class Memory(Spec):
    """One level of the memory hierarchy."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name within the device."""
    kind: str
    """register_file, scratchpad, cache, dram, flash, storage, disk, or a kind with its own law."""
    roles: tuple[str, ...] = ()
    """Aliases within the device; ``main`` is the memory that a model must fit into."""
    note: str | None = None
    """Remarks for the reader."""
    capacity: Capacity
    """Capacity, bytes."""
    reserved: Size | None = None
    """Bytes unavailable to a model: system, display, runtime."""
    bandwidth: Bandwidth
    """Theoretical bandwidth towards the engines and memories it feeds; ``"64 B/clock"`` refers to
    the clock of the fed engine."""
    sustained_bandwidth: Bandwidth | None = None
    """Bandwidth that a plain streaming kernel reaches."""
    unit_bandwidth: Bandwidth | None = None
    """Bandwidth available to a single unit of the engine; `bandwidth` is that of all units
    together."""
    way: Capacity | None = None
    """Bytes of one cache way (capacity / associativity): addresses this far apart map to the same
    set."""
    ramp_start: Size | None = None
    """Largest working set that a cache serves without misses when it is read repeatedly."""
    ramp_end: Capacity | None = None
    """Working set from which every access misses; the miss rate is linear between `ramp_start` and
    this."""
    latency: Time | None = None
    """Time from request to first byte."""
    energy_per_byte: EnergyPerByte | None = None
    """Energy per byte read from it."""
    feeds: tuple[str, ...] = Field(min_length=1)
    """Engines or memories that read from it."""
    clocked_by: str | None = None
    """Engine whose clock applies to a bandwidth per clock, where the memory feeds several."""
    source: str | None = None
    """Default source of the numbers in this entry."""
    confidence: Confidence | None = None
    """Default confidence of the numbers in this entry."""

    @property
    def sustained_fraction(self) -> float:
        """Sustained over theoretical bandwidth; 1 if no sustained bandwidth is stated."""
        stated = self.sustained_bandwidth
        return 1.0 if stated is None else stated.value / self.bandwidth.value


#: (setting, name of the memory) -> read bandwidth, B/s.
Law: TypeAlias = Callable[[Any, str], Any]

_classes: dict[str, type[Memory]] = dict.fromkeys(MEMORY_KINDS, Memory)
_laws: dict[str, Law] = {}


def register_memory(kind: str, spec: type[Memory], read_bandwidth: Law | None = None) -> None:
    """Make ``kind: NAME`` of a memory in a spec file read as a subclass of `Memory`.

    Parameters
    ----------
    read_bandwidth
        Bandwidth law of the kind: (`perfmodel.cost.setting.Setting`, name of the memory) -> B/s,
        from facts ``memories.NAME.FIELD``. Without one the stated bandwidth applies.
    """
    _classes[kind] = spec
    if read_bandwidth is not None:
        _laws[kind] = read_bandwidth


def memory_class(kind: str) -> type[Memory] | None:
    """Return the spec class of a kind of memory, or None for an unknown kind."""
    if kind not in _classes:
        load_kind("perfmodel.memory_kinds", kind)
    return _classes.get(kind)


def law_of(kind: str) -> Law | None:
    """Return the read bandwidth law of a kind of memory; None where its spec states it."""
    memory_class(kind)
    return _laws.get(kind)


def memory_kinds() -> tuple[str, ...]:
    """Return every known kind of memory."""
    return tuple(dict.fromkeys((*_classes, *names("perfmodel.memory_kinds"))))
