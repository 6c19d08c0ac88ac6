"""Hugging Face configs: published counts, and every fault of a broken one with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from perfmodel import hardware, predict
from perfmodel.errors import InputError
from perfmodel.workload.families import family_names
from perfmodel.workload.importers.huggingface import load_config, supported
from perfmodel.workload.library import find
from perfmodel.workload.lower import lower

FOLDER = Path(__file__).parent.parent / "data" / "huggingface"

#: File -> parameters that the model's page or its paper states.
PUBLISHED = {
    "llama_2_7b": 6_738_415_616,
    "llama_3_8b": 8_030_261_248,
    "qwen_2_5_7b": 7_615_616_512,
    "qwen_3_8b": 8_190_735_360,
    "qwen_1_5_moe": 14_315_784_192,
    "qwen_3_30b_a3b": 30_532_122_624,
    "gemma_2_2b": 2_614_341_888,
    "gemma_3_1b": 999_885_952,
    # Text part; 3,880,099,328 without the 64 rows that pad the table of embeddings.
    "gemma_3_4b": 3_880_263_168,
    "mixtral_8x7b": 46_702_792_704,
    "deepseek_v3": 671e9,
    "gpt_oss_20b": 20_914_757_184,
    "phi_3_mini": 3_821_079_552,
    "opt_125m": 125_239_296,
    "gpt2": 124_439_808,
    "bert_base_uncased": 109_482_240,
    "vit_base_patch16_224_in21k": 86_389_248,
    "whisper_tiny": 37_184_640,
    "mamba_130m": 129_135_360,
}

#: Files that `test_huggingface_counts` holds against papers.
ELSEWHERE = {
    "rwkv_5_1_5b",
    "rwkv_6_1_6b",
    "rwkv_7_0_1b",
    "rwkv_7_1_5b",
    "smallthinker_21b_a3b",
    "smallthinker_4b_a0_6b",
}


def config(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.config.json").read_text())


def test_every_file_is_checked() -> None:
    counted = yaml.safe_load((FOLDER.parent / "huggingface_counts.yaml").read_text())
    known = {*PUBLISHED, *counted, *ELSEWHERE}
    assert {p.name.removesuffix(".config.json") for p in FOLDER.iterdir()} == known


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_match_the_published_count(name: str) -> None:
    assert find(FOLDER / f"{name}.config.json").weights == pytest.approx(PUBLISHED[name], rel=1e-4)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("llama_2_7b", "llama_2_7b"),
        ("llama_3_8b", "llama_3_8b"),
        ("mixtral_8x7b", "mixtral_8x7b"),
        ("deepseek_v3", "deepseek_v3"),
        ("gpt_oss_20b", "gpt_oss_20b"),
        ("gemma_2_2b", "gemma_2_2b"),
        ("qwen_3_30b_a3b", "qwen3_30b_a3b"),
        ("phi_3_mini", "phi_3_mini"),
        ("gpt2", "gpt2"),
        ("bert_base_uncased", "bert_base"),
        ("whisper_tiny", "whisper_tiny"),
        ("mamba_130m", "mamba_130m"),
    ],
)
def test_a_config_is_the_library_model(file: str, name: str) -> None:
    ours = find(name)
    theirs = find(FOLDER / f"{file}.config.json", dict(ours.parameters))
    assert theirs.graph().content_hash() == ours.graph().content_hash()


def test_settings_work_as_in_the_library() -> None:
    path = FOLDER / "llama_3_8b.config.json"
    contexts = np.array([100.0, 200.0])
    w = find(path, {"phase": "decode", "batch": 2, "context": contexts})
    np.testing.assert_array_equal(
        w.macs, find("llama_3_8b", {"batch": 2, "context": contexts}).macs
    )
    assert find(path, {"layers": 1}).weights < w.weights
    with pytest.raises(InputError, match="did you mean 'context'"):
        find(path, {"contex": 3})


def test_layer_types_say_which_layers_have_a_window() -> None:
    w = find(FOLDER / "gpt_oss_20b.config.json", {"context": 1000})
    stored = lower(w.graph()).bind(w.parameters).stored["kv"]
    assert float(np.sum(stored)) == 2 * 8 * 64 * (12 * 128 + 12 * 1000)


def test_gemma_3_sees_everything_in_every_sixth_layer() -> None:
    w = find(FOLDER / "gemma_3_1b.config.json", {"context": 5000})
    stored = lower(w.graph()).bind(w.parameters).stored["kv"]
    assert float(np.sum(stored)) == 2 * 256 * (22 * 512 + 4 * 5000)


def test_a_window_that_is_switched_off_is_none() -> None:
    w = find(FOLDER / "qwen_1_5_moe.config.json", {"context": 50_000})
    stored = lower(w.graph()).bind(w.parameters).stored["kv"]
    assert float(np.sum(stored)) == 2 * 24 * 16 * 128 * 50_000


def written(folder: Path, data: Any) -> Path:
    path = folder / "config.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data, indent=2))
    return path


def test_qwen_windows_begin_after_the_first_layers(tmp_path: Path) -> None:
    data = config("qwen_2_5_7b") | {
        "use_sliding_window": True,
        "max_window_layers": 21,
        "sliding_window": 1024,
    }
    w = find(written(tmp_path, data), {"context": 10_000})
    stored = lower(w.graph()).bind(w.parameters).stored["kv"]
    assert float(np.sum(stored)) == 2 * 4 * 128 * (7 * 1024 + 21 * 10_000)


@pytest.mark.parametrize(
    ("quantised", "precision"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "w4g128a16"),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "w8a16"),
        ({"quant_method": "fp8"}, "w=fp8_e4m3,a=fp8_e4m3,kv=bf16"),
        ({"quant_method": "mxfp4"}, ""),
    ],
)
def test_a_quantised_checkpoint_fixes_the_precision(
    tmp_path: Path, quantised: dict[str, Any], precision: str
) -> None:
    w = find(written(tmp_path, config("llama_3_8b") | {"quantization_config": quantised}))
    assert w.precision == precision
    assert bool(w.notes) == (not precision)
    assert w.name == tmp_path.name
    assert w.bind({"batch": 2}).notes == w.notes


def test_a_classifier_counts_its_labels(tmp_path: Path) -> None:
    data = config("vit_base_patch16_224_in21k")
    labels = {str(i): f"label {i}" for i in range(1000)}
    data |= {"architectures": ["ViTForImageClassification"], "id2label": labels}
    w = find(written(tmp_path, data))
    assert w.weights == 86_567_656
    assert w.macs == find("vit_b_16").macs


# faults


def faults(path: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_config(path)
    return [str(fault) for fault in caught.value.faults]


REQUIRED = {
    "llama_3_8b": [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "vocab_size",
        "intermediate_size",
    ],
    "mixtral_8x7b": ["num_local_experts", "intermediate_size"],
    "deepseek_v3": ["kv_lora_rank", "n_routed_experts", "v_head_dim", "num_experts_per_tok"],
    "qwen_1_5_moe": ["shared_expert_intermediate_size", "num_experts"],
    "gpt2": ["n_embd", "n_layer", "n_head"],
    "opt_125m": ["ffn_dim"],
    "whisper_tiny": ["d_model", "encoder_layers", "encoder_ffn_dim"],
    "mamba_130m": ["hidden_size", "num_hidden_layers"],
    "vit_base_patch16_224_in21k": ["num_attention_heads"],
}


@pytest.mark.parametrize(("name", "key"), [(n, k) for n, keys in REQUIRED.items() for k in keys])
def test_a_missing_key_is_named(tmp_path: Path, name: str, key: str) -> None:
    data = config(name)
    del data[key]
    path = written(tmp_path, data)
    expected = "a whole number from 1 to 10,000,000"
    assert faults(path) == [f"{path}:1:1: missing key '{key}'; expected {expected}"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-4096, "-4096"),
        (0, "0"),
        (10**12, "1000000000000"),
        (1.5, "1.5"),
        ("big", "'big'"),
        (True, "true"),
        ([4096], "a list"),
        ({}, "a mapping"),
    ],
)
@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "vocab_size"])
def test_a_size_that_is_none_is_placed(tmp_path: Path, key: str, value: Any, shown: str) -> None:
    path = written(tmp_path, config("llama_3_8b") | {key: value})
    lines = path.read_text().splitlines()
    line = next(i for i, text in enumerate(lines) if f'"{key}"' in text)
    column = lines[line].index(":") + 3
    (text,) = faults(path)
    assert text == (
        f"{path}:{line + 1}:{column}: {key}: {shown} is not a size; "
        "expected a whole number from 1 to 10,000,000"
    )


def test_a_misspelled_key_is_told_by_its_place(tmp_path: Path) -> None:
    data = config("llama_3_8b")
    data["hiden_size"] = data.pop("hidden_size")
    path = written(tmp_path, data)
    (text,) = faults(path)
    assert "unknown key 'hiden_size'; did you mean 'hidden_size'?" in text
    assert text.startswith(f"{path}:23:3: ")


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("llama_3_8b", {"num_attention_heads": 33}, "num_key_value_heads: 33 heads do not divide"),
        ("llama_3_8b", {"num_key_value_heads": 5}, "num_key_value_heads: 32 heads do not divide"),
        ("gpt2", {"n_head": 7}, "n_head: a width of 768 does not divide by 7 heads"),
        (
            "whisper_tiny",
            {"encoder_attention_heads": 5, "decoder_attention_heads": 5},
            "encoder_attention_heads: a width of 384 does not divide by 5 heads",
        ),
        ("whisper_tiny", {"decoder_ffn_dim": 99}, "decoder_ffn_dim: differs from"),
        ("vit_base_patch16_224_in21k", {"patch_size": 300}, "patch_size: a patch is larger"),
        (
            "mixtral_8x7b",
            {"num_experts_per_tok": 9},
            "num_experts_per_tok: a token cannot visit 9 of 8 experts",
        ),
        ("qwen_3_30b_a3b", {"decoder_sparse_step": 2}, "experts in one of 2 layers"),
        ("qwen_3_30b_a3b", {"mlp_only_layers": [5]}, "dense layers after the first"),
        ("deepseek_v3", {"moe_layer_freq": 2}, "experts in one of 2 layers"),
        ("deepseek_v3", {"first_k_dense_replace": 62}, "first_k_dense_replace: 62 of 61 layers"),
        ("gpt_oss_20b", {"layer_types": ["full_attention"]}, "names 1 of 24 layers"),
        ("gpt_oss_20b", {"layer_types": ["linear_attention"] * 24}, "unknown attention"),
        ("gpt_oss_20b", {"layer_types": "all"}, "'all' is not a list"),
        ("llama_3_8b", {"hidden_act": "siluu"}, "did you mean 'silu'?"),
        ("llama_3_8b", {"tie_word_embeddings": "no"}, "'no' is not a flag; expected true or false"),
        ("llama_3_8b", {"model_type": "lama"}, "did you mean 'llama'?"),
        ("llama_3_8b", {"model_type": "zamba"}, "no reader for the architecture 'zamba'"),
        ("llama_3_8b", {"model_type": "falcon2"}, "did you mean 'falcon'?"),
        ("llama_3_8b", {"model_type": 3}, "3 is not a text"),
        ("opt_125m", {"word_embed_proj_dim": 512}, "embeddings of another width"),
    ],
)
def test_what_does_not_fit_is_said_at_its_key(
    tmp_path: Path, name: str, change: dict[str, Any], expected: str
) -> None:
    found = faults(written(tmp_path, config(name) | change))
    assert any(expected in text for text in found), found
    assert all(text.split(":")[1].isdigit() for text in found)


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("falcon_7b", {"multi_query": "yes"}, "multi_query: 'yes' is not a flag"),
        ("falcon_7b", {"hidden_size": 4545}, "a width of 4545 does not divide by 71 heads"),
        ("falcon_40b", {"num_kv_heads": 7}, "num_kv_heads: 128 heads do not divide by 7"),
        ("falcon_40b", {"num_ln_in_parallel_attn": 3}, "3 norms beside each other"),
        ("phi_4_mini", {"partial_rotary_factor": 1.5}, "1.5 is not a share; expected a number"),
        ("phi_2", {"qk_layernorm": True}, "qk_layernorm: normalised heads; expected false"),
        ("smallthinker_21b_a3b", {"sliding_window_layout": [1, 0]}, "names 2 of 52 layers"),
        ("smallthinker_21b_a3b", {"rope_layout": [2] * 52}, "an entry is not a flag"),
        ("smallthinker_21b_a3b", {"rope_layout": [1, 0] * 26}, "layers that do not rotate differ"),
        (
            "smallthinker_4b_a0_6b",
            {"moe_num_active_primary_experts": 33},
            "moe_num_active_primary_experts: a token cannot visit 33 of 32 experts",
        ),
        ("bitnet_b1_58_2b", {"hidden_act": "sqrelu2"}, "did you mean 'sqrelu'?"),
        ("mamba2_2_7b", {"num_heads": 79}, "79 heads of 64 are not the expanded width"),
        ("mamba2_2_7b", {"n_groups": 3}, "n_groups: 80 heads do not divide by 3 groups"),
        ("rwkv_7_1_5b", {"attn": {"layers": [1]}}, "attn: layers of attention among those of RWKV"),
        ("rwkv_7_1_5b", {"head_dim": 60}, "head_dim: 2048 channels do not divide by heads of 60"),
        ("rwkv_7_1_5b", {"value_dim": 4096}, "value_dim: values of another width"),
        ("moonshine_tiny", {"decoder_num_attention_heads": 6}, "differs from 'encoder_num"),
        ("moonshine_tiny", {"encoder_hidden_act": "relu"}, "encoder_hidden_act: 'relu' is not"),
        ("owlvit_b_32", {"projection_dim": 256}, "projection_dim: texts of another width"),
        (
            "siglip2_b_16_naflex",
            {"vision_config": {"model_type": "siglip2_vision_model", "num_patches": 250}},
            "vision_config.num_patches: the table of positions is not square",
        ),
        (
            "clip_vit_b_32",
            {"text_config": {"num_attention_heads": 7}},
            "text_config.num_attention_heads: a width of 512 does not divide by 7 heads",
        ),
        ("detr_resnet50", {"backbone": "resnet51"}, "did you mean 'resnet50'?"),
        ("detr_resnet50", {"dilation": True}, "dilation: a dilated last stage; expected false"),
        ("detr_resnet50", {"d_model": 100}, "a width of 100 does not divide by 8 heads"),
        ("deformable_detr", {"two_stage": True}, "two_stage: queries from tokens"),
        ("rt_detr_r50vd", {"encode_proj_layers": [1, 2]}, "attention over other maps"),
        (
            "rt_detr_r50vd",
            {"backbone_config": {"model_type": "swin"}},
            "backbone_config.model_type: 'swin' is not supported",
        ),
        ("yolos_tiny", {"image_size": 512}, "image_size: 512 is not a list"),
        ("yolos_tiny", {"image_size": [512]}, "is not a height and a width"),
        ("gemma_3n_e2b", {"num_kv_shared_layers": 30}, "30 of 30 layers read those before them"),
        ("gemma_3n_e2b", {"intermediate_size": [8192, 4096]}, "layers of several hidden widths"),
        ("falcon_h1_0_5b", {"mamba_n_heads": 23}, "23 heads of 64 are not the 1536 channels"),
        ("llama_4_scout", {"interleave_moe_layer_step": 2}, "experts in one of 2 layers"),
        ("t5_small", {"feed_forward_proj": "gated"}, "feed_forward_proj: 'gated' is not supported"),
        ("bart_base", {"decoder_ffn_dim": 1}, "differs from 'encoder_ffn_dim'"),
        ("wav2vec2_base", {"conv_stride": [5, 2]}, "channels, kernels and strides differ"),
        ("wav2vec2_base", {"num_conv_pos_embedding_groups": 7}, "does not divide by 7"),
        ("swin_tiny", {"depths": [2, 2, 6]}, "is not a size of each of four stages"),
        ("resnet_50", {"hidden_sizes": [1, 2, 3, 4]}, "is another than that of the family"),
        ("mpt_7b", {"attn_config": {"qk_ln": True}}, "attn_config.qk_ln: normalised queries"),
    ],
)
def test_the_newer_architectures_refuse_what_they_do_not_build(
    tmp_path: Path, name: str, change: dict[str, Any], expected: str
) -> None:
    found = faults(written(tmp_path, config(name) | change))
    assert any(expected in text for text in found), found
    assert all(text.split(":")[1].isdigit() for text in found)


def test_a_class_stands_for_an_architecture_that_is_not_named(tmp_path: Path) -> None:
    data = config("smallthinker_21b_a3b")
    assert "model_type" not in data
    path = written(tmp_path, data | {"architectures": ["SmallThinkerForCausalLN"]})
    assert any("missing key 'model_type'" in text for text in faults(path))


def test_bitnet_brings_its_precision() -> None:
    w = find(FOLDER / "bitnet_b1_58_2b.config.json")
    assert w.precision == find("bitnet_b1_58_2b").precision == "w=ternary_head_fp16,a=int8,kv=fp16"
    # The embeddings, which the classifier reads too, in 16 bits; the rest of the matrices in two.
    table = 128_256 * 2560
    norms = 30 * (3 * 2560 + 6912) + 2560
    matrices = w.weights - table - norms
    held = predict(w, hardware("raspberry_pi_5")).weight_bytes
    assert float(held) == pytest.approx(2 * table + matrices / 4 + 2 * norms, rel=1e-3)
    # The file of bitnet.cpp's authors, ggml-model-i2_s.gguf, has 1187.3 MB.
    assert float(held) == pytest.approx(1187.3e6, rel=0.01)


def test_every_fault_at_once(tmp_path: Path) -> None:
    change = {"hidden_size": -1, "vocab_size": "x", "hidden_act": "siluu", "attention_bias": 2}
    path = written(tmp_path, config("llama_3_8b") | change)
    paths = [text.split(": ")[1] for text in faults(path)]
    assert sorted(paths) == sorted(change)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not valid JSON"),
        ("[1, 2]", "is not a mapping"),
        ('{"model_type": "llama"', "not valid JSON"),
        ('{"model_type": "llama", "hidden_size": NaN}', "finite"),
        ('{"model_type": "llama", "model_type": "gpt2"}', "duplicate key"),
        ("{}", "missing key 'model_type'"),
        ('{"modeltype": "llama"}', "did you mean 'model_type'?"),
    ],
)
def test_text_that_is_no_config(tmp_path: Path, text: str, expected: str) -> None:
    assert any(expected in found for found in faults(written(tmp_path, text)))


def test_the_page_lists_what_is_read() -> None:
    page = FOLDER.parent.parent.parent / "docs" / "huggingface.md"
    table = page.read_text().split("## What is read")[1].split("\nAny other")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    listed = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert sorted(listed) == supported()
    families = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[3])}
    assert families <= set(family_names())


def test_declarations_say_what_is_known() -> None:
    folder = FOLDER.parent.parent.parent / "workloads" / "huggingface"
    known = {
        "like",
        "family",
        "section",
        "section_note",
        "section_defaults",
        "sizes",
        "flags",
        "choices",
        "activations",
        "is",
        "towers",
        "refuse",
        "notes",
        "notes_where",
        "notes_of",
        "built_as",
        "auto",
        "defaults",
        "rules",
    }
    declared = {path.stem: yaml.safe_load(path.read_text()) for path in folder.glob("*.yaml")}
    assert {key for entry in declared.values() for key in entry} == known
    bases = {entry["like"] for entry in declared.values() if "like" in entry}
    towers = {name for entry in declared.values() for name in entry.get("towers", {}).values()}
    assert {name for name in declared if name.startswith("_")} <= bases | towers
    assert bases | towers <= set(declared)


def test_architectures_are_listed() -> None:
    assert {"llama", "qwen3_moe", "gemma3", "gpt_oss", "whisper"} <= set(supported())
