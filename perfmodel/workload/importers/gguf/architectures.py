"""Structure of each GGUF architecture, from the keys and tensors of a header.

Names of keys and tensors are common to all architectures (ggml-org/llama.cpp,
``gguf-py/gguf/constants.py``), and the presence of tensors determines most of a layer: biases,
gates, norms of heads, experts. Activations and the pattern of sliding windows are defined in
llama.cpp's ``src/models/*.cpp`` and declared in ``workloads/gguf/decoders.yaml``, one line per
architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from perfmodel.specfile import shipped
from perfmodel.workload.importers.gguf.keys import Keys

_KEYS: Final[Mapping[str, Any]] = shipped("workloads", "gguf/keys.yaml")

#: (family, fields of its structure, name of the group of equal layers for each layer).
ArchitectureFields: TypeAlias = tuple[str, dict[str, Any], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Sliding:
    """Pattern of the layers with a sliding window (``llama_hparams::set_swa_pattern``).

    Attributes
    ----------
    every
        Period of the pattern in layers; one layer per period attends to everything.
    first
        Whether that layer is the first of the period rather than the last.
    size
        Tokens of the window if the header does not state it.
    """

    every: int
    first: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class _Decoder:
    """Reader of a transformer; its fields are properties that the header does not state.

    `bare_norms`: norms may have no weights. `parallel`: attention and feed-forward network run in
    parallel if they share a norm, with `two_norms` also if they do not.
    """

    activation: str = "silu"
    sliding: Sliding | None = None
    causal: bool = True
    rotary: bool = True
    layer_norm: bool = False
    bare_norms: bool = False
    parallel: bool = False
    two_norms: bool = False
    router_first: bool = False

    def __call__(self, keys: Keys) -> ArchitectureFields:
        stated = _declared(keys, _KEYS["transformer"])
        heads, width = stated["heads"], stated["width"]
        kinds = _kinds(keys, stated["layers"])
        layer = _layer_of(kinds, "layer" if "layer" in kinds else "dense_layer")
        first = "blk.0."
        fields: dict[str, Any] = {
            **stated,
            "kv_heads": keys.size("attention.head_count_kv", heads, field="kv_heads"),
            "activation": self.activation,
            "causal": self.causal,
            "phase": "decode" if self.causal else "encode",
            "norm": self._norm(keys),
            "norm_position": _position(keys, first),
            "norm_vectors": self._norm_vectors(keys, first),
            "parallel": self._parallel(keys, first),
            "final_norm": keys.has("output_norm.weight") or self.bare_norms,
            "qkv_bias": any(
                keys.has(f"{first}attn_{part}.bias") for part in ("q", "k", "qkv", "q_a")
            ),
            "positions": keys.axis("position_embd.weight", 1),
            "token_types": keys.axis(
                "token_types.weight", 1, 1 if keys.has("token_types.weight") else 0
            ),
            "rotary": self.rotary and not keys.has("position_embd.weight"),
            "head": "tokens" if self.causal else "none",
        }
        if keys.states("attention.kv_lora_rank"):
            fields |= {"latent": _latent(keys), "kv_heads": 0, "head_dim": 0}
        else:
            fields["head_dim"] = _head_dim(keys)
        size = fields["head_dim"] or width // max(heads, 1)
        scaled = keys.axis(f"{first}attn_q_norm.weight", 0)
        fields["qk_norm"] = "whole" if scaled > size else scaled > 0
        if "dense_layer" in kinds or "layer" not in kinds or not _routed(keys, layer):
            dense = kinds.index("dense_layer") if "dense_layer" in kinds else 0
            fields |= _feed_forward(keys, f"blk.{dense}.")
        if _routed(keys, layer):
            fields["experts"] = _experts(keys, layer, kinds.count("dense_layer"))
            fields["experts"]["router_first"] = self.router_first
            fields.setdefault("gated", _gated(keys, layer))
        if not self.causal:
            fields["tied_embeddings"] = False
        return "transformer", fields, self._windows(keys, fields, kinds)

    def _norm(self, keys: Keys) -> str:
        stated = keys.states("attention.layer_norm_epsilon") or keys.has("blk.0.attn_norm.bias")
        return "layer_norm" if self.layer_norm or stated else "rms_norm"

    def _norm_vectors(self, keys: Keys, layer: str) -> int | None:
        """Return the number of vectors of a norm, or None for the usual number."""
        if self.bare_norms and not keys.has(f"{layer}attn_norm.weight"):
            return 0
        plain = self._norm(keys) == "layer_norm" and not any(
            keys.has(f"{layer}{name}.bias") for name in ("attn_norm", "attn_output_norm")
        )
        return 1 if plain else None

    def _parallel(self, keys: Keys, layer: str) -> str:
        """Return how attention and feed-forward network run in parallel, ``no`` if they do not."""
        if not self.parallel or keys.has(f"{layer}post_attention_norm.weight"):
            return "no"
        if keys.has(f"{layer}attn_norm_2.weight"):
            return "two_norms"
        if not keys.has(f"{layer}ffn_norm.weight"):
            return "one_norm"
        stated = keys.header.keys.get(f"{keys.architecture}.use_parallel_residual", True)
        return "two_norms" if self.two_norms and stated else "no"

    def _windows(
        self, keys: Keys, fields: dict[str, Any], kinds: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Add the sliding window and return the groups of the layers, split by it."""
        stated = keys.size("attention.sliding_window", 0, least=0)
        if self.sliding is None:
            if stated:
                unused = f"the sliding window of {stated} tokens is not used, as in llama.cpp"
                keys.notes.append(unused)
            return kinds
        size = stated or self.sliding.size
        key = "attention.sliding_window_pattern"
        slides = keys.flags(key, len(kinds))
        if slides is None:
            listed = isinstance(keys.header.keys.get(f"{keys.architecture}.{key}"), list)
            every = self.sliding.every if listed else keys.size(key, self.sliding.every, least=0)
            full = 0 if self.sliding.first else every - 1
            slides = [every == 0 or i % every != full for i in range(len(kinds))]
        if not size or not any(slides):
            return kinds
        fields |= {"window": size, "full_layers": slides.count(False)}
        if "dense_layer" in kinds:
            message = "sliding windows beside first dense layers"
            keys.refuse("attention.sliding_window", message, "one of the two")
        return tuple(f"sliding_{kind}" if slides[i] else kind for i, kind in enumerate(kinds))


