"""The grammar of axes: every form, every fault, and the sample."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.axes import Axis, SampledInterval, make_axis, parse_axis
from perfmodel.errors import InputError
from perfmodel.sweep.axis_groups import sample, zip_groups

BANDWIDTH = "memories.main.bandwidth"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8", [8]),
        ("1,2,4", [1, 2, 4]),
        (" 1 , 2 ", [1, 2]),
        ("0.5,1e3", [0.5, 1000]),
        ("1..8", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("1..64:8", [1, 9, 17, 25, 33, 41, 49, 57]),
        ("0.1..0.5:0.1", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("2**9..2**15", [512, 1024, 2048, 4096, 8192, 16384, 32768]),
        ("2**0..2**8:4", [1, 16, 256]),
        ("2**10", [1024]),
        ("1,2**4..2**6,100", [1, 16, 32, 64, 100]),
        ("linspace(1, 2, 5)", [1, 1.25, 1.5, 1.75, 2]),
        ("logspace(1, 1000, 4)", [1, 10, 100, 1000]),
        ("decode,prefill", ["decode", "prefill"]),
        ("true,false", [True, False]),
        ("none", [None]),
    ],
)
def test_values(text: str, expected: list[Any]) -> None:
    values = list(parse_axis("x", text).values)
    assert values == pytest.approx(expected) if isinstance(values[0], float) else values == expected
    assert [type(v) for v in values] == [type(v) for v in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("25 GB/s,50 GB/s", [25e9, 50e9]),
        ("1e9", [1e9]),
        ("200 Gbit/s", [25e9]),
        ("25 GB/s..100 GB/s:25 GB/s", [25e9, 50e9, 75e9, 100e9]),
        ("linspace(1 GB/s, 2 GB/s, 3)", [1e9, 1.5e9, 2e9]),
        ("logspace(1 GB/s, 1 TB/s, 4)", [1e9, 1e10, 1e11, 1e12]),
    ],
)
def test_values_with_units(text: str, expected: list[float]) -> None:
    assert parse_axis(BANDWIDTH, text, "bandwidth").values == pytest.approx(expected, rel=1e-14)


def test_the_roles_of_one_precision_stay_together() -> None:
    axis = parse_axis("precision", "w=q4_0,a=fp16,kv=q8_0,w8a8;fp16")
    assert axis.values == ("w=q4_0,a=fp16,kv=q8_0", "w8a8", "fp16")


@pytest.mark.parametrize(
    ("text", "dimension", "message"),
    [
        ("25 GB", "bandwidth", "did you mean '25 GB/s'"),
        ("25 mB/s", "bandwidth", "did you mean '25 MB/s'"),
        ("25..100 GB/s:1 GB/s", "bandwidth", "did you mean '25 GB/s..100 GB/s:1 GB/s'"),
        ("25 GB/s..100 GB/s", "bandwidth", "has no step"),
        ("0.5..2", "", "has no step"),
        ("8..1", "", "is in descending order"),
        ("2**9..2**3", "", "is in descending order"),
        ("1..8:0", "", "a step of 0"),
        ("1..8:-1", "", "a step of -1"),
        ("2**1..2**4:x", "", "not a step between exponents"),
        ("1..", "", "has only one end"),
        ("..8", "", "has only one end"),
        ("1..x", "", "'x' is not a number"),
        ("1..1e9", "", "1000000000 values"),
        ("2**1..2**9999", "", "at most 1100"),
        ("2**99999", "", "too large"),
        ("1e999", "", "too large"),
        ("linspac(1, 2, 3)", "", "did you mean 'linspace"),
        ("linspace(1, 2)", "", "takes 3 arguments"),
        ("linspace(2, 1, 3)", "", "has an empty interval"),
        ("logspace(0, 1, 3)", "", "has an empty interval"),
        ("linspace(1, 2, 1.5)", "", "is not a count"),
        ("uniform(1, 2),3", "", "combined with other values"),
        ("1..5 ms", "", "has a unit"),
        (",", "", "has no values"),
        ("1,,2", "", "x: item 2 of '1,,2' is empty; expected a value on both sides"),
        ("1,2,", "", "item 3 of '1,2,' is empty"),
        (" ,1", "", "item 1 of ',1' is empty; expected a value on both sides of each comma"),
        ("1 GB/s,,2 GB/s", "bandwidth", "item 2 of"),
        ("a(b", "", "is not a value"),
        ("1=2", "", "is not a value"),
    ],
)
def test_faults(text: str, dimension: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_axis("x" if not dimension else BANDWIDTH, text, dimension, "--set")
    (fault,) = caught.value.faults
    assert fault.file == "--set"
    assert fault.path in ("x", BANDWIDTH)
    assert message in str(fault)


@pytest.mark.parametrize("text", ["fp16,,int8", "fp16;;int8", "w=q4_0,,a=fp16", ",fp16", "fp16,"])
def test_an_empty_precision_is_a_fault(text: str) -> None:
    with pytest.raises(InputError, match="is empty"):
        parse_axis("precision", text)


def test_all_faults_of_an_axis_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parse_axis(BANDWIDTH, "25 GB, 1 GB/s, 3 mB/s, 9..1", "bandwidth")
    assert len(caught.value.faults) == 3


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (8, (8,)),
        ([1, 2], (1, 2)),
        (range(3), (0, 1, 2)),
        (np.arange(3), (0, 1, 2)),
        (np.float32(2.5), (2.5,)),
        (["decode", "prefill"], ("decode", "prefill")),
        ("1..3", (1, 2, 3)),
        ([None, True], (None, True)),
    ],
)
def test_values_from_python(given: Any, expected: tuple[Any, ...]) -> None:
    assert make_axis("x", given).values == expected


def test_texts_in_a_sequence_have_units() -> None:
    assert make_axis(BANDWIDTH, ["25 GB/s", 5e9], "bandwidth").values == (25e9, 5e9)
    for bad in ([], [float("nan")], ["25 GB"], [True], [object()]):
        with pytest.raises(InputError):
            make_axis(BANDWIDTH, bad, "bandwidth")


@pytest.mark.parametrize("text", ["25,50 GB/s", "25 GB/s,50", "1e6, 50 GB/s"])
def test_a_number_beside_a_value_with_unit_has_one(text: str) -> None:
    """25,50 GB/s hardly means 25 byte/s; plain numbers alone are SI."""
    with pytest.raises(InputError, match="has no unit beside"):
        parse_axis(BANDWIDTH, text, "bandwidth")
    assert parse_axis(BANDWIDTH, "25e9,50 GB/s", "bandwidth").values == (25e9, 50e9)


@given(st.integers(-50, 50), st.integers(0, 60), st.integers(1, 9))
def test_steps_are_pythons_range(low: int, extent: int, step: int) -> None:
    axis = parse_axis("x", f"{low}..{low + extent}:{step}")
    assert list(axis.values) == list(range(low, low + extent + 1, step))


@given(st.one_of(st.text(max_size=25), st.text("0123456789._*+-eE,:()xn ", max_size=12)))
def test_any_text_is_read_or_refused(text: str) -> None:
    values: tuple[Any, ...] = ()
    spread: SampledInterval | None = None
    refused = False
    try:
        axis = parse_axis("x", text)
        values, spread = axis.values, axis.interval
    except InputError:
        refused = True
    assert refused != bool(values or spread)


def test_zip_groups() -> None:
    names = ["a", "b", "c", "d"]
    lengths = {"a": 2, "b": 3, "c": 2, "d": 3}
    assert zip_groups(names, ["a,c"], lengths) == [("a", "c"), ("b",), ("d",)]
    assert zip_groups(names, [("b", "d"), ("c", "a")], lengths) == [("c", "a"), ("b", "d")]
    with pytest.raises(InputError) as caught:
        zip_groups(names, ["a,b", "c,x,a", "d,,"], lengths)
    text = str(caught.value)
    assert "different lengths: a 2, b 3" in text
    assert "no axis 'x'" in text
    assert "--zip: item 2 of 'd,,' is empty" in text
    assert "'a' is zipped twice" in text


def test_a_sample_is_reproducible_and_even() -> None:
    axes = [
        parse_axis("batch", "uniform(1, 64)"),
        parse_axis(BANDWIDTH, "loguniform(1 GB/s, 1 TB/s)", "bandwidth"),
        parse_axis("precision", "w4a16,w8a8"),
        parse_axis("context", "1..4"),
    ]
    first, again, other = sample(axes, 256, 1), sample(axes, 256, 1), sample(axes, 256, 2)
    assert first == again
    assert first != other
    batch, bandwidth, precision, context = (np.array(axis.values, dtype=object) for axis in first)
    assert all(isinstance(v, int) and 1 <= v <= 64 for v in batch)  # whole, as its ends are
    assert (np.array(bandwidth, dtype=float) >= 1e9).all()
    # A Sobol sequence of 2^8 puts exactly 2^8/k points in each of k = 2^m equal strata of an axis.
    decades = np.log2(np.array(bandwidth, dtype=float) / 1e9) / np.log2(1e3)
    assert np.histogram(decades, bins=8, range=(0, 1))[0].tolist() == [32] * 8
    assert [(precision == p).sum() for p in ("w4a16", "w8a8")] == [128, 128]
    assert [(context == c).sum() for c in (1, 2, 3, 4)] == [64] * 4
    assert len(sample(axes, 100)[0]) == 100
    assert sample([], 8) == []


def test_describe() -> None:
    assert Axis("x", (1, 2)).describe() == {"values": [1, 2]}
    assert Axis("x", tuple(range(5000))).describe() == {"count": 5000, "first": 0, "last": 4999}
    assert Axis("x", interval=SampledInterval(1.0, 2.0)).describe()["high"] == 2.0
