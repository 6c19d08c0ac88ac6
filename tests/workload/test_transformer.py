"""Transformers: work, weights and cache against closed forms, by phase."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.specfile import validate
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.library import find
from perfmodel.workload.lower import lower
from perfmodel.workload.sequence_builder import attended_pairs
from perfmodel.workload.symbols import evaluate
from perfmodel.workload.transformer import (
    FAMILY_TRANSFORMER,
    TransformerStructure,
)
from perfmodel.workload.workload import Workload, from_family

SMALL: dict[str, Any] = {
    "layers": 3,
    "width": 64,
    "heads": 8,
    "kv_heads": 2,
    "ffn_width": 96,
    "vocabulary": 101,
}
LATENT = {"query_rank": 24, "rank": 16, "plain_dim": 8, "rope_dim": 4, "value_dim": 12}
EXPERTS = {"count": 16, "per_token": 2, "ffn_width": 40}


def model(settings: dict[str, float] | None = None, **structure: Any) -> Workload:
    made = validate(TransformerStructure, SMALL | structure)
    return from_family("net", FAMILY_TRANSFORMER, made, settings or {})


def kv_elements(workload: Workload) -> float:
    table = lower(workload.graph()).bind(
        workload.parameters, workload.shape[0] if workload.shape else 1
    )
    return float(np.sum(table.stored["kv"]))


def total(workload: Workload, column: str) -> float:
    table = lower(workload.graph()).bind(workload.parameters)
    return float(np.sum(np.asarray(getattr(table, column)) * np.asarray(table.count)))


def matrices(s: dict[str, Any]) -> int:
    """Weights of the matrices of one layer."""
    size = s["width"] // s["heads"]
    kv = s.get("kv_heads", s["heads"]) * size
    ffn = 3 * s["width"] * s["ffn_width"]
    return 2 * s["width"] ** 2 + 2 * s["width"] * kv + ffn


@pytest.mark.parametrize(("batch", "context"), [(1, 1), (3, 17), (8, 1000)])
def test_decode_multiplies_each_matrix_once_a_sequence(batch: int, context: int) -> None:
    w = model({"batch": batch, "context": context})
    head = SMALL["width"] * SMALL["vocabulary"]
    attention = 2 * SMALL["width"] * context
    assert w.macs == batch * (SMALL["layers"] * (matrices(SMALL) + attention) + head)
    assert w.items() == batch


@pytest.mark.parametrize(("batch", "prompt"), [(1, 2), (4, 33)])
def test_prefill_multiplies_once_a_token_and_scores_the_last(batch: int, prompt: int) -> None:
    w = model({"batch": batch, "prompt": prompt}, phase="prefill")
    head = SMALL["width"] * SMALL["vocabulary"]
    layer = prompt * matrices(SMALL) + 2 * SMALL["width"] * prompt**2
    assert w.macs == batch * (SMALL["layers"] * layer + head)
    every = w.graph(ExecutionSemantics(head_on_every_token=True))
    assert w.number(every.macs) - w.macs == batch * (prompt - 1) * head
    # The mask voids all but prompt (prompt + 1) / 2 pairs a head.
    pairs = batch * SMALL["layers"] * SMALL["heads"] * (prompt**2 - prompt * (prompt + 1) / 2)
    assert total(w, "masked_macs") == pytest.approx(pairs * 2 * 8, rel=1e-12)


def test_a_request_is_its_prefill_and_every_decode_step() -> None:
    prompt, generate = 20, 7
    whole = model({"batch": 2, "prompt": prompt, "generate": generate}, phase="request")
    first = model({"batch": 2, "prompt": prompt}, phase="prefill")
    steps = [model({"batch": 2, "context": prompt + i + 1}).macs for i in range(generate)]
    assert whole.macs == first.macs + sum(steps)
    assert whole.weights == first.weights
    assert kv_elements(whole) == kv_elements(model({"batch": 2, "context": prompt + generate}))


@pytest.mark.parametrize("kv_heads", [1, 2, 8])
def test_the_cache_holds_two_vectors_a_layer_and_token(kv_heads: int) -> None:
    w = model({"batch": 5, "context": 300}, kv_heads=kv_heads)
    assert kv_elements(w) == 2 * SMALL["layers"] * 5 * 300 * kv_heads * 8


def test_cache_of_llama_3_8b() -> None:
    w = find("llama_3_8b", {"phase": "decode", "batch": 4, "context": 8192})
    assert kv_elements(w) == 2 * 32 * 4 * 8192 * 8 * 128


def test_windows_limit_the_cache_and_the_attention_of_their_layers() -> None:
    w = model({"context": 500}, layers=7, window=64, full_every=3)
    per_token = 2 * 2 * 8
    assert kv_elements(w) == per_token * (5 * 64 + 2 * 500)
    full = model({"context": 500}, layers=7)
    assert full.macs - w.macs == 5 * 2 * SMALL["width"] * (500 - 64)
    counted = model({"context": 500}, layers=7, window=64, full_layers=2)
    assert counted.macs == w.macs
    everywhere = model({"context": 500}, layers=7, window=64)
    assert kv_elements(everywhere) == per_token * 7 * 64
    # A context inside the window is not limited.
    assert model({"context": 60}, window=64).macs == model({"context": 60}).macs


@given(st.integers(1, 40), st.integers(0, 40), st.integers(1, 60))
def test_attended_pairs_count_what_the_mask_leaves(queries: int, past: int, window: int) -> None:
    keys = queries + past
    rows = [past + i + 1 for i in range(queries)]
    assert attended_pairs(queries, keys) == sum(rows)
    if past == 0 or queries == 1:
        limited = evaluate(attended_pairs(queries, keys, window), {})
        assert limited == sum(min(row, window) for row in rows)


def test_latent_attention_expands_in_prefill_and_absorbs_in_decode() -> None:
    heads, width = SMALL["heads"], SMALL["width"]
    rank, plain, rope, value = 16, 8, 4, 12
    shared = width * 24 + 24 * heads * (plain + rope) + width * (rank + rope)
    shared += heads * value * width
    up = rank * heads * (plain + value)
    ffn = 3 * width * SMALL["ffn_width"]
    head = width * SMALL["vocabulary"]
    context = 50
    decode = model({"batch": 3, "context": context}, latent=LATENT)
    attention = heads * context * (rank + rope + rank)
    assert decode.macs == 3 * (3 * (shared + up + attention + ffn) + head)
    prefill = model({"batch": 3, "prompt": context}, latent=LATENT, phase="prefill")
    attention = heads * context**2 * (plain + rope + value)
    assert prefill.macs == 3 * (3 * (context * (shared + up + ffn) + attention) + head)
    assert kv_elements(decode) == kv_elements(prefill) == 3 * 3 * context * (rank + rope)
    # Both forms store the same matrices, so a request stores them once.
    request = model({"batch": 3}, latent=LATENT, phase="request")
    assert decode.weights == prefill.weights == request.weights


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_a_batch_reads_the_experts_it_touches(batch: int) -> None:
    w = model({"batch": batch, "context": 10}, experts=EXPERTS)
    touched = 16 * (1 - (1 - 2 / 16) ** batch)
    expert = 3 * SMALL["width"] * 40
    base = model({"batch": batch, "context": 10}, ffn_width=1)
    attention = w.number(base.graph().active_weight_elements) - SMALL["layers"] * 3 * SMALL["width"]
    router = SMALL["width"] * 16
    expected = attention + SMALL["layers"] * (touched * expert + router)
    assert w.number(w.graph().active_weight_elements) == pytest.approx(expected, rel=1e-12)
    dense = base.macs - batch * SMALL["layers"] * 3 * SMALL["width"]
    assert w.macs == dense + batch * SMALL["layers"] * (2 * expert + router)
    assert w.weights - base.weights == SMALL["layers"] * (16 * expert + router - 3 * SMALL["width"])


def test_first_layers_may_be_dense_and_experts_shared() -> None:
    mixed = model(experts=EXPERTS | {"dense_layers": 1, "shared_width": 30})
    routed = model(experts=EXPERTS)
    expert_layer = 16 * 3 * 64 * 40 + 64 * 16
    change = 2 * 3 * 64 * 30 + 3 * 64 * 96 - expert_layer
    assert mixed.weights - routed.weights == change


@pytest.mark.parametrize(
    ("name", "params", "active"),
    [("deepseek_v3", 671e9, 36.7e9), ("mixtral_8x7b", 46.70e9, 12.75e9)],
)
def test_active_parameters_of_mixtures(name: str, params: float, active: float) -> None:
    w = find(name, {"phase": "decode", "batch": 1})
    assert w.weights == pytest.approx(params, rel=5e-3)
    assert w.number(w.graph().active_weight_elements) == pytest.approx(active, rel=5e-3)


def test_a_tied_table_is_stored_once_and_counts_once_among_what_is_read() -> None:
    tied, own = model(tied_embeddings=True), model()
    table = SMALL["width"] * SMALL["vocabulary"]
    assert own.weights - tied.weights == table
    assert own.macs == tied.macs
    tied_reads, own_reads = (w.number(w.graph().active_weight_elements) for w in (tied, own))
    # The row that embeds the token is one of those that classify, or one of a second table.
    assert own_reads - tied_reads == SMALL["width"]
    assert tied_reads > table


def biases(graph: Graph) -> int:
    names = {n for _, op in graph.walk() for n in op.reads if n.endswith(".bias")}
    return sum(int(graph.tensors[n].shape[0]) for n in names)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "elements"),
    [("qkv_bias", 64 + 2 * 16), ("output_bias", 64), ("ffn_bias", 2 * 96 + 64)],
)
def test_biases_stand_where_the_structure_says(field: str, elements: int) -> None:
    with_bias = model(**{field: True})
    assert biases(with_bias.graph()) == elements
    assert with_bias.weights - model().weights == SMALL["layers"] * elements


@pytest.mark.parametrize(
    ("change", "elements"),
    [
        ({"norm": "layer_norm"}, 64 * 7),
        ({"qk_norm": True}, 3 * 2 * 8),
        ({"norm_position": "both"}, 3 * 2 * 64),
        ({"final_norm": False}, -64),
        ({"embedding_norm": True}, 64),
        ({"positions": 50}, 50 * 64),
        ({"gated": False}, -3 * 64 * 96),
        ({"head": "none"}, -64 * 101),
        ({"head_bias": True}, 101),
    ],
)
def test_each_part_adds_its_weights(change: dict[str, Any], elements: int) -> None:
    assert model(**change).weights - model().weights == elements


def test_an_encoder_keeps_no_cache_and_sees_every_pair() -> None:
    w = model({"batch": 2, "tokens": 9}, phase="encode", causal=False, head="pooler")
    assert "kv" not in lower(w.graph()).bind(w.parameters).stored
    assert total(w, "masked_macs") == 0
    assert w.unit == "sequences"
    assert w.items() == 2


def test_arrays_equal_single_points() -> None:
    batch, context = np.array([1.0, 3.0, 8.0]), np.array([16.0, 100.0, 7.0])
    many = model({"batch": batch, "context": context}, experts=EXPERTS, window=50)
    table = lower(many.graph()).bind(many.parameters, 3)
    for i in range(3):
        one = model({"batch": batch[i], "context": context[i]}, experts=EXPERTS, window=50)
        single = lower(one.graph()).bind(one.parameters)
        np.testing.assert_allclose(
            np.broadcast_to(table.macs, (len(table.rows), 3))[:, i], single.macs[:, 0], rtol=1e-12
        )
        assert many.macs[i] == pytest.approx(one.macs, rel=1e-12)


@pytest.mark.parametrize("field", ["layers", "width", "ffn_width", "vocabulary"])
def test_a_free_field_counts_as_the_fixed_one(field: str) -> None:
    values = np.array([SMALL[field], SMALL[field] + 8.0])
    free = model({field: values}, free=(field,), head_dim=8)
    fixed = [model(**{field: int(v)}, head_dim=8) for v in values]
    np.testing.assert_allclose(free.macs, [w.macs for w in fixed], rtol=1e-12)
    np.testing.assert_allclose(free.weights, [w.weights for w in fixed], rtol=1e-12)


def test_a_decode_table_rests_on_few_monomials() -> None:
    lowered = lower(find("llama_3_8b", {"phase": "decode"}).graph())
    # Compiled here: of a graph that is lowered already, any program may stand for the bare one.
    assert len(lowered.compile().program.monomials) <= 4


def test_layers_unroll_to_their_own_weights_and_caches() -> None:
    w = model({"batch": 1, "context": 4})
    flat = w.graph().unroll()
    assert w.number(flat.weight_elements) == w.weights
    assert w.number(flat.macs) == w.number(w.graph().macs)
    caches = [n for n, t in flat.tensors.items() if t.role == "kv"]
    assert len(caches) == 3


def test_new_keys_and_values_are_read_by_the_attention() -> None:
    for phase in ("decode", "prefill"):
        graph = model(phase=phase).graph()
        written = {n for _, op in graph.walk() for n in op.writes}
        read = {n for _, op in graph.walk() for n in op.reads}
        left = {n for n in written - read if graph.tensors[n].role == "activation"}
        assert left == set(graph.outputs)


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"heads": 7}, {"kv_heads", "heads"}),
        ({"kv_heads": 3}, {"kv_heads"}),
        ({"phase": "encode"}, {"phase"}),
        ({"causal": False}, {"phase"}),
        ({"full_every": 2}, {"full_every"}),
        ({"window": 8, "full_every": 2, "full_layers": 1}, {"full_layers"}),
        ({"window": 8, "full_layers": 4}, {"full_layers"}),
        ({"experts": EXPERTS | {"per_token": 17}}, {"experts.per_token"}),
        ({"experts": EXPERTS | {"dense_layers": 4}}, {"experts.dense_layers"}),
        ({"ffn_width": 0}, {"ffn_width"}),
        ({"layers": 0, "width": -1, "vocabulary": 10**8}, {"layers", "width", "vocabulary"}),
        ({"layers": True, "heads": "8"}, {"layers", "heads"}),
        ({"free": ("width",)}, {"free"}),
        ({"activation": "gelo"}, {"activation"}),
        ({"layer": 3}, {"layer"}),
    ],
)
def test_every_fault_of_a_structure_is_named(change: dict[str, Any], paths: set[str]) -> None:
    with pytest.raises(InputError) as caught:
        model(**change)
    assert {fault.path for fault in caught.value.faults} == paths
