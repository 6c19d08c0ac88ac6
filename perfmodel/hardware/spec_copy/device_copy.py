"""Copy of a device's spec under a new name, with some of its facts set.

`copy_device` resolves the settings as `Machine.vary` does, writes every number that changes (also
those proportional to a set one) into a copy of the text, and marks values that were measured or
fitted on the original as estimates. The result, `NewSpec`, can be predicted with and saved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from perfmodel import units
from perfmodel.atomic import output_faults, write_text
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.hardware import library
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import ideal_runtime
from perfmodel.hardware.spec_copy.yaml_edit import SpecText, quoted
from perfmodel.hardware.supply_voltage import dynamic_power_law
from perfmodel.settings import FaultList
from perfmodel.specfile import read, validate
from perfmodel.table import Result
from perfmodel.table.result import SUFFIXES

#: Key under `sources` for numbers set by the user.
SOURCE: Final = "set_by_user"

#: Factors that stated peaks are divided by.
_SPEEDUPS: Final = ("sparse_speedup", "accumulator_speedup")

Confidence = Literal["estimated", "datasheet", "measured"]


@dataclass(frozen=True, slots=True)
class Change:
    """A number in which the new spec differs from its original.

    Attributes
    ----------
    path : str
        Path of the fact, with names: ``memories.dram.bandwidth``.
    before, after : float or None
        Values in SI units; None if nothing was stated.
    dimension : str
    cause : str
        ``set``, or the rule that changed it: ``in proportion to engines.npu.clock``.
    """

    path: str
    before: float | None
    after: float
    dimension: str
    cause: str = "set"

    def __str__(self) -> str:
        old = "not stated" if self.before is None else self._shown(self.before)
        return f"{self.path}: {old} -> {self._shown(self.after)} ({self.cause})"

    def _shown(self, value: float, digits: int | None = 4) -> str:
        floating = self.path.rpartition(".")[2].startswith(("fp", "bf", "tf", "mx", "nv"))
        unit = ("FLOP/s" if floating else "OP/s") if self.dimension == "compute" else ""
        return units.show(value, self.dimension, digits=digits, unit=unit)

    @property
    def written(self) -> str:
        """The number as written in a spec file: exact if set, else with five digits."""
        if units.DIMENSIONS[self.dimension].unit in ("1", "clock"):
            return f"{self.after:.12g}"
        return self._shown(self.after, None if self.cause == "set" else 5)


@dataclass(frozen=True, repr=False)
class NewSpec(Result):
    """A spec file that has not been saved yet.

    Attributes
    ----------
    device : Device
        Device that the text defines.
    text : str
        YAML.
    base : str
        Device that it was copied from.
    why : str
        Reason for the choice of `base`, if it was chosen automatically.
    changes : tuple of Change
    carried_over : int
        Number of values measured or fitted on `base`, now marked as estimates.
    overrides : bool
        Whether the library has a device of this name, which the file replaces if its folder is
        given.
    remarks : tuple of str
        Numbers far from those of `base`, possibly for lack of a unit.
    """

    noun = "spec"

    device: Device
    text: str
    base: str
    why: str = ""
    changes: tuple[Change, ...] = ()
    carried_over: int = 0
    overrides: bool = False
    remarks: tuple[str, ...] = ()

    def save(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, path: str | Path, *, force: bool = False, **forms: Any
    ) -> Path:
        """Write the spec file atomically; other suffixes save the list of changes as a result.

        Raises
        ------
        InputError
            The file exists and `force` is not set, or it cannot be written.
        """
        if Path(path).suffix in SUFFIXES:
            super().save(path, **forms)
            return Path(path)
        faults = saving_faults(path, force)
        if faults:
            raise InputError(faults)
        write_text(path, self.text)
        return Path(path)

    @property
    def headline(self) -> str:
        """Name of the device that was copied, and the reason for it."""
        return f"a copy of {self.base}" + (f" ({self.why})" if self.why else "")

    def cautions(self) -> list[str]:
        """Return the changes, the number of values carried over, the runtime and the grade."""
        lines = [*(str(change) for change in self.changes), *self.remarks]
        if self.carried_over:
            word = "number" if self.carried_over == 1 else "numbers"
            lines.append(
                f"{self.carried_over} measured or fitted {word} of {self.base} became estimates"
            )
        if self.overrides:
            lines.append(
                f"the library has a device {self.device.name} too: its name stands for that one, "
                "and this file is taken by its path, or by name where its folder is named "
                "(--devices)"
            )
        software, grade = self.device.default_runtime, self.device.grade()
        lines.append(f"runtime {software}, whose constants hold where they were fitted")
        return [*lines, f"grade {grade.letter} ({grade.score:.2f})  {grade.advice}"]

    def to_dict(self) -> dict[str, Any]:
        """Return the copied device and the changes, ready for JSON."""
        grade = self.device.grade()
        return {
            "name": self.device.name,
            "base": self.base,
            "overrides": self.overrides,
            "why": self.why,
            "changes": [
                {"path": c.path, "before": c.before, "after": c.after, "cause": c.cause}
                for c in self.changes
            ],
            "carried_over": self.carried_over,
            "grade": {"letter": grade.letter, "score": grade.score, "advice": grade.advice},
        }


def saving_faults(path: str | Path, force: bool, option: str = "-o") -> list[Fault]:
    """Return the faults of an output path; an existing file is a fault unless `force`."""
    faults = output_faults(path, (".yaml", ".yml"), option)
    if not faults and Path(path).exists() and not force:
        faults.append(
            Fault(
                f"'{path}' exists already",
                file=option,
                expected="another name, or --force to replace it",
            )
        )
    return faults


def copy_device(
    name: str,
    base: Device,
    settings: Mapping[str, Any],
    *,
    title: str = "",
    source: str = "",
    confidence: Confidence = "estimated",
    runtime: str = "",
    why: str = "",
    directories: Iterable[str | Path] = (),
) -> NewSpec:
    """Copy a device's spec under another name, with facts set.

    Parameters
    ----------
    name
        Name in snake case; must not be an alias of another device.
    base
        Device to copy. If it is a library file without a base, its text is copied including
        comments; otherwise all inherited values are written out.
    settings
        Facts by path, in the form that `Machine.vary` accepts, and
        ``memories.NAME.sustained_bandwidth``. Facts proportional to them are scaled.
    title, source
        Full name of the product; document that states the set numbers.
    confidence
        Confidence of the set numbers.
    runtime
        Default runtime; that of `base` if empty.
    why
        Reason for the choice of `base`.

    Raises
    ------
    InputError
        Lists every fault of the name, the settings and the runtime.
    """
    faults = FaultList()
    faults.extend(name_faults(name, directories))
    if runtime:
        faults.trying(library.runtime, runtime)
    numbers = faults.trying(_number_changes, base, settings)
    faults.settle()
    assert numbers is not None
    changes, remarks = numbers
    text = SpecText(_text_of(base, directories))
    for key in ("aliases", "year", "price", "volume", "base", "operating_points"):
        text.remove(key)
    carried_over = text.mark_as_estimates(base.name)
    text.put("", "name", name)
    text.put("", "title", quoted(title or f"{name}, after {base.title or base.name}"))
    if runtime:
        text.put("", "default_runtime", quoted(runtime))
    if changes:
        document = quoted(source or "Set by the user; no document is named")
        entry = f"{{title: {document}}}"
        if base.sources:
            text.put("sources", SOURCE, entry)
        else:
            text.put("", "sources", f"{{{SOURCE}: {entry}}}")
    for change in changes:
        _write_change(text, base, change, confidence)
    first, _, lines_below = text.text.partition("\n")
    head = _header(name, base, changes, carried_over)
    # Editors expect the schema reference in the first line.
    schema = first.startswith("# yaml-language-server")
    written = f"{first}\n{head}{lines_below}" if schema else head + text.text
    data, marks = read(written, name)
    device = validate(Device, data, marks, f"the copy of {base.name}")
    overrides = name in library.entries("devices", directories)
    return NewSpec(
        device, written, base.name, why, tuple(changes), carried_over, overrides, tuple(remarks)
    )


def name_faults(name: str, directories: Iterable[str | Path]) -> list[Fault]:
    """Return the faults of a name for a new device."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        suggestion = re.sub(r"[^a-z0-9_]+", "_", name.strip().lower()).strip("_")
        fits = re.fullmatch(r"[a-z][a-z0-9_]*", suggestion)
        return [
            Fault(
                f"'{name}' is not a valid device name",
                expected="snake case: my_board_2",
                suggestion=suggestion if fits else "",
            )
        ]
    known = library.entries("devices", directories)
    own = next((entry.name for entry in known.values() if name in entry.aliases), "")
    if not own or name in known:
        return []
    return [
        Fault(
            f"'{name}' is another name of {own} in the library",
            expected=f"another name, or {own} to replace that device",
            suggestion=f"my_{name}",
        )
    ]


