"""The kind `roofline` as specs name it: a roofline whose runtime may state costs of its kernels.

These are launches by operator class, and the data that convolutions move around products in
panels (padding, unfolding, packing). Other kinds fall back on the plain roofline for rows outside
their model, and count launches themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

from perfmodel.arrays import Value, by_row
from perfmodel.cost.operand_bytes import weight_bytes
from perfmodel.cost.setting import Setting
from perfmodel.hardware.fact_views import or_else
from perfmodel.hardware.field_types import Bandwidth
from perfmodel.hardware.kernel import Clocks, Kernel, Number
from perfmodel.hardware.runtime import Runtime
from perfmodel.kinds.protocol import Equation, Terms
from perfmodel.kinds.rates import row_classes
from perfmodel.kinds.roofline import Roofline
from perfmodel.workload.convolution_panels import PLAIN, Panels
from perfmodel.workload.operator_table import OperatorTable


class RooflineKernel(Kernel):
    """Costs of a convolution as a product in panels, and of weight layouts, on rooflines.

    The product multiplies filters by a matrix of windows, one column per pixel; `copy_clocks` is
    the cost of one number unfolded into that matrix.
    """

    KIND: ClassVar[str] = "roofline"

    panel: Number | None = None
    """Columns to a multiple of which the last tile of a product is padded. If left out, nothing is
    padded, unfolded or packed."""
    panel_depth: Number | None = None
    """Summed elements after which partial sums are stored, to be accumulated later."""
    pack_clocks: Clocks | None = None
    """Clocks per number packed for the product."""
    row_clocks: Clocks | None = None
    """Clocks per image row unfolded for one tap, in addition to those of its numbers."""
    strided_clocks: Clocks | None = None
    """Clocks per number unfolded one by one, where strided windows prevent vector copies."""
    store_clocks: Clocks | None = None
    """Clocks per stored sum."""
    layout_bandwidth: Bandwidth | None = None
    """Bandwidth at which weights are rearranged each time that the kernel runs, as in frameworks
    that store plain filters for libraries with blocked layouts; on rooflines."""


class DispatchedRoofline(Roofline):
    """A roofline with a time per kernel by its class, and clocks of moves around products."""

    equations: Mapping[str, Equation] = {
        **Roofline.equations,
        "panels": Equation(
            "(packed * pack_clocks + unfolded * copy_clocks + strided * strided_clocks"
            " + unfolded_rows * row_clocks + stored * store_clocks) / (clock * units)",
            "loops of the runtime's convolutions; runtime.kernels",
        ),
        "kernel": Equation(
            "kernels * (launch + narrow_launch) + weight_bytes / layout_bandwidth, of the row's"
            " class",
            "runtime.kernels",
        ),
    }

    def cost(self, table: OperatorTable, setting: Setting) -> Terms:
        """Cost every row of the table; see the class attribute `equations`."""
        terms = super().cost(table, setting)
        each = setting.engine.move_energy
        if each is not None and "panels" in terms.work:
            terms = replace(terms, energy={**terms.energy, "panels": terms.work["panels"] * each})
        if setting.bare:
            return terms
        launches = _stated(table, setting, lambda kernel: kernel.launch, 0.0)
        narrow = setting.kernel("depthwise", RooflineKernel).narrow_launch
        if launches is not None and narrow is not None and "narrow" in table.extents:
            launches = launches + table.extents["narrow"] * narrow
        if launches is None:
            return terms
        extra = table.kernels * launches * setting.runtime.host_slowdown
        layout = _stated(table, setting, lambda kernel: kernel.layout_bandwidth, float("inf"))
        weights = None if layout is None else weight_bytes(table, setting)
        if weights is not None:
            extra = extra + weights / layout
        return replace(
            terms, overhead={**terms.overhead, "kernel": extra}, row_s=terms.row_s + extra
        )

    def packing(self, runtime: Runtime) -> tuple[Panels, int]:
        """Return panel sizes of a runtime's convolutions, and channels of a depthwise vector."""
        panels, narrow = PLAIN, 0
        conv, depthwise = (runtime.kernels.get(name) for name in ("conv", "depthwise"))
        if isinstance(conv, RooflineKernel) and conv.panel is not None:
            depth = 0 if conv.panel_depth is None else int(conv.panel_depth.value)
            panels = Panels(int(conv.panel.value), depth)
        if depthwise is not None and depthwise.narrow_launch is not None:
            narrow = 0 if depthwise.multiple is None else int(depthwise.multiple.value)
        return panels, narrow

    def further(
        self,
        table: OperatorTable,
        setting: Setting,
        compute: dict[str, Value],
        work: dict[str, Value],
    ) -> None:
        """Add the time of data that convolutions move around their products."""
        clock, conv = setting.engine.clock, setting.kernel("conv", RooflineKernel)
        if setting.bare or clock is None or "packed" not in table.extents:
            return
        each = {
            "packed": conv.pack_clocks,
            "unfolded": conv.copy_clocks,
            "strided": conv.strided_clocks,
            "unfolded_rows": conv.row_clocks,
            "stored": conv.store_clocks,
        }
        clocks = sum(
            table.extents[name] * or_else(clocks_each, 0.0)
            for name, clocks_each in each.items()
            if name in table.extents
        )
        compute["panels"], work["panels"] = clocks / (clock * setting.engine.units), clocks


def _stated(
    table: OperatorTable,
    setting: Setting,
    constant: Callable[[RooflineKernel], Value],
    other: float,
) -> Value:
    """Return a constant of each row's class, ``(rows, points or 1)``; None where none is stated."""
    rows, index = row_classes(table, "kernels", lambda row: (row.kind, row.function))
    stated: list[Value] = []
    for row in rows:
        names = (f"{row.kind}.{row.function}", row.kind) if row.function else (row.kind,)
        each = (constant(setting.kernel(name, RooflineKernel)) for name in names)
        stated.append(next((value for value in each if value is not None), None))
    if all(value is None for value in stated):
        return None
    values = [or_else(value, other) for value in stated]
    return by_row(values, table.points, setting.xp)[index]


KIND = DispatchedRoofline()
