"""What each architecture of GGUF files makes of the keys of its header.

Keys and names of tensors are the same for all (ggml-org/llama.cpp, ``gguf-py/gguf/constants.py``),
and which tensors there are says most of what a layer is made of: biases, gates, norms of heads,
experts. The rest, activations and which layers have a sliding window, is in llama.cpp's
``src/models/*.cpp`` and stands in ``workloads/gguf/decoders.yaml``, a line for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from perfmodel.specfile import shipped
from perfmodel.workload.importers.gguf.keys import Keys

_KEYS: Final[Mapping[str, Any]] = shipped("workloads", "gguf/keys.yaml")

#: Family and fields of its structure; for each layer the name of its group of equal layers.
Made: TypeAlias = tuple[str, dict[str, Any], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Sliding:
    """Which layers have a sliding window (``llama_hparams::set_swa_pattern``).

    Attributes
    ----------
    every
        Of so many layers in a row one attends to everything.
    first
        It is the first of them, not the last.
    size
        Tokens of the window where the header does not say.
    """

    every: int
    first: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class _Decoder:
    """Reader of a transformer; its fields are what the header does not say.

    `bare_norms`: norms may have no weights. `parallel`: attention and feed-forward network stand
    side by side where they share a norm, with `two_norms` also where they do not.
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

    def __call__(self, k: Keys) -> Made:
        layers, width = layers_of(k), k.size("embedding_length", field="width")
        kinds = _kinds(k, layers)
        some = _layer_of(kinds, "layer" if "layer" in kinds else "dense_layer")
        first = "blk.0."
        heads = k.size("attention.head_count", field="heads")
        made: dict[str, Any] = {
            "layers": layers,
            "width": width,
            "heads": heads,
            "kv_heads": k.size("attention.head_count_kv", heads, field="kv_heads"),
            "activation": self.activation,
            "causal": self.causal,
            "phase": "decode" if self.causal else "encode",
            "norm": self._norm(k),
            "norm_position": _position(k, first),
            "norm_vectors": self._norm_vectors(k, first),
            "parallel": self._parallel(k, first),
            **_shown(k, _KEYS["transformer"]),
            "final_norm": k.has("output_norm.weight") or self.bare_norms,
            "qkv_bias": any(k.has(f"{first}attn_{part}.bias") for part in ("q", "k", "qkv", "q_a")),
            "positions": k.axis("position_embd.weight", 1),
            "token_types": k.axis("token_types.weight", 1, 1 if k.has("token_types.weight") else 0),
            "rotary": self.rotary and not k.has("position_embd.weight"),
            "vocabulary": k.axis("token_embd.weight", 1, 1),
            "tied_embeddings": not k.has("output.weight"),
            "head": "tokens" if self.causal else "none",
        }
        if k.states("attention.kv_lora_rank"):
            made |= {"latent": _latent(k), "kv_heads": 0, "head_dim": 0}
        else:
            made["head_dim"] = _head_dim(k)
        size = made["head_dim"] or width // max(heads, 1)
        scaled = k.axis(f"{first}attn_q_norm.weight", 0)
        made["qk_norm"] = "whole" if scaled > size else scaled > 0
        if "dense_layer" in kinds or "layer" not in kinds or not _routed(k, some):
            dense = kinds.index("dense_layer") if "dense_layer" in kinds else 0
            made |= _feed_forward(k, f"blk.{dense}.")
        if _routed(k, some):
            made["experts"] = _experts(k, some, kinds.count("dense_layer"))
            made["experts"]["router_first"] = self.router_first
            made.setdefault("gated", _gated(k, some))
        if not self.causal:
            made["tied_embeddings"] = False
        return "transformer", made, self._windows(k, made, kinds)

    def _norm(self, k: Keys) -> str:
        stated = k.states("attention.layer_norm_epsilon") or k.has("blk.0.attn_norm.bias")
        return "layer_norm" if self.layer_norm or stated else "rms_norm"

    def _norm_vectors(self, k: Keys, layer: str) -> int | None:
        """Return how many vectors a norm has, where that is not its usual number."""
        if self.bare_norms and not k.has(f"{layer}attn_norm.weight"):
            return 0
        plain = self._norm(k) == "layer_norm" and not any(
            k.has(f"{layer}{name}.bias") for name in ("attn_norm", "attn_output_norm")
        )
        return 1 if plain else None

    def _parallel(self, k: Keys, layer: str) -> str:
        """Return whether attention and feed-forward network stand side by side."""
        if not self.parallel or k.has(f"{layer}post_attention_norm.weight"):
            return "no"
        if k.has(f"{layer}attn_norm_2.weight"):
            return "two_norms"
        if not k.has(f"{layer}ffn_norm.weight"):
            return "one_norm"
        stated = k.header.keys.get(f"{k.architecture}.use_parallel_residual", True)
        return "two_norms" if self.two_norms and stated else "no"

    def _windows(self, k: Keys, made: dict[str, Any], kinds: tuple[str, ...]) -> tuple[str, ...]:
        """Add the sliding window; return the groups of the layers by it."""
        stated = k.size("attention.sliding_window", 0, least=0)
        if self.sliding is None:
            if stated:
                unused = f"the sliding window of {stated} tokens is not used, as in llama.cpp"
                k.notes.append(unused)
            return kinds
        size = stated or self.sliding.size
        key = "attention.sliding_window_pattern"
        slides = k.flags(key, len(kinds))
        if slides is None:
            listed = isinstance(k.header.keys.get(f"{k.architecture}.{key}"), list)
            every = self.sliding.every if listed else k.size(key, self.sliding.every, least=0)
            full = 0 if self.sliding.first else every - 1
            slides = [every == 0 or i % every != full for i in range(len(kinds))]
        if not size or not any(slides):
            return kinds
        made |= {"window": size, "full_layers": slides.count(False)}
        if "dense_layer" in kinds:
            message = "sliding windows beside first dense layers"
            k.refuse("attention.sliding_window", message, "one of the two")
        return tuple(f"sliding_{kind}" if slides[i] else kind for i, kind in enumerate(kinds))


