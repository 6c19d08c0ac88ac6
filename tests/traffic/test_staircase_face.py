"""Looking staircases up: numbers, arrays, many at once; what is remembered and what refused."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from perfmodel.cost.traffic.convolution_axis import flatten_nest
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import Staircase, staircase
from perfmodel.cost.traffic.staircase_batch_lookup import batched
from perfmodel.errors import InputError

NEST = TileNest(28, 28, 32, 16, 3, 3)
LAYERS = [NEST, TileNest(64, 1, 100, 30), TileNest(9, 9, 1, 1, 3, 3, 2, 2, groups=24)]


@pytest.fixture(scope="module")
def stairs() -> Staircase:
    return staircase(NEST, Widths())


def test_numbers_and_arrays_agree(stairs: Staircase) -> None:
    capacity = np.concatenate(
        [
            [0.0, 1.0, np.inf],
            stairs.capacity_bytes,
            np.nextafter(stairs.capacity_bytes, 0.0),
            np.geomspace(1, 1e7, 300),
        ]
    )
    one_by_one = [stairs(float(c)) for c in capacity]
    assert np.array_equal(stairs(capacity), one_by_one)
    assert np.array_equal(stairs(capacity.reshape(-1, 1))[:, 0], one_by_one)
    assert [stairs.index(float(c)) for c in capacity] == stairs.index(capacity).tolist()
    assert stairs(1 << 20) == stairs(float(1 << 20)) == stairs(np.float64(1 << 20))
    for i, c in enumerate(capacity):
        parts, all_ = stairs.parts(float(c)), stairs.parts(capacity)
        assert [p[i] for p in all_] == list(parts)


def test_a_step_begins_at_its_capacity(stairs: Staircase) -> None:
    for i, c in enumerate(stairs.capacity_bytes.tolist()):
        assert stairs.index(c) == i
        assert stairs(c) == stairs.traffic_bytes[i]
        below = float(np.nextafter(c, 0.0))
        assert stairs(below) == (stairs.traffic_bytes[i - 1] if i else np.inf)


def test_below_the_least_tile_nothing_fits(stairs: Staircase) -> None:
    below = float(stairs.capacity_bytes[0]) - 1
    assert stairs.tile(below) is None
    assert stairs.index(below) == -1
    assert set(stairs.parts(below)) == {np.inf}
    assert stairs.parts(below).reads == stairs.parts(below).writes == np.inf
    parts = stairs.parts(np.array([below, 1e9]))
    assert parts.reads[0] == parts.writes[0] == np.inf
    assert parts.reads[1] + parts.writes[1] == stairs.compulsory_bytes


def test_tiles_fit_their_nest(stairs: Staircase) -> None:
    smallest, largest = stairs.step_tile(0), stairs.tile(1e9)
    assert largest is not None
    assert largest[:7] == tuple(int(stairs.tiles[name][-1]) for name in largest._fields[:7])
    for step in range(len(stairs)):
        tile = stairs.step_tile(step)
        assert all(
            1 <= t <= getattr(NEST, name)
            for name, t in tile._asdict().items()
            if isinstance(t, int)
        )
        assert tile.stationary in {"output", "input", "weight", "all"}
        assert tile.panels == {}
    assert smallest.out_rows == smallest.out_columns == smallest.kernel_rows == 1


def test_panels_name_operands_and_extents() -> None:
    """A window of rows that slides: the line buffer of a convolution that holds all its weights."""
    nest = TileNest(56, 56, 64, 64, 3, 3)
    found = staircase(nest, Widths(), Conventions("double", "kept", "uneven"))
    tile = found.tile(65536)
    assert tile is not None
    assert found(65536) == found.compulsory_bytes
    assert tile.panels["weight"] == ("out_channels", "in_channels", "kernel_rows", "kernel_columns")
    # Three rows of all channels and all weights, with hardly anything beside them.
    lines, weights = 3 * 58 * 64, 64 * 64 * 9
    assert lines + weights <= found.capacity_bytes[-1] < 1.01 * (lines + weights)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (500,)])
def test_many_nests_at_many_capacities(shape: tuple[int, ...]) -> None:
    found = [staircase(nest, Widths()) for nest in LAYERS]
    rng = np.random.default_rng(0)
    for capacity in (rng.uniform(0, 3e4, shape), np.sort(rng.uniform(0, 3e4, shape), axis=None)):
        capacity = capacity.reshape(shape)
        table = batched(found, capacity)
        assert table.shape == (3, max(1, capacity.size))
        for i, stairs in enumerate(found):
            points = np.atleast_1d(capacity)
            assert np.array_equal(table[i], stairs(points))


def test_capacities_of_each_nest() -> None:
    found = [staircase(nest, Widths()) for nest in LAYERS]
    capacity = np.random.default_rng(0).uniform(0, 3e4, (3, 50))
    table = batched(found, capacity)
    for i, stairs in enumerate(found):
        assert np.array_equal(table[i], stairs(capacity[i]))
    with pytest.raises(ValueError, match="3 staircases, but capacities of 2"):
        batched(found, capacity[:2])
    assert batched([], np.ones(4)).shape == (0, 4)


def test_remembered_by_content() -> None:
    one = staircase(NEST, Widths(), Conventions("single"))
    assert staircase(replace(NEST), Widths(1.0, 1.0, 1.0, 4.0), Conventions("single")) is one
    assert staircase(NEST, Widths(), Conventions("double")) is not one
    with pytest.raises(ValueError, match="read-only"):
        one.traffic_bytes[0] = 0.0
    again = pickle.loads(pickle.dumps(one))
    assert np.array_equal(again.traffic_bytes, one.traffic_bytes)
    assert again(5000) == one(5000)


@pytest.mark.parametrize(
    "change", [{"out_rows": 0}, {"kernel_rows": -1}, {"row_stride": 0}, {"groups": 0}]
)
def test_extents_below_one_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(InputError, match="a whole number from 1 on"):
        replace(NEST, **change)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_widths_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="widths are finite and not negative"):
        staircase(NEST, Widths(weight=bad))


def test_an_operand_that_does_not_cross() -> None:
    """Fused away: no bytes, no room; the others tile as if it were not there."""
    product = TileNest(40, 1, 30, 20)
    found = staircase(product, Widths(0.0, 1.0, 0.0, 0.0))
    # All that is left is the weight, one element after another.
    assert len(found) == 1
    assert found.capacity_bytes[0] <= 2.0
    assert found.traffic_bytes[0] == 600.0
    nothing = staircase(product, Widths(0.0, 0.0, 1.0, 0.0))
    assert nothing(0) == 1200.0
    assert staircase(product, Widths(0.0, 0.0, 0.0, 0.0))(0.0) == 0.0


def test_says_what_it_is(stairs: Staircase) -> None:
    assert "double-buffered, halo refetched, even tiles" in repr(stairs)
    assert f"{len(stairs)} steps" in repr(stairs)
    assert stairs.tiled == NEST
    strided = TileNest(14, 14, 8, 8, row_stride=2, column_stride=2, batch=2)
    assert staircase(strided, Widths()).tiled == flatten_nest(strided) == TileNest(392, 1, 8, 8)


# A product small enough to do by hand: C[2, 3] += A[2, 2] B[2, 3], bytes 1, 1, 1 and 4, so that A
# has 4 bytes, B 6 and C 6.
@pytest.mark.parametrize(
    ("capacity", "moved"),
    [
        (5.0, np.inf),
        # One element of each, an output until it is done: A three times, B twice, C once.
        (6.0, 4 * 3 + 6 * 2 + 6),
        (7.0, 4 * 3 + 6 * 2 + 6),
        # A row of A, a column of B and one output: A once, B twice, C once.
        (8.0, 4 + 6 * 2 + 6),
        (13.0, 4 + 6 * 2 + 6),
        # All of A, a column of B and one of C: each once.
        (14.0, 4 + 6 + 6),
    ],
)
def test_by_hand(capacity: float, moved: float) -> None:
    found = staircase(TileNest(2, 1, 3, 2), Widths(), Conventions("single"))
    assert found(capacity) == moved


def test_no_point_is_lost_between_many(stairs: Staircase) -> None:
    capacity: Any = np.repeat(stairs.capacity_bytes, 2)
    capacity[1::2] = np.nextafter(capacity[1::2], 0)
    assert np.array_equal(batched([stairs], capacity)[0], stairs(capacity))


def test_what_makes_no_nest_or_convention_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        TileNest(out_rows=0, kernel_rows=-1, in_channels=2.5)  # type: ignore[arg-type]
    assert [fault.path for fault in caught.value.faults] == [
        "out_rows",
        "in_channels",
        "kernel_rows",
    ]
    with pytest.raises(InputError) as caught:
        Conventions("triple", "kep", "even")  # type: ignore[arg-type]
    assert [fault.path for fault in caught.value.faults] == ["buffering", "halo"]
    assert "did you mean 'kept'?" in str(caught.value)
