"""A stretch of a network by itself: kernels between two activations that alone cross its ends.

Lifetimes inside a stretch do not depend on what stands before and after, with two exceptions: how
long the activation that leaves it lives is decided by its readers, and the need of the activation
that enters it also by what was live where it was made. Both are told in steps and bytes, so that a
stretch is compiled once for all networks that have it: all of a space side by side, as one graph.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import slot_bytes
from perfmodel.search.oracle.banks import Stretches, needs_of, padded, peaks_of, touched_of
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, NotTabledError, Priced
from perfmodel.workload.graph import Access, Block, Graph, Operator, Tensor
from perfmodel.workload.lower import Accesses, OperatorTable
from perfmodel.workload.nest import gemm_nest
from perfmodel.workload.symbols import Dim

_BEFORE, _AFTER, _END, _BESIDE = "(before)", "(after)", "(end)", "(beside)"


@dataclass(frozen=True, slots=True)
class Fragment:
    """A stretch, compiled.

    Attributes
    ----------
    priced
        Its kernels in all states; None for a stretch that is its input.
    touched
        Activations that each kernel touches, whose states are the digits of its costs: 0 enters, 1
        leaves.
    intervals
        First and last kernel of each activation; -1 is the kernel before.
    sizes : array of shape ``(settings, activations)``
        Bytes of the activations.
    stored : array of shape ``(settings, 3)``
        Bytes of weights, of caches, and of the activations that are live at once.
    """

    priced: Priced | None
    touched: tuple[tuple[int, ...], ...]
    intervals: tuple[tuple[int, int], ...]
    sizes: Floats
    stored: Floats


#: A stretch without kernels.
EMPTY = Fragment(None, (), ((-1, -1), (-1, -1)), np.zeros((1, 2)), np.zeros((1, 3)))


def stretches_of(fragments: Sequence[Fragment], settings: int) -> Stretches:
    """Return compiled stretches as arrays."""
    starts = np.cumsum([0, *(len(each.touched) for each in fragments)]).tolist()
    most = max(len(each.intervals) for each in fragments)

    def needs(lengths: tuple[int, ...]) -> Floats:
        out = np.zeros((len(fragments), len(lengths), settings, most))
        for own, each in zip(out, fragments, strict=True):
            first, last = np.array(each.intervals).T[:, None]
            own[..., : len(each.intervals)] = needs_of(first, last, each.sizes[None], lengths)[0]
        return out

    return Stretches(
        [each.priced for each in fragments if each.priced is not None],
        padded([range(start, stop) for start, stop in pairwise(starts)]),
        np.arange(len(fragments)),
        touched_of([each.touched for each in fragments]),
        np.array([each.intervals[0][1] + 1 for each in fragments], dtype=np.intp),
        needs,
        np.stack([np.broadcast_to(each.stored, (settings, 3)) for each in fragments]),
    )


#: Rows times states times settings that are costed at once: their columns stay in the caches.
_TOGETHER = 100_000


@dataclass(frozen=True)
class NetworkStretch:
    """A stretch that is to be compiled.

    Attributes
    ----------
    graph
        Its operators, with one input and one output.
    first, last
        Whether its input is the network's, its output the network's.
    """

    graph: Graph
    first: bool = False
    last: bool = False

    @property
    def empty(self) -> bool:
        """Whether it is its input."""
        return self.graph.inputs == self.graph.outputs

    @cached_property
    def surrounded(self) -> Graph:
        """The graph between what makes its input and what reads its output."""
        return _side_by_side(self.graph.name, [self])

    @property
    def start(self) -> int:
        """The first row of its own in `surrounded`."""
        blocks = [block.name for block in self.surrounded.blocks]
        return blocks.index(f"0:{self.graph.blocks[0].name}")


class StretchSet:
    """Stretches that are compiled side by side, as parts of one graph that touch nowhere.

    What that graph is depends on no device: oracles of others find it lowered.
    """

    def __init__(self, name: str, stretches: Sequence[NetworkStretch]) -> None:
        self.stretches = tuple(stretches)
        self.graph = _side_by_side(name, stretches)

    def compiled(
        self,
        values: Mapping[str, Value],
        points: int,
        pricing: Pricing,
        check: Callable[[], None],
    ) -> list[Fragment]:
        """Compile all of them.

        Parameters
        ----------
        values
            Free dimension -> number or array of shape ``(points,)``.
        check
            Raises where there is no time left.

        Raises
        ------
        NotTabledError
            Other activations cross the ends of one, or its output is not what its last kernel
            makes.
        """
        for stretch in self.stretches:
            check()
            if not stretch.empty:
                pricing.refuse_conversions(stretch.graph)
        table = pricing.bound(self.graph, values, points, accesses=True)
        spans = self._spans(pricing)
        activations = _activations(self.stretches, spans, table, pricing)
        if pricing.job.model.bare:
            table = replace(table, accesses=None)
        priced = _priced(table, [span for span in spans if span], pricing, check)
        return [
            EMPTY
            if span is None
            else _fragment(stretch, span, next(priced), next(activations), values, pricing)
            for stretch, span in zip(self.stretches, spans, strict=True)
        ]

    def _spans(self, pricing: Pricing) -> list[range | None]:
        """Return the rows of each stretch's own; None for one that is its input."""
        rows: dict[int, list[int]] = {}
        for row, kernel in enumerate(pricing.lowered(self.graph).kernels):
            number, _, name = kernel.block.name.partition(":")
            if name not in (_BEFORE, _AFTER):
                rows.setdefault(int(number), []).append(row)
        spans: list[range | None] = []
        for i, stretch in enumerate(self.stretches):
            if not stretch.empty and i not in rows:
                raise NotTabledError(f"{stretch.graph.name} moves nothing and is not its input")
            spans.append(None if stretch.empty else range(rows[i][0], rows[i][-1] + 1))
        return spans


