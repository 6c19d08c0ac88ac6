"""What each Hugging Face architecture makes of the keys of its config.

Sizes follow the model classes of transformers; where a published config leaves a key out because it
equals the default of its class, that default stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from perfmodel.errors import nearest
from perfmodel.marks import Path
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.layer_fields import shown

#: Family and fields of its structure.
Made: TypeAlias = tuple[str, dict[str, Any]]

_LIMIT = 10**7
_ACTIVATIONS = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh", "gelu_python": "gelu",
    "quick_gelu": "gelu_tanh", "relu": "relu",
}  # fmt: skip


class Config:
    """Reads keys of a config; what is wrong is collected, and reading goes on.

    Attributes
    ----------
    flaws
        What is wrong, by path.
    notes
        What a user must know about what was read.
    defaults
        Defaults of free dimensions that the config states.
    """

    def __init__(
        self, data: Mapping[str, Any], path: Path = (), flaws: list[Flaw] | None = None
    ) -> None:
        self.data, self.path = data, path
        self.flaws: list[Flaw] = [] if flaws is None else flaws
        self.notes: list[str] = []
        self.defaults: dict[str, float] = {}
        self._fields: dict[str, Path] = {}

    def size(
        self, key: str, default: int | None = None, *, field: str = "", least: int = 1,
        nullable: bool = True,
    ) -> int:  # fmt: skip
        """Return a count; where it is at fault the fault is noted and 1 returned.

        Parameters
        ----------
        default
            What a missing (or null) key means; without one the key is required.
        field
            Field of the structure that it becomes, so that faults found there point here.
        """
        if field:
            self._fields[field] = (*self.path, key)
        value = self.data.get(key)
        if value is None and (key not in self.data or nullable):
            if default is None:
                self._missing(key, _size(least))
                return 1
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not least <= value <= _LIMIT:
            self.flaws.append(
                Flaw((*self.path, key), f"{shown(value)} is not a size", _size(least))
            )
            return 1
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return a yes or no."""
        value = self.data.get(key)
        if value is None:
            return default
        if type(value) is not bool:
            self.flaws.append(
                Flaw((*self.path, key), f"{shown(value)} is not a flag", "true or false")
            )
            return default
        return value

    def activation(self, *keys: str, default: str) -> str:
        """Return the activation function that the first of the keys names."""
        for key in keys:
            value = self.data.get(key)
            if value is None:
                continue
            if not isinstance(value, str) or value not in _ACTIVATIONS:
                self.flaws.append(
                    Flaw((*self.path, key), f"unknown activation {shown(value)}",
                         "one of " + ", ".join(_ACTIVATIONS), nearest(str(value), _ACTIVATIONS))
                )  # fmt: skip
                return default
            return _ACTIVATIONS[value]
        return default

    def sizes(self, key: str) -> list[Any] | None:
        """Return a list, or none."""
        value = self.data.get(key)
        if value is not None and not isinstance(value, list):
            self.flaws.append(Flaw((*self.path, key), f"{shown(value)} is not a list", "a list"))
            return None
        return cast("list[Any] | None", value)

    def section(self, key: str) -> Config:
        """Return the config of a part, such as ``text_config``; this one where there is none."""
        value = self.data.get(key)
        if not isinstance(value, Mapping):
            return self
        inner = Config(cast("Mapping[str, Any]", value), (*self.path, key), self.flaws)
        inner.notes, inner.defaults, inner._fields = self.notes, self.defaults, self._fields
        return inner

    def refuse(self, key: str, message: str, expected: str = "") -> None:
        """Note that a value of a key is not supported."""
        self.flaws.append(Flaw((*self.path, key), message, expected))

    def placed(self, flaw: Flaw) -> Flaw:
        """Return a fault of the structure at the key of the config that it came from."""
        path = ".".join(map(str, flaw.path))
        return Flaw(self._fields.get(path, ()), flaw.message, flaw.expected, flaw.suggestion)

    def _missing(self, key: str, expected: str) -> None:
        if key in self.data:
            self.flaws.append(Flaw((*self.path, key), "has no value", expected))
            return
        written = nearest(key, [k for k in self.data if k not in _KEYS], 0.75)
        if written:
            self.flaws.append(Flaw((*self.path, written), f"unknown key '{written}'", "", key,
                                   on_key=True))  # fmt: skip
        else:
            self.flaws.append(Flaw(self.path, f"missing key '{key}'", expected, on_key=True))


def _size(least: int) -> str:
    return f"a whole number from {least} to {_LIMIT:,}"


