"""Decoders with mixtures of experts."""

from __future__ import annotations

from typing import Any

from perfmodel.workload.importers.huggingface_models.config import Config, Made
from perfmodel.workload.importers.huggingface_models.shared import (
    decoder,
    dense_part,
    flags,
    qwen_windows,
    rotary_dim,
    windows,
)


def _qwen_experts(c: Config, per_token: int) -> dict[str, Any]:
    step = c.size("decoder_sparse_step", 1)
    if step != 1:
        c.refuse("decoder_sparse_step", f"experts in one of {step} layers", "1")
    dense = c.sizes("mlp_only_layers") or []
    if dense != list(range(len(dense))):
        c.refuse("mlp_only_layers", "dense layers after the first ones", "[0, 1, ...]")
    return {
        "count": c.size("num_experts", field="experts.count"),
        "per_token": c.size("num_experts_per_tok", per_token, field="experts.per_token"),
        "ffn_width": c.size("moe_intermediate_size", field="experts.ffn_width"),
        "dense_layers": len(dense),
    }


def qwen2_moe(c: Config) -> Made:
    """Qwen1.5-MoE, Qwen2-MoE: a gated shared expert."""
    experts = _qwen_experts(c, 4)
    shared = c.size("shared_expert_intermediate_size", field="experts.shared_width")
    experts |= {"shared_width": shared, "shared_gate": True}
    made = decoder(c, qkv_bias=True, experts=experts)
    made |= qwen_windows(c, made["layers"])
    return "transformer", dense_part(c, made, experts)


def qwen3_moe(c: Config) -> Made:
    """Qwen3-MoE."""
    experts = _qwen_experts(c, 8)
    bias = c.flag("attention_bias", False)
    made = decoder(c, qk_norm=True, qkv_bias=bias, output_bias=bias, experts=experts)
    made |= qwen_windows(c, made["layers"])
    return "transformer", dense_part(c, made, experts)


def mixtral(c: Config) -> Made:
    """Mixtral."""
    experts = {
        "count": c.size("num_local_experts", field="experts.count"),
        "per_token": c.size("num_experts_per_tok", 2, field="experts.per_token"),
        "ffn_width": c.size("intermediate_size", field="experts.ffn_width"),
    }
    made = decoder(c, experts=experts)
    return "transformer", made | windows(c, made["layers"])


def deepseek(c: Config) -> Made:
    """DeepSeek-V2 and V3: latent attention, shared experts, first layers dense."""
    frequency = c.size("moe_layer_freq", 1)
    if frequency != 1:
        c.refuse("moe_layer_freq", f"experts in one of {frequency} layers", "1")
    width = c.size("moe_intermediate_size", field="experts.ffn_width")
    dense = c.size("first_k_dense_replace", 0, field="experts.dense_layers", least=0)
    experts = {
        "count": c.size("n_routed_experts", field="experts.count"),
        "per_token": c.size("num_experts_per_tok", field="experts.per_token"),
        "ffn_width": width,
        "shared_width": width * c.size("n_shared_experts", 0, least=0),
        "dense_layers": dense,
        "router_bias": c.data.get("model_type") != "deepseek_v2",
    }
    latent = {
        "query_rank": c.size("q_lora_rank", 0, field="latent.query_rank"),
        "rank": c.size("kv_lora_rank", field="latent.rank"),
        "plain_dim": c.size("qk_nope_head_dim", field="latent.plain_dim"),
        "rope_dim": c.size("qk_rope_head_dim", field="latent.rope_dim"),
        "value_dim": c.size("v_head_dim", field="latent.value_dim"),
    }
    made = decoder(c, experts=experts, latent=latent, head_dim=0)
    made["kv_heads"] = 0
    bias = c.flag("attention_bias", False)
    made |= {"qkv_bias": bias, "output_bias": bias}
    if c.size("num_nextn_predict_layers", 0, least=0):
        c.notes.append("the multi-token prediction module is left out")
    return "transformer", dense_part(c, made, experts)


def gpt_oss(c: Config) -> Made:
    """gpt-oss: biases everywhere, every second layer attends to everything."""
    experts = {
        "count": c.size("num_local_experts", field="experts.count"),
        "per_token": c.size("num_experts_per_tok", 4, field="experts.per_token"),
        "ffn_width": c.size("intermediate_size", field="experts.ffn_width"),
        "router_bias": True, "bias": True,
    }  # fmt: skip
    bias = c.flag("attention_bias", True)
    made = decoder(c, experts=experts, qkv_bias=bias, output_bias=bias)
    made["head_dim"] = made["head_dim"] or 64
    made["sinks"] = True
    return "transformer", made | windows(c, made["layers"], 2)


def phimoe(c: Config) -> Made:
    """Phi-3.5-MoE: layer norms, biases on attention and on the classifier."""
    experts = {
        "count": c.size("num_local_experts", 16, field="experts.count"),
        "per_token": c.size("num_experts_per_tok", 2, field="experts.per_token"),
        "ffn_width": c.size("intermediate_size", field="experts.ffn_width"),
    }
    bias = c.flag("attention_bias", False)
    made = decoder(
        c, experts=experts, norm="layer_norm", qkv_bias=bias, output_bias=bias,
        head_bias=c.flag("lm_head_bias", False),
    )  # fmt: skip
    return "transformer", made | windows(c, made["layers"])


