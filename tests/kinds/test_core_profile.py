"""Cores and caches under clocks of their own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perfmodel_studies.core_profile import (
    CacheClocks,
    CoreProfile,
    MainMemory,
    miss_seconds,
    profile_seconds,
)

RUN = CoreProfile(
    seconds=10e-3,
    fetches=1e6,
    l2_accesses=1e5,
    l3_accesses=1e4,
    fetch_misses=1e3,
    data_misses=4e3,
    prefetched=1e4,
    clock=4e9,
)
MEMORY = MainMemory(latency=60e-9, bandwidth=12.8e9, parallelism=2.0)
CACHES = CacheClocks(fetch=1.0, refill=2.0, far=10.0, share=0.3)


def test_its_own_clocks_give_the_measured_time() -> None:
    found = profile_seconds(RUN, MEMORY, CACHES, 4e9, 4e9)
    assert found == pytest.approx(10e-3)


def test_misses_set_a_floor_that_no_clock_moves() -> None:
    floor = 1e3 * 60e-9 + 2e3 * 60e-9 + 1e4 * 64 / 12.8e9
    assert miss_seconds(RUN, MEMORY) == pytest.approx(floor)
    assert profile_seconds(RUN, MEMORY, CACHES, 1e18, 1e18) == pytest.approx(floor)


def test_without_misses_both_clocks_scale_everything() -> None:
    run = RUN._replace(fetch_misses=0.0, data_misses=0.0, prefetched=0.0)
    assert profile_seconds(run, MEMORY, CACHES, 40e9, 40e9) == pytest.approx(1e-3)


clocks = st.floats(1e8, 1e12)


@given(clocks, clocks, st.floats(0, 50), st.floats(0, 1), st.floats(1, 8))
def test_a_higher_clock_is_never_slower(
    core: float, cache: float, far: float, share: float, parallelism: float
) -> None:
    law = CacheClocks(fetch=0.5, far=far, share=share)
    memory = MEMORY._replace(parallelism=parallelism)

    def seconds(a: float, b: float) -> float:
        return float(profile_seconds(RUN, memory, law, a, b))

    here = seconds(core, cache)
    assert seconds(core * 2, cache) <= here * (1 + 1e-12)
    assert seconds(core, cache * 2) <= here * (1 + 1e-12)
    assert here >= float(miss_seconds(RUN, memory)) * (1 - 1e-12)


def test_workloads_in_a_row_are_their_members() -> None:
    both = RUN._replace(seconds=np.array([10e-3, 20e-3]))
    found = profile_seconds(both, MEMORY, CACHES, 50e9, 4e9)
    alone = [
        float(profile_seconds(RUN._replace(seconds=s), MEMORY, CACHES, 50e9, 4e9))
        for s in (10e-3, 20e-3)
    ]
    assert found == pytest.approx(alone)
