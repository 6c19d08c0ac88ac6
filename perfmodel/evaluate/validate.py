"""Public function `validate`: errors of predictions on data sets and on users' measurements.

Cases are loaded (from data sets, `perfmodel.evaluate.datasets`, or CSV files,
`perfmodel.evaluate.user_rows`), predicted (`evaluate`), and summarised as errors beside those of
two bare rooflines (`baselines`). On request constants are refitted without each device
(`perfmodel.evaluate.refit`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.ask import Served, folder_faults
from perfmodel.bulk_allocation import collector_paused
from perfmodel.call_record import record_call
from perfmodel.catalog import not_installed
from perfmodel.errors import InputError, input_error, nearest
from perfmodel.evaluate.data_files import DataFolder, data_folder
from perfmodel.evaluate.datasets import dataset, dataset_names
from perfmodel.evaluate.nested_refit import nested_trial
from perfmodel.evaluate.quantity_answers import QuantityAnswers
from perfmodel.evaluate.refit import trial
from perfmodel.evaluate.result import Errors, ValidationResult, Validations, errors
from perfmodel.evaluate.validation_case import (
    Cases,
    MeasuredQuantity,
    RowOrigin,
    ValidationCase,
    kernels_s,
)
from perfmodel.measurement_csv import bad_cells_left_out, few_faults
from perfmodel.settings import gathered

_TABLES = (".csv", ".csv.gz")


def validate(
    names: str | Path | Iterable[str | Path] | None = None,
    *,
    data: str | Path | None = None,
    suffix: str = "",
    devices: str | Path | Iterable[str | Path] | None = None,
    left_out: bool = False,
    nested: bool = False,
    skip_bad_rows: bool = False,
) -> Validations:
    """Compare predictions with measured rows.

    Parameters
    ----------
    names
        Data sets (llamacpp_apple_4167, cpu_zen4, genz, flash_read), or paths to .csv files of your
        own measurements. By default all data sets in the folder.
    data
        Folder of the data sets. By default the one that the environment variable PERFMODEL_DATA
        names, else ../shared/data.
    suffix
        Use the files with this suffix, such as _heldout.
    devices
        Folders with further device specs, which replace those of the library.
    left_out
        For data sets on which constants were fitted: refit the constants without each device (or
        chip, or system) in turn, and also report the errors on the device that was left out.
    nested
        As --left-out, but repeat every modelling choice without the device too: the fitted
        constants that a refit does not list, and the strength with which each constant is shrunk to
        the value of its family. The errors of --left-out are reported as well.
    skip_bad_rows
        Skip invalid input, report it, and predict the rest: rows of a user's file, which count
        against the coverage, and cells of a data set, which are treated as empty.

    Returns
    -------
    Validations
        List with one result per name, in order. Rows that cannot be predicted count against the
        coverage.

    Raises
    ------
    InputError
        Lists all unknown names, faulty files and faulty specs of `devices`.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.validate("mine.csv")[0].mape  # doctest: +SKIP
    """
    earlier = gathered()
    requested = (
        [names]
        if isinstance(names, str | Path)
        else list(names or _existing_datasets(data, suffix))
    )
    folders = [devices] if isinstance(devices, str | Path) else list(devices or ())
    # Otherwise a broken spec would only appear as a row that cannot be predicted, or not at all.
    faults = [*earlier, *folder_faults(folders)]
    loaded: list[Cases | ValidationResult] = []
    for name in requested:
        try:
            loaded.append(_loaded_cases(name, data, suffix, folders, skip_bad_rows))
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(list(dict.fromkeys(faults)))
    results = [
        item if isinstance(item, ValidationResult) else _with_details(evaluate(item), item)
        for item in loaded
    ]
    if left_out or nested:
        folder = data_folder(data, suffix)
        results = [_with_refits(item, folder, folders, nested) for item in results]
    options = {
        "data": data,
        "suffix": suffix or None,
        "devices": devices,
        "left_out": left_out or None,
        "nested": nested or None,
        "skip_bad_rows": skip_bad_rows or None,
    }
    for item in results:
        name = names if isinstance(names, str | Path) else item.name
        record_call(item, "validate", (name,), options)
    return record_call(Validations(results), "validate", (names or requested,), options)


def _with_details(result: ValidationResult, cases: Cases) -> ValidationResult:
    """Return a result with the additional details of its data set (``details(cases)``)."""
    describe = (
        getattr(dataset(cases.name), "details", None) if cases.name in dataset_names() else None
    )
    if describe is None:
        return result
    details, notes = describe(cases)
    return replace(result, details=details, notes=(*result.notes, *notes))


def _with_refits(
    result: ValidationResult, folder: DataFolder, devices: list[str | Path], nested: bool
) -> ValidationResult:
    """Return a result with the errors of refits on the groups left out."""
    offered = (
        getattr(dataset(result.name), "refits", None) if result.name in dataset_names() else None
    )
    if offered is None:
        return result
    trials = {
        r.target: trial(r) | ({"nested": nested_trial(r, result.name)} if nested else {})
        for r in offered(folder, devices)
    }
    return replace(result, left_out=trials)


def _existing_datasets(data: str | Path | None, suffix: str) -> list[str]:
    """Return the data sets with existing files, or all if there are none, to report each."""
    folder = data_folder(data, suffix)
    present = [name for name in dataset_names() if folder.find(*dataset(name).PLACES) is not None]
    if not dataset_names():
        raise InputError(not_installed("data sets"))
    return present or dataset_names()


@collector_paused()
def _loaded_cases(
    name: str | Path,
    data: str | Path | None,
    suffix: str,
    devices: list[str | Path],
    skip_bad_rows: bool,
) -> Cases | ValidationResult:
    """Return the cases of a data set or of a user's file."""
    text = str(name)
    if isinstance(name, Path) or text.endswith(_TABLES):
        from perfmodel.evaluate.user_rows import load

        return load(Path(name), devices, skip_bad_rows=skip_bad_rows)
    known = dataset_names()
    if not known:
        raise InputError(not_installed("data sets"))
    if text not in known:
        raise input_error(
            f"no data set is named '{text}'",
            suggestion=nearest(text, known),
            expected="a path to a .csv file, or one of " + ", ".join(known),
        )
    if not skip_bad_rows:
        return dataset(text).load(data_folder(data, suffix), devices)
    with bad_cells_left_out() as left:
        cases: Cases | ValidationResult = dataset(text).load(data_folder(data, suffix), devices)
    if not left:
        return cases
    note = f"{len(left)} cell{'s' if len(left) > 1 else ''} at fault left out: {few_faults(left)}"
    return replace(cases, notes=(*cases.notes, note))


