"""Live ranges of the activations of a lowered graph, in kernel steps.

A tensor is live from the kernel that writes it to the last that reads it. `lifetimes_of` arranges
the (activation, step) pairs by length of live range, so that `perfmodel.cost.residency` can decide
for every capacity at once which activations stay near the engine: those of the shortest live range
first, as in Belady's rule for a known future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.errors import input_error
from perfmodel.workload.fuse import FusedKernel
from perfmodel.workload.graph import Graph

#: Largest number of pairs of an activation and a step at which it is live.
_MAX_PAIRS: Final = 2**26

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Live ranges of a graph's activations, in kernel steps.

    They determine a residency that is monotone in capacity without a search; see
    `perfmodel.cost.residency.residency_needs`.

    Attributes
    ----------
    names, slots
        Name and slot of each activation.
    intervals
        First and last kernel step of each live range.
    order
        Activations live at each step, by rank: for every step the one with the shortest live range,
        then for every step with at least two the next longer one, and so on; within a rank, steps
        with the most live activations first. An activation occurs once per step of its live range.
    ranks
        Positions in `order` at which rank two, three ... begin.
    last
        For each activation and each of its steps, the position in `order` of the last activation at
        that step whose live range is no longer than its own.
    pairs
        Positions in `last` at which each activation's steps begin.
    """

    names: tuple[str, ...]
    slots: tuple[str, ...]
    intervals: tuple[tuple[int, int], ...]
    order: Index
    ranks: tuple[int, ...]
    last: Index
    pairs: Index


def live_intervals(graph: Graph, kernels: Sequence[FusedKernel]) -> dict[str, tuple[int, int]]:
    """Return activation -> (first, last) kernel of its live range."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    end = len(kernels) - 1
    for i, kernel in enumerate(kernels):
        for name in (*kernel.reads, *kernel.writes):
            if graph.tensors[name].role == "activation":
                first.setdefault(name, 0 if name in graph.inputs else i)
                last[name] = i
    for name in graph.outputs:
        if name in last:
            last[name] = end
    return {name: (first[name], last[name]) for name in first}


def lifetimes_of(
    names: Sequence[str], slots: Sequence[str], intervals: Sequence[tuple[int, int]]
) -> Lifetimes:
    """Return the lifetimes of activations with the given intervals of kernel steps.

    Raises
    ------
    InputError
        There are too many pairs of an activation and a step to store.
    """
    begins, ends = np.array(intervals, dtype=np.intp).reshape(-1, 2).T
    steps = ends - begins + 1  # length of each live range
    if (count := int(steps.sum())) > _MAX_PAIRS:
        raise input_error(
            f"{len(names):,} activations are live over {count:,} steps in all",
            path="graph",
            expected=f"at most {_MAX_PAIRS:,}",
        )
    # Inserted by length of live range, an activation has at each of its steps the rank of those
    # that are live there already. Ranges may be long (a training step stores what it needs until
    # its end), so that one slice for each is faster than sorting all pairs.
    pairs = np.cumsum(steps) - steps
    live = np.zeros(ends.max(initial=0) + 1, dtype=np.intp)
    rank, last_rank = np.empty(count, dtype=np.intp), np.empty(count, dtype=np.intp)
    spans = [
        (slice(begin, begin + length), slice(pair, pair + length), length)
        for begin, pair, length in zip(*np.array([begins, pairs, steps]).tolist(), strict=True)
    ]
    for _, equals in groupby(sorted(spans, key=itemgetter(2)), itemgetter(2)):
        group = list(equals)
        for at, own, _ in group:
            rank[own] = live[at]
            live[at] += 1
        # Equal lengths at one step count each other, so all of them end at the last of them.
        for at, own, _ in group:
            last_rank[own] = live[at]
    last_rank -= 1
    # Steps with the most activations first, so that each rank is a prefix of the rank below.
    place = np.argsort(np.argsort(-live, kind="stable"))
    place = place[np.arange(count) - np.repeat(pairs - begins, steps)]
    starts = np.r_[0, np.cumsum(np.bincount(rank))].astype(np.intp)
    order = np.empty(count, dtype=np.intp)
    order[starts[rank] + place] = np.repeat(np.arange(len(steps)), steps)
    last = starts[last_rank] + place
    ranks = tuple(starts[1:-1].tolist())
    return Lifetimes(tuple(names), tuple(slots), tuple(intervals), order, ranks, last, pairs)
