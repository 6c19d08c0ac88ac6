"""Results over whole data sets, for every test that reads one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from perfmodel.evaluate import ValidationResult, validate


@pytest.fixture(scope="session")
def validated(data: Path) -> Callable[[str], ValidationResult]:
    """The result of a data set by its name, computed once in a process."""

    @cache
    def result(name: str) -> ValidationResult:
        (found,) = validate(name, data=data)
        return found

    return result
