"""Fields of a transformer's structure that the tensors and keys of one of its layers determine.

Tensors of layer ``i`` in a GGUF file are named ``blk.i.NAME``; a function takes this prefix as
`layer`. Which tensors exist tells the kind of a layer: a router means experts, a second norm means
normalisation of outputs. Names: ggml-org/llama.cpp, gguf-py/gguf/constants.py.
`TransformerReader` calls these functions.
"""

from __future__ import annotations

from typing import Any

from perfmodel.workload.importers.gguf.header_keys import GgufKeys


def count_layers(keys: GgufKeys) -> int:
    """Return the number of layers, at most the number for which the file has tensors.

    Layers that predict further tokens in training (``nextn_predict_layers``) are not run.
    """
    layers = keys.size("block_count", field="layers")
    stored = {name.split(".", 2)[1] for name in keys.tensors if name.startswith("blk.")}
    unused = keys.size("nextn_predict_layers", 0, least=0)
    layers -= unused if 0 < unused < layers else 0
    if layers > len(stored):
        keys.refuse("block_count", f"{layers} layers", f"at most the {len(stored)} with tensors")
        return max(len(stored), 1)
    return layers


def layer_kinds(keys: GgufKeys, layers: int) -> tuple[str, ...]:
    """Return ``layer`` for each layer, or ``dense_layer`` for first layers without experts."""
    routed = [has_router(keys, f"blk.{i}.") for i in range(layers)]
    if not any(routed) or all(routed):
        return ("layer",) * layers
    first = routed.index(True)
    if not all(routed[first:]):
        message = "layers with and without experts alternate"
        keys.refuse("", message, "experts in every layer after the first")
    return ("dense_layer",) * first + ("layer",) * (layers - first)


def has_router(keys: GgufKeys, layer: str) -> bool:
    """Return whether a layer has a router, hence experts."""
    return keys.has(f"{layer}ffn_gate_inp.weight")


def has_gated_experts(keys: GgufKeys, layer: str) -> bool:
    """Return whether the experts of a layer have a gate."""
    return keys.has(f"{layer}ffn_gate_exps.weight") or keys.has(f"{layer}ffn_gate_up_exps.weight")


def norm_position(keys: GgufKeys, layer: str) -> str:
    """Return where a layer normalises, in the words of `TransformerStructure`.

    ``before`` attention and feed-forward network, ``after`` their residual sums, at the ``output``
    of each before the sum, or ``both`` before and at the output.
    """
    if keys.has(f"{layer}layer_output_norm.weight"):
        return "after"
    names = ("post_attention_norm", "post_ffw_norm")
    at_output = [keys.has(f"{layer}{name}.weight") for name in names]
    before = keys.has(f"{layer}attn_norm.weight")
    if not before and any(at_output):
        return "output"
    return "both" if all(at_output) and before else "before"


def head_size(keys: GgufKeys) -> int:
    """Return the width of a head; widths of keys and of values must agree."""
    size = keys.size("attention.key_length", 0, field="head_dim", least=0)
    values = keys.size("attention.value_length", size, least=0)
    if values != size:
        keys.refuse("attention.value_length", f"{values}, but keys have {size}", f"{size}")
    return size


def feed_forward_fields(keys: GgufKeys, layer: str) -> dict[str, Any]:
    """Return the fields of a plain feed-forward network."""
    width = keys.size("feed_forward_length", field="ffn_width")
    # Gate and up-projection may be stored as one tensor (Phi-3).
    gated = (
        keys.has(f"{layer}ffn_gate.weight") or keys.axis(f"{layer}ffn_up.weight", 1) == 2 * width
    )
    return {"ffn_width": width, "gated": gated, "ffn_bias": keys.has(f"{layer}ffn_down.bias")}


def expert_fields(keys: GgufKeys, layer: str, dense_layers: int) -> dict[str, Any]:
    """Return the fields of a mixture of experts that follows some first layers without experts."""
    stored_width = keys.axis(f"{layer}ffn_down_exps.weight", 0)
    shared = keys.axis(f"{layer}ffn_down_shexp.weight", 0)
    width = keys.size("expert_feed_forward_length", stored_width or None, field="experts.ffn_width")
    return {
        "count": keys.size("expert_count", field="experts.count"),
        "per_token": keys.size("expert_used_count", field="experts.per_token"),
        "ffn_width": width,
        "shared_width": shared,
        "shared_gate": keys.has(f"{layer}ffn_gate_inp_shexp.weight"),
        "dense_layers": dense_layers,
        "router_bias": any(
            keys.has(f"{layer}{name}.bias") for name in ("ffn_gate_inp", "exp_probs_b")
        ),
        "bias": keys.has(f"{layer}ffn_down_exps.bias"),
    }


def latent_attention_fields(keys: GgufKeys) -> dict[str, int]:
    """Return the fields of multi-head latent attention (DeepSeek-V2, arXiv 2405.04434)."""
    rope = keys.size("rope.dimension_count", field="latent.rope_dim")
    # Files since 2025 state the sizes of expanded heads under keys with the suffix _mla.
    suffix = "_mla" if keys.states("attention.key_length_mla") else ""
    key_size = keys.size(f"attention.key_length{suffix}", field="latent.plain_dim")
    return {
        "query_rank": keys.size("attention.q_lora_rank", 0, field="latent.query_rank", least=0),
        "rank": keys.size("attention.kv_lora_rank", field="latent.rank"),
        "plain_dim": max(key_size - rope, 0),
        "rope_dim": rope,
        "value_dim": keys.size(f"attention.value_length{suffix}", field="latent.value_dim"),
    }
