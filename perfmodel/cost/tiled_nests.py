"""Loop nests of a table with the buffer they use: input of staircases, closed forms and bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.residency import slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.workload.operator_table import OperatorTable
from perfmodel.workload.shapes import Nests

#: Extents of one group of a nest.
EXTENTS = (
    "batch",
    "out_channels",
    "in_channels",
    "out_rows",
    "out_columns",
    "kernel_rows",
    "kernel_columns",
)


@dataclass(frozen=True, slots=True)
class BufferedNests:
    """Loop nests of a table, the buffer that they use one after another, and tiling conventions.

    Attributes
    ----------
    nests, points
        Loop nests, and number of points of their table.
    setting
        Facts of the machine.
    conventions
        Constraints on tiles.
    capacity
        Bytes of the buffer.
    partial
        Bytes of a partial sum.
    element_bytes
        Bytes per element of input, weight and output, ``(3, nests, points or 1)``; 0 for an operand
        that does not cross the boundary.
    real_share
        Share of each nest's input that is not padding; padding is never fetched.
    fused
        Mask of the nests that belong to an attention whose scores remain on chip.
    """

    nests: Nests
    points: int
    setting: Setting
    conventions: Conventions
    capacity: Value
    partial: float
    element_bytes: Value
    real_share: Value
    fused: list[bool]

    @classmethod
    def of(
        cls,
        table: OperatorTable,
        setting: Setting,
        conventions: Conventions,
        capacity: Value,
        partial: float,
        crosses: Value = None,
    ) -> BufferedNests:
        """Return the nests of a table.

        Parameters
        ----------
        crosses
            1 for each access that crosses the boundary, else 0; ``None`` if all cross.
        """
        nests = table.nests
        assert nests is not None
        return cls(
            nests=nests,
            points=table.points,
            setting=setting,
            conventions=conventions,
            capacity=capacity,
            partial=partial,
            element_bytes=_element_bytes(table, nests, setting, crosses),
            real_share=_real_share(table, nests, setting),
            fused=_fused_attention(nests),
        )

    def nest(self, i: int) -> TileNest:
        """Return one group of a nest with its extents at all points."""
        stride, dilation = self.nests.stride[i].tolist(), self.nests.dilation[i].tolist()
        extents = {name: getattr(self.nests, name)[i] for name in EXTENTS}
        return TileNest.with_steps(stride, dilation, **extents)

    def widths(self, i: int) -> Widths:
        """Return the bytes per element of a nest's operands at all points."""
        input, weight, output = self.element_bytes[:, i]
        return Widths(input, weight, output, self.partial)

    def is_product(self, i: int) -> bool:
        """Return whether a nest is a GEMM: one tap, no stride."""
        strides = self.nests.stride[i].tolist() == [1, 1]
        return strides and all_ones(self.nests.kernel_rows[i], self.nests.kernel_columns[i])


def all_ones(*values: Value) -> bool:
    """Return whether sizes are all 1; kernels, and channels of a depthwise nest, never vary."""
    return all(isinstance(v, np.ndarray) and bool(np.all(v == 1.0)) for v in values)


def _fused_attention(nests: Nests) -> list[bool]:
    inner = nests.access.tolist()
    out = [False] * len(nests)
    for i in range(len(nests) - 1):
        pair = nests.row[i] == nests.row[i + 1] and nests.kind[i] == "attention"
        if pair and inner[i][2] < 0 and inner[i + 1][0] < 0 and not out[i]:
            out[i] = out[i + 1] = True
    return out


def _element_bytes(table: OperatorTable, nests: Nests, setting: Setting, crosses: Value) -> Value:
    access = table.accesses
    assert access is not None
    each = slot_bytes(access.slots, table.points, setting)
    if crosses is not None:
        each = each * crosses
    xp = setting.xp
    padded = xp.concatenate([each, xp.zeros((1, each.shape[1]))])
    return xp.stack([padded[nests.access[:, k]] for k in range(3)])


def _real_share(table: OperatorTable, nests: Nests, setting: Setting) -> Value:
    access = table.accesses
    assert access is not None
    xp = setting.xp
    span = 1.0
    for side, axis in (("rows", 0), ("columns", 1)):
        taps = (getattr(nests, f"kernel_{side}") - 1.0) * nests.dilation[:, axis : axis + 1] + 1.0
        step = xp.minimum(nests.stride[:, axis : axis + 1], taps)
        span = span * (step * (getattr(nests, f"out_{side}") - 1.0) + taps)
    touched = nests.times * nests.groups * nests.batch * nests.in_channels * span
    at = nests.access[:, 0]
    stored = xp.where((at >= 0)[:, None], access.elements[at], touched)
    return xp.minimum(1.0, stored / touched)
