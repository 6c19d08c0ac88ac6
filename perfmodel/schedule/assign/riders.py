"""Fused kernels that an engine supports in part, split into two operators that may be separated.

An engine that does not support a fused function may still run the matrix operator before it. Such
a kernel is cut before the first operator that some engine does not support. On the same engine
both parts cost as much as the fused kernel; on different engines the second part is a separate
kernel, and its additional cost is added to the transfer that reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perfmodel.schedule.assign.problem import Floats
from perfmodel.schedule.assign.stations import ALONE, Station, lacks
from perfmodel.workload.fuse import RIDERS, FusedKernel
from perfmodel.workload.graph import Graph, Operator


def cut(graph: Graph, kernels: Sequence[FusedKernel], engines: Sequence[Station]) -> Graph | None:
    """Return the graph with some fused operators made separate; None if nothing is cut.

    An operator is cut off if some engine supports all of its kernel before it, but not the
    operator.
    """
    loose: set[str] = set()
    for kernel in kernels:
        able = list(engines)
        for k, operator in enumerate(kernel.operators):
            unable = [station for station in able if lacks(station, operator)]
            if k and unable and operator.kind in RIDERS:
                loose.add(operator.name)
                able = list(engines)  # a separate kernel begins here
                unable = [station for station in able if lacks(station, operator)]
            able = [station for station in able if station not in unable]
    if not loose:
        return None

    def changed(operator: Operator) -> Operator:
        if operator.name not in loose:
            return operator
        # A class that is never fused with a predecessor, and is priced as elementwise work.
        return replace(operator, kind=operator.kind + ALONE)

    blocks = tuple(
        replace(block, operators=tuple(changed(op) for op in block.operators))
        for block in graph.blocks
    )
    return replace(graph, blocks=blocks)


def parts_of(
    fused: Sequence[FusedKernel], cut_kernels: Sequence[FusedKernel]
) -> list[tuple[int, int, int]]:
    """Return (fused kernel, first part, second part) as row indices, for kernels with two parts."""
    row = {op.name: i for i, kernel in enumerate(cut_kernels) for op in kernel.operators}
    parts: list[tuple[int, int, int]] = []
    for i, kernel in enumerate(fused):
        rows = sorted({row[op.name] for op in kernel.operators})
        if len(rows) == 2:
            parts.append((i, rows[0], rows[1]))
    return parts


def split_costs(
    fused: Floats, seconds: Floats, parts: Sequence[tuple[int, int, int]]
) -> tuple[Floats, Floats]:
    """Return the seconds of rows with parts on one engine, and the extra seconds if separated.

    For the second part, where an engine supports both parts and the fused kernel:
    ``joined = min(max(fused - first, 0), second)`` and ``apart = second - joined``; elsewhere
    ``joined = second`` and ``apart = 0``.

    Parameters
    ----------
    fused
        Seconds of the fused kernels, shape ``(kernels, engines)``.
    seconds
        Seconds of the rows after the cut, shape ``(rows, engines)``.

    Returns
    -------
    joined, apart
        Both of the shape of `seconds`; `apart` applies to a second part whose first is elsewhere.
    """
    joined, apart = seconds.copy(), np.zeros_like(seconds)
    for i, first, second in parts:
        finite = np.isfinite(seconds[first]) & np.isfinite(seconds[second]) & np.isfinite(fused[i])
        added = np.maximum(
            np.where(finite, fused[i], 0.0) - np.where(finite, seconds[first], 0.0), 0.0
        )
        saves = finite & (added < seconds[second])
        apart[second] = np.where(saves, np.where(finite, seconds[second], 0.0) - added, 0.0)
        joined[second] = np.where(saves, added, seconds[second])
    return joined, apart