#: Keys that are right as they are, so that none is taken for a misspelling of another.
_KEYS = frozenset((
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "intermediate_size", "vocab_size", "head_dim", "moe_intermediate_size",
    "shared_expert_intermediate_size", "num_experts", "num_local_experts", "n_routed_experts",
    "n_shared_experts", "num_experts_per_tok", "kv_lora_rank", "q_lora_rank",
    "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "d_model", "encoder_layers",
    "decoder_layers", "encoder_attention_heads", "decoder_attention_heads", "encoder_ffn_dim",
    "decoder_ffn_dim", "ffn_dim", "n_embd", "n_layer", "n_head", "n_inner", "n_positions",
    "max_position_embeddings", "num_layers", "model_type", "type_vocab_size", "sliding_window",
    "hidden_act",
))  # fmt: skip


def _decoder(c: Config, **changes: Any) -> dict[str, Any]:
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


def _windows(c: Config, layers: int, every: int = 0, *, size: int = 0) -> dict[str, int]:
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


def llama(c: Config) -> Made:
    """Llama, TinyLlama; Mistral, whose window covers every layer."""
    bias = c.flag("attention_bias", False)
    made = _decoder(c, qkv_bias=bias, output_bias=bias, ffn_bias=c.flag("mlp_bias", False))
    if c.data.get("model_type") == "mistral":
        made |= _windows(c, made["layers"])
    return "transformer", made


def qwen2(c: Config) -> Made:
    """Qwen2, Qwen2.5: biases on queries, keys and values."""
    made = _decoder(c, qkv_bias=True)
    return "transformer", made | _qwen_windows(c, made["layers"])


def _qwen_windows(c: Config, layers: int) -> dict[str, int]:
    if not c.flag("use_sliding_window", False):
        return {}
    if c.sizes("layer_types") is not None:
        return _windows(c, layers)
    # The first layers attend to everything.
    full = min(c.size("max_window_layers", 28, least=0), layers)
    window = c.size("sliding_window", 0, field="window", least=0)
    return {"window": window, "full_layers": full} if window and full < layers else {}


def qwen3(c: Config) -> Made:
    """Qwen3: normalised heads."""
    bias = c.flag("attention_bias", False)
    made = _decoder(c, qk_norm=True, qkv_bias=bias, output_bias=bias)
    made["head_dim"] = made["head_dim"] or 128
    return "transformer", made | _qwen_windows(c, made["layers"])


def _qwen_experts(c: Config, per_token: int) -> dict[str, Any]:
    step = c.size("decoder_sparse_step", 1)
    if step != 1:
        c.refuse("decoder_sparse_step", f"experts in one of {step} layers", "1")
    dense = c.sizes("mlp_only_layers") or []
    if dense != list(range(len(dense))):
        c.refuse("mlp_only_layers", "dense layers after the first ones", "[0, 1, ...]")
    return {
        "count": c.size("num_experts", field="experts.count"),
        "per_token": c.size("num_experts_per_tok", per_token, field="experts.per_token"),
        "ffn_width": c.size("moe_intermediate_size", field="experts.ffn_width"),
        "dense_layers": len(dense),
    }


def qwen2_moe(c: Config) -> Made:
    """Qwen1.5-MoE, Qwen2-MoE: a gated shared expert."""
    experts = _qwen_experts(c, 4)
    shared = c.size("shared_expert_intermediate_size", field="experts.shared_width")
    experts |= {"shared_width": shared, "shared_gate": True}
    made = _decoder(c, qkv_bias=True, experts=experts)
    made |= _qwen_windows(c, made["layers"])
    return "transformer", _dense_part(c, made, experts)


def qwen3_moe(c: Config) -> Made:
    """Qwen3-MoE."""
    experts = _qwen_experts(c, 8)
    bias = c.flag("attention_bias", False)
    made = _decoder(c, qk_norm=True, qkv_bias=bias, output_bias=bias, experts=experts)
    made |= _qwen_windows(c, made["layers"])
    return "transformer", _dense_part(c, made, experts)


def _dense_part(c: Config, made: dict[str, Any], experts: Mapping[str, Any]) -> dict[str, Any]:
    if experts["dense_layers"]:
        made["ffn_width"] = c.size("intermediate_size", field="ffn_width")
    return made


def _gemma(c: Config, **changes: Any) -> dict[str, Any]:
    made = _decoder(c, tied_embeddings=c.flag("tie_word_embeddings", True), **changes)
    made["activation"] = c.activation("hidden_activation", "hidden_act", default="gelu_tanh")
    made["head_dim"] = made["head_dim"] or 256
    return made


def gemma2(c: Config) -> Made:
    """Gemma 2: every second layer attends to everything; norms on both sides of a block."""
    made = _gemma(c, norm_position="both")
    return "transformer", made | _windows(c, made["layers"], 2, size=4096)


