"""Encoders of text."""

from __future__ import annotations

from perfmodel.workload.importers.huggingface_models.config import Config, Made


def bert(c: Config) -> Made:
    """BERT: the encoder with its pooler, without task heads."""
    c.notes.append("the encoder with its pooler; task heads are left out")
    return "transformer", {
        "phase": "encode", "causal": False, "head": "pooler",
        "layers": c.size("num_hidden_layers", field="layers"),
        "width": c.size("hidden_size", field="width"),
        "heads": c.size("num_attention_heads", field="heads"),
        "ffn_width": c.size("intermediate_size", field="ffn_width"), "gated": False,
        "activation": c.activation("hidden_act", default="gelu"), "norm": "layer_norm",
        "norm_position": "after", "final_norm": False, "embedding_norm": True, "qkv_bias": True,
        "output_bias": True, "ffn_bias": True, "rotary": False,
        "positions": c.size("max_position_embeddings", 512),
        "token_types": c.size("type_vocab_size", 2),
        "vocabulary": c.size("vocab_size", field="vocabulary"),
    }  # fmt: skip


def roberta(c: Config) -> Made:
    """RoBERTa, XLM-RoBERTa: BERT with other tables."""
    return bert(c)


def distilbert(c: Config) -> Made:
    """DistilBERT: the encoder, without pooler and segments."""
    c.notes.append("the encoder; task heads are left out")
    return "transformer", {
        "phase": "encode", "causal": False, "head": "none",
        "layers": c.size("n_layers", 6, field="layers"), "width": c.size("dim", 768, field="width"),
        "heads": c.size("n_heads", 12, field="heads"),
        "ffn_width": c.size("hidden_dim", 3072, field="ffn_width"), "gated": False,
        "activation": c.activation("activation", default="gelu"), "norm": "layer_norm",
        "norm_position": "after", "final_norm": False, "embedding_norm": True, "qkv_bias": True,
        "output_bias": True, "ffn_bias": True, "rotary": False,
        "positions": c.size("max_position_embeddings", 512),
        "vocabulary": c.size("vocab_size", field="vocabulary"),
    }  # fmt: skip


def modernbert(c: Config) -> Made:
    """ModernBERT: every third layer attends to everything; gated, norms without shifts."""
    c.notes.append("the encoder; task heads are left out")
    for key in ("attention_bias", "mlp_bias", "norm_bias"):
        if c.flag(key, False):
            c.refuse(key, "biases", "false")
    layers = c.size("num_hidden_layers", 22, field="layers")
    every = c.size("global_attn_every_n_layers", 3)
    return "transformer", {
        "phase": "encode", "causal": False, "head": "none", "layers": layers,
        "width": c.size("hidden_size", 768, field="width"),
        "heads": c.size("num_attention_heads", 12, field="heads"),
        "ffn_width": c.size("intermediate_size", 1152, field="ffn_width"),
        "activation": c.activation("hidden_activation", default="gelu"), "norm": "layer_norm",
        "norm_vectors": 1, "embedding_norm": True, "first_norm": False,
        # A token sees half the window on either side, and itself.
        "window": c.size("local_attention", 128) // 2 * 2 + 1, "full_layers": -(-layers // every),
        "vocabulary": c.size("vocab_size", 50_368, field="vocabulary"),
    }  # fmt: skip
