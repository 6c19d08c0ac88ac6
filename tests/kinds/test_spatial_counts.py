"""Words and clocks of a mapping, against a walk over its passes that looks at every index."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.kinds.spatial import GroupedConvolution, PeArray, count
from perfmodel.kinds.spatial.counts import buffer_demand, folds, sets_that_fit
from perfmodel.kinds.spatial.energy import compressed_words
from perfmodel.kinds.spatial.shapes import RowMapping, ceil_div
from tests.draws import draws

CHIP = PeArray(12.0, 14.0, 224.0, 12.0, 24.0, 51200.0, 4.0, 1.0, 4.0)


class Case(NamedTuple):
    """Whole numbers of a square layer and its mapping; `pad` rows and columns on each side."""

    groups: int
    images: int
    filters: int
    channels: int
    out: int
    kernel: int
    stride: int
    pad: int
    n: int
    m: int
    e: int
    p: int
    q: int
    r: int
    t: int

    @property
    def layer(self) -> GroupedConvolution:
        image = self.stride * (self.out - 1) + self.kernel - 2 * self.pad
        return GroupedConvolution(
            *map(
                float,
                (
                    self.groups,
                    self.images,
                    self.filters,
                    self.channels,
                    self.out,
                    self.out,
                    self.kernel,
                    self.kernel,
                    self.stride,
                    self.stride,
                    1,
                    1,
                    image,
                    image,
                ),
            )
        )

    @property
    def mapping(self) -> RowMapping:
        return RowMapping(*map(float, (self.n, self.m, self.e, self.p, self.q, self.r, self.t)))


def _cut(total: int, piece: int) -> list[range]:
    """Return equal pieces, as many as pieces of `piece` need."""
    parts = -(-total // piece)
    edges = [round(i * total / parts) for i in range(parts + 1)]
    return [range(a, b) for a, b in pairwise(edges)]


def walk(c: Case) -> Counter[str]:
    """Return words of each kind by walking groups, strips, channels and filters, pass by pass."""
    seen: Counter[str] = Counter()
    image = c.stride * (c.out - 1) + c.kernel - 2 * c.pad
    columns = {c.stride * x + s for x in range(c.out) for s in range(c.kernel)}
    real = {x for x in columns if 0 <= x - c.pad < image}
    for _ in range(c.groups):
        for pictures in _cut(c.images, c.n):
            for held in _pieces(c.filters, c.m):
                for strip in _cut(c.out, c.e):
                    rows = {c.stride * y + r for y in strip for r in range(c.kernel)}
                    inside = {y for y in rows if 0 <= y - c.pad < image}
                    for channels in _pieces(c.channels, c.q * c.r):
                        words = len(pictures) * len(channels)
                        seen["dram_input"] += words * len(inside) * len(real)
                        for filters in _pieces(len(held), c.p * c.t):
                            seen["passes"] += 1
                            seen["buffer_input"] += words * len(rows) * len(columns)
                            out = len(pictures) * len(filters) * len(strip) * c.out
                            seen["buffer_sum"] += 2 * out
                            taps = len(channels) * len(filters) * c.kernel**2
                            seen["dram_filter"] += taps
                            seen["macs"] += out * len(channels) * c.kernel**2
                    seen["dram_output"] += len(pictures) * len(held) * len(strip) * c.out
    return seen


def _pieces(total: int, piece: int) -> list[range]:
    return [range(a, min(a + piece, total)) for a in range(0, total, piece)]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return a small layer and a mapping of it, pieces ragged."""
    kernel = draw(st.sampled_from([1, 2, 3, 5]))
    p, t = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    filters = draw(st.integers(1, 9))
    images = draw(st.integers(1, 3))
    out = draw(st.integers(1, 7))
    return Case(
        draw(st.integers(1, 2)),
        images,
        filters,
        draw(st.integers(1, 6)),
        out,
        kernel,
        draw(st.integers(1, kernel + 1)),
        draw(st.integers(0, (kernel - 1) // 2)),
        draw(st.integers(1, images)),
        p * t * draw(st.integers(1, 3)),
        draw(st.integers(1, out)),
        p,
        draw(st.integers(1, 2)),
        draw(st.integers(1, 2)),
        t,
    )


@given(cases())
@settings(max_examples=draws(60))
def test_words_are_those_of_a_walk(case: Case) -> None:
    """Every word of buffer and main memory, ragged pieces and padding counted."""
    found, seen = count(case.layer, case.mapping, CHIP), walk(case)
    for name in ("dram_input", "dram_filter", "dram_output", "buffer_input", "buffer_sum", "macs"):
        assert float(getattr(found, name)) == pytest.approx(seen[name]), name
    assert float(found.passes) == seen["passes"]


@given(cases(), st.integers(0, 2**31))
@settings(max_examples=draws(40))
def test_arrays_equal_singles(case: Case, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = GroupedConvolution(*(v * rng.integers(1, 3, 5) for v in case.layer))
    mapping = RowMapping(*(np.minimum(v * rng.integers(1, 3, 5), 9.0) for v in case.mapping))
    together = count(layer, mapping, CHIP)
    for i in range(5):
        one = count(
            GroupedConvolution(*(v[i] for v in layer)),
            RowMapping(*(np.asarray(v)[i] if np.ndim(v) else v for v in mapping)),
            CHIP,
        )
        for name in together._fields:
            np.testing.assert_allclose(
                np.broadcast_to(getattr(together, name), 5)[i], getattr(one, name), rtol=1e-12
            )


def _set_clocks(case: Case, array: PeArray) -> float:
    """Return clocks of an array of sets, each column of outputs in turn, pass by pass."""
    clocks = 0.0
    for _ in range(round(float(count(case.layer, case.mapping, array).passes))):
        load = case.p * case.t * case.q * case.r * case.kernel**2 / array.filter_bus
        high = case.stride * (case.e - 1) + case.kernel
        window = case.kernel * high * case.q * case.r / array.input_bus
        clocks += load + window
        for _ in range(case.n * case.out):
            products = case.p * case.q * case.kernel
            sums = case.p * case.t * case.e / array.sum_bus
            inputs = case.q * case.r * high * min(case.stride, case.kernel) / array.input_bus
            clocks += max(products, sums, inputs)
        clocks += case.p * case.t * case.e / array.sum_bus + case.kernel
    return clocks


@pytest.mark.parametrize(
    "case",
    [
        Case(1, 4, 96, 3, 56, 11, 4, 0, 1, 96, 7, 16, 1, 1, 2),
        Case(1, 3, 64, 64, 24, 3, 1, 1, 1, 64, 3, 4, 1, 1, 16),
        Case(2, 4, 64, 24, 13, 3, 1, 1, 4, 32, 13, 16, 3, 2, 2),
    ],
)
def test_clocks_are_those_of_a_walk(case: Case) -> None:
    """Where all pieces are whole: bound by products, by sums, by inputs."""
    for input_bus in (0.25, 1.0, 8.0):
        array = CHIP._replace(input_bus=input_bus)
        found = count(case.layer, case.mapping, array)
        assert float(found.cycles) == pytest.approx(_set_clocks(case, array))


@given(cases())
@settings(max_examples=draws(60))
def test_clocks_are_never_below_the_products_of_all_elements(case: Case) -> None:
    found = count(case.layer, case.mapping, CHIP)
    sets = math.prod((case.r, case.t))
    elements = min(case.e, case.out) * case.kernel * sets
    assert float(found.cycles) >= float(found.macs) / elements * (1 - 1e-9)
    assert float(found.buffer_sum) >= 2 * float(found.dram_output)
    assert float(found.dram_input) <= float(found.padded_input) * (1 + 1e-9)


def test_sets_and_blocks_on_the_chip() -> None:
    """By hand: 27 rows stack as 14 and 13 on the two 5-row bands; 11-row sets of 7 sit in pairs."""
    rows, kernels = (
        np.array([27.0, 7.0, 13.0, 14.0, 28.0, 56.0, 57.0]),
        np.array([5.0, 11.0, 3.0, 3.0, 3.0, 3.0, 3.0]),
    )
    np.testing.assert_array_equal(sets_that_fit(rows, kernels, CHIP), [1, 2, 4, 4, 2, 1, 0])
    assert float(ceil_div(0.3, 0.1)) == 3.0
    large = folds(GroupedConvolution(*([1.0] * 6 + [16.0] * 2 + [1.0] * 6)), CHIP)
    assert (large.rows, large.columns, large.kernel_rows, large.kernel_columns) == (2, 2, 8, 8)


def test_buffer_demand_of_the_chips_layers() -> None:
    """Published mappings fit in 100 KiB, and fill most of it."""
    for case in (
        Case(1, 4, 96, 3, 55, 11, 4, 0, 1, 96, 7, 16, 1, 1, 2),
        Case(2, 4, 128, 48, 27, 5, 1, 2, 1, 64, 27, 16, 2, 1, 1),
        Case(2, 4, 192, 192, 13, 3, 1, 1, 4, 64, 13, 16, 3, 2, 2),
    ):
        demand = float(buffer_demand(case.layer, case.mapping)) * 2 / 1024
        assert 80 < demand <= 100


def test_run_length_code_by_hand() -> None:
    """Three pairs a 64-bit word; no saving below a quarter of zeros; padding is not stored."""
    zeros = np.array([0.0, 0.25, 0.5, 1.0])
    np.testing.assert_allclose(compressed_words(300.0, 300.0, zeros), [300, 300, 200, 0])
    # 10 x 10 within 12 x 12, all 100 of them values: padding makes 30.6 % zeros, and no saving.
    assert float(compressed_words(100.0, 144.0, 44 / 144)) == 100.0


@given(cases())
@settings(max_examples=draws(60))
def test_relaxed_counts_are_never_above(case: Case) -> None:
    """And equal where every piece is whole."""
    hard, soft = (count(case.layer, case.mapping, CHIP, relaxed=r) for r in (False, True))
    for name in ("passes", "buffer_input", "buffer_sum", "dram_input", "dram_filter"):
        assert float(getattr(soft, name)) <= float(getattr(hard, name)) * (1 + 1e-9), name
    assert float(soft.macs) == float(hard.macs)
    pieces = (
        case.images / case.n,
        case.out / case.e,
        case.filters / (case.p * case.t),
        case.filters / case.m,
        case.channels / (case.q * case.r),
    )
    if all(piece == int(piece) for piece in pieces):
        for name in hard._fields:
            assert float(getattr(soft, name)) == pytest.approx(float(getattr(hard, name))), name
