"""Structure of a transformer from the header of a GGUF file.

The keys and tensors of a header determine most of a transformer. What they do not state, such as
the activation and the pattern of sliding windows, llama.cpp defines in src/models/*.cpp for each
architecture; ``workloads/gguf/decoders.yaml`` declares it as the fields of a `TransformerReader`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from perfmodel.specfile import shipped
from perfmodel.workload.importers.gguf.header_keys import GgufKeys
from perfmodel.workload.importers.gguf.layer_fields import (
    count_layers,
    expert_fields,
    feed_forward_fields,
    has_gated_experts,
    has_router,
    head_size,
    latent_attention_fields,
    layer_kinds,
    norm_position,
)

_TRANSFORMER_KEYS: Final[Mapping[str, Any]] = shipped("workloads", "gguf/keys.yaml")["transformer"]
#: Prefix of the tensors of the first layer.
_FIRST: Final = "blk.0."


class GgufStructure(NamedTuple):
    """Structure of a network as a header states it.

    Attributes
    ----------
    family
        Name of the family of networks.
    fields
        Fields of the family's structure.
    layer_groups
        Name of the group of equal layers to which each layer belongs.
    """

    family: str
    fields: dict[str, Any]
    layer_groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sliding:
    """Which layers have a sliding window (``llama_hparams::set_swa_pattern`` of llama.cpp).

    Attributes
    ----------
    every
        Period of the pattern in layers; one layer of each period attends to all tokens.
    first
        Whether that layer is the first of its period rather than the last.
    size
        Tokens of the window if the header does not state it.
    """

    every: int
    first: bool = False
    size: int = 0


@dataclass(frozen=True, slots=True)
class TransformerReader:
    """Reader of a transformer; its fields are properties that the header does not state.

    They are the keys of a line of ``gguf/decoders.yaml``. If attention and feed-forward network run
    in parallel, they share one norm, or each of them has its own (`two_norms`).

    Attributes
    ----------
    layer_norm
        Whether norms are layer norms even if the header does not say so.
    bare_norms
        Whether norms may have no weights.
    parallel
        Whether attention and feed-forward network run in parallel if they share a norm.
    two_norms
        Whether they run in parallel even if each has its own norm.
    router_first
        Whether the router reads the input of the layer instead of the attention's result.
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

    def __call__(self, keys: GgufKeys) -> GgufStructure:
        """Return the structure of a transformer from the keys and tensors of a header."""
        fields = declared_fields(keys, _TRANSFORMER_KEYS)
        kinds = layer_kinds(keys, fields["layers"])
        fields |= self._common_fields(keys) | self._attention_fields(keys, fields)
        fields |= self._feed_forward_fields(keys, kinds)
        return GgufStructure("transformer", fields, self._layer_groups(keys, fields, kinds))

    def _common_fields(self, keys: GgufKeys) -> dict[str, Any]:
        """Return phase, norms, embeddings and head, from the first layer and those outside."""
        fields: dict[str, Any] = {
            "activation": self.activation,
            "causal": self.causal,
            "phase": "decode" if self.causal else "encode",
            "norm": self._norm(keys),
            "norm_position": norm_position(keys, _FIRST),
            "norm_vectors": self._norm_vectors(keys),
            "parallel": self._parallel(keys),
            "final_norm": keys.has("output_norm.weight") or self.bare_norms,
            "positions": keys.axis("position_embd.weight", 1),
            "token_types": keys.axis(
                "token_types.weight", 1, 1 if keys.has("token_types.weight") else 0
            ),
            "rotary": self.rotary and not keys.has("position_embd.weight"),
            "head": "tokens" if self.causal else "none",
        }
        if not self.causal:
            fields["tied_embeddings"] = False
        return fields

    def _attention_fields(self, keys: GgufKeys, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of attention in the first layer."""
        heads = fields["heads"]
        kv_heads = keys.size("attention.head_count_kv", heads, field="kv_heads")
        attention: dict[str, Any]
        if keys.states("attention.kv_lora_rank"):
            latent = latent_attention_fields(keys)
            attention = {"latent": latent, "kv_heads": 0, "head_dim": 0}
        else:
            attention = {"kv_heads": kv_heads, "head_dim": head_size(keys)}
        size = attention["head_dim"] or fields["width"] // max(heads, 1)
        norm_width = keys.axis(f"{_FIRST}attn_q_norm.weight", 0)
        biases = (f"{_FIRST}attn_{name}.bias" for name in ("q", "k", "qkv", "q_a"))
        return attention | {
            "qk_norm": "whole" if norm_width > size else norm_width > 0,
            "qkv_bias": any(map(keys.has, biases)),
        }

    def _feed_forward_fields(self, keys: GgufKeys, kinds: tuple[str, ...]) -> dict[str, Any]:
        """Return the fields of the feed-forward networks: plain, of experts, or of both."""
        fields: dict[str, Any] = {}
        dense_layers = kinds.count("dense_layer")
        layer = f"blk.{kinds.index('layer') if 'layer' in kinds else 0}."
        if dense_layers or not has_router(keys, layer):
            fields |= feed_forward_fields(keys, _FIRST)
        if has_router(keys, layer):
            fields["experts"] = expert_fields(keys, layer, dense_layers)
            fields["experts"]["router_first"] = self.router_first
            fields.setdefault("gated", has_gated_experts(keys, layer))
        return fields

    def _norm(self, keys: GgufKeys) -> str:
        """Return the kind of normalisation: ``layer_norm`` or ``rms_norm``."""
        stated = keys.states("attention.layer_norm_epsilon") or keys.has(f"{_FIRST}attn_norm.bias")
        return "layer_norm" if self.layer_norm or stated else "rms_norm"

    def _norm_vectors(self, keys: GgufKeys) -> int | None:
        """Return how many vectors a norm stores (scale, bias), None for as many as its kind has."""
        if self.bare_norms and not keys.has(f"{_FIRST}attn_norm.weight"):
            return 0
        has_scale_only = self._norm(keys) == "layer_norm" and not any(
            keys.has(f"{_FIRST}{name}.bias") for name in ("attn_norm", "attn_output_norm")
        )
        return 1 if has_scale_only else None

    def _parallel(self, keys: GgufKeys) -> str:
        """Return whether attention and feed-forward network run in parallel, and on which norms.

        ``no``, or in parallel with ``one_norm`` or ``two_norms``.
        """
        if not self.parallel or keys.has(f"{_FIRST}post_attention_norm.weight"):
            return "no"
        if keys.has(f"{_FIRST}attn_norm_2.weight"):
            return "two_norms"
        if not keys.has(f"{_FIRST}ffn_norm.weight"):
            return "one_norm"
        stated = keys.header.keys.get(f"{keys.architecture}.use_parallel_residual", True)
        return "two_norms" if self.two_norms and stated else "no"

    def _layer_groups(
        self, keys: GgufKeys, fields: dict[str, Any], kinds: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Return the group of each layer: its kind, and whether its attention has a window.

        If any layer has a window, its size and the number of layers without it are added to the
        fields.
        """
        stated = keys.size("attention.sliding_window", 0, least=0)
        if self.sliding is None:
            if stated:
                note = f"the sliding window of {stated} tokens is not used, as in llama.cpp"
                keys.notes.append(note)
            return kinds
        size = stated or self.sliding.size
        key = "attention.sliding_window_pattern"
        slides = keys.flags(key, len(kinds))
        if slides is None:
            is_list = isinstance(keys.header.keys.get(f"{keys.architecture}.{key}"), list)
            every = self.sliding.every if is_list else keys.size(key, self.sliding.every, least=0)
            full = 0 if self.sliding.first else every - 1
            slides = [every == 0 or i % every != full for i in range(len(kinds))]
        if not size or not any(slides):
            return kinds
        fields |= {"window": size, "full_layers": slides.count(False)}
        if "dense_layer" in kinds:
            message = "sliding windows beside first dense layers"
            keys.refuse("attention.sliding_window", message, "one of the two")
        return tuple(
            f"sliding_{kind}" if slide else kind for kind, slide in zip(kinds, slides, strict=True)
        )


def declared_fields(keys: GgufKeys, declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of every network, and those that a part of ``gguf/keys.yaml`` declares.

    Parameters
    ----------
    declared
        ``sizes`` (field -> key of the header and default), ``tensors`` (field -> tensor whose
        presence sets it) and ``is`` (fields of fixed value).
    """
    return {
        "layers": count_layers(keys),
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
