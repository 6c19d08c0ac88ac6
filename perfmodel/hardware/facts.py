"""Facts of a device under a runtime: a flat mapping of paths to numbers with provenance.

Cost models read numbers by path (``engines.gpu.peaks.fp16``, ``memories.dram.bandwidth``) in SI
units. `facts_of` collects them from the specs of the device and the runtime, with the limits of
each, the facts proportional to a clock or a count of units, and the rules for computed facts, which
`Machine.vary` needs to replace some of them by numbers or arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, Final, cast

from pydantic.fields import FieldInfo

from perfmodel.caches import FACTS_BYTES, cached
from perfmodel.errors import input_error
from perfmodel.hardware.device import Device, EnergyModel, Power, SiteSpec, UseSpec
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.fact_limits import limits_of_plain
from perfmodel.hardware.link import Link
from perfmodel.hardware.memory import Memory
from perfmodel.hardware.quantity import Of, Quantity, Rate, Spec, limit_of
from perfmodel.hardware.runtime import EFFICIENCY_CLASSES, SCALE_CLASSES, Runtime, Serving
from perfmodel.hardware.supply_voltage import voltage_exponents


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin of a fact.

    Attributes
    ----------
    writer : str
        Last writer: ``device NAME``, ``base NAME``, ``runtime NAME``, ``calibration``, ``vary`` or
        ``default``.
    source : str or None
        Key of the writer's `sources`.
    confidence : str or None
        datasheet, measured, fitted or estimated.
    note, fitted_on, measured_at : str or None
        Copied from the spec.
    """

    writer: str
    source: str | None = None
    confidence: str | None = None
    note: str | None = None
    fitted_on: str | None = None
    measured_at: str | None = None


@dataclass(frozen=True, slots=True)
class Derived:
    """Rule for a fact that is computed from others.

    Attributes
    ----------
    causes : tuple of str
        Paths that it depends on.
    law : callable
        Facts -> value; accepts arrays and tracers.
    """

    causes: tuple[str, ...]
    law: Callable[[Mapping[str, Any]], Any]


@dataclass(slots=True)
class Facts:
    """Values by path, with the limits and dependencies needed to vary them.

    Attributes
    ----------
    values : dict of str to float (or array)
        Values in SI units.
    provenance : dict of str to Provenance
        Origin of each value.
    limits : dict of str to Of
        Dimension and range of every settable path, with or without a value, from the spec's field.
    scaled : dict of str to dict of str to float
        Path of a clock, a count of units or a voltage -> paths that follow it, each with the
        exponent of its power law: 1 if it is proportional.
    derived : dict of str to Derived
        Path of a computed fact -> its rule, reapplied when one of its causes is varied.
    aliases : dict of (str, str) to str
        (section, role) -> entry name.
    engine : str
        Engine that ``engines.main`` refers to.
    memory : str
        Memory that ``memories.main`` refers to.
    """

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    provenance: dict[str, Provenance] = field(default_factory=dict[str, Provenance])
    limits: dict[str, Of] = field(default_factory=dict[str, Of])
    scaled: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    derived: dict[str, Derived] = field(default_factory=dict[str, Derived])
    aliases: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    engine: str = ""
    memory: str = ""

    def resolve(self, path: str) -> str:
        """Return a path with roles (``memories.main``) replaced by names."""
        parts = path.split(".", 2)
        if len(parts) < 2:
            return path
        name = self.aliases.get((parts[0], parts[1]))
        return path if name is None else ".".join([parts[0], name, *parts[2:]])

    def put(self, path: str, limits: Of, value: Any, origin: Provenance) -> None:
        """Set a fact; ``value=None`` makes the path settable but leaves it without a value."""
        self.limits[path] = limits
        if value is not None:
            self.values[path] = value
            self.provenance[path] = origin


def _grown(path: str, cause: str, growth: Callable[[Any], Any], facts: Mapping[str, Any]) -> Any:
    """Return a fact, scaled already, times its growth with a cause."""
    return facts[path] * growth(facts[cause])


