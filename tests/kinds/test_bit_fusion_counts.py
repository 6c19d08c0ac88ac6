"""Clocks and bits of layers on a bit-composable array: against a loop over every tiling, laws."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import permutations, product
from math import ceil, inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.cost.traffic.nest import TileNest
from perfmodel.cost.traffic.pointwise import columns_of
from perfmodel.kinds.bit_fusion import ComposedArray
from perfmodel.kinds.bit_fusion.counts import lanes_and_steps
from perfmodel.kinds.bit_fusion.fastest_tiling import fastest_tilings, layer_cycles
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
) -> tuple[TileNest, ComposedArray]:
    lanes, steps = lanes_and_steps(a, w)
    nest = TileNest(out, out, outer, inner, kernel, kernel, stride, stride, batch=batch)
    array = ComposedArray(
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
    return nest, array


def by_loops(
    kernel: int,
    out: int,
    stride: int,
    inner: int,
    outer: int,
    a: int,
    w: int,
    batch: int = 1,
    rate: float = RATE,
) -> float:
    """Clocks of the best tiling, each written out as loops around a tile."""
    lanes = (8 // max(a, 2)) * (8 // max(w, 2))
    best = inf
    for side, images in product(_tiles(out), _tiles(batch)):
        for ic in _tiles(inner):
            for step in _tiles(ceil(outer / COLUMNS)):
                oc = min(step * COLUMNS, outer)
                window = kernel + (side - 1) * stride
                moved = {
                    "input": images * window * window * ic * a,
                    "weight": kernel * kernel * ic * oc * w,
                    "output": images * side * side * oc * 32,
                }
                deep = ceil(ic / (ROWS * lanes)) * ROWS * lanes
                wide = ceil(oc / COLUMNS) * COLUMNS
                taken = {
                    "input": images * window * window * deep * a,
                    "weight": ceil(kernel * kernel * ic / (ROWS * lanes)) * ROWS * lanes * wide * w,
                    "output": images * side * side * wide * 32,
                }
                if any(taken[name] > ROOMS[name] for name in ROOMS):
                    continue
                trips = {
                    "n": ceil(batch / images),
                    "y": ceil(out / side),
                    "x": ceil(out / side),
                    "i": ceil(inner / ic),
                    "o": ceil(outer / oc),
                }
                cycles = (
                    images
                    * kernel
                    * kernel
                    * side
                    * side
                    * ceil(oc / COLUMNS)
                    * (deep // ROWS // lanes)
                )
                for times in trips.values():
                    cycles *= times
                for order in map(_with_images, permutations("yxio")):
                    first = total = 0
                    for name, loops in (("input", "nyxi"), ("weight", "io"), ("output", "nyxo")):
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
                    best = min(best, max(cycles + first / rate, total / rate))
    return best


def _with_images(order: tuple[str, ...]) -> str:
    """Loops, innermost first, with that over images outside of the outer one of both sides."""
    outer = max(order.index("y"), order.index("x"))
    return "".join((*order[: outer + 1], "n", *order[outer + 1 :]))


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
    _, cycles = layer_cycles(*layer(kernel, out, stride, inner, outer, a, w), float(RATE))
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
    """No fewer clocks than products or compulsory bits ask for."""
    one = layer(kernel, out, stride, inner, outer, a, w, unrolled, batch)
    counts, cycles = layer_cycles(*one, rate)
    macs = batch * outer * inner * out * out * kernel * kernel
    assert counts.cycles >= macs / (ROWS * COLUMNS * one[1].lanes) * one[1].steps * (1 - 1e-12)
    assert counts.weight_bits >= kernel * kernel * inner * outer * w * (1 - 1e-12)
    assert counts.output_bits >= 64 * batch * outer * out * out * (1 - 1e-12)
    if stride <= kernel:
        side = (out - 1) * stride + kernel
        assert counts.input_bits >= batch * inner * side * side * a * (1 - 1e-12)
    assert counts.ends_bits <= counts.memory_bits * (1 + 1e-12)
    faster = layer_cycles(*one, rate * 1.7)[1]
    assert faster <= cycles * (1 + 1e-12)
    fewer = layer(kernel, out, stride, inner, outer, a, max(w / 2, 2.0), unrolled, batch)
    assert layer_cycles(*fewer, 1e12)[1] <= layer_cycles(*one, 1e12)[1] * (1 + 1e-9)


def test_closed_form_where_memory_binds() -> None:
    """A pointwise layer in one sweep: (IC H W a + IC OC w + 64 OC H W) / 192."""
    for inner, outer, side, a, w in ((16, 64, 112, 8, 8), (96, 504, 14, 4, 4), (40, 168, 28, 4, 8)):
        _, cycles = layer_cycles(*layer(1, side, 1, inner, outer, a, w), float(RATE))
        positions = side * side
        bits = inner * positions * a + inner * outer * w + 64 * outer * positions
        assert float(cycles) == pytest.approx(bits / 192, rel=1e-12)


def test_arrays_are_their_numbers() -> None:
    bits = np.array([2.0, 4.0, 6.0, 8.0])
    lanes, steps = lanes_and_steps(bits, bits)
    nest, array = layer(3, 14, 1, 96, 96, 8, 8)
    many = array._replace(input_bits=bits, weight_bits=bits, lanes=lanes, steps=steps)
    _, cycles = layer_cycles(nest, many, float(RATE))
    alone = [layer_cycles(*layer(3, 14, 1, 96, 96, b, b), float(RATE))[1] for b in bits]
    np.testing.assert_allclose(cycles, [float(c) for c in alone], rtol=1e-12)
    assert np.all(np.diff(cycles) >= -1e-12 * cycles[0])


def test_a_layer_too_large_for_its_buffers_is_moved_bit_by_bit() -> None:
    """Buffers of nothing: the smallest tile for every product; never faster than with room."""
    tight = layer(3, 7, 1, 40, 40, 8, 8, rooms=1e-6)
    counts, cycles = layer_cycles(*tight, float(RATE))
    roomy, fast = layer_cycles(*layer(3, 7, 1, 40, 40, 8, 8), float(RATE))
    assert cycles > fast
    assert counts.memory_bits > roomy.memory_bits


@settings(max_examples=draws(10), deadline=None)
@given(
    st.sampled_from([1, 3]),
    st.sampled_from([1, 5, 7, 14]),
    st.sampled_from([1, 2]),
    st.integers(1, 100),
    st.integers(1, 100),
    st.sampled_from([2, 8]),
    st.sampled_from([20.0, 192.0, 1000.0]),
)
def test_a_sweep_over_batches_has_the_best_tiling_of_each(
    kernel: int, out: int, stride: int, inner: int, outer: int, bits: int, rate: float
) -> None:
    batches = np.array([*range(1, 20), 33, 64, 100, 257], dtype=float)
    nest, array = layer(kernel, out, stride, inner, outer, bits, bits)
    swept, cycles = layer_cycles(replace(nest, batch=batches), array, rate)
    for i, batch in enumerate(batches):
        alone, fewest = layer_cycles(replace(nest, batch=batch), array, rate)
        assert [value[i] for value in swept] == list(alone)
        assert cycles[i] == fewest
        if batch in (2, 7, 64):
            expected = by_loops(kernel, out, stride, inner, outer, bits, bits, int(batch), rate)
            assert float(fewest) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rooms", [1.0, 0.1, 1e-6])
def test_rows_of_a_product_are_tiled_like_images(rooms: float) -> None:
    rows = np.arange(1.0, 60.0)
    nest, array = layer(1, 1, 1, 300, 200, 8, 8, rooms=rooms)
    by_images, _ = layer_cycles(replace(nest, batch=rows), array, 64.0)
    by_rows, _ = layer_cycles(replace(nest, out_rows=rows), array, 64.0)
    np.testing.assert_array_equal(by_images, by_rows)


def test_layers_searched_again_with_other_batches() -> None:
    """Tables kept for ranges of batches give the tilings of a search at one batch."""
    shapes = [(3, 14, 1, 64, 96), (1, 28, 2, 96, 32), (7, 56, 2, 3, 64), (1, 1, 1, 300, 1000)]
    pairs = [layer(*shape, a, w) for shape in shapes for a, w in ((8.0, 8.0), (4.0, 2.0))]
    columns = np.array([[*columns_of(nest), *array, float(RATE)] for nest, array in pairs]).T
    place = [each.name for each in fields(TileNest)].index("batch")
    for batch in (1.0, 2.0, 7.0, 16.0, 17.0, 100.0, 1000.0, 4099.0):
        columns[place] = batch
        together = fastest_tilings(columns, 1)
        for i in range(columns.shape[1]):
            one = fastest_tilings(columns[:, [i]], 0)
            assert np.array_equal(together[:, [i]], one), (batch, i)
