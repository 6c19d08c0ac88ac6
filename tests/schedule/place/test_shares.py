"""Percentages as whole layers, and the cost of a block schedule."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perfmodel_studies.placement import (
    BlockModel,
    BlockPolicy,
    BlockRates,
    block_schedule,
    percentages,
)

from perfmodel.errors import InputError


def test_equal_layers() -> None:
    split = percentages(48, (20, 80, 0))
    assert len(split.layers["gpu"]) == 10
    assert split.layers["disk"] == ()
    assert split.achieved == pytest.approx((10 / 48, 38 / 48, 0.0))
    assert split.worst_error == pytest.approx(10 / 48 - 0.2)
    assert sum(split.achieved) == pytest.approx(1.0)
    assert sum(split.errors) == pytest.approx(0.0, abs=1e-12)
    assert split.to_dict()["layers"]["gpu"] == list(range(10))


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=9),
    st.lists(st.integers(0, 50), min_size=1, max_size=4).filter(lambda s: sum(s) > 0),
)
def test_no_cut_is_nearer(sizes: list[int], weights: list[int]) -> None:
    shares = [100.0 * w / sum(weights) for w in weights]
    names = [f"level{i}" for i in range(len(shares))]
    split = percentages(sizes, shares, names)
    held = [i for name in names for i in split.layers[name]]
    assert held == list(range(len(sizes)))
    total = sum(sizes)
    best = min(
        max(
            abs(sum(sizes[a:b]) / total - share / 100.0)
            for (a, b), share in zip(
                itertools.pairwise((0, *cuts, len(sizes))), shares, strict=True
            )
        )
        for cuts in itertools.combinations_with_replacement(range(len(sizes) + 1), len(shares) - 1)
    )
    assert split.worst_error == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize(
    ("sizes", "shares"),
    [(0, (100,)), (4, (50, 40)), (4, (120, -20)), ([1.0, 0.0], (50, 50)), (4, (25, 25, 25, 25))],
)
def test_what_is_no_share_is_refused(sizes: int | list[float], shares: tuple[float, ...]) -> None:
    with pytest.raises(InputError):
        percentages(sizes, shares)


RATES = BlockRates(12e9, 12e9, 2e9, 1e9, 65e12, 65e12, 60e9)
OPT_30B = BlockModel.dense(48, 7168, 28672)


def test_bytes_of_a_layer_are_those_of_the_model() -> None:
    import perfmodel as pm

    model = pm.workload("opt_30b", phase="decode")
    layers = 48 * OPT_30B.weight_bytes / 2.0
    # Embeddings, positions, norms and biases are not in the layer's matrices.
    assert layers == pytest.approx(float(model.weights), rel=0.03)
    kv = pm.predict(model, "a100", precision="fp16").kv_bytes
    assert 48 * OPT_30B.kv_bytes * 1024 == pytest.approx(float(kv), rel=1e-12)


def test_everything_on_the_gpu_is_arithmetic() -> None:
    done = block_schedule(OPT_30B, BlockPolicy(4, 2), RATES, 512, 32)
    moved = [
        v
        for terms in (done.prefill_terms, done.decode_terms)
        for name, v in terms.items()
        if name != "compute"
    ]
    assert moved == [0.0] * 8
    flops = 48 * 8 * (512 * OPT_30B.token_flops + 512**2 * OPT_30B.key_flops)
    assert done.prefill_s == pytest.approx(flops / 65e12, rel=1e-12)


def test_weights_on_the_host_are_the_link() -> None:
    """One sequence: a token takes as long as its weights take over the link."""
    policy = BlockPolicy(1, 1, weights=(0.0, 1.0, 0.0))
    done = block_schedule(OPT_30B, policy, RATES, 512, 32)
    assert done.decode_s == pytest.approx(48 * OPT_30B.weight_bytes / 12e9, rel=1e-12)
    assert done.total_s == pytest.approx(done.prefill_s + 31 * done.decode_s, rel=1e-12)
    # A block shares them: ten sequences take hardly longer than one.
    ten = block_schedule(OPT_30B, BlockPolicy(2, 5, (0.0, 1.0, 0.0)), RATES, 512, 32)
    assert ten.tokens_per_s == pytest.approx(10 * done.tokens_per_s, rel=0.2)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.sampled_from(["to_device", "from_disk"]))
def test_slower_transfers_never_help(gpu: float, disk: float, name: str) -> None:
    rest = 1.0 - gpu
    policy = BlockPolicy(8, 4, (gpu, rest * (1 - disk), rest * disk), (0.0, 1.0, 0.0))
    slow = BlockRates(
        **{**{n: getattr(RATES, n) for n in BlockRates.__slots__}, name: getattr(RATES, name) / 3}
    )
    fast = block_schedule(OPT_30B, policy, RATES, 512, 32).total_s
    assert block_schedule(OPT_30B, policy, slow, 512, 32).total_s >= fast


def test_arrays_are_singles() -> None:
    batches = np.array([1.0, 4.0, 16.0])
    policy = BlockPolicy(4, batches, (0.2, 0.5, 0.3), (0.0, 0.5, 0.5), (0.0, 1.0, 0.0), True)
    many = block_schedule(OPT_30B, policy, RATES, 512, 32).tokens_per_s
    for i, count in enumerate(batches):
        one = BlockPolicy(4, float(count), (0.2, 0.5, 0.3), (0.0, 0.5, 0.5), (0.0, 1.0, 0.0), True)
        single = block_schedule(OPT_30B, one, RATES, 512, 32)
        assert many[i] == pytest.approx(single.tokens_per_s, rel=1e-12)
