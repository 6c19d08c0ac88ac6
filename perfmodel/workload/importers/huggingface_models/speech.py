"""Speech recognition: encoders of audio with decoders of text."""

from __future__ import annotations

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
