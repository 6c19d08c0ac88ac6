"""What a NAS-Bench-201 cell computes once what has no effect is gone.

A zero stays zero: an edge from a node that is zero brings nothing (behind a trained batch
normalisation it would bring a constant, which the next bias takes up). Exported networks run more
than that: see `Zeros`. A skip is the tensor itself.
A sum that one skip hands on is part of the sum that takes it. Two pools of one tensor are one.
Nodes that nothing reads are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

#: What becomes of an edge without operation. ``removed``: it brings nothing, nor does what follows
#: from it. ``multiplied``: it multiplies by zero, and all of the cell runs, as in a network that
#: was traced (ONNX, TorchScript). ``folded``: a converter made the product a constant (LiteRT):
#: what only it read is gone, convolutions of it run (a pool of it is a constant again). ``eager``:
#: all runs as the published modules are written: products with zero, an activation for every
#: convolution, and sums that start from zero, so that every edge adds.
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
        Inner values that are read more than once or by more than a skip; each may read those before
        it.
    out
        Terms of the output; empty where it is zero.
    """

    values: tuple[tuple[CellTerm, ...], ...]
    out: tuple[CellTerm, ...]


def resolve(choice: Sequence[int], zeros: Zeros = "removed") -> NasBenchCell:
    """Return what the six operations run; equal for choices of the same network.

    Parameters
    ----------
    choice
        Operations on the edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3.
    zeros
        What becomes of edges without operation (under ``eager`` nothing is merged). A constant zero
        that operations read (``folded``) stands as the cell's input, which has its size; a product
        with zero is a term ``NONE``.
    """
    e01, e02, e12, e03, e13, e23 = choice
    if zeros == "eager":
        nodes = _terms(zeros, (e01, 0)), _terms(zeros, (e02, 0), (e12, 1))
        return _cell([*nodes], _terms(zeros, (e03, 0), (e13, 1), (e23, 2)))
    # Where the value of a node lies: another node for a mere skip, -1 for zero.
    first = _terms(zeros, (e01, 0))
    at1 = _place(first, 1)
    second = _terms(zeros, (e02, 0), (e12, at1))
    at2 = 1 if second == first == [(AVG_POOL, 0)] else _place(second, 2)
    out = _terms(zeros, (e03, 0), (e13, at1), (e23, at2))

    out, kept = _spliced(out, 2, second, [t for t in out if t.source == 2])
    second = second if kept else []
    reads = [t for t in (*second, *out) if t.source == 1]
    out, kept = _spliced(out, 1, first, reads)
    second, _ = _spliced(second, 1, first, reads)
    if not kept:
        return _cell([second] if second else [], _moved(out, {2: 1}))
    if not second:
        return _cell([first], out)
    ordered = _cell([first, second], out)
    if any(t.source == 1 for t in second):
        return ordered
    return min(ordered, _cell([second, first], _moved(out, {1: 2, 2: 1})))


def _spliced(
    terms: list[CellTerm], node: int, value: list[CellTerm], reads: list[CellTerm]
) -> tuple[list[CellTerm], bool]:
    """Return terms with a node's value in the place of its skips, and whether the node stays.

    It goes where one skip alone reads it, or skips alone read a pool, which all may repeat: pools
    of one tensor are one pool. A pool that stays takes the place of its like.
    """
    pool = len(value) == 1 and value[0].operation == AVG_POOL
    if all(t.operation == SKIP for t in reads) and (pool or len(reads) < 2):
        made: list[CellTerm] = []
        for term in terms:
            made += value if term == (SKIP, node) else [term]
        return made, False
    if pool:
        return [CellTerm(SKIP, node) if term == value[0] else term for term in terms], True
    return terms, True


def _place(terms: list[CellTerm], node: int) -> int:
    if not terms:
        return -1
    if len(terms) == 1 and terms[0].operation == SKIP:
        return terms[0].source
    return node


def _terms(zeros: Zeros, *edges: tuple[int, int]) -> list[CellTerm]:
    if zeros in ("multiplied", "eager"):
        return [CellTerm(op, source) for op, source in edges]
    if zeros == "folded":
        return [
            CellTerm(op, max(source, 0))
            for op, source in edges
            if op in (CONV_1X1, CONV_3X3) or (op != NONE and source >= 0)
        ]
    return [CellTerm(op, source) for op, source in edges if op != NONE and source >= 0]


def _moved(terms: list[CellTerm], to: dict[int, int]) -> list[CellTerm]:
    return [CellTerm(t.operation, to.get(t.source, t.source)) for t in terms]


def _cell(values: list[list[CellTerm]], out: list[CellTerm]) -> NasBenchCell:
    return NasBenchCell(tuple(tuple(sorted(v)) for v in values), tuple(sorted(out)))
