"""Joules that nothing was fitted on: plain commands beside measured energies."""

from __future__ import annotations

from functools import lru_cache

from perfmodel.evaluate import reproduce
from perfmodel.evaluate.claims import Reproduction


@lru_cache(maxsize=1)
def questions() -> dict[str, Reproduction]:
    return {row.claim: row for row in reproduce("energy_questions")}


def test_intervals_hold_about_nine_in_ten_of_them() -> None:
    """16 of 20 or more: fewer have a chance of 4 % where nine in ten are promised."""
    inside = 0
    for row in questions().values():
        assert row.interval is not None
        assert row.published is not None
        low, high, _ = row.interval
        assert low < row.predicted < high
        inside += low <= row.published <= high
    assert len(questions()) == 20
    assert inside >= 16


def test_the_median_error_is_that_of_the_page_or_less() -> None:
    errors = sorted(abs(row.error) for row in questions().values() if row.error is not None)
    assert len(errors) == 20
    assert errors[10] < 0.42


def test_a_lower_limit_never_takes_more_joules() -> None:
    assert (
        questions()["qwen_7b_rtx_5060_ti_150w"].predicted
        <= questions()["qwen_7b_rtx_5060_ti"].predicted
    )
