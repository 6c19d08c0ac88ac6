"""The facts of a device under a runtime: flat paths to numbers, each with its provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, cast

from perfmodel.caches import FACTS_BYTES, cached
from perfmodel.errors import input_error
from perfmodel.hardware.device import Device, EnergyModel, Power
from perfmodel.hardware.engine import Engine, Peak
from perfmodel.hardware.limits import limits_of_plain
from perfmodel.hardware.link import Link
from perfmodel.hardware.memory import Memory
from perfmodel.hardware.quantity import Of, Quantity, Rate, Spec, limit_of
from perfmodel.hardware.runtime import EFFICIENCY_CLASSES, SCALE_CLASSES, Runtime, Serving


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a fact comes from.

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
        As the spec says.
    """

    writer: str
    source: str | None = None
    confidence: str | None = None
    note: str | None = None
    fitted_on: str | None = None
    measured_at: str | None = None


@dataclass(frozen=True, slots=True)
class Derived:
    """A fact that follows from others.

    Attributes
    ----------
    causes : tuple of str
        Paths that it depends on.
    law : callable
        Facts -> value; arrays and tracers pass.
    """

    causes: tuple[str, ...]
    law: Callable[[Mapping[str, Any]], Any]


@dataclass(slots=True)
class Facts:
    """Values by path, with what is needed to change them.

    Attributes
    ----------
    values : dict of str to float (or array)
        SI.
    provenance : dict of str to Provenance
    limits : dict of str to Of
        Dimension and range of every path that may be set, given a value or not: those of the spec's
        field.
    scaled : dict of str to list of str
        Path of a clock or a count of units -> paths proportional to it.
    derived : dict of str to Derived
        Path of a fact that others imply -> how; a varied cause takes it along.
    aliases : dict of (str, str) to str
        (section, role) -> entry name.
    engine : str
        Engine that ``engines.main`` stands for.
    memory : str
        Memory that ``memories.main`` stands for.
    """

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    provenance: dict[str, Provenance] = field(default_factory=dict[str, Provenance])
    limits: dict[str, Of] = field(default_factory=dict[str, Of])
    scaled: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    derived: dict[str, Derived] = field(default_factory=dict[str, Derived])
    aliases: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    engine: str = ""
    memory: str = ""

    def resolve(self, path: str) -> str:
        """A path with roles (``memories.main``) replaced by names."""
        parts = path.split(".", 2)
        if len(parts) < 2:
            return path
        name = self.aliases.get((parts[0], parts[1]))
        return path if name is None else ".".join([parts[0], name, *parts[2:]])

    def put(self, path: str, limits: Of, value: Any, origin: Provenance) -> None:
        """State a fact; ``value=None`` makes the path known but leaves it without a value."""
        self.limits[path] = limits
        if value is not None:
            self.values[path] = value
            self.provenance[path] = origin


#: Numbers of a device's `power`.
POWER: Final = (
    "idle",
    "busy",
    "thermal_resistance",
    "heat_capacity",
    "ambient",
    "limit",
    "speed_exponent",
    "battery",
)
#: Numbers that are worked out of several fields.
_SUSTAINED: Final = Of("fraction", positive=True, ceiling=1.0)
_SPEEDUP: Final = Of("fraction", floor=1.0)
_DEFAULT: Final = Provenance("default")


@cache
def field_limits(model: type[Spec]) -> dict[str, Of]:
    """Dimension and range of each field of a spec class that holds a quantity or several."""
    found = {name: limit_of(info) for name, info in model.model_fields.items()}
    return {name: limits for name, limits in found.items() if limits is not None}


@cached(FACTS_BYTES, same=2)
def facts_of(device: Device, runtime: Runtime) -> Facts:
    """Facts of a device under a runtime, resolved once for each pair of objects.

    Raises
    ------
    InputError
        Where the runtime drives an engine that the device lacks.
    """
    return _FactsBuilder(device, runtime).build()