_WORST = 10


@collector_paused()
def evaluate(cases: Cases) -> ValidationResult:
    """Predict all cases of a data set and return the errors.

    Parameters
    ----------
    cases
        Cases of a data set.

    Returns
    -------
    ValidationResult
        Rows that cannot be predicted count against the coverage, with their reason.
    """
    rows: list[dict[str, Any]] = []
    failed: dict[str, list[str]] = {}
    infeasible: list[str] = []
    answers = QuantityAnswers(cases)
    for case in cases.cases:
        if case.machine is None:
            failed.setdefault(case.reason or "no reason given", []).append(case.name)
            continue
        try:
            rows += _rows_of_case(case, answers, infeasible)
        except InputError as error:
            failed.setdefault(str(error.faults[0]), []).append(case.name)
    notes = list(cases.notes)
    if infeasible:
        infeasible = list(dict.fromkeys(infeasible))
        first = ", ".join(infeasible[:3])
        notes.append(
            f"{len(infeasible)} rows exceed a memory or a resource of their device by the model: "
            f"{first}"
        )
    primary = [row for row in rows if row["target"] == cases.primary]
    return summarise(
        cases.name,
        rows,
        len(cases.cases),
        failed,
        primary=cases.primary,
        notes=notes,
        details={name: _details(primary, template) for name, template in cases.details.items()},
    )


def summarise(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    total: int,
    failed: Mapping[str, Sequence[str]],
    *,
    primary: str = "latency_s",
    references: Mapping[str, Errors] | None = None,
    notes: Iterable[str] = (),
    details: Mapping[str, Any] | None = None,
) -> ValidationResult:
    """Return the result of a data set from its rows.

    Parameters
    ----------
    name
        Of the data set.
    rows
        As `row_of` returns them, with ``roofline`` and ``compute`` unless `references` are stated.
    total
        Rows that were measured, those that are not predicted among them.
    failed
        Reason -> names of the rows that are not predicted for it.
    primary
        Target whose errors are grouped.
    references
        Errors of other predictors; those of bare rooflines where left out.
    notes, details
        As the result has them.
    """
    targets = _grouped_by(rows, lambda row: row["target"])
    ours = targets.get(primary, [])
    missed = sum(map(len, failed.values()))
    return ValidationResult(
        name,
        total,
        (total - missed) / total if total else 0.0,
        {target: error_of(own) for target, own in {primary: ours, **targets}.items()},
        primary,
        errors_by_group(ours, lambda row: row["device"]),
        errors_by_group(ours, lambda row: row["group"]),
        baselines(ours) if references is None else references,
        tuple({"reason": k, "rows": len(v), "first": v[0]} for k, v in failed.items() if v),
        worst_of(ours),
        tuple(rows),
        tuple(notes),
        details or {},
    )