def layers_of(k: Keys) -> int:
    """Return the number of layers: no more than the file has tensors for."""
    layers = k.size("block_count", field="layers")
    held = {name.split(".", 2)[1] for name in k.tensors if name.startswith("blk.")}
    beside = k.size("nextn_predict_layers", 0, least=0)
    layers -= beside if 0 < beside < layers else 0
    if layers > len(held):
        k.refuse("block_count", f"{layers} layers", f"at most the {len(held)} with tensors")
        return max(len(held), 1)
    return layers


def _kinds(k: Keys, layers: int) -> tuple[str, ...]:
    """Return ``dense_layer`` or ``layer`` for each: with experts the first ones may have none."""
    routed = [_routed(k, f"blk.{i}.") for i in range(layers)]
    if not any(routed) or all(routed):
        return ("layer",) * layers
    first = routed.index(True)
    if not all(routed[first:]):
        message = "layers with experts and without take turns"
        k.refuse("", message, "experts in every layer after the first")
    return ("dense_layer",) * first + ("layer",) * (layers - first)


def _layer_of(kinds: tuple[str, ...], kind: str) -> str:
    return f"blk.{kinds.index(kind)}."


def _routed(k: Keys, layer: str) -> bool:
    return k.has(f"{layer}ffn_gate_inp.weight")


def _gated(k: Keys, layer: str) -> bool:
    return k.has(f"{layer}ffn_gate_exps.weight") or k.has(f"{layer}ffn_gate_up_exps.weight")


def _position(k: Keys, layer: str) -> str:
    if k.has(f"{layer}layer_output_norm.weight"):
        return "after"
    after = [k.has(f"{layer}{name}.weight") for name in ("post_attention_norm", "post_ffw_norm")]
    before = k.has(f"{layer}attn_norm.weight")
    if not before and any(after):
        return "output"
    return "both" if all(after) and before else "before"


