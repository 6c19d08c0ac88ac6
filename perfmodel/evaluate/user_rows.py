"""A user's own measurements: a CSV file with the columns of ``docs/validate.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.formats import as_precision
from perfmodel.hardware.library import hardware
from perfmodel.hardware.library import runtime as find_runtime
from perfmodel.measurements import CsvRow, CsvTable, few_faults, read_rows
from perfmodel.resolve import resolve
from perfmodel.settings import FaultList, is_fact, plain_value
from perfmodel.workload.library import find

#: Measured column -> attribute of `Prediction`; the first that a row has is its primary target.
MEASURED: Final = {
    "latency_s": "latency_s",
    "tokens_per_s": "tokens_per_s",
    "frames_per_s": "frames_per_s",
    "ttft_s": "ttft_s",
    "tpot_s": "tpot_s",
    "energy_j": "energy_j",
    "power_w": "power_w",
    "peak_memory_bytes": "peak_memory_bytes",
    "traffic_bytes": "traffic_bytes",
}

#: What is predicted.
_SUBJECT: Final = ("model", "device", "runtime", "precision", "engine", "warm")

#: Columns that say something to people alone.
IGNORED: Final = ("name", "source", "note", "date", "url")


_UNMEASURED: Final = "no measurement in the row"
_LEFT_OUT: Final = "left out: "


class _Read(NamedTuple):
    """A row as a case, the settings it gives, and those that its model or device does not have.

    `names` are the faults of its model, device, runtime and precision where there is none of that
    name; they matter to the file where every row has one.
    """

    case: ValidationCase
    given: frozenset[str] = frozenset()
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
    faults = _header(rows)
    if faults:
        raise InputError(faults)
    measured = [c for c in MEASURED if c in rows.columns]
    settings = [
        c for c in rows.columns if c not in MEASURED and c not in _SUBJECT and c not in IGNORED
    ]
    lost = [] if bad is None else [_left_out(fault) for fault in bad]
    read = [_read(rows, row, measured, settings, devices, faults, bad) for row in rows]
    faults += [
        _meaningless(rows, column)
        for column in settings
        if (having := [r for r in read if column in r.given])
        and all(column in r.unknown for r in having)
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


def _header(rows: CsvTable) -> list[Fault]:
    faults = rows.missing(("model", "device"))
    if len(rows.columns) > 1 and not any(c in MEASURED for c in rows.columns):
        expected = "one or more of " + ", ".join(MEASURED)
        meant = {c: m for c in rows.columns if (m := nearest(c, MEASURED))}
        place = next(iter(meant), "")
        suggestion = meant.get(place, "")
        faults.append(rows.fault(None, place, "no column of measurements", expected, suggestion))
    return faults


def _meaningless(rows: CsvTable, column: str) -> Fault:
    what = "no device has a fact" if is_fact(column) else "no model has a parameter"
    known = [*MEASURED, *_SUBJECT, *IGNORED, "batch", "context", "prompt", "phase"]
    meant = nearest(column, known)
    expected = "" if meant else f"{', '.join(known)} or another parameter of a model"
    return rows.fault(None, column, f"{what} of this name", expected, meant)


def _read(
    rows: CsvTable,
    row: CsvRow,
    measured: list[str],
    settings: list[str],
    devices: Sequence[str | Path],
    faults: list[Fault],
    bad: list[Fault] | None,
) -> _Read:
    """Return a row; its own faults go to `bad` where rows with faults are left out."""
    mine: list[Fault] = []
    read = _understood(rows, row, measured, settings, devices, mine)
    if bad is None or not mine:
        faults += mine
        return read
    bad += mine
    return _Read(_left_out(mine[0], read.case.name, read.case.device))


def _understood(
    rows: CsvTable,
    row: CsvRow,
    measured: list[str],
    settings: list[str],
    devices: Sequence[str | Path],
    faults: list[Fault],
) -> _Read:
    values = {
        column: value
        for column in measured
        if (value := rows.number(row, column, faults)) is not None
    }
    warm = _truth(rows, row, faults)
    name, device = row.get("name", f"line {row.line} {row.get('model')}"), row.get("device")
    faults += [
        rows.fault(row, column, "is empty", f"the {column} that was measured")
        for column in ("model", "device")
        if not row.get(column)
    ]
    if not values:
        return _Read(ValidationCase(name, device, reason=_UNMEASURED))
    given = {c: plain_value(row.get(c)) for c in settings if row.get(c)}
    gathered = FaultList()
    spec = gathered.trying(hardware, device, devices)
    runtime = row.get("runtime")
    chosen = gathered.trying(find_runtime, runtime, devices) if runtime else None
    try:
        subject = resolve(
            row.get("model"), spec or device, row.get("precision") or None, chosen, given,
            row.get("engine") or None, faults=gathered,
        )  # fmt: skip
    except InputError as error:
        reason = str(replace(error.faults[0], file="", line=0, column=0))
        unknown = frozenset(f.path for f in error.faults if f.path in given and _unknown(f))
        faults += [
            rows.fault(row, f.path, f.message, f.expected, f.suggestion)
            for f in error.faults
            if f.path in given and f.path not in unknown
        ]
        names = tuple(_unknown_names(rows, row, devices))
        return _Read(ValidationCase(name, device, reason=reason), frozenset(given), unknown, names)
    questions = [
        MeasuredQuantity(c, MEASURED[c], value, subject.workload) for c, value in values.items()
    ]
    case = ValidationCase(
        name, device, subject.device, questions, subject.precision, subject.runtime,
        row.get("model"), warm=warm, engine=subject.engine,
    )  # fmt: skip
    return _Read(case, frozenset(given))


def _unknown_names(rows: CsvTable, row: CsvRow, devices: Sequence[str | Path]) -> Iterator[Fault]:
    """Yield a fault for each name in a row that nothing is called by."""
    checks: dict[str, Callable[[str], object]] = {
        "model": find,
        "device": lambda name: hardware(name, devices),
        "runtime": lambda name: find_runtime(name, devices),
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


def _truth(rows: CsvTable, row: CsvRow, faults: list[Fault]) -> bool:
    text = row.get("warm").lower()
    if text in ("1", "true", "yes"):
        return True
    if text not in ("", "0", "false", "no"):
        faults.append(rows.fault(row, "warm", f"'{text}' is neither", "true or false"))
    return False
