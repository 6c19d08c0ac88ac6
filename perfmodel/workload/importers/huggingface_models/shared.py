"""Fields that decoders with the keys of Llama share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmodel.workload.importers.huggingface_models.config import Config


def decoder(c: Config, **changes: Any) -> dict[str, Any]:
    """Return the fields that decoders with Llama's keys share."""
    heads = c.size("num_attention_heads", field="heads")
    made: dict[str, Any] = {
        "layers": c.size("num_hidden_layers", field="layers"),
        "width": c.size("hidden_size", field="width"),
        "heads": heads,
        "kv_heads": c.size("num_key_value_heads", heads, field="kv_heads"),
        "head_dim": c.size("head_dim", 0, field="head_dim"),
        "activation": c.activation("hidden_activation", "hidden_act", default="silu"),
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", False),
    }
    if "experts" not in changes:
        made["ffn_width"] = c.size("intermediate_size", field="ffn_width")
    return made | changes


def windows(c: Config, layers: int, every: int = 0, *, size: int = 0) -> dict[str, int]:
    """Return the fields of sliding windows: from the layers' types, or every n-th layer is full."""
    window = c.size("sliding_window", size, field="window", least=0)
    types = c.sizes("layer_types")
    if types is not None:
        known = {"sliding_attention", "full_attention"}
        if not set(map(str, types)) <= known:
            other = sorted(set(map(str, types)) - known)
            c.refuse("layer_types", f"unknown attention {', '.join(map(repr, other))}",
                     "sliding_attention or full_attention")  # fmt: skip
        if len(types) != layers:
            c.refuse("layer_types", f"names {len(types)} of {layers} layers", f"{layers} entries")
        full = types.count("full_attention")
        if not window or full == len(types):
            return {}
        return {"window": window, "full_layers": full}
    return {"window": window, "full_every": every} if window else {}


def dense_part(c: Config, made: dict[str, Any], experts: Mapping[str, Any]) -> dict[str, Any]:
    """Add the width of the first layers' feed-forward network, where some have no experts."""
    if experts["dense_layers"]:
        made["ffn_width"] = c.size("intermediate_size", field="ffn_width")
    return made


def qwen_windows(c: Config, layers: int) -> dict[str, int]:
    """Return the fields of Qwen's sliding windows, which a flag switches on."""
    if not c.flag("use_sliding_window", False):
        return {}
    if c.sizes("layer_types") is not None:
        return windows(c, layers)
    # The first layers attend to everything.
    full = min(c.size("max_window_layers", 28, least=0), layers)
    window = c.size("sliding_window", 0, field="window", least=0)
    return {"window": window, "full_layers": full} if window and full < layers else {}


def rotary_dim(c: Config, made: dict[str, Any], key: str, default: float) -> int:
    """Return how much of a head is rotated; 0 for all of it."""
    found = c.data.get("rope_parameters")
    if key not in c.data and isinstance(found, Mapping):
        c = c.section("rope_parameters")  # where newer files keep it
    part = c.share(key, default)
    head = made["head_dim"] or made["width"] // max(made["heads"], 1)
    rotated = int(head * part)
    return 0 if rotated == head else rotated


def flags(c: Config, key: str, layers: int) -> list[bool] | None:
    """Return a flag a layer, or none where the config does not list them."""
    found = c.sizes(key)
    if found is None:
        return None
    if any(value not in (0, 1) for value in found):
        c.refuse(key, "an entry is not a flag", "0 or 1 for each layer")
        return None
    if len(found) != layers:
        c.refuse(key, f"names {len(found)} of {layers} layers", f"{layers} entries")
        return None
    return [bool(value) for value in found]
