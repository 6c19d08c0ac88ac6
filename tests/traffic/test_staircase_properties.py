"""What must hold of every staircase, whatever the nest: physics, symmetries, sizes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perfmodel.cost.traffic.convolution_axis import flatten_nest, useful_tiles
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase
from tests.draws import draws

CONVENTIONS = st.builds(
    Conventions,
    st.sampled_from(["single", "double"]),
    st.sampled_from(["refetched", "kept"]),
    st.sampled_from(["even", "even", "uneven"]),
)
# Whole sixteenths, so that sums of bytes have no rounding.
WIDTH = st.integers(0, 64).map(lambda n: n / 16)
WIDTHS = st.builds(Widths, WIDTH, WIDTH, WIDTH, WIDTH)
NESTS = st.builds(
    TileNest,
    out_rows=st.integers(1, 30),
    out_columns=st.integers(1, 12),
    out_channels=st.integers(1, 40),
    in_channels=st.integers(1, 40),
    kernel_rows=st.integers(1, 4),
    kernel_columns=st.integers(1, 3),
    row_stride=st.integers(1, 3),
    column_stride=st.integers(1, 2),
    row_dilation=st.integers(1, 2),
    groups=st.integers(1, 3),
    batch=st.sampled_from([1, 1, 1, 2, 5]),
)
GEMMS = st.builds(
    TileNest,
    out_rows=st.integers(1, 3000),
    out_channels=st.integers(1, 3000),
    in_channels=st.integers(1, 3000),
)


def touched(extent: int, taps: int, stride: int, dilation: int) -> int:
    return len({i * stride + j * dilation for i in range(extent) for j in range(taps)})


@settings(max_examples=draws(40))
@given(nest=NESTS | GEMMS, widths=WIDTHS, conventions=CONVENTIONS)
def test_falls_to_the_compulsory_traffic_and_never_below(
    nest: TileNest, widths: Widths, conventions: Conventions
) -> None:
    found = staircase(nest, widths, conventions)
    rows = touched(nest.out_rows, nest.kernel_rows, nest.row_stride, nest.row_dilation)
    columns = touched(
        nest.out_columns, nest.kernel_columns, nest.column_stride, nest.column_dilation
    )
    outputs = nest.batch * nest.out_rows * nest.out_columns * nest.out_channels
    weights = nest.in_channels * nest.out_channels * nest.kernel_rows * nest.kernel_columns
    inputs = nest.batch * nest.in_channels * rows * columns
    compulsory = nest.groups * (
        inputs * widths.input + weights * widths.weight + outputs * widths.output
    )
    assert found.compulsory_bytes == found(np.inf) == compulsory
    assert np.all(np.diff(found.traffic_bytes) < 0)
    assert np.all(np.diff(found.capacity_bytes) > 0)
    assert found.traffic_bytes[-1] == found.traffic_bytes.min()
    # One element of each, held once or twice; and all of one group.
    least = widths.input + widths.weight + widths.partial
    assert least <= found.capacity_bytes[0] <= 2 * least
    whole = inputs * widths.input + weights * widths.weight + outputs * widths.partial
    assert found.capacity_bytes[-1] <= whole
    # No engine does a multiply-accumulate without reading what it multiplies.
    most = nest.macs * (widths.input + widths.weight + widths.output + 2 * widths.partial)
    assert found.traffic_bytes[0] <= most


@pytest.mark.parametrize("allocation", ["even", "uneven"])
@settings(max_examples=draws(20))
@given(nest=NESTS | GEMMS, widths=WIDTHS, conventions=CONVENTIONS)
@example(TileNest(6, 5, 8, 9, 3, 3), Widths(2.0, 2.0, 1.0, 0.5), Conventions("single"))
@example(TileNest(40, 1, 50, 60), Widths(2.0, 2.0, 1.0, 0.5), Conventions("double"))
def test_parts_add_up(
    allocation: Any, nest: TileNest, widths: Widths, conventions: Conventions
) -> None:
    found = staircase(nest, widths, replace(conventions, allocation=allocation))
    parts = found.parts(found.capacity_bytes)
    assert np.array_equal(parts.input + parts.weight + parts.output, found.traffic_bytes)
    assert np.array_equal(parts.reads + parts.writes, found.traffic_bytes)
    # What comes back went out before: partial sums are written as often as they are read.
    final = nest.groups * nest.batch * nest.out_rows * nest.out_columns * nest.out_channels
    assert np.array_equal(
        parts.writes - parts.partial_reads, np.full(len(found), final * widths.output)
    )
    if not widths.partial:
        assert np.all(parts.partial_reads == 0)


def test_some_steps_send_partial_sums_out_and_back() -> None:
    """Else the test above would say little of them."""
    nest, widths = TileNest(6, 5, 8, 9, 3, 3), Widths(2.0, 2.0, 1.0, 0.5)
    for conventions in (Conventions("single"), Conventions("single", "refetched", "uneven")):
        found = staircase(nest, widths, conventions)
        panels = found.tiles["panels"][found.partial_read_bytes > 0]
        assert len(panels) > 3
        assert np.any(panels > 0) == (conventions.allocation == "uneven")


@settings(max_examples=draws(25))
@given(nest=NESTS, widths=WIDTHS, conventions=CONVENTIONS, scale=st.sampled_from([0.5, 2, 3, 7]))
def test_scales_with_the_widths(
    nest: TileNest, widths: Widths, conventions: Conventions, scale: float
) -> None:
    one = staircase(nest, widths, conventions)
    other = staircase(
        nest,
        Widths(*(scale * w for w in (widths.input, widths.weight, widths.output, widths.partial))),
        conventions,
    )
    assert np.array_equal(other.capacity_bytes, scale * one.capacity_bytes)
    assert np.array_equal(other.traffic_bytes, scale * one.traffic_bytes)


def same(one: Any, other: Any) -> None:
    assert np.array_equal(one.capacity_bytes, other.capacity_bytes)
    assert np.array_equal(one.traffic_bytes, other.traffic_bytes)


@settings(max_examples=draws(25))
@given(nest=NESTS, widths=WIDTHS, conventions=CONVENTIONS)
def test_rows_and_columns_exchange(
    nest: TileNest, widths: Widths, conventions: Conventions
) -> None:
    turned = TileNest(
        nest.out_columns,
        nest.out_rows,
        nest.out_channels,
        nest.in_channels,
        nest.kernel_columns,
        nest.kernel_rows,
        nest.column_stride,
        nest.row_stride,
        nest.groups,
        nest.batch,
        nest.column_dilation,
        nest.row_dilation,
    )
    same(staircase(nest, widths, conventions), staircase(turned, widths, conventions))


@settings(max_examples=draws(25))
@given(nest=GEMMS, widths=WIDTHS, conventions=CONVENTIONS)
def test_a_product_and_its_transpose(
    nest: TileNest, widths: Widths, conventions: Conventions
) -> None:
    turned = replace(nest, out_rows=nest.out_channels, out_channels=nest.out_rows)
    exchanged = replace(widths, input=widths.weight, weight=widths.input)
    same(staircase(nest, widths, conventions), staircase(turned, exchanged, conventions))


@settings(max_examples=draws(25))
@given(nest=NESTS, widths=WIDTHS, conventions=CONVENTIONS, groups=st.integers(1, 9))
def test_groups_come_one_after_another(
    nest: TileNest, widths: Widths, conventions: Conventions, groups: int
) -> None:
    one = staircase(replace(nest, groups=1), widths, conventions)
    many = staircase(replace(nest, groups=groups), widths, conventions)
    assert np.array_equal(many.capacity_bytes, one.capacity_bytes)
    assert np.array_equal(many.traffic_bytes, groups * one.traffic_bytes)


@settings(max_examples=draws(8))
@given(nest=NESTS | GEMMS, widths=WIDTHS, halo=st.sampled_from(["refetched", "kept"]))
def test_freer_conventions_move_no_more(nest: TileNest, widths: Widths, halo: Any) -> None:
    double = staircase(nest, widths, Conventions("double", halo))
    single = staircase(nest, widths, Conventions("single", halo))
    capacity = np.union1d(double.capacity_bytes, single.capacity_bytes)
    assert np.all(single(capacity) <= double(capacity))
    assert np.all(double(2 * capacity) <= single(capacity))
    for buffering, even in (("double", double), ("single", single)):
        uneven = staircase(nest, widths, Conventions(buffering, halo, "uneven"))  # pyright: ignore
        assert np.all(uneven(capacity) <= even(capacity))
        kept = staircase(nest, widths, Conventions(buffering, "kept"))  # pyright: ignore
        assert np.all(kept(capacity) <= even(capacity))


@settings(max_examples=draws(25))
@given(nest=NESTS, widths=WIDTHS, conventions=CONVENTIONS, data=st.data())
def test_a_larger_nest_moves_no_less(
    nest: TileNest, widths: Widths, conventions: Conventions, data: st.DataObject
) -> None:
    """A tile of the larger nest, cut to the smaller, is a tile of that."""
    name = data.draw(st.sampled_from(["batch", "out_channels", "in_channels", "groups"]))
    larger = replace(nest, **{name: getattr(nest, name) + data.draw(st.integers(1, 9))})
    less, more = staircase(nest, widths, conventions), staircase(larger, widths, conventions)
    capacity = more.capacity_bytes
    if conventions.buffering == "single":
        assert np.all(less(capacity) <= more(capacity))
    else:
        # What changed at the innermost loop may have become the only tile, and another changes.
        assert np.all(less(2 * capacity) <= more(capacity))


@given(nest=NESTS)
def test_flattening_keeps_the_work_and_is_idempotent(nest: TileNest) -> None:
    flat = flatten_nest(nest)
    assert flat.macs == nest.macs
    assert flatten_nest(flat) == flat
    if nest.kernel_rows * nest.kernel_columns == 1:
        assert flat.out_rows == nest.batch * nest.out_rows * nest.out_columns
        assert flat.is_gemm


@given(st.integers(1, 5000))
def test_useful_tiles_are_the_smallest_of_each_count(extent: int) -> None:
    every = np.arange(1, extent + 1)
    smallest = [every[-(-extent // every) == n][0] for n in np.unique(-(-extent // every))]
    assert useful_tiles(extent).tolist() == sorted(int(t) for t in smallest)


@settings(max_examples=draws(25))
@given(
    nest=NESTS | GEMMS,
    conventions=CONVENTIONS,
    widths=st.builds(Widths, *[st.sampled_from([0.1975, 1 / 3, 0.7, 1.1, 0.0])] * 4),
)
def test_widths_that_are_no_binary_fractions(
    nest: TileNest, widths: Widths, conventions: Conventions
) -> None:
    """Ternary weights and the like: sums round, and no step is made of that."""
    found = staircase(nest, widths, conventions)
    assert np.all(np.diff(found.traffic_bytes) < 0)
    assert np.all(np.diff(found.capacity_bytes) > 0)
    parts = found.parts(found.capacity_bytes)
    assert np.array_equal(parts.input + parts.weight + parts.output, found.traffic_bytes)
    assert np.all(parts.partial_reads >= 0)
    # Rounded to binary fractions, the curve is close by.
    near = Widths(
        *(
            round(w * 4096) / 4096
            for w in (widths.input, widths.weight, widths.output, widths.partial)
        )
    )
    other = staircase(nest, near, conventions)
    capacity = found.capacity_bytes
    assert np.all(other(capacity * 1.002) <= found.traffic_bytes * 1.002)
    assert np.all(found(other.capacity_bytes * 1.002) <= other.traffic_bytes * 1.002)
