"""How far two devices are apart, by the facts that decide most predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from perfmodel import units
from perfmodel.errors import Fault, InputError, nearest, no_such
from perfmodel.hardware import library
from perfmodel.hardware.device import Device
from perfmodel.hardware.facts import facts_of
from perfmodel.hardware.runtime import Runtime
from perfmodel.settings import FaultList
from perfmodel.table import Result, Table
from perfmodel.table.text import as_text

#: Formats by which peaks are compared, the first that both have.
_FORMATS: Final = ("int8", "fp16", "bf16", "fp32", "int16", "fp8", "fp64", "int4")
#: Octaves that another class of device counts, and a year.
_CLASS, _YEAR = 2.0, 0.05
#: Octaves that a wanted peak counts where the device has none in its format.
_MISSING: Final = 1.5
#: Tags that make a class: two devices that share none are of different classes.
CLASSES: Final = (
    "phone",
    "mcu",
    "npu",
    "fpga",
    "datacenter",
    "consumer",
    "edge",
    "sbc",
    "server",
    "desktop",
    "laptop",
    "gpu",
    "cpu",
    "apple",
    "in_memory",
    "accelerator_card",
    "asic",
)

#: One value, so that facts are worked out once a device.
_IDEAL: Final = Runtime(name="ideal")


@dataclass(frozen=True, slots=True)
class Sketch:
    """A machine in a handful of facts.

    Attributes
    ----------
    name, title : str
    bandwidth : float or None
        Theoretical bytes per second of the memory that a model must fit in.
    peaks : mapping of str to float
        Compute format -> largest dense operations per second of any engine.
    kind : str
        Kind of the main engine; ``""`` where unknown.
    tags : frozenset of str
    year : int or None
    """

    name: str = ""
    title: str = ""
    bandwidth: float | None = None
    peaks: Mapping[str, float] = field(default_factory=dict[str, float])
    kind: str = ""
    tags: frozenset[str] = frozenset()
    year: int | None = None


@dataclass(frozen=True, slots=True)
class Likeness:
    """A device of the library beside what was asked for.

    Attributes
    ----------
    name, title : str
    distance : float
        Root of the squared octaves between the bandwidths and between the peaks (their root mean
        square over formats, 1.5 for one that is missing), plus 2 for another class of device and
        0.05 a year.
    bandwidth_ratio, peak_ratio : float or None
        The device's over the wanted one's; None where either is not known.
    format : str
        Format of the peaks that were compared.
    bandwidth, peak : float or None
        The device's, SI.
    kind : str
    engine : str
        Engine that has the peak.
    """

    name: str
    title: str
    distance: float
    bandwidth_ratio: float | None
    peak_ratio: float | None
    format: str
    bandwidth: float | None
    peak: float | None
    kind: str
    engine: str = ""


class Likenesses(Result, list[Likeness]):
    """Devices of the library beside what was asked for, the nearest first."""

    noun = "likeness"

    @property
    def headline(self) -> str:
        """How many there are."""
        return f"{len(self)} devices, the nearest first"

    def to_dict(self) -> list[dict[str, Any]]:
        """Return a row for each, ready for JSON."""
        return as_records(self)

    @cached_property
    def table(self) -> Table:
        """One row for each, as `to_dict`."""
        rows = self.to_dict()
        return Table(
            {
                name: [np.nan if row[name] is None else row[name] for row in rows]
                for name in (rows[0] if rows else ())
            }
        )

    def sections(self) -> list[str]:
        """Return the rows with their units."""
        columns = {
            "name": [each.name for each in self],
            "distance": [f"{each.distance:.2f}" for each in self],
            "bandwidth": [_shown(e.bandwidth, "bandwidth", e.bandwidth_ratio) for e in self],
            "peak": [_shown(e.peak, "compute", e.peak_ratio, _unit(e.format)) for e in self],
            "format": [each.format for each in self],
            "kind": [each.kind for each in self],
            "title": [each.title for each in self],
        }
        return [as_text(Table(columns), rows=len(self))]


def _unit(name: str) -> str:
    return "FLOP/s" if name.startswith(("fp", "bf", "tf")) else "OP/s"


def _shown(value: float | None, dimension: str, ratio: float | None, unit: str = "") -> str:
    if value is None:
        return ""
    times = "" if ratio is None else f" (x{ratio:.2g})"
    return units.show(value, dimension, unit=unit) + times


def sketch_of(device: Device) -> tuple[Sketch, dict[str, str]]:
    """Return a device in a handful of facts, and format -> engine that has its peak."""
    facts = facts_of(device, _IDEAL).values
    peaks: dict[str, float] = {}
    engines: dict[str, str] = {}
    for engine in device.engines:
        for name in engine.peaks:
            peak = float(facts[f"engines.{engine.name}.peaks.{name}"])
            if peak > peaks.get(name, 0.0):
                peaks[name], engines[name] = peak, engine.name
    main = next(e for e in device.engines if e.name == device.main_engine)
    bandwidth = float(facts[f"memories.{device.main_memory}.bandwidth"])
    return Sketch(
        device.name, device.title, bandwidth, peaks, main.kind, frozenset(device.tags), device.year
    ), engines


def sketch(
    bandwidth: str | float | None = None,
    peak: str | float | None = None,
    format: str = "",
    kind: str = "",
    tags: Iterable[str] = (),
    year: int | None = None,
) -> Sketch:
    """Return wanted facts as a sketch.

    Parameters
    ----------
    bandwidth, peak
        A text with its unit, or SI.
    format
        Compute format of the peak; any where empty.

    Raises
    ------
    InputError
        Texts that are no bandwidth, compute rate, format or kind.
    """
    from perfmodel.hardware.engine import COMPUTE_FORMATS, engine_kinds

    faults = FaultList()
    rate = _si(bandwidth, "bandwidth", "--bandwidth", faults)
    most = _si(peak, "compute", "--peak", faults)
    for given, known, option in (
        (format, COMPUTE_FORMATS, "--format"),
        (kind, engine_kinds(), "--kind"),
    ):
        if given and given not in known:
            faults.append(no_such(f"'{given}' is none", given, known, file=option))
    faults.settle()
    return Sketch(
        bandwidth=rate,
        peaks={} if most is None else {format: most},
        kind=kind,
        tags=frozenset(tags),
        year=year,
    )


def _si(
    given: str | float | None, dimension: str, option: str, faults: list[Fault]
) -> float | None:
    if given is None:
        return None
    try:
        value = units.parse(given, dimension) if isinstance(given, str) else float(given)
    except units.UnitError as error:
        faults.append(
            Fault(error.message, file=option, expected=error.expected, suggestion=error.suggestion)
        )
        return None
    if not (math.isfinite(value) and value > 0):
        noun = units.DIMENSIONS[dimension].noun
        faults.append(Fault(f"{value:g} is not above zero", file=option, expected=noun))
        return None
    return value


def near(
    wanted: Sketch,
    words: Iterable[str] = (),
    most: int | None = 5,
    directories: Iterable[str | Path] = (),
    but: Callable[[Device], object] | None = None,
) -> list[Likeness]:
    """Return the devices of the library that are most like a sketch, the nearest first.

    Parameters
    ----------
    wanted
        What is known of a machine: facts of it that are None, or empty, are not compared.
    words
        Only devices that have each of these in their name, title, aliases or tags.
    most
        How many; all where None.
    but
        Leaves out the devices for which it says anything; where it leaves out all, none is found.

    Raises
    ------
    InputError
        No device has the words.
    """
    places = tuple(directories)
    parts = [word.lower() for word in words]
    found: list[Likeness] = []
    seen = False
    heads = library.entries("devices", places).values()
    for entry in heads:
        said = " ".join((entry.name, *entry.aliases, entry.title, *entry.tags)).lower()
        if entry.name == wanted.name or not all(part in said for part in parts):
            continue
        try:
            device = library.hardware(entry.name, places)
        except InputError:
            continue  # of a folder of the user's; `hardware check` says what is wrong with it
        if (
            wanted.kind
            and device.engines[0].kind != wanted.kind
            and wanted.kind not in {engine.kind for engine in device.engines}
        ):
            continue
        left_out = but is not None and bool(but(device))
        seen = True
        if not left_out:
            found.append(_compared(wanted, *sketch_of(device)))
    if not seen:
        raise InputError(_none(parts, wanted.kind, heads))
    found.sort(key=lambda like: (like.distance, like.name))
    return found[:most]


def _none(words: list[str], kind: str, heads: Iterable[library.SpecEntry]) -> Fault:
    known = sorted({tag for entry in heads for tag in entry.tags})
    wrong = next((w for w in words if w not in known), "")
    what = " and ".join([*(f"'{w}'" for w in words), *([f"the kind {kind}"] if kind else [])])
    return Fault(
        f"no device has {what}",
        file="--like" if words else "--kind",
        expected="words of names and tags, such as " + ", ".join(known[:12]),
        suggestion=nearest(wrong, known) if wrong else "",
    )


def _compared(wanted: Sketch, device: Sketch, engines: Mapping[str, str]) -> Likeness:
    peaks = _compared_peaks(wanted.peaks, device.peaks)
    name = next((each for each, _, theirs in peaks if theirs), "")
    ours = next((peak for _, peak, theirs in peaks if theirs), None)
    theirs = device.peaks.get(name)
    by_peak = theirs / ours if ours and theirs else None
    by_rate = None
    if wanted.bandwidth and device.bandwidth:
        by_rate = device.bandwidth / wanted.bandwidth
    octaves = [math.log2(had / peak) if had else _MISSING for _, peak, had in peaks]
    apart = math.hypot(*octaves) / math.sqrt(len(octaves)) if octaves else 0.0
    distance = math.hypot(math.log2(by_rate) if by_rate else 0.0, apart)
    classes = wanted.tags & frozenset(CLASSES)
    if classes:
        distance += _CLASS * (1.0 - len(classes & device.tags) / len(classes))
    if wanted.year and device.year:
        distance += _YEAR * abs(wanted.year - device.year)
    return Likeness(
        device.name,
        device.title,
        distance,
        by_rate,
        by_peak,
        name,
        device.bandwidth,
        theirs,
        device.kind,
        engines.get(name, ""),
    )


def _compared_peaks(
    wanted: Mapping[str, float], device: Mapping[str, float]
) -> list[tuple[str, float, float | None]]:
    """Return format, wanted peak and the device's, of each wanted peak; the best for no format."""
    if "" in wanted:
        best = max(device, key=lambda name: device[name])
        return [(best, wanted[""], device[best])]
    order = [*(name for name in _FORMATS if name in wanted), *wanted]
    return [(name, wanted[name], device.get(name)) for name in dict.fromkeys(order)]


def as_records(found: Iterable[Likeness]) -> list[dict[str, Any]]:
    """Return likenesses as rows, ready for a table or JSON."""
    return [
        {
            "name": like.name,
            "distance": like.distance,
            "bandwidth_ratio": like.bandwidth_ratio,
            "peak_ratio": like.peak_ratio,
            "format": like.format,
            "bandwidth_bytes_per_s": like.bandwidth,
            "peak_operations_per_s": like.peak,
            "kind": like.kind,
            "title": like.title,
        }
        for like in found
    ]
