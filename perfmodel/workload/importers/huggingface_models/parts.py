"""Structure that declarations cannot express: windows, layouts of layers, derived sizes.

Each function receives the config, the fields read so far and the arguments of the declaration, and
adds fields, notes and faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

from perfmodel.workload.importers.huggingface_models.config import Config

#: Field of the structure (``experts.count`` for a nested one) -> value.
Fields: TypeAlias = dict[str, Any]

#: Residual networks by their name in timm: block and depths of the stages.
_TIMM: Final = {
    "resnet18": ("basic", [2, 2, 2, 2]),
    "resnet34": ("basic", [3, 4, 6, 3]),
    "resnet50": ("bottleneck", [3, 4, 6, 3]),
    "resnet101": ("bottleneck", [3, 4, 23, 3]),
}

_FULL, _SLIDING = "full_attention", "sliding_attention"


# decoders


def windows(config: Config, fields: Fields, every: Any = 0, size: int = 0) -> None:
    """Add sliding windows, from ``layer_types`` or with full attention in every n-th layer."""
    window = config.size("sliding_window", size, field="window", least=0)
    types = config.sizes("layer_types")
    if types is None:
        if isinstance(every, list):
            key, (other, usual) = cast("list[Any]", every)
            every = config.size(key, config.size(other, usual))
        fields |= {"window": window, "full_every": every} if window else {}
        return
    others = sorted(set(map(str, types)) - {_FULL, _SLIDING})
    if others:
        config.refuse(
            "layer_types",
            f"unknown attention {', '.join(map(repr, others))}",
            "sliding_attention or full_attention",
        )
    if len(types) != fields["layers"]:
        config.refuse(
            "layer_types",
            f"names {len(types)} of {fields['layers']} layers",
            f"{fields['layers']} entries",
        )
    full = types.count(_FULL)
    if window and full != len(types):
        fields |= {"window": window, "full_layers": full}


def unrotated_full_layers(config: Config, fields: Fields, every: int) -> None:
    """Add windows from ``layer_types``; layers with full attention have no rotary embedding."""
    if config.sizes("layer_types") is not None:
        windows(config, fields, every)
        if "window" in fields:
            fields["unrotated_layers"] = fields["full_layers"]


def qwen_windows(config: Config, fields: Fields) -> None:
    """Add Qwen's sliding windows if ``use_sliding_window`` is set."""
    if not config.flag("use_sliding_window", False):
        return
    if config.sizes("layer_types") is not None:
        windows(config, fields)
        return
    # The first layers have full attention.
    full = min(config.size("max_window_layers", 28, least=0), fields["layers"])
    window = config.size("sliding_window", 0, field="window", least=0)
    if window and full < fields["layers"]:
        fields |= {"window": window, "full_layers": full}


def rotary(
    config: Config, fields: Fields, key: str = "partial_rotary_factor", default: float = 0.5
) -> None:
    """Add the number of rotated elements per head; 0 for all."""
    if key not in config.data and isinstance(config.data.get("rope_parameters"), Mapping):
        config = config.section("rope_parameters")  # location in newer files
    part = config.share(key, default)
    head = fields["head_dim"] or fields["width"] // max(fields["heads"], 1)
    rotated = int(head * part)
    fields["rotary_dim"] = 0 if rotated == head else rotated


def rotated(config: Config, fields: Fields, default: float) -> None:
    """Add the number of rotated elements per head, explicitly also if all are."""
    head = fields["width"] // max(fields["heads"], 1)
    fields["rotary_dim"] = int(head * config.share("partial_rotary_factor", default))


def _flags(config: Config, key: str, layers: int) -> list[bool] | None:
    """Return a flag per layer, or None if the config has no such list."""
    entries = config.sizes(key)
    if entries is None:
        return None
    if any(value not in (0, 1) for value in entries):
        config.refuse(key, "an entry is not a flag", "0 or 1 for each layer")
        return None
    if len(entries) != layers:
        config.refuse(key, f"names {len(entries)} of {layers} layers", f"{layers} entries")
        return None
    return [bool(value) for value in entries]


