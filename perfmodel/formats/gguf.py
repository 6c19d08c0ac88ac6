"""Block layouts of GGUF files, from the struct sizes of ggml.

Bits are exact: bytes of a block over its elements (``block_q4_0``: 16 B of nibbles and one fp16
scale for 32 weights = 4.5 bits). Source: ggml-org/llama.cpp, ``ggml/src/ggml-common.h`` and, for
mixtures, ``src/llama-quant.cpp``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from perfmodel.formats.format import Format

_SOURCE = "ggml-org/llama.cpp, ggml/src/ggml-common.h"
_MIX = "ggml-org/llama.cpp, src/llama-quant.cpp"


def _block(
    name: str, bits: float, group: int, scale: float, zero: float = 0.0, compute: str = "fp16"
) -> Format:
    family = "ternary" if name.startswith("tq") else "codebook" if name[0] == "i" else "int"
    return Format(name, bits, family, compute, group, scale, zero, source=_SOURCE)


# name, element bits, block, scale bits, minimum bits (the 6-bit sub-block scales of K-quants count
# as scale bits: q4_k = 256 x 4 + 12 B of sub-scales and minima + two fp16 = 144 B)
_BLOCKS: tuple[Format, ...] = (
    _block("q1_0", 1, 128, 16),
    _block("q2_0", 2, 64, 16),
    _block("q4_0", 4, 32, 16),
    _block("q4_1", 4, 32, 16, 16),
    _block("q5_0", 5, 32, 16),
    _block("q5_1", 5, 32, 16, 16),
    _block("q8_0", 8, 32, 16),
    _block("q8_1", 8, 32, 16, 16),
    _block("q2_k", 2, 256, 16 + 64, 16 + 64),
    _block("q3_k", 3, 256, 16 + 96),
    _block("q4_k", 4, 256, 16 + 48, 16 + 48),
    _block("q5_k", 5, 256, 16 + 48, 16 + 48),
    _block("q6_k", 6, 256, 16 + 128),
    _block("q8_k", 8, 256, 32 + 256),
    _block("iq1_s", 1.5625, 256, 0),
    _block("iq1_m", 1.75, 256, 0),
    _block("iq2_xxs", 2.0625, 256, 0),
    _block("iq2_xs", 2.3125, 256, 0),
    _block("iq2_s", 2.5625, 256, 0),
    _block("iq3_xxs", 3.0625, 256, 0),
    _block("iq3_s", 3.4375, 256, 0),
    _block("iq4_xs", 4, 256, 64),
    _block("iq4_nl", 4, 32, 16),
    _block("tq1_0", 1.625, 256, 16),
    _block("tq2_0", 2, 256, 16),
)
_Q = {f.name: f for f in _BLOCKS}


_Q["mxfp4"] = Format("mxfp4", 4, "block_float", "fp4", 32, 8.0, source=_SOURCE)


def _mix(name: str, base: str, note: str, **wider: dict[str, float]) -> Format:
    overrides = tuple(
        (tag, tuple((share, _Q[part]) for part, share in parts.items()))
        for tag, parts in wider.items()
    )
    b = _Q[base]
    return Format(
        name,
        b.element_bits,
        b.family,
        b.compute,
        b.group,
        b.scale_bits,
        b.zero_bits,
        overrides,
        _MIX,
        note,
        base,
    )


# `use_more_bits` picks the first and last eighth of the layers and every third between: one half.
_HALF = {"q6_k": 0.5, "q4_k": 0.5}
# Every file type keeps the head in q6_k unless it is q8_0 or wider (`output.weight` in
# `llama_tensor_get_type`): Llama-2-7B in q4_0 is a file of 3.826 GB, not of 3.79.
_HEAD = {"q6_k": 1.0}
_MIXTURES: tuple[Format, ...] = (
    *(_mix(name, name, "head in q6_k", head=_HEAD) for name in ("q4_0", "q4_1", "q5_0", "q5_1")),
    _mix(
        "q4_k_m",
        "q4_k",
        "half of attn_v and ffn_down in q6_k, head in q6_k",
        attn_v=_HALF,
        ffn_down=_HALF,
        head={"q6_k": 1.0},
    ),
    _mix(
        "q4_k_s",
        "q4_k",
        "first eighth of ffn_down and first 4 attn_v in q5_k, head in q6_k",
        attn_v={"q5_k": 0.125, "q4_k": 0.875},
        ffn_down={"q5_k": 0.125, "q4_k": 0.875},
        head={"q6_k": 1.0},
    ),
    _mix(
        "q5_k_m",
        "q5_k",
        "half of attn_v and ffn_down in q6_k, head in q6_k",
        attn_v={"q6_k": 0.5, "q5_k": 0.5},
        ffn_down={"q6_k": 0.5, "q5_k": 0.5},
        head={"q6_k": 1.0},
    ),
    _mix("q5_k_s", "q5_k", "head in q6_k", head={"q6_k": 1.0}),
    _mix("q6_k", "q6_k", "every tensor", head={"q6_k": 1.0}),
    _mix(
        "q2_k",
        "q2_k",
        "attn_v, attn_output and ffn_down in q3_k, head in q6_k",
        attn_v={"q3_k": 1.0},
        attn_output={"q3_k": 1.0},
        ffn_down={"q3_k": 1.0},
        head={"q6_k": 1.0},
    ),
    _mix("mxfp4_moe", "q8_0", "experts in mxfp4", expert={"mxfp4": 1.0}),
    _mix(
        "q3_k_m",
        "q3_k",
        "attn_v and attn_output in q4_k, ffn_down mostly q4_k, head in q6_k",
        attn_v={"q4_k": 0.9375, "q5_k": 0.0625},
        attn_output={"q4_k": 1.0},
        ffn_down={"q4_k": 0.9375, "q5_k": 0.0625},
        head={"q6_k": 1.0},
    ),
)

_MIXED = {f.name for f in _MIXTURES}
GGUF: tuple[Format, ...] = (*(f for f in _BLOCKS if f.name not in _MIXED), *_MIXTURES)

#: Elements of a block that rows must be multiples of, and what a tensor takes whose rows are not
#: (`llama_tensor_get_type`, "fallback").
_SUPER = 256
_FALLBACK = {
    "q2_k": "iq4_nl",
    "q3_k": "iq4_nl",
    "iq4_xs": "iq4_nl",
    "q4_k": "q5_0",
    "q5_k": "q5_1",
    "q6_k": "q8_0",
    "tq1_0": "q4_0",
    "tq2_0": "q4_0",
}


def is_gguf(weights: Format) -> bool:
    """Tell whether weights are stored in a format of this module."""
    return weights.source in (_SOURCE, _MIX)


def for_rows(weights: Format, lengths: Mapping[str, int], *, tied: bool = False) -> Format:
    """Return the format of the file of one model.

    Tensors whose rows the 256 weights of a K-quant's block do not divide are stored wider, and an
    embedding table that is also the head is stored as the head.

    Parameters
    ----------
    weights
        A format of this module; others are returned as they are.
    lengths
        Tag of a weight -> length of its rows.
    tied
        Whether the embedding table is the head.
    """
    if not is_gguf(weights):
        return weights
    overrides = dict(weights.overrides)
    if tied and "head" in overrides:
        overrides["embedding"] = overrides["head"]
    for tag, length in lengths.items():
        parts = overrides.get(tag, ((1.0, _Q.get(weights.block or weights.name, weights)),))
        if length % _SUPER:
            parts = tuple((share, _Q[_FALLBACK.get(p.name, p.name)]) for share, p in parts)
            overrides[tag] = parts
    stored = tuple(overrides.items())
    return weights if stored == weights.overrides else replace(weights, overrides=stored)