def _text_of(base: Device, directories: Iterable[str | Path]) -> str:
    """Return the text of a library device without a base; otherwise its spec, written out."""
    entry = library.entries("devices", directories).get(base.name)
    stands_by_itself = entry is not None and not entry.base and entry.path.suffix != ".json"
    if entry is not None and stands_by_itself and library.hardware(base.name, directories) == base:
        return entry.path.read_text(encoding="utf-8")
    return base.to_yaml()


def _number_changes(base: Device, settings: Mapping[str, Any]) -> tuple[list[Change], list[str]]:
    """Return every number that the settings change, with those that scale, and remarks on them."""
    machine, faults = _machine(base), FaultList()
    for path in settings:
        if any(part in _SPEEDUPS for part in path.split(".")):
            faults.append(
                Fault(
                    "is a law of the engine, not a number to set",
                    path,
                    expected="the dense peak: engines.NAME.peaks.FORMAT",
                )
            )
    facts = {path: value for path, value in settings.items() if not _is_sustained(path)}
    varied = faults.trying(machine.vary, facts)
    rates: dict[str, float] = {}
    for path, value in settings.items():
        if _is_sustained(path):
            rate = faults.trying(_sustained, machine, varied or machine, path, value)
            if rate is not None:
                rates[machine.resolve(path)] = rate
    faults.settle()
    assert varied is not None
    changes = [change for change in _changes(base, machine, varied) if change.path not in rates]
    for path, rate in rates.items():
        changes.append(Change(path, _stated_rate(base, path), rate, "bandwidth"))
    return [*changes, *_power_change(machine, varied)], varied.remarks


