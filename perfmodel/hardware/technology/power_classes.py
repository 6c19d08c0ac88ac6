"""Power of a device by the class of its engines, where its spec states neither energies nor power.

With the shares i (idle), r (running), c (compute) and m (memory) of the class, and a limit P
(``power.busy``, or an estimate of the class)::

    P_idle = i P                      P_running = r (P - P_idle), while kernels run
    e(format) = c (P - P_idle) / peak(format)
    e(byte of main memory) = m (P - P_idle) / bandwidth, else DRAM + transport

They are facts as any other: the energy of a run is the sum of its operations, bytes and static
power, and each kernel draws at most ``power.busy`` (`perfmodel.cost.energy.kernel_energy`).
Engines that draw about one power whenever they compute (microcontrollers; processors whose power
under load was measured) get ``engines.*.busy_power`` instead. The shares are in
``hardware_specs/energy/power_classes.yaml``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from perfmodel.arrays import namespace
from perfmodel.hardware.quantity import Of
from perfmodel.hardware.supply_voltage import dynamic_power_law
from perfmodel.hardware.technology.clock_energies import VOLTAGE, microcontroller_power
from perfmodel.hardware.technology.default_energies import ON_CHIP, is_programmed
from perfmodel.hardware.technology.offchip import dram_energy
from perfmodel.hardware.technology.operations import operand_bits, operation_energy
from perfmodel.hardware.technology.ownership import node_of
from perfmodel.hardware.technology.sram import sram_access_energy
from perfmodel.hardware.technology.tables import table
from perfmodel.units import parse

if TYPE_CHECKING:
    from perfmodel.hardware.device import Device
    from perfmodel.hardware.engine import Engine
    from perfmodel.hardware.facts import Facts
    from perfmodel.hardware.memory import Memory

#: Limits of the facts that no field of a spec has.
_POWER: Final = Of("power")
_PER_BYTE: Final = Of("energy_per_byte")
_PER_OPERATION: Final = Of("energy_per_op")
_SHARE: Final = Of("fraction", floor=0.0)
#: Facts of a microcontroller that the power of its class follows.
_CLOCK_CAUSES: Final = ("clock", "units", "supply", "nominal_supply", "loop_energy")
#: Confidences of a power that was read from a meter.
_METERED: Final = ("measured", "fitted")


def power_class(device: Device, engine: Engine) -> str | None:
    """Return the class of an engine; None for kinds that count their own energies."""
    for name, entry in table("power_classes")["classes"].items():
        words = entry.get("words")
        tagged = {engine.name, *(engine.tags or device.tags)}
        if engine.kind in entry["kinds"] and (words is None or not {*words}.isdisjoint(tagged)):
            return name
    return None


def unmeasured_factor(device: Device, engine: Engine) -> float:
    """Return the factor, up or down, that holds 90 % of a class's powers for such a device.

    It is 1 for devices of a sort on which the constants of the class were measured.
    """
    data, name = table("power_classes"), power_class(device, engine)
    measured = data["classes"][name].get("measured", ()) if name else ()
    return data["unmeasured"]["value"] if {*measured}.isdisjoint(device.tags) else 1.0


def add_class_power(facts: Facts, device: Device) -> None:
    """Add the energies and powers of the classes of a device's engines, where it states none.

    An engine that states energies keeps to them; formats that it leaves out take theirs in inverse
    proportion to the peaks. One that states its power under load keeps to that. Of a device that
    asks for the tables of its node, processors and GPUs alone take what their class has.
    """
    main = f"memories.{device.main_memory}.energy_per_byte"
    # The main engine comes first, whose class says what the device draws idle.
    for engine in sorted(device.engines, key=lambda one: one.name != device.main_engine):
        if device.energy is not None and not is_programmed(engine):
            continue
        if engine.energy_per_op and main in facts.values:
            _add_formats(facts, engine)
            continue
        name = power_class(device, engine)
        if name is None or engine.busy_power or _is_counted(facts, engine, name):
            continue
        _ClassPower(facts, device, engine, name).add()


def _is_counted(facts: Facts, engine: Engine, name: str) -> bool:
    """Return whether an engine states what its kind counts energies from.

    One that draws a single power needs it for the bare roofline all the same.
    """
    entry = table("power_classes")["classes"][name]
    stated = getattr(engine, entry.get("counted_from", ""), None) is not None
    return stated and not (entry.get("active") is True and "power.busy" in facts.values)


def _add_formats(facts: Facts, engine: Engine) -> None:
    """Add energies of formats that an engine leaves out, which has those of others."""
    from perfmodel.hardware.facts import Provenance

    at = f"engines.{engine.name}"
    stated = [(key, facts.values.get(f"{at}.peaks.{key}")) for key in engine.energy_per_op]
    known = next(((key, peak) for key, peak in stated if peak is not None), None)
    for key in engine.peaks:
        path = f"{at}.energy_per_op.{key}"
        if known is not None and path not in facts.values:
            joule = facts.values[f"{at}.energy_per_op.{known[0]}"] * known[1]
            note = f"that of {known[0]} in inverse proportion to the peaks"
            origin = Provenance("table power_classes", "library", "estimated", note)
            facts.put(path, _PER_OPERATION, joule / facts.values[f"{at}.peaks.{key}"], origin)


class _ClassPower:
    """The facts that a class gives one engine of a device."""

    def __init__(self, facts: Facts, device: Device, engine: Engine, name: str) -> None:
        self.facts, self.device, self.engine, self.name = facts, device, engine, name
        self.entry: dict[str, Any] = table("power_classes")["classes"][name]
        self.at = f"engines.{engine.name}"
        self.node = node_of(device)
        #: Sources of a limit that the spec does not state.
        self.limit_sources: tuple[str, ...] = ()

    def add(self) -> None:
        """Add a power under load, or an energy of each operation and byte and static power."""
        busy = self.facts.provenance.get("power.busy")
        active = self.entry.get("active")
        metered = busy is not None and busy.confidence in _METERED
        if busy is not None and (active is True or (active == "measured" and metered)):
            self._add_busy_power()
        elif active is True:
            self._add_microcontroller()
        else:
            self._add_energies()

    def _add_busy_power(self) -> None:
        from perfmodel.hardware.facts import Derived, Provenance

        path, busy = f"{self.at}.busy_power", "power.busy"
        note = f"class {self.name}: power.busy is what it draws while it computes"
        confidence = self.facts.provenance[busy].confidence
        known = Provenance("table power_classes", "library", confidence, note)
        self.facts.put(path, _POWER, self.facts.values[busy], known)
        law = dynamic_power_law(self.facts.values, self.engine)
        if len(self.device.engines) == 1:
            self.facts.derived[busy] = law
            self.facts.derived[path] = Derived((busy, *law.causes), _busy)
        else:
            self.facts.derived[path] = replace(law, causes=(busy, *law.causes))

    def _add_energies(self) -> None:
        limit = self.facts.values.get("power.busy")
        most = self._limit() if limit is None else self._own_share(limit)
        if most is None:
            return
        idle = self.facts.values.get("power.idle")
        if idle is None:
            by_share = self._share("idle") * most
            stated = self._stated_idle(by_share, estimated=limit is None)
            idle = by_share if stated is None else stated["value"]
            if self.engine.name == self.device.main_engine and self.device.energy is None:
                self._put("power.idle", _POWER, idle, "idle", stated)
        spare = max(most - idle, 0.0)
        if spare == 0.0 and self.engine.name != self.device.main_engine:
            # The idle power is the whole chip's: cores whose clocks take less still add to it.
            spare = (1.0 - self._share("idle")) * most
        self._put_per_clock("running_power", self._share("running") * spare)
        self._follow_share(f"{self.at}.running_power", "running", spare)
        for compute, peak in self._peaks():
            path = f"{self.at}.energy_per_op.{compute}"
            if path not in self.facts.values:
                self._add_operation(path, compute, spare / peak, estimated=limit is None)
        self._add_bytes(self.device.memory("main"), spare, estimated=limit is None)

    def _follow_share(self, path: str, name: str, scale: float, most: float | None = None) -> None:
        """Let a fact follow a share of the class, which is a fact too and may be varied."""
        from perfmodel.hardware.facts import Derived

        share = self._share_path(name)
        law = partial(_by_share, share, scale, math.inf if most is None else most)
        self.facts.derived[path] = Derived((share,), law)

    def _share_path(self, name: str) -> str:
        path = f"{self.at}.power_shares.{name}"
        self._put(path, _SHARE, self._share(name), name)
        return path

    def _stated_idle(self, by_share: float, *, estimated: bool) -> Mapping[str, Any] | None:
        """Return the entry of the idle power of small chips without a limit, if it applies.

        Of devices with one of its words it is the most.
        """
        has_dram = any(memory.kind == "dram" for memory in self.device.memories)
        stated = self.entry["unlimited"].get("idle" if has_dram else "idle_without_dram")
        if stated is None or not estimated or self._has_word("cooled"):
            return None
        tags = self.device.tags
        words = stated.get("words")
        applies = words is None or (by_share > stated["value"] and not {*words}.isdisjoint(tags))
        return stated if applies else None

    def _own_share(self, limit: float) -> float:
        """Return the power that an engine reaches of a chip's limit, W.

        Cores beside the engine that the limit is made for reach what their clocks take.
        """
        is_main = self.engine.name == self.device.main_engine
        if is_main or not self._has_word("shared") or "clock_energy" not in self.entry["unlimited"]:
            return limit
        own = self._clock_limit()
        return limit if own is None else min(limit, own)

    def _has_word(self, name: str) -> bool:
        """Return whether the device has a tag of a list of the table."""
        return not {*table("power_classes")[name]}.isdisjoint(self.device.tags)

    def _add_bytes(self, main: Memory, spare: float, *, estimated: bool) -> None:
        """Add the energy of a byte of main memory, and of its way to the engine and back.

        Both together are ``memory (P - P_idle) / bandwidth`` where the class has that share and the
        device a limit, else the table's DRAM + ``transport``; chips that share their limit among
        engines take the lower of both.
        """
        from perfmodel.hardware.facts import Derived

        path = f"memories.{main.name}.energy_per_byte"
        if main.kind == "dram":
            joule = dram_energy(dram_kind(self.device, main))
        elif main.kind in ON_CHIP:
            joule = float(sram_access_energy(main.capacity.value, 64, self.node)) / 8
        else:
            return
        if path not in self.facts.values:
            self._put(path, _PER_BYTE, joule, "transport")
        if main.kind == "dram":
            own = f"{self.at}.transport_energy"
            transport = parse(self.entry["transport"]["value"], "energy_per_byte")
            if "memory" not in self.entry or estimated:
                self._put(own, _PER_BYTE, transport, "transport")
                return
            most = transport if self._has_word("shared") else math.inf
            rate, share = f"memories.{main.name}.bandwidth", self._share_path("memory")
            law = partial(_transport_energy, rate, path, share, spare, most)
            self._put(own, _PER_BYTE, float(law(self.facts.values)), "memory")
            self.facts.derived[own] = Derived((rate, share), law)

    def _add_operation(
        self, path: str, compute: str, watts_per_rate: float, *, estimated: bool
    ) -> None:
        """Add the energy of an operation: by the power limit, the table of the node, or both.

        Chips that share their limit among engines take the lower of both.
        """
        overhead, by_table = self.entry.get("overhead"), None
        if overhead is not None and (estimated or self._has_word("shared")):
            by_table = self._table_energy(compute, overhead["value"])
        if estimated and by_table is not None:
            self._put(path, _PER_OPERATION, by_table, "compute")
            return
        self._follow_share(path, "compute", watts_per_rate, by_table)
        joule = float(self.facts.derived[path].law(self.facts.values))
        self._put(path, _PER_OPERATION, joule, "compute")

    def _limit(self) -> float | None:
        """Return the power under load that the class has without a stated one, W."""
        if "clock_energy" in self.entry["unlimited"] and self.engine.clock is not None:
            return self._clock_limit()
        if "overhead" not in self.entry["unlimited"]:
            return None
        compute, peak = max(self._peaks(), key=lambda each: each[1])
        load = peak * self._table_energy(compute, self.entry["unlimited"]["overhead"])
        return load / (self._share("compute") * (1.0 - self._share("idle")))

    def _clock_limit(self) -> float | None:
        energies, facts = self.entry["unlimited"], self.facts.values
        clock = facts.get(f"{self.at}.clock")
        if clock is None:
            return None
        joule, units = parse(energies["clock_energy"]["value"], "energy"), facts[f"{self.at}.units"]
        mobile = energies.get("mobile_clock_energy")
        if mobile is not None and self._has_word("mobile") and not self._has_word("wide"):
            by_node = [
                float(operation_energy("fp32", node)) for node in (self.node, mobile["node"])
            ]
            joule = parse(mobile["value"], "energy") * by_node[0] / by_node[1]
            self.limit_sources = (mobile["source"],)
            peak = facts.get(f"{self.at}.peaks.fp32", facts.get(f"{self.at}.vector_peaks.fp32"))
            if peak is not None:
                each = max(peak / (clock * units), mobile["least"])
                joule *= each / mobile["operations"]
        return joule * clock * units

    def _add_microcontroller(self) -> None:
        """Add the power of running networks, which follows clock, units, supply and loop."""
        from perfmodel.hardware.facts import Derived

        values, path = self.facts.values, f"{self.at}.busy_power"
        if f"{self.at}.clock" not in values:
            return
        law = partial(microcontroller_power, self.device, self.engine.name, values.get(VOLTAGE))
        self._put(path, _POWER, float(law(values)), "running")
        causes = [f"{self.at}.{name}" for name in _CLOCK_CAUSES]
        self.facts.derived[path] = Derived((*causes, VOLTAGE), law)

    def _table_energy(self, compute: str, overhead: float) -> float:
        """Return the energy of an operation by the table of the node, J.

        ``overhead e(f)``, or ``e(f) + (overhead - 1) e(f0) bits(f) / bits(f0)`` where the class
        states the format f0 of its overhead: a bit of an operand takes as much in every format.
        """
        product = 0.5 * float(operation_energy(compute, self.node))
        reference = self.entry.get("overhead_format")
        if reference is None:
            return overhead * product
        carried = (overhead - 1.0) * 0.5 * float(operation_energy(reference, self.node))
        return product + carried * operand_bits(compute) / operand_bits(reference)

    def _peaks(self) -> list[tuple[str, float]]:
        """Return format and operations per second of each peak, those of products first."""
        heads = f"{self.at}.peaks.", f"{self.at}.vector_peaks."
        return [
            (path.removeprefix(head), peak)
            for head in heads
            for path, peak in self.facts.values.items()
            if path.startswith(head)
        ]

    def _share(self, name: str) -> float:
        return self.entry[name]["value"]

    def _put_per_clock(self, name: str, watts: float | None) -> None:
        """Set a power that is proportional to the clock of the engine."""
        path = f"{self.at}.{name}"
        self._put(path, _POWER, watts, "running")
        if f"{self.at}.clock" in self.facts.scaled and watts is not None:
            self.facts.scaled[f"{self.at}.clock"][path] = 1.0

    def _put(
        self,
        path: str,
        limits: Of,
        value: float | None,
        name: str,
        stated: Mapping[str, Any] | None = None,
    ) -> None:
        from perfmodel.hardware.facts import Provenance

        entry = stated or self.entry.get(name) or self.entry["unlimited"]["clock_energy"]
        note = f"class {self.name}; {entry['note']}" if "note" in entry else f"class {self.name}"
        # The way of a byte costs the same under any limit, and so does a stated idle power.
        more = () if name == "transport" or stated else self.limit_sources
        source = ", ".join(dict.fromkeys((entry["source"], *more)))
        known = Provenance("table power_classes", source, "estimated", note)
        self.facts.put(path, limits, value, known)


def _by_share(share: str, scale: float, most: float, facts: Mapping[str, Any]) -> Any:
    """Return a power or an energy that is proportional to a share, up to a limit."""
    return namespace(facts[share]).minimum(facts[share] * scale, most)


def _transport_energy(
    rate: str, dram: str, share: str, spare: float, most: float, facts: Mapping[str, Any]
) -> Any:
    """Return the energy of a byte's way, J, by the power that streaming takes; see `_add_bytes`."""
    xp = namespace(facts[rate], facts[share])
    return xp.clip(facts[share] * spare / facts[rate] - facts[dram], 0.0, most)


def _busy(facts: Mapping[str, Any]) -> Any:
    return facts["power.busy"]


def dram_kind(device: Device, memory: Memory) -> str:
    """Return the kind of DRAM of a memory, by its name and notes, else what its class has."""
    names: dict[str, str] = table("power_classes")["dram"]
    texts = memory.name, memory.note, memory.bandwidth.note, memory.capacity.note
    text = " ".join(filter(None, texts)).lower()
    stated = next((kind for word, kind in names.items() if word in text), None)
    mobile = not {*table("power_classes")["mobile"]}.isdisjoint(device.tags)
    return stated or ("lpddr4" if mobile else "gddr6" if "gpu" in device.tags else "ddr4")
