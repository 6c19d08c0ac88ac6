"""A device of one's own, copied from one of the library with some facts set."""

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
from perfmodel.hardware.copying.edit import SpecText, quoted
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.settings import FaultList
from perfmodel.specfile import read, validate
from perfmodel.table import Result
from perfmodel.table.result import SUFFIXES

#: Key under `sources` of what the user sets.
SOURCE: Final = "set_by_user"

_IDEAL: Final = Runtime(name="ideal")
#: Factors that stated peaks are divided by.
_SPEEDUPS: Final = ("sparse_speedup", "accumulator_speedup")

Confidence = Literal["estimated", "datasheet", "measured"]


@dataclass(frozen=True, slots=True)
class Change:
    """A number in which the new spec differs from the one that it was copied from.

    Attributes
    ----------
    path : str
        Of the fact, with names: ``memories.dram.bandwidth``.
    before, after : float or None
        SI; None where nothing was stated.
    dimension : str
    cause : str
        ``set``, or what it follows: ``in proportion to engines.npu.clock``.
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
        unit = ""
        if self.dimension == "compute":
            key = self.path.rpartition(".")[2]
            unit = "FLOP/s" if key.startswith(("fp", "bf", "tf", "mx", "nv")) else "OP/s"
        return units.show(value, self.dimension, digits=digits, unit=unit)

    @property
    def written(self) -> str:
        """The number as a spec file has it: what was set in full, what follows in five digits."""
        if units.DIMENSIONS[self.dimension].unit in ("1", "clock"):
            return f"{self.after:.12g}"
        return self._shown(self.after, None if self.cause == "set" else 5)


@dataclass(frozen=True, repr=False)
class NewSpec(Result):
    """A spec file that does not lie anywhere yet.

    Attributes
    ----------
    device : Device
        What the text reads back as.
    text : str
        YAML.
    base : str
        Device that it was copied from.
    why : str
        Why from this one, where nobody named it.
    changes : tuple of Change
    carried_over : int
        Numbers that were measured or fitted on the other device, now marked as estimates.
    overrides : bool
        Whether the library has a device of this name, for which the file stands where its folder is
        named.
    """

    noun = "spec"

    device: Device
    text: str
    base: str
    why: str = ""
    changes: tuple[Change, ...] = ()
    carried_over: int = 0
    overrides: bool = False

    def save(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, path: str | Path, *, force: bool = False, **forms: Any
    ) -> Path:
        """Write the spec file whole or not at all; what was set in any other form of an answer.

        Raises
        ------
        InputError
            Something is there already and `force` is not set, or it cannot be written.
        """
        if Path(path).suffix in SUFFIXES:
            super().save(path, **forms)
            return Path(path)
        found = saving_faults(path, force)
        if found:
            raise InputError(found)
        write_text(path, self.text)
        return Path(path)

    @property
    def headline(self) -> str:
        """Which device was copied, and why that one."""
        return f"a copy of {self.base}" + (f" ({self.why})" if self.why else "")

    def cautions(self) -> list[str]:
        """Return what was changed, what became of the other numbers, and the grade."""
        lines = [str(change) for change in self.changes]
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
        """Return what was copied and what was set, ready for JSON."""
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
    """Faults of a spec file that is to be written; an existing one is a fault unless `force`."""
    found = output_faults(path, (".yaml", ".yml"), option)
    if not found and Path(path).exists() and not force:
        found.append(
            Fault(
                f"'{path}' exists already",
                file=option,
                expected="another name, or --force to replace it",
            )
        )
    return found


def copied(
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
        Snake case; must be free.
    base
        Device to copy. Of a file of the library that inherits from none the text is copied, with
        its comments; otherwise everything that it inherits is written out.
    settings
        Facts by path, as `Machine.vary` takes them, and ``memories.NAME.sustained_bandwidth``.
        What is in proportion to them goes with them.
    title, source
        Full name of the product; document that the set numbers are from.
    confidence
        Of the set numbers.
    runtime
        Default runtime; that of `base` where left out.
    why
        Why from `base`.

    Raises
    ------
    InputError
        Every fault of the name, the settings and the runtime.
    """
    faults = FaultList()
    faults.extend(name_faults(name, directories))
    if runtime:
        faults.trying(library.runtime, runtime)
    changes = faults.trying(_resolved, base, settings)
    faults.settle()
    assert changes is not None
    text = SpecText(_text_of(base, directories))
    for key in ("aliases", "year", "price", "base"):
        text.remove(key)
    lowered = text.lower(base.name)
    text.put("", "name", name)
    text.put("", "title", quoted(title or f"{name}, after {base.title or base.name}"))
    if runtime:
        text.put("", "default_runtime", quoted(runtime))
    if changes:
        said = quoted(source or "Set by the user; no document is named")
        entry = f"{{title: {said}}}"
        if base.sources:
            text.put("sources", SOURCE, entry)
        else:
            text.put("", "sources", f"{{{SOURCE}: {entry}}}")
    for change in changes:
        _write(text, base, change, confidence)
    first, _, rest = text.text.partition("\n")
    head = _head(name, base, changes, lowered)
    # An editor finds the schema by the first line.
    schema = first.startswith("# yaml-language-server")
    whole = f"{first}\n{head}{rest}" if schema else head + text.text
    data, marks = read(whole, name)
    device = validate(Device, data, marks, f"the copy of {base.name}")
    overrides = name in library.entries("devices", directories)
    return NewSpec(device, whole, base.name, why, tuple(changes), lowered, overrides)


