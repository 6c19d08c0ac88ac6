"""A device: engines, memories, links and power, as a frozen value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from perfmodel.errors import input_error, nearest, one_of
from perfmodel.hardware.engine import Engine, engine_class, engine_kinds
from perfmodel.hardware.link import Link
from perfmodel.hardware.memory import Memory, memory_class
from perfmodel.hardware.quantity import AsItself, Confidence, Of, Quantity, Spec, SpecDocument
from perfmodel.hardware.structure import check_device, hierarchy
from perfmodel.pydantic_faults import Flaw, checked, subclass
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.hardware.grade import Grade
    from perfmodel.hardware.machine import Machine
    from perfmodel.hardware.runtime import Runtime

Watts: TypeAlias = Annotated[Quantity, Of("power")]
Price: TypeAlias = Annotated[Quantity, Of("price")]
Area: TypeAlias = Annotated[Quantity, Of("area", positive=True)]
Temperature: TypeAlias = Annotated[Quantity, Of("temperature")]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Source(Spec):
    """Where numbers come from: a document that a reader can find."""

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


class Power(Spec):
    """Power that the device draws, and where it is measured."""

    boundary: Literal["core", "module", "board", "wall"]
    """What the figures include: core, module, board or wall."""
    idle: Watts | None = None
    """Power with nothing to do."""
    busy: Watts | None = None
    """Sustained ceiling under load (TDP where nothing better is known)."""
    thermal_resistance: Annotated[Quantity, Of("thermal_resistance", positive=True)] | None = None
    """From what must stay cool (case, junction) to the surroundings."""
    heat_capacity: Annotated[Quantity, Of("heat_capacity", positive=True)] | None = None
    """Of what warms up together."""
    ambient: Temperature | None = None
    """Temperature of the surroundings; 25 degC where left out."""
    limit: Temperature | None = None
    """Temperature at which the device slows down."""
    speed_exponent: Annotated[Quantity, Of("count", positive=True)] | None = None
    """Power beyond idle goes with speed to this: 1 for duty cycling (taken where left out), up to 3
    where the supply falls with the clock."""
    battery: Annotated[Quantity, Of("energy", positive=True)] | None = None
    """Usable energy of the battery."""
    note: str | None = None
    """What a reader must know."""
    source: str | None = None
    """Source of every number below that names none."""
    confidence: Confidence | None = None
    """Confidence of every number below that names none."""


#: Nodes that the tables reach: they go from 180 to 7 nm, and their trend to what is made today.
Node: TypeAlias = Annotated[Quantity, Of("length", positive=True, ceiling=180e-9, floor=2e-9)]


class EnergyModel(Spec):
    """Ask for energies from the tables of a silicon node, where the device states none."""

    node: Node
    """Silicon node of the engines and on-chip memories: ``"28 nm"``."""
    memories: Mapping[str, str] = Field(default_factory=dict)
    """Memory -> kind of DRAM whose energy it has: ddr4, lpddr5, hbm2 ..."""


def node_alone(given: Any) -> Any:
    """Energies may be asked for by the node alone."""
    return {"node": given} if isinstance(given, str) else given


def _engine(given: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Engine:
    """Read an engine as the spec class of its kind."""
    if isinstance(given, Mapping):
        kind = str(cast("Mapping[str, Any]", given).get("kind", "roofline"))
        # A misspelt kind is a fault of its own; the fields are read as the kind that was meant.
        found = engine_class(kind)
        if found is None and (meant := nearest(kind, engine_kinds())):
            found = engine_class(meant)
        if found is not None and found is not Engine:
            return subclass(found, given, info.context)
    return cast("Engine", handler(given))


def _memory(given: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Memory:
    """Read a memory as the spec class of its kind."""
    if isinstance(given, Mapping):
        kind = str(cast("Mapping[str, Any]", given).get("kind", ""))
        found = memory_class(kind)
        if found is not None and found is not Memory:
            return subclass(found, given, info.context)
    return cast("Memory", handler(given))


AnyMemory: TypeAlias = Annotated[Memory, AsItself(), WrapValidator(_memory)]
AnyEngine: TypeAlias = Annotated[Engine, AsItself(), WrapValidator(_engine)]


def title_alone(given: Any) -> Any:
    """A source may be written as its title alone."""
    return {"title": given} if isinstance(given, str) else given


class Device(SpecDocument):
    """A machine as its data sheets and measurements describe it."""

    schema_version: Literal[1] = 1
    """Version of this form."""
    name: Name
    """As people say it, in snake case."""
    base: str | None = None
    """Spec that this one inherits from; merged in before reading."""
    aliases: tuple[Name, ...] = ()
    """Other names."""
    title: str = ""
    """Full product name."""
    tags: tuple[str, ...] = ()
    """phone, mcu, gpu ...: words to select by."""
    year: int | None = Field(default=None, ge=1950, le=2100)
    """Year of release."""
    price: Price | None = None
    """Price at release."""
    area: Area | None = None
    """Die area."""
    process: str | None = None
    """Silicon process, as text."""
    note: str | None = None
    """What a reader must know."""
    default_runtime: str = "ideal"
    """Runtime assumed where none is named."""
    runtimes: tuple[str, ...] = ()
    """Further runtimes that its users run, in order: where none is named, a workload takes the
    first, the default before them, that runs what it yields in its precision."""
    default_engine: str | None = None
    """Engine that ``engines.main`` stands for; the first where left out."""
    overlap: Literal["full", "none", "cold_weights_add"] = "full"
    """How times compose: full (the slowest of compute and each level), none (their sum), or
    cold_weights_add (as full, but weights coming from main memory add to the compute time)."""
    sources: Mapping[str, Annotated[Source, BeforeValidator(title_alone)]] = Field(
        default_factory=dict
    )
    """Documents that numbers cite, by key."""
    source: str | None = None
    """Source of every number that names none."""
    confidence: Confidence | None = None
    """Confidence of every number that names none."""
    engines: tuple[AnyEngine, ...] = Field(min_length=1)
    """What computes."""
    memories: tuple[AnyMemory, ...] = Field(min_length=1)
    """What holds data, from nearest the engines to farthest."""
    links: tuple[Link, ...] = ()
    """Connections to other devices."""
    power: Power | None = None
    """Power and its boundary."""
    energy: Annotated[EnergyModel, BeforeValidator(node_alone)] | None = None
    """Node from whose tables energies are taken that nothing states; none where left out."""

    _inherited: dict[str, str] = PrivateAttr(default_factory=dict[str, str])
    # Path of a number -> name of the base spec that it came from.

    @staticmethod
    def structure_faults(data: Any) -> Iterable[Flaw]:
        """Checks across fields, on a mapping or a Device: names, roles, who feeds whom, sources."""
        return check_device(data)

    @model_validator(mode="after")
    def _check(self) -> Device:
        return checked(self, Device.structure_faults(self))

    def inherited_from(self, path: str) -> str:
        """Name of the base spec that a number came from; ``""`` where the device states it."""
        return self._inherited.get(path) or self._inherited.get(f"{path}.value", "")

    def inherit_from(self, bases: Mapping[str, str]) -> None:
        """Note which base spec each number came from; for provenance alone, not for equality."""
        self._inherited.update(bases)

    def __str__(self) -> str:
        """Its parts in a few lines; `repr` has every field."""
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
    def main_engine(self) -> str:
        """Name of the engine used where none is asked for."""
        return self.default_engine or self.engines[0].name

    @cached_property
    def main_memory(self) -> str:
        """Name of the memory that a model must fit in."""
        for memory in self.memories:
            if "main" in memory.roles:
                return memory.name
        levels = [m for m in self.hierarchy() if m.kind not in ("storage", "disk")]
        return (levels or self.hierarchy())[-1].name

    def engine(self, name: str = "main") -> Engine:
        """The engine of a name, or the default one.

        Raises
        ------
        InputError
        """
        wanted = self.main_engine if name == "main" else name
        return self._entry("engine", self.engines, wanted)

    def memory(self, name: str = "main") -> Memory:
        """The memory of a name or role.

        Raises
        ------
        InputError
        """
        wanted = self.main_memory if name == "main" else name
        by_role = {role: m.name for m in self.memories for role in m.roles}
        return self._entry("memory", self.memories, by_role.get(wanted, wanted))

    def _entry(self, noun: str, entries: tuple[Any, ...], name: str) -> Any:
        from perfmodel.errors import nearest

        for entry in entries:
            if entry.name == name:
                return entry
        names = [entry.name for entry in entries]
        meant = nearest(name, names)
        expected = one_of(names)
        raise input_error(
            f"{self.name} has no {noun} '{name}'", expected=expected, suggestion=meant
        )

    def hierarchy(self, engine: str = "main") -> tuple[Memory, ...]:
        """Memories that feed an engine, directly or through others, nearest first."""
        names = hierarchy(self, self.engine(engine).name)
        by_name = {memory.name: memory for memory in self.memories}
        return tuple(by_name[name] for name in names)

    def machine(self, runtime: Runtime | str | None = None) -> Machine:
        """The device with its facts resolved, under a runtime (a name, or the default one)."""
        from perfmodel.hardware.machine import Machine

        return Machine(self, runtime)

    def vary(self, changes: Mapping[str, Any]) -> Machine:
        """A machine with some facts replaced by numbers, arrays or texts with units.

        Raises
        ------
        InputError
            With every unknown path and its nearest known one.
        """
        return self.machine().vary(changes)

    def grade(self) -> Grade:
        """How far the spec can be trusted, and what would lift its grade."""
        from perfmodel.hardware.grade import grade

        return grade(self)
