"""Loop nests of a table with the buffer they use: input of staircases, closed forms and bounds.

An operand that the residency rule retains in the buffer crosses no boundary: its bytes per element
are zero. Padding is part of a tile but is never fetched: with s the stride, d the dilation, p the
outputs and r the taps along an axis, an image without padding would have
``min(s, (r - 1) d + 1) (p - 1) + (r - 1) d + 1`` rows, of which the stored ones are the unpadded
share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.operand_bytes import slot_bytes
from perfmodel.cost.setting import Setting
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.workload.nest_table import Nests
from perfmodel.workload.operator_table import OperatorTable

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
    unpadded_share
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
    unpadded_share: Value
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
            unpadded_share=_unpadded_share(table, nests, setting),
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


def tile_nest(nests: Nests) -> TileNest:
    """Return all nests of a table as one, with arrays of shape ``(nests, points or 1)``."""
    row_stride, column_stride, row_dilation, column_dilation = nests.window_steps
    return TileNest(
        row_stride=row_stride,
        column_stride=column_stride,
        row_dilation=row_dilation,
        column_dilation=column_dilation,
        groups=nests.groups,
        **{name: getattr(nests, name) for name in EXTENTS},
    )


def all_ones(*values: Value) -> bool:
    """Return whether sizes are all 1; kernels, and channels of a depthwise nest, never vary."""
    return all(isinstance(v, np.ndarray) and bool(np.all(v == 1.0)) for v in values)


def _fused_attention(nests: Nests) -> list[bool]:
    """Return which nests belong to a row of attention whose scores have no access to memory."""
    input_access, _, output_access = nests.access.T.tolist()
    fused = [False] * len(nests)
    for i in range(len(nests) - 1):
        is_pair = nests.row[i] == nests.row[i + 1] and nests.kind[i] == "attention"
        if is_pair and output_access[i] < 0 and input_access[i + 1] < 0 and not fused[i]:
            fused[i] = fused[i + 1] = True
    return fused


def _element_bytes(table: OperatorTable, nests: Nests, setting: Setting, crosses: Value) -> Value:
    """Return the bytes per element of input, weight and output; see `BufferedNests`."""
    access = table.accesses
    assert access is not None
    each = slot_bytes(access.slots, table.points, setting)
    if crosses is not None:
        each = each * crosses
    xp = setting.xp
    padded = xp.concatenate([each, xp.zeros((1, each.shape[1]))])
    return xp.stack([padded[nests.access[:, k]] for k in range(3)])


def _unpadded_share(table: OperatorTable, nests: Nests, setting: Setting) -> Value:
    """Return the share of each nest's input that is stored, not padding; ``(nests, points)``."""
    access = table.accesses
    assert access is not None
    xp = setting.xp
    pixels = 1.0
    for axis, name in enumerate(("rows", "columns")):
        dilation, stride = nests.dilation[:, axis, None], nests.stride[:, axis, None]
        reach = (getattr(nests, f"kernel_{name}") - 1.0) * dilation + 1.0
        step = xp.minimum(stride, reach)
        pixels = pixels * (step * (getattr(nests, f"out_{name}") - 1.0) + reach)
    read = nests.times * nests.groups * nests.batch * nests.in_channels * pixels
    input_access = nests.access[:, 0]
    stored = xp.where((input_access >= 0)[:, None], access.elements[input_access], read)
    return xp.minimum(1.0, stored / read)
