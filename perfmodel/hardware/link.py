"""Spec of a link to other devices: bandwidth, latency, energy per byte."""

from __future__ import annotations

from pydantic import Field

from perfmodel.hardware.field_types import Bandwidth, EnergyPerByte, Time
from perfmodel.hardware.quantity import Confidence, Spec


class Link(Spec):
    """A connection out of the device."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name within the device."""
    kind: str
    """nvlink, pcie, ethernet, wifi, usb ..."""
    note: str | None = None
    """Direction (one way or both ways summed) and topology."""
    bandwidth: Bandwidth
    """Bandwidth, B/s; the note states whether one way or both ways summed."""
    latency: Time | None = None
    """Latency of an empty message."""
    energy_per_byte: EnergyPerByte | None = None
    """Energy per byte sent."""
    source: str | None = None
    """Default source of the numbers in this entry."""
    confidence: Confidence | None = None
    """Default confidence of the numbers in this entry."""