def unrotated_every(config: Config, fields: Fields) -> None:
    """Add the number of layers without rotary embedding: as listed, or every n-th."""
    listed = _flags(config, "no_rope_layers", fields["layers"])
    every = config.size("no_rope_layer_interval", 4)
    fields["unrotated_layers"] = (
        fields["layers"] // every if listed is None else listed.count(False)
    )


def rotation_layout(config: Config, fields: Fields) -> None:
    """Add windows by layer; if there are any, only layers with a window may rotate heads."""
    turned = _flags(config, "rope_layout", fields["layers"])
    bare = 0 if turned is None else turned.count(False)
    sliding = _flags(config, "sliding_window_layout", fields["layers"])
    if sliding is not None and any(sliding):
        fields["window"] = config.size("sliding_window_size", 4096, field="window")
        fields["full_layers"] = sliding.count(False)
        if turned is not None and bare and turned != sliding:
            config.refuse(
                "rope_layout",
                "layers without a window and layers that do not rotate differ",
                "the flags of 'sliding_window_layout'",
            )
            bare = 0
    fields["unrotated_layers"] = bare


def chunks(config: Config, fields: Fields) -> None:
    """Add Llama 4's chunked attention: layers with rotary embedding attend within chunks."""
    layers = fields["layers"]
    listed = _flags(config, "no_rope_layers", layers)
    bare = (listed or [(i + 1) % 4 != 0 for i in range(layers)]).count(False)
    chunk = config.size("attention_chunk_size", 8192, least=0)
    if chunk and bare < layers:
        fields |= {"window": chunk, "full_layers": bare}
        config.notes.append("chunks of attention are priced as windows of the same size")
    if config.flag("use_qk_norm", True):
        config.notes.append("the normalisation of heads, which has no weights, is not priced")
    fields["unrotated_layers"] = bare


def sharing_layers(config: Config, fields: Fields) -> None:
    """Add Gemma 3n's layers that share the keys and values of earlier layers."""
    layers, shared = fields["layers"], fields["sharing_layers"]
    if shared >= layers and not config.flaws:
        config.refuse(
            "num_kv_shared_layers",
            f"{shared} of {layers} layers read those before them",
            f"0 to {layers - 1}",
        )
        shared = 0
    types = config.sizes("layer_types")
    if types is None:
        types = [_FULL if i % 5 == 4 else _SLIDING for i in range(layers)]
    if len(types) != layers or not set(map(str, types)) <= {_FULL, _SLIDING}:
        config.refuse(
            "layer_types",
            "is not the attention of each layer",
            f"{layers} of sliding_attention and full_attention",
        )
        types = [_FULL] * layers
    widths = config.data.get("intermediate_size")
    if isinstance(widths, list):
        if len(set(map(str, cast("list[Any]", widths)))) != 1:
            config.refuse("intermediate_size", "layers of several hidden widths", "one width")
        config.data = {**config.data, "intermediate_size": widths[0] if widths else None}
    own = layers - shared
    fields |= {
        "layers": own,
        "full_layers": types[:own].count(_FULL),
        "sharing_layers": shared,
        "sharing_full_layers": types[own:].count(_FULL),
        "ffn_width": config.size("intermediate_size", field="ffn_width"),
    }


def falcon_blocks(config: Config, fields: Fields) -> None:
    """Add Falcon's key and value heads, and the arrangement of its blocks.

    As in the model class, ``num_kv_heads`` only applies to the new decoder architecture; otherwise
    there is one head with ``multi_query``, or as many as query heads.
    """
    new, single = config.flag("new_decoder_architecture", False), config.flag("multi_query", True)
    norms = config.size("num_ln_in_parallel_attn", 2 if new else 1)
    if norms > 2:
        config.refuse("num_ln_in_parallel_attn", f"{norms} norms beside each other", "1 or 2")
    parallel = new or config.flag("parallel_attn", True)
    heads = fields["heads"]
    fields["kv_heads"] = (
        config.size("num_kv_heads", heads, field="kv_heads") if new else 1 if single else heads
    )
    fields["parallel"] = ("two_norms" if new and norms == 2 else "one_norm") if parallel else "no"