def _grouped_by(
    rows: Iterable[Mapping[str, Any]], key: Callable[[Mapping[str, Any]], str]
) -> dict[str, list[Mapping[str, Any]]]:
    """Return the rows grouped by a key, in order of first occurrence."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _details(rows: Sequence[Mapping[str, Any]], template: str) -> dict[str, Any]:
    """Return the errors of rows grouped by a template of their values."""
    stated = [row for row in rows if row["origin"].case.values is not None]
    groups = _grouped_by(stated, lambda row: row["origin"].case.values.text(template))
    return {group: error_of(members) for group, members in groups.items()}


def _rows_of_case(
    case: ValidationCase, answers: QuantityAnswers, infeasible: list[str]
) -> list[dict[str, Any]]:
    """Return the result rows of a case, one per quantity; equal loads share a prediction."""
    served: dict[tuple[Any, ...], Served] = {}
    rows: list[dict[str, Any]] = []
    assert case.machine is not None
    for quantity in case.quantities:
        load = quantity.load
        if load is None:
            one = answers.of(case, quantity)
            if not one.feasible:
                infeasible.append(case.name)
            row = row_of(case, quantity, one.predicted, one.runtime)
            rows.append(row | {"roofline": one.roofline, "compute": one.compute})
            continue
        if load.key not in served:
            served[load.key] = load.serve(case.machine, case.precision, case.runtime)
        answer = served[load.key]
        if not answer.feasible:
            infeasible.append(case.name)
        predicted = float(getattr(answer, quantity.metric))
        floor = kernels_s(answer, quantity.metric, case.precision)
        row = row_of(case, quantity, predicted, answer.decode.runtime)
        rows.append(row | {"roofline": floor, "compute": None})
    return rows


def row_of(
    case: ValidationCase, quantity: MeasuredQuantity, predicted: float, runtime: str
) -> dict[str, Any]:
    """Return a row of a result, without its baselines."""
    return comparison_row(
        case.name,
        case.device,
        case.group,
        quantity.target,
        quantity.measured,
        predicted,
        origin=RowOrigin(case, quantity, runtime),
    )


def comparison_row(
    name: str,
    device: str,
    group: str,
    target: str,
    measured: float,
    predicted: float,
    **others: Any,
) -> dict[str, Any]:
    """Return a row of a result: a measurement beside its prediction, and its relative error."""
    return {
        "name": name,
        "device": device,
        "group": group,
        "target": target,
        "measured": measured,
        "predicted": predicted,
        "error": predicted / measured - 1.0,
        **others,
    }


def worst_of(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return the rows with the largest relative errors."""
    keys = ("name", "device", "measured", "predicted", "error")
    worst = sorted(rows, key=lambda row: -abs(row["error"]))[:_WORST]
    return tuple({k: row[k] for k in keys} for row in worst)


def error_of(rows: Sequence[Mapping[str, Any]], key: str = "predicted") -> Errors:
    """Return the errors of rows; `key` is the column of predictions."""
    return errors([row[key] for row in rows], [row["measured"] for row in rows])


def errors_by_group(
    rows: Sequence[Mapping[str, Any]], key: Callable[[Mapping[str, Any]], str]
) -> dict[str, dict[str, Any]]:
    """Return group -> rows, mape, bias and kendall."""
    out: dict[str, dict[str, Any]] = {}
    for name, members in _grouped_by(rows, key).items():
        if name:
            group = error_of(members)
            out[name] = {"rows": len(members)} | {k: group[k] for k in ("mape", "bias", "kendall")}
    return out


def baselines(rows: Sequence[Mapping[str, Any]]) -> dict[str, Errors]:
    """Return the errors of `perfmodel.evaluate.result.BASELINES` on rows of one target."""
    if not rows:
        return {}
    floors, measured = (np.array([row[key] for row in rows]) for key in ("roofline", "measured"))
    # Least-squares factor in logarithms.
    scale = float(np.exp(np.mean(np.log(measured / floors))))
    out = {
        "roofline": errors(floors, measured),
        "roofline_scaled": errors(scale * floors, measured),
    }
    counted = [row for row in rows if row["compute"] is not None]
    if counted:
        out["compute"] = error_of(counted, "compute")
    return out