def olmoe(c: Config) -> Made:
    """OLMoE: all heads of queries and keys normalised at once."""
    experts = {
        "count": c.size("num_experts", 64, field="experts.count"),
        "per_token": c.size("num_experts_per_tok", 8, field="experts.per_token"),
        "ffn_width": c.size("intermediate_size", field="experts.ffn_width"),
    }
    bias = c.flag("attention_bias", False)
    made = decoder(c, experts=experts, qk_norm="whole", qkv_bias=bias, output_bias=bias)
    return "transformer", made


def granitemoe(c: Config) -> Made:
    """Granite MoE."""
    experts = {
        "count": c.size("num_local_experts", 8, field="experts.count"),
        "per_token": c.size("num_experts_per_tok", 2, field="experts.per_token"),
        "ffn_width": c.size("intermediate_size", field="experts.ffn_width"),
    }
    bias = c.flag("attention_bias", False)
    return "transformer", decoder(c, experts=experts, qkv_bias=bias, output_bias=bias)


def smallthinker(c: Config) -> Made:
    """SmallThinker: a router before attention, ReLU-gated experts, layers that do not rotate.

    Where layers have a window, those without one are the ones that do not rotate their heads.
    """
    experts = {
        "count": c.size("moe_num_primary_experts", field="experts.count"),
        "per_token": c.size("moe_num_active_primary_experts", field="experts.per_token"),
        "ffn_width": c.size("moe_ffn_hidden_size", field="experts.ffn_width"),
        "router_first": True,
    }
    made = decoder(c, experts=experts, activation="relu")
    layers = made["layers"]
    rotated = flags(c, "rope_layout", layers)
    bare = 0 if rotated is None else rotated.count(False)
    sliding = flags(c, "sliding_window_layout", layers)
    if sliding is not None and any(sliding):
        made["window"] = c.size("sliding_window_size", 4096, field="window")
        made["full_layers"] = sliding.count(False)
        if rotated is not None and bare and rotated != sliding:
            c.refuse("rope_layout", "layers without a window and layers that do not rotate differ",
                     "the flags of 'sliding_window_layout'")  # fmt: skip
            bare = 0
    made["unrotated_layers"] = bare
    c.notes.append("experts are dense: neurons that their ReLU leaves at zero are not skipped")
    return "transformer", made


def glm4_moe(c: Config) -> Made:
    """GLM-4.5: shared experts, first layers dense, half of a head rotated."""
    width = c.size("moe_intermediate_size", field="experts.ffn_width")
    experts = {
        "count": c.size("n_routed_experts", 128, field="experts.count"),
        "per_token": c.size("num_experts_per_tok", 8, field="experts.per_token"),
        "ffn_width": width, "shared_width": width * c.size("n_shared_experts", 1, least=0),
        "dense_layers": c.size("first_k_dense_replace", 1, field="experts.dense_layers", least=0),
        "router_bias": True,
    }  # fmt: skip
    made = decoder(
        c, experts=experts, qkv_bias=c.flag("attention_bias", False),
        qk_norm=c.flag("use_qk_norm", False),
    )  # fmt: skip
    made["rotary_dim"] = rotary_dim(c, made, "partial_rotary_factor", 0.5)
    if c.size("num_nextn_predict_layers", 0, least=0):
        c.notes.append("the multi-token prediction module is left out")
    return "transformer", dense_part(c, made, experts)


def llama4(c: Config) -> Made:
    """Llama 4, the text part: a shared expert, chunks instead of windows."""
    inner = c.section("text_config")
    if inner is not c:
        c.notes.append("the vision part is left out: text alone")
    step = inner.size("interleave_moe_layer_step", 1)
    if step != 1:
        inner.refuse("interleave_moe_layer_step", f"experts in one of {step} layers", "1")
    width = inner.size("intermediate_size", field="experts.ffn_width")
    experts = {
        "count": inner.size("num_local_experts", 16, field="experts.count"),
        "per_token": inner.size("num_experts_per_tok", 1, field="experts.per_token"),
        "ffn_width": width, "shared_width": width,
    }  # fmt: skip
    bias = inner.flag("attention_bias", False)
    made = decoder(inner, experts=experts, qkv_bias=bias, output_bias=bias)
    layers = made["layers"]
    rotated = flags(inner, "no_rope_layers", layers)
    if not rotated:
        rotated = [(i + 1) % 4 != 0 for i in range(layers)]
    bare = rotated.count(False)
    chunk = inner.size("attention_chunk_size", 8192, least=0)
    if chunk and bare < layers:
        made |= {"window": chunk, "full_layers": bare}
        c.notes.append("chunks of attention are priced as windows of the same size")
    if inner.flag("use_qk_norm", True):
        c.notes.append("the normalisation of heads, which has no weights, is not priced")
    return "transformer", made | {"unrotated_layers": bare}
