"""Networks whose state has a fixed size."""

from __future__ import annotations

from typing import Any, cast

from perfmodel.workload.importers.huggingface_models.config import Config, Made


def mamba(c: Config) -> Made:
    """Mamba."""
    width = c.size("hidden_size", field="width")
    inner = c.size("intermediate_size", width * c.size("expand", 2), field="inner")
    rank = (
        0 if c.data.get("time_step_rank") == "auto" else c.size("time_step_rank", 0, field="rank")
    )
    return "mamba", {
        "layers": c.size("num_hidden_layers", field="layers"), "width": width, "inner": inner,
        "state": c.size("state_size", 16), "kernel": c.size("conv_kernel", 4), "rank": rank,
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", True),
        "conv_bias": c.flag("use_conv_bias", True), "bias": c.flag("use_bias", False),
    }  # fmt: skip


def falcon_mamba(c: Config) -> Made:
    """Falcon Mamba: Mamba with the step size, B and C normalised."""
    name, made = mamba(c)
    return name, made | {"selected_norm": True}


def mamba2(c: Config) -> Made:
    """Mamba-2, Codestral Mamba."""
    width = c.size("hidden_size", field="width")
    heads = c.size("num_heads", 128, field="heads")
    size = c.size("head_dim", 64, field="head_dim")
    if width * c.size("expand", 2) != heads * size and not c.flaws:
        c.refuse("num_heads", f"{heads} heads of {size} are not the expanded width",
                 f"'num_heads' x 'head_dim' of {width * c.size('expand', 2)}")  # fmt: skip
    return "mamba2", {
        "layers": c.size("num_hidden_layers", field="layers"), "width": width, "heads": heads,
        "head_dim": size, "groups": c.size("n_groups", 8, field="groups"),
        "state": c.size("state_size", 128), "kernel": c.size("conv_kernel", 4),
        "chunk": c.size("chunk_size", 256), "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", False),
        "conv_bias": c.flag("use_conv_bias", True), "bias": c.flag("use_bias", False),
    }  # fmt: skip


def _rwkv(c: Config, version: int, **changes: Any) -> Made:
    width = c.size("hidden_size", field="width")
    return "rwkv", {
        "version": version, "layers": c.size("num_hidden_layers", field="layers"), "width": width,
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", False),
    } | changes  # fmt: skip


def rwkv4(c: Config) -> Made:
    """RWKV-4."""
    width = c.size("hidden_size", field="width")
    return _rwkv(
        c, 4, attention_width=c.size("attention_hidden_size", width, field="attention_width"),
        ffn_width=c.size("intermediate_size", 4 * width, field="ffn_width"),
    )  # fmt: skip


def rwkv5(c: Config) -> Made:
    """RWKV-5 (Eagle) and RWKV-6 (Finch), whose low ranks follow the width as in their classes."""
    width = c.size("hidden_size", field="width")
    version = 6 if c.data.get("model_type") == "rwkv6" else 5
    large = width >= 4096
    return _rwkv(
        c, version, head_size=c.size("head_size", 64, field="head_size"),
        attention_width=c.size("attention_hidden_size", width, field="attention_width"),
        ffn_width=c.size("intermediate_size", int(width * 3.5) // 32 * 32, field="ffn_width"),
        mix_rank=64 if large else 32, decay_rank=128 if large else 64,
    )  # fmt: skip


def rwkv7(c: Config) -> Made:
    """RWKV-7 (Goose), as flash-linear-attention writes its configs."""
    width = c.size("hidden_size", field="width")
    if c.data.get("attn") is not None:
        c.refuse("attn", "layers of attention among those of RWKV", "null")
    if not c.flag("norm_bias", True):
        c.refuse("norm_bias", "layer norms without a shift", "true")
    value = c.data.get("value_dim")
    if value is not None and (value if isinstance(value, list) else [value]) != [width] * (
        len(cast("list[Any]", value)) if isinstance(value, list) else 1
    ):
        c.refuse("value_dim", "values of another width than the layers", str(width))
    usual = -(-int(width * c.size("hidden_ratio", 4)) // 32) * 32
    return _rwkv(
        c, 7, head_size=c.size("head_dim", 64, field="head_size"),
        ffn_width=c.size("intermediate_size", usual, field="ffn_width"),
        decay_rank=c.size("decay_low_rank_dim", 64), rate_rank=c.size("a_low_rank_dim", 64),
        value_rank=c.size("v_low_rank_dim", 16), gate_rank=c.size("gate_low_rank_dim", 128),
        entry_norm=c.flag("norm_first", True),
    )  # fmt: skip


def falcon_h1(c: Config) -> Made:
    """Falcon-H1: attention and Mamba-2 beside each other."""
    for key in ("attention_bias", "mlp_bias", "mamba_proj_bias", "projectors_bias"):
        if c.flag(key, False):
            c.refuse(key, "biases", "false")
    if not c.flag("mamba_conv_bias", True):
        c.refuse("mamba_conv_bias", "a convolution without a bias", "true")
    width = c.size("hidden_size", field="width")
    heads = c.size("num_attention_heads", field="heads")
    ssm_heads = c.size("mamba_n_heads", 128, field="ssm_heads")
    inner = c.size("mamba_d_ssm", width * c.size("mamba_expand", 2))
    size = 0 if c.data.get("mamba_d_head") == "auto" else c.size("mamba_d_head", 0)
    size = size or inner // max(ssm_heads, 1)
    if ssm_heads * size != inner and not c.flaws:
        c.refuse("mamba_n_heads", f"{ssm_heads} heads of {size} are not the {inner} channels",
                 f"'mamba_n_heads' x 'mamba_d_head' of {inner}")  # fmt: skip
    return "falcon_h1", {
        "layers": c.size("num_hidden_layers", field="layers"), "width": width, "heads": heads,
        "kv_heads": c.size("num_key_value_heads", heads, field="kv_heads"),
        "head_dim": c.size("head_dim", 0, field="head_dim"),
        "ffn_width": c.size("intermediate_size", field="ffn_width"), "ssm_heads": ssm_heads,
        "ssm_head_dim": max(size, 1), "ssm_groups": c.size("mamba_n_groups", 1, field="ssm_groups"),
        "ssm_state": c.size("mamba_d_state", 256), "kernel": c.size("mamba_d_conv", 4),
        "chunk": c.size("mamba_chunk_size", 256), "gate_norm": c.flag("mamba_rms_norm", False),
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", False),
    }  # fmt: skip
