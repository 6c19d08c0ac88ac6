"""The kind `tensor_core`: cost of a table on a GPU.

Products and attention are costed kernel by kernel with the runtime's stated constants; all other
work, and all work under a runtime without constants, as on a roofline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.compose import compose
from perfmodel.cost.setting import Setting
from perfmodel.kinds.protocol import Equation, Terms, equations_of
from perfmodel.kinds.rates import SecondsExpression
from perfmodel.kinds.roofline import KIND as ROOFLINE
from perfmodel.kinds.tensor_core.attention_rows import attention_rows
from perfmodel.kinds.tensor_core.gemm import gemm_times
from perfmodel.kinds.tensor_core.kernels import KernelRows
from perfmodel.kinds.tensor_core.products import product_rows
from perfmodel.kinds.tensor_core.spec import TensorCore
from perfmodel.kinds.tensor_core.streams import stream_rows
from perfmodel.workload.operator_table import OperatorTable

if TYPE_CHECKING:
    from perfmodel.cost.area import SiliconBlock

#: (table, setting, the table's roofline terms) -> times of the rows that a routine covers.
Routine: TypeAlias = Callable[[OperatorTable, Setting, Terms], Iterable[KernelRows]]

#: Routines, each for its classes of rows.
ROUTINES: tuple[Routine, ...] = (product_rows, attention_rows, stream_rows)


def _with_kernel_times(
    base: Terms, parts: Sequence[KernelRows], table: OperatorTable, setting: Setting
) -> Terms:
    """Return the roofline's terms with the kernels' times in their rows.

    Notes
    -----
    ``host = max(host_floor * hosts * host_slowdown - device, 0)``
        runtime.kernels, docs/gpu.md
    """
    xp, n = setting.xp, len(table.rows)
    rows = np.concatenate([part.rows for part in parts])

    def column(name: str) -> Value:
        columns = [getattr(part, name) for part in parts]
        if len(columns) == 1:
            return columns[0]
        width = max(v.shape[1] for v in columns)
        same = all(v.shape[1] == width for v in columns)
        return xp.concatenate(
            columns if same else [xp.broadcast_to(v, (v.shape[0], width)) for v in columns]
        )

    def put(values: Value, new: Value) -> Value:
        return _with_rows(values, new, rows, n, xp)

    near, main = setting.nearest_memory, setting.main_memory
    compute = {**base.compute, "matrix": put(base.compute["matrix"], column("matrix_s"))}
    for part in parts:
        if part.vector_s is not None:
            compute["vector"] = _with_rows(compute["vector"], part.vector_s, part.rows, n, xp)
    memory = dict(base.memory)
    memory[main] = put(memory[main], column("dram_s"))
    if near != main and near in memory:
        memory[near] = put(memory[near], column("l2_s"))
    overhead = dict(base.overhead)
    overhead["kernel"] = put(xp.zeros((1, 1)), column("launch_s"))
    overhead["overlap"] = put(xp.zeros((1, 1)), column("rest_s"))
    row_s = compose(compute, memory, overhead, setting.overlap, base.cold)
    floor = column("host_floor_s") * setting.host_factor
    if xp is not np or floor.any():
        host = put(xp.zeros((1, 1)), xp.maximum(floor - row_s[rows], 0.0))
        overhead["host"] = host
        row_s = row_s + host
    modelled = frozenset(rows.tolist())
    expressions = {
        level: SecondsExpression(memory[level], base.traffic[level], modelled)
        for level in (near, main)
        if level in memory
    }
    return replace(
        base,
        compute=compute,
        memory=memory,
        overhead=overhead,
        row_s=row_s,
        expressions=expressions,
        detail=_detail(parts, n) if xp is np else {},
    )


def _with_rows(values: Value, new: Value, rows: Any, n: int, xp: Any) -> Value:
    """Return an array of `n` rows with some of them replaced."""
    old = xp.asarray(values)
    width = max(old.shape[-1] if old.ndim else 1, new.shape[1])
    if xp is not np:
        return xp.broadcast_to(old, (n, width)).at[rows].set(new)
    out = np.empty((n, width))
    if len(rows) < n:
        out[:] = old
    out[rows] = new
    return out


def _detail(parts: Sequence[KernelRows], n: int) -> dict[str, Value]:
    """Return the tile and split of each row at the first point; 0 where there is none."""
    out: dict[str, Value] = {}
    for part in parts:
        for name, values in (part.detail or {}).items():
            out.setdefault(name, np.zeros((n, 1)))[part.rows] = values
    return out


class TensorCoreKind:
    """Time of a kernel = launch + p-norm of tiled arithmetic, main memory and L2, at best tile."""

    name = "tensor_core"
    spec = TensorCore
    needs_nests = True
    traceable = True
    # The overlap within a kernel depends on its hits in the cache.
    network_wide: frozenset[str] = frozenset({"memory", "overlap"})
    equations: Mapping[str, Equation] = {
        **ROOFLINE.equations,
        **equations_of(gemm_times, _with_kernel_times),
    }

    def structure(self, engine: TensorCore, _weight_bytes: Value) -> dict[str, SiliconBlock]:
        """Return multipliers, vector lanes, and the memories of the units that the spec states."""
        units = engine.units
        sizes = {"registers": engine.registers, "local_memory": engine.local_memory}
        from perfmodel.cost.area import SiliconBlock
        from perfmodel.kinds.silicon import by_peaks

        return by_peaks(engine) | {
            name: SiliconBlock(memory_bytes=units * size, banks=units)
            for name, size in sizes.items()
            if size is not None
        }

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see the class attribute `equations`."""
        base = ROOFLINE.cost(table, setting)
        if setting.bare or table.nests is None or not setting.runtime.kernels:
            return base
        parts = [part for routine in ROUTINES for part in routine(table, setting, base)]
        return _with_kernel_times(base, parts, table, setting) if parts else base


KIND = TensorCoreKind()
