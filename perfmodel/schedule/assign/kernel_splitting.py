"""Splitting of fused kernels that some engine supports only in part, and the cost of the parts.

An engine that does not support a fused function may still run the matrix operator before it. Such
a kernel is split before the first operator that some engine does not support. On the same engine
both parts cost as much as the fused kernel; on different engines the second part is a separate
kernel, and its additional cost is added to the transfer that reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perfmodel.schedule.assign.device_engines import UNFUSED_SUFFIX, DeviceEngine, lacks
from perfmodel.schedule.assign.problem import Floats
from perfmodel.workload.fuse import FUSED_KINDS, FusedKernel
from perfmodel.workload.graph import Graph, Operator


def split_kernels(
    graph: Graph, kernels: Sequence[FusedKernel], engines: Sequence[DeviceEngine]
) -> Graph | None:
    """Return the graph with some fused operators made separate; None if nothing is split.

    An operator is split off if some engine supports all of its kernel before it, but not the
    operator.
    """
    separated: set[str] = set()
    for kernel in kernels:
        able = engines
        for k, operator in enumerate(kernel.operators):
            still_able = [engine for engine in able if not lacks(engine, operator)]
            if k and len(still_able) < len(able) and operator.kind in FUSED_KINDS:
                separated.add(operator.name)
                # A separate kernel begins here.
                still_able = [engine for engine in engines if not lacks(engine, operator)]
            able = still_able
    if not separated:
        return None

    def unfused(operator: Operator) -> Operator:
        if operator.name not in separated:
            return operator
        # A class that is never fused with a predecessor, and is priced as elementwise work.
        return replace(operator, kind=operator.kind + UNFUSED_SUFFIX)

    blocks = tuple(
        replace(block, operators=tuple(unfused(op) for op in block.operators))
        for block in graph.blocks
    )
    return replace(graph, blocks=blocks)


def split_rows(
    fused: Sequence[FusedKernel], separate: Sequence[FusedKernel]
) -> list[tuple[int, int, int]]:
    """Return (fused kernel, first part, second part) as row indices, for kernels with two parts."""
    row = {op.name: i for i, kernel in enumerate(separate) for op in kernel.operators}
    parts: list[tuple[int, int, int]] = []
    for i, kernel in enumerate(fused):
        rows = sorted({row[op.name] for op in kernel.operators})
        if len(rows) == 2:
            parts.append((i, rows[0], rows[1]))
    return parts


def split_seconds(
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
        Seconds of the rows after the split, shape ``(rows, engines)``.

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
