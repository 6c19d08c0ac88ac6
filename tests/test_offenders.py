"""The helper that runs many cases as one test must not hide a failure."""

import pytest

from tests.offenders import each


def test_every_offender_is_named() -> None:
    seen: list[int] = []

    @each("number, twice", [(1, 2), (2, 5), (3, 6), (4, 9)])
    def check(number: int, twice: int) -> None:
        seen.append(number)
        assert twice == 2 * number

    with pytest.raises(AssertionError, match=r"2 of 4 cases(.|\n)*\(2, 5\)(.|\n)*\(4, 9\)"):
        check()
    assert seen == [1, 2, 3, 4]


@each("number", lambda: range(3))
def test_fixtures_are_asked_for_as_ever(number: int, tmp_path: object) -> None:
    assert number < 3
    assert tmp_path


def test_no_case_is_a_failure() -> None:
    @each("number", [])
    def check(number: int) -> None: ...

    with pytest.raises(AssertionError, match="no case"):
        check()


def test_what_a_test_fails_by_hand_is_an_offender() -> None:
    @each("number", [1])
    def check(number: int) -> None:
        pytest.fail("by hand")

    with pytest.raises(AssertionError, match="by hand"):
        check()
