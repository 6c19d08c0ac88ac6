"""Traced programs: what they fold, share and refuse, and that they compute what NumPy does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.arrays import namespace
from perfmodel.tracing import NotTraceable, trace
from perfmodel.tracing.expression import MAX_NODES, ExpressionGraph, Node


def test_equal_operations_are_one_node() -> None:
    nodes = ExpressionGraph()
    x, y = nodes.parameter("x"), nodes.parameter("y")
    assert (x * y) is (y * x)
    assert (x - y) is not (y - x)
    assert (x + 2.0) is (2.0 + x)
    assert len(nodes.nodes) == 6


def test_constants_and_neutral_elements_leave_no_node() -> None:
    nodes = ExpressionGraph()
    x: Any = nodes.parameter("x")
    xp = namespace(x)
    for same in (x + 0.0, 0.0 + x, x - 0.0, x * 1.0, 1.0 * x, x / 1.0, x**1.0, xp.maximum(x, x)):
        assert same is x
    assert x * 0.0 == 0.0
    assert xp.log2(8.0) == 3.0
    assert xp.where(True, x, 2.0) is x
    assert nodes.nodes == [x]


_BRANCHING: tuple[Callable[[Any], Any], ...] = (
    lambda x: 1.0 if x > 2.0 else 0.0,
    float,
    lambda x: max(x, 2.0),
    lambda x: np.maximum(x, 2.0),
    lambda x: np.zeros(2) + x,
    lambda x: namespace(x).cumsum(x),
)


@pytest.mark.parametrize("branching", _BRANCHING)
def test_what_branches_on_a_number_is_refused(branching: Callable[[Any], Any]) -> None:
    with pytest.raises(NotTraceable):
        trace(lambda numbers: {"y": branching(numbers["x"])}, ["x"])


def test_a_long_program_is_refused() -> None:
    def long(numbers: dict[str, Any]) -> dict[str, Any]:
        total = numbers["x"]
        for i in range(MAX_NODES):
            total = total * (2.0 + i)
        return {"total": total}

    with pytest.raises(NotTraceable, match="operations"):
        trace(long, ["x"])


def _staircase(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return sums over rows as the cost functions write them, in the namespace of the numbers."""
    m, n = numbers["m"], numbers["n"]
    xp = namespace(m, n)
    rows = xp.stack([xp.asarray(m, dtype=float), xp.asarray(n, dtype=float), xp.asarray(3.0)])
    table = np.array([[1.0, 0.5, 0.0], [0.0, 2.0, 1.0], [4.0, 0.0, 0.0]]) @ rows.reshape(3, -1)
    tiles = xp.ceil(table / 16.0)
    larger = xp.maximum(table, tiles * 7.0)
    crossing = 1.0 * (table > 40.0)
    chosen = xp.where(tiles > 3.0, larger, xp.sqrt(table))
    shares = xp.concatenate([crossing, xp.zeros((2, 1)) + crossing[:2] * 0.0])
    return {
        "sum": (chosen * crossing).sum(axis=0),
        "most": xp.max(larger, axis=0),
        "power": m**1.5 / n + (-m),
        "shares": shares.sum(axis=0),
        "constant": 5.0,
    }


_NUMBERS = st.floats(0.5, 500.0)


@given(st.lists(st.tuples(_NUMBERS, _NUMBERS), min_size=1, max_size=6))
def test_a_program_computes_what_numpy_does(points: list[tuple[float, float]]) -> None:
    program = trace(_staircase, ["m", "n"])
    columns = [np.array(each) for each in zip(*points, strict=True)]
    together = program.on_vectors(*columns)
    for i, (m, n) in enumerate(points):
        plain = _staircase({"m": np.float64(m), "n": np.float64(n)})
        single = program.on_floats(m, n)
        assert single.keys() == plain.keys() == together.keys()
        for name, value in plain.items():
            number = float(np.asarray(value).reshape(-1)[0])
            assert single[name] == pytest.approx(number, rel=1e-14)
            each = np.broadcast_to(together[name], (len(points),))
            assert each[i] == pytest.approx(number, rel=1e-14)


def test_floats_fail_where_numpy_returns_infinity() -> None:
    program = trace(lambda p: {"y": 1.0 / p["x"]}, ["x"])
    with pytest.raises(ZeroDivisionError):
        program.on_floats(0.0)
    with np.errstate(divide="ignore"):
        assert program.on_vectors(np.zeros(2))["y"].tolist() == [math.inf, math.inf]


def test_updates_of_places_leave_the_original() -> None:
    x: Node = ExpressionGraph().parameter("x")
    xp = namespace(x)
    zeros = xp.zeros((3, 1))
    added = zeros.at[np.array([0, 2, 2])].add(xp.asarray([[1.0], [x], [x]]))
    assert zeros.tolist() == [[0.0], [0.0], [0.0]]
    assert added[0, 0] == 1.0
    assert added[2, 0] is (x + x)
    assert zeros.at[np.array([1])].set(x)[1, 0] is x


def test_functions_of_columns_are_called_for_those_that_vary() -> None:
    seen: list[int] = []

    def extremes(columns: Any) -> Any:
        seen.append(columns.shape[1])
        return np.stack([columns.min(axis=0), columns.max(axis=0)])

    def function(numbers: dict[str, Any]) -> dict[str, Any]:
        x = numbers["x"]
        xp = namespace(x)
        column = xp.stack([x, xp.asarray(4.0), xp.asarray(5.0), x])
        least, most = xp.by_column(extremes, (column, 3.0), 2)
        return {"least": least.sum(), "most": most.sum(), "each": most[1] - least[2]}

    program = trace(function, ["x"])
    assert seen == [2]  # of four columns two do not vary, and two are equal
    assert program.on_floats(7.0) == {"least": 12.0, "most": 23.0, "each": 1.0}
    assert seen == [2, 1]
    together = program.on_vectors(np.array([1.0, 7.0]))
    assert together["least"].tolist() == [8.0, 12.0]
    assert together["most"].tolist() == [15.0, 23.0]
    assert seen == [2, 1, 2]
