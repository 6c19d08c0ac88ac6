"""Logical weights of packed tensors in a safetensors file: packed integers with their scales.

With b bits, groups of G inputs and 32-bit words: GPTQ (AutoGPTQ, ``QuantLinear``) has ``qweight``
int32 ``[in b / 32, out]``, ``qzeros`` ``[in / G, out b / 32]`` and ``scales`` ``[in / G, out]``.
AWQ (AutoAWQ, ``WQLinear_GEMM``) has ``qweight`` ``[in, out b / 32]`` and the others alike. Hence
``b = 32 * columns(qzeros) / columns(scales)``. MXFP4 (gpt-oss) has ``_blocks`` of 16 bytes for 32
numbers and ``_scales`` of one byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from perfmodel.errors import Fault
from perfmodel.workload.importers.safetensors.header import BYTES, FORMATS, StoredTensor
from perfmodel.workload.importers.weight_files.file_tensor import FileTensor


def join_packed_weights(
    tensors: Mapping[str, StoredTensor], faults: list[Fault]
) -> dict[str, FileTensor]:
    """Return the logical weights by name.

    Parameters
    ----------
    faults
        Receives a fault for each group of packed tensors with inconsistent shapes.
    """
    weights: dict[str, FileTensor] = {}
    joined: set[str] = set()
    for name, tensor in tensors.items():
        stem, _, kind = name.rpartition(".")
        if kind == "qweight":
            joined_weight = _join_quantised_weight(stem, tensors, faults)
            joined |= {f"{stem}.{part}" for part in ("qweight", "qzeros", "scales")}
            if joined_weight is not None:
                weights[f"{stem}.weight"] = joined_weight
        elif name.endswith("_blocks") and tensor.dtype == "U8":
            weight = name.removesuffix("_blocks")
            scales = tensors.get(f"{weight}_scales")
            if scales is not None:
                joined |= {name, f"{weight}_scales"}
                size = prod(tensor.shape)
                weights[weight] = FileTensor(weight, 2 * size, "mxfp4", size + prod(scales.shape))
    for name, tensor in tensors.items():
        if name not in joined:
            count = prod(tensor.shape)
            weights[name] = FileTensor(
                name, count, FORMATS[tensor.dtype], count * BYTES[tensor.dtype], name, tensor.shape
            )
    return weights


def _join_quantised_weight(
    stem: str, tensors: Mapping[str, StoredTensor], faults: list[Fault]
) -> FileTensor | None:
    """Return a GPTQ or AWQ weight with its scales and zero points."""
    weight = tensors[f"{stem}.qweight"]
    zeros, scales = tensors.get(f"{stem}.qzeros"), tensors.get(f"{stem}.scales")

    def refuse(message: str, expected: str) -> None:
        faults.append(Fault(message, f"{stem}.qweight", weight.file, expected=expected))

    if zeros is None or scales is None:
        refuse("has no scales and zero points", f"'{stem}.scales' and '{stem}.qzeros'")
        return None
    if any(len(t.shape) != 2 or not prod(t.shape) for t in (weight, zeros, scales)):
        refuse("has not two axes", "qweight, qzeros and scales of two axes each")
        return None
    outputs, groups = scales.shape[1], scales.shape[0]
    bits = 32 * zeros.shape[1] / outputs
    gptq = weight.shape[1] == outputs
    inputs = weight.shape[0] * 32 / bits if gptq else weight.shape[0]
    fits = weight.shape[1] == (outputs if gptq else zeros.shape[1])
    if bits not in (2, 3, 4, 8) or inputs % groups or not fits:
        message = (
            f"of shape {list(weight.shape)} does not go with scales of {list(scales.shape)} "
            f"and zero points of {list(zeros.shape)}"
        )
        refuse(message, "GPTQ or AWQ in 2, 3, 4 or 8 bits")
        return None
    return FileTensor(
        f"{stem}.qweight",
        int(inputs) * outputs,
        f"int{int(bits)}g{int(inputs // groups)}",
        sum(prod(t.shape) * BYTES[t.dtype] for t in (weight, zeros, scales)),
        f"{stem}.qweight",
        weight.shape,
    )
