"""Decoders without experts."""

from __future__ import annotations

from typing import Any

from perfmodel.workload.importers.huggingface_models.config import Config, Made
from perfmodel.workload.importers.huggingface_models.shared import (
    decoder,
    flags,
    qwen_windows,
    rotary_dim,
    windows,
)


def llama(c: Config) -> Made:
    """Llama, TinyLlama; Mistral, whose window covers every layer."""
    bias = c.flag("attention_bias", False)
    made = decoder(c, qkv_bias=bias, output_bias=bias, ffn_bias=c.flag("mlp_bias", False))
    if c.data.get("model_type") == "mistral":
        made |= windows(c, made["layers"])
    return "transformer", made


def qwen2(c: Config) -> Made:
    """Qwen2, Qwen2.5: biases on queries, keys and values."""
    made = decoder(c, qkv_bias=True)
    return "transformer", made | qwen_windows(c, made["layers"])


def qwen3(c: Config) -> Made:
    """Qwen3: normalised heads."""
    bias = c.flag("attention_bias", False)
    made = decoder(c, qk_norm=True, qkv_bias=bias, output_bias=bias)
    made["head_dim"] = made["head_dim"] or 128
    return "transformer", made | qwen_windows(c, made["layers"])


def _gemma(c: Config, **changes: Any) -> dict[str, Any]:
    made = decoder(c, tied_embeddings=c.flag("tie_word_embeddings", True), **changes)
    made["activation"] = c.activation("hidden_activation", "hidden_act", default="gelu_tanh")
    made["head_dim"] = made["head_dim"] or 256
    return made


def gemma2(c: Config) -> Made:
    """Gemma 2: every second layer attends to everything; norms on both sides of a block."""
    made = _gemma(c, norm_position="both")
    return "transformer", made | windows(c, made["layers"], 2, size=4096)


def gemma3(c: Config) -> Made:
    """Gemma 3, the text part: every sixth layer attends to everything; normalised heads."""
    inner = c.section("text_config")
    if inner is not c:
        c.notes.append("the vision part is left out: text alone")
    # Defaults of Gemma3TextConfig, which published configs leave out.
    stated = {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 262_208}
    if inner is not c:
        missing = {k: v for k, v in stated.items() if k not in inner.data}
        inner.data = {**inner.data, **missing}
    made = _gemma(inner, norm_position="both", qk_norm=True)
    every = inner.size("sliding_window_pattern", inner.size("_sliding_window_pattern", 6))
    return "transformer", made | windows(inner, made["layers"], every, size=4096)


def phi3(c: Config) -> Made:
    """Phi-3 and 4; Phi-4-mini rotates three quarters of a head; longrope costs what rope does."""
    made = decoder(c)
    made["rotary_dim"] = rotary_dim(c, made, "partial_rotary_factor", 1.0)
    return "transformer", made | windows(c, made["layers"])


def phi4_multimodal(c: Config) -> Made:
    """Phi-4-multimodal: the text part."""
    c.notes.append("text alone: the image and speech encoders and their adapters are left out")
    return phi3(c)


def bitnet(c: Config) -> Made:
    """BitNet b1.58: ternary weights, squared ReLU, and a norm before each last projection."""
    bias = c.flag("attention_bias", False)
    made = decoder(c, sub_norms=True, qkv_bias=bias, output_bias=bias)
    made["activation"] = c.activation("hidden_act", default="relu2")
    return "transformer", made


def olmo(c: Config) -> Made:
    """OLMo: layer norms without weights."""
    bias = c.flag("attention_bias", False)
    made = decoder(c, norm="layer_norm", norm_vectors=0, qkv_bias=bias, output_bias=bias)
    return "transformer", made


def olmo2(c: Config) -> Made:
    """OLMo 2 and 3: norms after the blocks, and over all heads of queries and keys at once."""
    bias = c.flag("attention_bias", False)
    made = decoder(c, norm_position="output", qk_norm="whole", qkv_bias=bias, output_bias=bias)
    return "transformer", made | windows(c, made["layers"])


def granite(c: Config) -> Made:
    """Granite: Llama with scaling factors."""
    bias = c.flag("attention_bias", False)
    made = decoder(c, qkv_bias=bias, output_bias=bias, ffn_bias=c.flag("mlp_bias", False))
    return "transformer", made


def smollm3(c: Config) -> Made:
    """SmolLM3: every fourth layer does not rotate its heads."""
    bias = c.flag("attention_bias", False)
    made = decoder(c, qkv_bias=bias, output_bias=bias, ffn_bias=c.flag("mlp_bias", False))
    made["tied_embeddings"] = c.flag("tie_word_embeddings", True)
    if c.flag("use_sliding_window", False):
        c.refuse("use_sliding_window", "sliding windows beside unrotated layers", "false")
    rotated = flags(c, "no_rope_layers", made["layers"])
    every = c.size("no_rope_layer_interval", 4)
    bare = made["layers"] // every if rotated is None else rotated.count(False)
    return "transformer", made | {"unrotated_layers": bare}


def glm4(c: Config) -> Made:
    """GLM-4 (0414): norms on both sides of a block, half of a head rotated."""
    made = decoder(c, norm_position="both", qkv_bias=c.flag("attention_bias", False))
    made["rotary_dim"] = rotary_dim(c, made, "partial_rotary_factor", 0.5)
    return "transformer", made


def glm(c: Config) -> Made:
    """GLM-4: half of a head rotated."""
    made = decoder(c, qkv_bias=c.flag("attention_bias", False))
    made["rotary_dim"] = rotary_dim(c, made, "partial_rotary_factor", 0.5)
    return "transformer", made


def gemma(c: Config) -> Made:
    """Gemma."""
    return "transformer", _gemma(c)
