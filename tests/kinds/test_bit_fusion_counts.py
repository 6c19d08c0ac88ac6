"""Clocks and bits of layers on a bit-composable array: against a loop over every tiling, laws."""

from __future__ import annotations

from itertools import permutations
from math import ceil, inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.kinds.bit_fusion import BitFusionLayer, BitFusionTiling, count
from perfmodel.kinds.bit_fusion.counts import lanes_and_steps
from perfmodel.kinds.bit_fusion.tiles import frontier, layer_cycles, tilings
from tests.draws import draws

ROWS, COLUMNS, RATE = 16, 32, 192
ROOMS = {"input": 32768 * 4, "weight": 65536 * 4, "output": 16384 * 4}


def layer(
    kernel: int,
    out: int,
    stride: int,
    inner: int,
    outer: int,
    a: float,
    w: float,
    unrolled: bool = False,
    batch: int = 1,
    rooms: float = 1.0,
) -> BitFusionLayer:
    lanes, steps = lanes_and_steps(a, w)
    return BitFusionLayer(
        batch,
        outer,
        inner,
        out,
        out,
        kernel,
        kernel,
        stride,
        stride,
        1,
        1,
        a,
        w,
        32,
        32,
        lanes,
        steps,
        float(unrolled),
        ROWS,
        COLUMNS,
        *(size * rooms for size in ROOMS.values()),
    )


