"""Encoders and decoders of text: T5, BART."""

from __future__ import annotations

from perfmodel.workload.importers.huggingface_models.config import Config, Made


def t5(c: Config) -> Made:
    """T5, Flan-T5: distances instead of positions, no biases."""
    layers = c.size("num_layers", 6, field="encoder_layers")
    found = c.choice("feed_forward_proj", ["relu", "gated-gelu", "gated-silu"], "relu")
    function = found.removeprefix("gated-")
    return "text_to_text", {
        "encoder_layers": layers,
        "decoder_layers": c.size("num_decoder_layers", layers, field="decoder_layers"),
        "width": c.size("d_model", 512, field="width"),
        "heads": c.size("num_heads", 8, field="heads"),
        "head_dim": c.size("d_kv", 64, field="head_dim"),
        "ffn_width": c.size("d_ff", 2048, field="ffn_width"), "gated": found != function,
        "activation": "gelu_tanh" if function == "gelu" else function,
        "relative_buckets": c.size("relative_attention_num_buckets", 32),
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", True),
    }  # fmt: skip


def bart(c: Config) -> Made:
    """BART: norms after the blocks, positions with two rows to spare."""
    heads = c.size("encoder_attention_heads", 16, field="heads")
    hidden = c.size("encoder_ffn_dim", 4096, field="ffn_width")
    for key, same in (("decoder_attention_heads", heads), ("decoder_ffn_dim", hidden)):
        if c.size(key, same) != same:
            c.refuse(key, f"differs from '{key.replace('decoder', 'encoder')}'", str(same))
    return "text_to_text", {
        "encoder_layers": c.size("encoder_layers", 12, field="encoder_layers"),
        "decoder_layers": c.size("decoder_layers", 12, field="decoder_layers"),
        "width": c.size("d_model", 1024, field="width"), "heads": heads, "ffn_width": hidden,
        "activation": c.activation("activation_function", default="gelu"), "norm": "layer_norm",
        "norm_position": "after", "bias": True, "embedding_norm": True,
        "positions": c.size("max_position_embeddings", 1024) + 2,
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", True),
    }  # fmt: skip
