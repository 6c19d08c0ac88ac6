"""The law of products by table look-up, against products that are looked up one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.kinds.lookup_table import blocks, passes
from perfmodel.kinds.lookup_table.counts import (
    engine_clocks,
    index_bits,
    instructions_per_mac,
    packed_bytes,
    uram_blocks,
)
from tests.draws import draws


class Tables:
    """Sums of groups of activations, counted as they are built and read."""

    def __init__(self, activations: np.ndarray, group: int, values: tuple[int, ...]) -> None:
        short = -len(activations) % group
        padded = np.concatenate([activations, np.zeros(short, dtype=activations.dtype)])
        self.group, self.values, self.read = group, values, 0
        self.sums = [
            {w: int(np.dot(w, part)) for w in product(values, repeat=group)}
            for part in padded.reshape(-1, group)
        ]

    def times(self, weights: np.ndarray) -> int:
        """One output: a look-up a group."""
        padded = np.concatenate([weights, np.full(-len(weights) % self.group, self.values[0])])
        found = 0
        for sums, part in zip(self.sums, padded.reshape(-1, self.group), strict=True):
            found += sums[tuple(int(w) for w in part)]
            self.read += 1
        return found


@pytest.mark.parametrize(("m", "k", "n"), [(1, 12, 5), (3, 10, 4), (2, 7, 6)])
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_look_ups_of_bit_planes_one_by_one(m: int, k: int, n: int, bits: int) -> None:
    """The product is right, and takes the look-ups and tables that the law counts."""
    rng = np.random.default_rng(m * 100 + k + n + bits)
    a, b = rng.integers(-9, 9, (m, k)), rng.integers(0, 2**bits, (k, n))
    out, read, built = np.zeros((m, n), dtype=int), 0, 0
    for i in range(m):
        tables = Tables(a[i], 4, (0, 1))
        built += len(tables.sums)
        for j in range(n):
            out[i, j] = sum((1 << p) * tables.times((b[:, j] >> p) & 1) for p in range(bits))
        read += tables.read
    np.testing.assert_array_equal(out, a @ b)
    assert read == m * n * passes(np.asarray(float(bits))) * blocks(k, 4.0)
    assert built == m * blocks(k, 4.0)


@pytest.mark.parametrize("group", [1, 2, 3, 5])
def test_ternary_weights_take_one_pass(group: int) -> None:
    rng = np.random.default_rng(group)
    a, b = rng.integers(-9, 9, 17), rng.integers(-1, 2, (17, 6))
    tables = Tables(a, group, (-1, 0, 1))
    found = [tables.times(b[:, j]) for j in range(6)]
    np.testing.assert_array_equal(found, a @ b)
    assert tables.read == 6 * blocks(17, float(group))
    assert 2 ** index_bits(float(group), ternary=True) >= len(tables.sums[0])
    assert passes(1.58, ternary=True) == 1.0


@given(
    m=st.integers(1, 4),
    k=st.integers(1, 60),
    n=st.integers(1, 40),
    group=st.integers(1, 4),
    tables=st.integers(1, 6),
    reads=st.integers(1, 5),
    build=st.integers(0, 9),
)
@settings(max_examples=draws(60), deadline=None)
def test_clocks_of_an_engine_one_by_one(
    m: int, k: int, n: int, group: int, tables: int, reads: int, build: int
) -> None:
    clocks = 0
    for _ in range(m):
        for _ in range(0, k, group * tables):
            outputs = len(range(0, n, reads))
            clocks += max(outputs, build)
    found = engine_clocks(m, k, n, 1.0, group=group, tables=tables, reads=reads, build=build)
    assert found == clocks
    relaxed = engine_clocks(
        m, k, n, 1.0, group=group, tables=tables, reads=reads, build=build, relaxed=True
    )
    assert relaxed <= clocks + 1e-9


def test_transfers_of_tellme() -> None:
    """28 x 5 bits of 84 weights, five vectors in 96 bytes: 420 weights; 36 bits stay empty."""
    assert index_bits(3.0, ternary=True) == 5
    one = packed_bytes(84.0, 5.0, group=3.0, tables=28.0, transfer=96.0, index=5.0)
    assert float(one) == 96.0
    assert float(packed_bytes(85.0, 5.0, group=3.0, tables=28.0, transfer=96.0, index=5.0)) == 192.0
    # A vector of 600 bits takes two transfers of 64 bytes.
    wide = packed_bytes(360.0, 3.0, group=3.0, tables=120.0, transfer=64.0, index=5.0)
    assert float(wide) == 3 * 2 * 64.0


def test_uram_of_tellme() -> None:
    """48 blocks as published, with two buffers of the 4116 x 1596 indices at 6 or 8 reads."""
    for reads in (6.0, 8.0, 12.0, 24.0):
        found = uram_blocks(
            4116.0, 1596.0, group=3.0, tables=28.0, reads=reads, columns=2.0, copies=2.0
        )
        assert float(found) == 48.0
    for reads in (4.0, 10.0, 14.0, 16.0, 20.0):
        found = uram_blocks(
            4116.0, 1596.0, group=3.0, tables=28.0, reads=reads, columns=2.0, copies=2.0
        )
        assert float(found) != 48.0


def test_instructions_of_t_mac() -> None:
    """128 weights of one bit: 8.25 instructions with NEON, 16 slots with AVX2."""
    assert 128 * instructions_per_mac(1.0, 4.0, 16.0, 4.125) == pytest.approx(8.25)
    assert 128 * instructions_per_mac(1.0, 4.0, 32.0, 16.0) == pytest.approx(16.0)
