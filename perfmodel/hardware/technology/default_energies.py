"""Default energies of a device, derived from the tables of its silicon node.

A spec may state only its node (``energy: "7 nm"``). `add_default_energies` then supplies the energy
of an operation, of a byte from each memory, and the background power of DRAM, as computed facts
that follow a varied node or capacity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from perfmodel.catalog import module_of
from perfmodel.hardware.quantity import Of
from perfmodel.hardware.technology.offchip import (
    dram_access_energy,
    dram_energy,
    dram_kinds,
    dram_power,
    entry,
    flash_page_read_energy,
    link_energy,
    link_kinds,
)
from perfmodel.hardware.technology.operations import operation_energy
from perfmodel.hardware.technology.sram import sram_access_energy
from perfmodel.hardware.technology.tables import table

if TYPE_CHECKING:
    from perfmodel.hardware.device import Device
    from perfmodel.hardware.engine import Engine
    from perfmodel.hardware.facts import Facts, Provenance
    from perfmodel.hardware.memory import Memory

#: Kinds of memory that are SRAM on the chip.
ON_CHIP: Final = ("register_file", "scratchpad", "cache")
#: Engines that fetch instructions, which take many times the energy of arithmetic.
_PROGRAMMED: Final = frozenset({"cpu", "gpu"})
_NODE: Final = "energy.node"
_STRUCTURE: Final = ("engines.", "memories.")
#: Limits of the background power, which only the tables supply.
_POWER: Final = Of("power")


def add_default_energies(facts: Facts, device: Device) -> None:
    """Add energies that the spec does not state, from the tables of the device's node.

    - ``engines.*.energy_per_op.*``: half a multiply-accumulate of `operation_energy`, in the
      accumulator that the peak states, J per operation; not of processors and GPUs, whose
      instructions take most of their energy (`perfmodel.hardware.technology.power_classes`);
    - ``memories.*.energy_per_byte``, J/B: of on-chip memories from `sram_access_energy` by
      capacity, of DRAM from `dram_access_energy` by kind, of NAND flash from `link_energy` of its
      channel;
    - ``memories.*.background_power``, W: of DRAM from `dram_power` by capacity;
    - ``memories.*.read_energy``, J/B: of NAND flash from `flash_page_read_energy` by page size and
      read time;
    - ``power.leakage``, W: of the blocks of silicon that the spec states, unless it states an idle
      power (`perfmodel.kinds.silicon`).

    They are estimates, are recomputed for a varied node, capacity, page or read time, and are
    overridden by any value that is stated or varied.

    Parameters
    ----------
    facts
        Facts of the device, changed in place; must include ``energy.node``.
    device
        Device with an `energy` section.
    """
    model = device.energy
    assert model is not None
    for engine in device.engines:
        if is_programmed(engine):
            continue
        peaks = {**engine.vector_peaks, **engine.peaks}
        for key, peak in peaks.items():
            law = partial(_operation, key, peak.accumulator)
            _add_derived_fact(
                facts, f"engines.{engine.name}.energy_per_op.{key}", law, (_NODE,), _OPERATIONS
            )
    for memory in device.memories:
        at = f"memories.{memory.name}"
        if memory.kind in ON_CHIP:
            law = partial(_sram, f"{at}.capacity")
            causes = (_NODE, f"{at}.capacity")
            _add_derived_fact(facts, f"{at}.energy_per_byte", law, causes, _SRAM)
        if memory.kind == "nand":
            causes = (f"{at}.page", f"{at}.read_time")
            _add_derived_fact(
                facts, f"{at}.read_energy", partial(_sensing, *causes), causes, _CELLS
            )
            _add_derived_fact(facts, f"{at}.energy_per_byte", _flash_channel, (), _CHANNEL)
        kind = dram_of(memory, model.memories)
        if kind:
            _add_dram_facts(facts, at, kind)
    if "power.idle" not in facts.values:
        _add_leakage(facts, device)


def is_programmed(engine: Engine) -> bool:
    """Return whether an engine is a processor or a GPU."""
    return not _PROGRAMMED.isdisjoint((engine.name, *engine.tags))


def _add_leakage(facts: Facts, device: Device) -> None:
    """Add the leakage of the blocks that the spec states; areas that are stated leak nothing."""
    leakage = partial(_leakage, device)
    if leakage(facts.values) is not None:
        causes = (_NODE, *(path for path in facts.values if path.startswith(_STRUCTURE)))
        _add_derived_fact(facts, "power.leakage", leakage, causes, _LEAKAGE)


def add_link_energies(facts: Facts, device: Device) -> None:
    """Add the energies of links to other devices that the spec does not state, by their kind.

    They are ``links.*.energy_per_byte`` in J/B, of a byte sent, both ends together; a kind that
    the tables do not have gets none.
    """
    known = link_kinds()
    for link in device.links:
        path = f"links.{link.name}.energy_per_byte"
        if path not in facts.values and link.kind in known:
            origin = _origin("memories", table("memories")["links"][link.kind])
            facts.put(path, facts.limits[path], link_energy(link.kind), origin)


def dram_of(memory: Memory, named: Mapping[str, str]) -> str:
    """Return a memory's kind of DRAM, from the spec or else its name; ``""`` if not DRAM."""
    kind = named.get(memory.name, "")
    return kind or (memory.name if memory.kind == "dram" and memory.name in dram_kinds() else "")


