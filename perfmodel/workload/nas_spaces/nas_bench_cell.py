"""Simplification of a NAS-Bench-201 cell to the operations that have an effect.

Zeros propagate: an edge from a zero node contributes nothing (after a trained batch normalisation
it would contribute a constant, which the next bias absorbs). Exported networks execute more than
that: see `Zeros`. A skip is the tensor itself, a sum read through a single skip is merged into the
sum that reads it, two pools of one tensor are merged, and unread nodes are dropped.

For example, let the input (node 0) reach node 1 by a skip and node 2 by a 3x3 convolution, and let
the output (node 3) be a 1x1 convolution of node 1 plus a skip of node 2::

    edge       0-1   0-2       1-2   0-3   1-3       2-3
    operation  skip  conv 3x3  none  none  conv 1x1  skip

Node 1 is the input itself, and node 2 has no reader but the skip, so that its sum is merged into
the output: ``out = conv1x1(input) + conv3x3(input)``, without inner values (see `resolve`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

#: Treatment of an edge without operation. ``removed``: it contributes nothing, and neither does
#: anything computed from it. ``multiplied``: it multiplies by zero, and the whole cell is executed,
#: as in a traced network (ONNX, TorchScript). ``folded``: a converter folded the product to a
#: constant (LiteRT); nodes that only such products read are removed, and of the operations on the
#: constant only convolutions are executed (a pool of it is a constant again). ``eager``: the
#: published modules as written, with products with zero, one activation per convolution, and sums
#: that start from zero, so that every edge adds.
Zeros: TypeAlias = Literal["removed", "multiplied", "folded", "eager"]

NONE, SKIP, CONV_1X1, CONV_3X3, AVG_POOL = range(5)


class CellTerm(NamedTuple):
    """An operation on a value: 0 is the cell's input, ``i + 1`` is ``Cell.values[i]``."""

    operation: int
    source: int


class NasBenchCell(NamedTuple):
    """A cell as sums of terms.

    Attributes
    ----------
    values
        Inner values with more than one reader, or with a reader other than a skip; each may read
        earlier ones.
    out
        Terms of the output; empty if it is zero.
    """

    values: tuple[tuple[CellTerm, ...], ...]
    out: tuple[CellTerm, ...]


def resolve(choice: Sequence[int], zeros: Zeros = "removed") -> NasBenchCell:
    """Return the operations that a cell executes; equal for choices of the same network.

    Parameters
    ----------
    choice
        Operations on the edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3.
    zeros
        Treatment of edges without operation (``eager`` merges nothing). A constant zero that
        operations read (``folded``) is represented by the cell's input, which has its size; a
        product with zero is a term ``NONE``.

    Examples
    --------
    >>> cell = resolve((SKIP, CONV_3X3, NONE, NONE, CONV_1X1, SKIP))
    >>> cell.values, [tuple(term) for term in cell.out] == [(CONV_1X1, 0), (CONV_3X3, 0)]
    ((), True)
    """
    e01, e02, e12, e03, e13, e23 = choice
    if zeros == "eager":
        nodes = _terms(zeros, (e01, 0)), _terms(zeros, (e02, 0), (e12, 1))
        return _cell([*nodes], _terms(zeros, (e03, 0), (e13, 1), (e23, 2)))
    # Sums of nodes 1 and 2, and the sources under which later terms read them.
    sum_1 = _terms(zeros, (e01, 0))
    source_1 = _source_of(sum_1, 1)
    sum_2 = _terms(zeros, (e02, 0), (e12, source_1))
    source_2 = 1 if sum_2 == sum_1 == [(AVG_POOL, 0)] else _source_of(sum_2, 2)
    out = _terms(zeros, (e03, 0), (e13, source_1), (e23, source_2))

    out, stored = _spliced(out, 2, sum_2, [t for t in out if t.source == 2])
    sum_2 = sum_2 if stored else []
    reads = [t for t in (*sum_2, *out) if t.source == 1]
    out, stored = _spliced(out, 1, sum_1, reads)
    sum_2, _ = _spliced(sum_2, 1, sum_1, reads)
    if not stored:
        return _cell([sum_2] if sum_2 else [], _renumbered(out, {2: 1}))
    if not sum_2:
        return _cell([sum_1], out)
    ordered = _cell([sum_1, sum_2], out)
    if any(t.source == 1 for t in sum_2):
        return ordered
    return min(ordered, _cell([sum_2, sum_1], _renumbered(out, {1: 2, 2: 1})))


def _spliced(
    terms: list[CellTerm], node: int, value: list[CellTerm], reads: list[CellTerm]
) -> tuple[list[CellTerm], bool]:
    """Return terms with a node's value substituted for its skips, and whether the node remains.

    A node is substituted if its only reader is a skip, or if it is a pool read by skips only: each
    may repeat the pool, as pools of one tensor are merged. A pool that remains replaces its equals.
    """
    pool = len(value) == 1 and value[0].operation == AVG_POOL
    if all(t.operation == SKIP for t in reads) and (pool or len(reads) < 2):
        spliced: list[CellTerm] = []
        for term in terms:
            spliced += value if term == (SKIP, node) else [term]
        return spliced, False
    if pool:
        return [CellTerm(SKIP, node) if term == value[0] else term for term in terms], True
    return terms, True


def _source_of(terms: list[CellTerm], node: int) -> int:
    """Return the source of a node's value: another one if it is a mere skip, -1 if it is zero."""
    if not terms:
        return -1
    if len(terms) == 1 and terms[0].operation == SKIP:
        return terms[0].source
    return node


def _terms(zeros: Zeros, *edges: tuple[int, int]) -> list[CellTerm]:
    """Return the terms that edges, as (operation, source), contribute to the sum of a node."""
    if zeros in ("multiplied", "eager"):
        return [CellTerm(op, source) for op, source in edges]
    if zeros == "folded":
        return [
            CellTerm(op, max(source, 0))
            for op, source in edges
            if op in (CONV_1X1, CONV_3X3) or (op != NONE and source >= 0)
        ]
    return [CellTerm(op, source) for op, source in edges if op != NONE and source >= 0]


def _renumbered(terms: list[CellTerm], to: dict[int, int]) -> list[CellTerm]:
    """Return terms with the sources renumbered."""
    return [CellTerm(t.operation, to.get(t.source, t.source)) for t in terms]


def _cell(values: list[list[CellTerm]], out: list[CellTerm]) -> NasBenchCell:
    """Return a cell with the terms of every sum in ascending order."""
    return NasBenchCell(tuple(tuple(sorted(v)) for v in values), tuple(sorted(out)))
