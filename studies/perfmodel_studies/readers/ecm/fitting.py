"""Constants of the caches fitted on the rows, and predictions from them, all rows at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.arrays import Value
from perfmodel.calibrate import Constant
from perfmodel.calibrate.fit import Forward
from perfmodel.cost.ecm import Work, cycles_at_levels, cycles_by_size
from perfmodel.kinds.cache.hierarchy import grid_reads, hierarchy
from perfmodel.workload.streaming import KERNELS

from perfmodel_studies.readers.ecm.rows import StreamRow
from perfmodel_studies.tables import table

__all__ = ["constants", "forward", "measured_cycles"]

Vector = npt.NDArray[np.float64]
_ORDER: Final = {"L1": 0, "L2": 1, "L3": 2, "DRAM": 3}

#: Path -> bounds: physics or common sense sets them.
BOUNDS: Final[Mapping[str, tuple[float, float]]] = table("ecm_bounds")


#: Costs beyond plain transfers. Where no row of a fit shows one (stores, once they are left out), a
#: slight pull towards next to nothing decides, not where the search began.
_EXTRA: Final = ("replay", "line_out", "line_out_time", "store_line", "store_line_time")
_PULL: Final = 0.005


def constants(machine: pm.Machine, names: Sequence[str]) -> list[Constant]:
    """Return constants that start from the machine's facts."""
    out: list[Constant] = []
    for path in names:
        low, high = BOUNDS[path]
        start = float(np.clip(machine.facts[path], low * 1.001, high * 0.999))
        pull = _PULL if path.rpartition(".")[2] in _EXTRA else 0.0
        out.append(Constant(path, start, low, high, prior=pull, towards=low))
    return out


def measured_cycles(rows: Sequence[StreamRow], clock: float) -> Vector:
    """Return clocks per line, of shape ``(rows,)``."""
    return np.array([row.cycles or row.seconds_per_line * clock for row in rows])


def forward(rows: Sequence[StreamRow], machine: pm.Machine, levels: Sequence[str]) -> Forward:
    """Return constants -> clocks per line of all rows of one machine.

    Parameters
    ----------
    levels
        Memories, nearest first.
    """
    kernels = [KERNELS[row.kernel] for row in rows]

    def column(values: Sequence[float]) -> Vector:
        return np.array(values, dtype=np.float64)

    work = Work(
        column([k.loads for k in kernels]),
        column([k.split for k in kernels]),
        column([k.reads for k in kernels]),
        column([k.writes for k in kernels]),
        column([k.updates for k in kernels]),
        column([0.0 if k.radius else 1.0 for k in kernels]),
    )
    vector = column([row.vector for row in rows])
    size = column([row.size or 1.0 for row in rows])
    level = np.array([_ORDER.get(row.level, 0) for row in rows])
    by_level = np.array([row.size == 0.0 for row in rows])
    extents = [dict(row.extents) for row in rows]
    row_bytes = column([8.0 * e.get("columns", 0.0) for e in extents])
    plane = column([8.0 * e.get("rows", 0.0) * e.get("columns", 0.0) for e in extents])
    stencil = column([k.radius > 0 for k in kernels])
    solid = column([k.dimensions == 3 for k in kernels])
    two, three = KERNELS["jacobi_2d_5pt"], KERNELS["jacobi_3d_7pt"]
    rows_safe = np.where(stencil > 0, row_bytes, 1.0)
    planes_safe = np.where(solid > 0, plane, 1.0)

    def predicted(values: Mapping[str, float]) -> Vector:
        facts: dict[str, Value] = {
            **machine.facts,
            **values,
            f"memories.{levels[0]}.vector": vector,
        }
        caches = hierarchy(facts, machine.engine, levels)
        assert caches is not None
        reads: list[Value] = [work.reads] * len(caches.boundaries)
        if stencil.any():
            flat, deep = (grid_reads(k, caches, rows_safe, planes_safe) for k in (two, three))
            reads = [
                stencil * (solid * b + (1.0 - solid) * a) + (1.0 - stencil) * work.reads
                for a, b in zip(flat, deep, strict=True)
            ]
        at = [
            np.broadcast_to(v, size.shape)
            for v in cycles_at_levels(work, caches.core, caches.boundaries, reads)
        ]
        swept = cycles_by_size(at, size, caches.boundaries)
        cycles: Value = np.where(by_level, np.choose(level, at), np.asarray(swept, dtype=float))
        return cycles + stencil * (caches.row_start * caches.core.line / rows_safe)

    return predicted
