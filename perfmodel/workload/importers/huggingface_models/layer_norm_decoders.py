"""Decoders with layer norms: the line of GPT, and those whose blocks stand beside each other."""

from __future__ import annotations

from perfmodel.workload.importers.huggingface_models.config import Config, Made
from perfmodel.workload.importers.huggingface_models.shared import decoder, rotary_dim, windows


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


def falcon(c: Config) -> Made:
    """Falcon: one key and value head and one norm (7B), or groups and two norms (40B, 180B).

    The number of key and value heads follows the class: ``num_kv_heads`` counts in the new decoder
    architecture alone.
    """
    width = c.size("hidden_size", field="width")
    heads = c.size("num_attention_heads", field="heads")
    new = c.flag("new_decoder_architecture", False)
    single = c.flag("multi_query", True)
    bias = c.flag("bias", False)
    norms = c.size("num_ln_in_parallel_attn", 2 if new else 1)
    if norms > 2:
        c.refuse("num_ln_in_parallel_attn", f"{norms} norms beside each other", "1 or 2")
    beside = new or c.flag("parallel_attn", True)
    groups = c.size("num_kv_heads", heads, field="kv_heads") if new else 1 if single else heads
    return "transformer", {
        "layers": c.size("num_hidden_layers", field="layers"), "width": width, "heads": heads,
        "kv_heads": groups, "ffn_width": c.size("ffn_hidden_size", 4 * width, field="ffn_width"),
        "gated": False, "activation": c.activation("activation", default="gelu"),
        "norm": "layer_norm", "qkv_bias": bias, "output_bias": bias, "ffn_bias": bias,
        "parallel": ("two_norms" if new and norms == 2 else "one_norm") if beside else "no",
        "rotary": not c.flag("alibi", False),
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", True),
    }  # fmt: skip


def phi(c: Config) -> Made:
    """Phi-1, Phi-1.5, Phi-2: blocks beside each other behind one norm."""
    if c.flag("qk_layernorm", False):
        c.refuse("qk_layernorm", "normalised heads", "false")
    made = decoder(
        c, gated=False, norm="layer_norm", parallel="one_norm", qkv_bias=True, output_bias=True,
        ffn_bias=True, head_bias=True,
    )  # fmt: skip
    made["activation"] = c.activation("hidden_act", default="gelu_tanh")
    return "transformer", made | {"rotary_dim": rotary_dim(c, made, "partial_rotary_factor", 0.5)}


def stablelm(c: Config) -> Made:
    """StableLM: layer norms around a gated network; 12B has its blocks beside each other."""
    beside = c.flag("use_parallel_residual", False)
    made = decoder(
        c, norm="layer_norm", qkv_bias=c.flag("use_qkv_bias", False),
        qk_norm="whole" if c.flag("qk_layernorm", False) else False,
        parallel="one_norm" if beside else "no",
    )  # fmt: skip
    return "transformer", made | {"rotary_dim": rotary_dim(c, made, "partial_rotary_factor", 0.25)}


def gpt_neox(c: Config) -> Made:
    """GPT-NeoX, Pythia: blocks beside each other with a norm each."""
    bias = c.flag("attention_bias", True)
    beside = c.flag("use_parallel_residual", True)
    made = decoder(
        c, gated=False, norm="layer_norm", parallel="two_norms" if beside else "no", qkv_bias=bias,
        output_bias=bias, ffn_bias=True,
    )  # fmt: skip
    made["activation"] = c.activation("hidden_act", default="gelu")
    return "transformer", made | {"rotary_dim": rotary_dim(c, made, "rotary_pct", 0.25)}


def cohere(c: Config) -> Made:
    """Command R: blocks beside each other behind one layer norm without a shift."""
    bias = c.flag("attention_bias", False)
    made = decoder(
        c, norm="layer_norm", norm_vectors=1, parallel="one_norm", qkv_bias=bias, output_bias=bias,
        qk_norm="whole" if c.flag("use_qk_norm", False) else False,
    )  # fmt: skip
    return "transformer", made | {"tied_embeddings": c.flag("tie_word_embeddings", True)}


def starcoder2(c: Config) -> Made:
    """StarCoder2: layer norms, biases, a plain network."""
    bias = c.flag("use_bias", True)
    made = decoder(
        c, gated=False, norm="layer_norm", qkv_bias=bias, output_bias=bias, ffn_bias=bias
    )
    made["activation"] = c.activation("hidden_act", default="gelu_tanh")
    made["tied_embeddings"] = c.flag("tie_word_embeddings", True)
    return "transformer", made | windows(c, made["layers"])


def gptj(c: Config) -> Made:
    """GPT-J: blocks beside each other behind one norm, biases in the network alone."""
    width = c.size("n_embd", field="width")
    heads = c.size("n_head", field="heads")
    rotated = c.size("rotary_dim", 64, least=0)
    return "transformer", {
        "layers": c.size("n_layer", field="layers"), "width": width, "heads": heads,
        "ffn_width": c.size("n_inner", 4 * width, field="ffn_width"), "gated": False,
        "activation": c.activation("activation_function", default="gelu_tanh"),
        "norm": "layer_norm", "parallel": "one_norm", "ffn_bias": True, "head_bias": True,
        "rotary_dim": rotated, "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", False),
    }  # fmt: skip


def bloom(c: Config) -> Made:
    """BLOOM: ALiBi instead of positions, and a norm after the embeddings."""
    width = c.size("hidden_size", c.size("n_embed", 64), field="width")
    heads = c.size("num_attention_heads", c.size("n_head", 8), field="heads")
    layers = c.size("num_hidden_layers", c.size("n_layer", 2), field="layers")
    return "transformer", {
        "layers": layers, "width": width, "heads": heads, "ffn_width": 4 * width, "gated": False,
        "activation": "gelu_tanh", "norm": "layer_norm", "qkv_bias": True, "output_bias": True,
        "ffn_bias": True, "rotary": False, "embedding_norm": True,
        "vocabulary": c.size("vocab_size", field="vocabulary"), "tied_embeddings": True,
    }  # fmt: skip


def mpt(c: Config) -> Made:
    """MPT: ALiBi, layer norms without shifts, no biases."""
    attention = c.section("attn_config")
    if attention is not c:
        attention.choice("attn_type", ["multihead_attention"], "multihead_attention")
        if attention.flag("qk_ln", False):
            attention.refuse("qk_ln", "normalised queries and keys", "false")
        if attention.data.get("clip_qkv") is not None:
            c.notes.append("clipping of queries, keys and values is not priced")
    if not c.flag("no_bias", True):
        c.refuse("no_bias", "biases", "true")
    width = c.size("d_model", field="width")
    return "transformer", {
        "layers": c.size("n_layers", field="layers"), "width": width,
        "heads": c.size("n_heads", field="heads"),
        "ffn_width": width * c.size("expansion_ratio", 4), "gated": False, "activation": "gelu",
        "norm": "layer_norm", "norm_vectors": 1, "rotary": False,
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", True),
    }  # fmt: skip
