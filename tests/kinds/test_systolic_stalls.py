"""Stalls of double-buffered windows against a simulation of their events, in exact fractions."""

from __future__ import annotations

import heapq
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.kinds.systolic import double_buffered, gemm
from perfmodel.kinds.systolic.folds import DATAFLOWS, Dataflow
from tests.draws import draws

_SIZES, _SIDES, _WIDTHS = st.integers(1, 40), st.integers(1, 9), st.integers(1, 4)


class _Bus:
    """One memory port: transfers one after another, in the order that they are asked for."""

    def __init__(self, rate: Fraction) -> None:
        self.rate, self.free, self.moved = rate, Fraction(0), {"fetch": 0, "write": 0}

    def transfer(self, now: Fraction, size: int, way: str) -> Fraction:
        self.moved[way] += size
        self.free = max(self.free, now) + Fraction(size) / self.rate
        return self.free


def _tiles(
    m: int,
    n: int,
    k: int,
    rows: int,
    columns: int,
    dataflow: Dataflow,
    groups: int,
    widths: tuple[int, int, int],
) -> list[dict[str, tuple[object, int]]]:
    """Return for each fold, in order: operand -> (which tile of it, bytes)."""
    extent = {"m": m, "n": n, "k": k}
    r, c, t = DATAFLOWS[dataflow]
    out: list[dict[str, tuple[object, int]]] = []
    for g in range(groups):
        for q in range(0, extent[c], columns):
            for p in range(0, extent[r], rows):
                span = {
                    r: (p, min(p + rows, extent[r])),
                    c: (q, min(q + columns, extent[c])),
                    t: (0, extent[t]),
                }
                fold: dict[str, tuple[object, int]] = {}
                for name, dims, width in zip("abc", ("mk", "kn", "mn"), widths, strict=True):
                    size = width
                    for d in dims:
                        size *= span[d][1] - span[d][0]
                    fold[name] = ((g, *(span[d] for d in dims)), size)
                out.append(fold)
    return out


def _simulate(
    folds: list[dict[str, tuple[object, int]]], rate: Fraction, step: int, last: int
) -> tuple[Fraction, Fraction, dict[str, int]]:
    """Run the folds by their events; return the end, when computing began, and bytes moved.

    A fold starts when its operands are there, the array is free, and the buffer of results that
    it fills was written out. Its start frees the other buffer of operands for the next fold's, and
    the results before it may leave.
    """
    bus = _Bus(rate)
    operands = [
        sum(
            size
            for name, (tile, size) in fold.items()
            if name != "c" and (i == 0 or folds[i - 1][name][0] != tile)
        )
        for i, fold in enumerate(folds)
    ]
    results = [
        fold["c"][1] if i + 1 == len(folds) or folds[i + 1]["c"][0] != fold["c"][0] else 0
        for i, fold in enumerate(folds)
    ]
    waiting = {0: {"operands 0", "array"}}
    events: list[tuple[Fraction, int, str]] = []
    order = 0

    def post(when: Fraction, what: str) -> None:
        nonlocal order
        heapq.heappush(events, (when, order, what))
        order += 1

    post(Fraction(0), "array")
    post(bus.transfer(Fraction(0), operands[0], "fetch"), "operands 0")
    fold, began, end = 0, Fraction(0), Fraction(0)
    while events:
        now, _, what = heapq.heappop(events)
        end = max(end, now)
        if fold not in waiting:
            continue
        waiting[fold].discard(what)
        if waiting[fold]:
            continue
        if fold == 0:
            began = now
        following = fold + 1
        if following < len(folds):
            need = {"array", f"operands {following}"}
            post(bus.transfer(now, operands[following], "fetch"), f"operands {following}")
            if fold > 0:
                need.add(f"results {fold - 1}")
                post(bus.transfer(now, results[fold - 1], "write"), f"results {fold - 1}")
            waiting[following] = need
            post(now + step, "array")
        else:
            done = now + last
            if fold > 0:
                done = max(done, bus.transfer(now, results[fold - 1], "write"))
            end = bus.transfer(done, results[fold], "write")
        fold = following
    return max(end, bus.free), began, bus.moved


