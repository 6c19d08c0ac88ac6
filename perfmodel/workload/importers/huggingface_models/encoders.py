"""Encoders of text, images and speech."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

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


def vit(c: Config) -> Made:
    """ViT: a classifier, or the bare model with its pooler."""
    architectures = c.sizes("architectures") or []
    classifier = "ViTForImageClassification" in architectures
    labels = c.data.get("id2label")
    classes = len(cast("Mapping[str, Any]", labels)) if isinstance(labels, Mapping) else 2
    c.activation("hidden_act", default="gelu")
    return "vit", {
        "layers": c.size("num_hidden_layers", field="layers"),
        "width": c.size("hidden_size", field="width"),
        "heads": c.size("num_attention_heads", field="heads"),
        "ffn_width": c.size("intermediate_size", field="ffn_width"),
        "patch": c.size("patch_size", 16, field="patch"),
        "image_size": c.size("image_size", 224, field="image_size"),
        "image_channels": c.size("num_channels", 3), "qkv_bias": c.flag("qkv_bias", True),
        "classes": c.size("num_labels", classes) if classifier else 0, "pooler": not classifier,
    }  # fmt: skip


def whisper(c: Config) -> Made:
    """Whisper."""
    for ours, theirs in (
        ("encoder_attention_heads", "decoder_attention_heads"),
        ("encoder_ffn_dim", "decoder_ffn_dim"),
    ):
        if ours in c.data and theirs in c.data and c.data[ours] != c.data[theirs]:
            c.refuse(theirs, f"differs from '{ours}'", str(c.data[ours]))
    c.defaults["frames"] = 2 * c.size("max_source_positions", 1500)
    return "whisper", {
        "encoder_layers": c.size("encoder_layers", field="encoder_layers"),
        "decoder_layers": c.size("decoder_layers", field="decoder_layers"),
        "width": c.size("d_model", field="width"),
        "heads": c.size("encoder_attention_heads", field="heads"),
        "ffn_width": c.size("encoder_ffn_dim", field="ffn_width"),
        "mels": c.size("num_mel_bins", 80),
        "text_positions": c.size("max_target_positions", 448),
        "vocabulary": c.size("vocab_size", field="vocabulary"),
    }  # fmt: skip
