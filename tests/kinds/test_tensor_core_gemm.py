"""Products in tiles and waves: closed forms, a plain loop over the candidates, physics."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.kinds.tensor_core.constants import TensorCoreKernel
from perfmodel.kinds.tensor_core.gemm import SPLITS, TILES, Processor, gemm_times
from tests.draws import draws

MACHINE = Processor(peak=1e15, units=100.0, clock=2e9, bandwidth=3e12, l2_bandwidth=8e12)
CONSTANTS = TensorCoreKernel.constants(
    {
        "launch": 1e-6,
        "peak_share": 0.8,
        "bandwidth_share": 0.9,
        "l2_share": 0.7,
        "reread_share": 0.1,
        "draw_bytes_per_clock": 40.0,
        "blocks_per_unit": 2.0,
        "tile_fill": 3e-7,
        "tile_exponent": 0.4,
        "wave_quantisation": 0.3,
        "split_launch": 2e-6,
        "per_group": 1e-8,
        "pnorm": 4.0,
        "step_clocks": 700.0,
    }
)

extents = st.integers(1, 20_000)


def times(m, n, k, machine=MACHINE, constants=CONSTANTS, groups=1.0, **more):
    moved = 2.0 * groups * (m * k + k * n + m * n)
    return gemm_times(
        m,
        n,
        k,
        machine=machine,
        constants=constants,
        groups=groups,
        moved_bytes=moved,
        left_bytes=2.0,
        right_bytes=2.0,
        **more,
    )


def slow(m, n, k, groups=1.0):
    """Return the time and the choice by a loop over tiles and splits, in plain Python."""
    c, p = CONSTANTS, MACHINE
    moved = 2.0 * groups * (m * k + k * n + m * n)
    found = []
    for rows, columns in TILES:
        for split in SPLITS:
            depth = 64 * math.ceil(k / 64 / split)
            blocks = groups * math.ceil(m / rows) * math.ceil(n / columns) * split
            w = blocks / p.units
            waves = max(1.0, 0.7 * w + 0.3 * math.ceil(w))
            harmonic = min(1.0, rows * columns / (rows + columns) / (128 * 256 / 384))
            rate = 0.8 * p.peak / p.units * harmonic**0.4
            step = max(2 * rows * columns * 64 / rate, 700 / p.clock)
            matrix = waves * (depth / 64 * step + c.tile_fill)
            reads = blocks * depth * 2 * (min(rows, 8 * math.ceil(m / 8)) + columns)
            moves = moved + 0.1 * max(0.0, reads - moved)
            per_row = groups * math.ceil(n / columns) * split
            right = groups * 2.0 * k * n
            first = right + (moved - right) * min(1.0, rows / m)
            drawn = max(first / min(per_row, 200), moved / 200)
            drawn += 0.1 * max(0.0, reads / min(blocks, 200) - drawn)
            dram = moves / (0.9 * p.bandwidth) + drawn / (40 * p.clock)
            l2 = reads / (0.7 * p.l2_bandwidth)
            joined = (matrix**4 + dram**4 + l2**4) ** 0.25
            extra = 0.0
            if split > 1:
                extra = c.split_launch + 8 * split * groups * m * n / (0.7 * p.l2_bandwidth)
            found.append(joined + extra)
    best = int(np.argmin(found))
    quantise = 5.0 * groups * m * k / p.bandwidth
    return c.launch + c.per_group * groups + found[best] + quantise, best


@settings(max_examples=draws(60), deadline=None)
@given(extents, extents, extents, st.integers(1, 64))
def test_it_is_the_best_of_a_loop_over_candidates(m: int, n: int, k: int, groups: int) -> None:
    constants = TensorCoreKernel.constants({**CONSTANTS.stated, "quantise_bytes": 5.0})
    found = times(float(m), float(n), float(k), constants=constants, groups=float(groups))
    wanted, choice = slow(m, n, k, groups)
    assert float(found.total_s) == pytest.approx(wanted, rel=1e-9)
    assert slow(m, n, k, groups)[0] == pytest.approx(wanted)
    if int(found.choice) != choice:  # two candidates alike to rounding
        assert float(found.total_s) == pytest.approx(wanted, rel=1e-9)


@given(st.integers(1, 8), st.integers(1, 8))
def test_whole_waves_of_the_largest_tile_run_at_the_peak(i: int, j: int) -> None:
    """No flaws, no memory: as many 256 x 192 tiles as units give the peak."""
    machine = Processor(peak=1e14, units=float(i * j), clock=1e9, bandwidth=1e30)
    m, n, k = 256.0 * i, 192.0 * j, 6400.0
    found = times(
        m,
        n,
        k,
        machine=machine,
        constants=TensorCoreKernel.constants({"pnorm": 50.0}),
        tiles=((256, 192),),
        splits=(1,),
    )
    assert float(found.total_s) == pytest.approx(2 * m * n * k / 1e14, rel=1e-12)


def test_a_partly_filled_wave_costs_a_whole_one_where_blocks_wait() -> None:
    machine = Processor(peak=1e14, units=10.0, clock=1e9, bandwidth=1e30)
    options = {"machine": machine, "tiles": ((128, 128),), "splits": (1,)}
    hard = TensorCoreKernel.constants({"wave_quantisation": 1.0, "pnorm": 50.0})
    soft = TensorCoreKernel.constants({"wave_quantisation": 0.0, "pnorm": 50.0})
    ten, eleven = (
        float(times(128.0 * b, 128.0, 4096.0, constants=hard, **options).total_s) for b in (10, 11)
    )
    assert eleven == pytest.approx(2.0 * ten)
    assert float(
        times(128.0 * 11, 128.0, 4096.0, constants=soft, **options).total_s
    ) == pytest.approx(1.1 * ten)


parts = st.sampled_from(("peak", "clock", "bandwidth", "l2_bandwidth"))


@given(extents, extents, extents, parts, st.floats(1.0, 16.0))
def test_a_faster_part_is_never_slower(m: int, n: int, k: int, part: str, by: float) -> None:
    faster = MACHINE._replace(**{part: getattr(MACHINE, part) * by})
    before, after = (times(float(m), float(n), float(k), machine=x) for x in (MACHINE, faster))
    assert float(after.total_s) <= float(before.total_s) * (1 + 1e-12)


@given(extents, extents, extents, st.integers(1, 400), st.integers(1, 400))
def test_more_units_of_the_same_kind_are_never_slower(
    m: int, n: int, k: int, few: int, more: int
) -> None:
    each = MACHINE.peak / MACHINE.units
    found: list[float] = []
    for u in sorted((few, few + more)):
        machine = Processor(each * u, float(u), 2e9, 3e12, 8e12)
        found.append(float(times(float(m), float(n), float(k), machine=machine).total_s))
    assert found[1] <= found[0] * (1 + 1e-12)


@given(extents, extents, extents)
def test_no_product_beats_its_memory_or_the_peak(m: int, n: int, k: int) -> None:
    found = times(float(m), float(n), float(k))
    assert float(found.total_s) > 2.0 * m * n * k / (0.8 * MACHINE.peak)
    assert float(found.total_s) > 2.0 * (m * k + k * n + m * n) / (0.9 * MACHINE.bandwidth)


@given(extents, extents, extents, st.integers(1, 50))
def test_a_longer_sum_takes_no_less_time(m: int, n: int, k: int, more: int) -> None:
    before, after = (times(float(m), float(n), float(x)) for x in (k, k + more))
    assert float(after.total_s) >= float(before.total_s) * (1 - 1e-12)


def test_arrays_equal_their_elements() -> None:
    m = np.array([[1.0, 7.0, 300.0], [64.0, 4096.0, 33.0]])
    n = np.array([[512.0], [11000.0]])
    together = times(m, n, 4096.0)
    for i in range(2):
        for j in range(3):
            one = times(float(m[i, j]), float(n[i, 0]), 4096.0)
            for whole, single in zip(together, one, strict=True):
                np.testing.assert_allclose(whole[i, j], single, rtol=1e-12)


def test_a_grouped_product_of_equal_groups_is_a_batch() -> None:
    """As many blocks and bytes: eight groups of M rows, and one of eight times the rows, tiled."""
    options = {"tiles": ((128, 128),), "splits": (1,)}
    grouped = times(256.0, 1024.0, 512.0, groups=8.0, **options)
    assert float(grouped.matrix_s) == pytest.approx(
        float(times(2048.0, 1024.0, 512.0, **options).matrix_s), rel=1e-12
    )


def test_a_power_limit_caps_the_rate() -> None:
    capped = Processor(1e15, 100.0, 2e9, 3e12, 8e12, sustained=2e14)
    found = times(16384.0, 16384.0, 16384.0, machine=capped)
    assert float(found.total_s) == pytest.approx(2 * 16384.0**3 / 2e14, rel=0.01)
