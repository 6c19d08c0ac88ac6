"""Fused and unfused attention beside a count of every block of every size."""

import math

import numpy as np
import pytest

from perfmodel.cost.traffic.closed_forms import attention_traffic
from perfmodel.cost.traffic.closed_forms.attention import FORMS
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase
from tests.draws import draws

STATE = 8


def query_outer(rows, keys, sharing, tile, key_tile, causal):
    """Keys that all blocks of queries read, block by block; `tile` is (positions, heads)."""
    positions, heads = tile
    past, read = keys - rows, 0
    for _ in range(0, sharing, heads):
        for start in range(0, rows, positions):
            last = min(rows, start + positions)
            read += past + last if causal else keys
    return read


def key_outer(rows, keys, tile, causal):
    """How many blocks of keys each position meets."""
    past, met = keys - rows, [0] * rows
    for start in range(0, keys, tile):
        for i in range(rows):
            met[i] += not causal or past + i >= start
    return met


def brute(rows, keys, head, value_head, sharing, capacity, widths, causal, double):
    """The least traffic over all blocks of both loop orders."""
    query, key, value, output, accumulator, score = widths
    row = head * query + value_head * accumulator + STATE
    pair = head * key + value_head * value
    lines, best = sharing * rows, math.inf
    tiles = [(p, h) for h in range(1, sharing + 1) for p in range(1, rows + 1)]
    if not causal:  # rows of all heads are alike: blocks need not be rectangles
        tiles, keep = [(t, 1) for t in range(1, lines + 1)], (lines, 1)
    else:
        keep = (rows, sharing)
    for tile in tiles:
        t = tile[0] * tile[1]
        # The operand that changes at the innermost loop with more than one step is held twice.
        if keys > 1:
            held = t * row + (2 if double else 1) * pair + t * score
        elif t == lines:
            held = t * row + pair + t * score
        else:
            continue
        if held <= capacity:
            read = query_outer(
                *((keep[0], keys, keep[1]) if not causal else (rows, keys, sharing)),
                tile,
                1,
                causal,
            )
            best = min(best, lines * (head * query + value_head * output) + read * pair)
    for t in range(1, keys + 1):
        if double and lines == 1:
            continue
        if t * pair + (2 if double else 1) * row + t * score <= capacity:
            moved = keys * pair
            for met in key_outer(rows, keys, t, causal):
                once = met * head * query + value_head * output
                again = 2 * (met - 1) * (value_head * accumulator + STATE)
                moved += sharing * (once + again)
            best = min(best, moved)
    return best


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("buffering", ["single", "double"])
def test_fused_equals_every_block_counted(causal, buffering):
    rng = np.random.default_rng(21)
    problems, exact = [], []
    for _ in range(draws(300)):
        keys = int(rng.integers(1, 60))
        rows = int(rng.integers(1, keys + 1)) if causal else int(rng.integers(1, 70))
        rows = 1 if rng.random() < 0.1 else rows
        head, value_head = (int(x) for x in rng.choice([2, 4, 8, 16], 2))
        sharing = int(rng.integers(1, 9))
        widths = *rng.choice([0.5, 1.0, 2.0], 4), rng.choice([2.0, 4.0]), rng.choice([2.0, 4.0])
        capacity = float(np.floor(np.exp(rng.uniform(np.log(40), np.log(6000)))))
        problem = (rows, keys, head, value_head, sharing, capacity)
        problems.append((*problem, *widths))
        exact.append(brute(*problem, widths, causal, buffering == "double"))
    rows, keys, head, value_head, sharing, capacity, q, k, v, o, acc, score = np.array(problems).T
    found = attention_traffic(
        rows,
        keys,
        head,
        value_head,
        capacity,
        sharing=sharing,
        query=q,
        key=k,
        value=v,
        output=o,
        accumulator=acc,
        score=score,
        causal=causal,
        conventions=Conventions(buffering=buffering),
    )
    assert {*np.array(FORMS)[found.form]} == {"query outer", "key outer"}
    assert np.isinf(exact).any()
    np.testing.assert_allclose(found.total, exact, rtol=1e-12)
    fits = np.isfinite(found.total)
    parts = found.query + found.key + found.value + found.output
    np.testing.assert_allclose(parts[fits], found.total[fits])
    assert np.all(found.partial_reads[fits] <= found.output[fits] / 2)


def test_decode_reads_the_cache_once_for_all_heads_that_share_it():
    context = np.array([1.0, 128.0, 8192.0, 131072.0])
    found = attention_traffic(
        1,
        context,
        128,
        128,
        256e3,
        sharing=4,
        heads=8,
        query=2,
        key=1,
        value=0.5,
        output=2,
        causal=True,
    )
    np.testing.assert_array_equal(found.key, 8 * context * 128)
    np.testing.assert_array_equal(found.value, 8 * context * 64)
    np.testing.assert_array_equal(found.query, 32 * 256.0)
    np.testing.assert_array_equal(found.output, 32 * 256.0)


