"""A user's own measurements: a CSV file with the columns of ``docs/validate.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from perfmodel.ask import hardware, resolve, workload
from perfmodel.ask import runtime as runtime_of
from perfmodel.errors import Fault, InputError, no_such
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.measurement_table import (
    COLUMNS,
    MEASURED,
    SETTINGS,
    header_faults,
    is_long,
    is_warm,
    runs_of,
    settings_of,
    values_of,
)
from perfmodel.formats import as_precision
from perfmodel.measurements import CsvRow, CsvTable, few_faults, read_rows
from perfmodel.settings import FaultList, is_fact, plain_value

__all__ = ["is_left_out", "load"]

_UNMEASURED: Final = "no measurement in the row"
_LEFT_OUT: Final = "left out: "


class _Read(NamedTuple):
    """A row as a case, the settings it gives, and those that its model or device does not have.

    `names` are the faults of its model, device, runtime and precision where there is none of that
    name; they matter to the file where every row has one.
    """

    case: ValidationCase
    given: tuple[str, ...] = ()
    unknown: frozenset[str] = frozenset()
    names: tuple[Fault, ...] = ()


def is_left_out(case: ValidationCase) -> bool:
    """Tell whether a row has a cell at fault and was left out on request."""
    return case.reason.startswith(_LEFT_OUT)


def load(path: Path, devices: Sequence[str | Path] = (), *, skip_bad_rows: bool = False) -> Cases:
    """Return the cases of a file.

    Parameters
    ----------
    path
        CSV, or gzipped CSV.
    devices
        Folders with more specs of devices.
    skip_bad_rows
        Leave out the rows with faults of their own, and say which: they cannot be predicted. Where
        no other row is left they are faults all the same.

    Raises
    ------
    InputError
        Columns that are missing or of no meaning, cells that are no measurements: all at once, with
        every name that is not known at its first place. A row whose model or device is not known is
        by itself no fault: it cannot be predicted. A file of nothing but such rows is.
    """
    bad: list[Fault] | None = [] if skip_bad_rows else None
    rows = read_rows(path, faults=bad)
    faults = header_faults(rows)
    if faults:
        raise InputError(faults)
    names = {row.get("metric") for row in rows} if is_long(rows) else rows.columns
    measured = [metric for metric in MEASURED if metric in names]
    lost = [] if bad is None else [_left_out(fault) for fault in bad]
    runs = runs_of(rows)
    read = [_read(rows, run, devices, faults, bad) for run in runs]
    first: dict[str, CsvRow] = {}
    for one, run in zip(read, runs, strict=True):
        for setting in one.given:
            first.setdefault(setting, run[0])
    faults += [
        _meaningless(rows, row, setting)
        for setting, row in first.items()
        if all(setting in one.unknown for one in read if setting in one.given)
    ]
    measuring = [r for r in read if r.case.reason != _UNMEASURED and not is_left_out(r.case)]
    if bad and not measuring:
        faults += bad
    if faults or (measuring and all(r.names for r in measuring)):
        raise InputError([*faults, *_first_places(read)])
    cases = [*(r.case for r in read), *lost]
    had = {q.target for case in cases for q in case.questions}
    primary = next((c for c in measured if c in had), measured[0])
    count = sum(is_left_out(case) for case in cases)
    told = f"{count} row{'s' if count > 1 else ''} of {len(cases)} left out"
    notes = (f"{told}: {few_faults(bad)}",) if bad else ()
    return Cases(path.name.removesuffix(".gz").removesuffix(".csv"), cases, primary, notes)


def _left_out(fault: Fault, name: str = "", device: str = "") -> ValidationCase:
    """Return a row with a fault as one that cannot be predicted."""
    reason = str(replace(fault, file="", line=0, column=0))
    return ValidationCase(name or f"line {fault.line}", device, reason=_LEFT_OUT + reason)


def _first_places(read: Sequence[_Read]) -> list[Fault]:
    """Faults of names, each at the first row that has it."""
    found: dict[tuple[str, str], Fault] = {}
    for fault in (f for r in read for f in r.names):
        found.setdefault((fault.path, fault.message), fault)
    return list(found.values())


def _setting_fault(rows: CsvTable, row: CsvRow | None, name: str, fault: Fault) -> Fault:
    """Return a fault of a setting at its cell: a column's own, or that of ``settings``."""
    column = name if name in rows.columns else SETTINGS
    place = rows.fault(row, column, fault.message, fault.expected, fault.suggestion)
    return replace(place, path=name)


