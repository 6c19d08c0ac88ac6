"""Which activation of a lowered graph is held from which kernel to which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.errors import input_error
from perfmodel.workload.fuse import FusedKernel
from perfmodel.workload.graph import Graph

#: Pairs of an activation and a step at which it is live.
_MOST: Final = 2**26

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Activations of a graph: which are live when, in kernel steps.

    From these a residency that is monotone in capacity follows without a search; see
    `perfmodel.cost.residency.residency_needs`.

    Attributes
    ----------
    names, slots
        Of each activation.
    intervals
        First and last kernel step at which it is live.
    order
        Activations that are live at each step: of every step the one of the shortest lifetime, then
        of every step that has two or more the next longer one, and so on; the steps with most of
        them first. An activation stands here as often as it has steps.
    ranks
        Where in `order` the second, the third ... of every step begin.
    last
        For each activation and each of its steps, the position in `order` of the last one at that
        step whose lifetime is no longer than its own.
    pairs
        Where the steps of each activation begin in `last`.
    """

    names: tuple[str, ...]
    slots: tuple[str, ...]
    intervals: tuple[tuple[int, int], ...]
    order: Index
    ranks: tuple[int, ...]
    last: Index
    pairs: Index


def held(graph: Graph, made: Sequence[FusedKernel]) -> dict[str, tuple[int, int]]:
    """Return activation -> (first, last) kernel in which it is held."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    end = len(made) - 1
    for i, kernel in enumerate(made):
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
    """Return the lifetimes of activations that are live over intervals of kernel steps.

    Raises
    ------
    InputError
        Memory would not hold which activations are live at which step.
    """
    begins, ends = np.array(intervals, dtype=np.intp).reshape(-1, 2).T
    steps = ends - begins + 1
    if (count := int(steps.sum())) > _MOST:
        raise input_error(
            f"{len(names):,} activations are live over {count:,} steps in all",
            path="graph",
            expected=f"at most {_MOST:,}",
        )
    pairs = np.cumsum(steps) - steps
    activation = np.repeat(np.arange(len(steps), dtype=np.intp), steps)
    step = np.arange(count, dtype=np.intp) - np.repeat(pairs - begins, steps)
    length = steps[activation]
    by_step = np.lexsort((length, step))
    step, length = step[by_step], length[by_step]
    opens = np.flatnonzero(np.diff(step, prepend=-1))
    live = np.diff(opens, append=count)
    rank = np.arange(count, dtype=np.intp) - np.repeat(opens, live)
    # Steps with most activations first, so that those of one rank are some first of the rank below.
    place = np.argsort(np.argsort(-live, kind="stable"))
    starts = np.r_[0, np.cumsum(np.bincount(rank))].astype(np.intp)
    position = starts[rank] + np.repeat(place, live)
    order, last = np.empty(count, dtype=np.intp), np.empty(count, dtype=np.intp)
    order[position] = activation[by_step]
    # Lifetimes of one length at one step count each other: all of them end where the last does.
    closes = np.flatnonzero(np.diff(step, append=-1) | np.diff(length, append=0))
    last[by_step] = np.repeat(position[closes], np.diff(closes, prepend=-1))
    ranks = tuple(starts[1:-1].tolist())
    return Lifetimes(tuple(names), tuple(slots), tuple(intervals), order, ranks, last, pairs)
