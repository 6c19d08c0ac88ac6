"""Folds against an array of registers that is stepped clock by clock, and closed forms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.kinds.systolic import gemm, gemm_cycles
from perfmodel.kinds.systolic.folds import DATAFLOWS, Dataflow

Ints = npt.NDArray[np.int64]
ALL: list[Dataflow] = ["output_stationary", "weight_stationary", "input_stationary"]
_SIZES = st.integers(1, 40)
_SIDES = st.integers(1, 9)


def _skewed(stream: Ints, cycles: int) -> Ints:
    """Lane i of a (lanes, T) stream enters i clocks after lane 0; zeros before and after."""
    lanes, length = stream.shape
    out = np.zeros((lanes, cycles), dtype=np.int64)
    for i in range(lanes):
        out[i, i : i + length] = stream[i]
    return out


def _step_outputs(a: Ints, b: Ints, rows: int, columns: int) -> tuple[int, Ints]:
    """Clock an output-stationary array through one fold until every product is summed."""
    longest = a.shape[1] + rows + columns + 5
    left = _skewed(np.pad(a, ((0, rows - a.shape[0]), (0, 0))), longest)
    top = _skewed(np.pad(b, ((0, 0), (0, columns - b.shape[1]))).T, longest)
    x, w, total = (np.zeros((rows, columns), dtype=np.int64) for _ in range(3))
    want = np.pad(a @ b, ((0, rows - a.shape[0]), (0, columns - b.shape[1])))
    for clock in range(longest):
        x = np.hstack([left[:, clock : clock + 1], x[:, :-1]])
        w = np.vstack([top[:, clock][None], w[:-1]])
        total = total + x * w
        if np.array_equal(total, want):
            return clock + 1, total
    raise AssertionError("the array never finished")


def _step_weights(a: Ints, b: Ints, rows: int, columns: int) -> tuple[int, Ints]:
    """Clock a weight-stationary array through one fold: load, stream, until the last sum leaves."""
    m, k = a.shape
    held = np.zeros((rows, columns), dtype=np.int64)
    weights = np.pad(b, ((0, rows - k), (0, columns - b.shape[1])))
    for clock in range(rows):  # the last row goes in first and sinks to the bottom
        held = np.vstack([weights[rows - 1 - clock][None], held[:-1]])
    assert np.array_equal(held, weights)
    longest = m + rows + columns + 5
    left = _skewed(np.pad(a, ((0, 0), (0, rows - k))).T, longest)
    x, sums = (np.zeros((rows, columns), dtype=np.int64) for _ in range(2))
    out = np.zeros((m, columns), dtype=np.int64)
    last = 0
    for clock in range(longest):
        x = np.hstack([left[:, clock : clock + 1], x[:, :-1]])
        sums = np.vstack([np.zeros((1, columns), dtype=np.int64), sums[:-1]]) + x * held
        for j in range(columns):
            i = clock - (rows - 1) - j
            if 0 <= i < m:
                out[i, j] = sums[-1, j]
                last = clock + 1
    return rows + last, out[:, : b.shape[1]]


@given(_SIZES, _SIDES, _SIDES, st.integers(0, 2**32 - 1))
def test_a_fold_of_outputs(k: int, rows: int, columns: int, seed: int) -> None:
    """The last product is summed after K + rows + columns - 2 clocks."""
    draw = np.random.default_rng(seed)
    a, b = draw.integers(1, 9, (rows, k)), draw.integers(1, 9, (k, columns))
    clocks, total = _step_outputs(a, b, rows, columns)
    np.testing.assert_array_equal(total, a @ b)
    assert clocks == gemm_cycles(
        rows, columns, k, rows=rows, columns=columns, dataflow="output_stationary"
    )


@given(_SIZES, _SIDES, _SIDES, _SIDES, st.integers(0, 2**32 - 1))
def test_a_fold_of_weights(m: int, k: int, rows: int, columns: int, seed: int) -> None:
    """Also of an input-stationary array: the same array fed with the transposes."""
    k = min(k, rows)
    draw = np.random.default_rng(seed)
    a, b = draw.integers(1, 9, (m, k)), draw.integers(1, 9, (k, columns))
    clocks, out = _step_weights(a, b, rows, columns)
    np.testing.assert_array_equal(out, a @ b)
    assert clocks == gemm_cycles(
        m, columns, k, rows=rows, columns=columns, dataflow="weight_stationary"
    )
    clocks, out = _step_weights(b.T, np.pad(a.T, ((0, 0), (0, 0))), rows, m)
    np.testing.assert_array_equal(out, (a @ b).T)
    assert clocks == gemm_cycles(m, columns, k, rows=rows, columns=m, dataflow="input_stationary")


@given(_SIZES, _SIZES, _SIZES, _SIDES, _SIDES, st.sampled_from(ALL))
def test_counts_by_walking_the_folds(
    m: int, n: int, k: int, rows: int, columns: int, dataflow: Dataflow
) -> None:
    """Each fold's operands, counted fold by fold; their work adds up to the product's."""
    run = gemm(m, n, k, rows=rows, columns=columns, dataflow=dataflow)
    extent = {"m": m, "n": n, "k": k}
    high, wide, streamed = (extent[name] for name in DATAFLOWS[dataflow])
    read = {"a": 0, "b": 0, "c": 0}
    busy = folds = 0
    pairs = {"mk": "a", "km": "a", "kn": "b", "nk": "b", "mn": "c", "nm": "c"}
    r, c, t = DATAFLOWS[dataflow]
    for q in range(0, wide, columns):
        for p in range(0, high, rows):
            tall, broad = min(rows, high - p), min(columns, wide - q)
            read[pairs[r + t]] += tall * streamed
            read[pairs[c + t]] += broad * streamed
            read[pairs[r + c]] += tall * broad
            busy += tall * broad
            folds += 1
    assert (run.folds, run.macs) == (folds, m * n * k)
    assert (run.input_reads, run.weight_reads, run.output_writes) == (
        read["a"],
        read["b"],
        read["c"],
    )
    assert run.output_reads == run.output_writes - m * n
    assert run.mapping_efficiency == pytest.approx(busy / (folds * rows * columns), rel=1e-14)
    assert run.cycles == folds * run.fold_cycles
    assert isinstance(run.cycles, int)


@given(_SIZES, _SIZES, _SIZES, _SIDES, _SIDES, st.sampled_from(ALL), st.integers(1, 7))
def test_options_in_order(
    m: int, n: int, k: int, rows: int, columns: int, dataflow: Dataflow, arrays: int
) -> None:
    """Hiding more never takes longer, no element does two products a clock."""
    size = {"rows": rows, "columns": columns, "dataflow": dataflow}
    plain = gemm(m, n, k, **size)  # pyright: ignore[reportArgumentType]
    shadow = gemm(m, n, k, **size, shadow_weights=True)  # pyright: ignore[reportArgumentType]
    flowing = gemm(m, n, k, **size, shadow_weights=True, overlap_folds=True)  # pyright: ignore[reportArgumentType]
    assert flowing.cycles <= shadow.cycles <= plain.cycles
    assert plain.fold_cycles <= flowing.cycles
    assert flowing.utilization <= 1
    load = 0 if dataflow == "output_stationary" else rows
    assert plain.cycles - shadow.cycles == load * (plain.folds - 1)
    several = gemm(m, n, k, **size, arrays=arrays)  # pyright: ignore[reportArgumentType]
    assert several.cycles == -(-plain.folds // arrays) * plain.fold_cycles
    smooth = gemm(float(m), n, k, **size, relaxed=True)  # pyright: ignore[reportArgumentType]
    assert smooth.cycles <= plain.cycles * (1 + 1e-12)


def test_shadow_weights_stream_back_to_back() -> None:
    """Two folds on a stepped array whose weights are swapped as the stream's front passes."""
    rows, columns, m = 3, 2, 8
    draw = np.random.default_rng(3)
    a, b = draw.integers(1, 9, (m, 2 * rows)), draw.integers(1, 9, (2 * rows, columns))
    longest = 2 * m + rows + columns
    left = _skewed(np.vstack([a[:, :rows], a[:, rows:]]).T, longest)
    x, sums = (np.zeros((rows, columns), dtype=np.int64) for _ in range(2))
    out = np.zeros((m, columns), dtype=np.int64)
    last = 0
    for clock in range(longest):
        second = clock - np.add.outer(np.arange(rows), np.arange(columns)) >= m
        held = np.where(second, b[rows:], b[:rows])
        x = np.hstack([left[:, clock : clock + 1], x[:, :-1]])
        sums = np.vstack([np.zeros((1, columns), dtype=np.int64), sums[:-1]]) + x * held
        for j in range(columns):
            i = clock - (rows - 1) - j
            if 0 <= i < 2 * m:
                out[i % m, j] += sums[-1, j]
                last = clock + 1
    np.testing.assert_array_equal(out, a @ b)
    assert rows + last == gemm_cycles(
        m,
        columns,
        2 * rows,
        rows=rows,
        columns=columns,
        dataflow="weight_stationary",
        shadow_weights=True,
        overlap_folds=True,
    )


def test_arrays_of_everything() -> None:
    m, height = np.array([1, 10, 100])[:, None], np.array([8, 32], dtype=np.int32)
    found = gemm(m, 7, [5], rows=height, columns=4, dataflow="weight_stationary")
    assert found.cycles.shape == (3, 2)
    assert found.cycles.dtype == np.int64
    for i in range(3):
        for j in range(2):
            one = gemm_cycles(
                int(m[i, 0]), 7, 5, rows=int(height[j]), columns=4, dataflow="weight_stationary"
            )
            assert found.cycles[i, j] == one
    large = gemm(
        np.array([2**20], np.int32), 2**16, 2**16, rows=8, columns=8, dataflow="output_stationary"
    )
    assert large.macs[0] == 2**52


@pytest.mark.parametrize("name", ["dataflow", "replication"])
def test_unknown_words(name: str) -> None:
    with pytest.raises(ValueError, match=f"unknown {name} 'row'"):
        gemm(1, 1, 1, **{"rows": 1, "columns": 1, "dataflow": "weight_stationary", name: "row"})  # pyright: ignore[reportArgumentType]
