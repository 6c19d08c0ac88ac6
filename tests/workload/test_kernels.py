"""Kernels as workloads: multiply-accumulates and bytes against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError

SIZES = np.array([1.0, 33.0, 4096.0])


def ideal(name: str, **settings: Any) -> Any:
    """Return a prediction under which each byte crosses once: a bare roofline."""
    return pm.predict(
        pm.workload(name, **settings), "h100", precision="bf16", runtime="ideal", model="roofline"
    )


def test_a_product_is_three_matrices() -> None:
    result = ideal("gemm", m=SIZES, n=512, k=256)
    np.testing.assert_allclose(result.macs, SIZES * 512 * 256)
    np.testing.assert_allclose(result.weight_bytes, 2 * 512 * 256)
    traffic = 2 * (SIZES * 256 + 512 * 256 + SIZES * 512)
    np.testing.assert_allclose(result.traffic_bytes["hbm"], traffic)


def test_a_result_may_be_wider_than_its_operands() -> None:
    narrow, wide = (
        pm.predict(
            pm.workload("gemm", m=8, n=512, k=256, **settings),
            "h100",
            precision="fp8",
            runtime="ideal",
            model="roofline",
        ).traffic_bytes["hbm"]
        for settings in ({}, {"output": "bf16"})
    )
    assert (narrow, wide - narrow) == (8 * 256 + 512 * 256 + 8 * 512, 8 * 512)


def test_a_batch_of_products_reads_two_activations() -> None:
    result = ideal("batched_gemm", batch=SIZES, m=64, n=32, k=16)
    np.testing.assert_allclose(result.macs, SIZES * 64 * 32 * 16)
    assert np.all(result.weight_bytes == 0)
    traffic = 2 * SIZES * (64 * 16 + 16 * 32 + 64 * 32)
    np.testing.assert_allclose(result.traffic_bytes["hbm"], traffic)
    assert ideal("bmm", batch=2).macs == ideal("batched_gemm", batch=2).macs


def test_groups_of_rows_have_a_matrix_each() -> None:
    result = ideal("grouped_gemm", rows=SIZES, groups=4, n=32, k=16)
    np.testing.assert_allclose(result.macs, SIZES * 32 * 16)
    traffic = 2 * (SIZES * 16 + 4 * 16 * 32 + SIZES * 32)
    np.testing.assert_allclose(result.traffic_bytes["hbm"], traffic)


@pytest.mark.parametrize(("gated", "matrices"), [(True, 3), (False, 2)])
def test_experts_are_stored_all_and_read_where_tokens_go(gated: bool, matrices: int) -> None:
    tokens = np.array([1.0, 3.0, 64.0])
    result = ideal(
        "moe_experts",
        tokens=tokens,
        width=128,
        ffn_width=64,
        experts=16,
        experts_per_token=2,
        gated=gated,
    )
    np.testing.assert_allclose(result.macs, tokens * 2 * matrices * 128 * 64)
    np.testing.assert_allclose(result.weight_bytes, 2 * 16 * matrices * 128 * 64)
    touched = np.array([2.0, 6.0, 16.0])
    weights = 2 * touched * matrices * 128 * 64
    others = result.traffic_bytes["hbm"] - weights
    # Rows in, the two or one products up, the activation's result, rows out.
    assert np.all(others >= 2 * tokens * 2 * 2 * 128 - 1e-6)
    assert np.all(others <= 2 * tokens * 2 * (2 * 128 + 2 * matrices * 64) + 1e-6)


def test_experts_touched_are_bounded_by_tokens_and_experts() -> None:
    last = 0.0
    stored = 2 * 128 * 3 * 16 * 8
    for tokens in (1, 4, 32, 256, 4096):
        settings = {"tokens": tokens, "width": 16, "ffn_width": 8, "experts": 128}
        skewed, uniform, balanced = (
            pm.workload("moe_experts", experts_per_token=8, routing=r, **settings).active_weights
            for r in ("power_law", "uniform", "balanced")
        )
        assert last <= skewed <= balanced * (1 + 1e-12)
        assert uniform <= balanced * (1 + 1e-12) <= stored / 2 * (1 + 1e-9)
        last = skewed


def test_a_power_law_of_arrays_is_that_of_numbers() -> None:
    settings = {"experts": 64, "experts_per_token": 4, "routing": "power_law", "skew": 1.5}
    many = pm.workload("moe_experts", tokens=SIZES, **settings).active_weights
    single = [pm.workload("moe_experts", tokens=t, **settings).active_weights for t in SIZES]
    np.testing.assert_allclose(many, single, rtol=1e-14)


def test_a_prompt_and_a_step_of_attention() -> None:
    heads: dict[str, int] = {"heads": 8, "kv_heads": 2, "head_dim": 64}
    prompt = ideal("attention_kernel", batch=2, queries=100, keys=300, **heads)
    # A token sees the 200 before the prompt, those of the prompt before it, and itself.
    assert prompt.macs == 2 * 8 * 64 * 2 * (100 * 200 + 100 * 101 / 2)
    full = ideal("attention_kernel", batch=2, queries=100, keys=300, causal=False, **heads)
    assert full.macs == 2 * 8 * 100 * 300 * 64 * 2
    step = ideal("attention_kernel", phase="decode", batch=2, keys=SIZES, **heads)
    np.testing.assert_allclose(step.macs, 2 * 8 * SIZES * 64 * 2)
    np.testing.assert_allclose(step.kv_bytes, 2 * 2 * SIZES * 2 * 2 * 64)
    # Queries and results of eight heads; keys and values of two, read and the new ones stored.
    traffic = 2 * 2 * 64 * (2 * 8 + 2 * 2 * (SIZES + 2))
    np.testing.assert_allclose(step.traffic_bytes["hbm"], traffic)


@pytest.mark.parametrize(
    ("name", "function", "tensors", "weights"),
    [
        ("elementwise", None, 3, 0),
        ("elementwise", "gelu", 2, 0),
        ("elementwise", "scale", 2, 0),
        ("softmax", None, 2, 0),
        ("layer_norm", None, 2, 2),
        ("layer_norm", "rms_norm", 2, 1),
    ],
)
def test_streams_move_their_tensors_once(
    name: str, function: str | None, tensors: int, weights: int
) -> None:
    settings = {} if function is None else {"function": function}
    result = ideal(name, rows=SIZES, width=128, **settings)
    traffic = 2 * 128 * (tensors * SIZES + weights)
    np.testing.assert_allclose(result.traffic_bytes["hbm"], traffic)
    assert np.all(result.macs == 0)


def test_a_convolution_is_its_window_at_every_place() -> None:
    result = ideal(
        "convolution",
        batch=2,
        channels=3,
        height=15,
        width=33,
        filters=8,
        kernel_rows=3,
        kernel_columns=5,
        stride_rows=2,
        stride_columns=1,
        padding_rows=1,
        padding_columns=2,
    )
    assert result.macs == 2 * 8 * 8 * 33 * 3 * 3 * 5


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("moe_experts", {"experts_per_token": 9}, "cannot go to 9 of 8 experts"),
        ("moe_experts", {"routing": "balancd"}, "did you mean 'balanced'"),
        ("attention_kernel", {"kv_heads": 3}, "do not divide by 3"),
        ("attention_kernel", {"phase": "decode", "queries": 2}, "free in another phase"),
        ("elementwise", {"function": "gelo"}, "did you mean 'gelu'"),
        ("gemm", {"batch": 2}, "has no setting 'batch'"),
    ],
)
def test_a_kernel_that_is_none_says_why(name: str, settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        pm.workload(name, **settings)