def gemma3(c: Config) -> Made:
    """Gemma 3, the text part: every sixth layer attends to everything; normalised heads."""
    inner = c.section("text_config")
    if inner is not c:
        c.notes.append("the vision part is left out: text alone")
    # Defaults of Gemma3TextConfig, which published configs leave out.
    stated = {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 262_208}
    if inner is not c:
        missing = {k: v for k, v in stated.items() if k not in inner.data}
        inner.data = {**inner.data, **missing}
    made = _gemma(inner, norm_position="both", qk_norm=True)
    every = inner.size("sliding_window_pattern", inner.size("_sliding_window_pattern", 6))
    return "transformer", made | _windows(inner, made["layers"], every, size=4096)


def mixtral(c: Config) -> Made:
    """Mixtral."""
    experts = {
        "count": c.size("num_local_experts", field="experts.count"),
        "per_token": c.size("num_experts_per_tok", 2, field="experts.per_token"),
        "ffn_width": c.size("intermediate_size", field="experts.ffn_width"),
    }
    made = _decoder(c, experts=experts)
    return "transformer", made | _windows(c, made["layers"])


def deepseek(c: Config) -> Made:
    """DeepSeek-V2 and V3: latent attention, shared experts, first layers dense."""
    frequency = c.size("moe_layer_freq", 1)
    if frequency != 1:
        c.refuse("moe_layer_freq", f"experts in one of {frequency} layers", "1")
    width = c.size("moe_intermediate_size", field="experts.ffn_width")
    dense = c.size("first_k_dense_replace", 0, field="experts.dense_layers", least=0)
    experts = {
        "count": c.size("n_routed_experts", field="experts.count"),
        "per_token": c.size("num_experts_per_tok", field="experts.per_token"),
        "ffn_width": width,
        "shared_width": width * c.size("n_shared_experts", 0, least=0),
        "dense_layers": dense,
        "router_bias": c.data.get("model_type") != "deepseek_v2",
    }
    latent = {
        "query_rank": c.size("q_lora_rank", 0, field="latent.query_rank"),
        "rank": c.size("kv_lora_rank", field="latent.rank"),
        "plain_dim": c.size("qk_nope_head_dim", field="latent.plain_dim"),
        "rope_dim": c.size("qk_rope_head_dim", field="latent.rope_dim"),
        "value_dim": c.size("v_head_dim", field="latent.value_dim"),
    }
    made = _decoder(c, experts=experts, latent=latent, head_dim=0)
    made["kv_heads"] = 0
    bias = c.flag("attention_bias", False)
    made |= {"qkv_bias": bias, "output_bias": bias}
    if c.size("num_nextn_predict_layers", 0, least=0):
        c.notes.append("the multi-token prediction module is left out")
    return "transformer", _dense_part(c, made, experts)


def gpt_oss(c: Config) -> Made:
    """gpt-oss: biases everywhere, every second layer attends to everything."""
    experts = {
        "count": c.size("num_local_experts", field="experts.count"),
        "per_token": c.size("num_experts_per_tok", 4, field="experts.per_token"),
        "ffn_width": c.size("intermediate_size", field="experts.ffn_width"),
        "router_bias": True, "bias": True,
    }  # fmt: skip
    bias = c.flag("attention_bias", True)
    made = _decoder(c, experts=experts, qkv_bias=bias, output_bias=bias)
    made["head_dim"] = made["head_dim"] or 64
    return "transformer", made | _windows(c, made["layers"], 2)


def phi3(c: Config) -> Made:
    """Phi-3, Phi-4."""
    made = _decoder(c)
    return "transformer", made | _windows(c, made["layers"])


def opt(c: Config) -> Made:
    """OPT: learned positions with two rows to spare."""
    width = c.size("hidden_size", field="width")
    if c.size("word_embed_proj_dim", width) != width:
        c.refuse("word_embed_proj_dim", "embeddings of another width than the layers", f"{width}")
    before = c.flag("do_layer_norm_before", True)
    bias = c.flag("enable_bias", True)
    return "transformer", {
        "layers": c.size("num_hidden_layers", field="layers"), "width": width,
        "heads": c.size("num_attention_heads", field="heads"),
        "ffn_width": c.size("ffn_dim", field="ffn_width"), "gated": False,
        "activation": c.activation("activation_function", default="relu"), "norm": "layer_norm",
        "norm_position": "before" if before else "after", "final_norm": before,
        "qkv_bias": bias, "output_bias": bias, "ffn_bias": bias, "rotary": False,
        "positions": c.size("max_position_embeddings", 2048) + 2,
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", True),
    }  # fmt: skip


def gpt2(c: Config) -> Made:
    """GPT-2."""
    width = c.size("n_embd", field="width")
    return "transformer", {
        "layers": c.size("n_layer", field="layers"), "width": width,
        "heads": c.size("n_head", field="heads"),
        "ffn_width": c.size("n_inner", 4 * width, field="ffn_width"), "gated": False,
        "activation": c.activation("activation_function", default="gelu_tanh"),
        "norm": "layer_norm", "qkv_bias": True, "output_bias": True, "ffn_bias": True,
        "rotary": False, "positions": c.size("n_positions", 1024),
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", True),
    }  # fmt: skip