def _meaningless(rows: CsvTable, row: CsvRow, name: str) -> Fault:
    """Return the fault of a setting that nothing has: at its column, or where it stands first."""
    what = "no device has a fact" if is_fact(name) else "no model has a parameter"
    known = [*COLUMNS, "batch", "context", "prompt", "phase"]
    others = f"{', '.join(known)} or another parameter of a model"
    fault = no_such(f"{what} of this name", name, known, expected=others)
    return _setting_fault(rows, None if name in rows.columns else row, name, fault)


def _read(
    rows: CsvTable,
    run: Sequence[CsvRow],
    devices: Sequence[str | Path],
    faults: list[Fault],
    bad: list[Fault] | None,
) -> _Read:
    """Return a run; its own faults go to `bad` where rows with faults are left out."""
    mine: list[Fault] = []
    read = _understood(rows, run, devices, mine)
    if bad is None or not mine:
        faults += mine
        return read
    bad += mine
    return _Read(_left_out(mine[0], read.case.name, read.case.device))


def _understood(
    rows: CsvTable, run: Sequence[CsvRow], devices: Sequence[str | Path], faults: list[Fault]
) -> _Read:
    row = run[0]
    values = values_of(rows, run, faults)
    warm = is_warm(rows, row, faults)
    name, device = row.get("name", f"line {row.line} {row.get('model')}"), row.get("device")
    faults += [
        rows.fault(row, column, "is empty", f"the {column} that was measured")
        for column in ("model", "device")
        if not row.get(column)
    ]
    if not values:
        return _Read(ValidationCase(name, device, reason=_UNMEASURED))
    settings = {c: plain_value(text) for c, text in settings_of(rows, row, faults).items()}
    gathered = FaultList()
    spec = gathered.trying(hardware, device, devices)
    runtime = row.get("runtime")
    chosen = gathered.trying(runtime_of, runtime, devices) if runtime else None
    try:
        subject = resolve(
            row.get("model"), spec or device, row.get("precision") or None, chosen, settings,
            row.get("engine") or None, faults=gathered,
        )  # fmt: skip
    except InputError as error:
        reason = str(replace(error.faults[0], file="", line=0, column=0))
        unknown = frozenset(f.path for f in error.faults if f.path in settings and _unknown(f))
        faults += [
            _setting_fault(rows, row, f.path, f)
            for f in error.faults
            if f.path in settings and f.path not in unknown
        ]
        names = tuple(_unknown_names(rows, row, devices))
        case = ValidationCase(name, device, reason=reason)
        return _Read(case, tuple(settings), unknown, names)
    questions = [
        MeasuredQuantity(metric, MEASURED[metric], value, subject.workload)
        for metric, value in values.items()
    ]
    case = ValidationCase(
        name, device, subject.device, questions, subject.precision, subject.runtime,
        row.get("model"), warm=warm, engine=subject.engine,
    )  # fmt: skip
    return _Read(case, tuple(settings))


def _unknown_names(rows: CsvTable, row: CsvRow, devices: Sequence[str | Path]) -> Iterator[Fault]:
    """Yield a fault for each name in a row that nothing is called by."""
    checks: dict[str, Callable[[str], object]] = {
        "model": workload,
        "device": lambda name: hardware(name, devices),
        "runtime": lambda name: runtime_of(name, devices),
        "precision": as_precision,
    }
    for column, check in checks.items():
        text = row.get(column)
        try:
            if text:
                check(text)
        except InputError as error:
            first = error.faults[0]
            if not first.line:  # a name; a file with faults has places of its own
                first = rows.fault(row, column, first.message, first.expected, first.suggestion)
            yield first


def _unknown(fault: Fault) -> bool:
    """Tell a setting that a model or device does not have from a value that it cannot take."""
    return " has no " in fault.message or fault.message == "no such fact"
