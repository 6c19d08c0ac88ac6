"""GGUF formats as one model stores them: rows that blocks do not divide, tied embedding tables.

llama.cpp falls back to a wider format where a row is not a multiple of the 256 elements of a
K-quant block (ggml-org/llama.cpp, src/llama-quant.cpp). The blocks and mixtures are in
``workloads/stored/formats.yaml``. The resolution of a prediction calls `for_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from perfmodel.formats.format import Format, blocks, layouts

#: Block size of the K-quants, which must divide the row length.
_SUPER_BLOCK: Final = 256


def is_gguf(weights: Format) -> bool:
    """Return whether weights are stored in a format of GGUF."""
    return weights.source.startswith("ggml")


def for_rows(weights: Format, lengths: Mapping[str, int], *, tied: bool = False) -> Format:
    """Return the format of a model's file.

    Tensors with a row length that is not a multiple of 256, the block size of K-quants, are stored
    in a wider format, and a tied embedding table is stored in the format of the head.

    Parameters
    ----------
    weights
        A format of GGUF; others are returned unchanged.
    lengths
        Tag of a weight -> length of its rows.
    tied
        Whether the embedding table is also the head.
    """
    if not is_gguf(weights):
        return weights
    overrides = dict(weights.overrides)
    if tied and "head" in overrides:
        overrides["embedding"] = overrides["head"]
    plain, wider = blocks()[1], layouts()["rows_not_of_blocks"]
    for tag, length in lengths.items():
        if length % _SUPER_BLOCK:
            parts = overrides.get(tag, ((1.0, plain.get(weights.block or weights.name, weights)),))
            overrides[tag] = tuple((share, plain[wider.get(p.name, p.name)]) for share, p in parts)
    stored = tuple(overrides.items())
    return weights if stored == weights.overrides else replace(weights, overrides=stored)
