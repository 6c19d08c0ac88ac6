"""Compiled columns of dimensions against each dimension by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.workload.polynomial_program import PolynomialProgram
from perfmodel.workload.symbols import (
    Dim,
    ceil_div,
    distinct_experts,
    evaluate,
    floor_div,
    maximum,
    minimum,
    symbol,
)

A, B, C = symbol("a"), symbol("b"), symbol("c")

ENTRIES: list[Dim] = [
    0,
    7,
    0.5,
    A,
    2 * A,
    3 * A,
    A * B,
    A * A * B - 4 * A + 1,
    6 * A * A * B - 24 * A + 6,
    ceil_div(A, 3),
    floor_div(A * B, 4),
    minimum(A, B),
    maximum(A, 5) * C,
    A / B,
    A / (B + C),
    distinct_experts(8, 2, A),
    minimum(ceil_div(A, 2), B) - A,
]

columns = st.dictionaries(
    st.sampled_from(["x", "y", "z"]), st.lists(st.sampled_from(ENTRIES), max_size=6), min_size=1
)
values = st.fixed_dictionaries(
    {"a": st.integers(1, 50), "b": st.integers(1, 50), "c": st.integers(1, 50)}
)


@given(columns, values, st.booleans())
def test_numbers(made: dict[str, list[Dim]], v: dict[str, int], relaxed: bool) -> None:
    out = PolynomialProgram(made)(v, relaxed=relaxed)
    assert set(out) == set(made)
    for name, entries in made.items():
        assert out[name].shape == (len(entries), 1)
        wanted = [float(evaluate(e, v, relaxed=relaxed)) for e in entries]
        np.testing.assert_allclose(out[name][:, 0], wanted, rtol=1e-12, atol=1e-9)


@given(columns, st.lists(values, min_size=2, max_size=5), st.sampled_from("abc"))
def test_arrays_mixed_with_numbers(
    made: dict[str, list[Dim]], points: list[dict[str, int]], fixed: str
) -> None:
    n = len(points)
    bound = {k: np.array([float(p[k]) for p in points]) for k in "abc"} | {fixed: 9.0}
    out = PolynomialProgram(made)(bound, n)
    for name, entries in made.items():
        got = np.broadcast_to(out[name], (len(entries), n))
        for i, point in enumerate(points):
            one = {**point, fixed: 9}
            wanted = [float(evaluate(e, one)) for e in entries]
            np.testing.assert_allclose(got[:, i], wanted, rtol=1e-12, atol=1e-9)


def test_multiples_of_one_polynomial_are_evaluated_once() -> None:
    program = PolynomialProgram({"x": [A * B, 5 * A * B, -2 * A * B], "y": [A * B * 7]})
    assert len(program.monomials) == 1
    assert program.coefficients.shape == (1, 1)
    out = program({"a": np.array([1.0, 2.0]), "b": 3.0}, 2)
    np.testing.assert_array_equal(out["x"], [[3, 6], [15, 30], [-6, -12]])
    np.testing.assert_array_equal(out["y"], [[21, 42]])


def test_a_column_of_numbers_stays_one_wide() -> None:
    out = PolynomialProgram({"x": [3, 4], "y": [A]})({"a": np.array([1.0, 2.0, 3.0])}, 3)
    assert out["x"].shape == (2, 1)
    assert out["y"].shape == (1, 3)


def test_it_knows_the_names_it_needs() -> None:
    program = PolynomialProgram({"x": [minimum(A, ceil_div(B, 2))], "y": [4]})
    assert program.parameters == {"a", "b"}
    with pytest.raises(KeyError):
        program({"a": 1.0})


@pytest.mark.parametrize("made", [{"x": []}, {"x": [0, 0]}, {"x": [], "y": [0]}])
def test_empty_columns(made: dict[str, list[Dim]]) -> None:
    out = PolynomialProgram(made)({})
    assert {k: v.shape for k, v in out.items()} == {k: (len(v), 1) for k, v in made.items()}
    assert all(not v.any() for v in out.values())


def test_equal_points_are_equal_to_the_last_bit_wherever_they_stand() -> None:
    """Extents are rounded up: a last bit would be a tile more. In every length of array."""
    rng = np.random.default_rng(0)
    symbols = (A, B, C)
    entries: list[Dim] = []
    for _ in range(40):
        entry: Dim = 0
        for _ in range(6):
            i, j = rng.integers(3, size=2)
            entry = entry + float(rng.uniform(0.1, 9)) * symbols[i] * symbols[j] + symbols[j] / 3
        entries.append(entry)
    program, point = (
        PolynomialProgram({"x": entries}),
        dict(zip("abc", rng.uniform(0.1, 9, 3), strict=True)),
    )
    alone = program(point)["x"]
    for n in range(2, 70):
        many = program({k: np.full(n, v) for k, v in point.items()}, n)["x"]
        np.testing.assert_array_equal(many, np.broadcast_to(alone, many.shape))
