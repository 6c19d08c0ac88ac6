"""What a declared architecture cannot say: windows, layouts of layers, sizes that follow others.

Each part takes the config, the fields read so far, and the arguments of the declaration; it adds
fields, notes and faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

from perfmodel.workload.importers.huggingface_models.config import Config

#: Field of the structure (``experts.count`` for one inside another) -> value.
Fields: TypeAlias = dict[str, Any]

#: Residual networks by the name that timm gives them.
_TIMM: Final = {
    "resnet18": ("basic", [2, 2, 2, 2]),
    "resnet34": ("basic", [3, 4, 6, 3]),
    "resnet50": ("bottleneck", [3, 4, 6, 3]),
    "resnet101": ("bottleneck", [3, 4, 23, 3]),
}

_FULL, _SLIDING = "full_attention", "sliding_attention"


# decoders


def windows(c: Config, f: Fields, every: Any = 0, size: int = 0) -> None:
    """Add sliding windows: from the layers' types, or every n-th layer is full."""
    window = c.size("sliding_window", size, field="window", least=0)
    types = c.sizes("layer_types")
    if types is None:
        if isinstance(every, list):
            key, (other, usual) = cast("list[Any]", every)
            every = c.size(key, c.size(other, usual))
        f |= {"window": window, "full_every": every} if window else {}
        return
    others = sorted(set(map(str, types)) - {_FULL, _SLIDING})
    if others:
        c.refuse(
            "layer_types",
            f"unknown attention {', '.join(map(repr, others))}",
            "sliding_attention or full_attention",
        )
    if len(types) != f["layers"]:
        c.refuse(
            "layer_types", f"names {len(types)} of {f['layers']} layers", f"{f['layers']} entries"
        )
    full = types.count(_FULL)
    if window and full != len(types):
        f |= {"window": window, "full_layers": full}


def unrotated_full_layers(c: Config, f: Fields, every: int) -> None:
    """Add the windows of a mix of layers; those that attend to everything do not rotate."""
    if c.sizes("layer_types") is not None:
        windows(c, f, every)
        if "window" in f:
            f["unrotated_layers"] = f["full_layers"]


def qwen_windows(c: Config, f: Fields) -> None:
    """Add Qwen's sliding windows, which a flag switches on."""
    if not c.flag("use_sliding_window", False):
        return
    if c.sizes("layer_types") is not None:
        windows(c, f)
        return
    # The first layers attend to everything.
    full = min(c.size("max_window_layers", 28, least=0), f["layers"])
    window = c.size("sliding_window", 0, field="window", least=0)
    if window and full < f["layers"]:
        f |= {"window": window, "full_layers": full}


def rotary(c: Config, f: Fields, key: str = "partial_rotary_factor", default: float = 0.5) -> None:
    """Add how much of a head is rotated; 0 for all of it."""
    if key not in c.data and isinstance(c.data.get("rope_parameters"), Mapping):
        c = c.section("rope_parameters")  # where newer files keep it
    part = c.share(key, default)
    head = f["head_dim"] or f["width"] // max(f["heads"], 1)
    rotated = int(head * part)
    f["rotary_dim"] = 0 if rotated == head else rotated


def rotated(c: Config, f: Fields, default: float) -> None:
    """Add how much of a head is rotated, all of it too."""
    head = f["width"] // max(f["heads"], 1)
    f["rotary_dim"] = int(head * c.share("partial_rotary_factor", default))


def _flags(c: Config, key: str, layers: int) -> list[bool] | None:
    """Return a flag a layer, or none where the config does not list them."""
    entries = c.sizes(key)
    if entries is None:
        return None
    if any(value not in (0, 1) for value in entries):
        c.refuse(key, "an entry is not a flag", "0 or 1 for each layer")
        return None
    if len(entries) != layers:
        c.refuse(key, f"names {len(entries)} of {layers} layers", f"{layers} entries")
        return None
    return [bool(value) for value in entries]


def unrotated_every(c: Config, f: Fields) -> None:
    """Add the layers that do not rotate their heads: as listed, or every n-th."""
    listed = _flags(c, "no_rope_layers", f["layers"])
    every = c.size("no_rope_layer_interval", 4)
    f["unrotated_layers"] = f["layers"] // every if listed is None else listed.count(False)