def by_loops(kernel: int, out: int, stride: int, inner: int, outer: int, a: int, w: int) -> float:
    """Clocks of the best tiling, each written out as loops around a tile."""
    lanes = (8 // max(a, 2)) * (8 // max(w, 2))
    best = inf
    for side in _tiles(out):
        for ic in _tiles(inner):
            for step in _tiles(ceil(outer / COLUMNS)):
                oc = min(step * COLUMNS, outer)
                window = kernel + (side - 1) * stride
                moved = {
                    "input": window * window * ic * a,
                    "weight": kernel * kernel * ic * oc * w,
                    "output": side * side * oc * 32,
                }
                deep = ceil(ic / (ROWS * lanes)) * ROWS * lanes
                wide = ceil(oc / COLUMNS) * COLUMNS
                taken = {
                    "input": window * window * deep * a,
                    "weight": ceil(kernel * kernel * ic / (ROWS * lanes)) * ROWS * lanes * wide * w,
                    "output": side * side * wide * 32,
                }
                if any(taken[name] > ROOMS[name] for name in ROOMS):
                    continue
                trips = {
                    "y": ceil(out / side),
                    "x": ceil(out / side),
                    "i": ceil(inner / ic),
                    "o": ceil(outer / oc),
                }
                cycles = (
                    kernel * kernel * side * side * ceil(oc / COLUMNS) * (deep // ROWS // lanes)
                )
                for times in trips.values():
                    cycles *= times
                for order in permutations("yxio"):
                    first = total = 0
                    for name, loops in (("input", "yxi"), ("weight", "io"), ("output", "yxo")):
                        held, moves, full = 1, 1, False
                        for loop in order:
                            if loop in loops:
                                full = full or taken[name] * held * trips[loop] > ROOMS[name]
                                held *= 1 if full else trips[loop]
                                moves *= trips[loop]
                            elif full:
                                moves *= trips[loop]
                        twice = 2 if name == "output" else 1
                        first += twice * held * moved[name]
                        total += twice * moves * moved[name]
                    best = min(best, max(cycles + first / RATE, total / RATE))
    return best


def _tiles(extent: int) -> list[int]:
    return [min(2**k, extent) for k in range(ceil(np.log2(extent)) + 1)]


@pytest.mark.parametrize(
    ("a", "w", "lanes", "steps"),
    [
        (8, 8, 1, 1),
        (8, 4, 2, 1),
        (4, 4, 4, 1),
        (2, 2, 16, 1),
        (1, 2, 16, 1),
        (6, 6, 1, 1),
        (3, 3, 4, 1),
        (5, 2, 4, 1),
        (16, 8, 1, 2),
        (16, 16, 1, 4),
        (16, 4, 2, 2),
        (9, 8, 1, 2),
    ],
)
def test_products_of_a_unit(a: int, w: int, lanes: int, steps: int) -> None:
    """Sharma et al., section III: 16 units of 2 bits; 16 bits take four clocks."""
    assert lanes_and_steps(a, w) == (lanes, steps)
    both = lanes_and_steps(np.array([a, 8.0]), w)
    assert both[0][0] == lanes
    assert both[1][0] == steps


@settings(max_examples=draws(25), deadline=None)
@given(
    st.sampled_from([1, 3, 5]),
    st.sampled_from([1, 5, 7, 14, 28]),
    st.sampled_from([1, 2]),
    st.integers(1, 200),
    st.integers(1, 200),
    st.sampled_from([2, 3, 4, 6, 8]),
    st.sampled_from([2, 4, 5, 8]),
)
def test_best_tiling_is_that_of_a_loop_over_all(
    kernel: int, out: int, stride: int, inner: int, outer: int, a: int, w: int
) -> None:
    _, cycles = layer_cycles(layer(kernel, out, stride, inner, outer, a, w), float(RATE))
    expected = by_loops(kernel, out, stride, inner, outer, a, w)
    assert float(cycles) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=draws(40), deadline=None)
@given(
    st.sampled_from([1, 3, 7]),
    st.integers(1, 60),
    st.sampled_from([1, 2]),
    st.integers(1, 400),
    st.integers(1, 400),
    st.sampled_from([2.0, 4.0, 8.0, 16.0]),
    st.sampled_from([2.0, 4.0, 8.0]),
    st.booleans(),
    st.integers(1, 5),
    st.floats(1.0, 1e5),
)
def test_laws(
    kernel: int,
    out: int,
    stride: int,
    inner: int,
    outer: int,
    a: float,
    w: float,
    unrolled: bool,
    batch: int,
    rate: float,
) -> None:
    """No fewer clocks than products or compulsory bits ask for; the kept tilings are enough."""
    one = layer(kernel, out, stride, inner, outer, a, w, unrolled, batch)
    counts, cycles = layer_cycles(one, rate)
    macs = batch * outer * inner * out * out * kernel * kernel
    assert counts.cycles >= macs / (ROWS * COLUMNS * one.lanes) * one.steps * (1 - 1e-12)
    assert counts.weight_bits >= kernel * kernel * inner * outer * w * (1 - 1e-12)
    assert counts.output_bits >= 64 * batch * outer * out * out * (1 - 1e-12)
    if stride <= kernel:
        side = (out - 1) * stride + kernel
        assert counts.input_bits >= batch * inner * side * side * a * (1 - 1e-12)
    assert counts.ends_bits <= counts.memory_bits * (1 + 1e-12)
    every = count(
        BitFusionLayer(*map(float, one)),
        BitFusionTiling(*tilings(BitFusionLayer(*map(float, one)))),
    )
    brute = np.maximum(every.cycles + every.ends_bits / rate, every.memory_bits / rate)
    assert float(cycles) == pytest.approx(float(brute.min()), rel=1e-12)
    faster = layer_cycles(one, rate * 1.7)[1]
    assert faster <= cycles * (1 + 1e-12)
    fewer = layer(kernel, out, stride, inner, outer, a, max(w / 2, 2.0), unrolled, batch)
    assert layer_cycles(fewer, 1e12)[1] <= layer_cycles(one, 1e12)[1] * (1 + 1e-9)


def test_closed_form_where_memory_binds() -> None:
    """A pointwise layer in one sweep: (IC H W a + IC OC w + 64 OC H W) / 192."""
    for inner, outer, side, a, w in ((16, 64, 112, 8, 8), (96, 504, 14, 4, 4), (40, 168, 28, 4, 8)):
        _, cycles = layer_cycles(layer(1, side, 1, inner, outer, a, w), float(RATE))
        positions = side * side
        bits = inner * positions * a + inner * outer * w + 64 * outer * positions
        assert float(cycles) == pytest.approx(bits / 192, rel=1e-12)


def test_arrays_are_their_numbers() -> None:
    bits = np.array([2.0, 4.0, 6.0, 8.0])
    lanes, steps = lanes_and_steps(bits, bits)
    one = layer(3, 14, 1, 96, 96, 8, 8)
    many = one._replace(input_bits=bits, weight_bits=bits, lanes=lanes, steps=steps)
    _, cycles = layer_cycles(many, float(RATE))
    alone = [layer_cycles(layer(3, 14, 1, 96, 96, b, b), float(RATE))[1] for b in bits]
    np.testing.assert_allclose(cycles, [float(c) for c in alone], rtol=1e-12)
    assert np.all(np.diff(cycles) >= -1e-12 * cycles[0])


def test_a_layer_too_large_for_its_buffers_is_moved_bit_by_bit() -> None:
    """Buffers of nothing: the smallest tile for every product; never faster than with room."""
    tight = layer(3, 7, 1, 40, 40, 8, 8, rooms=1e-6)
    assert frontier(BitFusionLayer(*map(float, tight))).shape[1] >= 1
    counts, cycles = layer_cycles(tight, float(RATE))
    roomy, fast = layer_cycles(layer(3, 7, 1, 40, 40, 8, 8), float(RATE))
    assert cycles > fast
    assert counts.memory_bits > roomy.memory_bits
