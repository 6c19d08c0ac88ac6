"""A check of everything in the library as one test, which lists what fails it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import pytest


def each(
    names: str, cases: Iterable[Any] | Callable[[], Iterable[Any]]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test on all `cases` as one test: every case is tried, and all that fail are listed.

    It is written as `pytest.mark.parametrize` is. Where thousands of small cases are alike, a test
    of its own for each costs more than the check does. `cases` may be a function, so that nothing
    is read while tests are collected. Fixtures are shared by the cases.
    """
    arguments = [name.strip() for name in names.split(",")]

    def over(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def tried(**fixtures: Any) -> None:
            tries, wrong = 0, list[str]()
            first: BaseException | None = None
            for case in cases() if callable(cases) else cases:
                tries += 1
                values = (case,) if len(arguments) == 1 else case
                try:
                    test(**dict(zip(arguments, values, strict=True)), **fixtures)
                except (Exception, pytest.fail.Exception) as error:
                    first = first or error
                    place = traceback.extract_tb(error.__traceback__)[1]
                    wrong.append(f"{values}, line {place.lineno}: {type(error).__name__}: {error}")
            assert tries, "no case to try"
            if wrong:
                told = "\n".join(wrong)
                raise AssertionError(f"{len(wrong)} of {tries} cases fail:\n{told}") from first

        own = inspect.signature(test)
        fixtures = [p for name, p in own.parameters.items() if name not in arguments]
        # What pytest reads to see which fixtures the test asks for.
        tried.__signature__ = own.replace(parameters=fixtures)  # pyright: ignore[reportAttributeAccessIssue]
        return tried

    return over