#: Limits of numbers that are computed from several fields.
_SUSTAINED_LIMITS: Final = Of("fraction", positive=True, ceiling=1.0)
_SPEEDUP_LIMITS: Final = Of("fraction", floor=1.0)
_DEFAULT_PROVENANCE: Final = Provenance("default")
#: A number without provenance of its own.
_WITHOUT_PROVENANCE: Final = Quantity(value=0.0)
#: Default values of numbers that a spec omits.
_DEFAULTS: Final[Mapping[str, float]] = {"launch_overhead": 0.0, "reserved": 0.0, "latency": 0.0}
#: Optional numbers of engines.
_OPTIONAL_ENGINE_NUMBERS: Final = (
    "boost_clock",
    "vector_issue",
    "unpack_speedup",
    "busy_power",
    "vector_energy_per_op",
    "running_power",
    "transport_energy",
    "move_energy",
)
#: Numbers that can be varied only if the spec states them; others can be varied in any case.
_VARIABLE_IF_STATED: Final = (
    *(*_OPTIONAL_ENGINE_NUMBERS, "clock", "voltage", "way", "ramp_start", "ramp_end"),
)
#: Numbers that a runtime states by tags of devices: the last of those that a device has applies.
_BY_GENERATION: Final = ("sustained_energy_per_op", "hosts")
#: Keys that can be varied even if the runtime does not state them.
_CLASS_KEYS: Final = {"efficiency": EFFICIENCY_CLASSES, "scale": SCALE_CLASSES}


@cache
def field_limits(model: type[Spec]) -> dict[str, Of]:
    """Return dimension and range of each field of a spec class that holds quantities."""
    limits = {name: limit_of(info) for name, info in model.model_fields.items()}
    return {name: limit for name, limit in limits.items() if limit is not None}


@cached(FACTS_BYTES, identity_keys=2)
def facts_of(device: Device, runtime: Runtime) -> Facts:
    """Return the facts of a device under a runtime, cached per pair of objects.

    Raises
    ------
    InputError
        The runtime drives an engine that the device lacks.
    """
    engine, threads = driven_engine(device, runtime), runtime.threads
    sections, known = _facts_of_device(device, None if threads is None else (engine, threads))
    generations = {tag for name in _BY_GENERATION for tag in getattr(runtime, name)}
    own = _facts_of_runtime(runtime, frozenset(generations.intersection(device.tags)))
    return Facts(
        # In the order of sections: those of the device, the runtime, computed energies.
        {**sections.values, **own.values, **known.values},
        {**sections.provenance, **own.provenance, **known.provenance},
        {**sections.limits, **own.limits, **known.limits},
        known.scaled,
        known.derived,
        {**known.aliases, ("engines", "main"): engine},
        engine,
        known.memory,
    )


@cached(FACTS_BYTES, identity_keys=1)
def _facts_of_device(device: Device, threads: tuple[str, int] | None) -> tuple[Facts, Facts]:
    """Return what a device states, and the same with computed energies: one for all runtimes.

    Parameters
    ----------
    threads
        Engine that a runtime drives with a number of threads, and that number, if it states one.
    """
    builder = _FactsBuilder(device, threads)
    stated = builder.of_device()
    sections = replace(
        stated,
        values=dict(stated.values),
        provenance=dict(stated.provenance),
        limits=dict(stated.limits),
    )
    return sections, builder.with_energies()


@cached(FACTS_BYTES, identity_keys=1)
def _facts_of_runtime(runtime: Runtime, tags: frozenset[str]) -> Facts:
    """Return the facts of a runtime on devices that have these tags of `_BY_GENERATION`."""
    return _FactsBuilder(runtime).of_runtime(tags)


def driven_engine(device: Device, runtime: Runtime) -> str:
    """Return the name of the engine that a runtime drives on a device."""
    wanted = runtime.engine
    if wanted is None:
        return device.main_engine
    by_name = [e.name for e in device.engines if e.name == wanted]
    by_tag = [e.name for e in device.engines if wanted in e.tags]
    if device.main_engine in by_tag:
        return device.main_engine
    if not by_name + by_tag:
        known = ", ".join(f"{e.name} ({', '.join(e.tags) or 'no tags'})" for e in device.engines)
        message = f"runtime {runtime.name} drives an engine '{wanted}', which {device.name} lacks"
        raise input_error(message, path="runtime", expected=f"one of {known}")
    return (by_name + by_tag)[0]


