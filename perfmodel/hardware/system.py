"""A system of two devices and a link, as a spec file says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import BeforeValidator, Field

from perfmodel.hardware.device import Name, Source, title_alone
from perfmodel.hardware.quantity import Confidence, Of, Quantity, Spec, SpecDocument
from perfmodel.hardware.structure import check_sources
from perfmodel.pydantic_faults import Flaw

Bandwidth: TypeAlias = Annotated[Quantity, Of("bandwidth", positive=True)]
Time: TypeAlias = Annotated[Quantity, Of("time")]
Power: TypeAlias = Annotated[Quantity, Of("power")]
EnergyPerByte: TypeAlias = Annotated[Quantity, Of("energy_per_byte")]
Part: TypeAlias = Annotated[Quantity, Of("fraction", positive=True, ceiling=1.0)]


class SystemEndpoint(Spec):
    """One of the two devices, and the software that it runs."""

    device: str
    """A device of the library, or the path of a spec file."""
    runtime: str | None = None
    """Runtime; the device's own where left out."""
    precision: str | None = None
    """Formats of weights, activations and KV cache; the engine's first where left out."""
    engine: str | None = None
    """Engine of the device; the runtime's where left out."""


class SystemLink(Spec):
    """The link between the two: what a tensor takes to cross it, seconds and joule."""

    kind: str = "link"
    """wifi, lte, ethernet, usb ..."""
    bandwidth: Bandwidth
    """Bits on the link from the device to the server, a second."""
    down_bandwidth: Bandwidth | None = None
    """From the server to the device; as `bandwidth` where left out."""
    efficiency: Part | None = None
    """Share of the bits that carry the tensors, the rest being headers; 1 where left out."""
    latency: Time | None = None
    """One way, of an empty message; a message each way is sent where anything crosses."""
    power_up: Power | None = None
    """What the device's radio draws, beyond the device, while it sends."""
    power_down: Power | None = None
    """What it draws while it receives."""
    energy_per_byte_up: EnergyPerByte | None = None
    """Energy of the device for each byte that it sends, beside that power x time."""
    energy_per_byte_down: EnergyPerByte | None = None
    """Energy of the device for each byte that it receives, beside that power x time."""
    note: str | None = None
    """What a reader must know."""
    source: str | None = None
    """Source of every number that names none."""
    confidence: Confidence | None = None
    """Confidence of every number that names none."""

    def number(self, name: str, otherwise: float = 0.0) -> float:
        """Return a field in SI units."""
        found = cast("Quantity | None", getattr(self, name))
        return otherwise if found is None else found.value


def _device_alone(given: Any) -> Any:
    """A side may be written as the name of its device alone."""
    return {"device": given} if isinstance(given, str) else given


AnySide: TypeAlias = Annotated[SystemEndpoint, BeforeValidator(_device_alone)]


class System(SpecDocument):
    """A device, a server and the link between them."""

    schema_version: Literal[1] = 1
    """Version of this form."""
    name: Name
    """In snake case."""
    title: str = ""
    """What it is, in words."""
    device: AnySide
    """The side that has the input and wants the output; it runs the first part of a network."""
    server: AnySide
    """The other side."""
    link: SystemLink
    """What joins them."""
    sources: Mapping[str, Annotated[Source, BeforeValidator(title_alone)]] = Field(
        default_factory=dict
    )
    """Documents that numbers cite, by key."""
    note: str | None = None
    """What a reader must know."""

    @staticmethod
    def structure_faults(data: Any) -> Iterable[Flaw]:
        """Check across fields: every source that is cited is listed."""
        return check_sources(data)
