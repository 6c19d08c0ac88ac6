"""`perfmodel serve`: what it refuses, and how it says so."""

from __future__ import annotations

from collections.abc import Callable

from tests.cli.conftest import Ran


def test_numbers_that_are_not_whole_are_not_cut(run: Callable[..., Ran]) -> None:
    told = run("serve", "llama_3_8b", "h100", "--concurrency", "2.5", "--tensor", "1.2")
    assert told.code == 2
    assert told.out == ""
    assert told.faults == [
        "error: perfmodel serve: '2.5' does not fit --concurrency; expected a whole number",
        "error: perfmodel serve: '1.2' does not fit --tensor; expected a whole number",
    ]
