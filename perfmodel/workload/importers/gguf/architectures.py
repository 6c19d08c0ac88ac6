"""What each architecture of GGUF files makes of the keys of its header.

Keys and names of tensors are the same for all (ggml-org/llama.cpp, ``gguf-py/gguf/constants.py``),
and which tensors there are says most of what a layer is made of: biases, gates, norms of heads,
experts. The rest, activations and which layers have a sliding window, is in llama.cpp's
``src/models/*.cpp`` and stands in `ARCHITECTURES`, a line each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from perfmodel.workload.importers.gguf.keys import Keys

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
            "layers": layers, "width": width, "heads": heads,
            "kv_heads": k.size("attention.head_count_kv", heads, field="kv_heads"),
            "activation": self.activation, "causal": self.causal,
            "phase": "decode" if self.causal else "encode",
            "norm": self._norm(k), "norm_position": _position(k, first),
            "norm_vectors": self._norm_vectors(k, first),
            "parallel": self._parallel(k, first),
            "sub_norms": k.has(f"{first}attn_sub_norm.weight"),
            "sinks": k.has(f"{first}attn_sinks.weight"),
            "final_norm": k.has("output_norm.weight") or self.bare_norms,
            "embedding_norm": k.has("token_embd_norm.weight"),
            "qkv_bias": any(
                k.has(f"{first}attn_{part}.bias") for part in ("q", "k", "qkv", "q_a")
            ),
            "output_bias": k.has(f"{first}attn_output.bias"),
            "positions": k.axis("position_embd.weight", 1),
            "token_types": k.axis("token_types.weight", 1, 1 if k.has("token_types.weight") else 0),
            "rotary": self.rotary and not k.has("position_embd.weight"),
            "vocabulary": k.axis("token_embd.weight", 1, 1),
            "tied_embeddings": not k.has("output.weight"),
            "head": "tokens" if self.causal else "none",
            "head_bias": k.has("output.bias"),
        }  # fmt: skip
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
        names = ("ffn_norm", "attn_norm_2")
        if any(k.has(f"{layer}{name}.weight") for name in names):
            stated = k.header.keys.get(f"{k.architecture}.use_parallel_residual", True)
            falcon = k.has(f"{layer}attn_norm_2.weight")
            return "two_norms" if falcon or (self.two_norms and stated) else "no"
        return "one_norm"

    def _windows(self, k: Keys, made: dict[str, Any], kinds: tuple[str, ...]) -> tuple[str, ...]:
        """Add the sliding window; return the groups of the layers by it."""
        stated = k.size("attention.sliding_window", 0, least=0)
        if self.sliding is None:
            if stated:
                k.notes.append(
                    f"the sliding window of {stated} tokens is not used, as in llama.cpp"
                )
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
            k.refuse("attention.sliding_window", "sliding windows beside first dense layers",
                     "one of the two")  # fmt: skip
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
        k.refuse("", "layers with experts and without take turns",
                 "experts in every layer after the first")  # fmt: skip
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
    rows = k.axis(f"{layer}ffn_up.weight", 1)
    # Gate and up-projection may be one tensor (Phi-3).
    gated = k.has(f"{layer}ffn_gate.weight") or rows == 2 * stated
    return {"ffn_width": stated, "gated": gated, "ffn_bias": k.has(f"{layer}ffn_down.bias")}


def _experts(k: Keys, layer: str, dense: int) -> dict[str, Any]:
    plain = k.axis(f"{layer}ffn_down_exps.weight", 0)
    shared = k.axis(f"{layer}ffn_down_shexp.weight", 0)
    width = k.size("expert_feed_forward_length", plain or None, field="experts.ffn_width")
    return {
        "count": k.size("expert_count", field="experts.count"),
        "per_token": k.size("expert_used_count", field="experts.per_token"),
        "ffn_width": width, "shared_width": shared,
        "shared_gate": k.has(f"{layer}ffn_gate_inp_shexp.weight"), "dense_layers": dense,
        "router_bias": any(
            k.has(f"{layer}{name}.bias") for name in ("ffn_gate_inp", "exp_probs_b")
        ),
        "bias": k.has(f"{layer}ffn_down_exps.bias"),
    }  # fmt: skip


def _latent(k: Keys) -> dict[str, int]:
    rope = k.size("rope.dimension_count", field="latent.rope_dim")
    # Files since 2025 state the sizes of the compressed heads beside those of the expanded ones.
    suffix = "_mla" if k.states("attention.key_length_mla") else ""
    keys = k.size(f"attention.key_length{suffix}", field="latent.plain_dim")
    return {
        "query_rank": k.size("attention.q_lora_rank", 0, field="latent.query_rank", least=0),
        "rank": k.size("attention.kv_lora_rank", field="latent.rank"),
        "plain_dim": max(keys - rope, 0), "rope_dim": rope,
        "value_dim": k.size(f"attention.value_length{suffix}", field="latent.value_dim"),
    }  # fmt: skip


def _mamba(k: Keys) -> Made:
    layers = layers_of(k)
    return "mamba", {
        "layers": layers, "width": k.size("embedding_length", field="width"),
        "inner": k.size("ssm.inner_size", field="inner"),
        "state": k.size("ssm.state_size", field="state"),
        "kernel": k.size("ssm.conv_kernel", field="kernel"),
        "rank": k.size("ssm.time_step_rank", field="rank"),
        "vocabulary": k.axis("token_embd.weight", 1, 1),
        "tied_embeddings": not k.has("output.weight"),
        "conv_bias": k.has("blk.0.ssm_conv1d.bias"), "bias": k.has("blk.0.ssm_in.bias"),
    }, ("layer",) * layers  # fmt: skip


def _mamba2(k: Keys) -> Made:
    layers = layers_of(k)
    inner, heads = k.size("ssm.inner_size"), k.size("ssm.time_step_rank", field="heads")
    if inner % heads:
        k.refuse(
            "ssm.inner_size", f"{inner} channels are no {heads} heads", f"a multiple of {heads}"
        )
    return "mamba2", {
        "layers": layers, "width": k.size("embedding_length", field="width"), "heads": heads,
        "head_dim": max(inner // heads, 1), "groups": k.size("ssm.group_count", 1, field="groups"),
        "state": k.size("ssm.state_size", field="state"),
        "kernel": k.size("ssm.conv_kernel", field="kernel"),
        "vocabulary": k.axis("token_embd.weight", 1, 1),
        "tied_embeddings": not k.has("output.weight"),
        "conv_bias": k.has("blk.0.ssm_conv1d.bias"), "bias": k.has("blk.0.ssm_in.bias"),
        "gate_norm": k.has("blk.0.ssm_norm.weight"),
    }, ("layer",) * layers  # fmt: skip


def _rwkv6(k: Keys) -> Made:
    layers = layers_of(k)
    return "rwkv", {
        "version": 6, "layers": layers, "width": k.size("embedding_length", field="width"),
        "ffn_width": k.size("feed_forward_length", field="ffn_width"),
        "head_size": k.size("wkv.head_size", field="head_size"),
        "mix_rank": k.size("time_mix_extra_dim", field="mix_rank"),
        "decay_rank": k.size("time_decay_extra_dim", field="decay_rank"),
        "vocabulary": k.axis("token_embd.weight", 1, 1),
        "tied_embeddings": not k.has("output.weight"),
        "entry_norm": k.has("token_embd_norm.weight"),
    }, ("layer",) * layers  # fmt: skip


_SILU: Final = _Decoder()
_GELU: Final = _Decoder("gelu", layer_norm=True)
_ALIBI: Final = _Decoder("gelu", rotary=False, layer_norm=True)
_PARALLEL: Final = _Decoder("gelu", layer_norm=True, parallel=True)

#: ``general.architecture`` -> reader.
ARCHITECTURES: Final[Mapping[str, Callable[[Keys], Made]]] = {
    **dict.fromkeys((
        "llama", "mistral3", "minicpm", "smollm3", "granite", "granitemoe", "baichuan", "xverse",
        "internlm2", "orion", "exaone", "seed_oss", "ernie4_5", "hunyuan-dense", "glm4", "chatglm",
        "qwen", "qwen2", "qwen2vl", "qwen2moe", "qwen3", "qwen3vl", "qwen3moe", "qwen3vlmoe",
        "phi3", "phimoe", "deepseek", "deepseek2", "dots1", "bailingmoe", "hunyuan-moe", "olmo2",
        "olmoe", "refact",
    ), _SILU),
    "olmo": _Decoder(layer_norm=True, bare_norms=True),
    "stablelm": _Decoder(layer_norm=True, parallel=True),
    "command-r": _Decoder(layer_norm=True, parallel=True),
    "cohere2": _Decoder(sliding=Sliding(4), layer_norm=True, parallel=True),
    "arcee": _Decoder("relu2"), "bitnet": _Decoder("relu2"),
    "gemma": _Decoder("gelu_tanh"),
    "gemma2": _Decoder("gelu_tanh", Sliding(2, size=4096)),
    "gemma3": _Decoder("gelu_tanh", Sliding(6)),
    "exaone4": _Decoder(sliding=Sliding(4)),
    "gpt-oss": _Decoder(sliding=Sliding(2)),
    "smallthinker": _Decoder("relu", Sliding(4, first=True), router_first=True),
    **dict.fromkeys(("phi2", "falcon", "gptj"), _PARALLEL),
    "gptneox": _Decoder("gelu", layer_norm=True, parallel=True, two_norms=True),
    **dict.fromkeys(("starcoder2", "codeshell"), _GELU),
    **dict.fromkeys(("gpt2", "starcoder", "bloom", "mpt"), _ALIBI),
    "bert": _Decoder("gelu", causal=False, layer_norm=True),
    "nomic-bert": _Decoder(causal=False, layer_norm=True),
    "jina-bert-v2": _Decoder("gelu", causal=False, rotary=False, layer_norm=True),
    "mamba": _mamba, "mamba2": _mamba2, "rwkv6": _rwkv6,
}  # fmt: skip
