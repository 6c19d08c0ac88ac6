"""Memories: what holds data, in an order of who feeds whom."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from perfmodel.hardware.quantity import Confidence, Of, Quantity, Rate, Spec

__all__ = ["Memory", "MemoryKind"]

MemoryKind: TypeAlias = Literal[
    "register_file", "scratchpad", "cache", "dram", "flash", "storage", "disk"
]

Size: TypeAlias = Annotated[Quantity, Of("bytes")]
Capacity: TypeAlias = Annotated[Quantity, Of("bytes", positive=True)]
Bandwidth: TypeAlias = Annotated[Rate, Of("bandwidth", positive=True, per_clock=True)]
Time: TypeAlias = Annotated[Quantity, Of("time")]
EnergyPerByte: TypeAlias = Annotated[Quantity, Of("energy_per_byte")]


class Memory(Spec):
    """One level of the memory hierarchy."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name within the device."""
    kind: MemoryKind
    """register_file, scratchpad, cache, dram, flash, storage or disk."""
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
