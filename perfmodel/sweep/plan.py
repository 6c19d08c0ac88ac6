"""Plan of a sweep: its axes, cases, chunks and columns, resolved before anything runs.

`make_plan` reads axes (`perfmodel.axes`), resolves workloads and devices, and reports every fault
of the input at once. The resulting `SweepPlan` is all that workers need.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from perfmodel.axes import Axis, make_axis
from perfmodel.columns import BASIS, RATE, TEXT, TRUTH, dimension_of
from perfmodel.deprecation import deprecated_names
from perfmodel.errors import Fault, InputError, no_such
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.metrics import METRIC_ROWS, metrics_of
from perfmodel.prediction.job import CHUNK
from perfmodel.resolve import DeviceLike, WorkloadLike
from perfmodel.settings import (
    BITS,
    OPERATING_POINT,
    OPTIONS,
    RESERVED,
    FaultList,
    is_fact,
    text_list,
)
from perfmodel.sweep.axis_groups import sample, zip_groups
from perfmodel.sweep.cases import SweepCase
from perfmodel.sweep.plan_notes import plan_notes
from perfmodel.workload.workload import Workload

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Plan="SweepPlan")

#: Larger grids are rejected: they would take hours on a core and exceed most disks.
MOST_POINTS: Final = 10**10

#: Result columns in order; ``traffic_bytes`` and ``bandwidth_bytes_per_s`` are those of main
#: memory, ``latency_low_s`` and ``latency_high_s`` the ends of the 90 % interval.
METRICS: Final = (
    *metrics_of("sweep"),
    "feasible",
    "bottleneck",
    BASIS,
    "latency_low_s",
    "latency_high_s",
)

#: Further columns, computed on request, where a condition or an objective names them, or if a
#: device has the facts that they follow from.
EXTRA: Final = metrics_of("request")
_KNOWN: Final = (*METRICS, *EXTRA)


#: Column with the reason for a row without numbers; only present if there is such a row.
REASON: Final = "reason"

#: A range of points of one case: case, start, stop.
Piece = tuple[int, int, int]


@dataclass(frozen=True)
class SweepPlan:
    """A resolved and validated sweep.

    Attributes
    ----------
    workloads, devices : tuple
        Names, paths or objects, in the form that `predict` resolves (names are sent to workers).
    axes : tuple of Axis
        Varied parameters, in the given order.
    cases : tuple of Case
        Every choice of categories.
    metrics : tuple of str
        Columns to compute, of `METRICS` and `EXTRA`.
    options : dict
        Arguments of `predict` common to all points, if given.
    sobol : int
        Number of sample points; 0 for the full grid.
    notes : tuple of str
        Remarks, for example on axes that do not apply to a workload.
    """

    workloads: tuple[WorkloadLike, ...]
    devices: tuple[DeviceLike, ...]
    axes: tuple[Axis, ...]
    cases: tuple[SweepCase, ...]
    metrics: tuple[str, ...] = METRICS
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    zips: tuple[tuple[str, ...], ...] = ()
    sobol: int = 0
    seed: int = 0
    notes: tuple[str, ...] = ()
    dimensions: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def points(self) -> int:
        """Number of points of all cases."""
        return sum(case.points for case in self.cases)

    @cached_property
    def chunks(self) -> tuple[tuple[Piece, ...], ...]:
        """Points in bundles of at most `CHUNK` (the batch size of `predict`), in order."""
        bundles: list[tuple[Piece, ...]] = []
        current: list[Piece] = []
        room = CHUNK
        for index, case in enumerate(self.cases):
            start, points = 0, case.points
            while start < points:
                stop = min(points, start + room)
                current.append((index, start, stop))
                room -= stop - start
                start = stop
                if not room:
                    bundles.append(tuple(current))
                    current, room = [], CHUNK
        if current:
            bundles.append(tuple(current))
        return tuple(bundles)

    @property
    def columns(self) -> dict[str, str]:
        """Column -> dimension, in order."""
        axes: dict[str, str] = {}
        for axis in self.axes:
            number = axis.is_number and axis.name not in RESERVED
            known = self.dimensions.get(axis.name) or dimension_of(axis.name)
            axes[axis.name] = known if number else TEXT
        return _column_dimensions(axes, self.metrics)

    @property
    def axis_columns(self) -> tuple[str, ...]:
        """Varied columns."""
        several = [("workload", self.workloads), ("device", self.devices)]
        names = [name for name, subjects in several if len(subjects) > 1]
        return (*names, *(axis.name for axis in self.axes if axis.name not in names))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All inputs that determine the results, as JSON-ready values."""
        from perfmodel.sweep.identity import identity

        return identity(self)

    @property
    def fingerprint(self) -> str:
        """Hash of `identity`: equal for equal results."""
        text = json.dumps(self.identity, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def _column_dimensions(axes: Mapping[str, str], metrics: Iterable[str]) -> dict[str, str]:
    """Return column -> dimension: subjects, axes, then metrics."""
    subjects = dict.fromkeys(("workload", "device", "runtime", "precision"), TEXT)
    kinds = {"feasible": TRUTH, "bottleneck": TEXT, BASIS: TEXT}
    results = {name: kinds.get(name) or dimension_of(name) for name in metrics}
    return subjects | {name: d for name, d in axes.items() if name not in subjects} | results


def wanted_metrics(wanted: Iterable[str] | None, text: str) -> list[str] | None:
    """Return the metrics to compute; ``None`` for the default ones.

    Metrics that a text names (conditions and objectives) are computed beside the requested or the
    default ones.
    """
    words = set(re.findall(r"\w+", text))
    if wanted is not None:
        return _with_ends([*wanted, *(name for name in _KNOWN if name in words)])
    named = _with_ends(name for name in EXTRA if name in words)
    return [*METRICS, *named] if named else None


def _with_ends(names: Iterable[str]) -> list[str]:
    """Return metrics, and after each its ends where its amount may follow from unknown weights."""
    each = ((name, f"{name}_low", f"{name}_high") for name in names)
    known = (name for group in each for name in group if name == group[0] or name in EXTRA)
    return list(dict.fromkeys(known))


def provisional_columns(
    settings: Mapping[str, Any] | None, metrics: Iterable[str] | None = None
) -> dict[str, str]:
    """Return the columns of a sweep that names determine, for checking conditions."""
    axes: dict[str, str] = {}
    for name, values in (settings or {}).items():
        axes[name] = dimension_of(name)
        if name in (*RESERVED, OPERATING_POINT):
            axes[name] = TEXT
        elif not is_fact(name) and name not in BITS:
            try:
                axes[name] = "" if make_axis(name, values).is_number else TEXT
            except InputError:
                axes[name] = ""  # reported where the plan is made
    wanted = METRICS if metrics is None else list(metrics)
    # An unknown metric is reported by `make_plan`: all metrics stand in for it.
    known = wanted if all(name in _KNOWN for name in wanted) else METRICS
    return _column_dimensions(axes, known)


def make_plan(
    workloads: WorkloadLike | Iterable[WorkloadLike],
    devices: DeviceLike | Iterable[DeviceLike],
    settings: Mapping[str, Any] | None = None,
    *,
    zip: Iterable[Iterable[str] | str] = (),
    sobol: int | None = None,
    seed: int = 0,
    metrics: Iterable[str] | None = None,
    options: Mapping[str, Any] | None = None,
    faults: FaultList | None = None,
    place: str = "",
) -> SweepPlan:
    """Resolve and validate a sweep.

    Parameters
    ----------
    workloads, devices
        One or several; a string may be a comma-separated list, and ``tag:phone`` selects devices.
    settings
        Axis by name.
    zip
        Groups of axes that advance together.
    sobol
        Number of points of a Sobol sample of the axes, instead of the full grid.
    options
        Arguments of `predict` common to all points; ``None`` selects its default.
    metrics
        Columns to compute; by default all of `METRICS`, and those of `EXTRA` whose facts a
        device has.
    faults
        Faults collected so far; all are raised together.
    place
        Option that holds the settings, for faults (``--set``).

    Raises
    ------
    InputError
        Every fault.
    """
    from perfmodel.sweep.resolve_cases import resolve_cases, resolve_devices, resolve_workloads

    faults = FaultList() if faults is None else faults
    settings_left = dict(settings or {})
    options = {name: value for name, value in (options or {}).items() if value is not None}
    resolved_devices = resolve_devices(
        _references("device", devices, settings_left, faults, place), faults
    )
    resolved_workloads = resolve_workloads(
        _references("workload", workloads, settings_left, faults, place), faults
    )
    machines = [d if isinstance(d, Machine) else d.machine() for _, d in resolved_devices]
    settings_left |= _all_operating_points(settings_left, machines)
    columns = _metrics(metrics, faults, machines)
    dimensions = _dimensions(settings_left, machines)
    axes = _axes(settings_left, dimensions, machines, faults, place)
    faults += _repeated_options(settings_left, options, place)
    zips = [tuple(group.split(",") if isinstance(group, str) else group) for group in zip]
    groups = _axis_groups(axes, list(settings_left), zips, sobol, seed, faults)
    cases: list[SweepCase] = []
    notes: list[str] = []
    grid = math.prod(len(group[0]) for group in groups if group)
    points = grid * max(len(resolved_workloads), 1) * max(len(resolved_devices), 1)
    if points <= MOST_POINTS:
        cases, notes = resolve_cases(
            resolved_workloads, resolved_devices, groups, options, faults, place
        )
    else:
        faults.append(_too_many(points, place))
    faults.settle()
    notes += plan_notes(
        machines, [w for _, w in resolved_workloads], columns, settings or {}, metrics or ()
    )
    return SweepPlan(
        tuple(ref for ref, _ in resolved_workloads),
        tuple(ref for ref, _ in resolved_devices),
        tuple(axes),
        tuple(cases),
        columns,
        options,
        tuple(tuple(n.strip() for n in group) for group in zips),
        sobol or 0,
        seed,
        tuple(notes),
        dimensions,
    )


def _repeated_options(settings: Container[str], options: Container[str], place: str) -> list[Fault]:
    """Return the faults of options that are axes too."""
    return [
        Fault(f"'{name}' is given twice", path=name, file=place, expected="one of them")
        for name in OPTIONS
        if name in settings and name in options
    ]


def _too_many(points: int, place: str) -> Fault:
    """Return the fault of a grid beyond `MOST_POINTS`."""
    expected = f"at most {MOST_POINTS:,}; a sample (--sobol 65536) spans a large grid"
    return Fault(f"the grid has {points:,} points", file=place, expected=expected)


def _all_operating_points(
    settings: Mapping[str, Any], machines: Iterable[Machine]
) -> dict[str, list[str]]:
    """Return the operating points of all devices where a sweep is over ``all`` of them."""
    if settings.get(OPERATING_POINT) != "all":
        return {}
    names = dict.fromkeys(name for m in machines for name in m.device.operating_points)
    return {OPERATING_POINT: [*names]} if names else {}


def _axes(
    settings: Mapping[str, Any],
    dimensions: Mapping[str, str],
    machines: Sequence[Machine],
    faults: FaultList,
    place: str,
) -> list[Axis]:
    """Read the axes; facts that are counts (cores, rows) require integers."""
    axes: list[Axis] = []
    for name, value in settings.items():
        integral = any(m.dimension(name) and m.span(name).integral for m in machines)
        axis = faults.trying(make_axis, name, value, dimensions.get(name, ""), place, integral)
        if axis is not None:
            axes.append(axis)
    return axes


def _references(
    name: str, first: Any, settings: dict[str, Any], faults: FaultList, place: str
) -> list[Any]:
    """Return the references given and those set by name, with comma-separated texts split."""
    single = isinstance(first, str | Path | Workload | Device | Machine) or first is None
    items: list[Any] = [first] if single else list(cast("Iterable[Any]", first))
    more = settings.pop(name, None)
    option = "--device" if name == "device" else ""
    references: list[Any] = []
    for several, where, path in ((items, option, ""), (() if more is None else more, place, name)):
        for item in [several] if isinstance(several, str) else several:
            references += text_list(item, faults, where, path) if isinstance(item, str) else [item]
    return references


def _metrics(
    wanted: Iterable[str] | None, faults: FaultList, machines: Sequence[Machine]
) -> tuple[str, ...]:
    """Return the columns to compute; unknown ones are faults."""
    if wanted is None:
        paths = {path for m in machines for path in m.facts}
        ends = {row.name: row.facts for row in METRIC_ROWS if row.facts}
        known = (n for n in EXTRA if n in ends and any(p.endswith(ends[n]) for p in paths))
        return (*METRICS, *known)
    distinct = tuple(_with_ends(wanted))
    faults += [
        no_such(f"there is no metric '{name}'", name, _KNOWN)
        for name in distinct
        if name not in _KNOWN
    ]
    return distinct


def _dimensions(settings: Mapping[str, Any], machines: Sequence[Machine]) -> dict[str, str]:
    """Return the dimension of each fact: as stated by a device, else guessed from its path."""
    dimensions: dict[str, str] = {}
    for name in settings:
        if is_fact(name):
            stated = (machine.dimension(name) for machine in machines)
            dimensions[name] = next((d for d in stated if d), "") or _guessed_dimension(name)
    return dimensions


def _guessed_dimension(name: str) -> str:
    """Return the dimension that the end of a name implies; empty if it implies none."""
    guess = dimension_of(name)
    return "" if guess in (RATE, TEXT, TRUTH) else guess


def _axis_groups(
    axes: list[Axis],
    names: list[str],
    zips: Sequence[Sequence[str]],
    sobol: int | None,
    seed: int,
    faults: FaultList,
) -> list[list[Axis]]:
    """Return the axes in groups that advance together; a Sobol sample is one group."""
    by_name = {axis.name: axis for axis in axes}
    if sobol is not None:
        if zips:
            faults.append(
                Fault(
                    "a sample of the axes leaves nothing to zip",
                    file="--zip",
                    expected="--sobol or --zip",
                )
            )
        if not 1 <= sobol <= 2**24:
            faults.append(
                Fault(
                    f"{sobol} is not a valid number of points",
                    file="--sobol",
                    expected="from 1 to 16777216",
                )
            )
            return []
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            faults.append(
                Fault(
                    f"{seed!r} is not a valid seed", file="--seed", expected="a whole number from 0"
                )
            )
            return []
        return [sample(axes, sobol, seed)] if axes else []
    for axis in axes:
        if axis.interval is not None:
            faults.append(
                Fault(
                    "a continuous interval cannot be listed",
                    path=axis.name,
                    expected="a sample (--sobol 1024), or linspace or logspace with a count",
                )
            )
    listed = {name: len(axis) for name, axis in by_name.items() if axis.interval is None}
    grouped = faults.trying(zip_groups, names, zips, listed)
    if grouped is None:
        return [[axis] for axis in axes if axis.interval is None]
    return [
        [by_name[name] for name in group if name in listed]
        for group in grouped
        if any(name in listed for name in group)
    ]


def pieces_points(pieces: Iterable[Piece]) -> int:
    """Return the number of points in a bundle."""
    return sum(stop - start for _, start, stop in pieces)
