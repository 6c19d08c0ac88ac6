"""Numbers with provenance: SI from Python, a unit in a file, nothing absurd."""

import math
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perfmodel.errors import InputError
from perfmodel.hardware.quantity import Of, Quantity, Rate, Spec
from perfmodel.specfile import validate


class Holder(Spec):
    time: Annotated[Quantity, Of("time")] | None = None
    rate: Annotated[Rate, Of("bandwidth", positive=True, per_clock=True)] | None = None
    share: Annotated[Quantity, Of("fraction", positive=True, ceiling=1.2)] | None = None
    draw: Annotated[Quantity, Of("bandwidth_per_clock", bare=True)] | None = None


def test_plain_numbers_are_si_from_python() -> None:
    made = Holder(time=3e-5, rate="51.2 GB/s")  # pyright: ignore[reportArgumentType]
    assert made.time == Quantity(value=3e-5)
    assert made.rate is not None
    assert made.rate.value == 51.2e9


def test_a_mapping_carries_provenance() -> None:
    given = {"time": {"value": "30 us", "source": "a", "confidence": "measured", "note": "n"}}
    made = validate(Holder, given)
    assert made.time == Quantity(value=3e-5, source="a", confidence="measured", note="n")


def test_bytes_per_clock_are_told_by_the_unit() -> None:
    made = validate(Holder, {"rate": "64 B/clock"})
    assert made.rate == Rate(value=64.0, per_clock=True)
    with pytest.raises(InputError, match="per_clock"):
        validate(Holder, {"rate": {"value": "64 B/s", "per_clock": True}})


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"time": 3e-5}, "time: 3e-05 has no unit; expected a time with its unit"),
        ({"time": True}, "time: true is not a time"),
        ({"time": [1]}, "time: list is not a time"),
        ({"time": "-1 s"}, "time: is negative; expected a time of zero or more"),
        ({"time": {"value": "1 s", "sauce": "x"}}, "time.sauce: unknown key 'sauce'; did you mean"),
        ({"time": {"source": "x"}}, "time: missing key 'value' (a number with provenance)"),
        ({"time": {"value": None}}, "NoneType is not a time"),
        ({"rate": "0 B/s"}, "rate: is zero; expected a bandwidth above zero"),
        ({"rate": "2 EB/s"}, "rate: 2 EB/s is absurd; expected at most 1 EB/s"),
        ({"share": "120 s"}, "share: '120 s' is a time, not a fraction"),
        ({"share": 1.3}, "share: 1.3 is too large; expected at most 1.2"),
        ({"share": 10**400}, "share: is absurdly large"),
    ],
)
def test_what_a_file_may_not_say(given: dict[str, object], part: str) -> None:
    with pytest.raises(InputError) as caught:
        validate(Holder, given)
    assert part in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_python_numbers_must_make_sense_too(value: float) -> None:
    with pytest.raises(ValidationError):
        Holder(time=value)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValidationError):
        Holder(time=Quantity(value=-1.0))


def test_dimensionless_numbers_need_no_unit() -> None:
    assert validate(Holder, {"share": 0.5, "draw": 13.3}) == Holder(
        share=Quantity(value=0.5), draw=Quantity(value=13.3)
    )


@given(st.floats(min_value=1e-12, max_value=1e6))
def test_equal_specs_hash_alike(value: float) -> None:
    one, other = Holder(time=Quantity(value=value)), Holder(time=Quantity(value=value))
    assert one == other
    assert hash(one) == hash(other)
    assert hash(one) != hash(Holder(time=Quantity(value=value * 2)))


def test_specs_are_frozen() -> None:
    made = Holder(time=Quantity(value=1.0))
    with pytest.raises(ValidationError):
        made.time = None  # type: ignore[misc]
