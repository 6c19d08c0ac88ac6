"""Reader of a user's measurements: a CSV file with the columns of ``docs/validate.md``.

A table is wide (one column per metric) or long (one row per metric, in ``metric`` and ``value``);
rows of a long table that agree in everything else form one measured run. Each run becomes a
validation case; faults name the row and column. ``perfmodel validate FILE.csv`` and ``perfmodel
calibrate FILE.csv`` use it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from perfmodel.ask import hardware, resolve, workload
from perfmodel.ask import runtime as runtime_of
from perfmodel.errors import Fault, InputError, nearest, no_such
from perfmodel.evaluate.validation_case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.formats import as_precision
from perfmodel.measurement_csv import CsvRow, CsvTable, few_faults, read_rows
from perfmodel.settings import FaultList, is_fact, plain_value

_UNMEASURED: Final = "no measurement in the row"
_LEFT_OUT: Final = "left out: "


class _RunCase(NamedTuple):
    """A run as a case, with its settings and those that its model or device does not have.

    `names` are faults of unknown models, devices, runtimes and precisions. They are only raised if
    every row of the file has one.
    """

    case: ValidationCase
    settings: tuple[str, ...] = ()
    unknown: frozenset[str] = frozenset()
    names: tuple[Fault, ...] = ()


def is_left_out(case: ValidationCase) -> bool:
    """Return whether a row was left out on request because of an invalid cell."""
    return case.reason.startswith(_LEFT_OUT)


def load(path: Path, devices: Sequence[str | Path] = (), *, skip_bad_rows: bool = False) -> Cases:
    """Return the cases of a file.

    Parameters
    ----------
    path
        CSV file, optionally gzipped.
    devices
        Folders with additional device specs.
    skip_bad_rows
        Treat rows with invalid cells as unpredictable and list them in a note, instead of raising.
        If no other row remains, their faults are raised.

    Raises
    ------
    InputError
        Lists all missing or meaningless columns and invalid cells, with every unknown name at its
        first occurrence. A row with an unknown model or device is not a fault in itself, it only
        cannot be predicted; a file with only such rows is.
    """
    bad: list[Fault] | None = [] if skip_bad_rows else None
    rows = read_rows(path, faults=bad)
    faults = header_faults(rows)
    if faults:
        raise InputError(faults)
    names = {row.get("metric") for row in rows} if is_long(rows) else rows.columns
    measured = [metric for metric in MEASURED if metric in names]
    lost = [_left_out(fault) for fault in bad or ()]
    runs = runs_of(rows)
    read = [_read_run(rows, run, devices, faults, bad) for run in runs]
    first: dict[str, CsvRow] = {}
    for one, run in zip(read, runs, strict=True):
        for setting in one.settings:
            first.setdefault(setting, run[0])
    faults += [
        _meaningless(rows, row, setting)
        for setting, row in first.items()
        if all(setting in one.unknown for one in read if setting in one.settings)
    ]
    measuring = [r for r in read if r.case.reason != _UNMEASURED and not is_left_out(r.case)]
    if bad and not measuring:
        faults += bad
    if faults or (measuring and all(r.names for r in measuring)):
        # Report each unknown name at its first row.
        unknown: dict[tuple[str, str], Fault] = {}
        for fault in (f for r in read for f in r.names):
            unknown.setdefault((fault.path, fault.message), fault)
        raise InputError([*faults, *unknown.values()])
    cases = [*(r.case for r in read), *lost]
    targets = {q.target for case in cases for q in case.quantities}
    primary = next((c for c in measured if c in targets), measured[0])
    count = sum(map(is_left_out, cases))
    rows_out = f"{count} row{'s' if count > 1 else ''} of {len(cases)} left out"
    notes = (f"{rows_out}: {few_faults(bad)}",) if bad else ()
    return Cases(path.name.removesuffix(".gz").removesuffix(".csv"), cases, primary, notes)


def _left_out(fault: Fault, name: str = "", device: str = "") -> ValidationCase:
    """Return the case of a row with a fault: it cannot be predicted."""
    reason = str(replace(fault, file="", line=0, column=0))
    return ValidationCase(name or f"line {fault.line}", device, reason=_LEFT_OUT + reason)


def _setting_fault(rows: CsvTable, row: CsvRow | None, name: str, fault: Fault) -> Fault:
    """Return a fault of a setting located at its cell, in its own column or in ``settings``."""
    column = name if name in rows.columns else SETTINGS
    place = rows.fault(row, column, fault.message, fault.expected, fault.suggestion)
    return replace(place, path=name)


def _meaningless(rows: CsvTable, row: CsvRow, name: str) -> Fault:
    """Return the fault of an unknown setting, located at its column or first occurrence."""
    owner = "no device has a fact" if is_fact(name) else "no model has a parameter"
    known = [*COLUMNS, "batch", "context", "prompt", "phase"]
    others = f"{', '.join(known)} or another parameter of a model"
    fault = no_such(f"{owner} of this name", name, known, expected=others)
    return _setting_fault(rows, None if name in rows.columns else row, name, fault)


def _read_run(
    rows: CsvTable,
    run: Sequence[CsvRow],
    devices: Sequence[str | Path],
    faults: list[Fault],
    bad: list[Fault] | None,
) -> _RunCase:
    """Return a run; append its faults to `faults`, or to `bad` if faulty rows are left out."""
    run_faults: list[Fault] = []
    read = _case_of_run(rows, run, devices, run_faults)
    if bad is None or not run_faults:
        faults += run_faults
        return read
    bad += run_faults
    return _RunCase(_left_out(run_faults[0], read.case.name, read.case.device))


def _case_of_run(
    rows: CsvTable, run: Sequence[CsvRow], devices: Sequence[str | Path], faults: list[Fault]
) -> _RunCase:
    """Return the case of a run, with its faults collected."""
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
        return _RunCase(ValidationCase(name, device, reason=_UNMEASURED))
    settings = {c: plain_value(text) for c, text in settings_of(rows, row, faults).items()}
    gathered = FaultList()
    spec = gathered.trying(hardware, device, devices)
    runtime = row.get("runtime")
    used = gathered.trying(runtime_of, runtime, devices) if runtime else None
    try:
        subject = resolve(
            row.get("model"),
            spec or device,
            row.get("precision") or None,
            used,
            settings,
            row.get("engine") or None,
            faults=gathered,
        )
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
        return _RunCase(case, tuple(settings), unknown, names)
    quantities = [
        MeasuredQuantity(metric, MEASURED[metric], value, subject.workload)
        for metric, value in values.items()
    ]
    case = ValidationCase(
        name,
        device,
        subject.device,
        quantities,
        subject.precision,
        subject.runtime,
        row.get("model"),
        warm=warm,
        engine=subject.engine,
    )
    return _RunCase(case, tuple(settings))


def _unknown_names(rows: CsvTable, row: CsvRow, devices: Sequence[str | Path]) -> Iterator[Fault]:
    """Yield a fault for each unknown name in a row."""
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
            if not first.line:  # faults inside a spec file have their own location
                first = rows.fault(row, column, first.message, first.expected, first.suggestion)
            yield first


def _unknown(fault: Fault) -> bool:
    """Return whether a fault is an unknown setting rather than an invalid value."""
    return " has no " in fault.message or fault.message == "no such fact"


#: Measured metric -> attribute of `Prediction`; the first that the file has is the primary target.
MEASURED: Final = {
    "latency_s": "latency_s",
    "tokens_per_s": "tokens_per_s",
    "frames_per_s": "frames_per_s",
    "fps": "frames_per_s",
    "ttft_s": "ttft_s",
    "tpot_s": "tpot_s",
    "energy_j": "energy_j",
    "power_w": "power_w",
    "peak_memory_bytes": "peak_memory_bytes",
    "process_bytes": "process_bytes",
    "traffic_bytes": "traffic_bytes",
}

#: Columns that define the prediction.
_SUBJECT: Final = ("model", "device", "runtime", "precision", "engine", "warm")

#: Columns that are ignored, for human readers only.
_IGNORED: Final = ("name", "source", "note", "date", "url")

#: Columns of a long table for metric and measured value.
_LONG: Final = ("metric", "value")
#: Column of words ``name=value``, each a setting.
SETTINGS: Final = "settings"
#: Columns in which rows of one run may differ in a long table.
_OF_A_METRIC: Final = (*_LONG, "source", "note", "date", "url")

#: All columns that are not settings.
COLUMNS: Final = (*MEASURED, *_SUBJECT, *_IGNORED, *_LONG, SETTINGS)


def is_long(rows: CsvTable) -> bool:
    """Return whether a table is long, that is, has one row per metric."""
    return any(column in rows.columns for column in _LONG)


def header_faults(rows: CsvTable) -> list[Fault]:
    """Return the faults of the header: missing columns, or a mix of wide and long form."""
    long = is_long(rows)
    faults = rows.missing(("model", "device", *(_LONG if long else ())))
    metrics = [c for c in rows.columns if c in MEASURED]
    if long:
        message = "a column of a metric beside 'metric' and 'value'"
        other = "or a column for each metric"
        faults += [
            rows.fault(None, c, message, f"rows whose metric is {c}, {other}") for c in metrics
        ]
    elif len(rows.columns) > 1 and not metrics:
        expected = f"one or more of {', '.join(MEASURED)}; or 'metric' and 'value'"
        meant = ((c, m) for c in rows.columns if (m := nearest(c, MEASURED)))
        place, suggestion = next(meant, ("", ""))
        faults.append(rows.fault(None, place, "no column of measurements", expected, suggestion))
    return faults


def runs_of(rows: CsvTable) -> list[list[CsvRow]]:
    """Return the rows of each measured run: one row, or several of a long table.

    A repeated metric with the same model, device and settings starts another run.
    """
    if not is_long(rows):
        return [[row] for row in rows]
    runs: list[dict[str, CsvRow]] = []
    alike: dict[tuple[str, ...], list[dict[str, CsvRow]]] = {}
    for row in rows:
        same = alike.setdefault(
            tuple(row.get(c) for c in rows.columns if c not in _OF_A_METRIC), []
        )
        run = next((run for run in same if row.get("metric") not in run), dict[str, CsvRow]())
        if not run:
            same.append(run)
            runs.append(run)
        run[row.get("metric")] = row
    return [list(run.values()) for run in runs]


def values_of(rows: CsvTable, run: Sequence[CsvRow], faults: list[Fault]) -> dict[str, float]:
    """Return metric -> measured value of a run, in the order of `MEASURED`."""
    cells = (
        [(row.get("metric"), row, "value") for row in run]
        if is_long(rows)
        else [(metric, run[0], metric) for metric in MEASURED if metric in rows.columns]
    )
    values: dict[str, float] = {}
    for metric, row, column in cells:
        if metric not in MEASURED:
            message = f"'{metric}' is not a metric" if metric else "is empty"
            expected = "one of " + ", ".join(MEASURED)
            faults.append(rows.fault(row, "metric", message, expected, nearest(metric, MEASURED)))
        value = rows.number(row, column, faults)
        if value is not None:
            values[metric] = value
    return {metric: values[metric] for metric in MEASURED if metric in values}


def settings_of(rows: CsvTable, row: CsvRow, faults: list[Fault]) -> dict[str, str]:
    """Return the settings of a row as texts, from columns and from the words in ``settings``."""
    settings = {c: row.get(c) for c in rows.columns if c not in COLUMNS and row.get(c)}
    words = shlex.shlex(row.get(SETTINGS), posix=True)
    words.whitespace, words.whitespace_split, words.commenters = " \t\r\n;,", True, ""
    try:
        stated = list(words)
    except ValueError:
        faults.append(rows.fault(row, SETTINGS, "a quote that does not close"))
        return settings
    unnamed: list[str] = []
    for word in stated:
        name, _, text = word.partition("=")
        if not (name and text):
            unnamed.append(f"'{word}'")
        elif name in settings or (name in _SUBJECT and row.get(name)):
            message = f"'{name}' is stated twice"
            faults.append(rows.fault(row, SETTINGS, message, "one of them"))
        else:
            settings[name] = text
    if unnamed:
        noun = "is not a setting" if len(unnamed) == 1 else "are not settings"
        message, expected = f"{', '.join(unnamed)} {noun}", "words name=value, such as context=512"
        faults.append(rows.fault(row, SETTINGS, message, expected))
    return settings


def is_warm(rows: CsvTable, row: CsvRow, faults: list[Fault]) -> bool:
    """Return whether a row was measured over repeated runs."""
    text = row.get("warm").lower()
    if text in ("1", "true", "yes"):
        return True
    if text not in ("", "0", "false", "no"):
        faults.append(rows.fault(row, "warm", f"'{text}' is neither", "true or false"))
    return False
