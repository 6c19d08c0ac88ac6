"""``validate``: data sets of the project, and CSV files of a user's own measurements."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.hardware.library import folder_faults
from perfmodel.validate.case import Cases
from perfmodel.validate.datasets import DATASETS, dataset
from perfmodel.validate.files import data_folder
from perfmodel.validate.result import ValidationResult
from perfmodel.validate.run import evaluate

__all__ = ["run_validate", "validate"]

_TABLES = (".csv", ".csv.gz")


def validate(
    names: str | Path | Iterable[str | Path] | None = None,
    *,
    data: str | Path | None = None,
    suffix: str = "",
    devices: str | Path | Iterable[str | Path] | None = None,
) -> list[ValidationResult]:
    """Compare predictions with measured rows.

    Parameters
    ----------
    names
        Data sets (see `perfmodel.validate.datasets`), or paths to CSV files of measurements; the
        data sets that the folder has where left out.
    data
        Folder laid out as the project's data; by default ``PERFMODEL_DATA``, else
        ``../shared/data``.
    suffix
        Suffix of the files to read, such as ``_heldout``.
    devices
        Folders with more specs of devices; theirs win over the library's.

    Returns
    -------
    list of ValidationResult
        One a name, in order. Rows that cannot be predicted count against the coverage.

    Raises
    ------
    InputError
        Unknown names, files with faults, specs of `devices` with faults: all of them at once.
    """
    chosen = [names] if isinstance(names, str | Path) else list(names or _present(data, suffix))
    folders = [devices] if isinstance(devices, str | Path) else list(devices or ())
    # A broken spec would else be a row that cannot be predicted, or go unnoticed.
    faults = folder_faults(folders)
    loaded: list[Cases | ValidationResult] = []
    for name in chosen:
        try:
            loaded.append(_load(name, data, suffix, folders))
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(list(dict.fromkeys(faults)))
    return [item if isinstance(item, ValidationResult) else evaluate(item) for item in loaded]


def _present(data: str | Path | None, suffix: str) -> list[str]:
    """Return the data sets whose files are there; all where none are, so that each says so."""
    folder = data_folder(data, suffix)
    found = [name for name in DATASETS if folder.find(*dataset(name).PLACES) is not None]
    return found or list(DATASETS)


def _load(
    name: str | Path, data: str | Path | None, suffix: str, devices: list[str | Path]
) -> Cases | ValidationResult:
    text = str(name)
    if isinstance(name, Path) or text.endswith(_TABLES):
        from perfmodel.validate.user_rows import load

        return load(Path(name), devices)
    if text not in DATASETS:
        raise InputError(
            Fault(f"no data set is named '{text}'", suggestion=nearest(text, DATASETS),
                  expected="a path to a .csv file, or one of " + ", ".join(DATASETS))
        )  # fmt: skip
    return dataset(text).load(data_folder(data, suffix), devices)


def run_validate(
    names: Iterable[str | Path] | None = None,
    data: str | Path | None = None,
    suffix: str = "",
    devices: str | Path | Iterable[str | Path] | None = None,
) -> list[dict[str, Any]]:
    """Return `validate` ready for JSON: ``{name, rows, coverage, targets, mape, ...}`` each."""
    found = validate(names, data=data, suffix=suffix, devices=devices)
    return [item.to_dict() for item in found]
