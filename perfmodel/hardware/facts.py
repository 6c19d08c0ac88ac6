"""The facts of a device under a runtime: flat paths to numbers, each with its provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from perfmodel.errors import Fault, InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.engine import Engine, Peak
from perfmodel.hardware.memory import Memory
from perfmodel.hardware.quantity import Quantity, Rate
from perfmodel.hardware.runtime import EFFICIENCY_CLASSES, Runtime
from perfmodel.hardware.write import dimension_of

__all__ = ["Facts", "Provenance", "facts_of"]


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
    dimensions : dict of str to str
        Dimension of every path that may be set, given a value or not.
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
    dimensions: dict[str, str] = field(default_factory=dict[str, str])
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

    def put(self, path: str, dimension: str, value: Any, origin: Provenance) -> None:
        """State a fact; ``value=None`` makes the path known but leaves it without a value."""
        self.dimensions[path] = dimension
        if value is not None:
            self.values[path] = value
            self.provenance[path] = origin


#: Facts of a device as a warm body with a battery -> dimension.
THERMAL: Final = {
    "thermal_resistance": "thermal_resistance",
    "heat_capacity": "heat_capacity",
    "ambient": "temperature",
    "limit": "temperature",
    "speed_exponent": "count",
    "battery": "energy",
}
_DEFAULT: Final = Provenance("default")
_cache: dict[tuple[int, int], tuple[Device, Runtime, Facts]] = {}


def facts_of(device: Device, runtime: Runtime) -> Facts:
    """Facts of a device under a runtime, resolved once for each pair of objects.

    Raises
    ------
    InputError
        Where the runtime drives an engine that the device lacks.
    """
    # Keyed by identity because hashing a spec costs more than resolving it; the objects are kept
    # in the value so that an id cannot be reused.
    key = id(device), id(runtime)
    known = _cache.get(key)
    if known is not None:
        return known[2]
    facts = _Builder(device, runtime).build()
    if len(_cache) >= 1024:
        _cache.clear()
    _cache[key] = device, runtime, facts
    return facts


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
        raise InputError(Fault(message, path="runtime", expected=f"one of {known}"))
    return (by_name + by_tag)[0]


class _Builder:
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
        self._number("area", "area", device.area, device)
        self._number("price", "price", device.price, device)
        for engine in device.engines:
            self._engine(engine)
        for memory in device.memories:
            self._memory(memory)
        for link in device.links:
            at = f"links.{link.name}"
            self._number(f"{at}.bandwidth", "bandwidth", link.bandwidth, link)
            self._number(f"{at}.latency", "time", link.latency, link, 0.0)
            self._number(f"{at}.energy_per_byte", "energy_per_byte", link.energy_per_byte, link)
        power = device.power
        self._number("power.idle", "power", power and power.idle, power)
        self._number("power.busy", "power", power and power.busy, power)
        for name, dimension in THERMAL.items():
            self._number(f"power.{name}", dimension, power and getattr(power, name), power)
        self._runtime()
        if device.energy is not None:
            from perfmodel.hardware.technology.fill import fill_energies

            self._number("energy.node", "length", device.energy.node, device.energy)
            fill_energies(facts, device)
        return facts

    def _number(
        self, path: str, dimension: str, given: Quantity | None, entry: Any,
        default: float | None = None,
    ) -> None:  # fmt: skip
        if given is None:
            self.facts.put(path, dimension, default, _DEFAULT)
        else:
            self.facts.put(path, dimension, given.value, self._origin(path, given, entry))

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
        at, facts = f"engines.{engine.name}", self.facts
        if engine.clock is not None:
            self._number(f"{at}.clock", "frequency", engine.clock, engine)
            facts.scaled[f"{at}.clock"] = []
        if "units" in engine.model_fields_set:
            self._number(f"{at}.units", "count", engine.units, engine)
        else:
            facts.put(f"{at}.units", "count", engine.units.value, _DEFAULT)
        facts.scaled[f"{at}.units"] = []
        for field_name, peaks in (("peaks", engine.peaks), ("vector_peaks", engine.vector_peaks)):
            for key, peak in peaks.items():
                path = f"{at}.{field_name}.{key}"
                value = dense_peak(peak, engine)
                facts.put(path, "compute", value, self._origin(path, peak, engine))
                facts.scaled[f"{at}.units"].append(path)
                if engine.clock is not None:
                    facts.scaled[f"{at}.clock"].append(path)
        self._number(f"{at}.launch_overhead", "time", engine.launch_overhead, engine, 0.0)
        for key in dict.fromkeys((*engine.peaks, *engine.vector_peaks, *engine.energy_per_op)):
            energy = engine.energy_per_op.get(key)
            self._number(f"{at}.energy_per_op.{key}", "energy_per_op", energy, engine)
        for key, speedup in engine.sparse_speedup.items():
            facts.put(f"{at}.sparse_speedup.{key}", "fraction", speedup, self._entry(engine))
        self._own(at, engine, Engine)

    def _own(self, at: str, entry: Engine | Memory, base: type[Engine] | type[Memory]) -> None:
        for name, dimension, given in kind_numbers(entry, base):
            if isinstance(given, Quantity) or given is None:
                self._number(f"{at}.{name}", dimension, given, entry)
            else:
                self.facts.put(f"{at}.{name}", dimension, given, self._entry(entry))
        followers: Mapping[str, tuple[str, ...]] = getattr(entry, "SCALES", {})
        for name, fields in followers.items():
            self.facts.scaled[f"{at}.{name}"] = [f"{at}.{field_name}" for field_name in fields]

    def _entry(self, entry: Any) -> Provenance:
        source = entry.source or self.device.source
        confidence = entry.confidence or self.device.confidence
        return Provenance(f"device {self.device.name}", source, confidence)

    def _memory(self, memory: Memory) -> None:
        at, facts = f"memories.{memory.name}", self.facts
        self._number(f"{at}.capacity", "bytes", memory.capacity, memory)
        self._number(f"{at}.reserved", "bytes", memory.reserved, memory, 0.0)
        theoretical = self._rate(memory, memory.bandwidth)
        path = f"{at}.bandwidth"
        facts.put(path, "bandwidth", theoretical, self._origin(path, memory.bandwidth, memory))
        if memory.bandwidth.per_clock:
            clock = clock_engine(self.device, memory)
            facts.scaled[f"engines.{clock.name}.clock"].append(path)
        fraction, origin = 1.0, _DEFAULT
        sustained = memory.sustained_bandwidth
        if sustained is not None:
            fraction = self._rate(memory, sustained) / theoretical
            origin = self._origin(f"{at}.sustained_bandwidth", sustained, memory)
        facts.put(f"{at}.sustained_fraction", "fraction", fraction, origin)
        self._number(f"{at}.latency", "time", memory.latency, memory, 0.0)
        self._number(f"{at}.energy_per_byte", "energy_per_byte", memory.energy_per_byte, memory)
        self._own(at, memory, Memory)

    def _rate(self, memory: Memory, rate: Rate) -> float:
        if not rate.per_clock:
            return rate.value
        clock = clock_engine(self.device, memory).clock
        assert clock is not None  # a structural fault otherwise
        return rate.value * clock.value

    def _runtime(self) -> None:
        runtime, facts = self.runtime, self.facts
        numbers: list[tuple[str, str, Quantity | None]] = [
            ("per_run", "time", runtime.per_run),
            ("per_operator", "time", runtime.per_operator),
            ("per_layer", "time", runtime.per_layer),
            ("per_layer_clocks", "clocks", runtime.per_layer_clocks),
            ("draw_bytes_per_clock_per_unit", "bandwidth_per_clock",
             runtime.draw_bytes_per_clock_per_unit),
            ("pnorm", "count", runtime.pnorm),
        ]  # fmt: skip
        numbers += [
            (f"efficiency.{key}", "fraction", runtime.efficiency.get(key))
            for key in dict.fromkeys((*EFFICIENCY_CLASSES, *runtime.efficiency))
        ]
        for name, dimension, given in numbers:
            origin = _DEFAULT
            if given is not None and name.partition(".")[0] in runtime.model_fields_set:
                origin = Provenance(
                    f"runtime {runtime.name}",
                    given.source or runtime.source,
                    given.confidence or runtime.confidence,
                    given.note,
                    given.fitted_on,
                    given.measured_at,
                )
            value = None if given is None else given.value
            facts.put(f"runtime.{name}", dimension, value, origin)


def dense_peak(peak: Peak, engine: Engine) -> float:
    """Dense operations a second of a peak at the engine's clock."""
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
) -> Iterator[tuple[str, str, Quantity | float | None]]:
    """Numbers that a kind's spec class adds to its base: field, dimension, value.

    Plain int and float fields (rows of an array, say) are facts too, so that they can be varied.
    """
    for name, info in type(entry).model_fields.items():
        if name in base.model_fields:
            continue
        value = getattr(entry, name)
        dimension = dimension_of(info)
        if dimension:
            yield name, dimension, value
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, "count", float(value)


def choices(engine: Engine) -> dict[str, Any]:
    """Switches and words that a kind's spec class adds to its base, by field."""
    added = [name for name in type(engine).model_fields if name not in Engine.model_fields]
    values = {name: getattr(engine, name) for name in added}
    return {n: v for n, v in values.items() if isinstance(v, (str, bool))}
