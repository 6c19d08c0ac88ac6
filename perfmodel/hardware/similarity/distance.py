"""Distance between two devices, in octaves of bandwidth and peak, plus class and year.

``d = hypot(log2(B/B'), rms_f(log2(P_f/P'_f))) + 2 * (share of class tags missing) + 0.05 * years``
for main memory bandwidths B and dense peaks P_f by format f. The weights are conventions of this
project. `nearest_devices` orders the library by it, for users whose device has no spec.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from perfmodel import units
from perfmodel.errors import Fault, InputError, nearest, no_such
from perfmodel.hardware import library
from perfmodel.hardware.device import Device
from perfmodel.hardware.facts import facts_of
from perfmodel.hardware.runtime import ideal_runtime
from perfmodel.settings import FaultList
from perfmodel.specfile import shipped
from perfmodel.table import Result, Table
from perfmodel.table.text import as_text

#: Distance, in octaves, of a different device class and of one year.
_CLASS_OCTAVES, _YEAR_OCTAVES = 2.0, 0.05
#: Distance, in octaves, of a wanted peak in a format that the device lacks.
_MISSING_PEAK_OCTAVES: Final = 1.5


def catalogue() -> dict[str, Any]:
    """Return the catalogue of known products as plain data."""
    return cast("dict[str, Any]", shipped("hardware_specs", "known_products.yaml"))


@dataclass(frozen=True, slots=True)
class DeviceSummary:
    """Summary of a machine: the facts that are compared.

    Attributes
    ----------
    name, title : str
    bandwidth : float or None
        Theoretical bandwidth, B/s, of the memory that a model must fit into.
    peaks : mapping of str to float
        Compute format -> largest dense operations per second of any engine.
    kind : str
        Kind of the main engine; ``""`` if unknown.
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
class DeviceMatch:
    """Comparison of a library device with a wanted machine.

    Attributes
    ----------
    name, title : str
    distance : float
        Euclidean norm of the octaves between the bandwidths and between the peaks (root mean square
        over formats, 1.5 for a missing one), plus 2 for another class of device and 0.05 per year.
    bandwidth_ratio, peak_ratio : float or None
        Value of the device over the wanted one; None if either is unknown.
    format : str
        Format of the compared peaks.
    bandwidth, peak : float or None
        Values of the device, B/s and operations per second.
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


class DeviceMatches(Result, list[DeviceMatch]):
    """Comparisons of library devices with a wanted machine, nearest first."""

    noun = "likeness"

    @property
    def headline(self) -> str:
        """Number of devices."""
        return f"{len(self)} devices, the nearest first"

    def to_dict(self) -> list[dict[str, Any]]:
        """Return one row per device, ready for JSON."""
        return as_records(self)

    @cached_property
    def table(self) -> Table:
        """Table with one row per device, as `to_dict`."""
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


def summary_of(device: Device) -> tuple[DeviceSummary, dict[str, str]]:
    """Return the summary of a device, and format -> engine with the largest peak."""
    facts = facts_of(device, ideal_runtime()).values
    peaks: dict[str, float] = {}
    engines: dict[str, str] = {}
    for engine in device.engines:
        for name in engine.peaks:
            peak = float(facts[f"engines.{engine.name}.peaks.{name}"])
            if peak > peaks.get(name, 0.0):
                peaks[name], engines[name] = peak, engine.name
    main = next(e for e in device.engines if e.name == device.main_engine)
    bandwidth = float(facts[f"memories.{device.main_memory}.bandwidth"])
    return DeviceSummary(
        device.name, device.title, bandwidth, peaks, main.kind, frozenset(device.tags), device.year
    ), engines


def wanted_summary(
    bandwidth: str | float | None = None,
    peak: str | float | None = None,
    format: str = "",
    kind: str = "",
    tags: Iterable[str] = (),
    year: int | None = None,
) -> DeviceSummary:
    """Return wanted facts as a summary.

    Parameters
    ----------
    bandwidth, peak
        A text with its unit, or a number in SI units.
    format
        Compute format of the peak; any if empty.

    Raises
    ------
    InputError
        A text is not a bandwidth, compute rate, format or kind.
    """
    from perfmodel.hardware.engine import COMPUTE_FORMATS, engine_kinds

    faults = FaultList()
    rate = _wanted(bandwidth, "bandwidth", "--bandwidth", faults)
    most = _wanted(peak, "compute", "--peak", faults)
    for word, known, option in (
        (format, COMPUTE_FORMATS, "--format"),
        (kind, engine_kinds(), "--kind"),
    ):
        if word and word not in known:
            faults.append(no_such(f"'{word}' is none", word, known, file=option))
    faults.settle()
    return DeviceSummary(
        bandwidth=rate,
        peaks={} if most is None else {format: most},
        kind=kind,
        tags=frozenset(tags),
        year=year,
    )


def _wanted(
    value: str | float | None, dimension: str, option: str, faults: FaultList
) -> float | None:
    """Return a wanted number above zero in SI units."""
    number = None if value is None else faults.quantity(value, dimension, option)
    if number is None or (math.isfinite(number) and number > 0):
        return number
    noun = units.DIMENSIONS[dimension].noun
    faults.append(Fault(f"{number:g} is not above zero", option, expected=noun))
    return None


def nearest_devices(
    wanted: DeviceSummary,
    words: Iterable[str] = (),
    most: int | None = 5,
    directories: Iterable[str | Path] = (),
    excluded: Callable[[Device], object] | None = None,
) -> list[DeviceMatch]:
    """Return the library devices nearest to a summary, nearest first.

    Parameters
    ----------
    wanted
        Known facts of a machine; None and empty ones are not compared.
    words
        Only devices with each of these words in their name, title, aliases or tags.
    most
        Maximum number of devices; all if None.
    excluded
        Filter that excludes devices by returning a true value; may exclude all.

    Raises
    ------
    InputError
        No device has the words.
    """
    places = tuple(directories)
    parts = [word.lower() for word in words]
    matches: list[DeviceMatch] = []
    seen = False
    heads = library.entries("devices", places).values()
    for entry in heads:
        words_of_entry = " ".join((entry.name, *entry.aliases, entry.title, *entry.tags)).lower()
        if entry.name == wanted.name or not all(part in words_of_entry for part in parts):
            continue
        try:
            device = library.hardware(entry.name, places)
        except InputError:
            continue  # in a user's folder; `hardware check` reports its faults
        if wanted.kind and all(engine.kind != wanted.kind for engine in device.engines):
            continue
        seen = True
        if excluded is None or not excluded(device):
            matches.append(_compared(wanted, *summary_of(device)))
    if not seen:
        raise InputError(_no_match_fault(parts, wanted.kind, heads))
    matches.sort(key=lambda like: (like.distance, like.name))
    return matches[:most]


def _no_match_fault(words: list[str], kind: str, heads: Iterable[library.SpecEntry]) -> Fault:
    known = sorted({tag for entry in heads for tag in entry.tags})
    wrong = next((w for w in words if w not in known), "")
    criteria = " and ".join([*(f"'{w}'" for w in words), *([f"the kind {kind}"] if kind else [])])
    return Fault(
        f"no device has {criteria}",
        file="--like" if words else "--kind",
        expected="words of names and tags, such as " + ", ".join(known[:12]),
        suggestion=nearest(wrong, known) if wrong else "",
    )


def _compared(
    wanted: DeviceSummary, device: DeviceSummary, engines: Mapping[str, str]
) -> DeviceMatch:
    peaks = _compared_peaks(wanted.peaks, device.peaks)
    matched = ((name, peak, other) for name, peak, other in peaks if other)
    name, wanted_peak, device_peak = next(matched, ("", 0.0, None))
    peak_ratio = device_peak / wanted_peak if wanted_peak and device_peak else None
    bandwidth_ratio = None
    if wanted.bandwidth and device.bandwidth:
        bandwidth_ratio = device.bandwidth / wanted.bandwidth
    octaves = [
        math.log2(available / peak) if available else _MISSING_PEAK_OCTAVES
        for _, peak, available in peaks
    ]
    peak_distance = math.hypot(*octaves) / math.sqrt(len(octaves)) if octaves else 0.0
    distance = math.hypot(math.log2(bandwidth_ratio) if bandwidth_ratio else 0.0, peak_distance)
    classes = wanted.tags & frozenset(catalogue()["classes"])
    if classes:
        distance += _CLASS_OCTAVES * (1.0 - len(classes & device.tags) / len(classes))
    if wanted.year and device.year:
        distance += _YEAR_OCTAVES * abs(wanted.year - device.year)
    return DeviceMatch(
        device.name,
        device.title,
        distance,
        bandwidth_ratio,
        peak_ratio,
        name,
        device.bandwidth,
        device_peak,
        device.kind,
        engines.get(name, ""),
    )


def _compared_peaks(
    wanted: Mapping[str, float], device: Mapping[str, float]
) -> list[tuple[str, float, float | None]]:
    """Return (format, wanted peak, device's peak) per wanted peak; the best if without format."""
    if "" in wanted:
        best = max(device, key=lambda name: device[name])
        return [(best, wanted[""], device[best])]
    order = [*(name for name in catalogue()["compared_peaks"] if name in wanted), *wanted]
    return [(name, wanted[name], device.get(name)) for name in dict.fromkeys(order)]


def as_records(matches: Iterable[DeviceMatch]) -> list[dict[str, Any]]:
    """Return comparisons as rows, ready for a table or JSON."""
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
        for like in matches
    ]
