"""Storage bits against published layouts, and the grammar of precisions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.formats import (
    Precision,
    Sparsity,
    compute_format,
    find,
    format_named,
    formats,
    parse_precision,
    parse_sparsity,
)

# (bytes of a block, elements of a block): the struct sizes in ggml-common.h.
GGML_BLOCKS = {
    "q4_0": (18, 32),
    "q4_1": (20, 32),
    "q5_0": (22, 32),
    "q5_1": (24, 32),
    "q8_0": (34, 32),
    "q8_1": (36, 32),
    "q2_k": (84, 256),
    "q3_k": (110, 256),
    "q4_k": (144, 256),
    "q5_k": (176, 256),
    "q6_k": (210, 256),
    "q8_k": (292, 256),
    "iq1_s": (50, 256),
    "iq1_m": (56, 256),
    "iq2_xxs": (66, 256),
    "iq2_xs": (74, 256),
    "iq2_s": (82, 256),
    "iq3_xxs": (98, 256),
    "iq3_s": (110, 256),
    "iq4_xs": (136, 256),
    "iq4_nl": (18, 32),
    "tq1_0": (54, 256),
    "tq2_0": (66, 256),
}


@pytest.mark.parametrize(("name", "block"), GGML_BLOCKS.items())
def test_gguf_blocks_have_their_struct_sizes(name: str, block: tuple[int, int]) -> None:
    size, elements = block
    assert format_named(name).bits == pytest.approx(8 * size / elements, abs=1e-12)


def test_microscaling_formats_share_an_8_bit_scale_over_32() -> None:
    assert format_named("mxfp4").bits == 4.25
    assert format_named("mxfp8").bits == 8.25
    assert format_named("nvfp4").bits == 4.5
    assert format_named("fp8_block").bits == 8 + 32 / (128 * 128)


def test_every_format_is_found_by_its_name_in_any_case() -> None:
    for name, each in formats().items():
        assert find(name.upper()) == each
        assert 0 < each.bits <= 64


def test_a_group_suffix_adds_a_scale_and_a_zero_point() -> None:
    assert format_named("int4g128").bits == pytest.approx(4 + (16 + 4) / 128)
    assert format_named("int8g32").bits == pytest.approx(8 + (16 + 8) / 32)


@pytest.mark.parametrize(
    ("text", "weights", "activations", "kv"),
    [
        ("fp16", 16, 16, 16),
        ("w4a16", 4, 16, 16),
        ("w4a16kv8", 4, 16, 8),
        ("W8A8", 8, 8, 8),
        ("q4_0", 4.5, 16, 16),
        ("w=q8_0,a=bf16,kv=fp8", 8.5, 16, 8),
        ("w=int4", 4, 16, 16),
        ("w1.58a8", 2, 8, 8),
    ],
)
def test_precision_grammar(text: str, weights: float, activations: float, kv: float) -> None:
    parsed = parse_precision(text)
    assert parsed.bits("weight") == weights
    assert parsed.bits("activation") == activations
    assert parsed.bits("kv") == kv


@pytest.mark.parametrize(
    "text", ["", "w4", "w4a", "fp17", "w=", "w=fp16,w=fp16", "x=fp16", "w4a16+"]
)
def test_bad_precisions_are_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_precision(text)
    assert all(f.expected for f in caught.value.faults)


def test_a_head_may_have_a_format_of_its_own() -> None:
    parsed = parse_precision("w=int2g128,a=fp16,head=fp16")
    assert [parsed.bits(f"weight:{tag}") for tag in ("head", "embedding")] == [16, 16]
    assert parsed.bits("weight:ffn") == format_named("int2g128").bits
    mixed = parse_precision("w=q4_k_m,head=q8_0")
    assert mixed.bits("weight:head") == 8.5
    assert mixed.bits("weight:ffn_down") == parse_precision("q4_k_m").bits("weight:ffn_down")


def test_all_faults_of_a_precision_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parse_precision("w=fp15,a=itn8,q=fp16")
    assert len(caught.value.faults) == 3
    assert "int8" in str(caught.value)


def test_mixtures_store_tagged_tensors_wider() -> None:
    mixed = parse_precision("q4_k_m")
    assert mixed.bits("weight:ffn_gate") == 4.5
    assert mixed.bits("weight:head") == 6.5625
    assert mixed.bits("weight:ffn_down") == pytest.approx((6.5625 + 4.5) / 2)


def test_vectors_keep_the_accumulator_width() -> None:
    assert parse_precision("w4a16").bits("weight:vector") == 16
    assert parse_precision("w8a8").bits("weight:vector") == 32


@pytest.mark.parametrize(
    ("weights", "activations", "computes"),
    [
        ("int4", "fp16", "fp16"),
        ("int8", "int8", "int8"),
        ("int4", "int8", "int8"),
        ("fp8", "fp8", "fp8"),
        ("fp8", "bf16", "bf16"),
        ("q4_0", "fp16", "fp16"),
        ("fp32", "fp16", "fp32"),
    ],
)
def test_pairs_compute_in_the_format_they_unpack_to(
    weights: str, activations: str, computes: str
) -> None:
    assert compute_format(format_named(weights), format_named(activations)) == computes


def test_bits_may_be_an_array_and_the_compute_format_stays() -> None:
    bits = np.array([2.0, 4.0, 8.0])
    varied = parse_precision("w4g128a16").with_bits(weights=bits)
    np.testing.assert_allclose(varied.bits("weight"), bits + 20 / 128)
    assert varied.format_of("weight").compute == "int4"


def test_two_to_four_stores_half_the_weights_and_two_bits_each() -> None:
    sparse = parse_precision("fp16+2:4")
    assert sparse.sparsity == Sparsity("2:4", 0.5)
    assert sparse.bits("weight") == 0.5 * (16 + 2)
    assert sparse.bits("activation") == 16


@given(st.floats(0.001, 1.0), st.sampled_from([2, 4, 8, 16, 32]))
def test_sparse_storage_is_between_entropy_and_dense(density: float, bits: int) -> None:
    stored = Sparsity("unstructured", density).storage_bits(bits)
    q = 1 - density
    entropy = -density * math.log2(density) - (q * math.log2(q) if q > 0 else 0)
    # Dense storage needs no index: zero is one of its values.
    assert min(bits, density * bits + entropy) <= stored + 1e-9
    assert stored <= bits + 1e-12


@pytest.mark.parametrize("text", ["4:2", "s1.0", "s-0.1", "sx", "0:4", "half"])
def test_bad_sparsity_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_sparsity(text)


def test_precision_text_round_trips() -> None:
    made = Precision(format_named("q8_0"), format_named("fp16"), format_named("fp8"))
    again = parse_precision(str(made))
    assert (again.weights, again.activations, again.kv) == (
        made.weights,
        made.activations,
        made.kv,
    )


def test_a_mixture_stores_each_share_in_its_own_format() -> None:
    mixed = format_named("mix(int8:0.25/int4g128:0.75)")
    assert mixed.bits == 0.25 * 8 + 0.75 * (4 + (16 + 4) / 128)
    assert mixed.compute == "int8"
    assert format_named("mix(fp16:0.5/int2:0.5)").is_float


@pytest.mark.parametrize(
    "text",
    [
        "mix(int8:0.5/int2:0.6)",
        "mix(int8)",
        "mix(int65:1)",
        "mix()",
        "mix(int8:x/int2:1)",
        "mix(mix(int8:1):1)",
        "mix(int8:1.5/int2:-0.5)",
    ],
)
def test_what_is_no_mixture_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        format_named(text)