def bert(c: Config) -> Made:
    """BERT: the encoder with its pooler, without task heads."""
    c.notes.append("the encoder with its pooler; task heads are left out")
    return "transformer", {
        "phase": "encode", "causal": False, "head": "pooler",
        "layers": c.size("num_hidden_layers", field="layers"),
        "width": c.size("hidden_size", field="width"),
        "heads": c.size("num_attention_heads", field="heads"),
        "ffn_width": c.size("intermediate_size", field="ffn_width"), "gated": False,
        "activation": c.activation("hidden_act", default="gelu"), "norm": "layer_norm",
        "norm_position": "after", "final_norm": False, "embedding_norm": True, "qkv_bias": True,
        "output_bias": True, "ffn_bias": True, "rotary": False,
        "positions": c.size("max_position_embeddings", 512),
        "token_types": c.size("type_vocab_size", 2),
        "vocabulary": c.size("vocab_size", field="vocabulary"),
    }  # fmt: skip


def vit(c: Config) -> Made:
    """ViT: a classifier, or the bare model with its pooler."""
    architectures = c.sizes("architectures") or []
    classifier = "ViTForImageClassification" in architectures
    labels = c.data.get("id2label")
    classes = len(cast("Mapping[str, Any]", labels)) if isinstance(labels, Mapping) else 2
    c.activation("hidden_act", default="gelu")
    return "vit", {
        "layers": c.size("num_hidden_layers", field="layers"),
        "width": c.size("hidden_size", field="width"),
        "heads": c.size("num_attention_heads", field="heads"),
        "ffn_width": c.size("intermediate_size", field="ffn_width"),
        "patch": c.size("patch_size", 16, field="patch"),
        "image_size": c.size("image_size", 224, field="image_size"),
        "image_channels": c.size("num_channels", 3), "qkv_bias": c.flag("qkv_bias", True),
        "classes": c.size("num_labels", classes) if classifier else 0, "pooler": not classifier,
    }  # fmt: skip


def whisper(c: Config) -> Made:
    """Whisper."""
    for ours, theirs in (
        ("encoder_attention_heads", "decoder_attention_heads"),
        ("encoder_ffn_dim", "decoder_ffn_dim"),
    ):
        if ours in c.data and theirs in c.data and c.data[ours] != c.data[theirs]:
            c.refuse(theirs, f"differs from '{ours}'", str(c.data[ours]))
    c.defaults["frames"] = 2 * c.size("max_source_positions", 1500)
    return "whisper", {
        "encoder_layers": c.size("encoder_layers", field="encoder_layers"),
        "decoder_layers": c.size("decoder_layers", field="decoder_layers"),
        "width": c.size("d_model", field="width"),
        "heads": c.size("encoder_attention_heads", field="heads"),
        "ffn_width": c.size("encoder_ffn_dim", field="ffn_width"),
        "mels": c.size("num_mel_bins", 80),
        "text_positions": c.size("max_target_positions", 448),
        "vocabulary": c.size("vocab_size", field="vocabulary"),
    }  # fmt: skip


def mamba(c: Config) -> Made:
    """Mamba."""
    width = c.size("hidden_size", field="width")
    inner = c.size("intermediate_size", width * c.size("expand", 2), field="inner")
    rank = (
        0 if c.data.get("time_step_rank") == "auto" else c.size("time_step_rank", 0, field="rank")
    )
    return "mamba", {
        "layers": c.size("num_hidden_layers", field="layers"), "width": width, "inner": inner,
        "state": c.size("state_size", 16), "kernel": c.size("conv_kernel", 4), "rank": rank,
        "vocabulary": c.size("vocab_size", field="vocabulary"),
        "tied_embeddings": c.flag("tie_word_embeddings", True),
        "conv_bias": c.flag("use_conv_bias", True), "bias": c.flag("use_bias", False),
    }  # fmt: skip


#: ``model_type`` -> reader.
ARCHITECTURES: Mapping[str, Callable[[Config], Made]] = {
    "llama": llama, "mistral": llama, "qwen2": qwen2, "qwen3": qwen3, "qwen2_moe": qwen2_moe,
    "qwen3_moe": qwen3_moe, "gemma2": gemma2, "gemma3": gemma3, "gemma3_text": gemma3,
    "mixtral": mixtral, "deepseek_v2": deepseek, "deepseek_v3": deepseek, "gpt_oss": gpt_oss,
    "phi3": phi3, "opt": opt, "gpt2": gpt2, "bert": bert, "vit": vit, "whisper": whisper,
    "mamba": mamba,
}  # fmt: skip