def mpt_attention(config: Config, fields: Fields) -> None:
    """Check the attention config of MPT."""
    del fields
    attention = config.section("attn_config")
    if attention is not config:
        attention.choice("attn_type", ["multihead_attention"], "multihead_attention")
        if attention.flag("qk_ln", False):
            attention.refuse("qk_ln", "normalised queries and keys", "false")
        if attention.data.get("clip_qkv") is not None:
            config.notes.append("clipping of queries, keys and values is not priced")


def dense_first(config: Config, fields: Fields) -> None:
    """Add the number of Qwen's dense layers, which must precede those with experts."""
    dense = config.sizes("mlp_only_layers") or []
    if dense != list(range(len(dense))):
        config.refuse("mlp_only_layers", "dense layers after the first ones", "[0, 1, ...]")
    fields["experts.dense_layers"] = len(dense)
    dense_width(config, fields)


def dense_width(config: Config, fields: Fields) -> None:
    """Add the feed-forward width of the dense layers, if there are any."""
    if fields["experts.dense_layers"]:
        fields["ffn_width"] = config.size("intermediate_size", field="ffn_width")


def local_attention(config: Config, fields: Fields) -> None:
    """Add ModernBERT's windows: half a window on either side of a token, plus the token."""
    every = config.size("global_attn_every_n_layers", 3)
    fields["window"] = config.size("local_attention", 128) // 2 * 2 + 1
    fields["full_layers"] = -(-fields["layers"] // every)


# images and detectors


def labels(config: Config, fields: Fields, default: int = 2, more: int = 0) -> None:
    """Add the number of classes: labels (or `default`), plus `more` classes without a label."""
    named = config.data.get("id2label")
    stated = len(cast("Mapping[str, Any]", named)) if isinstance(named, Mapping) else default
    fields["classes"] = config.size("num_labels", stated) + more


def classifier(config: Config, fields: Fields, name: str, bare: str = "") -> None:
    """Add a classifier if the config names its class, else a pooler."""
    fields["classes"] = 0
    if name in config.classes:
        labels(config, fields)
    fields["pooler"] = name not in config.classes
    if bare and f"{name}WithTeacher" in config.classes:
        config.refuse("architectures", "two classifiers", f"{name} or {bare}")


def projected(config: Config, fields: Fields, name: str, tower: str = "") -> None:
    """Add the projection of a tower if the config names the class with one."""
    wide = (
        config.section(f"{tower}_config").size("projection_dim", 512)
        if name in config.classes
        else 0
    )
    fields[f"{tower}.projection" if tower else "projection"] = wide


def flexible_patches(config: Config, fields: Fields) -> None:
    """Add the image size of SigLIP 2 models with a square table of positions."""
    if (
        str(config.data.get("model_type", "")).startswith("siglip2")
        and "num_patches" in config.data
    ):
        count = config.size("num_patches", 256)
        side = int(count**0.5)
        if side * side != count:
            config.refuse("num_patches", "the table of positions is not square", str(side * side))
        fields["image_size"] = side * fields["patch"]


def stages(config: Config, fields: Fields, **sizes: list[Any]) -> None:
    """Add sizes of four stages: field -> (key, default of the class)."""
    for field, (key, usual) in sizes.items():
        entries = config.sizes(key)
        if entries is not None and (
            len(entries) != 4 or any(type(n) is not int or n < 1 for n in entries)
        ):
            config.refuse(key, "is not a size of each of four stages", f"such as {usual}")
            entries = None
        fields[field] = usual if entries is None else entries


def residual(
    config: Config, fields: Fields, message: str = "is another than that of the family"
) -> None:
    """Add the block type of a residual network, and check its widths and strides."""
    block = config.choice("layer_type", ["basic", "bottleneck"], "bottleneck")
    widths = config.data.get("hidden_sizes")
    usual = [w * (4 if block == "bottleneck" else 1) for w in (64, 128, 256, 512)]
    if widths is not None and widths != usual:
        config.refuse("hidden_sizes", message, str(usual))
    if config.size("embedding_size", 64) != 64:
        config.refuse("embedding_size", "an unusual width of the stem", "64")
    for key in ("downsample_in_first_stage", "downsample_in_bottleneck"):
        if config.flag(key, False):
            config.refuse(key, "an unusual place of the stride", "false")
    fields["block"] = block


def backbone(config: Config, fields: Fields) -> None:
    """Add the residual backbone of a detector."""
    inner = config.section("backbone_config")
    named = (
        inner is config
        or inner.choice("model_type", ["resnet", "rt_detr_resnet", "timm_backbone"], "resnet")
        == "timm_backbone"
    )
    if named:
        fields["block"], fields["depths"] = _TIMM[inner.choice("backbone", list(_TIMM), "resnet50")]
        return
    fields["depths"] = inner.sizes("depths") or [3, 4, 6, 3]
    if len(fields["depths"]) != 4:
        inner.refuse("depths", f"{len(fields['depths'])} stages", "4 stages")
    residual(inner, fields, "unusual widths of the stages")


def expansion(config: Config, fields: Fields) -> None:
    """Add the width of RT-DETR's blocks, ``hidden_expansion`` times the network's width."""
    fields["block_width"] = max(1, int(fields["width"] * config.share("hidden_expansion", 1.0)))


def image_sides(config: Config, fields: Fields) -> None:
    """Add the height and width of an image."""
    size = config.sizes("image_size") or [512, 864]
    if len(size) != 2 or any(type(side) is not int or side < 1 for side in size):
        config.refuse("image_size", "is not a height and a width", "two whole numbers")
        size = [512, 864]
    fields["image_height"], fields["image_width"] = size


# speech, texts, states of a fixed size


def stem(config: Config, fields: Fields) -> None:
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


def feed_forward_proj(config: Config, fields: Fields) -> None:
    """Add the gate and activation of T5's feed-forward network."""
    entries = config.choice("feed_forward_proj", ["relu", "gated-gelu", "gated-silu"], "relu")
    function = entries.removeprefix("gated-")
    fields["gated"] = entries != function
    fields["activation"] = "gelu_tanh" if function == "gelu" else function


def expanded_width(config: Config, fields: Fields) -> None:
    """Check that Mamba-2's heads times their size equal the expanded width."""
    heads, size, inner = fields["heads"], fields["head_dim"], fields["_inner"]
    if inner != heads * size and not config.flaws:
        config.refuse(
            "num_heads",
            f"{heads} heads of {size} are not the expanded width",
            f"'num_heads' x 'head_dim' of {inner}",
        )


def ssm_heads(config: Config, fields: Fields) -> None:
    """Add the size of Falcon-H1's Mamba heads, which must cover all channels."""
    heads, inner = fields["ssm_heads"], fields["_inner"]
    size = fields["ssm_head_dim"] or inner // max(heads, 1)
    if heads * size != inner and not config.flaws:
        config.refuse(
            "mamba_n_heads",
            f"{heads} heads of {size} are not the {inner} channels",
            f"'mamba_n_heads' x 'mamba_d_head' of {inner}",
        )
    fields["ssm_head_dim"] = max(size, 1)


def rwkv_ranks(config: Config, fields: Fields) -> None:
    """Add the feed-forward width and ranks of RWKV-5 and 6, which depend on the width."""
    usual, large = int(fields["width"] * 3.5) // 32 * 32, fields["width"] >= 4096
    fields["ffn_width"] = config.size("intermediate_size", usual, field="ffn_width")
    fields["mix_rank"], fields["decay_rank"] = (64, 128) if large else (32, 64)


def goose(config: Config, fields: Fields) -> None:
    """Add the feed-forward width of RWKV-7, and check that it has no attention layers."""
    width = fields["width"]
    if config.data.get("attn") is not None:
        config.refuse("attn", "layers of attention among those of RWKV", "null")
    value: Any = config.data.get("value_dim")
    listed = cast("list[Any]", value if isinstance(value, list) else [value])
    if value is not None and any(size != width for size in listed):
        config.refuse("value_dim", "values of another width than the layers", str(width))
    usual = -(-width * fields["_ratio"] // 32) * 32
    fields["ffn_width"] = config.size("intermediate_size", usual, field="ffn_width")
