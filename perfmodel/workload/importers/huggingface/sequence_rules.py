"""Rules of speech networks, T5, and networks with a state: stems, gates, derived widths.

`declarations` calls the functions that the section ``rules`` of an architecture names, after its
plain fields have been read. Each function receives the config, the fields so far and the arguments
in the declaration; it adds fields, and records notes and faults. Rules and defaults are those of
the configuration and model classes in huggingface/transformers, src/transformers/models.
"""

from __future__ import annotations

from typing import Any, cast

from perfmodel.workload.importers.huggingface.config import Config, Fields


def add_convolutional_stem(config: Config, fields: Fields) -> None:
    """Add the convolutional stem of Wav2Vec2, and the classifier of a CTC class."""
    named = any(str(name).endswith("ForCTC") for name in config.classes)
    fields["classes"] = config.size("vocab_size", 32) if named else 0
    for key, field in (
        ("conv_dim", "channels"),
        ("conv_kernel", "kernels"),
        ("conv_stride", "strides"),
    ):
        entries = config.sizes(key)
        if entries is not None:
            if not entries or any(type(n) is not int or not 0 < n <= 10**4 for n in entries):
                config.refuse(key, "is not a list of sizes", "whole numbers from 1 to 10,000")
            else:
                fields[field] = entries


def add_gated_feed_forward(config: Config, fields: Fields) -> None:
    """Add the gate and activation of T5's feed-forward network."""
    entries = config.choice("feed_forward_proj", ["relu", "gated-gelu", "gated-silu"], "relu")
    function = entries.removeprefix("gated-")
    fields["gated"] = entries != function
    fields["activation"] = "gelu_tanh" if function == "gelu" else function


def check_expanded_width(config: Config, fields: Fields) -> None:
    """Check that Mamba-2's ``num_heads * head_dim`` is the expanded width."""
    heads, size, inner = fields["heads"], fields["head_dim"], fields["_inner"]
    if inner != heads * size and not config.flaws:
        config.refuse(
            "num_heads",
            f"{heads} heads of {size} are not the expanded width",
            f"'num_heads' x 'head_dim' of {inner}",
        )


def add_ssm_head_dim(config: Config, fields: Fields) -> None:
    """Add the width of Falcon-H1's Mamba heads, which must cover all channels."""
    heads, inner = fields["ssm_heads"], fields["_inner"]
    size = fields["ssm_head_dim"] or inner // max(heads, 1)
    if heads * size != inner and not config.flaws:
        config.refuse(
            "mamba_n_heads",
            f"{heads} heads of {size} are not the {inner} channels",
            f"'mamba_n_heads' x 'mamba_d_head' of {inner}",
        )
    fields["ssm_head_dim"] = max(size, 1)


def add_rwkv_ranks(config: Config, fields: Fields) -> None:
    """Add the feed-forward width and the ranks of RWKV-5 and 6.

    The width is ``32 floor(3.5 width / 32)`` by default; the ranks double from width 4096.
    """
    usual, large = int(fields["width"] * 3.5) // 32 * 32, fields["width"] >= 4096
    fields["ffn_width"] = config.size("intermediate_size", usual, field="ffn_width")
    fields["mix_rank"], fields["decay_rank"] = (64, 128) if large else (32, 64)


def add_rwkv7_width(config: Config, fields: Fields) -> None:
    """Add the feed-forward width of RWKV-7, ``32 ceil(width * ratio / 32)`` by default.

    Layers of attention, and values of another width than the layers, are refused.
    """
    width = fields["width"]
    if config.data.get("attn") is not None:
        config.refuse("attn", "layers of attention among those of RWKV", "null")
    value: Any = config.data.get("value_dim")
    listed = cast("list[Any]", value if isinstance(value, list) else [value])
    if value is not None and any(size != width for size in listed):
        config.refuse("value_dim", "values of another width than the layers", str(width))
    usual = -(-width * fields["_ratio"] // 32) * 32
    fields["ffn_width"] = config.size("intermediate_size", usual, field="ffn_width")