def test_properties():
    capacity = np.geomspace(1e3, 1e9, 120)
    for causal in (False, True):
        for rows, keys, sharing in ((2048, 2048, 1), (512, 4096, 8), (1000, 1000, 3)):
            found = attention_traffic(
                rows, keys, 128, 128, capacity, sharing=sharing, causal=causal
            )
            finite = found.total[np.isfinite(found.total)]
            assert len(finite) > 100
            assert np.all(np.diff(finite) <= 0)
            compulsory = 2 * 256 * (sharing * rows + keys)
            assert np.all(finite >= compulsory)
            assert finite[-1] == compulsory
            alone = attention_traffic(rows, keys, 128, 128, capacity, causal=causal)
            shared = attention_traffic(
                rows, keys, 128, 128, capacity, sharing=sharing, causal=causal
            )
            # Sharing reads keys and values for all heads at once, never more often than alone.
            both = np.isfinite(alone.total)
            assert np.all(shared.total[both] <= sharing * alone.total[both] * (1 + 1e-12))


def test_a_mask_halves_what_small_blocks_read():
    free, masked = (
        attention_traffic(8192, 8192, 64, 64, 100e3, causal=c, conventions=Conventions())
        for c in (False, True)
    )
    rest = 8192 * 64 * 4
    assert (masked.total - rest) / (free.total - rest) == pytest.approx(0.5, abs=0.03)


def test_traffic_falls_as_the_capacity_rises():
    """FlashAttention's Theta(N^2 d^2 / C) accesses while d <= C <= N d (arXiv:2205.14135)."""
    n, d = 2.0**16, 64.0
    capacity = np.geomspace(2e4, 1e6, 20)
    found = attention_traffic(n, n, d, d, capacity, conventions=Conventions(buffering="single"))
    slope = np.polyfit(np.log(capacity), np.log(found.total), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)
    accesses = found.total / 2
    ratio = accesses / (n**2 * d**2 / (capacity / 2))
    assert np.all((ratio > 1) & (ratio < 8))


def test_unfused_is_two_products_and_the_passes_between():
    capacity = 64e3
    found = attention_traffic(
        96,
        160,
        32,
        48,
        capacity,
        sharing=2,
        heads=3,
        query=2,
        key=1,
        value=1,
        output=2,
        accumulator=4,
        score=2,
        fused=False,
        score_passes=2,
    )
    first = staircase(
        TileNest(out_rows=192, out_channels=160, in_channels=32), Widths(2, 1, 2, 4)
    ).parts(capacity)
    second = staircase(
        TileNest(out_rows=192, out_channels=48, in_channels=160), Widths(2, 1, 2, 4)
    ).parts(capacity)
    scores = 192 * 160 * 2
    assert found.query == 3 * first.input
    assert found.key == 3 * first.weight
    assert found.value == 3 * second.weight
    assert found.output == 3 * second.output
    assert found.scores == 3 * (first.output + 2 * 2 * scores + second.input)
    assert found.total == found.query + found.key + found.value + found.output + found.scores
    fused = attention_traffic(
        96, 160, 32, 48, capacity, sharing=2, heads=3, query=2, key=1, value=1, score=2
    )
    assert fused.total < found.total


def test_relaxed_is_near_whole_blocks_and_hardly_above():
    rng = np.random.default_rng(22)
    keys = np.floor(np.exp(rng.uniform(0, np.log(8192), 4000)))
    rows = np.ceil(keys * rng.uniform(0, 1, 4000))
    sharing = rng.integers(1, 9, 4000)
    capacity = np.exp(rng.uniform(np.log(3e3), np.log(1e6), 4000))
    for causal in (False, True):
        whole, relaxed = (
            attention_traffic(
                rows, keys, 64, 64, capacity, sharing=sharing, causal=causal, relaxed=r
            ).total
            for r in (False, True)
        )
        fits = np.isfinite(whole)
        ratio = relaxed[fits] / whole[fits]
        assert ratio.max() < (1.05 if causal else 1 + 1e-12)
        # A count just above one is two where whole, and heads and positions both have counts.
        assert ratio.min() > 0.25
        assert abs(np.median(ratio) - 1) < 0.03


@pytest.fixture
def jax():
    module = pytest.importorskip("jax", reason="slopes need JAX: pip install 'perfmodel[jax]'")
    before = module.config.jax_enable_x64
    module.config.update("jax_enable_x64", True)
    yield module
    module.config.update("jax_enable_x64", before)


def test_relaxed_has_slopes(jax):
    def total(rows, keys, head, capacity, bits):
        return attention_traffic(
            rows, keys, head, head, capacity, sharing=4, key=bits, causal=True, relaxed=True
        ).total

    point = (1000.0, 3000.0, 64.0, 1e5, 0.5)
    for i, slope in enumerate(jax.jit(jax.grad(total, argnums=(0, 1, 2, 3, 4)))(*point)):
        step = np.zeros(5)
        step[i] = point[i] * 1e-6
        up, down = (total(*(np.array(point) + s)) for s in (step, -step))
        np.testing.assert_allclose(slope, (up - down) / (2 * step[i]), rtol=1e-4, atol=1e-3)
