"""Fused kernels of which an engine lacks a part: two operators, that save when they stay together.

An engine that lacks a function may still run the matrix operator that it rides on. Such a kernel is
cut before the first operator that some engine lacks. Together on one engine both parts cost what
the fused kernel does; apart the second is a kernel of its own, and what that costs more is counted
with what reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perfmodel.schedule.assign.problem import Floats
from perfmodel.schedule.assign.stations import ALONE, Station, lacks
from perfmodel.workload.fuse import RIDERS, FusedKernel
from perfmodel.workload.graph import Graph, Operator


def cut(graph: Graph, kernels: Sequence[FusedKernel], found: Sequence[Station]) -> Graph | None:
    """Return the graph with some riders as operators of their own; None where nothing is cut.

    A rider is cut off where some engine runs all of its kernel before it, and not the rider.
    """
    loose: set[str] = set()
    for kernel in kernels:
        able = list(found)
        for k, operator in enumerate(kernel.operators):
            unable = [station for station in able if lacks(station, operator)]
            if k and unable and operator.kind in RIDERS:
                loose.add(operator.name)
                able = list(found)  # a kernel of its own begins here
                unable = [station for station in able if lacks(station, operator)]
            able = [station for station in able if station not in unable]
    if not loose:
        return None

    def changed(operator: Operator) -> Operator:
        if operator.name not in loose:
            return operator
        # A class that fuses with nothing before it, and is priced as elementwise work.
        return replace(operator, kind=operator.kind + ALONE)

    blocks = tuple(
        replace(block, operators=tuple(changed(op) for op in block.operators))
        for block in graph.blocks
    )
    return replace(graph, blocks=blocks)


def parts_of(
    whole: Sequence[FusedKernel], cut_kernels: Sequence[FusedKernel]
) -> list[tuple[int, int, int]]:
    """Return (whole kernel, its first part, its second) by row, of those with two parts."""
    row = {op.name: i for i, kernel in enumerate(cut_kernels) for op in kernel.operators}
    found: list[tuple[int, int, int]] = []
    for i, kernel in enumerate(whole):
        parts = sorted({row[op.name] for op in kernel.operators})
        if len(parts) == 2:
            found.append((i, parts[0], parts[1]))
    return found


def together(
    whole: Floats, seconds: Floats, parts: Sequence[tuple[int, int, int]]
) -> tuple[Floats, Floats]:
    """Return seconds of rows where parts stay together, and what apart costs more.

    Parameters
    ----------
    whole
        Seconds of the fused kernels, shape ``(kernels, engines)``.
    seconds
        Of the rows after the cut, shape ``(rows, engines)``.

    Returns
    -------
    seconds, apart
        Both of the shape of `seconds`; `apart` counts for a second part whose first is elsewhere.
    """
    made, apart = seconds.copy(), np.zeros_like(seconds)
    for i, first, second in parts:
        both = np.isfinite(seconds[first]) & np.isfinite(seconds[second]) & np.isfinite(whole[i])
        step = np.maximum(np.where(both, whole[i], 0.0) - np.where(both, seconds[first], 0.0), 0.0)
        saves = both & (step < seconds[second])
        apart[second] = np.where(saves, np.where(both, seconds[second], 0.0) - step, 0.0)
        made[second] = np.where(saves, step, seconds[second])
    return made, apart
