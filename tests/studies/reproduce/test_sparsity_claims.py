"""Activation sparsity and MLX: bytes over bandwidth by hand, and which claims hold."""

from __future__ import annotations

import pytest
from perfmodel_studies.claims.activation_sparsity import fitted_layer_s

from perfmodel.evaluate import reproduce


def test_a_dense_token_reads_its_weights() -> None:
    found = {row.claim: row for row in reproduce("activation_sparsity")}
    # LLaMA-2-70B: all but the embedding table, two bytes each, and a short cache.
    weights = 68.98e9 - 32000 * 8192
    by_hand = 67.2e9 / (2 * weights)
    assert found["dense_relullama_70b_i9"].predicted == pytest.approx(by_hand, rel=0.005)
    assert found["dense_relullama_70b_i9"].verdict == "within"


def test_a_share_of_the_neurons_by_hand() -> None:
    """LLaMA-2-70B on an A100: attention and classifier whole, 0.4 of the rest, and the host."""
    attention = 80 * (2 * 8192**2 + 2 * 8192 * 1024)
    neurons = 80 * 3 * 8192 * 28672
    read = 2 * (attention + 0.4 * neurons + 32000 * 8192)
    found = {row.claim: row for row in reproduce("activation_sparsity")}
    rate = found["coreinfer_llama_2_70b_a100"].predicted
    kernels = 1 / rate - 80 * fitted_layer_s()
    assert read / 2.039e12 < kernels < read / 1.6e12
    assert found["coreinfer_llama_2_70b_a100"].verdict == "within"


def test_what_is_off_says_so() -> None:
    rows = {r.claim: r.verdict for r in reproduce(["activation_sparsity", "mlx"])}
    assert {name for name, verdict in rows.items() if verdict == "off"} == {
        "coreinfer_opt_6_7b_titan_xp",
        "powerinfer_opt_6_7b_titan_xp",
        "transformers_opt_6_7b_titan_xp",
        "bert_a10",
    }


def test_mlx_by_hand() -> None:
    """BERT on an M1: products at 0.737 of the peak, and 265,000 clocks for each of 12 layers."""
    found = {row.claim: row for row in reproduce("mlx")}["bert_m1"]
    products = 2 * 128 * 12 * (4 * 768**2 + 2 * 768 * 3072)
    floor = products / (0.737 * 2.617e12) + 12 * 265000 / 1.278e9
    assert floor < found.predicted < 1.2 * floor
    assert found.verdict == "within"
