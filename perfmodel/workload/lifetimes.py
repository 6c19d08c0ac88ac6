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

#: Pairs of activations that are live at the same kernel, summed over the kernels.
_MOST_TOGETHER: Final = 2**26

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Activations of a graph: who is live when, in kernel steps.

    `shorter` lists, for each (tensor, step) pair, the tensors live at that step whose lifetime is
    no longer than that tensor's; `pairs` where each tensor's pairs start, `sets` where each pair's
    list starts. From these a residency that is monotone in capacity follows without a search.
    """

    names: tuple[str, ...]
    slots: tuple[str, ...]
    intervals: tuple[tuple[int, int], ...]
    shorter: Index
    sets: Index
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
    names: list[str], slots: list[str], intervals: list[tuple[int, int]], n: int
) -> Lifetimes:
    """Return the lifetimes of activations that are held over intervals of `n` kernels.

    Raises
    ------
    InputError
        So many are live at once that memory would not hold which of them are with which.
    """
    length = np.array([b - a for a, b in intervals], dtype=np.intp)
    ends = np.array([(a, b + 1) for a, b in intervals], dtype=np.intp).reshape(-1, 2)
    steps = np.bincount(ends[:, 0], minlength=n + 1) - np.bincount(ends[:, 1], minlength=n + 1)
    counts = np.cumsum(steps).astype(float)
    together = float(np.sum(counts**2))
    if together > _MOST_TOGETHER:
        raise input_error(
            f"up to {counts.max():,.0f} activations are live at once, {together:,.0f} pairs in all",
            path="graph",
            expected=f"at most {_MOST_TOGETHER:,} pairs",
        )
    live: list[list[int]] = [[] for _ in range(n)]
    for i, (a, b) in enumerate(intervals):
        for step in live[a : b + 1]:
            step.append(i)
    at_step = [np.array(step, dtype=np.intp) for step in live]
    lengths = [length[step] for step in at_step]
    shorter: list[Index] = [np.empty(0, dtype=np.intp)]
    sets: list[int] = []
    pairs: list[int] = []
    at = 0
    for (a, b), own in zip(intervals, length, strict=True):
        pairs.append(len(sets))
        for step in range(a, b + 1):
            sets.append(at)
            shorter.append(at_step[step][lengths[step] <= own])
            at += len(shorter[-1])
    return Lifetimes(
        tuple(names), tuple(slots), tuple(intervals), np.concatenate(shorter),
        np.array(sets, dtype=np.intp), np.array(pairs, dtype=np.intp),
    )  # fmt: skip
