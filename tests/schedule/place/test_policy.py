"""Shares of a block schedule: no grid of shares is better, memories hold, whole layers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perfmodel_studies.placement import (
    BlockModel,
    BlockPolicy,
    BlockRates,
    best_policy,
    block_schedule,
    needed_bytes,
)

from perfmodel.errors import InputError
from tests.draws import draws

GIB = 2.0**30
MODEL = BlockModel.dense(8, 4096, 16384)
RATES = BlockRates(12e9, 6e9, 2e9, 1e9, 40e12, 20e12, 50e9, 10e12, 1e12)
STEPS = [s for s in itertools.product(np.linspace(0, 1, 6), repeat=3) if abs(sum(s) - 1) < 1e-9]


@settings(max_examples=draws(12))
@given(
    st.floats(0.5, 6.0),
    st.floats(0.5, 20.0),
    st.floats(0.0, 60.0),
    st.sampled_from([64, 512]),
    st.booleans(),
)
def test_no_grid_of_shares_is_better(
    gpu: float, host: float, disk: float, prompt: int, on_host: bool
) -> None:
    room = (gpu * GIB, host * GIB, disk * GIB)
    found = best_policy(MODEL, RATES, room, prompt, 16, batches=[(8, 2)], attention_on_host=on_host)
    best = 0.0
    for weights, kv, hidden in itertools.product(STEPS, STEPS, STEPS[::5]):
        policy = BlockPolicy(8, 2, weights, kv, hidden, on_host)
        held = needed_bytes(MODEL, policy, prompt, 16)
        if all(size <= have for size, have in zip(held, room, strict=True)):
            times = block_schedule(MODEL, policy, RATES, prompt, 16)
            best = max(best, float(times.tokens_per_s))
    if found is None:
        return  # whole layers may not fit where shares do
    assert best <= found.bound_tokens_per_s * (1 + 1e-6)
    assert float(found.times.tokens_per_s) <= found.bound_tokens_per_s * (1 + 1e-6)
    assert sum(found.layers) == 8
    for size, have in zip(found.needed_bytes, room, strict=True):
        assert size <= have * (1 + 1e-6)
    for shares in (found.policy.weights, found.policy.kv, found.policy.hidden):
        assert sum(shares) == pytest.approx(1.0, abs=1e-6)


def test_more_memory_gives_more_tokens() -> None:
    """Of the shares; whole layers may lose a little of what was gained."""
    blocks = [(batch, count) for batch in (1, 4, 16) for count in (1, 4)]
    found = [
        best_policy(MODEL, RATES, (gpu * GIB, 8 * GIB, 100 * GIB), 512, 32, batches=blocks)
        for gpu in (0.7, 1.5, 3.0, 6.0, 24.0)
    ]
    rates = [f.bound_tokens_per_s for f in found if f is not None]
    assert len(rates) >= 4
    assert rates == sorted(rates)


def test_where_all_fits_nothing_moves() -> None:
    found = best_policy(MODEL, RATES, (1000 * GIB, 0.0, 0.0), 512, 32, batches=[(4, 1)])
    assert found is not None
    assert found.layers == (8, 0, 0)
    assert found.needed_bytes[1:] == (0.0, 0.0)
    times = block_schedule(MODEL, BlockPolicy(4, 1), RATES, 512, 32)
    assert float(found.times.tokens_per_s) == pytest.approx(float(times.tokens_per_s), rel=1e-6)
    assert found.bound_tokens_per_s == pytest.approx(float(times.tokens_per_s), rel=1e-6)


def test_bytes_of_a_policy_by_hand() -> None:
    """OPT-175B as FlexGen ran it at 512: half of the weights on the host, the cache on the disk."""
    model = BlockModel.dense(96, 12288, 4 * 12288)
    policy = BlockPolicy(32, 8, (0.0, 0.5, 0.5), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), True)
    gpu, host, disk = needed_bytes(model, policy, 512, 32)
    weights = 96 * (8 * 12288**2 + 4 * 12288 * 4 * 12288)
    cache = 96 * 4 * 12288 * 256 * 544
    assert disk == pytest.approx(weights / 2 + cache, rel=1e-12)
    assert disk < 1500 * GIB
    assert host == pytest.approx(
        weights / 2 + weights / 96 + 2 * 12288 * 512 * (256 + 32), rel=1e-12
    )
    assert host < 204 * GIB
    assert gpu < 15 * GIB


def test_faults_are_told() -> None:
    with pytest.raises(InputError, match="three sizes"):
        best_policy(MODEL, RATES, (1.0, 2.0), 512, 32)
    with pytest.raises(InputError, match=r"rates\.from_disk"):
        best_policy(MODEL, BlockRates(1, 1, 0, 1, 1, 1, 1), (1.0, 2.0, 3.0), 512, 32)
    assert best_policy(MODEL, RATES, (1e6, 1e6, 1e6), 512, 32) is None
