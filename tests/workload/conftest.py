"""Workload files of the library, read without the library's own loader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfmodel.specfile import read
from perfmodel.workload.families import family
from perfmodel.workload.workload import Workload, from_family


@pytest.fixture(scope="session")
def entry(checkout: Path) -> Callable[[str], dict[str, Any]]:
    """The plain data of a workload file, by name."""

    def get(name: str) -> dict[str, Any]:
        data, _ = read(checkout / "workloads" / f"{name}.yaml")
        return data

    return get


@pytest.fixture(scope="session")
def load(entry: Callable[[str], dict[str, Any]]) -> Callable[..., Workload]:
    """The workload of a file, by name, with fields of its structure replaced."""

    def get(name: str, **structure: Any) -> Workload:
        data = entry(name)
        kind = family(data["family"])
        made = kind.structure.model_validate({**data["structure"], **structure})
        return from_family(name, kind, made, data["parameters"])

    return get
