"""Mapping of tensor names from Hugging Face model classes to GGUF.

The pairs are in ``workloads/stored/modules.yaml`` and follow ggml-org/llama.cpp,
``gguf-py/gguf/tensor_mapping.py``, which converts such checkpoints.
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


def canonical(name: str, *, post_norms: bool = False) -> str:
    """Return the GGUF name of a tensor, or its original name if there is none.

    Parameters
    ----------
    post_norms
        Whether the file has ``post_feedforward_layernorm``: ``post_attention_layernorm`` is then a
        norm of the attention output, as in Gemma 2.
    """
    bare = _PREFIX.sub("", name)
    in_layer = _LAYER.match(bare)
    layer, inner = (f"blk.{int(in_layer[1])}.", in_layer[2]) if in_layer else ("", bare)
    if inner in _modules("complete"):
        return f"{layer}{_modules('complete')[inner]}"
    stem, _, kind = inner.rpartition(".")
    kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)
    expert = _EXPERT.match(stem) if in_layer else None
    if expert and expert[2] in _modules("experts"):
        return f"{layer}{_modules('experts')[expert[2]]}.{expert[1]}.{kind}"
    if post_norms and stem == "post_attention_layernorm":
        return f"{layer}post_attention_norm.{kind}"
    new = _modules("inside" if in_layer else "outside").get(stem)
    return f"{layer}{new}.{kind}" if new else name


def original(name: str, known: Iterable[str]) -> str:
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
    for other in known:
        bare = _PREFIX.sub("", other)
        in_layer = _LAYER.match(bare)
        if bool(in_layer) == bool(layer):
            head = (
                other[: len(other) - len(in_layer[2])] if in_layer else other[: -len(bare) or None]
            )
            prefixes[re.sub(r"\d+\.$", f"{layer}.", head) if in_layer else head] = None
            first_modules[(in_layer[2] if in_layer else bare).split(".")[0]] = None
    modules = _modules("inside" if layer else "outside")
    fitting = [old for old, new in modules.items() if new == stem]
    in_scheme = [old for old in fitting if old.split(".")[0] in first_modules]
    if not fitting:
        return name
    return f"{next(iter(prefixes), '')}{(in_scheme or fitting)[0]}.{kind}"


def _modules(place: str) -> Mapping[str, str]:
    """Return module -> GGUF name, ``inside`` or ``outside`` of layers, or of ``experts``."""
    return shipped("workloads", "stored/modules.yaml")[place]
