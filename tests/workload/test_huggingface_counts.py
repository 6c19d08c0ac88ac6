"""Configs of published models against the counts of the classes of transformers, to the last one.

The counts lie in ``huggingface_counts.yaml`` with their versions; where a class counts more than
the model here, the difference is written there, exact and with its reason.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from perfmodel import hardware, predict
from perfmodel.workload.library import find
from perfmodel.workload.lower import lower
from perfmodel.workload.symbols import constant
from perfmodel.workload.workload import Workload
from tests.offenders import each

DATA = Path(__file__).parent.parent / "data"
COUNTS: dict[str, Any] = yaml.safe_load((DATA / "huggingface_counts.yaml").read_text())
SHAPES: dict[str, Any] = yaml.safe_load((DATA / "huggingface_shapes.yaml").read_text())
RUNS = [(name, run) for name, counts in COUNTS.items() for run in counts.get("runs", [])]


@cache
def model(name: str) -> Workload:
    return find(DATA / "huggingface" / f"{name}.config.json")


def bound(name: str, **settings: Any) -> Workload:
    return find(DATA / "huggingface" / f"{name}.config.json", settings)


def stored(w: Workload, *slots: str) -> float:
    held = lower(w.graph()).bind(w.parameters).stored
    return sum(float(np.sum(held[slot])) for slot in slots if slot in held)


@each("name", COUNTS)
def test_parameters(name: str) -> None:
    counted = COUNTS[name]["params"]
    assert model(name).weights == counted["count"] - counted.get("more", 0)


@each("name, run", RUNS)
def test_products(name: str, run: dict[str, Any]) -> None:
    assert bound(name, **run["set"]).macs == run["macs"] - run.get("more", 0)


@each("name", SHAPES)
def test_every_matrix_is_there(name: str) -> None:
    """Tensor by tensor: as many of each shape as the class has."""
    graph = model(name).graph()
    found = Counter[str]()
    for tensor, times in graph.stored_weights().items():
        weight = graph.tensors[tensor]
        extents = sorted(int(n) for d in weight.shape if (n := constant(d) or 0) != 1)
        if weight.tag != "vector" and len(extents) > 1:
            found["x".join(map(str, extents))] += int(constant(times) or 0)
    assert found == SHAPES[name]


def test_a_difference_has_its_reason() -> None:
    entries = [c["params"] for c in COUNTS.values()] + [run for _, run in RUNS]
    assert all(("more" in entry) == ("why" in entry) for entry in entries)
    # No product is counted here that the class does not make.
    assert all(run.get("more", 1) > 0 for _, run in RUNS)


# Parameters that others state of models without a class in transformers.
RECURRENT = {
    # arXiv 2503.14456, table of released models; also the tensors of the checkpoints.
    "rwkv_7_0_1b": 191_034_624,
    "rwkv_7_1_5b": 1_527_404_544,
}


@pytest.mark.parametrize("name", RECURRENT)
def test_parameters_of_rwkv_7(name: str) -> None:
    assert model(name).weights == RECURRENT[name]


@pytest.mark.parametrize(("name", "each"), [("rwkv_5_1_5b", 14), ("rwkv_6_1_6b", 464)])
def test_parameters_of_eagle_and_finch(name: str, each: int) -> None:
    """Peng et al. 2024, arXiv 2404.05892, appendix: 2 D V + 13 D^2 L + D (each L + 4)."""
    d, v, layers = 2048, 65_536, 24
    assert model(name).weights == 2 * d * v + 13 * d**2 * layers + d * (each * layers + 4)


def test_smallthinker_has_the_size_of_its_checkpoint() -> None:
    """21.507 billion: the size that the checkpoint's index states, at two bytes each."""
    d, ffn, experts, layers, vocabulary = 2560, 768, 64, 52, 151_936
    attention = 2 * d * 28 * 128 + 2 * d * 4 * 128
    layer = attention + experts * (3 * d * ffn + d) + 2 * d
    assert model("smallthinker_21b_a3b").weights == layers * layer + 2 * vocabulary * d + d
    assert model("smallthinker_21b_a3b").weights == pytest.approx(21.507e9, abs=5e5)


# memory of what came before


def test_smallthinker_keeps_a_window_in_three_of_four_layers() -> None:
    w = bound("smallthinker_21b_a3b", phase="decode", context=10_000)
    assert stored(w, "kv") == 2 * 4 * 128 * (39 * 4096 + 13 * 10_000)
    small = bound("smallthinker_4b_a0_6b", phase="decode", context=10_000)
    assert stored(small, "kv") == 2 * 2 * 128 * 32 * 10_000


def test_falcon_keeps_one_head_or_a_group() -> None:
    seven = bound("falcon_7b", phase="decode", context=1000)
    assert stored(seven, "kv") == 2 * 64 * 32 * 1000
    forty = bound("falcon_40b", phase="decode", context=1000)
    assert stored(forty, "kv") == 2 * 8 * 64 * 60 * 1000


@pytest.mark.parametrize(
    ("name", "each", "layers"),
    [
        ("rwkv_4_169m", 3 * 768 + 2 * 768, 12),
        # A matrix of 64 x 64 for each head, and the last token of either mixing.
        ("rwkv_5_1_5b", 32 * 64 * 64 + 2 * 2048, 24),
        ("rwkv_7_1_5b", 32 * 64 * 64 + 2 * 2048, 24),
        ("mamba2_2_7b", 80 * 64 * 128 + 4 * (5120 + 256), 64),
        ("falcon_mamba_7b", 8192 * 16 + 4 * 8192, 64),
    ],
)
def test_a_state_has_a_fixed_size(name: str, each: int, layers: int) -> None:
    for context in (10, 100_000):
        w = bound(name, phase="decode", context=context)
        assert stored(w, "state") == each * layers
        assert w.macs == model(name).macs


