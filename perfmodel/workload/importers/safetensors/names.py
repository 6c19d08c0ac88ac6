"""Names that Hugging Face's model classes have for tensors, as GGUF's names.

The pairs are those of ggml-org/llama.cpp, ``gguf-py/gguf/tensor_mapping.py``, which converts such
checkpoints, as far as networks are read from them here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

_PREFIX: Final = re.compile(
    r"^(?:(?:model|transformer|backbone|language_model|text_model|decoder|bert|vit|gpt_neox)\.)+"
)
_LAYER: Final = re.compile(
    r"^(?:layers|layer|h|blocks|encoder\.layer|encoder\.layers)\.(\d{1,6})\.(.+)$", re.ASCII
)
_EXPERT: Final = re.compile(r"^(?:mlp|block_sparse_moe|feed_forward)\.experts\.(\d+)\.(\w+)$")
_EXPERTS: Final[Mapping[str, str]] = {
    "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down",
    "w1": "ffn_gate", "w3": "ffn_up", "w2": "ffn_down",
}  # fmt: skip
#: Modules outside the layers, without what comes before.
_WHOLE: Final[Mapping[str, str]] = {
    "embed_tokens": "token_embd", "wte": "token_embd", "embeddings": "token_embd",
    "embedding": "token_embd", "embeddings.word_embeddings": "token_embd",
    "wpe": "position_embd", "embed_positions": "position_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "word_embeddings": "token_embd", "embed_in": "token_embd", "embed_out": "output",
    "word_embeddings_layernorm": "token_embd_norm", "final_layernorm": "output_norm",
    "norm": "output_norm", "ln_f": "output_norm", "norm_f": "output_norm",
    "final_layer_norm": "output_norm", "layernorm": "output_norm", "lm_head": "output",
    "pooler.dense": "pooler", "classifier": "cls",
    "embeddings.patch_embeddings.projection": "patch_embd",
}  # fmt: skip
_INSIDE: Final[Mapping[str, str]] = {
    "input_layernorm": "attn_norm", "ln_1": "attn_norm", "self_attn_layer_norm": "attn_norm",
    "norm": "attn_norm", "layernorm_before": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "ln_2": "ffn_norm", "final_layer_norm": "ffn_norm",
    "layernorm_after": "ffn_norm",
    "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.out_proj": "attn_output",
    "self_attn.qkv_proj": "attn_qkv", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm",
    "self_attn.q_b_proj": "attn_q_b", "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm", "self_attn.kv_b_proj": "attn_kv_b",
    "attention.self.query": "attn_q", "attention.self.key": "attn_k",
    "attention.self.value": "attn_v", "attention.output.dense": "attn_output",
    "attention.attention.query": "attn_q", "attention.attention.key": "attn_k",
    "attention.attention.value": "attn_v", "attention.output.LayerNorm": "attn_output_norm",
    "attention.q_proj": "attn_q", "attention.k_proj": "attn_k", "attention.v_proj": "attn_v",
    "attention.o_proj": "attn_output", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
    "intermediate.dense": "ffn_up", "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "mlp.gate_up_proj": "ffn_up", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
    "fc1": "ffn_up", "fc2": "ffn_down",
    "mlp.gate": "ffn_gate_inp", "mlp.router": "ffn_gate_inp",
    "block_sparse_moe.gate": "ffn_gate_inp",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    **{f"mlp.{shared}.{old}": f"{new}_shexp"
       for shared in ("shared_expert", "shared_experts")
       for old, new in (("gate_proj", "ffn_gate"), ("up_proj", "ffn_up"),
                        ("down_proj", "ffn_down"))},
    "ln_attn": "attn_norm_2", "ln_mlp": "attn_norm", "norm_1": "attn_norm", "norm_2": "ffn_norm",
    "self_attention.query_key_value": "attn_qkv", "attention.query_key_value": "attn_qkv",
    "self_attention.dense": "attn_output", "attention.dense": "attn_output",
    "self_attn.dense": "attn_output", "attn.Wqkv": "attn_qkv", "attn.q_proj": "attn_q",
    "attn.k_proj": "attn_k", "attn.v_proj": "attn_v", "attn.out_proj": "attn_output",
    "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down", "mlp.fc_in": "ffn_up",
    "mlp.fc_out": "ffn_down", "ffn.up_proj": "ffn_up", "ffn.down_proj": "ffn_down",
    "self_attn.attn_sub_norm": "attn_sub_norm", "mlp.ffn_sub_norm": "ffn_sub_norm",
    "self_attn.query_layernorm": "attn_q_norm", "self_attn.key_layernorm": "attn_k_norm",
    "post_self_attn_layernorm": "post_attention_norm", "post_mlp_layernorm": "post_ffw_norm",
    "block_sparse_moe.router": "ffn_gate_inp",
    "mixer.in_proj": "ssm_in", "mixer.conv1d": "ssm_conv1d", "mixer.x_proj": "ssm_x",
    "mixer.dt_proj": "ssm_dt", "mixer.out_proj": "ssm_out",
}  # fmt: skip
#: Names that are whole: with neither ``.weight`` nor ``.bias``.
_PLAIN: Final[Mapping[str, str]] = {
    "mixer.A_log": "ssm_a", "mixer.D": "ssm_d",
    "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
    "block_sparse_moe.experts.gate_up_proj": "ffn_gate_up_exps.weight",
    "block_sparse_moe.experts.down_proj": "ffn_down_exps.weight",
    "mlp.experts.gate_up_proj": "ffn_gate_up_exps.weight",
    "mlp.experts.gate_up_proj_bias": "ffn_gate_up_exps.bias",
    "mlp.experts.down_proj": "ffn_down_exps.weight",
    "mlp.experts.down_proj_bias": "ffn_down_exps.bias",
    "embeddings.cls_token": "class_token", "embeddings.position_embeddings": "position_embd.weight",
    "self_attn.sinks": "attn_sinks.weight",
}  # fmt: skip
#: Constants that a class stores and no run needs.
_BUFFERS: Final = re.compile(
    r"(?:^|\.)(?:(?:attn|attention)\.(?:masked_)?bias|rotary_emb\.inv_freq|position_ids|token_type_ids)$"
)


def is_buffer(name: str) -> bool:
    """Tell whether a tensor is a constant of a class: a mask, positions."""
    return _BUFFERS.search(name) is not None


def canonical(name: str, *, post_norms: bool = False) -> str:
    """Return GGUF's name of a tensor; its own name where there is none.

    Parameters
    ----------
    post_norms
        The file has ``post_feedforward_layernorm``: what stands after attention is then a norm of
        its output, as in Gemma 2.
    """
    bare = _PREFIX.sub("", name)
    found = _LAYER.match(bare)
    layer, rest = (f"blk.{int(found[1])}.", found[2]) if found else ("", bare)
    table = _INSIDE if found else _WHOLE
    if rest in _PLAIN:
        return f"{layer}{_PLAIN[rest]}"
    stem, _, kind = rest.rpartition(".")
    kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)
    expert = _EXPERT.match(stem) if found else None
    if expert and expert[2] in _EXPERTS:
        return f"{layer}{_EXPERTS[expert[2]]}.{expert[1]}.{kind}"
    if post_norms and stem == "post_attention_layernorm":
        return f"{layer}post_attention_norm.{kind}"
    new = table.get(stem)
    return f"{layer}{new}.{kind}" if new else name


def original(name: str, known: Iterable[str]) -> str:
    """Return the name that a file of other tensors would have for a GGUF name.

    Parameters
    ----------
    known
        Names of the file, which tell how its class calls things.
    """
    layer, inside = "", name
    parts = name.split(".")
    if parts[0] == "blk" and len(parts) > 2:
        layer, inside = parts[1], ".".join(parts[2:])
    stem, _, kind = inside.rpartition(".")
    prefixes: dict[str, None] = {}
    spoken: dict[str, None] = {}
    for other in known:
        bare = _PREFIX.sub("", other)
        found = _LAYER.match(bare)
        if bool(found) == bool(layer):
            head = other[: len(other) - len(found[2])] if found else other[: -len(bare) or None]
            prefixes[re.sub(r"\d+\.$", f"{layer}.", head) if found else head] = None
            spoken[(found[2] if found else bare).split(".")[0]] = None
    for old, new in (_INSIDE if layer else _WHOLE).items():
        if new == stem and old.split(".")[0] in spoken:
            return f"{next(iter(prefixes), '')}{old}.{kind}"
    for old, new in (_INSIDE if layer else _WHOLE).items():
        if new == stem:
            return f"{next(iter(prefixes), '')}{old}.{kind}"
    return name
