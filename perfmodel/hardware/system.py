"""Spec of a system of two devices and the link between them, for split inference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
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
    """wifi, lte, ethernet, ble ...: the class that gives what is not stated of power."""
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
    tail_power: Watts | None = None
    """Additional power of the radio after its last byte, until it sleeps again."""
    tail_time: Time | None = None
    """Time from its last byte until the radio sleeps again."""
    wake_power: Watts | None = None
    """Additional power of the radio while it wakes, before its first byte."""
    wake_time: Time | None = None
    """Time that the radio takes to wake; it is no part of the latency."""
    sleep_power: Watts | None = None
    """Power of the radio while it is connected and asleep, in addition to the sleeping device."""
    network_energy_per_byte: EnergyPerByte | None = None
    """Energy of the network behind the link per byte, headers included."""
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

    @property
    def states_power(self) -> bool:
        """Whether any power or energy of sending and receiving is stated."""
        return any(getattr(self, name) is not None for name in _POWER)

    def with_class_power(self) -> SystemLink:
        """Return the link with the power of its class, if it states none of its own.

        A link that states what sending or receiving draws is taken as complete: its class would
        count the same joules again. What the network behind it takes is added in any case.
        """
        known = link_classes().get(self.kind)
        names = [_NETWORK] if self.states_power else [*_POWER, *_ASLEEP, _NETWORK]
        if known is None:
            return self
        new = {name: getattr(known, name) for name in names if getattr(self, name) is None}
        return self.model_copy(update=new)


#: Fields of what sending and receiving draw, of what the radio draws beside, and of the network.
_POWER = ("power_up", "power_down", "energy_per_byte_up", "energy_per_byte_down")
_ASLEEP = ("tail_power", "tail_time", "wake_power", "wake_time", "sleep_power")
_NETWORK = "network_energy_per_byte"


@cache
def link_classes() -> Mapping[str, SystemLink]:
    """Return the classes of radios and links of ``hardware_specs/energy/links.yaml`` by name."""
    from perfmodel.hardware.technology.tables import table

    return {
        name: SystemLink.model_validate({"kind": name, **entry}, context={"spec_file": True})
        for name, entry in table("links")["links"].items()
    }


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