class _FactsBuilder:
    """Collector of the facts of one device or of one runtime, section by section."""

    def __init__(self, spec: Device | Runtime, threads: tuple[str, int] | None = None) -> None:
        self.spec, self.threads, self.facts = spec, threads, Facts()
        self.writer = f"{'device' if isinstance(spec, Device) else 'runtime'} {spec.name}"

    @property
    def device(self) -> Device:
        """The device."""
        assert isinstance(self.spec, Device)
        return self.spec

    def of_device(self) -> Facts:
        """Return the facts of all sections of the device."""
        facts, device = self.facts, self.device
        facts.memory = device.main_memory
        facts.aliases["engines", "main"] = device.main_engine
        for memory in device.memories:
            for role in memory.roles:
                facts.aliases["memories", role] = memory.name
        facts.aliases["memories", "main"] = facts.memory
        self._fields("", Device, device, names=("area", "price", "volume"))
        for engine in device.engines:
            self._engine(engine)
        for memory in device.memories:
            self._memory(memory)
        for link in device.links:
            self._fields(f"links.{link.name}.", Link, link)
        self._fields("power.", Power, device.power)
        self._fields("site.", SiteSpec, device.site)
        self._fields("use.", UseSpec, device.use)
        return facts

    def with_energies(self) -> Facts:
        """Return the facts of the device with the energies that follow from them."""
        facts, device = self.facts, self.device
        if device.links:
            from perfmodel.hardware.technology.default_energies import add_link_energies

            add_link_energies(facts, device)
        from perfmodel.hardware.technology.power_classes import add_class_power

        if device.energy is not None:
            from perfmodel.hardware.technology.default_energies import add_default_energies

            self._fields("energy.", EnergyModel, device.energy)
            add_default_energies(facts, device)
        add_class_power(facts, device)
        if "power.voltage" in facts.values:
            facts.scaled["power.voltage"] = dict(voltage_exponents(facts, device))
        return facts

    def _fields(
        self,
        prefix: str,
        model: type[Spec],
        entry: Any,
        where_stated: Container[str] = _VARIABLE_IF_STATED,
        names: Iterable[str] = (),
    ) -> None:
        """Set the numbers of an entry of a spec class (all or `names`), except its mappings."""
        for name in names or field_limits(model):
            limits = field_limits(model)[name]
            number = getattr(entry, name, None)
            left_out = number is None and name in where_stated
            if limits.per_clock:
                self._bandwidth(entry, name, number)
            elif not (left_out or isinstance(number, Mapping)):
                stated = entry if number is None or name in entry.model_fields_set else None
                self._number(f"{prefix}{name}", limits, number, stated, _DEFAULTS.get(name))

    def _number(
        self,
        path: str,
        limits: Of,
        number: Quantity | float | None,
        entry: Any,
        default: float | None = None,
    ) -> None:
        """Set a number of an entry; without an entry its provenance is ``default``."""
        origin = _DEFAULT_PROVENANCE
        if number is None:
            number = default
        elif entry is not None:
            origin = self._origin(path, entry, number)
        self.facts.put(path, limits, getattr(number, "value", number), origin)

    def _origin(self, path: str, entry: Any, number: Quantity | float) -> Provenance:
        """Return the provenance of a number: its own, else its entry's, else the spec's."""
        spec, writer = self.spec, self.writer
        stated = number if isinstance(number, Quantity) else _WITHOUT_PROVENANCE
        if isinstance(spec, Device) and stated is number and (base := spec.inherited_from(path)):
            writer = f"base {base}"
        return Provenance(
            writer,
            stated.source or getattr(entry, "source", None) or spec.source,
            stated.confidence or getattr(entry, "confidence", None) or spec.confidence,
            stated.note,
            stated.fitted_on,
            stated.measured_at,
        )

    def _engine(self, engine: Engine) -> None:
        """Set the facts of an engine; its peaks are proportional to its clock and units."""
        prefix, facts, limits = f"engines.{engine.name}", self.facts, field_limits(Engine)
        self._fields(f"{prefix}.", Engine, engine, names=("clock", "units"))
        proportional_paths: list[str] = []
        for name in ("peaks", "vector_peaks"):
            for key, peak in getattr(engine, name).items():
                path = f"{prefix}.{name}.{key}"
                origin = self._origin(path, engine, peak)
                facts.put(path, limits[name], engine.dense_peak(peak), origin)
                proportional_paths.append(path)
        facts.scaled[f"{prefix}.units"] = dict.fromkeys(proportional_paths, 1.0)
        if self.threads is not None and engine.name == self.threads[0]:
            share = min(1.0, self.threads[1] / engine.units.value)
            for path in (f"{prefix}.units", *proportional_paths):
                facts.values[path] *= share
        if engine.clock is not None:
            facts.scaled[f"{prefix}.clock"] = dict.fromkeys(proportional_paths, 1.0)
        self._fields(f"{prefix}.", Engine, engine, names=("launch_overhead", "handover"))
        for key in dict.fromkeys((*engine.peaks, *engine.vector_peaks, *engine.energy_per_op)):
            energy, path = engine.energy_per_op.get(key), f"{prefix}.energy_per_op.{key}"
            self._number(path, limits["energy_per_op"], energy, engine)
        for name in ("sparse_speedup", "accumulator_speedup"):
            for key, speedup in getattr(engine, name).items():
                self._number(f"{prefix}.{name}.{key}", _SPEEDUP_LIMITS, speedup, engine)
        self._fields(f"{prefix}.", Engine, engine, names=_OPTIONAL_ENGINE_NUMBERS)
        self._fields_of_kind(prefix, engine, Engine)
        for name, growth in engine.peak_laws.items():
            for key in engine.peaks:
                path, cause = f"{prefix}.peaks.{key}", f"{prefix}.{name}"
                facts.derived[path] = Derived((cause,), partial(_grown, path, cause, growth))

    def _fields_of_kind(
        self, prefix: str, entry: Engine | Memory, base: type[Engine | Memory]
    ) -> None:
        """Set the numbers that the class of an entry's kind adds to its base."""
        for name, limits, number in kind_numbers(entry, base):
            self._number(f"{prefix}.{name}", limits, number, entry)
        proportional_paths: Mapping[str, tuple[str, ...]] = getattr(entry, "SCALES", {})
        for name, fields in proportional_paths.items():
            self.facts.scaled[f"{prefix}.{name}"] = dict.fromkeys(
                (f"{prefix}.{field_name}" for field_name in fields), 1.0
            )

    def _memory(self, memory: Memory) -> None:
        prefix = f"memories.{memory.name}"
        self._fields(f"{prefix}.", Memory, memory)
        self._fields_of_kind(prefix, memory, Memory)

    def _bandwidth(self, memory: Memory, name: str, rate: Rate | None) -> None:
        """Set a bandwidth in B/s; a sustained one as a fraction of the theoretical one.

        A bandwidth per clock is proportional to the clock of its engine.
        """
        prefix, origin, value = f"memories.{memory.name}", _DEFAULT_PROVENANCE, None
        if rate is not None:
            origin, value = self._origin(f"{prefix}.{name}", memory, rate), self._rate(memory, rate)
        if name == "sustained_bandwidth":
            share = 1.0 if value is None else value / self.facts.values[f"{prefix}.bandwidth"]
            self.facts.put(f"{prefix}.sustained_fraction", _SUSTAINED_LIMITS, share, origin)
        elif rate is not None:
            self.facts.put(f"{prefix}.{name}", field_limits(Memory)[name], value, origin)
            if rate.per_clock:
                clock = self.device.clock_engine(memory)
                self.facts.scaled[f"engines.{clock.name}.clock"][f"{prefix}.{name}"] = 1.0

    def _rate(self, memory: Memory, rate: Rate) -> float:
        if not rate.per_clock:
            return rate.value
        clock = self.device.clock_engine(memory).clock
        assert clock is not None  # a structural fault otherwise
        return rate.value * clock.value

    def of_runtime(self, tags: Container[str]) -> Facts:
        """Return the facts of the runtime, its kernels' constants and its serving overheads."""
        runtime = self.spec
        assert isinstance(runtime, Runtime)
        known = field_limits(Runtime)
        for name in (*(name for name in known if name not in _CLASS_KEYS), *_CLASS_KEYS):
            limits = known[name]
            stated: Any = getattr(runtime, name)
            numbers: Mapping[str, Quantity | None] = {"": stated}
            if isinstance(stated, Mapping):
                entries = cast("Mapping[str, Quantity]", stated)
                if name in _BY_GENERATION:
                    matches = [entries[tag] for tag in entries if tag in tags]
                    numbers = {"": matches[-1]} if matches else {}
                else:
                    keys = dict.fromkeys((*_CLASS_KEYS.get(name, ()), *entries))
                    numbers = {f".{key}": entries.get(key) for key in keys}
            entry = runtime if name in runtime.model_fields_set else None
            for below, number in numbers.items():
                self._number(f"runtime.{name}{below}", limits, number, entry)
        for key, kernel in runtime.kernels.items():
            model = type(kernel)
            self._fields(f"runtime.kernels.{key}.", model, kernel, field_limits(model))
        self._fields("runtime.serving.", Serving, runtime.serving)
        return self.facts