def layers_of(keys: Keys) -> int:
    """Return the number of layers, at most the number for which the file has tensors."""
    layers = keys.size("block_count", field="layers")
    numbers = {name.split(".", 2)[1] for name in keys.tensors if name.startswith("blk.")}
    extra = keys.size("nextn_predict_layers", 0, least=0)
    layers -= extra if 0 < extra < layers else 0
    if layers > len(numbers):
        keys.refuse("block_count", f"{layers} layers", f"at most the {len(numbers)} with tensors")
        return max(len(numbers), 1)
    return layers


def _kinds(keys: Keys, layers: int) -> tuple[str, ...]:
    """Return ``layer`` for each layer, or ``dense_layer`` for first ones without experts."""
    routed = [_routed(keys, f"blk.{i}.") for i in range(layers)]
    if not any(routed) or all(routed):
        return ("layer",) * layers
    first = routed.index(True)
    if not all(routed[first:]):
        message = "layers with experts and without take turns"
        keys.refuse("", message, "experts in every layer after the first")
    return ("dense_layer",) * first + ("layer",) * (layers - first)


def _layer_of(kinds: tuple[str, ...], kind: str) -> str:
    return f"blk.{kinds.index(kind)}."


def _routed(keys: Keys, layer: str) -> bool:
    return keys.has(f"{layer}ffn_gate_inp.weight")


def _gated(keys: Keys, layer: str) -> bool:
    return keys.has(f"{layer}ffn_gate_exps.weight") or keys.has(f"{layer}ffn_gate_up_exps.weight")


