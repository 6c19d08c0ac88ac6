"""Auxiliary blocks around a part of a network, so that the part is priced as in the network.

The cost of a kernel depends on the state of residency in which its activations arrive and leave,
on the conversions of formats at its boundaries, and on whether the network has any loop nest. A
part of a network that is priced as a separate graph is therefore surrounded by operators that
stand for the remaining network and are not costed themselves::

    (before) -> part -> (after) -> (end)        (beside)

``(before)`` writes the activations that enter the part, with one operator per tensor, as the
outputs of one operator would have to share a format. ``(after)`` reads the activations that leave
it, and writes the empty tensors ``(end)``, the outputs of the graph. ``(beside)`` is an unconnected
product for a part without loop nests (see `perfmodel.search.oracle.kernel_pricing.price`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from perfmodel.workload.graph import Access, Block, Operator, Tensor
from perfmodel.workload.nest import gemm_nest

BEFORE, AFTER, END, BESIDE = "(before)", "(after)", "(end)", "(beside)"


def producer_block(name: str, tensors: Mapping[str, Tensor], entering: Sequence[str]) -> Block:
    """Return a block that writes the entering tensors, with one operator per tensor."""
    operators = (
        Operator(f"{name}{i}", "copy", (Access(tensor, "write", tensors[tensor].elements),))
        for i, tensor in enumerate(entering)
    )
    return Block(name, 1, tuple(operators))


def reader_block(name: str, tensors: dict[str, Tensor], leaving: Mapping[str, str]) -> Block:
    """Return a block that reads the leaving tensors.

    Parameters
    ----------
    leaving
        Empty tensor to write, which is added to `tensors` -> tensor to read.
    """
    operators: list[Operator] = []
    for end, tensor in leaving.items():
        accesses = (Access(tensor, "read", tensors[tensor].elements), Access(end, "write", 0))
        operators.append(Operator(f"{name}{end}", "copy", accesses))
        tensors[end] = Tensor(end, (0,))
    return Block(name, 1, tuple(operators))


def unconnected_product(tensors: dict[str, Tensor]) -> Block:
    """Return a block with one unconnected product; its tensors are added to `tensors`."""
    names = [f"{BESIDE}{operand}" for operand in ("x", "w", "y")]
    for name, role in zip(names, ("activation", "weight", "activation"), strict=True):
        tensors[name] = Tensor(name, (1, 1), role)
    nest = gemm_nest(1, 1, 1, 1, *names, b_batched=False)
    modes = ("read", "read", "write")
    accesses = tuple(Access(name, mode, 1) for name, mode in zip(names, modes, strict=True))
    return Block(BESIDE, 1, (Operator(BESIDE, "gemm", accesses, (nest,)),))
