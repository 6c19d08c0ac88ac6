"""Layers that state themselves: inputs, tensors, and operators by what they read and multiply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from re import findall
from typing import Any, Final

from perfmodel.workload.graph import Tensor
from perfmodel.workload.layer_forms import (
    REQUIRED,
    Field,
    Fields,
    LayerBuilder,
    LayerOperator,
    calls,
)
from perfmodel.workload.nest import LoopNest, Operand
from perfmodel.workload.symbols import Dim

_KINDS: Final = (
    "gemm",
    "moe",
    "conv",
    "depthwise",
    "scan",
    "recurrent",
    "tree",
    "norm",
    "elementwise",
    "pool",
    "resize",
    "gather",
    "copy",
    "view",
)


def _operator(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    """Add an operator by what it reads, writes and multiplies."""
    writes: Sequence[Tensor] = f["writes"]
    if f["shape"] is not None:
        writes = (g.tensor(f"{name}.out", f["shape"]), *writes)
    if not writes:
        raise ValueError("it has neither a shape nor anything that it writes")
    elements = zip_longest((*x, *writes), f["elements"][: len(x) + len(writes)])
    moved = [tensor if size is None else (tensor, size) for tensor, size in elements]
    g.operator(
        name,
        f["kind"],
        moved[: len(x)],
        moved[len(x) :],
        nests=[_nest(*nest) for nest in f["nests"]],
        vector_ops=f["vector_ops"],
        pair=f["pair"],
        inplace=f["inplace"],
        attributes=dict(f["attributes"]) | ({"function": f["function"]} if f["function"] else {}),
    )
    return writes[0]


def _nest(loops: tuple[tuple[str, Dim], ...], operands: Sequence[tuple[Any, ...]]) -> LoopNest:
    """Return a loop nest; where loops add up to an axis, they reach no further than the tensor."""
    sides: list[Operand] = []
    for i, (tensor, letters, *role) in enumerate(operands):
        axes = [tuple(letter.split("+")) for letter in findall(r"\w(?:\+\w)*", letters)]
        limits = (
            size if len(axis) > 1 else None for axis, size in zip(axes, tensor.shape, strict=False)
        )
        sides.append(
            Operand(
                tensor.name,
                role[0] if role else "input" if i < len(operands) - 1 else "output",
                tuple(tuple((letter, 1) for letter in axis) for axis in axes),
                tuple(limits) if any(len(axis) > 1 for axis in axes) else (),
            )
        )
    return LoopNest(loops, tuple(sides))


#: Name in a file -> operator.
STATED: Final[Mapping[str, LayerOperator]] = {
    "input": LayerOperator(
        calls(LayerBuilder.input),
        {"shape": Field("shape", REQUIRED), "format": Field("format", "")},
        (0, 0),
    ),
    "tensor": LayerOperator(
        calls(LayerBuilder.tensor),
        {
            "shape": Field("shape", REQUIRED),
            "role": Field("text", "activation", ("activation", "kv", "state")),
            "format": Field("format", ""),
        },
        (0, 0),
    ),
    "operator": LayerOperator(
        _operator,
        {
            "kind": Field("text", REQUIRED, _KINDS),
            "shape": Field("shape", None),
            "writes": Field("any", ()),
            "elements": Field("any", ()),
            "vector_ops": Field("any", 0),
            "nests": Field("nests", ()),
            "pair": Field("any", None),
            "inplace": Field("result", None),
            "function": Field("text", ""),
            "attributes": Field("any", ()),
        },
        (0, 10_000),
    ),
}