def rotation_layout(c: Config, f: Fields) -> None:
    """Add windows by layer; where layers have one, those without do not rotate their heads."""
    turned = _flags(c, "rope_layout", f["layers"])
    bare = 0 if turned is None else turned.count(False)
    sliding = _flags(c, "sliding_window_layout", f["layers"])
    if sliding is not None and any(sliding):
        f["window"] = c.size("sliding_window_size", 4096, field="window")
        f["full_layers"] = sliding.count(False)
        if turned is not None and bare and turned != sliding:
            c.refuse(
                "rope_layout",
                "layers without a window and layers that do not rotate differ",
                "the flags of 'sliding_window_layout'",
            )
            bare = 0
    f["unrotated_layers"] = bare


def chunks(c: Config, f: Fields) -> None:
    """Add Llama 4's chunks of attention: layers that rotate have one."""
    layers = f["layers"]
    listed = _flags(c, "no_rope_layers", layers)
    bare = (listed or [(i + 1) % 4 != 0 for i in range(layers)]).count(False)
    chunk = c.size("attention_chunk_size", 8192, least=0)
    if chunk and bare < layers:
        f |= {"window": chunk, "full_layers": bare}
        c.notes.append("chunks of attention are priced as windows of the same size")
    if c.flag("use_qk_norm", True):
        c.notes.append("the normalisation of heads, which has no weights, is not priced")
    f["unrotated_layers"] = bare


def sharing_layers(c: Config, f: Fields) -> None:
    """Add Gemma 3n's layers that read the keys and values of those before them."""
    layers, shared = f["layers"], f["sharing_layers"]
    if shared >= layers and not c.flaws:
        c.refuse(
            "num_kv_shared_layers",
            f"{shared} of {layers} layers read those before them",
            f"0 to {layers - 1}",
        )
        shared = 0
    types = c.sizes("layer_types")
    if types is None:
        types = [_FULL if i % 5 == 4 else _SLIDING for i in range(layers)]
    if len(types) != layers or not set(map(str, types)) <= {_FULL, _SLIDING}:
        c.refuse(
            "layer_types",
            "is not the attention of each layer",
            f"{layers} of sliding_attention and full_attention",
        )
        types = [_FULL] * layers
    widths = c.data.get("intermediate_size")
    if isinstance(widths, list):
        if len(set(map(str, cast("list[Any]", widths)))) != 1:
            c.refuse("intermediate_size", "layers of several hidden widths", "one width")
        c.data = {**c.data, "intermediate_size": widths[0] if widths else None}
    own = layers - shared
    f |= {
        "layers": own,
        "full_layers": types[:own].count(_FULL),
        "sharing_layers": shared,
        "sharing_full_layers": types[own:].count(_FULL),
        "ffn_width": c.size("intermediate_size", field="ffn_width"),
    }


def falcon_blocks(c: Config, f: Fields) -> None:
    """Add Falcon's key and value heads, and how its blocks stand.

    The number of key and value heads follows the class: ``num_kv_heads`` counts in the new decoder
    architecture alone.
    """
    new, single = c.flag("new_decoder_architecture", False), c.flag("multi_query", True)
    norms = c.size("num_ln_in_parallel_attn", 2 if new else 1)
    if norms > 2:
        c.refuse("num_ln_in_parallel_attn", f"{norms} norms beside each other", "1 or 2")
    beside = new or c.flag("parallel_attn", True)
    heads = f["heads"]
    f["kv_heads"] = (
        c.size("num_kv_heads", heads, field="kv_heads") if new else 1 if single else heads
    )
    f["parallel"] = ("two_norms" if new and norms == 2 else "one_norm") if beside else "no"


def mpt_attention(c: Config, f: Fields) -> None:
    """Check what MPT says of its attention."""
    del f
    attention = c.section("attn_config")
    if attention is not c:
        attention.choice("attn_type", ["multihead_attention"], "multihead_attention")
        if attention.flag("qk_ln", False):
            attention.refuse("qk_ln", "normalised queries and keys", "false")
        if attention.data.get("clip_qkv") is not None:
            c.notes.append("clipping of queries, keys and values is not priced")