def driven_engine(device: Device, runtime: Runtime) -> str:
    """Name of the engine that a runtime drives on a device."""
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
    def __init__(self, device: Device, runtime: Runtime) -> None:
        self.device, self.runtime, self.facts = device, runtime, Facts()

    def build(self) -> Facts:
        facts, device = self.facts, self.device
        facts.engine = driven_engine(device, self.runtime)
        facts.memory = device.main_memory
        facts.aliases["engines", "main"] = facts.engine
        for memory in device.memories:
            for role in memory.roles:
                facts.aliases["memories", role] = memory.name
        facts.aliases["memories", "main"] = facts.memory
        self._fields("", Device, device, "area", "price")
        for engine in device.engines:
            self._engine(engine)
        for memory in device.memories:
            self._memory(memory)
        for link in device.links:
            at = f"links.{link.name}."
            self._fields(at, Link, link, "bandwidth")
            self._fields(at, Link, link, "latency", default=0.0)
            self._fields(at, Link, link, "energy_per_byte")
        self._fields("power.", Power, device.power, *POWER)
        self._runtime()
        if device.energy is not None:
            from perfmodel.hardware.technology.fill import fill_energies

            self._fields("energy.", EnergyModel, device.energy, "node")
            fill_energies(facts, device)
        return facts

    def _fields(
        self, at: str, model: type[Spec], entry: Any, *names: str, default: float | None = None
    ) -> None:
        """State numbers of an entry of a spec class; all without a value where there is none."""
        for name in names:
            given = None if entry is None else getattr(entry, name)
            self._number(f"{at}{name}", field_limits(model)[name], given, entry, default)

    def _number(
        self,
        path: str,
        limits: Of,
        given: Quantity | None,
        entry: Any,
        default: float | None = None,
    ) -> None:
        if given is None:
            self.facts.put(path, limits, default, _DEFAULT)
        else:
            self.facts.put(path, limits, given.value, self._origin(path, given, entry))

    def _origin(self, path: str, given: Quantity, entry: Any) -> Provenance:
        """Provenance of a number: its own, else its entry's, else the device's."""
        base = self.device.inherited_from(path)
        return Provenance(
            f"base {base}" if base else f"device {self.device.name}",
            given.source or getattr(entry, "source", None) or self.device.source,
            given.confidence or getattr(entry, "confidence", None) or self.device.confidence,
            given.note,
            given.fitted_on,
            given.measured_at,
        )

    def _engine(self, engine: Engine) -> None:
        at, facts, limits = f"engines.{engine.name}", self.facts, field_limits(Engine)
        if engine.clock is not None:
            self._fields(f"{at}.", Engine, engine, "clock")
            facts.scaled[f"{at}.clock"] = []
        if "units" in engine.model_fields_set:
            self._fields(f"{at}.", Engine, engine, "units")
        else:
            facts.put(f"{at}.units", limits["units"], engine.units.value, _DEFAULT)
        facts.scaled[f"{at}.units"] = []
        for field_name, peaks in (("peaks", engine.peaks), ("vector_peaks", engine.vector_peaks)):
            for key, peak in peaks.items():
                path = f"{at}.{field_name}.{key}"
                value = dense_peak(peak, engine)
                facts.put(path, limits[field_name], value, self._origin(path, peak, engine))
                facts.scaled[f"{at}.units"].append(path)
                if engine.clock is not None:
                    facts.scaled[f"{at}.clock"].append(path)
        self._fields(f"{at}.", Engine, engine, "launch_overhead", default=0.0)
        self._fields(f"{at}.", Engine, engine, "handover")
        for key in dict.fromkeys((*engine.peaks, *engine.vector_peaks, *engine.energy_per_op)):
            energy, path = engine.energy_per_op.get(key), f"{at}.energy_per_op.{key}"
            self._number(path, limits["energy_per_op"], energy, engine)
        for name in ("sparse_speedup", "accumulator_speedup"):
            for key, speedup in getattr(engine, name).items():
                facts.put(f"{at}.{name}.{key}", _SPEEDUP, speedup, self._entry(engine))
        for name in (
            "boost_clock",
            "vector_issue",
            "unpack_speedup",
            "busy_power",
            "vector_energy_per_op",
            "move_energy",
        ):
            if getattr(engine, name) is not None:
                self._fields(f"{at}.", Engine, engine, name)
        self._own(at, engine, Engine)

    def _own(self, at: str, entry: Engine | Memory, base: type[Engine] | type[Memory]) -> None:
        for name, limits, given in kind_numbers(entry, base):
            if isinstance(given, Quantity) or given is None:
                self._number(f"{at}.{name}", limits, given, entry)
            else:
                self.facts.put(f"{at}.{name}", limits, given, self._entry(entry))
        followers: Mapping[str, tuple[str, ...]] = getattr(entry, "SCALES", {})
        for name, fields in followers.items():
            self.facts.scaled[f"{at}.{name}"] = [f"{at}.{field_name}" for field_name in fields]

    def _entry(self, entry: Any) -> Provenance:
        source = entry.source or self.device.source
        confidence = entry.confidence or self.device.confidence
        return Provenance(f"device {self.device.name}", source, confidence)

    def _memory(self, memory: Memory) -> None:
        at, facts = f"memories.{memory.name}", self.facts
        self._fields(f"{at}.", Memory, memory, "capacity")
        self._fields(f"{at}.", Memory, memory, "reserved", default=0.0)
        theoretical = self._rate(memory, memory.bandwidth)
        path = f"{at}.bandwidth"
        origin = self._origin(path, memory.bandwidth, memory)
        facts.put(path, field_limits(Memory)["bandwidth"], theoretical, origin)
        if memory.bandwidth.per_clock:
            clock = clock_engine(self.device, memory)
            facts.scaled[f"engines.{clock.name}.clock"].append(path)
        fraction, origin = 1.0, _DEFAULT
        sustained = memory.sustained_bandwidth
        if sustained is not None:
            fraction = self._rate(memory, sustained) / theoretical
            origin = self._origin(f"{at}.sustained_bandwidth", sustained, memory)
        facts.put(f"{at}.sustained_fraction", _SUSTAINED, fraction, origin)
        alone, path = memory.unit_bandwidth, f"{at}.unit_bandwidth"
        if alone is not None:
            origin = self._origin(path, alone, memory)
            limit = field_limits(Memory)["unit_bandwidth"]
            facts.put(path, limit, self._rate(memory, alone), origin)
            if alone.per_clock:
                clock = clock_engine(self.device, memory)
                facts.scaled[f"engines.{clock.name}.clock"].append(path)
        for name in ("way", "ramp_start", "ramp_end"):
            if getattr(memory, name) is not None:
                self._fields(f"{at}.", Memory, memory, name)
        self._fields(f"{at}.", Memory, memory, "latency", default=0.0)
        self._fields(f"{at}.", Memory, memory, "energy_per_byte")
        self._own(at, memory, Memory)

    def _rate(self, memory: Memory, rate: Rate) -> float:
        if not rate.per_clock:
            return rate.value
        clock = clock_engine(self.device, memory).clock
        assert clock is not None  # a structural fault otherwise
        return rate.value * clock.value

    def _runtime(self) -> None:
        runtime, facts, limits = self.runtime, self.facts, field_limits(Runtime)
        numbers: list[tuple[str, Quantity | None]] = []
        for name in limits:
            given: Any = getattr(runtime, name)
            if not isinstance(given, Mapping):
                numbers.append((name, given))
            elif name in ("sustained_energy_per_op", "hosts"):
                # Of the generations that a runtime knows, the one that the device is of.
                entries = cast("Mapping[str, Quantity]", given)
                numbers += [(name, q) for tag, q in entries.items() if tag in self.device.tags]
            elif name not in ("efficiency", "scale"):
                entries = cast("Mapping[str, Quantity]", given)
                numbers += [(f"{name}.{key}", quantity) for key, quantity in entries.items()]
        numbers += [
            (f"efficiency.{key}", runtime.efficiency.get(key))
            for key in dict.fromkeys((*EFFICIENCY_CLASSES, *runtime.efficiency))
        ]
        numbers += [
            (f"scale.{key}", runtime.scale.get(key))
            for key in dict.fromkeys((*SCALE_CLASSES, *runtime.scale))
        ]
        for name, given in numbers:
            origin = _DEFAULT
            if given is not None and name.partition(".")[0] in runtime.model_fields_set:
                origin = self._runtime_origin(given)
            value = None if given is None else given.value
            facts.put(f"runtime.{name}", limits[name.partition(".")[0]], value, origin)
        for key, kernel in runtime.kernels.items():
            for name, limit in field_limits(type(kernel)).items():
                given = getattr(kernel, name)
                if given is not None:
                    path = f"runtime.kernels.{key}.{name}"
                    facts.put(path, limit, given.value, self._runtime_origin(given))

        for name, limit in field_limits(Serving).items():
            given = None if runtime.serving is None else getattr(runtime.serving, name)
            path = f"runtime.serving.{name}"
            if given is None:
                facts.put(path, limit, None, _DEFAULT)
            else:
                facts.put(path, limit, given.value, self._runtime_origin(given))

    def _runtime_origin(self, given: Quantity) -> Provenance:
        return Provenance(
            f"runtime {self.runtime.name}",
            given.source or self.runtime.source,
            given.confidence or self.runtime.confidence,
            given.note,
            given.fitted_on,
            given.measured_at,
        )


