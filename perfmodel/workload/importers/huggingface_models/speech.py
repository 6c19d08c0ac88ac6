"""Speech recognition: encoders of audio with decoders of text."""

from __future__ import annotations

from typing import Any

from perfmodel.workload.importers.huggingface_models.config import Config, Made


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


def moonshine(c: Config) -> Made:
    """Moonshine; heads are not padded as its class pads them for a kernel's sake."""
    heads = c.size("encoder_num_attention_heads", 8, field="heads")
    for key in ("decoder_num_attention_heads", "encoder_num_key_value_heads",
                "decoder_num_key_value_heads"):  # fmt: skip
        if c.size(key, heads) != heads:
            c.refuse(key, "differs from 'encoder_num_attention_heads'", str(heads))
    for key, function in (("encoder_hidden_act", "gelu"), ("decoder_hidden_act", "silu")):
        c.choice(key, [function], function)
    if c.flag("attention_bias", False):
        c.refuse("attention_bias", "biases of the heads", "false")
    if not c.flag("tie_word_embeddings", True):
        c.refuse("tie_word_embeddings", "a classifier of its own", "true")
    width = c.size("hidden_size", field="width")
    rotated = int(width // max(heads, 1) * c.share("partial_rotary_factor", 0.9))
    return "moonshine", {
        "encoder_layers": c.size("encoder_num_hidden_layers", field="encoder_layers"),
        "decoder_layers": c.size("decoder_num_hidden_layers", field="decoder_layers"),
        "width": width, "heads": heads, "ffn_width": c.size("intermediate_size", field="ffn_width"),
        "rotary_dim": rotated, "vocabulary": c.size("vocab_size", field="vocabulary"),
    }  # fmt: skip


def wav2vec2(c: Config) -> Made:
    """Wav2Vec2 and HuBERT, with a classifier of characters where the config names it."""
    stable = c.flag("do_stable_layer_norm", False)
    if c.flag("add_adapter", False):
        c.refuse("add_adapter", "an adapter after the layers", "false")
    for key in ("hidden_act", "feat_extract_activation"):
        c.choice(key, ["gelu"], "gelu")
    named = any(str(name).endswith("ForCTC") for name in c.sizes("architectures") or [])
    made: dict[str, Any] = {
        "layers": c.size("num_hidden_layers", 12, field="layers"),
        "width": c.size("hidden_size", 768, field="width"),
        "heads": c.size("num_attention_heads", 12, field="heads"),
        "ffn_width": c.size("intermediate_size", 3072, field="ffn_width"),
        "stem_norm": c.choice("feat_extract_norm", ["group", "layer"], "group"),
        "stem_bias": c.flag("conv_bias", False), "norm_position": "before" if stable else "after",
        "position_kernel": c.size("num_conv_pos_embeddings", 128),
        "position_groups": c.size("num_conv_pos_embedding_groups", 16, field="position_groups"),
        "classes": c.size("vocab_size", 32) if named else 0,
    }  # fmt: skip
    for key, field in (("conv_dim", "channels"), ("conv_kernel", "kernels"),
                       ("conv_stride", "strides")):  # fmt: skip
        found = c.sizes(key)
        if found is not None:
            if not found or any(type(n) is not int or not 0 < n <= 10**4 for n in found):
                c.refuse(key, "is not a list of sizes", "whole numbers from 1 to 10,000")
            else:
                made[field] = found
    c.notes.append("the vector that masks features in training is left out")
    return "wav2vec2", made
