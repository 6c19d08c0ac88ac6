"""Mapping of tensor names from Hugging Face model classes to GGUF, and back for messages.

``model.layers.3.mlp.down_proj.weight`` is ``blk.3.ffn_down.weight``. The pairs are in
``workloads/stored/modules.yaml`` and follow ggml-org/llama.cpp, gguf-py/gguf/tensor_mapping.py,
which converts such checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from perfmodel.specfile import shipped

_PREFIX: Final = re.compile(
    r"^(?:(?:model|transformer|backbone|language_model|text_model|decoder|bert|vit|gpt_neox)\.)+"
)
_LAYER: Final = re.compile(
    r"^(?:layers|layer|h|blocks|encoder\.layer|encoder\.layers)\.(\d{1,6})\.(.+)$", re.ASCII
)
_EXPERT: Final = re.compile(r"^(?:mlp|block_sparse_moe|feed_forward)\.experts\.(\d+)\.(\w+)$")
#: Stored constants of a model class that are not weights.
_BUFFERS: Final = re.compile(
    r"(?:^|\.)(?:(?:attn|attention)\.(?:masked_)?bias|rotary_emb\.inv_freq|position_ids|token_type_ids)$"
)


def is_buffer(name: str) -> bool:
    """Return whether a tensor is a stored constant of a class, such as a mask or positions."""
    return _BUFFERS.search(name) is not None


def to_gguf_name(name: str, *, post_norms: bool = False) -> str:
    """Return the GGUF name of a tensor, or its original name if there is none.

    Parameters
    ----------
    post_norms
        Whether the file has ``post_feedforward_layernorm``: ``post_attention_layernorm`` is then a
        norm of the attention output, as in Gemma 2.
    """
    unprefixed = _PREFIX.sub("", name)
    in_layer = _LAYER.match(unprefixed)
    layer, inner = (f"blk.{int(in_layer[1])}.", in_layer[2]) if in_layer else ("", unprefixed)
    if inner in _module_names("complete"):
        return f"{layer}{_module_names('complete')[inner]}"
    stem, _, kind = inner.rpartition(".")
    kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)
    expert = _EXPERT.match(stem) if in_layer else None
    if expert and expert[2] in _module_names("experts"):
        return f"{layer}{_module_names('experts')[expert[2]]}.{expert[1]}.{kind}"
    if post_norms and stem == "post_attention_layernorm":
        return f"{layer}post_attention_norm.{kind}"
    new = _module_names("inside" if in_layer else "outside").get(stem)
    return f"{layer}{new}.{kind}" if new else name


def to_file_name(name: str, known: Iterable[str]) -> str:
    """Return the name that a file would use for a GGUF name, for error messages.

    Parameters
    ----------
    known
        Names in the file, from which the naming scheme of its class is inferred.
    """
    layer, inside = "", name
    parts = name.split(".")
    if parts[0] == "blk" and len(parts) > 2:
        layer, inside = parts[1], ".".join(parts[2:])
    stem, _, kind = inside.rpartition(".")
    prefixes: dict[str, None] = {}
    first_modules: dict[str, None] = {}
    for known_name in known:
        unprefixed = _PREFIX.sub("", known_name)
        in_layer = _LAYER.match(unprefixed)
        if bool(in_layer) == bool(layer):
            head = (
                known_name[: len(known_name) - len(in_layer[2])]
                if in_layer
                else known_name[: -len(unprefixed) or None]
            )
            prefixes[re.sub(r"\d+\.$", f"{layer}.", head) if in_layer else head] = None
            first_modules[(in_layer[2] if in_layer else unprefixed).split(".")[0]] = None
    modules = _module_names("inside" if layer else "outside")
    candidates = [old for old, new in modules.items() if new == stem]
    in_scheme = [old for old in candidates if old.split(".")[0] in first_modules]
    if not candidates:
        return name
    return f"{next(iter(prefixes), '')}{(in_scheme or candidates)[0]}.{kind}"


def _module_names(place: str) -> Mapping[str, str]:
    """Return module -> GGUF name, ``inside`` or ``outside`` of layers, or of ``experts``."""
    return shipped("workloads", "stored/modules.yaml")[place]