def _side_by_side(name: str, stretches: Sequence[NetworkStretch]) -> Graph:
    """Return one graph of stretches, each between what makes its input and reads its output.

    Names of the stretch at place ``i`` are ``i:name``.
    """
    tensors: dict[str, Tensor] = {}
    blocks: list[Block] = []
    inputs: list[str] = []
    outputs: list[str] = []
    for i, stretch in enumerate(stretches):
        if stretch.empty:
            continue
        graph, prefix = stretch.graph, f"{i}:"
        (x,), (y,) = graph.inputs, graph.outputs
        names = {n: prefix + n for _, op in graph.walk() for n in op.tensors}
        tensors |= {prefix + n: replace(t, name=prefix + n) for n, t in graph.tensors.items()}
        if stretch.first:
            inputs.append(prefix + x)
        else:
            blocks.append(written_by(prefix + _BEFORE, tensors, [prefix + x]))
        blocks += [
            replace(
                block,
                name=prefix + block.name,
                operators=tuple(
                    replace(op.renamed(names, names), name=prefix + op.name)
                    for op in block.operators
                ),
            )
            for block in graph.blocks
        ]
        if stretch.last:
            outputs.append(prefix + y)
        else:
            blocks.append(read_by(prefix + _AFTER, tensors, {prefix + _END: prefix + y}))
    if not any(operator.nests for block in blocks for operator in block.operators):
        # A matrix operator elsewhere, as the network has: `perfmodel.search.oracle.rows.price`.
        blocks.insert(0, beside(tensors))
    return Graph(name, tensors, tuple(blocks), tuple(inputs), tuple(outputs))


def written_by(name: str, tensors: Mapping[str, Tensor], names: Sequence[str]) -> Block:
    """Return a block of this name that writes some tensors, each by an operator of its own."""
    operators = (
        Operator(f"{name}{i}", "copy", (Access(n, "write", tensors[n].elements),))
        for i, n in enumerate(names)
    )
    return Block(name, 1, tuple(operators))


def read_by(name: str, tensors: dict[str, Tensor], names: Mapping[str, str]) -> Block:
    """Return a block of this name that reads some tensors.

    Parameters
    ----------
    names
        Empty tensor that is written instead, which is added -> the tensor that is read.
    """
    operators: list[Operator] = []
    for end, n in names.items():
        accesses = (Access(n, "read", tensors[n].elements), Access(end, "write", 0))
        operators.append(Operator(f"{name}{end}", "copy", accesses))
        tensors[end] = Tensor(end, (0,))
    return Block(name, 1, tuple(operators))


def beside(tensors: dict[str, Tensor]) -> Block:
    """Return a block of one product that touches nothing else; its tensors are added."""
    names = [f"{_BESIDE}{part}" for part in ("x", "w", "y")]
    for name, role in zip(names, ("activation", "weight", "activation"), strict=True):
        tensors[name] = Tensor(name, (1, 1), role)
    nest = gemm_nest(1, 1, 1, 1, *names, b_batched=False)
    modes = ("read", "read", "write")
    accesses = tuple(Access(n, mode, 1) for n, mode in zip(names, modes, strict=True))
    return Block(_BESIDE, 1, (Operator(_BESIDE, "gemm", accesses, (nest,)),))


