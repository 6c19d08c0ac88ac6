"""Spec of a system of two devices and the link between them, for split inference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import BeforeValidator, Field

from perfmodel.hardware.device import Name, Source, title_alone
from perfmodel.hardware.device_checks import check_sources
from perfmodel.hardware.field_types import Bandwidth, EnergyPerByte, Time, Watts
from perfmodel.hardware.quantity import Confidence, Of, Quantity, Spec, SpecDocument
from perfmodel.pydantic_faults import Flaw

Part: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=1.0)]


class SystemEndpoint(Spec):
    """One of the two devices, with its runtime, precision and engine."""

    device: str
    """A device of the library, or the path of a spec file."""
    runtime: str | None = None
    """Runtime; the device's default if omitted."""
    precision: str | None = None
    """Formats of weights, activations and KV cache; the engine's default precision if omitted."""
    engine: str | None = None
    """Engine of the device; the runtime's if omitted."""


class SystemLink(Spec):
    """The link between the two devices: time and energy of transferring a tensor."""

    kind: str = "link"
    """wifi, lte, ethernet, usb ..."""
    bandwidth: Bandwidth
    """Raw bandwidth from the device to the server, headers included."""
    down_bandwidth: Bandwidth | None = None
    """Raw bandwidth from the server to the device; equal to `bandwidth` if omitted."""
    efficiency: Part | None = None
    """Payload share of the raw bandwidth, the rest being headers; 1 if omitted."""
    latency: Time | None = None
    """One-way latency of an empty message; any transfer costs one message each way."""
    power_up: Watts | None = None
    """Additional power of the device's radio while it sends."""
    power_down: Watts | None = None
    """Additional power of the device's radio while it receives."""
    energy_per_byte_up: EnergyPerByte | None = None
    """Energy of the device per byte sent, in addition to `power_up` x time."""
    energy_per_byte_down: EnergyPerByte | None = None
    """Energy of the device per byte received, in addition to `power_down` x time."""
    note: str | None = None
    """Remarks for the reader."""
    source: str | None = None
    """Default source of all numbers."""
    confidence: Confidence | None = None
    """Default confidence of all numbers."""

    def number(self, name: str, otherwise: float = 0.0) -> float:
        """Return a field in SI units, or a default if it is omitted."""
        quantity = cast("Quantity | None", getattr(self, name))
        return otherwise if quantity is None else quantity.value


def _device_alone(stated: Any) -> Any:
    """Expand the short form of `SystemEndpoint`, the device name only, into a mapping."""
    return {"device": stated} if isinstance(stated, str) else stated


AnySide: TypeAlias = Annotated[SystemEndpoint, BeforeValidator(_device_alone)]


class System(SpecDocument):
    """A device, a server and the link between them."""

    schema_version: Literal[1] = 1
    """Version of the spec format."""
    name: Name
    """Name, in snake case."""
    title: str = ""
    """Short description."""
    device: AnySide
    """Side that has the input and needs the output; it runs the first part of a network."""
    server: AnySide
    """Remote side; it runs the second part of a network."""
    link: SystemLink
    """Link between the two sides."""
    sources: Mapping[str, Annotated[Source, BeforeValidator(title_alone)]] = Field(
        default_factory=dict
    )
    """Cited documents, by key."""
    note: str | None = None
    """Remarks for the reader."""

    @staticmethod
    def structure_faults(data: Any) -> Iterable[Flaw]:
        """Check that every cited source is listed."""
        return check_sources(data)
