"""A stretch of a network by itself: kernels between two activations that alone cross its ends.

Lifetimes inside a stretch do not depend on what stands before and after, with two exceptions: how
long the activation that leaves it lives is decided by its readers, and the need of the activation
that enters it also by what was live where it was made. Both are told in steps and bytes, so that a
stretch is compiled once for all networks that have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import activation_bytes, slot_bytes, stored_bytes
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, NotTabledError, Priced
from perfmodel.workload.graph import Access, Block, Graph, Operator, Tensor
from perfmodel.workload.lower import Accesses, OperatorTable
from perfmodel.workload.nest import gemm_nest

_BEFORE, _AFTER, _END, _BESIDE = "(before)", "(after)", "(end)", "(beside)"


@dataclass(frozen=True, slots=True)
class Fragment:
    """A stretch, compiled.

    Attributes
    ----------
    kernels
        Number of kernels; 0 for one that is its input.
    last_read
        Kernel that reads the entering activation last.
    sizes : array of shape ``(tensors, settings)``
        Bytes of its activations: the entering one, the leaving one, those inside.
    intervals
        First and last kernel of each; -1 is the kernel before.
    rows
        Row -> tensors whose states are its digits.
    priced
        Rows in all states.
    weight_bytes, kv_bytes, peak_bytes : arrays of shape ``(settings,)``
        Stored, and live at most at once (with what enters and leaves).
    """

    kernels: int
    last_read: int
    sizes: Floats
    intervals: tuple[tuple[int, int], ...]
    rows: tuple[tuple[int, ...], ...]
    priced: Priced | None
    weight_bytes: Floats
    kv_bytes: Floats
    peak_bytes: Floats

    def made_need(self, length: int) -> Floats:
        """Return the need of the leaving activation at the kernel that makes it, ``(settings,)``.

        Parameters
        ----------
        length
            Kernels for which it lives on: what lives longer is not counted.
        """
        return self._need(1, length, (self.kernels - 1, self.kernels - 1), length)

    def need(self, tensor: int, length: int) -> Floats:
        """Return the need of another activation within the stretch, ``(settings,)``.

        Parameters
        ----------
        length
            Kernels for which the leaving activation lives on.
        """
        first, last = self.intervals[tensor]
        return self._need(tensor, last - first, (max(first, 0), last), length)

    def _need(self, tensor: int, own: int, steps: tuple[int, int], leaving: int) -> Floats:
        most = np.zeros(self.sizes.shape[1])
        for step in range(steps[0], steps[1] + 1):
            here = np.zeros(self.sizes.shape[1])
            for j, (first, last) in enumerate(self.intervals):
                lasts = leaving if j == 1 else last - first
                if first <= step <= last and (lasts <= own or j == tensor):
                    here = here + self.sizes[j]
            most = np.maximum(most, here)
        return most


#: A stretch without kernels.
EMPTY = Fragment(0, -1, np.zeros((2, 1)), ((-1, -1), (-1, -1)), (), None, np.zeros(1),
                 np.zeros(1), np.zeros(1))  # fmt: skip


def compiled(
    graph: Graph, values: Mapping[str, Value], points: int, pricing: Pricing, *, first: bool,
    last: bool,
) -> Fragment:  # fmt: skip
    """Compile a stretch.

    Parameters
    ----------
    graph
        Its operators, with one input and one output.
    values
        Free dimension -> number or array of shape ``(points,)``.
    first, last
        Whether its input is the network's, its output the network's.

    Raises
    ------
    NotTabledError
        Other activations cross its ends, or its output is not what its last kernel makes.
    """
    (x,), (y,) = graph.inputs, graph.outputs
    if x == y:
        return EMPTY
    pricing.refuse_conversions(graph)
    whole, start = surrounded(graph, first=first, last=last)
    table = pricing.bound(whole, values, points)
    rows = range(start, len(table.rows) - (0 if last else 1))
    if not rows:
        raise NotTabledError(f"{graph.name} moves nothing and is not its input")
    setting = pricing.setting
    priced = pricing.priced(table, rows)
    # The product beside has a weight of its own.
    alone = table if start < 2 else pricing.bound(graph, values, points)
    stored = [
        np.broadcast_to(np.asarray(stored_bytes(alone, setting, role), dtype=float), (points,))
        for role in ("weight", "kv")
    ]
    peak = np.broadcast_to(np.asarray(activation_bytes(table, setting), dtype=float), (points,))
    if table.accesses is None:
        none = ((),) * len(rows)
        return Fragment(len(rows), 0, np.zeros((2, points)), ((-1, 0), (0, 0)), none, priced,
                        stored[0], stored[1], peak)  # fmt: skip
    sizes, intervals, where = _activations(table, x, y, first, last, rows[0], pricing)
    if intervals[1][0] != len(rows) - 1:
        raise NotTabledError(f"{graph.name} makes its output before its last kernel")
    digits = tuple(
        tuple(where[int(table.accesses.tensor[i])] for i in each) for each in priced.digits
    )
    return Fragment(
        len(rows), intervals[0][1], sizes, intervals, digits, priced, stored[0], stored[1], peak
    )


def surrounded(graph: Graph, *, first: bool = False, last: bool = False) -> tuple[Graph, int]:
    """Return a stretch with what makes its input and what reads its output, and its first row."""
    (x,), (y,) = graph.inputs, graph.outputs
    blocks = list(graph.blocks)
    inputs, outputs = graph.inputs, graph.outputs
    tensors, start = dict(graph.tensors), 0
    if not first:
        made = Operator(_BEFORE, "copy", (Access(x, "write", tensors[x].elements),))
        blocks.insert(0, Block(_BEFORE, 1, (made,)))
        inputs, start = (), 1
    if not first and not any(operator.nests for _, operator in graph.walk()):
        # A matrix operator elsewhere, as the network has: `perfmodel.search.oracle.rows.price`.
        blocks.insert(0, beside(tensors))
        start += 1
    if not last:
        moved = tensors[y].elements
        end = replace(tensors[y], name=_END, shape=(0,))
        read = Operator(_AFTER, "copy", (Access(y, "read", moved), Access(_END, "write", 0)))
        blocks.append(Block(_AFTER, 1, (read,)))
        tensors[_END], outputs = end, (_END,)
    whole = replace(graph, tensors=tensors, blocks=tuple(blocks), inputs=inputs, outputs=outputs)
    return whole, start


def beside(tensors: dict[str, Tensor]) -> Block:
    """Return a block of one product that touches nothing else; its tensors are added."""
    names = [f"{_BESIDE}{part}" for part in ("x", "w", "y")]
    for name, role in zip(names, ("activation", "weight", "activation"), strict=True):
        tensors[name] = Tensor(name, (1, 1), role)
    nest = gemm_nest(1, 1, 1, 1, *names, b_batched=False)
    modes = ("read", "read", "write")
    accesses = tuple(Access(n, mode, 1) for n, mode in zip(names, modes, strict=True))
    return Block(_BESIDE, 1, (Operator(_BESIDE, "gemm", accesses, (nest,)),))


def _activations(
    table: OperatorTable, x: str, y: str, first: bool, last: bool, start: int, pricing: Pricing
) -> tuple[Floats, tuple[tuple[int, int], ...], dict[int, int]]:
    """Return bytes and intervals of a stretch's activations, and where each stands."""
    access = table.accesses
    assert isinstance(access, Accesses)
    lives = access.lifetimes
    order = [lives.names.index(x), lives.names.index(y)]
    others = [i for i, name in enumerate(lives.names) if i not in order and name[:1] != "("]
    order += others
    width = slot_bytes(lives.slots, table.points, pricing.setting)
    every = np.broadcast_to(
        np.asarray(access.sizes, dtype=float) * width, (len(lives.names), table.points)
    )
    intervals: list[tuple[int, int]] = []
    for place, i in enumerate(order):
        a, b = lives.intervals[i]
        if place == 1 and not last:
            b = a  # how long it lives on is its readers' affair
        intervals.append((a - start, b - start))
    if first:
        # An input of the network has no kernel before it.
        intervals[0] = (0, intervals[0][1])
    return every[order], tuple(intervals), {i: place for place, i in enumerate(order)}
