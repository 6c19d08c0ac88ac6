"""Names that Hugging Face's model classes have for tensors, as GGUF's names.

The pairs stand in ``workloads/stored/modules.yaml``; they are those of ggml-org/llama.cpp,
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
    if rest in _modules("complete"):
        return f"{layer}{_modules('complete')[rest]}"
    stem, _, kind = rest.rpartition(".")
    kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)
    expert = _EXPERT.match(stem) if found else None
    if expert and expert[2] in _modules("experts"):
        return f"{layer}{_modules('experts')[expert[2]]}.{expert[1]}.{kind}"
    if post_norms and stem == "post_attention_layernorm":
        return f"{layer}post_attention_norm.{kind}"
    new = _modules("inside" if found else "outside").get(stem)
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
    modules = _modules("inside" if layer else "outside")
    fitting = [old for old, new in modules.items() if new == stem]
    alike = [old for old in fitting if old.split(".")[0] in spoken]
    if not fitting:
        return name
    return f"{next(iter(prefixes), '')}{(alike or fitting)[0]}.{kind}"


def _modules(place: str) -> Mapping[str, str]:
    """Return module -> GGUF's name, ``inside`` of layers or ``outside``, or of ``experts``."""
    return shipped("workloads", "stored/modules.yaml")[place]