def _power_change(machine: Machine, varied: Machine) -> list[Change]:
    """Return the change of a busy power that belongs to one engine with other units or clock.

    By `dynamic_power_law`. The power of several engines together is a limit of their package, and
    stays. An idle power counts where the spec states it.
    """
    busy, engine = machine.get("power.busy"), machine.device.engine(machine.engine)
    if busy is None or "power.busy" in varied.varied or len(machine.device.engines) > 1:
        return []
    power = machine.device.power
    idle = min(power.idle.value if power is not None and power.idle is not None else 0.0, busy)
    law = dynamic_power_law(machine.facts, engine).law
    after = float(law({**varied.facts, "power.busy": busy, "power.idle": idle}))
    if after == busy:
        return []
    cause = f"in proportion to units and clock of engines.{engine.name}, above idle"
    return [Change("power.busy", busy, after, "power", cause)]


def _machine(base: Device) -> Machine:
    return Machine(base, ideal_runtime())


def _is_sustained(path: str) -> bool:
    return path.startswith("memories.") and path.endswith(".sustained_bandwidth")


def _sustained(machine: Machine, varied: Machine, path: str, value: Any) -> float:
    """Return a sustained bandwidth in B/s; facts only store its share of the theoretical one."""
    bandwidth = path.removesuffix("sustained_bandwidth") + "bandwidth"
    rate = machine.vary({bandwidth: value})[bandwidth]
    theoretical = varied[bandwidth]
    if rate > theoretical:
        raise input_error(
            f"{units.show(rate, 'bandwidth')} is more than the memory has",
            path,
            expected=f"at most {units.show(theoretical, 'bandwidth')}, its bandwidth",
        )
    return float(rate)


