"""The measurement table: the columns in which users write what they measured.

A table is wide (a column for each metric) or long (a row for each, in ``metric`` and ``value``);
rows of a long table that agree in everything else are one measured run.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from perfmodel.errors import Fault, nearest
from perfmodel.measurements import CsvRow, CsvTable

__all__ = [
    "COLUMNS",
    "MEASURED",
    "SETTINGS",
    "header_faults",
    "is_long",
    "is_warm",
    "runs_of",
    "settings_of",
    "values_of",
]

#: Measured metric -> attribute of `Prediction`; the first that a row has is its primary target.
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
    "traffic_bytes": "traffic_bytes",
}

#: What is predicted.
_SUBJECT: Final = ("model", "device", "runtime", "precision", "engine", "warm")

#: Columns that say something to people alone.
_IGNORED: Final = ("name", "source", "note", "date", "url")

#: Columns of a long table that say what was measured.
_LONG: Final = ("metric", "value")
#: Column of words ``name=value``, each a setting.
SETTINGS: Final = "settings"
#: What rows of a long table may differ in and still be of one run.
_OF_A_METRIC: Final = (*_LONG, "source", "note", "date", "url")

#: Every column that is no setting.
COLUMNS: Final = (*MEASURED, *_SUBJECT, *_IGNORED, *_LONG, SETTINGS)


def is_long(rows: CsvTable) -> bool:
    """Tell whether a table has a row for each metric."""
    return any(column in rows.columns for column in _LONG)


def header_faults(rows: CsvTable) -> list[Fault]:
    """Return what is wrong with the header: columns that are missing, or of both forms."""
    required = ("model", "device", *_LONG) if is_long(rows) else ("model", "device")
    faults = rows.missing(required)
    metrics = [c for c in rows.columns if c in MEASURED]
    if is_long(rows):
        faults += [
            rows.fault(
                None,
                c,
                "a column of a metric beside 'metric' and 'value'",
                f"rows whose metric is {c}, or a column for each metric",
            )
            for c in metrics
        ]
    elif len(rows.columns) > 1 and not metrics:
        expected = f"one or more of {', '.join(MEASURED)}; or 'metric' and 'value'"
        meant = {c: m for c in rows.columns if (m := nearest(c, MEASURED))}
        place = next(iter(meant), "")
        suggestion = meant.get(place, "")
        faults.append(rows.fault(None, place, "no column of measurements", expected, suggestion))
    return faults


def runs_of(rows: CsvTable) -> list[list[CsvRow]]:
    """Return the rows of each measured run: one, or those of a long table that state its metrics.

    A metric that is stated again, of the same model, device and settings, is of another run.
    """
    if not is_long(rows):
        return [[row] for row in rows]
    runs: list[dict[str, CsvRow]] = []
    alike: dict[tuple[str, ...], list[dict[str, CsvRow]]] = {}
    for row in rows:
        same = alike.setdefault(
            tuple(row.get(c) for c in rows.columns if c not in _OF_A_METRIC), []
        )
        run = next((run for run in same if row.get("metric") not in run), None)
        if run is None:
            run = dict[str, CsvRow]()
            same.append(run)
            runs.append(run)
        run[row.get("metric")] = row
    return [list(run.values()) for run in runs]


def values_of(rows: CsvTable, run: Sequence[CsvRow], faults: list[Fault]) -> dict[str, float]:
    """Return metric -> what was measured in a run, in the order of `MEASURED`."""
    cells = (
        [(row.get("metric"), row, "value") for row in run]
        if is_long(rows)
        else [(metric, run[0], metric) for metric in MEASURED if metric in rows.columns]
    )
    values: dict[str, float] = {}
    for metric, row, column in cells:
        if metric not in MEASURED:
            message = f"'{metric}' is no metric" if metric else "is empty"
            expected = "one of " + ", ".join(MEASURED)
            faults.append(rows.fault(row, "metric", message, expected, nearest(metric, MEASURED)))
        value = rows.number(row, column, faults)
        if value is not None:
            values[metric] = value
    return {metric: values[metric] for metric in MEASURED if metric in values}


def settings_of(rows: CsvTable, row: CsvRow, faults: list[Fault]) -> dict[str, str]:
    """Return the settings of a row as texts: its columns, and the words of ``settings``."""
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
        message = (
            f"{', '.join(unnamed)} {'is no setting' if len(unnamed) == 1 else 'are no settings'}"
        )
        expected = "words name=value, such as context=512"
        faults.append(rows.fault(row, SETTINGS, message, expected))
    return settings


def is_warm(rows: CsvTable, row: CsvRow, faults: list[Fault]) -> bool:
    """Tell whether a row was measured over repeated runs."""
    text = row.get("warm").lower()
    if text in ("1", "true", "yes"):
        return True
    if text not in ("", "0", "false", "no"):
        faults.append(rows.fault(row, "warm", f"'{text}' is neither", "true or false"))
    return False