def kind_numbers(
    entry: Engine | Memory, base: type[Engine | Memory]
) -> Iterator[tuple[str, Of, Quantity | float | None]]:
    """Yield numbers that a kind's spec class adds to its base: field, dimension and range, value.

    Plain int and float fields (such as the rows of an array) are facts too, so they can be varied.
    """
    for name, info, value in _added_fields(entry, base.model_fields, with_keys=True):
        limits = limit_of(info)
        if limits is not None:
            yield name, limits, value
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, limits_of_plain(info, value), float(value)


def text_fields(engine: Engine) -> dict[str, Any]:
    """Return the switches and words that a kind's spec class adds to its base, by field.

    Includes the numbers that a kind reads from the spec, unaffected by varied facts
    (`Engine.CONSTANTS`).
    """
    leaves = _added_fields(engine, Engine.model_fields)
    return {**engine.CONSTANTS, **{n: v for n, _, v in leaves if isinstance(v, (str, bool))}}


#: Fields of a nested spec that hold provenance, not facts.
_PROVENANCE_FIELDS: Final[Mapping[str, None]] = {"note": None, "source": None, "confidence": None}


def _added_fields(
    entry: Spec, base: Container[str], *, with_keys: bool = False
) -> Iterator[tuple[str, FieldInfo, Any]]:
    """Yield the fields of a spec that its base lacks: path, declaration, value.

    Paths of nested specs are joined by dots (``design.style``).

    Parameters
    ----------
    with_keys
        Include settable keys of mappings that the spec does not state (`KEYS`).
    """
    for name, info in type(entry).model_fields.items():
        if name in base:
            continue
        value = getattr(entry, name)
        if not isinstance(value, (Mapping, Spec)) or isinstance(value, Quantity):
            yield name, info, value
            continue
        parts: dict[str, Any] = {name: value}
        if isinstance(value, Mapping):
            stated = cast("Mapping[str, Any]", value)
            parts = {f"{name}.{key}": part for key, part in stated.items()}
            part_of, keys = getattr(type(entry), "KEYS", {}).get(name, (Spec, ()))
            unstated = (key for key in keys if with_keys and key not in stated)
            parts |= {f"{name}.{key}": part_of() for key in unstated}
        for path, part in parts.items():
            if isinstance(part, Quantity):
                yield path, info, part
            elif isinstance(part, Spec):
                for below, declared, leaf in _added_fields(
                    part, _PROVENANCE_FIELDS, with_keys=with_keys
                ):
                    yield f"{path}.{below}", declared, leaf