def test_moonshine_keeps_its_audio_and_its_text() -> None:
    w = bound("moonshine_tiny", phase="decode", seconds=10, context=10)
    assert stored(w, "kv") == 2 * 288 * 6 * (415 + 10)


def test_gemma_3n_keeps_nothing_for_layers_that_read_others() -> None:
    w = bound("gemma_3n_e2b", phase="decode", context=10_000)
    # 20 of 30 layers have keys and values: 16 of them a window, 4 everything.
    assert stored(w, "kv") == 2 * 2 * 256 * (16 * 512 + 4 * 10_000)
    request = bound("gemma_3n_e2b", phase="request", prompt=9_000, generate=1_000)
    assert stored(request, "kv") == 2 * 2 * 256 * (16 * 512 + 4 * 10_000)


def test_falcon_h1_keeps_both() -> None:
    for context in (100, 1000):
        w = bound("falcon_h1_0_5b", phase="decode", context=context)
        assert stored(w, "kv") == 2 * 2 * 64 * 36 * context
        assert stored(w, "state") == 36 * (24 * 64 * 128 + 4 * (1536 + 2 * 128))


def test_t5_keeps_the_source_and_the_target() -> None:
    w = bound("t5_small", phase="decode", source=50, context=10)
    assert stored(w, "kv") == 2 * 512 * 6 * (50 + 10)


def test_modernbert_looks_near_in_two_of_three_layers() -> None:
    """Beyond a window of 129 tokens, 14 of 22 layers compare a token with no more."""
    tokens = 4096
    dense = (bound("modernbert_base", tokens=100).macs - 22 * 2 * 768 * 100**2) / 100
    pairs = tokens * (14 * 129 + 8 * tokens)
    expected = dense * tokens + 2 * 768 * pairs
    assert bound("modernbert_base", tokens=tokens).macs == pytest.approx(expected, rel=1e-12)


# physics

PHASED = [
    "falcon_7b",
    "phi_4_mini",
    "smallthinker_21b_a3b",
    "mamba2_2_7b",
    "rwkv_7_1_5b",
    "gemma_3n_e2b",
    "falcon_h1_0_5b",
]


@given(st.sampled_from(PHASED), st.integers(2, 5000), st.integers(1, 3000))
def test_a_longer_prompt_never_needs_fewer_products(name: str, prompt: int, more: int) -> None:
    w = bound(name, phase="prefill", prompt=np.array([prompt, prompt + more], float))
    shorter, longer = np.asarray(w.macs)
    assert longer > shorter


@given(st.sampled_from([*PHASED, "moonshine_tiny"]), st.integers(1, 64))
def test_a_batch_is_so_many_singles(name: str, batch: int) -> None:
    w = bound(name, batch=np.array([1.0, batch]))
    one, many = np.asarray(w.macs)
    assert many == pytest.approx(batch * one, rel=1e-12)


@given(st.floats(0.1, 60), st.floats(0, 60))
def test_longer_audio_never_needs_fewer_products(seconds: float, more: float) -> None:
    w = bound("moonshine_tiny", phase="encode", seconds=np.array([seconds, seconds + more]))
    shorter, longer = np.asarray(w.macs)
    assert longer >= shorter > 0


@given(st.floats(0.01, 0.99), st.integers(1, 200))
def test_neurons_at_zero_are_not_read(live: float, batch: int) -> None:
    settings: dict[str, Any] = {"phase": "decode", "batch": batch}
    dense = bound("smallthinker_4b_a0_6b", **settings)
    sparse = bound("smallthinker_4b_a0_6b", **settings, **{"experts.live": live})
    assert sparse.weights == dense.weights
    # The gate is a third of an expert; of the other two matrices a token multiplies its share.
    experts = 32 * batch * 4 * 3 * 1536 * 768
    assert dense.macs - sparse.macs == pytest.approx(2 / 3 * (1 - live) * experts, rel=1e-9)
    read = sparse.number(sparse.graph().active_weight_elements)
    whole = dense.number(dense.graph().active_weight_elements)
    touched = whole - dense.weights + 32 * 32 * 3 * 1536 * 768  # of all experts, on average
    assert whole - read == pytest.approx(
        2 / 3 * touched * (1 - live) ** max(1, batch * 4 / 32), rel=1e-3, abs=1e4
    )


@pytest.mark.parametrize("name", ["moonshine_tiny", "whisper_tiny", "t5_small"])
def test_the_first_token_waits_for_the_encoder(name: str) -> None:
    board = hardware("raspberry_pi_5")
    p = predict(find(name, {"generate": 10}), board)
    encoder = predict(find(name, {"phase": "encode"}), board)
    assert p.ttft_s > encoder.latency_s
    assert p.ttft_s + 10 * p.tpot_s == pytest.approx(p.latency_s, rel=1e-9)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 16))
def test_towers_add_up(images: int, texts: int, tokens: int) -> None:
    """Images and texts are independent but for their products of 512 elements."""
    both = bound("clip_vit_b_32", batch=images, texts=texts, tokens=tokens).macs
    one = bound("clip_vit_b_32", batch=1, texts=1, tokens=tokens).macs
    two = bound("clip_vit_b_32", batch=2, texts=1, tokens=tokens).macs
    image = two - one - 512
    text = one - image - 512
    assert both == images * image + texts * text + images * texts * 512