def dense_first(c: Config, f: Fields) -> None:
    """Add Qwen's layers without experts, which come first."""
    dense = c.sizes("mlp_only_layers") or []
    if dense != list(range(len(dense))):
        c.refuse("mlp_only_layers", "dense layers after the first ones", "[0, 1, ...]")
    f["experts.dense_layers"] = len(dense)
    dense_width(c, f)


def dense_width(c: Config, f: Fields) -> None:
    """Add the width of the first layers' feed-forward network, where some have no experts."""
    if f["experts.dense_layers"]:
        f["ffn_width"] = c.size("intermediate_size", field="ffn_width")


def local_attention(c: Config, f: Fields) -> None:
    """Add ModernBERT's windows: a token sees half the window on either side, and itself."""
    every = c.size("global_attn_every_n_layers", 3)
    f["window"] = c.size("local_attention", 128) // 2 * 2 + 1
    f["full_layers"] = -(-f["layers"] // every)


# images and detectors


def labels(c: Config, f: Fields, default: int = 2, more: int = 0) -> None:
    """Add the outputs of a classifier; `default` of them, and `more` that have no label."""
    named = c.data.get("id2label")
    stated = len(cast("Mapping[str, Any]", named)) if isinstance(named, Mapping) else default
    f["classes"] = c.size("num_labels", stated) + more


def classifier(c: Config, f: Fields, name: str, bare: str = "") -> None:
    """Add a classifier where the config names its class, else a pooler."""
    f["classes"] = 0
    if name in c.classes:
        labels(c, f)
    f["pooler"] = name not in c.classes
    if bare and f"{name}WithTeacher" in c.classes:
        c.refuse("architectures", "two classifiers", f"{name} or {bare}")


def projected(c: Config, f: Fields, name: str, tower: str = "") -> None:
    """Add the projection of a tower where the config names the class that has one."""
    wide = c.section(f"{tower}_config").size("projection_dim", 512) if name in c.classes else 0
    f[f"{tower}.projection" if tower else "projection"] = wide


def flexible_patches(c: Config, f: Fields) -> None:
    """Read SigLIP 2's images of any size: a table of positions that is square."""
    if str(c.data.get("model_type", "")).startswith("siglip2") and "num_patches" in c.data:
        count = c.size("num_patches", 256)
        side = int(count**0.5)
        if side * side != count:
            c.refuse("num_patches", "the table of positions is not square", str(side * side))
        f["image_size"] = side * f["patch"]


def stages(c: Config, f: Fields, **fields: list[Any]) -> None:
    """Add sizes of each of four stages: field -> key and what the class has."""
    for field, (key, usual) in fields.items():
        entries = c.sizes(key)
        if entries is not None and (
            len(entries) != 4 or any(type(n) is not int or n < 1 for n in entries)
        ):
            c.refuse(key, "is not a size of each of four stages", f"such as {usual}")
            entries = None
        f[field] = usual if entries is None else entries


def residual(c: Config, f: Fields, message: str = "is another than that of the family") -> None:
    """Add the block of a residual network, and check what all of them have."""
    block = c.choice("layer_type", ["basic", "bottleneck"], "bottleneck")
    widths = c.data.get("hidden_sizes")
    usual = [w * (4 if block == "bottleneck" else 1) for w in (64, 128, 256, 512)]
    if widths is not None and widths != usual:
        c.refuse("hidden_sizes", message, str(usual))
    if c.size("embedding_size", 64) != 64:
        c.refuse("embedding_size", "an unusual width of the stem", "64")
    for key in ("downsample_in_first_stage", "downsample_in_bottleneck"):
        if c.flag(key, False):
            c.refuse(key, "an unusual place of the stride", "false")
    f["block"] = block


def backbone(c: Config, f: Fields) -> None:
    """Add the residual network that a detector's maps come from."""
    inner = c.section("backbone_config")
    named = (
        inner is c
        or inner.choice("model_type", ["resnet", "rt_detr_resnet", "timm_backbone"], "resnet")
        == "timm_backbone"
    )
    if named:
        f["block"], f["depths"] = _TIMM[inner.choice("backbone", list(_TIMM), "resnet50")]
        return
    f["depths"] = inner.sizes("depths") or [3, 4, 6, 3]
    if len(f["depths"]) != 4:
        inner.refuse("depths", f"{len(f['depths'])} stages", "4 stages")
    residual(inner, f, "unusual widths of the stages")


def expansion(c: Config, f: Fields) -> None:
    """Add the width of RT-DETR's blocks, a share of the network's."""
    f["block_width"] = max(1, int(f["width"] * c.share("hidden_expansion", 1.0)))


def image_sides(c: Config, f: Fields) -> None:
    """Add the height and width of an image."""
    size = c.sizes("image_size") or [512, 864]
    if len(size) != 2 or any(type(side) is not int or side < 1 for side in size):
        c.refuse("image_size", "is not a height and a width", "two whole numbers")
        size = [512, 864]
    f["image_height"], f["image_width"] = size


# speech, texts, states of a fixed size


def stem(c: Config, f: Fields) -> None:
    """Add the convolutions in front of Wav2Vec2, and the classifier that a class may have."""
    named = any(str(name).endswith("ForCTC") for name in c.classes)
    f["classes"] = c.size("vocab_size", 32) if named else 0
    for key, field in (
        ("conv_dim", "channels"),
        ("conv_kernel", "kernels"),
        ("conv_stride", "strides"),
    ):
        entries = c.sizes(key)
        if entries is not None:
            if not entries or any(type(n) is not int or not 0 < n <= 10**4 for n in entries):
                c.refuse(key, "is not a list of sizes", "whole numbers from 1 to 10,000")
            else:
                f[field] = entries


def feed_forward_proj(c: Config, f: Fields) -> None:
    """Add T5's feed-forward network: gated, or not."""
    entries = c.choice("feed_forward_proj", ["relu", "gated-gelu", "gated-silu"], "relu")
    function = entries.removeprefix("gated-")
    f["gated"] = entries != function
    f["activation"] = "gelu_tanh" if function == "gelu" else function


def expanded_width(c: Config, f: Fields) -> None:
    """Check that Mamba-2's heads are the expanded width."""
    heads, size, inner = f["heads"], f["head_dim"], f["_inner"]
    if inner != heads * size and not c.flaws:
        c.refuse(
            "num_heads",
            f"{heads} heads of {size} are not the expanded width",
            f"'num_heads' x 'head_dim' of {inner}",
        )


def ssm_heads(c: Config, f: Fields) -> None:
    """Add the size of Falcon-H1's heads, which hold all channels of its Mamba."""
    heads, inner = f["ssm_heads"], f["_inner"]
    size = f["ssm_head_dim"] or inner // max(heads, 1)
    if heads * size != inner and not c.flaws:
        c.refuse(
            "mamba_n_heads",
            f"{heads} heads of {size} are not the {inner} channels",
            f"'mamba_n_heads' x 'mamba_d_head' of {inner}",
        )
    f["ssm_head_dim"] = max(size, 1)


def rwkv_ranks(c: Config, f: Fields) -> None:
    """Add what follows the width of RWKV-5 and 6."""
    usual, large = int(f["width"] * 3.5) // 32 * 32, f["width"] >= 4096
    f["ffn_width"] = c.size("intermediate_size", usual, field="ffn_width")
    f["mix_rank"], f["decay_rank"] = (64, 128) if large else (32, 64)


def goose(c: Config, f: Fields) -> None:
    """Add the hidden width of RWKV-7, and check that no layer is of another kind."""
    width = f["width"]
    if c.data.get("attn") is not None:
        c.refuse("attn", "layers of attention among those of RWKV", "null")
    value: Any = c.data.get("value_dim")
    listed = cast("list[Any]", value if isinstance(value, list) else [value])
    if value is not None and any(size != width for size in listed):
        c.refuse("value_dim", "values of another width than the layers", str(width))
    usual = -(-width * f["_ratio"] // 32) * 32
    f["ffn_width"] = c.size("intermediate_size", usual, field="ffn_width")
