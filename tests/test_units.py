"""Unit strings: exact values, round trips, and refusals that say what was meant."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel import units
from perfmodel.units import UnitError, parse, show, sizes, whole_bytes


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("256 KiB", "bytes", 256 * 1024),
        ("256 kB", "bytes", 256_000),
        ("8 bit", "bytes", 1),
        ("1 Kibit", "bytes", 128),
        ("51.2 GB/s", "bandwidth", 51.2e9),
        ("51.2GB/s", "bandwidth", 51.2e9),
        ("10 Gbit/s", "bandwidth", 1.25e9),
        ("5120 B/clock", "bandwidth_per_clock", 5120),
        ("64 B/cycle", "bandwidth_per_clock", 64),
        ("30 us", "time", 30e-6),
        ("30 \u00b5s", "time", 30e-6),
        ("30 \u03bcs", "time", 30e-6),
        ("2 h", "time", 7200),
        ("1410 MHz", "frequency", 1.41e9),
        ("0.1 ns", "time", 1e-10),
        ("312 TFLOP/s", "compute", 312e12),
        ("4 TOPS", "compute", 4e12),
        ("2 TMAC/s", "compute", 4e12),
        ("31 pJ/B", "energy_per_byte", 31e-12),
        ("4 pJ/bit", "energy_per_byte", 32e-12),
        ("0.3 pJ/FLOP", "energy_per_op", 0.3e-12),
        ("0.6 pJ/MAC", "energy_per_op", 0.3e-12),
        ("826 mm2", "area", 826e-6),
        ("8.26 cm^2", "area", 826e-6),
        ("1 kWh", "energy", 3.6e6),
        ("1599 USD", "price", 1599),
        ("95 %", "fraction", 0.95),
        ("1_000", "count", 1000),
        ("265000 clocks", "clocks", 265_000),
        ("-3 s", "time", -3),
        ("1e3 W", "power", 1000),
        (".5 W", "power", 0.5),
        ("5. W", "power", 5),
    ],
)
def test_parse_gives_the_nearest_float(text: str, dimension: str, value: float) -> None:
    assert parse(text, dimension) == value


@pytest.mark.parametrize(
    ("text", "dimension", "suggestion"),
    [
        ("256 KB", "bytes", "256 KiB"),
        ("10 Gb/s", "bandwidth", "10 Gbit/s"),
        ("10 Gbps", "bandwidth", "10 Gbit/s"),
        ("51.2 GBps", "bandwidth", "51.2 GB/s"),
        ("51.2 gb/S", "bandwidth", "51.2 GB/s"),
        ("5 TFLOPs", "compute", "5 TFLOP/s"),
        ("5 tops", "compute", "5 TOPS"),
        ("30 mhz", "frequency", "30 MHz"),
        ("3 USec", "time", "3 us"),
        ("3 GHz", "bandwidth", ""),
    ],
)
def test_slips_are_refused_with_the_spelling_meant(
    text: str, dimension: str, suggestion: str
) -> None:
    with pytest.raises(UnitError) as caught:
        parse(text, dimension)
    assert caught.value.suggestion == suggestion
    assert units.DIMENSIONS[dimension].example in caught.value.expected


@pytest.mark.parametrize(
    "text", ["", "fast", "nan s", "inf s", "- s", "1..2 s", "1 2 s", "1e400 s"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        parse(text, "time")


def test_another_dimension_is_named() -> None:
    with pytest.raises(UnitError, match="'3 GHz' is a frequency, not a bandwidth"):
        parse("3 GHz", "bandwidth")
    with pytest.raises(UnitError, match="'3' has no unit"):
        parse("3", "bandwidth")


@given(
    st.sampled_from(sorted(units.DIMENSIONS)),
    st.floats(min_value=0, allow_infinity=False, allow_subnormal=False),
)
def test_full_digits_round_trip_exactly(dimension: str, value: float) -> None:
    assert parse(show(value, dimension, digits=None), dimension) == value


@given(st.sampled_from(sorted(units.DIMENSIONS)), st.floats(min_value=1e-30, max_value=1e30))
def test_four_digits_round_trip_within_rounding(dimension: str, value: float) -> None:
    assert math.isclose(parse(show(value, dimension), dimension), value, rel_tol=5.001e-4)


@given(st.text(max_size=30), st.sampled_from(sorted(units.DIMENSIONS)))
def test_any_text_is_a_number_or_a_unit_error(text: str, dimension: str) -> None:
    try:
        assert math.isfinite(parse(text, dimension))
    except UnitError as error:
        assert error.message and error.expected  # noqa: PT017, PT018


@given(st.sampled_from(sorted(units.DIMENSIONS)), st.data())
def test_every_unit_is_recognised_as_its_dimension(dimension: str, data: st.DataObject) -> None:
    table = units.units_of(dimension)
    unit = data.draw(st.sampled_from(sorted(table)))
    assert parse(f"1 {unit}", dimension) == float(table[unit])
    if unit:
        assert units.dimension(f"1 {unit}") == dimension


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (51.2e9, "bandwidth", "51.2 GB/s"),
        (40 * 2**20, "bytes", "40 MiB"),
        (80e9, "bytes", "80 GB"),
        (2000, "bytes", "2 kB"),
        (0, "time", "0 s"),
        (5.4e-6, "time", "5.4 us"),
        (999_999, "frequency", "1 MHz"),
        (-2e-3, "time", "-2 ms"),
        (826e-6, "area", "826 mm2"),
        (0.951, "fraction", "0.951"),
        (3.18e-7, "price", "3.18e-7 USD"),
        (0.0318, "price", "0.0318 USD"),
        (float("inf"), "time", "inf s"),
    ],
)
def test_show_picks_the_prefix_people_use(value: float, dimension: str, text: str) -> None:
    assert show(value, dimension) == text


def test_show_takes_the_unit_asked_for() -> None:
    assert show(312e12, "compute", unit="FLOP/s") == "312 TFLOP/s"
    assert show(312e12, "compute", unit="MAC/s") == "156 TMAC/s"


def test_units_of_an_unknown_dimension_names_the_known() -> None:
    with pytest.raises(KeyError, match="bandwidth"):
        units.units_of("speed")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1 KiB"),
        (-3 * 2**19, "-1.5 MiB"),
        (784 * 1024, "784 KiB"),
        (2**30, "1 GiB"),
    ],
)
def test_binary_prefixes_of_what_is_on_chip(value: float, text: str) -> None:
    assert units.binary(value) == text


@given(st.integers(0, 2**39), st.integers(4, 9))
def test_binary_prefixes_read_back_within_the_digits(value: int, digits: int) -> None:
    text = units.binary(value, digits=digits)
    assert parse(text.replace(",", ""), "bytes") == pytest.approx(value, rel=10.0 ** (1 - digits))


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ("256 KiB", 262_144),
        ("1000", 1000),
        (" 1e3 ", 1000),
        ("1_000", 1000),
        ("0.5 KiB", 512),
        (1000, 1000),
        (1e6, 1_000_000),
        (0, 0),
        ("16 bit", 2),
    ],
)
def test_sizes_in_whole_bytes(given: str | float, size: int) -> None:
    found = whole_bytes(given)
    assert (found, type(found)) == (size, int)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            1000.7,
            "1000.7 is 1000.7 bytes; expected a whole number of bytes; did you mean '1000 B'?",
        ),
        ("1000.7", "'1000.7' is 1000.7 bytes"),
        ("770.062 KiB", "'770.062 KiB' is 788543.488 bytes"),
        (True, "True is not a size"),
        (None, "None is not a size"),
        (float("nan"), "nan is not a size"),
        (float("inf"), "inf is not a size"),
        (10**400, "00... is not a size"),
        ("1e30", "'1e30' is too large"),
        ("-3 KiB", "'-3 KiB' is below zero"),
        ("12 KB", "did you mean '12 KiB'?"),
        ("", "'' is not a size"),
    ],
)
def test_what_is_no_whole_size_is_refused(given: Any, message: str) -> None:
    with pytest.raises(UnitError) as caught:
        whole_bytes(given)
    assert message in str(caught.value)


def test_sizes_that_differ_read_differently() -> None:
    assert sizes(65536, 1024) == ("64 KiB", "1 KiB")
    assert sizes(788_544, 788_543) == ("788,544 B", "788,543 B")
    assert sizes(788_544, 788_544) == ("770.062 KiB", "770.062 KiB")
    assert sizes(788_544, 788_543, 1) == ("788,544 B", "788,543 B", "1 B")


@given(st.lists(st.integers(0, 2**50), max_size=4))
def test_sizes_read_alike_only_where_they_are(values: list[int]) -> None:
    texts = sizes(*values)
    for a, said in zip(values, texts, strict=True):
        for b, other in zip(values, texts, strict=True):
            assert (said == other) == (a == b)