def _head_dim(k: Keys) -> int:
    size = k.size("attention.key_length", 0, field="head_dim", least=0)
    values = k.size("attention.value_length", size, least=0)
    if values != size:
        k.refuse("attention.value_length", f"{values}, but keys have {size}", f"{size}")
    return size


def _feed_forward(k: Keys, layer: str) -> dict[str, Any]:
    """Return the fields of a plain feed-forward network."""
    stated = k.size("feed_forward_length", field="ffn_width")
    # Gate and up-projection may be one tensor (Phi-3).
    gated = k.has(f"{layer}ffn_gate.weight") or k.axis(f"{layer}ffn_up.weight", 1) == 2 * stated
    return {"ffn_width": stated, "gated": gated, "ffn_bias": k.has(f"{layer}ffn_down.bias")}


def _experts(k: Keys, layer: str, dense: int) -> dict[str, Any]:
    plain = k.axis(f"{layer}ffn_down_exps.weight", 0)
    shared = k.axis(f"{layer}ffn_down_shexp.weight", 0)
    width = k.size("expert_feed_forward_length", plain or None, field="experts.ffn_width")
    return {
        "count": k.size("expert_count", field="experts.count"),
        "per_token": k.size("expert_used_count", field="experts.per_token"),
        "ffn_width": width,
        "shared_width": shared,
        "shared_gate": k.has(f"{layer}ffn_gate_inp_shexp.weight"),
        "dense_layers": dense,
        "router_bias": any(
            k.has(f"{layer}{name}.bias") for name in ("ffn_gate_inp", "exp_probs_b")
        ),
        "bias": k.has(f"{layer}ffn_down_exps.bias"),
    }


def _latent(k: Keys) -> dict[str, int]:
    rope = k.size("rope.dimension_count", field="latent.rope_dim")
    # Files since 2025 state the sizes of the compressed heads beside those of the expanded ones.
    suffix = "_mla" if k.states("attention.key_length_mla") else ""
    keys = k.size(f"attention.key_length{suffix}", field="latent.plain_dim")
    return {
        "query_rank": k.size("attention.q_lora_rank", 0, field="latent.query_rank", least=0),
        "rank": k.size("attention.kv_lora_rank", field="latent.rank"),
        "plain_dim": max(keys - rope, 0),
        "rope_dim": rope,
        "value_dim": k.size(f"attention.value_length{suffix}", field="latent.value_dim"),
    }


def _shown(k: Keys, tensors: Mapping[str, str]) -> dict[str, bool]:
    """Return fields that a tensor shows."""
    return {field: k.has(name) for field, name in tensors.items()}


def _recurrent(k: Keys, declared: Mapping[str, Any]) -> Made:
    """Return a network whose state has a fixed size."""
    layers = layers_of(k)
    made: dict[str, Any] = {
        "layers": layers,
        "width": k.size("embedding_length", field="width"),
        "vocabulary": k.axis("token_embd.weight", 1, 1),
        "tied_embeddings": not k.has("output.weight"),
        **{
            field: k.size(key, *default, field=field)
            for field, (key, *default) in declared["sizes"].items()
        },
        **_shown(k, declared["tensors"]),
        **declared.get("is", {}),
    }
    inner = made.pop("_inner", 0)
    if inner:
        heads = made["heads"]
        if inner % heads:
            message = f"{inner} channels are no {heads} heads"
            k.refuse("ssm.inner_size", message, f"a multiple of {heads}")
        made["head_dim"] = max(inner // heads, 1)
    return declared["family"], made, ("layer",) * layers


def _decoder(sliding: Mapping[str, Any] | None = None, **stated: Any) -> _Decoder:
    return _Decoder(sliding=Sliding(**sliding) if sliding else None, **stated)


#: ``general.architecture`` -> reader.
ARCHITECTURES: Final[Mapping[str, Callable[[Keys], Made]]] = {
    **{
        name: _decoder(**stated)
        for name, stated in shipped("workloads", "gguf/decoders.yaml").items()
    },
    **{
        name: partial(_recurrent, declared=declared)
        for name, declared in _KEYS["recurrent"].items()
    },
}