def name_faults(name: str, directories: Iterable[str | Path]) -> list[Fault]:
    """Faults of a name for a new device."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        meant = re.sub(r"[^a-z0-9_]+", "_", name.strip().lower()).strip("_")
        fits = re.fullmatch(r"[a-z][a-z0-9_]*", meant)
        return [
            Fault(
                f"'{name}' is no name of a device",
                expected="snake case: my_board_2",
                suggestion=meant if fits else "",
            )
        ]
    known = library.entries("devices", directories).values()
    own = next((entry.name for entry in known if name in entry.aliases), "")
    if own and name not in {entry.name for entry in known}:
        return [
            Fault(
                f"'{name}' is another name of {own} in the library",
                expected=f"another name, or {own} to stand for it",
                suggestion=f"my_{name}",
            )
        ]
    return []


def _text_of(base: Device, directories: Iterable[str | Path]) -> str:
    """The file of a device of the library where it stands alone; else its spec, written out."""
    entry = library.entries("devices", directories).get(base.name)
    alone = entry is not None and not entry.base and entry.path.suffix != ".json"
    if entry is not None and alone and library.hardware(base.name, directories) == base:
        return entry.path.read_text(encoding="utf-8")
    return base.to_yaml()


def _resolved(base: Device, settings: Mapping[str, Any]) -> list[Change]:
    """Every number that the settings change, those that follow in proportion included."""
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
    facts = {path: given for path, given in settings.items() if not _is_sustained(path)}
    varied = faults.trying(machine.vary, facts)
    rates: dict[str, float] = {}
    for path, given in settings.items():
        if _is_sustained(path):
            rate = faults.trying(_sustained, machine, varied or machine, path, given)
            if rate is not None:
                rates[machine.resolve(path)] = rate
    faults.settle()
    assert varied is not None
    found = [change for change in _changes(base, machine, varied) if change.path not in rates]
    for path, rate in rates.items():
        found.append(Change(path, _stated(base, path), rate, "bandwidth"))
    return found


def _machine(base: Device) -> Machine:
    return Machine(base, _IDEAL)


def _is_sustained(path: str) -> bool:
    return path.startswith("memories.") and path.endswith(".sustained_bandwidth")


def _sustained(machine: Machine, varied: Machine, path: str, given: Any) -> float:
    """A sustained bandwidth, which no fact holds: they hold its share of the theoretical one."""
    of = path.removesuffix("sustained_bandwidth") + "bandwidth"
    rate = machine.vary({of: given})[of]
    theoretical = varied[of]
    if rate > theoretical:
        raise input_error(
            f"{units.show(rate, 'bandwidth')} is more than the memory has",
            path,
            expected=f"at most {units.show(theoretical, 'bandwidth')}, its bandwidth",
        )
    return float(rate)


def _stated(base: Device, path: str) -> float | None:
    name = path.split(".")[1]
    memory = base.memory(name)
    given, theoretical = memory.sustained_bandwidth, memory.bandwidth
    if given is None:
        return None
    share = _machine(base).facts[f"memories.{name}.sustained_fraction"]
    return share * _machine(base).facts[f"memories.{name}.bandwidth"] if theoretical else None


def _changes(base: Device, machine: Machine, varied: Machine) -> list[Change]:
    found: list[Change] = []
    for path, value in varied.facts.items():
        writer = varied.provenance[path].writer
        cause = writer.removeprefix("vary").strip(" ()") or "set"
        section, name, key = (path.split(".", 2) + ["", ""])[:3]
        if not writer.startswith("vary") or cause.startswith("by "):
            continue
        if section == "memories" and cause != "set" and base.memory(name).bandwidth.per_clock:
            continue  # stated by the clock, which takes it along
        change = Change(path, machine.get(path), float(value), machine.dimension(path), cause)
        if key == "sustained_fraction":
            continue
        found.append(change)
    for memory in base.memories:
        at = f"memories.{memory.name}."
        rate, share = varied.facts[f"{at}bandwidth"], varied.facts.get(f"{at}sustained_fraction")
        set_share = f"{at}sustained_fraction" in varied.varied
        moved = f"{at}bandwidth" in varied.varied and memory.sustained_bandwidth is not None
        if share is not None and (set_share or moved):
            cause = "set" if set_share else f"{share:.3g} of the theoretical rate"
            path = f"{at}sustained_bandwidth"
            found.append(Change(path, _stated(base, path), rate * share, "bandwidth", cause))
    return found


def _write(text: SpecText, base: Device, change: Change, confidence: Confidence) -> None:
    follows = change.cause != "set"
    said = {"source": SOURCE, "confidence": "estimated" if follows else confidence}
    if follows:
        said["note"] = f"{change.cause}, as on {base.name}"
    section, *rest = change.path.split(".")
    if not rest:
        text.put_number("", "", [section], change.written, said)
    elif section in ("power", "energy"):
        text.put_number(section, "", rest, change.written, said)
    else:
        if rest[1] in ("peaks", "vector_peaks"):
            said["sparsity"] = "dense"
        text.put_number(section, rest[0], rest[1:], change.written, said)


def _head(name: str, base: Device, changes: list[Change], lowered: int) -> str:
    lines = [f"# {name}: a copy of {base.name}" + (f" ({base.title})" if base.title else "")]
    if changes:
        lines.append("# Set: " + ", ".join(c.path for c in changes if c.cause == "set"))
    lines.append(f"# Every other number is {base.name}'s until you replace it.")
    if lowered:
        lines.append("# What was measured or fitted there is marked as an estimate here.")
    lines.append("# The runtime's constants hold for the devices that it was fitted on.")
    return "\n".join(lines) + "\n"
