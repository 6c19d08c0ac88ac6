"""Data sets by name: what installed packages offer as entry points ``perfmodel.datasets``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from perfmodel.catalog import module_of, packages
from perfmodel.evaluate.declared import DeclaredDataset

#: Entry points of packages whose `READERS` map data sets to modules that read them.
GROUP: Final = "perfmodel.datasets"


@cache
def _readers() -> Mapping[str, str | DeclaredDataset]:
    """Return data set -> module that reads it, or its YAML beside the modules."""
    readers: dict[str, str | DeclaredDataset] = {}
    for package in packages(GROUP):
        folder = Path(str(package.__path__[0]))
        readers |= {
            path.stem: DeclaredDataset(path)
            for path in folder.glob("*.yaml")
            if path.stem != "peers"
        }
        readers |= package.READERS
    return dict(sorted(readers.items()))


def dataset_names() -> list[str]:
    """Return the names of all data sets that are installed."""
    return list(_readers())


def dataset(name: str) -> Any:
    """Return the reader of a data set: NAME, TITLE, PLACES and ``load(folder, devices)``."""
    reader = _readers()[name]
    return module_of(reader) if isinstance(reader, str) else reader


def datasets() -> dict[str, str]:
    """Return data set -> what it is."""
    return {name: dataset(name).TITLE for name in _readers()}