@settings(max_examples=draws(300))
@given(
    _SIZES,
    _SIZES,
    _SIZES,
    _SIDES,
    _SIDES,
    st.sampled_from(list(DATAFLOWS)),
    st.integers(1, 3),
    st.tuples(_WIDTHS, _WIDTHS, _WIDTHS),
    st.fractions(Fraction(1, 50), 60, max_denominator=50),
    st.sampled_from([(False, False), (True, False), (True, True)]),
)
def test_windows_are_the_simulation(
    m: int,
    n: int,
    k: int,
    rows: int,
    columns: int,
    dataflow: Dataflow,
    groups: int,
    widths: tuple[int, int, int],
    rate: Fraction,
    hidden: tuple[bool, bool],
) -> None:
    run = gemm(
        m,
        n,
        k,
        rows=rows,
        columns=columns,
        dataflow=dataflow,
        groups=groups,
        shadow_weights=hidden[0],
        overlap_folds=hidden[1],
    )
    found = double_buffered(
        run, float(rate), input_bytes=widths[0], weight_bytes=widths[1], output_bytes=widths[2]
    )
    # A fold's own time, but for what the options hide of it behind the folds around it.
    folds = _tiles(m, n, k, rows, columns, dataflow, groups, widths)
    end, began, moved = _simulate(folds, rate, run.interval_cycles, run.fold_cycles)
    assert float(found.cycles) == pytest.approx(float(end), rel=1e-12)
    assert float(found.fill_cycles) == pytest.approx(float(began), rel=1e-12)
    assert float(found.fetched_bytes) == moved["fetch"]
    assert float(found.written_bytes) == moved["write"]
    parts = found.fill_cycles + found.stall_cycles + found.drain_cycles + run.cycles
    assert float(parts) == pytest.approx(float(end), rel=1e-12)
    assert found.stall_cycles >= -1e-9 * end


def test_many_windows_at_once() -> None:
    """Arrays of everything equal numbers; no stall at a high bandwidth, all memory at a low one."""
    m, rate = np.array([1, 33, 500])[:, None], np.array([1e-3, 1.0, 1e9])
    size = {"rows": 8, "columns": 4, "dataflow": "weight_stationary"}
    widths = {"input_bytes": 1, "weight_bytes": 2, "output_bytes": 4}
    run = gemm(m, 50, 70, **size)  # pyright: ignore[reportArgumentType]
    found = double_buffered(run, rate, **widths)
    for i in range(3):
        for j in range(3):
            one = double_buffered(gemm(int(m[i, 0]), 50, 70, **size), float(rate[j]), **widths)  # pyright: ignore[reportArgumentType]
            assert found.cycles[i, j] == one.cycles
    moved = found.fetched_bytes + found.written_bytes
    np.testing.assert_allclose(found.cycles[:, 0], moved[:, 0] / 1e-3, rtol=1e-3)
    np.testing.assert_allclose(found.stall_cycles[:, 2], 0.0, atol=1e-9)
    assert np.all(np.diff(found.cycles, axis=1) < 0)


@settings(max_examples=draws(80))
@given(
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.integers(1, 3000),
    st.integers(1, 130),
    st.integers(1, 130),
    st.sampled_from(list(DATAFLOWS)),
    st.integers(1, 8),
    st.booleans(),
)
def test_between_the_slower_part_and_both(
    m: int, n: int, k: int, rows: int, columns: int, dataflow: Dataflow, groups: int, flowing: bool
) -> None:
    """Large products: no faster than array or memory alone, no slower than one after the other."""
    run = gemm(
        m,
        n,
        k,
        rows=rows,
        columns=columns,
        dataflow=dataflow,
        groups=groups,
        shadow_weights=True,
        overlap_folds=flowing,
    )
    rate = np.geomspace(1e-2, 1e5, 60)
    found = double_buffered(run, rate, input_bytes=1, weight_bytes=1, output_bytes=2)
    memory = (found.fetched_bytes + found.written_bytes) / rate
    assert np.all(found.cycles >= np.maximum(run.cycles, memory) * (1 - 1e-12))
    assert np.all(found.cycles <= (run.cycles + memory) * (1 + 1e-12))
    assert np.all(np.diff(found.cycles) <= 1e-9 * found.cycles[:-1])


def test_packed_groups_share_a_window() -> None:
    """Six groups, three a fold: two folds that each bring the operands of three."""
    run = gemm(
        10, 2, 3, rows=9, columns=6, dataflow="weight_stationary", groups=6, replication="diagonal"
    )
    assert run.folds == 2
    found = double_buffered(run, 2.0, input_bytes=1, weight_bytes=1, output_bytes=1)
    assert float(found.fetched_bytes) == 6 * (30 + 6)
    assert float(found.written_bytes) == 6 * 20
    step = run.fold_cycles
    fetch, write = 3 * 36 / 2, 3 * 20 / 2
    assert float(found.cycles) == fetch + max(step, fetch) + max(step, write) + write
