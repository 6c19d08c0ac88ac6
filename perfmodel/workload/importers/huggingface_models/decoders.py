"""Decoders without experts."""

from __future__ import annotations

from typing import Any

from perfmodel.workload.importers.huggingface_models.config import Config, Made
from perfmodel.workload.importers.huggingface_models.shared import decoder, qwen_windows, windows


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
    """Phi-3, Phi-4."""
    made = decoder(c)
    return "transformer", made | windows(c, made["layers"])


def opt(c: Config) -> Made:
    """OPT: learned positions with two rows to spare."""
    width = c.size("hidden_size", field="width")
    if c.size("word_embed_proj_dim", width) != width:
        c.refuse("word_embed_proj_dim", "embeddings of another width than the layers", f"{width}")
    before = c.flag("do_layer_norm_before", True)
    bias = c.flag("enable_bias", True)
    return "transformer", {
        "layers": c.size("num_hidden_layers", field="layers"), "width": width,
        "heads": c.size("num_attention_heads", field="heads"),
        "ffn_width": c.size("ffn_dim", field="ffn_width"), "gated": False,
        "activation": c.activation("activation_function", default="relu"), "norm": "layer_norm",
        "norm_position": "before" if before else "after", "final_norm": before,
        "qkv_bias": bias, "output_bias": bias, "ffn_bias": bias, "rotary": False,
        "positions": c.size("max_position_embeddings", 2048) + 2,
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", True),
    }  # fmt: skip


def gpt2(c: Config) -> Made:
    """GPT-2."""
    width = c.size("n_embd", field="width")
    return "transformer", {
        "layers": c.size("n_layer", field="layers"), "width": width,
        "heads": c.size("n_head", field="heads"),
        "ffn_width": c.size("n_inner", 4 * width, field="ffn_width"), "gated": False,
        "activation": c.activation("activation_function", default="gelu_tanh"),
        "norm": "layer_norm", "qkv_bias": True, "output_bias": True, "ffn_bias": True,
        "rotary": False, "positions": c.size("n_positions", 1024),
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", True),
    }  # fmt: skip
