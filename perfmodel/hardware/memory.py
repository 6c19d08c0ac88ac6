"""Memories: what holds data, in an order of who feeds whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field

from perfmodel.catalog import load_kind, names
from perfmodel.hardware.quantity import Confidence, Of, Quantity, Rate, Spec

MEMORY_KINDS: Final = (
    "register_file",
    "scratchpad",
    "dram",
    "flash",
    "storage",
    "disk",
)
"""Kinds of memory that the base class describes; others have a class of their own."""

Size: TypeAlias = Annotated[Quantity, Of("bytes")]
Capacity: TypeAlias = Annotated[Quantity, Of("bytes", positive=True)]
Bandwidth: TypeAlias = Annotated[Rate, Of("bandwidth", positive=True, per_clock=True)]
Time: TypeAlias = Annotated[Quantity, Of("time")]
EnergyPerByte: TypeAlias = Annotated[Quantity, Of("energy_per_byte")]


class Memory(Spec):
    """One level of the memory hierarchy."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name within the device."""
    kind: str
    """register_file, scratchpad, cache, dram, flash, storage, disk, or a kind with its own law."""
    roles: tuple[str, ...] = ()
    """Aliases within the device; ``main`` is the memory that a model must fit in."""
    note: str | None = None
    """What a reader must know."""
    capacity: Capacity
    """Bytes it holds."""
    reserved: Size | None = None
    """Bytes that a model cannot use: system, display, runtime."""
    bandwidth: Bandwidth
    """Theoretical bandwidth towards what it feeds; ``"64 B/clock"`` takes that engine's clock."""
    sustained_bandwidth: Bandwidth | None = None
    """Bandwidth that a plain streaming kernel reaches."""
    unit_bandwidth: Bandwidth | None = None
    """Bandwidth that one unit of the engine alone can draw; `bandwidth` is that of all together."""
    way: Capacity | None = None
    """Bytes of one way of a cache (capacity over associativity): addresses that far apart share a
    set."""
    ramp_start: Size | None = None
    """Working set up to which a cache that is read again and again misses nothing."""
    ramp_end: Capacity | None = None
    """Working set from which on it misses always; in proportion between."""
    latency: Time | None = None
    """Time from request to first byte."""
    energy_per_byte: EnergyPerByte | None = None
    """Energy of moving one byte out of it."""
    feeds: tuple[str, ...] = Field(min_length=1)
    """Engines or memories that read from it."""
    clocked_by: str | None = None
    """Engine whose clock a bandwidth per clock goes by, where it feeds several."""
    source: str | None = None
    """Source of every number below that names none."""
    confidence: Confidence | None = None
    """Confidence of every number below that names none."""

    @property
    def sustained_fraction(self) -> float:
        """Share of the theoretical bandwidth that a plain streaming kernel reaches."""
        stated = self.sustained_bandwidth
        return 1.0 if stated is None else stated.value / self.bandwidth.value


#: (setting, name of the memory) -> bytes per second that are read from it.
Law: TypeAlias = Callable[[Any, str], Any]

_classes: dict[str, type[Memory]] = dict.fromkeys(MEMORY_KINDS, Memory)
_laws: dict[str, Law] = {}


def register_memory(kind: str, spec: type[Memory], read_bandwidth: Law | None = None) -> None:
    """Make ``kind: NAME`` of a memory in a spec file read as a subclass of `Memory`.

    Parameters
    ----------
    read_bandwidth
        Law of such memories: (`perfmodel.cost.setting.Setting`, name of the memory) -> bytes a
        second, from facts ``memories.NAME.FIELD``. Without one the stated bandwidth holds.
    """
    _classes[kind] = spec
    if read_bandwidth is not None:
        _laws[kind] = read_bandwidth


def memory_class(kind: str) -> type[Memory] | None:
    """Spec class of a kind of memory, or None where nothing knows the kind."""
    if kind not in _classes:
        load_kind("perfmodel.memory_kinds", kind)
    return _classes.get(kind)


def law_of(kind: str) -> Law | None:
    """What gives the read bandwidth of a kind of memory; None where its spec states it."""
    memory_class(kind)
    return _laws.get(kind)


def memory_kinds() -> tuple[str, ...]:
    """Every kind of memory there is."""
    return tuple(dict.fromkeys((*_classes, *names("perfmodel.memory_kinds"))))
