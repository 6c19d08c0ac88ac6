"""Inputs of the tiled-traffic models: loop nest, bytes per element, and tiling conventions.

Extents and bytes are scalars or arrays that broadcast: a staircase is computed for one nest, a
closed form for arrays of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from perfmodel.arrays import Value, is_array
from perfmodel.errors import Fault, InputError, nearest

Buffering: TypeAlias = Literal["single", "double"]
Halo: TypeAlias = Literal["refetched", "kept"]
Allocation: TypeAlias = Literal["even", "uneven"]
_INTEGERS: tuple[type, ...] = (int, np.integer)


@dataclass(frozen=True, slots=True)
class TileNest:
    """Loop nest in the form of a grouped convolution; scalars, or arrays that broadcast.

    A GEMM ``C[M, N] += A[M, K] B[K, N]`` has ``out_rows = M``, ``out_channels = N`` and
    ``in_channels = K``: A is the input, B the weight (`product`). A batched GEMM has its batch as
    `groups`; a depthwise convolution has one channel in and out of each of its `groups`.

    Attributes
    ----------
    groups
        Number of independent problems of the same shape; an index of every operand.
    batch
        Number of images that share the weights.
    out_channels, in_channels
        Channels per group.
    out_rows, out_columns
        Output positions along both axes.
    kernel_rows, kernel_columns
        Kernel taps along both axes.
    row_stride, column_stride, row_dilation, column_dilation
        Input positions per output step (stride) and per kernel step (dilation).

    Raises
    ------
    InputError
        A scalar that is not an integer or is below 1; arrays are not checked.
    """

    out_rows: Value = 1
    out_columns: Value = 1
    out_channels: Value = 1
    in_channels: Value = 1
    kernel_rows: Value = 1
    kernel_columns: Value = 1
    row_stride: Value = 1
    column_stride: Value = 1
    groups: Value = 1
    batch: Value = 1
    row_dilation: Value = 1
    column_dilation: Value = 1

    def __post_init__(self) -> None:
        bad: list[tuple[str, Any]] = []
        for field in fields(self):
            value: Any = getattr(self, field.name)
            if value < 1 if isinstance(value, _INTEGERS) else not is_array(value):
                bad.append((field.name, value))
        if bad:
            expected = "a whole number from 1 on"
            raise InputError([Fault(f"{n} is {v}", path=n, expected=expected) for n, v in bad])

    @classmethod
    def product(cls, rows: Value, columns: Value, depth: Value) -> TileNest:
        """Return the GEMM ``C[rows, columns] += A[rows, depth] B[depth, columns]``."""
        return cls(out_rows=rows, out_channels=columns, in_channels=depth)

    @classmethod
    def with_steps(
        cls, stride: Sequence[int], dilation: Sequence[int], **extents: Value
    ) -> TileNest:
        """Return a nest with strides and dilations given as (rows, columns) pairs."""
        return cls(
            row_stride=stride[0],
            column_stride=stride[1],
            row_dilation=dilation[0],
            column_dilation=dilation[1],
            **extents,
        )

    @property
    def taps(self) -> Value:
        """Number of kernel taps."""
        return self.kernel_rows * self.kernel_columns

    @property
    def positions(self) -> Value:
        """Output positions of all images."""
        return self.batch * self.out_rows * self.out_columns

    @property
    def inputs_per_output(self) -> Value:
        """Number of products accumulated into one output element."""
        return self.in_channels * self.taps

    @property
    def macs(self) -> Value:
        """Number of multiply-accumulate operations of all groups."""
        return self.groups * self.positions * self.out_channels * self.inputs_per_output

    @property
    def is_gemm(self) -> bool:
        """Whether rows are independent: a GEMM, or a convolution of one tap and no stride."""
        return self.taps == self.row_stride == self.column_stride == 1


@dataclass(frozen=True, slots=True)
class Widths:
    """Bytes per element of each operand; may be fractional (4 bit = 0.5).

    Attributes
    ----------
    input, weight, output
        Bytes per element across the boundary; 0 for an operand that does not cross it.
    partial
        Bytes of a partial sum, both in the buffer and across the boundary when it is written out
        and read back.
    """

    input: Value = 1.0
    weight: Value = 1.0
    output: Value = 1.0
    partial: Value = 4.0


@dataclass(frozen=True, slots=True)
class Conventions:
    """Constraints on tiles that a traffic figure is valid under.

    Attributes
    ----------
    buffering
        ``double``: operands whose tile changes at the innermost loop have two buffers, so that the
        next tile is fetched while one is in use; ``single``: one buffer per operand.
    halo
        ``refetched``: overlapping input of neighbouring tiles is fetched again; ``kept``: it is
        retained along the axis, rows or columns, that the window slides along.
    allocation
        ``even``: all operands share one tile; ``uneven``: an operand may retain a full panel along
        some loops while the others hold a slice.
    """

    buffering: Buffering = "double"
    halo: Halo = "refetched"
    allocation: Allocation = "even"

    def __post_init__(self) -> None:
        faults: list[Fault] = []
        for name, kind in (("buffering", Buffering), ("halo", Halo), ("allocation", Allocation)):
            value, known = getattr(self, name), get_args(kind)
            if value not in known:
                faults.append(
                    Fault(
                        f"unknown value '{value}'",
                        path=name,
                        expected=f"one of {', '.join(known)}",
                        suggestion=nearest(str(value), known),
                    )
                )
        if faults:
            raise InputError(faults)

    @property
    def copies(self) -> float:
        """Number of buffers of an operand whose tile changes at the innermost loop."""
        return 2.0 if self.buffering == "double" else 1.0

    @property
    def slides(self) -> bool:
        """Whether a sliding window retains the input shared with the previous tile."""
        return self.halo == "kept"

    def __str__(self) -> str:
        return f"{self.buffering}-buffered, halo {self.halo}, {self.allocation} tiles"