def _stated_rate(base: Device, path: str) -> float | None:
    memory = base.memory(path.split(".")[1])
    if memory.sustained_bandwidth is None:
        return None
    facts, at = _machine(base).facts, f"memories.{memory.name}."
    return facts[f"{at}sustained_fraction"] * facts[f"{at}bandwidth"]


def _of_table(machine: Machine, path: str) -> bool:
    """Return whether a fact comes from a technology table, not from the spec."""
    origin = machine.provenance.get(path)
    return origin is not None and origin.writer.startswith("table ")


def _changes(base: Device, machine: Machine, varied: Machine) -> list[Change]:
    """Return the numbers in which a varied machine differs from its device."""
    changes: list[Change] = []
    for path, value in varied.facts.items():
        writer = varied.provenance[path].writer
        cause = writer.removeprefix("vary").strip(" ()") or "set"
        section, name, key = (path.split(".", 2) + ["", ""])[:3]
        if not writer.startswith("vary") or cause.startswith("by ") or key == "sustained_fraction":
            continue
        if section == "memories" and cause != "set" and base.memory(name).bandwidth.per_clock:
            continue  # stated per clock, so it scales with the clock
        if cause != "set" and _of_table(machine, path):
            continue  # the copy has it from the same table
        before, dimension = machine.get(path), machine.dimension(path)
        changes.append(Change(path, before, float(value), dimension, cause))
    for memory in base.memories:
        at = f"memories.{memory.name}."
        rate, share = varied.facts[f"{at}bandwidth"], varied.facts.get(f"{at}sustained_fraction")
        set_share = f"{at}sustained_fraction" in varied.varied
        follows = f"{at}bandwidth" in varied.varied and memory.sustained_bandwidth is not None
        if share is not None and (set_share or follows):
            cause = "set" if set_share else f"{share:.3g} of the theoretical rate"
            path = f"{at}sustained_bandwidth"
            changes.append(Change(path, _stated_rate(base, path), rate * share, "bandwidth", cause))
    return changes


def _write_change(text: SpecText, base: Device, change: Change, confidence: Confidence) -> None:
    """Write a changed number with its provenance into the text of the spec."""
    follows = change.cause != "set"
    provenance = {"source": SOURCE, "confidence": "estimated" if follows else confidence}
    if follows:
        provenance["note"] = f"{change.cause}, as on {base.name}"
    section, *keys = change.path.split(".")
    if not keys or section in ("power", "energy"):
        text.put_number(section if keys else "", "", keys or [section], change.written, provenance)
        return
    name, *below = keys
    if below[0] in ("peaks", "vector_peaks"):
        provenance["sparsity"] = "dense"
    text.put_number(section, name, below, change.written, provenance)


def _header(name: str, base: Device, changes: list[Change], carried_over: int) -> str:
    """Return the comment that states what was copied, set and lowered in confidence."""
    lines = [f"# {name}: a copy of {base.name}" + (f" ({base.title})" if base.title else "")]
    if changes:
        lines.append("# Set: " + ", ".join(c.path for c in changes if c.cause == "set"))
    lines.append(f"# Every other number is {base.name}'s until you replace it.")
    if carried_over:
        lines.append("# What was measured or fitted there is marked as an estimate here.")
    lines.append("# The runtime's constants hold for the devices that it was fitted on.")
    return "\n".join(lines) + "\n"
