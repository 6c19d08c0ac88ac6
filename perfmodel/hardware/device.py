"""Spec of a device: engines, memories, links and power, as an immutable value.

`Device` is what a YAML file in ``hardware_specs/devices/`` contains. Every number carries its
source and confidence; a runtime turns it into a `Machine`, whose facts the cost models read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    model_validator,
)

from perfmodel.errors import input_error, nearest, one_of
from perfmodel.hardware.device_checks import check_device, hierarchy
from perfmodel.hardware.engine import Engine, engine_class, engine_kinds
from perfmodel.hardware.field_types import PositiveFraction, PositiveTime, Watts
from perfmodel.hardware.link import Link
from perfmodel.hardware.memory import Memory, memory_class
from perfmodel.hardware.quantity import (
    AsItself,
    Confidence,
    Of,
    Quantity,
    Spec,
    SpecDocument,
    read_as,
)
from perfmodel.pydantic_faults import Flaw, checked
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.hardware.grade import Grade
    from perfmodel.hardware.machine import Machine
    from perfmodel.hardware.ownership import DefaultFact
    from perfmodel.hardware.runtime import Runtime

Price: TypeAlias = Annotated[Quantity, Of("price")]
Area: TypeAlias = Annotated[Quantity, Of("area", positive=True)]
Temperature: TypeAlias = Annotated[Quantity, Of("temperature", floor=-273.15)]
Volts: TypeAlias = Annotated[Quantity, Of("voltage", positive=True, ceiling=20.0)]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
#: Name of an operating point: not a plain number (``15w``, ``1v2``).
PointName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9_]*[a-df-z_][a-z0-9_]*$")]

#: Kinds of engines that are products: without a stated node of their own (``energy``), too little
#: of their structure is known.
_PRODUCTS = frozenset({"roofline", "simd", "mcu", "nand", "fpga", "lookup_table"})


class Source(Spec):
    """A cited document, with enough detail for a reader to find it."""

    title: str
    """Title of the document, page or data set."""
    publisher: str | None = None
    """Vendor, journal or site."""
    authors: str | None = None
    """Authors, for papers."""
    year: int | None = Field(default=None, ge=1950, le=2100)
    """Year of publication."""
    url: str | None = None
    """Address, DOI or arXiv number."""
    note: str | None = None
    """Page, table, quotation."""


#: Boundary of the energies of a class, which no device states.
CLASS_BOUNDARY: Final = "module"


class Power(Spec):
    """Power draw of the device and the boundary at which it is measured."""

    boundary: Literal["core", "module", "board", "wall"]
    """Boundary of the figures: core, module, board or wall."""
    idle: Watts | None = None
    """Idle power."""
    sleep: Watts | None = None
    """Power between the runs of a period, where the device sleeps; idle power by default."""
    voltage: Volts | None = None
    """Supply voltage of engines and on-chip memories at which their energies are stated."""
    busy: Watts | None = None
    """Sustained power limit under load (TDP where nothing better is known)."""
    thermal_resistance: Annotated[Quantity, Of("thermal_resistance", positive=True)] | None = None
    """Thermal resistance from the limited part (case or junction) to ambient, K/W."""
    heat_capacity: Annotated[Quantity, Of("heat_capacity", positive=True)] | None = None
    """Lumped heat capacity of the parts that warm up together, J/K."""
    chip_resistance: Annotated[Quantity, Of("thermal_resistance", positive=True)] | None = None
    """Thermal resistance from a chip with a limit of its own to the body, K/W."""
    chip_heat_capacity: Annotated[Quantity, Of("heat_capacity", positive=True)] | None = None
    """Heat capacity of that chip with its package, J/K."""
    chip_limit: Temperature | None = None
    """Temperature at which that chip throttles."""
    ambient: Temperature | None = None
    """Ambient temperature; 25 degC by default."""
    limit: Temperature | None = None
    """Temperature at which the device throttles."""
    speed_exponent: Annotated[Quantity, Of("count", positive=True)] | None = None
    """Exponent n in ``P - P_idle ~ speed^n``: 1 for duty cycling (the default), up to 3 where the
    supply voltage scales with the clock."""
    battery: Annotated[Quantity, Of("energy", positive=True)] | None = None
    """Usable energy of the battery."""
    note: str | None = None
    """Remarks for the reader."""
    source: str | None = None
    """Default source of the numbers in this entry."""
    confidence: Confidence | None = None
    """Default confidence of the numbers in this entry."""


class UseSpec(Spec):
    """How often a device is used."""

    period: PositiveTime | None = None
    """Time from the start of a run to that of the next one; between them the device is idle."""


class OperatingPoint(Spec):
    """Clocks, voltage and power in one mode of a device, as far as they differ from its spec."""

    device: str | None = None
    """Spec that describes the device in this mode."""
    facts: Mapping[str, str | float] = Field(default_factory=dict)
    """Path of a fact -> its value in this mode: ``engines.main.clock: "90 MHz"``."""
    note: str | None = None
    """Remarks for the reader."""
    source: str | None = None
    """Source of the numbers."""
    confidence: Confidence | None = None
    """Confidence of the numbers."""


class SiteSpec(Spec):
    """Prices and emissions where a device is used, and how long and how often it is."""

    electricity_price: Annotated[Quantity, Of("energy_price")] | None = None
    """Price of electricity."""
    carbon_intensity: Annotated[Quantity, Of("carbon_intensity")] | None = None
    """Emissions of electricity; a grid by name (``norway``) has its yearly average."""
    power_usage_effectiveness: Annotated[Quantity, Of("fraction", floor=1.0)] | None = None
    """Power of the site over the power of the device: cooling and supplies."""
    lifetime: PositiveTime | None = None
    """Time from purchase to disposal."""
    utilization: PositiveFraction | None = None
    """Share of its lifetime in which the device runs."""


#: Nodes covered by the tables: 180 to 7 nm, extrapolated by their trend to 2 nm.
Node: TypeAlias = Annotated[Quantity, Of("length", positive=True, ceiling=180e-9, floor=2e-9)]


#: Classes of transistors of the ITRS, as CACTI has them.
Cells: TypeAlias = Literal["high_performance", "low_operating_power", "low_standby_power"]


class EnergyModel(Spec):
    """Selection of technology tables that supply the energies the device does not state."""

    node: Node
    """Silicon node of the engines and on-chip memories: ``"28 nm"``."""
    memories: Mapping[str, str] = Field(default_factory=dict)
    """Name of a memory -> kind of DRAM that supplies its energy: ddr4, lpddr5, hbm2 ..."""
    cells: Cells | None = None
    """Transistors that leak: by the device's class if it is not stated."""


