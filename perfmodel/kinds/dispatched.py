"""The kind `roofline` as specs name it: a roofline whose runtime may state what kernels cost.

That is launches by class, and what convolutions move around products in panels.

Other kinds take the plain roofline for the rows that they do not model, and count launches of
their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, by_row
from perfmodel.cost.residency import weight_bytes
from perfmodel.cost.setting import Setting
from perfmodel.hardware.kernel import Bandwidth, Clocks, Kernel, Number
from perfmodel.hardware.runtime import Runtime
from perfmodel.hardware.view import or_else
from perfmodel.kinds.protocol import Equation, Terms
from perfmodel.kinds.roofline import Roofline
from perfmodel.workload.lower import OperatorRow, OperatorTable
from perfmodel.workload.panels import PLAIN, Panels


class RooflineKernel(Kernel):
    """Panels of a convolution's product, and layouts, on rooflines.

    The product is of filters with a matrix of windows, one column for each pixel; `copy_clocks` are
    those of a number that is unfolded into it.
    """

    KIND: ClassVar[str] = "roofline"

    panel: Number | None = None
    """Columns that the last tile of a product is padded to a multiple of. Where it is left out
    nothing is padded, unfolded or packed."""
    panel_depth: Number | None = None
    """Numbers of the summed dimension after which sums are stored, to be added to."""
    pack_clocks: Clocks | None = None
    """Clocks of a number that is packed for the product."""
    row_clocks: Clocks | None = None
    """Clocks of a row of an image that is unfolded for one tap, beside its numbers."""
    strided_clocks: Clocks | None = None
    """Clocks of a number that is unfolded where windows stride: one by one, not by vectors."""
    store_clocks: Clocks | None = None
    """Clocks of a sum that is stored."""
    layout_bandwidth: Bandwidth | None = None
    """Bandwidth at which weights are laid out anew each time that the kernel runs, as by frameworks
    that keep plain filters for libraries of blocked ones; on rooflines."""


class DispatchedRoofline(Roofline):
    """A roofline, a time of each kernel by its class, and clocks around products in panels."""

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
        moved = None if layout is None else weight_bytes(table, setting)
        if moved is not None:
            extra = extra + moved / layout
        return replace(
            terms, overhead={**terms.overhead, "kernel": extra}, row_s=terms.row_s + extra
        )

    def packing(self, runtime: Runtime) -> tuple[Panels, int]:
        """Return the panels of a runtime's convolutions, and the channels of a depthwise vector."""
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
        """Add the time of what convolutions move around their products."""
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
    keys = table.once("kernels", lambda: _keys(table.rows))
    each = (
        [constant(setting.kernel(name, RooflineKernel)) for name in names] for names in keys.names
    )
    stated = [next((value for value in values if value is not None), None) for values in each]
    if all(value is None for value in stated):
        return None
    values = [other if value is None else value for value in stated]
    return by_row(values, table.points, setting.xp)[keys.of]


class _KernelClasses:
    """Classes of kernels, and which of them each row reads."""

    def __init__(self, names: Sequence[tuple[str, ...]], of: npt.NDArray[np.intp]) -> None:
        self.names = names
        self.of = of


def _keys(rows: Sequence[OperatorRow]) -> _KernelClasses:
    places: dict[tuple[str, ...], int] = {}
    of: list[int] = []
    for row in rows:
        names = [row.kind, *([f"{row.kind}.{row.function}"] if row.function else [])]
        of.append(places.setdefault(tuple(reversed(names)), len(places)))
    return _KernelClasses(tuple(places), np.array(of, dtype=np.intp))


KIND = DispatchedRoofline()
