"""Polynomials over free dimensions against plain arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.workload.symbols import (
    Dim,
    Poly,
    busiest_device,
    ceil_div,
    constant,
    distinct_experts,
    divisible,
    evaluate,
    floor_div,
    maximum,
    minimum,
    poly,
    product,
    simplify,
    symbol,
)

NAMES = ("a", "b", "c")


@dataclass
class Both:
    """A dimension, and the same value by plain arithmetic (exact and relaxed)."""

    dim: Dim
    plain: Callable[[dict[str, float]], float]
    relaxed: Callable[[dict[str, float]], float]
    text: str

    def __repr__(self) -> str:
        return self.text


def leaf(name: str) -> Both:
    return Both(symbol(name), lambda v: v[name], lambda v: v[name], name)


def number(value: int) -> Both:
    return Both(value, lambda v: value, lambda v: value, str(value))


def combine(op: str, x: Both, y: Both) -> Both:
    sums: dict[str, Callable[[Any, Any], Any]] = {
        "+": lambda p, q: p + q,
        "-": lambda p, q: p - q,
        "*": lambda p, q: p * q,
        "min": min,
        "max": max,
    }
    plain = sums[op]
    symbolic = {"min": minimum, "max": maximum}.get(op, plain)
    return Both(
        symbolic(x.dim, y.dim),
        lambda v: plain(x.plain(v), y.plain(v)),
        lambda v: plain(x.relaxed(v), y.relaxed(v)),
        f"{op}({x}, {y})",
    )


def step(op: str, x: Both, divisor: int) -> Both:
    if op == "ceil":
        dim, plain = ceil_div(x.dim, divisor), lambda v: math.ceil(x.plain(v) / divisor)
    else:
        dim, plain = floor_div(x.dim, divisor), lambda v: math.floor(x.plain(v) / divisor)
    if divisor == 1:
        return x
    # What is fixed when the graph is built has no slope, and is rounded for good.
    relaxed = plain if constant(x.dim) is not None else lambda v: x.relaxed(v) / divisor
    return Both(dim, plain, relaxed, f"{op}({x}, {divisor})")


expressions = st.recursive(
    st.one_of(st.sampled_from(NAMES).map(leaf), st.integers(-4, 9).map(number)),
    lambda inner: st.one_of(
        st.builds(combine, st.sampled_from(["+", "-", "*", "min", "max"]), inner, inner),
        st.builds(step, st.sampled_from(["ceil", "floor"]), inner, st.integers(1, 5)),
    ),
    max_leaves=12,
)
bindings = st.fixed_dictionaries({name: st.integers(1, 30).map(float) for name in NAMES})


def close(value: float, wanted: float) -> None:
    # Whole numbers: the sums are exact in float64 unless they cancel beyond 2**53.
    assert value == pytest.approx(wanted, rel=1e-9, abs=1e-6)


@given(expressions, bindings)
def test_a_dimension_is_the_arithmetic_it_was_made_of(both: Both, v: dict[str, float]) -> None:
    close(evaluate(both.dim, v), both.plain(v))


@given(expressions, bindings)
def test_the_relaxed_form_divides_without_steps(both: Both, v: dict[str, float]) -> None:
    close(evaluate(both.dim, v, relaxed=True), both.relaxed(v))


@given(expressions, st.lists(bindings, min_size=1, max_size=4))
def test_arrays_are_many_single_points(both: Both, points: list[dict[str, float]]) -> None:
    arrays = {name: np.array([p[name] for p in points]) for name in NAMES}
    many = np.broadcast_to(evaluate(both.dim, arrays), len(points))
    for value, p in zip(many, points, strict=True):
        close(float(value), both.plain(p))


@given(expressions, expressions)
def test_equal_content_is_equal_and_hashes_alike(x: Both, y: Both) -> None:
    left, right = poly(x.dim) + poly(y.dim), poly(y.dim) + poly(x.dim)
    assert left == right
    assert hash(left) == hash(right)
    assert poly(x.dim) - poly(x.dim) == 0
    assert simplify(poly(x.dim) - poly(x.dim)) == 0


@given(bindings, st.integers(1, 3), st.integers(1, 3))
def test_division_by_one_term_and_by_many(v: dict[str, float], m: int, n: int) -> None:
    a, b, c = (symbol(name) for name in NAMES)
    close(evaluate(m * a * b * b / (n * b), v), m * v["a"] * v["b"] / n)
    close(evaluate(a / (b + c), v), v["a"] / (v["b"] + v["c"]))
    close(evaluate(m / a, v), m / v["a"])
    assert a * b / b == a


@pytest.mark.parametrize("size", [1, 3, 8, 15, 16, 17, 23, 24, 100, 1279])
def test_divisible_is_the_channel_rule_of_mobilenet(size: int) -> None:
    # torchvision's _make_divisible.
    expected = max(8, int(size + 4) // 8 * 8)
    if expected < 0.9 * size:
        expected += 8
    assert divisible(size, 8) == expected
    w = symbol("w")
    assert evaluate(divisible(w, 8), {"w": float(size)}) == expected
    assert evaluate(divisible(w, 8), {"w": np.array([float(size)])})[0] == expected
    assert evaluate(divisible(w, 8), {"w": float(size)}, relaxed=True) == max(size, 8)


@pytest.mark.parametrize(("experts", "per_token"), [(8, 2), (256, 8), (4, 4)])
def test_distinct_experts_is_the_mean_of_random_draws(experts: int, per_token: int) -> None:
    rng = np.random.default_rng(7)
    for tokens in (1, 5, 40):
        seen = [
            np.unique([rng.choice(experts, per_token, replace=False) for _ in range(tokens)]).size
            for _ in range(300)
        ]
        assert distinct_experts(experts, per_token, tokens) == pytest.approx(
            np.mean(seen), rel=0.05
        )
    assert distinct_experts(experts, per_token, 1) == pytest.approx(per_token, rel=1e-12)
    assert distinct_experts(4, 4, symbol("t")) == 4


def test_constants_become_numbers() -> None:
    a = symbol("a")
    assert simplify(a - a + 3) == 3
    assert isinstance(simplify(a - a + 3), int)
    assert simplify(a - a + 0.5) == 0.5
    assert constant(a * 0 + 2) == 2.0
    assert constant(a) is None
    assert product(2, 3, a) == 6 * a
    assert product() == 1
    assert ceil_div(7, 2) == 4
    assert floor_div(7, 2) == 3
    assert minimum(a, a) is a
    assert maximum(2, 5) == 5


def test_a_graph_cannot_branch_on_a_free_dimension() -> None:
    a = symbol("a")
    for branch in (lambda: bool(a), lambda: a < 3, lambda: a >= 3, lambda: a <= 3):
        with pytest.raises(TypeError, match="no fixed value"):
            branch()
    assert (a == 3) is False
    assert a != "a"


def test_division_by_zero_and_unbound_names_raise() -> None:
    a = symbol("a")
    with pytest.raises(ZeroDivisionError):
        a / (a - a)
    with pytest.raises(KeyError):
        evaluate(a, {"b": 1.0})


def test_terms_are_shown_as_written() -> None:
    a, b = symbol("a"), symbol("b")
    assert repr(Poly({})) == "0"
    assert repr(2 * a * a * b + 1) == "1 + 2*a**2*b"
    assert repr(ceil_div(a, 4)) == "ceil_div(a, 4)"


@pytest.mark.parametrize("devices", [2, 8, 16])
@pytest.mark.parametrize("visits", [1, 8, 64, 512, 4096])
def test_the_busiest_device_has_the_largest_of_random_loads(visits: int, devices: int) -> None:
    """The mean of 2000 draws; the law of extremes is up to an eighth above it for few visits."""
    draws = np.random.default_rng(0).multinomial(visits, [1.0 / devices] * devices, 2000)
    load = evaluate(busiest_device(symbol("n"), devices), {"n": float(visits)})
    assert load == pytest.approx(draws.max(axis=1).mean(), rel=0.13)
    assert visits / devices <= load <= visits
