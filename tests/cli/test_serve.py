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


def test_clients_beyond_the_memory_wait_and_the_answer_says_so(run: Callable[..., Ran]) -> None:
    done = run("serve", "llama_3_8b", "h100", "--concurrency", "2000")
    assert done.code == 0
    assert "2,000" in done.out
    assert "waiting" in done.out
    assert "Little's law" in done.out
    few, many = (
        run("serve", "llama_3_8b", "h100", "--concurrency", n, "--json").data["ttft_s"]
        for n in ("2000", "1000000")
    )
    assert many > 400 * few
