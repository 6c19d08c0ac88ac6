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
from perfmodel.kinds.cache import grid_reads, hierarchy
from perfmodel.workload.streaming import KERNELS

from perfmodel_studies.readers.ecm.rows import StreamRow

__all__ = ["constants", "forward", "measured_cycles"]

Vector = npt.NDArray[np.float64]
_ORDER: Final = {"L1": 0, "L2": 1, "L3": 2, "DRAM": 3}

#: Path -> bounds: physics or common sense sets them.
BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "memories.l1.startup": (1e-3, 0.3),
    "memories.l1.row_start": (1.0, 40.0),
    "memories.l1.replay": (1e-2, 4.0),
    "memories.l1.overlap_exponent": (1.0, 16.0),
    "memories.l1.load_bandwidth": (32.0, 128.0),
    "memories.l1.access_bandwidth": (48.0, 192.0),
    "memories.l1.accesses_per_clock": (0.8, 4.0),
    "memories.l1.line_in": (0.5, 4.0),
    "memories.l1.line_out": (1e-2, 4.0),
    "memories.l1.store_line": (1e-2, 8.0),
    "memories.l2.line_in": (1.0, 12.0),
    "memories.l2.line_out": (1e-2, 8.0),
    "memories.l2.store_line": (1e-2, 16.0),
    "memories.l2.edge_centre": (2.0**18, 2.0**22),
    "memories.l2.edge_sharpness": (1.0, 20.0),
    "memories.l3.line_in_time": (0.5e-9, 12e-9),
    "memories.l3.line_out_time": (1e-12, 8e-9),
    "memories.l3.store_line_time": (1e-12, 20e-9),
    "memories.l3.edge_centre": (2.0**23, 2.0**27),
    "memories.l3.edge_sharpness": (0.5, 40.0),
}


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
        boundaries = hierarchy(facts, machine.engine, levels)
        assert boundaries is not None
        reads: list[Value] = [work.reads] * len(boundaries.edges)
        if stencil.any():
            flat, deep = (grid_reads(k, boundaries, rows_safe, planes_safe) for k in (two, three))
            reads = [
                stencil * (solid * b + (1.0 - solid) * a) + (1.0 - stencil) * work.reads
                for a, b in zip(flat, deep, strict=True)
            ]
        at = [
            np.broadcast_to(v, size.shape)
            for v in cycles_at_levels(work, boundaries.core, boundaries.edges, reads)
        ]
        swept = cycles_by_size(at, size, boundaries.edges)
        cycles: Value = np.where(by_level, np.choose(level, at), np.asarray(swept, dtype=float))
        return cycles + stencil * (boundaries.row_start * boundaries.core.line / rows_safe)

    return predicted
