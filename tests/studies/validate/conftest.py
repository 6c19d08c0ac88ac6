"""Results over whole data sets, for every test that reads one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from perfmodel.evaluate import ValidationResult, validate


@pytest.fixture(scope="session")
def validated(data: Path) -> Callable[..., ValidationResult]:
    """The result of a data set by its name (and `left_out`), computed once in a process."""

    @cache
    def result(name: str, *, left_out: bool = False) -> ValidationResult:
        (found,) = validate(name, data=data, left_out=left_out)
        return found

    return result
