"""Decoders without experts."""

from __future__ import annotations

from typing import Any, cast

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


def seed_oss(c: Config) -> Made:
    """Seed-OSS: biases on queries, keys and values alone, or on the output too."""
    made = decoder(
        c, qkv_bias=c.flag("attention_bias", True), output_bias=c.flag("attention_out_bias", False),
        ffn_bias=c.flag("mlp_bias", False),
    )  # fmt: skip
    return "transformer", made


def arcee(c: Config) -> Made:
    """AFM: a plain feed-forward network with squared ReLU."""
    bias = c.flag("attention_bias", False)
    made = decoder(c, gated=False, qkv_bias=bias, output_bias=bias,
                   ffn_bias=c.flag("mlp_bias", False))  # fmt: skip
    return "transformer", made | {"activation": c.activation("hidden_act", default="relu2")}


def nemotron(c: Config) -> Made:
    """Nemotron-4, Minitron: layer norms and a plain feed-forward network with squared ReLU."""
    bias = c.flag("attention_bias", False)
    made = decoder(c, norm="layer_norm", gated=False, qkv_bias=bias, output_bias=bias,
                   ffn_bias=c.flag("mlp_bias", False))  # fmt: skip
    made["activation"] = c.activation("hidden_act", default="relu2")
    made["rotary_dim"] = rotary_dim(c, made, "partial_rotary_factor", 0.5)
    return "transformer", made


def exaone4(c: Config) -> Made:
    """EXAONE 4: norms after the blocks, normalised heads; full layers of a mix do not rotate."""
    made = decoder(c, norm_position="output", qk_norm=True)
    found = windows(c, made["layers"], 4) if c.sizes("layer_types") is not None else {}
    if found:
        found["unrotated_layers"] = found["full_layers"]
    return "transformer", made | found


def ernie45(c: Config) -> Made:
    """ERNIE 4.5, without experts."""
    bias = c.flag("use_bias", False)
    return "transformer", decoder(c, qkv_bias=bias, output_bias=bias, ffn_bias=bias)


def hunyuan(c: Config) -> Made:
    """Hunyuan, without experts: normalised heads."""
    bias = c.flag("attention_bias", False)
    return "transformer", decoder(c, qk_norm=True, qkv_bias=bias, output_bias=bias)


def ministral(c: Config) -> Made:
    """Ministral: some layers have a window."""
    made = decoder(c)
    return "transformer", made | windows(c, made["layers"])


def gemma3n(c: Config) -> Made:
    """Gemma 3n, the text part."""
    inner = c.section("text_config")
    if inner is not c:
        c.notes.append("the parts for images and sound are left out: text alone")
    c.notes.append("neurons that the first layers' sparsity leaves at zero are not skipped")
    layers = inner.size("num_hidden_layers", field="layers")
    shared = inner.size("num_kv_shared_layers", 15, least=0)
    if shared >= layers and not c.flaws:
        inner.refuse("num_kv_shared_layers", f"{shared} of {layers} layers read those before them",
                     f"0 to {layers - 1}")  # fmt: skip
        shared = 0
    types = inner.sizes("layer_types")
    if types is None:
        types = ["full_attention" if i % 5 == 4 else "sliding_attention" for i in range(layers)]
    if len(types) != layers or not set(map(str, types)) <= {"full_attention", "sliding_attention"}:
        inner.refuse("layer_types", "is not the attention of each layer",
                     f"{layers} of sliding_attention and full_attention")  # fmt: skip
        types = ["full_attention"] * layers
    widths = inner.data.get("intermediate_size")
    if isinstance(widths, list):
        if len(set(map(str, cast("list[Any]", widths)))) != 1:
            inner.refuse("intermediate_size", "layers of several hidden widths", "one width")
        inner.data = {**inner.data, "intermediate_size": widths[0] if widths else None}
    made = _gemma(inner)
    return "gemma3n", {
        "layers": layers - shared, "full_layers": types[: layers - shared].count("full_attention"),
        "sharing_layers": shared,
        "sharing_full_layers": types[layers - shared :].count("full_attention"),
        "window": inner.size("sliding_window", 512), "streams": inner.size("altup_num_inputs", 4),
        "low_rank": inner.size("laurel_rank", 64),
        "side_width": inner.size("hidden_size_per_layer_input", 256),
        "side_vocabulary": inner.size("vocab_size_per_layer_input", 262_144),
    } | {
        key: made[key] for key in ("width", "heads", "kv_heads", "head_dim", "ffn_width",
                                   "vocabulary")
    }  # fmt: skip


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