def dense_peak(peak: Peak, engine: Engine) -> float:
    """Dense operations per second of a peak at the engine's clock."""
    value = peak.value
    if peak.sparsity not in (None, "dense"):
        value /= engine.sparse_speedup[str(peak.sparsity)]
    if peak.clock is not None and engine.clock is not None:
        value *= engine.clock.value / peak.clock.value
    return value


def clock_engine(device: Device, memory: Memory) -> Engine:
    """The engine whose clock a memory's bandwidth per clock goes by."""
    if memory.clocked_by is not None:
        return device.engine(memory.clocked_by)
    fed = (e for e in device.engines if memory in device.hierarchy(e.name))
    return next(fed)


def kind_numbers(
    entry: Engine | Memory, base: type[Engine] | type[Memory]
) -> Iterator[tuple[str, Of, Quantity | float | None]]:
    """Numbers that a kind's spec class adds to its base: field, dimension and range, value.

    Plain int and float fields (rows of an array, say) are facts too, so that they can be varied;
    those of a spec inside it stand below its field (``design.reuse_factor``).
    """
    yield from _numbers_of(entry, base.model_fields)


def _numbers_of(
    entry: Spec, known: Mapping[str, Any]
) -> Iterator[tuple[str, Of, Quantity | float | None]]:
    for name, info in type(entry).model_fields.items():
        if name in known:
            continue
        value = getattr(entry, name)
        limits = limit_of(info)
        if isinstance(value, Spec) and not isinstance(value, Quantity):
            for below, limit, number in _numbers_of(value, {}):
                yield f"{name}.{below}", limit, number
        elif isinstance(value, Mapping):
            for key, one in cast("Mapping[str, Any]", value).items():
                if isinstance(one, Quantity) and limits is not None:
                    yield f"{name}.{key}", limits, one
                elif isinstance(one, Spec):
                    for below, limit, number in _numbers_of(one, {}):
                        yield f"{name}.{key}.{below}", limit, number
            # Keys that may be set though the spec does not state them.
            below_spec, keys = getattr(type(entry), "KEYS", {}).get(name, (None, ()))
            for key in keys:
                if key not in value and below_spec is not None:
                    for below, limit, number in _numbers_of(below_spec(), {}):
                        yield f"{name}.{key}.{below}", limit, number
        elif limits is not None:
            yield name, limits, value
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, limits_of_plain(info, value), float(value)


def choices(engine: Engine) -> dict[str, Any]:
    """Switches and words that a kind's spec class adds to its base, by field.

    Those of a spec inside it stand below its field (``design.style``). With them stand the numbers
    that a kind takes from the spec itself (`Engine.CONSTANTS`), whatever facts are varied.
    """
    return {**engine.CONSTANTS, **dict(_choices_of(engine, Engine.model_fields))}


def _choices_of(entry: Spec, known: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in type(entry).model_fields:
        if name in known:
            continue
        value = getattr(entry, name)
        if isinstance(value, (str, bool)):
            yield name, value
        elif isinstance(value, Spec) and not isinstance(value, Quantity):
            for below, word in _choices_of(value, _WORDS):
                yield f"{name}.{below}", word
        elif isinstance(value, Mapping):
            for key, one in cast("Mapping[str, Any]", value).items():
                if isinstance(one, Spec) and not isinstance(one, Quantity):
                    for below, word in _choices_of(one, _WORDS):
                        yield f"{name}.{key}.{below}", word


#: Fields of a spec inside another that say where its numbers are from, not what it does.
_WORDS: Final[Mapping[str, None]] = {"note": None, "source": None, "confidence": None}
