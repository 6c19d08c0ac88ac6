"""Rules of decoders: sliding windows, rotary embeddings, layouts of layers, attention heads.

`declarations` calls the functions that the section ``rules`` of an architecture names, after its
plain fields have been read. Each function receives the config, the fields so far and the arguments
in the declaration; it adds fields, and records notes and faults. Rules and defaults are those of
the configuration and model classes in huggingface/transformers, src/transformers/models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from perfmodel.workload.importers.huggingface.config import Config, Fields

_FULL, _SLIDING = "full_attention", "sliding_attention"


def add_windows(config: Config, fields: Fields, every: Any = 0, size: int = 0) -> None:
    """Add sliding windows, from ``layer_types`` or with full attention in every n-th layer.

    Parameters
    ----------
    every
        Period n of the pattern, or ``[key, [other key, default]]`` of the config; 0 if all layers
        have windows.
    size
        Tokens of the window if the config does not state it.
    """
    window = config.size("sliding_window", size, field="window", least=0)
    types = _attention_types(config, fields["layers"])
    if types is None:
        if isinstance(every, list):
            key, (other, usual) = cast("list[Any]", every)
            every = config.size(key, config.size(other, usual))
        fields |= {"window": window, "full_every": every} if window else {}
        return
    full = types.count(_FULL)
    if window and full != len(types):
        fields |= {"window": window, "full_layers": full}


def add_unrotated_full_layers(config: Config, fields: Fields, every: int) -> None:
    """Add windows from ``layer_types``; layers with full attention have no rotary embedding."""
    if config.sizes("layer_types") is not None:
        add_windows(config, fields, every)
        if "window" in fields:
            fields["unrotated_layers"] = fields["full_layers"]


def add_qwen_windows(config: Config, fields: Fields) -> None:
    """Add Qwen's sliding windows if ``use_sliding_window`` is set.

    The first ``max_window_layers`` layers have full attention, the others a window.
    """
    if not config.flag("use_sliding_window", False):
        return
    if config.sizes("layer_types") is not None:
        add_windows(config, fields)
        return
    # The first layers have full attention.
    full = min(config.size("max_window_layers", 28, least=0), fields["layers"])
    window = config.size("sliding_window", 0, field="window", least=0)
    if window and full < fields["layers"]:
        fields |= {"window": window, "full_layers": full}


def add_rotary_share(
    config: Config, fields: Fields, key: str = "partial_rotary_factor", default: float = 0.5
) -> None:
    """Add the rotated elements per head, ``floor(head_dim * share)``; 0 stands for all."""
    if key not in config.data and isinstance(config.data.get("rope_parameters"), Mapping):
        config = config.section("rope_parameters")  # location in newer files
    share = config.share(key, default)
    head_dim = fields["head_dim"] or fields["width"] // max(fields["heads"], 1)
    rotated_elements = int(head_dim * share)
    fields["rotary_dim"] = 0 if rotated_elements == head_dim else rotated_elements


def add_rotated_elements(config: Config, fields: Fields, default: float) -> None:
    """Add the rotated elements per head, ``floor(head_dim * share)``, stated even if all are."""
    head = fields["width"] // max(fields["heads"], 1)
    fields["rotary_dim"] = int(head * config.share("partial_rotary_factor", default))


def _attention_types(config: Config, layers: int) -> list[Any] | None:
    """Return ``layer_types``, the attention of each layer; None if the config has no such list."""
    types = config.sizes("layer_types")
    others = sorted(set(map(str, types or ())) - {_FULL, _SLIDING})
    if others:
        unknown = f"unknown attention {', '.join(map(repr, others))}"
        config.refuse("layer_types", unknown, f"{_SLIDING} or {_FULL}")
    if types is not None and len(types) != layers:
        message = f"names {len(types)} of {layers} layers"
        config.refuse("layer_types", message, f"{layers} entries")
    return types


def _flags(config: Config, key: str, layers: int) -> list[bool] | None:
    """Return a flag for each layer, or None if the config has no such list."""
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


def add_unrotated_layers(config: Config, fields: Fields) -> None:
    """Add the number of layers without rotary embedding: as listed, or ``floor(layers / n)``."""
    listed = _flags(config, "no_rope_layers", fields["layers"])
    every = config.size("no_rope_layer_interval", 4)
    fields["unrotated_layers"] = (
        fields["layers"] // every if listed is None else listed.count(False)
    )


def add_rotation_layout(config: Config, fields: Fields) -> None:
    """Add windows by layer; with windows, only the layers that have one may rotate heads."""
    is_rotated = _flags(config, "rope_layout", fields["layers"])
    unrotated = 0 if is_rotated is None else is_rotated.count(False)
    is_sliding = _flags(config, "sliding_window_layout", fields["layers"])
    if is_sliding is not None and any(is_sliding):
        fields["window"] = config.size("sliding_window_size", 4096, field="window")
        fields["full_layers"] = is_sliding.count(False)
        if is_rotated is not None and unrotated and is_rotated != is_sliding:
            config.refuse(
                "rope_layout",
                "layers without a window and layers that do not rotate differ",
                "the flags of 'sliding_window_layout'",
            )
            unrotated = 0
    fields["unrotated_layers"] = unrotated


def add_attention_chunks(config: Config, fields: Fields) -> None:
    """Add Llama 4's chunked attention: layers with rotary embedding attend within chunks.

    Unless ``no_rope_layers`` lists them, every fourth layer has neither rotary embedding nor
    chunks. A chunk is priced as a window of its size.
    """
    layers = fields["layers"]
    is_rotated = _flags(config, "no_rope_layers", layers)
    unrotated = (is_rotated or [(i + 1) % 4 != 0 for i in range(layers)]).count(False)
    chunk = config.size("attention_chunk_size", 8192, least=0)
    if chunk and unrotated < layers:
        fields |= {"window": chunk, "full_layers": unrotated}
        config.notes.append("chunks of attention are priced as windows of the same size")
    if config.flag("use_qk_norm", True):
        config.notes.append("the normalisation of heads, which has no weights, is not priced")
    fields["unrotated_layers"] = unrotated


def add_sharing_layers(config: Config, fields: Fields) -> None:
    """Add Gemma 3n's layers that share the keys and values of earlier layers.

    The last ``num_kv_shared_layers`` layers share; full attention is counted separately among the
    sharing layers and the others. By default every fifth layer has full attention.
    """
    layers, shared = fields["layers"], fields["sharing_layers"]
    if shared >= layers and not config.flaws:
        config.refuse(
            "num_kv_shared_layers",
            f"{shared} of {layers} layers read those before them",
            f"0 to {layers - 1}",
        )
        shared = 0
    types = _attention_types(config, layers)
    if types is None:
        types = [_FULL if i % 5 == 4 else _SLIDING for i in range(layers)]
    widths = config.data.get("intermediate_size")
    if isinstance(widths, list):
        if len(set(map(str, cast("list[Any]", widths)))) != 1:
            config.refuse("intermediate_size", "layers of several hidden widths", "one width")
        config.data = {**config.data, "intermediate_size": widths[0] if widths else None}
    unshared = layers - shared
    fields |= {
        "layers": unshared,
        "full_layers": types[:unshared].count(_FULL),
        "sharing_layers": shared,
        "sharing_full_layers": types[unshared:].count(_FULL),
        "ffn_width": config.size("intermediate_size", field="ffn_width"),
    }


def add_falcon_blocks(config: Config, fields: Fields) -> None:
    """Add Falcon's key and value heads, and the arrangement of its blocks.

    As in the model class, ``num_kv_heads`` only applies to the new decoder architecture; otherwise
    there is one head with ``multi_query``, or as many as query heads.
    """
    is_new, is_multi_query = (
        config.flag("new_decoder_architecture", False),
        config.flag("multi_query", True),
    )
    norms = config.size("num_ln_in_parallel_attn", 2 if is_new else 1)
    if norms > 2:
        config.refuse("num_ln_in_parallel_attn", f"{norms} norms beside each other", "1 or 2")
    parallel = is_new or config.flag("parallel_attn", True)
    heads = fields["heads"]
    fields["kv_heads"] = (
        config.size("num_kv_heads", heads, field="kv_heads")
        if is_new
        else 1
        if is_multi_query
        else heads
    )
    fields["parallel"] = (
        ("two_norms" if is_new and norms == 2 else "one_norm") if parallel else "no"
    )


def check_mpt_attention(config: Config, fields: Fields) -> None:
    """Check the attention section of an MPT config, which must be plain multi-head attention."""
    del fields
    attention = config.section("attn_config")
    if attention is not config:
        attention.choice("attn_type", ["multihead_attention"], "multihead_attention")
        if attention.flag("qk_ln", False):
            attention.refuse("qk_ln", "normalised queries and keys", "false")
        if attention.data.get("clip_qkv") is not None:
            config.notes.append("clipping of queries, keys and values is not priced")


def add_first_dense_layers(config: Config, fields: Fields) -> None:
    """Add the number of Qwen's dense layers, which must precede those with experts."""
    dense = config.sizes("mlp_only_layers") or []
    if dense != list(range(len(dense))):
        config.refuse("mlp_only_layers", "dense layers after the first ones", "[0, 1, ...]")
    fields["experts.dense_layers"] = len(dense)
    add_dense_width(config, fields)


def add_dense_width(config: Config, fields: Fields) -> None:
    """Add the feed-forward width of the dense layers, if there are any."""
    if fields["experts.dense_layers"]:
        fields["ffn_width"] = config.size("intermediate_size", field="ffn_width")


def add_local_attention(config: Config, fields: Fields) -> None:
    """Add ModernBERT's windows of ``2 floor(w / 2) + 1`` tokens and its full-attention layers.

    Every n-th layer has full attention, the first included: ``ceil(layers / n)`` layers.
    """
    every = config.size("global_attn_every_n_layers", 3)
    fields["window"] = config.size("local_attention", 128) // 2 * 2 + 1
    fields["full_layers"] = -(-fields["layers"] // every)