def _priced(
    table: OperatorTable, spans: Sequence[range], pricing: Pricing, check: Callable[[], None]
) -> Iterator[Priced]:
    """Yield the costs of stretches, priced several at once."""
    touched = np.zeros(len(table.rows), dtype=np.intp)
    if table.accesses is not None:
        inner = table.accesses.row[np.asarray(table.accesses.tensor) >= 0]
        touched = np.bincount(inner, minlength=len(table.rows))
    batch: list[range] = []
    most = rows = 0
    for span in spans:
        check()
        most = max(most, int(touched[span.start : span.stop].max()))
        rows += len(span)
        if batch and rows * pricing.states.count**most * table.points > _TOGETHER:
            yield from _priced_together(table, batch, pricing)
            batch, most, rows = [], int(touched[span.start : span.stop].max()), len(span)
        batch.append(span)
    yield from _priced_together(table, batch, pricing)


def _priced_together(
    table: OperatorTable, spans: Sequence[range], pricing: Pricing
) -> Iterator[Priced]:
    priced = pricing.priced(table, [row for span in spans for row in span])
    at = 0
    for span in spans:
        yield priced.part(at, at + len(span))
        at += len(span)


def _fragment(
    stretch: NetworkStretch,
    span: range,
    priced: Priced,
    own: _Activations,
    values: Mapping[str, Value],
    pricing: Pricing,
) -> Fragment:
    """Return a stretch, compiled, from what is known of all."""
    graph = stretch.graph
    copies: dict[Tensor, Dim] = {}
    for block, operator in reversed(list(graph.walk())):
        copies |= {graph.tensors[access.tensor]: block.stored for access in operator.accesses}
    weights, caches = (
        pricing.stored({t: n for t, n in copies.items() if t.role in roles}, values)
        for roles in (("weight",), ("kv", "state"))
    )
    if not pricing.job.model.bare and own.intervals[1][0] != len(span) - 1:
        raise NotTabledError(f"{graph.name} makes its output before its last kernel")
    first, last = np.array(own.intervals).T[:, None]
    stored = np.broadcast_arrays(weights, caches, peaks_of(first, last, own.sizes[None])[0])
    touched = tuple(tuple(own.places[i] for i in each) for each in priced.digits)
    return Fragment(priced, touched, own.intervals, own.sizes, np.stack(stored, axis=-1))


@dataclass(frozen=True, slots=True)
class _Activations:
    """The activations of a stretch.

    Attributes
    ----------
    sizes, intervals
        See `Fragment`.
    places
        Access of the table of all stretches -> its activation.
    """

    sizes: Floats
    intervals: tuple[tuple[int, int], ...]
    places: Mapping[int, int]


def _activations(
    stretches: Sequence[NetworkStretch],
    spans: Sequence[range | None],
    table: OperatorTable,
    pricing: Pricing,
) -> Iterator[_Activations]:
    """Yield the activations of each stretch that has a span."""
    access = table.accesses
    assert isinstance(access, Accesses)
    lives = access.lifetimes
    width = slot_bytes(lives.slots, table.points, pricing.setting)
    every = np.broadcast_to(
        np.asarray(access.sizes, dtype=float) * width, (len(lives.names), table.points)
    )
    named: dict[str, dict[str, int]] = {}
    for i, full in enumerate(lives.names):
        prefix, _, name = full.partition(":")
        if name not in ("", _END):
            named.setdefault(prefix, {})[name] = i
    rows: list[int] = access.row.tolist()
    tensors: list[int] = np.asarray(access.tensor).tolist()
    for number, (stretch, span) in enumerate(zip(stretches, spans, strict=True)):
        if span is None:
            continue
        own, (x,), (y,) = named[str(number)], stretch.graph.inputs, stretch.graph.outputs
        order = [own[x], own[y], *(i for name, i in own.items() if name not in (x, y))]
        intervals: list[tuple[int, int]] = []
        for place, i in enumerate(order):
            # An input of the network has no kernel before it.
            a = max(lives.intervals[i][0], span.start - (not stretch.first))
            b = min(lives.intervals[i][1], span.stop - 1)
            if place == 1 and not stretch.last:
                b = a  # how long it lives on is its readers' affair
            intervals.append((a - span.start, b - span.start))
        place = {i: k for k, i in enumerate(order)}
        places = {
            k: place[tensors[k]]
            for k in range(bisect_left(rows, span.start), bisect_left(rows, span.stop))
            if tensors[k] >= 0
        }
        yield _Activations(every[order].T, tuple(intervals), places)
