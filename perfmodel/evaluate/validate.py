"""``validate``: data sets of the project, and CSV files of a user's own measurements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from perfmodel.ask import folder_faults
from perfmodel.asked import remember
from perfmodel.catalog import not_installed
from perfmodel.errors import InputError, input_error, nearest
from perfmodel.evaluate.case import Cases
from perfmodel.evaluate.datasets import dataset, dataset_names
from perfmodel.evaluate.files import DataFolder, data_folder
from perfmodel.evaluate.nested_refit import nested_trial
from perfmodel.evaluate.refit import trial
from perfmodel.evaluate.result import ValidationResult, Validations
from perfmodel.evaluate.run import evaluate
from perfmodel.measurements import bad_cells_left_out, few_faults
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
        own measurements. By default the data sets that the folder has.
    data
        Folder of the data sets. By default the one that PERFMODEL_DATA names, else ../shared/data.
    suffix
        Take the files with this suffix, such as _heldout.
    devices
        Folders with more specs of devices; theirs win over the library's.
    left_out
        Refit the constants of data sets that say how theirs were fitted, with each device (or
        chip, system) left out in turn, and report its errors beside the others.
    nested
        Leave them out with every choice inside the loop as well: fitted constants that a refit does
        not list, and how hard each is pulled to its family's value. The errors of
        plain left-out refits come with them.
    skip_bad_rows
        Leave out what a file has at fault, name it, and predict the rest: rows of a user's file,
        which count against the coverage, and cells of a data set, which count as empty.

    Returns
    -------
    Validations
        A list with one result for each name, in order. Rows that cannot be predicted count
        against the coverage.

    Raises
    ------
    InputError
        Unknown names, files with faults, specs of `devices` with faults: all of them at once.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.validate("mine.csv")[0].mape  # doctest: +SKIP
    """
    earlier = gathered()
    chosen = [names] if isinstance(names, str | Path) else list(names or _present(data, suffix))
    folders = [devices] if isinstance(devices, str | Path) else list(devices or ())
    # A broken spec would else be a row that cannot be predicted, or go unnoticed.
    faults = [*earlier, *folder_faults(folders)]
    loaded: list[Cases | ValidationResult] = []
    for name in chosen:
        try:
            loaded.append(_load(name, data, suffix, folders, skip_bad_rows))
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(list(dict.fromkeys(faults)))
    found = [
        item if isinstance(item, ValidationResult) else _detailed(evaluate(item), item)
        for item in loaded
    ]
    if left_out or nested:
        folder = data_folder(data, suffix)
        found = [_tried(item, folder, folders, nested) for item in found]
    options = {
        "data": data,
        "suffix": suffix or None,
        "devices": devices,
        "left_out": left_out or None,
        "nested": nested or None,
        "skip_bad_rows": skip_bad_rows or None,
    }
    for item in found:
        name = names if isinstance(names, str | Path) else item.name
        remember(item, "validate", (name,), options)
    return remember(Validations(found), "validate", (names or chosen,), options)


def _detailed(result: ValidationResult, cases: Cases) -> ValidationResult:
    """Return a result with what its data set tells beside the errors (``details(cases)``)."""
    told = getattr(dataset(cases.name), "details", None) if cases.name in dataset_names() else None
    if told is None:
        return result
    details, notes = told(cases)
    return replace(result, details=details, notes=(*result.notes, *notes))


def _tried(
    result: ValidationResult, folder: DataFolder, devices: list[str | Path], nested: bool
) -> ValidationResult:
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


def _present(data: str | Path | None, suffix: str) -> list[str]:
    """Return the data sets whose files are there; all where none are, so that each says so."""
    folder = data_folder(data, suffix)
    found = [name for name in dataset_names() if folder.find(*dataset(name).PLACES) is not None]
    if not dataset_names():
        raise InputError(not_installed("data sets"))
    return found or dataset_names()


def _load(
    name: str | Path, data: str | Path | None, suffix: str, devices: list[str | Path],
    skip_bad_rows: bool,
) -> Cases | ValidationResult:  # fmt: skip
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
        found: Cases | ValidationResult = dataset(text).load(data_folder(data, suffix), devices)
    if not left:
        return found
    told = f"{len(left)} cell{'s' if len(left) > 1 else ''} at fault left out: {few_faults(left)}"
    return replace(found, notes=(*found.notes, told))