def _add_dram_facts(facts: Facts, at: str, kind: str) -> None:
    path = f"{at}.energy_per_byte"
    if path not in facts.values:
        origin = _origin("memories", entry(kind))
        joule = dram_access_energy(kind)
        if joule < dram_energy(kind):
            note = "less standby and refresh, which the background power holds"
            origin = replace(origin, note="; ".join(filter(None, (note, origin.note))))
        facts.put(path, facts.limits[path], joule, origin)
    power = dram_power(kind)
    if power is not None:
        law = partial(_background, f"{at}.capacity", power.standby + power.refresh)
        _add_derived_fact(facts, f"{at}.background_power", law, (f"{at}.capacity",), _CURRENTS)


def _add_derived_fact(
    facts: Facts,
    path: str,
    law: Callable[[Mapping[str, Any]], Any],
    causes: tuple[str, ...],
    origin: tuple[str, str, str],
) -> None:
    from perfmodel.hardware.facts import Derived, Provenance

    if path in facts.values:
        return
    name, source, note = origin
    known = Provenance(f"table {name}", source, "estimated", note)
    facts.put(path, facts.limits.get(path, _POWER), law(facts.values), known)
    facts.derived[path] = Derived(causes, law)


def _origin(name: str, row: Mapping[str, Any]) -> Provenance:
    from perfmodel.hardware.facts import Provenance

    return Provenance(f"table {name}", row["source"], row["confidence"], row.get("note"))


_OPERATIONS: Final = (
    "operations",
    "horowitz2014, jouppi2021",
    "half a multiply-accumulate; no register, wire or control in it",
)
_SRAM: Final = (
    "memories",
    "horowitz2014, bitfusion_cacti, jouppi2021",
    "a byte of a 64-bit word from one bank of this capacity; published memories differ threefold",
)
_CURRENTS: Final = (
    "memories",
    "dramsys_micron, micron_tn4101",
    "standby and refresh, by the data sheet's currents",
)
_CELLS: Final = (
    "memories",
    "numonyx_nand01g",
    "the supply current of an old 3 V part for as long as a page is sensed",
)
_LEAKAGE: Final = (
    "areas",
    "itrs, cacti_devices",
    "transistors and temperature of the device's class; clocks at rest and regulators not in it",
)
_CHANNEL: Final = ("memories", "aif2025", "of an ONFI channel; no link behind it")


def _leakage(device: Device, facts: Mapping[str, Any]) -> Any:
    silicon = module_of("perfmodel.kinds.silicon").silicon_of(device, facts)
    if isinstance(silicon, str):
        return None
    watts = sum(silicon.leakage_w().values())
    return watts if np.any(watts) else None


def _operation(key: str, accumulator: str | None, facts: Mapping[str, Any]) -> Any:
    return 0.5 * operation_energy(key, facts[_NODE] * 1e9, accumulator=accumulator)


def _sram(capacity: str, facts: Mapping[str, Any]) -> Any:
    # Energy per byte of a 64-bit word.
    return sram_access_energy(facts[capacity], 64, facts[_NODE] * 1e9) / 8


def _background(capacity: str, watts_per_byte: float, facts: Mapping[str, Any]) -> Any:
    return facts[capacity] * watts_per_byte


def _sensing(page: str, read_time: str, facts: Mapping[str, Any]) -> Any:
    page_energy = flash_page_read_energy(page_read_s=facts[read_time], page_bytes=0.0)
    return page_energy / facts[page]


def _flash_channel(_facts: Mapping[str, Any]) -> Any:
    return link_energy("flash_channel")
