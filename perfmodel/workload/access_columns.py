"""Every (kernel, tensor) access of a lowered graph, as columns of the operator table.

A memory hierarchy decides for each access from which memory a tensor is read (`cost/residency.py`).
It needs the order of the accesses, the live range of each activation and the number of elements;
only the last depends on the free dimensions, and is returned as polynomials to be compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from perfmodel.workload.fuse import aliases
from perfmodel.workload.kernel_columns import KernelColumns
from perfmodel.workload.lifetimes import lifetimes_of
from perfmodel.workload.operator_table import ALWAYS_MAIN, PERSISTENT, WEIGHT, AccessKeys
from perfmodel.workload.symbols import Dim, Poly, parameters_of

#: Role of a stored tensor -> its index; activations are indexed individually.
_INDEX_OF_ROLE: Final[Mapping[str, int]] = {
    "weight": WEIGHT,
    "kv": PERSISTENT,
    "state": PERSISTENT,
}


def access_columns(
    kernels: KernelColumns, lives: dict[str, tuple[int, int]]
) -> tuple[AccessKeys, dict[str, list[Dim]]]:
    """Return the fixed parts of all accesses, and the columns of their numbers for a program.

    Each kernel lists its reads, its writes and its internal traffic, in this order.

    Parameters
    ----------
    lives
        Activation -> first and last step of its live range.
    """
    graph, slot_of = kernels.graph, kernels.slots.of
    names = list(lives)
    index = {name: i for i, name in enumerate(names)}
    external = {*graph.inputs, *graph.outputs}
    rows: list[int] = []
    tensors: list[int] = []
    slots: list[str] = []
    elements: list[Dim] = []
    for i, kernel in enumerate(kernels.kernels):
        for side in (kernel.reads, kernel.writes):
            for name, size in side.items():
                tensor = graph.tensors[name]
                rows.append(i)
                # Inputs and outputs of the network are transferred from and to main memory.
                activation = ALWAYS_MAIN if name in external else index.get(name, ALWAYS_MAIN)
                tensors.append(_INDEX_OF_ROLE.get(tensor.role, activation))
                slots.append(slot_of(tensor))
                elements.append(size)
        for slot, size in kernels.internal_traffic[i]:
            rows.append(i)
            tensors.append(ALWAYS_MAIN)
            slots.append(slot)
            elements.append(size)
    row = np.array(rows, dtype=np.intp)
    keys = AccessKeys(
        row=row,
        starts=np.flatnonzero(np.r_[True, row[1:] != row[:-1]]),
        slots=tuple(slots),
        tensor=np.array(tensors, dtype=np.intp),
        batched=np.array([_grows_with_batch(size) for size in elements], dtype=np.intp),
        lifetimes=lifetimes_of(
            names, [slot_of(graph.tensors[name]) for name in names], list(lives.values())
        ),
    )
    return keys, {"accesses": elements, "sizes": [graph.tensors[n].elements for n in names]}


def access_positions(kernels: KernelColumns) -> Callable[[int, str, str], int]:
    """Return a function of row, tensor name and mode to a position in the accesses, or -1."""
    alias = aliases(kernels.graph)
    positions: dict[tuple[int, str, str], int] = {}
    position = 0
    for i, kernel in enumerate(kernels.kernels):
        for mode, side in (("read", kernel.reads), ("write", kernel.writes)):
            for name in side:
                positions[i, name, mode] = position
                position += 1
        position += len(kernels.internal_traffic[i])
    return lambda row, name, mode: positions.get((row, alias.get(name, name), mode), -1)


def _grows_with_batch(elements: Dim) -> bool:
    """Return whether a number of elements depends on the batch."""
    return isinstance(elements, Poly) and any(
        "batch" in parameters_of(atom) for monomial in elements.terms for atom, _ in monomial
    )
