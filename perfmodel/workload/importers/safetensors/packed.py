"""Tensors of a safetensors file as what they stand for: packed integers and scales joined.

GPTQ (AutoGPTQ, ``QuantLinear``): ``qweight`` int32 ``[in * bits / 32, out]``, ``qzeros``
``[in / group, out * bits / 32]``, ``scales`` ``[in / group, out]``. AWQ (AutoAWQ,
``WQLinear_GEMM``): ``qweight`` ``[in, out * bits / 32]``, the others alike. MXFP4 (gpt-oss):
``_blocks`` of 16 bytes for 32 numbers and ``_scales`` of one byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from perfmodel.errors import Fault
from perfmodel.workload.importers.safetensors.header import BYTES, FORMATS, StoredTensor
from perfmodel.workload.importers.stored.held import FileTensor


def unpacked(tensors: Mapping[str, StoredTensor], faults: list[Fault]) -> dict[str, FileTensor]:
    """Return tensors by the names of the weights that they are.

    Parameters
    ----------
    faults
        Gets a fault for each group of packed tensors that does not fit together.
    """
    found: dict[str, FileTensor] = {}
    joined: set[str] = set()
    for name, tensor in tensors.items():
        stem, _, kind = name.rpartition(".")
        if kind == "qweight":
            made = _packed(stem, tensors, faults)
            joined |= {f"{stem}.{part}" for part in ("qweight", "qzeros", "scales")}
            if made is not None:
                found[f"{stem}.weight"] = made
        elif name.endswith("_blocks") and tensor.dtype == "U8":
            weight = name.removesuffix("_blocks")
            scales = tensors.get(f"{weight}_scales")
            if scales is not None:
                joined |= {name, f"{weight}_scales"}
                size = prod(tensor.shape)
                found[weight] = FileTensor(weight, 2 * size, "mxfp4", size + prod(scales.shape))
    for name, tensor in tensors.items():
        if name not in joined:
            count = prod(tensor.shape)
            found[name] = FileTensor(
                name, count, FORMATS[tensor.dtype], count * BYTES[tensor.dtype], name, tensor.shape
            )
    return found


def _packed(
    stem: str, tensors: Mapping[str, StoredTensor], faults: list[Fault]
) -> FileTensor | None:
    """Return a weight of packed integers with its scales."""
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
