"""Links: what joins a device to others."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from perfmodel.hardware.quantity import Confidence, Of, Quantity, Spec

Bandwidth: TypeAlias = Annotated[Quantity, Of("bandwidth", positive=True)]
Time: TypeAlias = Annotated[Quantity, Of("time")]
EnergyPerByte: TypeAlias = Annotated[Quantity, Of("energy_per_byte")]


class Link(Spec):
    """A connection out of the device."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name within the device."""
    kind: str
    """nvlink, pcie, ethernet, wifi, usb ..."""
    note: str | None = None
    """Direction (one way or both added up), topology."""
    bandwidth: Bandwidth
    """Bytes a second; the note says whether one way or both."""
    latency: Time | None = None
    """Time of an empty message."""
    energy_per_byte: EnergyPerByte | None = None
    """Energy of one byte sent."""
    source: str | None = None
    """Source of every number below that names none."""
    confidence: Confidence | None = None
    """Confidence of every number below that names none."""
