"""Two levels jointly, as properties: capacities, single levels, and the outer optimum first."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.cost.traffic.multilevel_search import multilevel_tiling
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase
from perfmodel.cost.traffic.two_level_tiling import levels_front, two_levels
from tests.draws import draws

extents = st.integers(1, 40)
few = st.integers(1, 6)
gemms = st.builds(
    TileNest, out_rows=extents, out_channels=extents, in_channels=extents, groups=st.integers(1, 2)
)
convolutions = st.builds(
    TileNest,
    out_rows=st.integers(2, 12),
    out_columns=st.integers(2, 8),
    out_channels=few,
    in_channels=few,
    kernel_rows=st.integers(2, 3),
    kernel_columns=st.integers(2, 3),
    row_stride=st.integers(1, 2),
    batch=st.integers(1, 2),
)
nests = st.one_of(gemms, convolutions)
sizes = st.sampled_from([0.5, 1.0, 2.0])
widths = st.builds(Widths, sizes, sizes, sizes, st.sampled_from([2.0, 4.0]))
conventions = st.builds(
    Conventions, st.sampled_from(["single", "double"]), st.sampled_from(["refetched", "kept"])
)
capacity = st.floats(20, 5000)
price = st.sampled_from([1.0, 5.0, 20.0, 200.0])


@given(nests, widths, conventions, capacity, capacity, st.floats(1, 3), price)
@settings(max_examples=draws(60), deadline=None)
def test_more_room_never_costs_more(
    nest: TileNest, widths: Widths, c: Conventions, one: float, two: float, more: float, far: float
) -> None:
    inner, outer = sorted((one, two))
    least = two_levels(nest, widths, outer, inner, far, 1.0, c).objective
    slack = 1 + 1e-12
    assert two_levels(nest, widths, outer * more, inner, far, 1.0, c).objective <= least * slack
    wide = max(outer, inner * more)
    same = two_levels(nest, widths, wide, inner, far, 1.0, c).objective
    assert two_levels(nest, widths, wide, inner * more, far, 1.0, c).objective <= same * slack


@given(nests, widths, conventions, capacity, capacity, price)
@settings(max_examples=draws(60), deadline=None)
def test_joint_is_never_below_each_boundary_alone(
    nest: TileNest, widths: Widths, c: Conventions, one: float, two: float, far: float
) -> None:
    inner, outer = sorted((one, two))
    alone = staircase(nest, widths, c)
    front = levels_front(nest, widths, outer, inner, c)
    if not len(front):
        return
    slack = 1 - 1e-12
    assert front.outer_bytes[0] >= alone(outer) * slack
    assert front.inner_bytes[-1] >= alone(inner) * slack
    assert np.all(front.inner_bytes >= front.outer_bytes * slack)
    joint = front.energy(far, 1.0)
    assert joint >= (far * alone(outer) + alone(inner)) * slack
    # The outer optimum first: the pair of least outer bytes, whatever it costs inside.
    assert joint <= (far * front.outer_bytes[0] + front.inner_bytes[0]) / slack


@given(nests, widths, conventions, st.floats(20, 5000))
@settings(max_examples=draws(40), deadline=None)
def test_two_equal_buffers_do_what_one_does(
    nest: TileNest, widths: Widths, c: Conventions, room: float
) -> None:
    front = levels_front(nest, widths, room, room, c)
    if len(front):
        # The inner buffer holds any outer tile, so that both boundaries carry the same.
        assert front.inner_bytes[0] == front.outer_bytes[0]
        assert len(front) == 1


@given(gemms, widths, conventions, capacity, capacity, price)
@settings(max_examples=draws(40), deadline=None)
def test_a_gemm_and_its_transpose_cost_the_same(
    nest: TileNest, widths: Widths, c: Conventions, one: float, two: float, far: float
) -> None:
    inner, outer = sorted((one, two))
    turned = TileNest(
        out_rows=nest.out_channels,
        out_channels=nest.out_rows,
        in_channels=nest.in_channels,
        groups=nest.groups,
    )
    exchanged = Widths(widths.weight, widths.input, widths.output, widths.partial)
    one_way = levels_front(nest, widths, outer, inner, c)
    other = levels_front(turned, exchanged, outer, inner, c)
    np.testing.assert_allclose(one_way.outer_bytes, other.outer_bytes, rtol=1e-12)
    np.testing.assert_allclose(one_way.inner_bytes, other.inner_bytes, rtol=1e-12)


@given(gemms, widths, conventions, capacity, capacity, st.floats(1.05, 1.5))
@settings(max_examples=draws(40), deadline=None)
def test_fewer_tiles_are_never_better(
    nest: TileNest, widths: Widths, c: Conventions, one: float, two: float, thin: float
) -> None:
    inner, outer = sorted((one, two))
    exact = two_levels(nest, widths, outer, inner, 20.0, 1.0, c).objective
    assert two_levels(nest, widths, outer, inner, 20.0, 1.0, c, thin=thin).objective >= exact


@given(st.integers(1, 10), st.integers(1, 10), st.integers(1, 10), conventions, price)
@settings(max_examples=draws(25), deadline=None)
def test_two_ways_to_two_levels_agree(m: int, n: int, k: int, c: Conventions, far: float) -> None:
    nest = TileNest(out_rows=m, out_channels=n, in_channels=k)
    one = two_levels(nest, Widths(), 90.0, 30.0, far, 1.0, c).objective
    other = multilevel_tiling(nest, Widths(), [90.0, 30.0], [far, 1.0], c).objective
    np.testing.assert_allclose(one, other, rtol=1e-12)
