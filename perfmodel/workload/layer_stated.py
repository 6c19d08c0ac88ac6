"""Explicit layers: inputs, tensors, and operators with stated accesses and loop nests."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from re import findall
from typing import Any, Final

from perfmodel.workload.graph import Tensor
from perfmodel.workload.layer_forms import Fields, LayerBuilder
from perfmodel.workload.nest import LoopNest, Operand
from perfmodel.workload.symbols import Dim

#: Layers that state their shape, which is checked on reading.
STATED: Final = frozenset({"input", "tensor", "operator"})


def stated_operator(g: LayerBuilder, name: str, x: Sequence[Tensor], f: Fields) -> Tensor:
    """Add an operator with stated accesses and nests."""
    writes: Sequence[Tensor] = f["writes"]
    if f["shape"] is not None:
        writes = (g.tensor(f"{name}.out", f["shape"]), *writes)
    if not writes:
        raise ValueError("it has neither a shape nor anything that it writes")
    elements = zip_longest((*x, *writes), f["elements"][: len(x) + len(writes)])
    accesses = [tensor if size is None else (tensor, size) for tensor, size in elements]
    g.operator(
        name,
        f["kind"],
        accesses[: len(x)],
        accesses[len(x) :],
        nests=[_nest(*nest) for nest in f["nests"]],
        vector_ops=f["vector_ops"],
        pair=f["pair"],
        inplace=f["inplace"],
        attributes=dict(f["attributes"]) | ({"function": f["function"]} if f["function"] else {}),
    )
    return writes[0]


def _nest(loops: tuple[tuple[str, Dim], ...], operands: Sequence[tuple[Any, ...]]) -> LoopNest:
    """Return a loop nest; an axis indexed by a sum of loops is clipped to the tensor's extent."""
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