def _position(keys: Keys, layer: str) -> str:
    if keys.has(f"{layer}layer_output_norm.weight"):
        return "after"
    after = [keys.has(f"{layer}{name}.weight") for name in ("post_attention_norm", "post_ffw_norm")]
    before = keys.has(f"{layer}attn_norm.weight")
    if not before and any(after):
        return "output"
    return "both" if all(after) and before else "before"


def _head_dim(keys: Keys) -> int:
    size = keys.size("attention.key_length", 0, field="head_dim", least=0)
    values = keys.size("attention.value_length", size, least=0)
    if values != size:
        keys.refuse("attention.value_length", f"{values}, but keys have {size}", f"{size}")
    return size


def _feed_forward(keys: Keys, layer: str) -> dict[str, Any]:
    """Return the fields of a plain feed-forward network."""
    stated = keys.size("feed_forward_length", field="ffn_width")
    # Gate and up-projection may be stored as one tensor (Phi-3).
    gated = (
        keys.has(f"{layer}ffn_gate.weight") or keys.axis(f"{layer}ffn_up.weight", 1) == 2 * stated
    )
    return {"ffn_width": stated, "gated": gated, "ffn_bias": keys.has(f"{layer}ffn_down.bias")}


def _experts(keys: Keys, layer: str, dense: int) -> dict[str, Any]:
    plain = keys.axis(f"{layer}ffn_down_exps.weight", 0)
    shared = keys.axis(f"{layer}ffn_down_shexp.weight", 0)
    width = keys.size("expert_feed_forward_length", plain or None, field="experts.ffn_width")
    return {
        "count": keys.size("expert_count", field="experts.count"),
        "per_token": keys.size("expert_used_count", field="experts.per_token"),
        "ffn_width": width,
        "shared_width": shared,
        "shared_gate": keys.has(f"{layer}ffn_gate_inp_shexp.weight"),
        "dense_layers": dense,
        "router_bias": any(
            keys.has(f"{layer}{name}.bias") for name in ("ffn_gate_inp", "exp_probs_b")
        ),
        "bias": keys.has(f"{layer}ffn_down_exps.bias"),
    }


def _latent(keys: Keys) -> dict[str, int]:
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


def _declared(keys: Keys, declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that ``keys.yaml`` declares, from the keys and tensors of a header."""
    return {
        "layers": layers_of(keys),
        "width": keys.size("embedding_length", field="width"),
        "vocabulary": keys.axis("token_embd.weight", 1, 1),
        "tied_embeddings": not keys.has("output.weight"),
        **{
            field: keys.size(key, *default, field=field)
            for field, (key, *default) in declared["sizes"].items()
        },
        **{field: keys.has(name) for field, name in declared["tensors"].items()},
        **declared.get("is", {}),
    }


def _recurrent(keys: Keys, declared: Mapping[str, Any]) -> ArchitectureFields:
    """Return the structure of a recurrent network, whose state has a fixed size."""
    fields = _declared(keys, declared)
    inner = fields.pop("_inner", 0)
    if inner:
        heads = fields["heads"]
        if inner % heads:
            message = f"{inner} channels are no {heads} heads"
            keys.refuse("ssm.inner_size", message, f"a multiple of {heads}")
        fields["head_dim"] = max(inner // heads, 1)
    return declared["family"], fields, ("layer",) * fields["layers"]


def _decoder(sliding: Mapping[str, Any] | None = None, **stated: Any) -> _Decoder:
    return _Decoder(sliding=Sliding(**sliding) if sliding else None, **stated)


#: ``general.architecture`` -> reader.
ARCHITECTURES: Final[Mapping[str, Callable[[Keys], ArchitectureFields]]] = {
    **{
        name: _decoder(**stated)
        for name, stated in shipped("workloads", "gguf/decoders.yaml").items()
    },
    **{
        name: partial(_recurrent, declared=declared)
        for name, declared in _KEYS["recurrent"].items()
    },
}
