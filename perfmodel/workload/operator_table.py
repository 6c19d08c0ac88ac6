"""Operator table: the work, data movement and storage of each kernel, at one or many points.

The interface between networks and hardware: `perfmodel.workload.lower` binds it, and every kind of
hardware costs its rows with pure functions on arrays of shape ``(rows, points)``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.workload.lifetimes import Lifetimes
from perfmodel.workload.operator_rows import OperatorRow

if TYPE_CHECKING:
    from perfmodel.workload.nest_table import Nests

Index = npt.NDArray[np.intp]

T = TypeVar("T")

#: Indices of accesses without a live range: weights; KV cache and recurrent state, which persist
#: between runs; tensors that are always transferred from or to main memory.
WEIGHT, PERSISTENT, ALWAYS_MAIN = -1, -2, -3


@dataclass(slots=True)
class OperatorTable:
    """Operator table: one row per kernel, one column per point.

    Every number has shape ``(rows, points)`` or ``(rows, 1)`` unless stated otherwise, and counts
    one execution of the row, which runs `count` times.

    Attributes
    ----------
    rows
        Names and categories of the kernels, in order of execution.
    points
        Number of points (sets of parameters).
    count
        Executions of the row in one run of the network.
    macs
        Multiply-accumulates of the mathematical operators, including masked ones.
    masked_macs
        Multiply-accumulates whose results a causal mask or window discards.
    vector_ops
        Arithmetic operations outside products, including those of algorithms and conversions.
    scores
        Elements of attention score matrices.
    kernels
        Kernel launches.
    layers
        Share of one execution of the layer, in layers: the rows of a layer add up to 1; 0 outside
        layers.
    transfers
        Slot -> rows that access it, of shape ``(n,)``, and the elements that each of them reads
        and writes, of shape ``(n, points)``.
    stored
        Slot -> elements stored permanently (weights) or between runs (KV cache, states), of shape
        ``(points,)``.
    live
        Slot -> elements of live activations at each distinct step, of shape ``(steps, points)``.
    accesses
        Individual accesses, for residency in the memory hierarchy; ``None`` if not requested.
    nests
        Loop nests, for hardware kinds that map them to an array; ``None`` if not requested.
    executed_macs
        Multiply-accumulates that are executed, if an algorithm or padded panels change them in any
        row; else ``None``.
    extents
        Name -> extents, 0 for rows without: those of loops of class ``stream``, of tree walks of
        class ``tree`` (parallel ``walks`` of ``steps`` sequential comparisons), data movement
        around products in panels (`convolution_panels.EXTENTS`), and 1 for ``narrow`` depthwise
        kernels.
    structure
        Results that depend on rows, accesses and nests only, shared by all tables of one structure.
    """

    rows: tuple[OperatorRow, ...]
    points: int
    count: Value
    macs: Value
    masked_macs: Value
    vector_ops: Value
    scores: Value
    kernels: Value
    layers: Value
    transfers: dict[str, tuple[Index, Value]]
    stored: dict[str, Value]
    live: dict[str, Value]
    accesses: Accesses | None = None
    nests: Nests | None = None
    executed_macs: Value = None
    extents: dict[str, Value] = field(default_factory=dict[str, "Value"])
    structure: dict[Hashable, Any] = field(default_factory=dict[Hashable, Any], repr=False)

    def once(self, name: Hashable, make: Callable[[], T]) -> T:
        """Return the result of `make`, called once for all tables of the structure.

        It may depend on names and categories only, not on numbers, and must not be modified.
        """
        if name not in self.structure:
            self.structure[name] = make()
        return self.structure[name]


@dataclass(slots=True)
class AccessKeys:
    """The parts of a table's accesses that do not depend on numbers; see `Accesses`."""

    row: Index
    starts: Index
    slots: tuple[str, ...]
    tensor: Index
    batched: Index
    lifetimes: Lifetimes

    def bind(self, elements: Value, sizes: Value) -> Accesses:
        """Return the accesses with their numbers."""
        return Accesses(
            row=self.row,
            starts=self.starts,
            slots=self.slots,
            tensor=self.tensor,
            batched=self.batched,
            lifetimes=self.lifetimes,
            elements=elements,
            sizes=sizes,
        )


@dataclass(slots=True)
class Accesses(AccessKeys):
    """All (row, tensor) accesses, sorted by row.

    Attributes
    ----------
    row
        Row of each access.
    starts
        Positions at which the accesses of another row begin.
    slots
        Slot of each access, which determines its bits per element.
    tensor
        Index of each access into `lifetimes`, or `WEIGHT`, `PERSISTENT` or `ALWAYS_MAIN`.
    batched
        1 for accesses whose number of elements grows with the batch, else 0.
    lifetimes
        Live ranges of the activations.
    elements
        Elements that each access transfers per execution of its row, of shape
        ``(accesses, points)``.
    sizes
        Elements of each activation in `lifetimes`, of shape ``(activations, points)``.
    """

    elements: Value
    sizes: Value