def node_alone(stated: Any) -> Any:
    """Expand the short form of `EnergyModel`, the node only, into a mapping."""
    return {"node": stated} if isinstance(stated, str) else stated


def _engine_class(stated: Mapping[str, Any]) -> type[Engine] | None:
    """Return the spec class of an engine's kind; None for `Engine` itself."""
    kind = str(stated.get("kind", "roofline"))
    # A misspelt kind is reported separately; the fields are read as the nearest known kind.
    model = engine_class(kind) or engine_class(nearest(kind, engine_kinds()) or "roofline")
    return None if model is Engine else model


def _memory_class(stated: Mapping[str, Any]) -> type[Memory] | None:
    """Return the spec class of a memory's kind; None for `Memory` itself."""
    model = memory_class(str(stated.get("kind", "")))
    return None if model is Memory else model


AnyMemory: TypeAlias = Annotated[Memory, AsItself(), read_as(_memory_class)]
AnyEngine: TypeAlias = Annotated[Engine, AsItself(), read_as(_engine_class)]


def title_alone(stated: Any) -> Any:
    """Expand the short form of `Source`, the title only, into a mapping."""
    return {"title": stated} if isinstance(stated, str) else stated


class Device(SpecDocument):
    """A piece of hardware as its data sheets and measurements describe it."""

    schema_version: Literal[1] = 1
    """Version of the spec format."""
    name: Name
    """Common name, in snake case."""
    base: str | None = None
    """Spec that this one inherits from; merged in before validation."""
    aliases: tuple[Name, ...] = ()
    """Other names."""
    title: str = ""
    """Full product name."""
    tags: tuple[str, ...] = ()
    """Words for selecting devices: phone, mcu, gpu ..."""
    year: int | None = Field(default=None, ge=1950, le=2100)
    """Year of release."""
    price: Price | None = None
    """Price at release."""
    volume: Annotated[Quantity, Of("count", positive=True)] | None = None
    """Devices made of a design: what its masks and its design cost is shared by them."""
    area: Area | None = None
    """Die area."""
    process: str | None = None
    """Silicon process, as text."""
    note: str | None = None
    """Remarks for the reader."""
    default_runtime: str = "ideal"
    """Runtime used when none is named."""
    runtimes: tuple[str, ...] = ()
    """Further runtimes in use on the device, in order of preference. When none is named, a workload
    uses the first of `default_runtime` and these that supports its output and its precision."""
    default_engine: str | None = None
    """Engine that ``engines.main`` refers to; the first by default."""
    overlap: Literal["full", "none", "cold_weights_add"] = "full"
    """Composition of times: full (maximum of compute and each memory level), none (their sum), or
    cold_weights_add (as full, but weights read from main memory add to the compute time)."""
    sources: Mapping[str, Annotated[Source, BeforeValidator(title_alone)]] = Field(
        default_factory=dict
    )
    """Cited documents, by key."""
    source: str | None = None
    """Default source of all numbers."""
    confidence: Confidence | None = None
    """Default confidence of all numbers."""
    engines: tuple[AnyEngine, ...] = Field(min_length=1)
    """Compute engines."""
    memories: tuple[AnyMemory, ...] = Field(min_length=1)
    """Memories, from nearest to the engines to farthest."""
    links: tuple[Link, ...] = ()
    """Connections to other devices."""
    power: Power | None = None
    """Power draw and its measurement boundary."""
    operating_points: Mapping[PointName, OperatingPoint] = Field(default_factory=dict)
    """Modes of clock and voltage, by name; one without facts is the device as its spec states it.
    Heirs do not inherit them."""
    use: UseSpec | None = None
    """How often the device is used."""
    site: SiteSpec | None = None
    """Where the device is used, as far as it differs from the defaults of its class."""
    energy: Annotated[EnergyModel, BeforeValidator(node_alone)] | None = None
    """Silicon node whose tables supply energies that the spec does not state; without it those stay
    unknown."""

    _inherited: dict[str, str] = PrivateAttr(default_factory=dict[str, str])
    # Path of a number -> name of the base spec that states it.

    @staticmethod
    def structure_faults(data: Any) -> Iterable[Flaw]:
        """Check a mapping or a Device across fields: names, roles, memory feeds, sources."""
        return check_device(data)

    @model_validator(mode="after")
    def _check(self) -> Device:
        return checked(self, Device.structure_faults(self))

    def inherited_from(self, path: str) -> str:
        """Return the name of the base spec that states a number; ``""`` if the device does."""
        return self._inherited.get(path) or self._inherited.get(f"{path}.value", "")

    def inherit_from(self, bases: Mapping[str, str]) -> None:
        """Record the base spec that states each number; used for provenance, not for equality."""
        self._inherited.update(bases)

    def __str__(self) -> str:
        """Return a short summary of the engines and memories; `repr` has every field."""
        lines = [f"{self.name}: {self.title}"]
        for engine in self.engines:
            peaks = (f"{name} {show(peak.value, 'compute')}" for name, peak in engine.peaks.items())
            lines.append(f"  engine {engine.name} ({engine.kind}): {', '.join(peaks)}")
        for memory in self.memories:
            band = memory.bandwidth
            rate = show(band.value, "bandwidth_per_clock" if band.per_clock else "bandwidth")
            lines.append(f"  memory {memory.name}: {show(memory.capacity.value, 'bytes')}, {rate}")
        return "\n".join(lines)

    @cached_property
    def defaults(self) -> Mapping[str, DefaultFact]:
        """Values of the device's class for facts of its site and body, by path."""
        from perfmodel.hardware.ownership import default_facts

        return default_facts(self)

    @cached_property
    def engines_of_structure(self) -> list[Engine]:
        """Engines whose blocks of silicon the spec may state."""
        return [e for e in self.engines if self.energy is not None or e.kind not in _PRODUCTS]

    @cached_property
    def main_engine(self) -> str:
        """Name of the engine used by default."""
        return self.default_engine or self.engines[0].name

    def clock_engine(self, memory: Memory) -> Engine:
        """Return the engine whose clock applies to a memory's bandwidth per clock."""
        if memory.clocked_by is not None:
            return self.engine(memory.clocked_by)
        return next(e for e in self.engines if memory in self.hierarchy(e.name))

    @cached_property
    def main_memory(self) -> str:
        """Name of the memory that a model must fit into."""
        for memory in self.memories:
            if "main" in memory.roles:
                return memory.name
        levels = [m for m in self.hierarchy() if m.kind not in ("storage", "disk")]
        return (levels or self.hierarchy())[-1].name

    def engine(self, name: str = "main") -> Engine:
        """Return the engine of a name, or the default one.

        Raises
        ------
        InputError
        """
        wanted = self.main_engine if name == "main" else name
        return self._entry("engine", self.engines, wanted)

    def memory(self, name: str = "main") -> Memory:
        """Return the memory of a name or role.

        Raises
        ------
        InputError
        """
        wanted = self.main_memory if name == "main" else name
        by_role = {role: m.name for m in self.memories for role in m.roles}
        return self._entry("memory", self.memories, by_role.get(wanted, wanted))

    def _entry(self, noun: str, entries: tuple[Any, ...], name: str) -> Any:
        by_name = {entry.name: entry for entry in entries}
        if name not in by_name:
            raise input_error(
                f"{self.name} has no {noun} '{name}'",
                expected=one_of(by_name),
                suggestion=nearest(name, by_name),
            )
        return by_name[name]

    def hierarchy(self, engine: str = "main") -> tuple[Memory, ...]:
        """Return the memories that feed an engine, directly or through others, nearest first."""
        names = hierarchy(self, self.engine(engine).name)
        by_name = {memory.name: memory for memory in self.memories}
        return tuple(by_name[name] for name in names)

    def machine(self, runtime: Runtime | str | None = None) -> Machine:
        """Return the device with its facts resolved under a runtime (default if None)."""
        from perfmodel.hardware.machine import Machine

        return Machine(self, runtime)

    def vary(self, changes: Mapping[str, Any]) -> Machine:
        """Return a machine with some facts replaced by numbers, arrays or texts with units.

        Raises
        ------
        InputError
            Lists every unknown path with the nearest known one.
        """
        return self.machine().vary(changes)

    def grade(self) -> Grade:
        """Return the grade of the spec, with advice on improving it."""
        from perfmodel.hardware.grade import grade

        return grade(self)
