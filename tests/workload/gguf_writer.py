"""Writes GGUF headers by the specification (ggml-org/ggml, docs/gguf.md); no data unless asked."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perfmodel.workload.importers.gguf.ggml_types import TYPES

NUMBERS = {t.name: number for number, t in TYPES.items()}
#: A tensor: name, shape (row length first), type.
Tensor = tuple[str, Sequence[int], str]


def text(value: str | bytes, order: str = "<") -> bytes:
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack(f"{order}Q", len(raw)) + raw


def value(found: Any, order: str = "<") -> tuple[int, bytes]:
    """Return the type's number and the bytes of a value."""
    if isinstance(found, bool):
        return 7, struct.pack("B", found)
    if isinstance(found, int):
        return (
            (4, struct.pack(f"{order}I", found))
            if found >= 0
            else (5, struct.pack(f"{order}i", found))
        )
    if isinstance(found, float):
        return 6, struct.pack(f"{order}f", found)
    if isinstance(found, list):
        parts = [value(item, order) for item in found]
        kind = parts[0][0] if parts else 4
        return 9, struct.pack(f"{order}IQ", kind, len(parts)) + b"".join(p for _, p in parts)
    return 8, text(found, order)


def header(
    keys: Mapping[str, Any], tensors: Sequence[Tensor] = (), *, version: int = 3, order: str = "<"
) -> bytes:
    """Return the bytes before the data."""
    out = [b"GGUF", struct.pack(f"{order}IQQ", version, len(tensors), len(keys))]
    for key, found in keys.items():
        kind, raw = value(found, order)
        out += [text(key, order), struct.pack(f"{order}I", kind), raw]
    offset = 0
    for name, shape, type_ in tensors:
        out += [text(name, order), struct.pack(f"{order}I{len(shape)}Q", len(shape), *shape)]
        out.append(struct.pack(f"{order}IQ", NUMBERS[type_], offset))
        offset += -(-bytes_of(shape, type_) // 32) * 32
    return b"".join(out)


def bytes_of(shape: Sequence[int], type_: str) -> int:
    found = TYPES[NUMBERS[type_]]
    count = 1
    for extent in shape:
        count *= extent
    return count // found.block * found.size


def write(
    path: Path,
    keys: Mapping[str, Any],
    tensors: Sequence[Tensor] = (),
    *,
    sparse: bool = True,
    **how: Any,
) -> Path:
    """Write a file; `sparse` gives it the length that its data would have."""
    raw = header(keys, tensors, **how)
    path.write_bytes(raw)
    if sparse and tensors:
        data = -(-len(raw) // 32) * 32
        for _, shape, type_ in tensors:
            data = -(-data // 32) * 32 + bytes_of(shape, type_)
        with path.open("r+b") as stream:
            stream.truncate(data)
    return path


def more_bits(i: int, n: int) -> bool:
    """Tell whether a layer is stored wider (`use_more_bits` of src/llama-quant.cpp)."""
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2


def llama(
    *,
    layers: int,
    width: int,
    heads: int,
    kv_heads: int,
    ffn: int,
    vocabulary: int,
    mix: str,
    tied: bool = False,
    rope: int = 0,
    context: int = 8192,
) -> tuple[dict[str, Any], list[Tensor]]:
    """Return keys and tensors of a Llama as ``llama-quantize`` writes a mixture."""
    base = {"Q4_K_M": "Q4_K", "Q5_K_M": "Q5_K"}.get(mix, mix)
    kv = width // heads * kv_heads
    keys: dict[str, Any] = {
        "general.architecture": "llama",
        "general.file_type": {
            "Q4_0": 2,
            "Q8_0": 7,
            "F16": 1,
            "Q4_K_M": 15,
            "Q5_K_M": 17,
            "Q6_K": 18,
        }[mix],
        "llama.block_count": layers,
        "llama.context_length": context,
        "llama.embedding_length": width,
        "llama.feed_forward_length": ffn,
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": kv_heads,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.vocab_size": vocabulary,
    }
    head = {"Q8_0": "Q8_0", "F16": "F16"}.get(mix, "Q6_K")
    tensors: list[Tensor] = [("token_embd.weight", (width, vocabulary), head if tied else base)]
    if rope:
        tensors.append(("rope_freqs.weight", (rope,), "F32"))
    for i in range(layers):
        wider = "Q6_K" if mix.endswith("_M") and more_bits(i, layers) else base
        b = f"blk.{i}."
        tensors += [
            (f"{b}attn_norm.weight", (width,), "F32"),
            (f"{b}attn_q.weight", (width, width), base),
            (f"{b}attn_k.weight", (width, kv), base),
            (f"{b}attn_v.weight", (width, kv), wider),
            (f"{b}attn_output.weight", (width, width), base),
            (f"{b}ffn_norm.weight", (width,), "F32"),
            (f"{b}ffn_gate.weight", (width, ffn), base),
            (f"{b}ffn_up.weight", (width, ffn), base),
            (f"{b}ffn_down.weight", (ffn, width), wider),
        ]
    tensors.append(("output_norm.weight", (width,), "F32"))
    if not tied:
        tensors.append(("output.weight", (width, vocabulary), head))
    return keys, tensors
