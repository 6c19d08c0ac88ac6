"""Data sets by name: what installed packages offer as entry points ``perfmodel.datasets``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from perfmodel.catalog import module_of, packages

__all__ = ["GROUP", "dataset", "dataset_names", "datasets"]

#: Entry points of packages whose `READERS` map data sets to modules that read them.
GROUP: Final = "perfmodel.datasets"


@cache
def _readers() -> Mapping[str, str]:
    return {name: module for package in packages(GROUP) for name, module in package.READERS.items()}


def dataset_names() -> list[str]:
    """Return the names of all data sets that are installed."""
    return list(_readers())


def dataset(name: str) -> Any:
    """Return the reader of a data set: NAME, TITLE, PLACES and ``load(folder, devices)``."""
    return module_of(_readers()[name])


def datasets() -> dict[str, str]:
    """Return data set -> what it is."""
    return {name: dataset(name).TITLE for name in _readers()}
