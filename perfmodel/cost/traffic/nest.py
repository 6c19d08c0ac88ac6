"""What tiled traffic is computed for: a loop nest, bytes of its elements, what tiles may do.

Extents and bytes are numbers, or arrays that broadcast: a staircase belongs to one nest, a closed
form to as many as there are points.
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
    """A loop nest in the form of a grouped convolution; numbers, or arrays that broadcast.

    A GEMM ``C[M, N] += A[M, K] B[K, N]`` has ``out_rows = M``, ``out_channels = N`` and
    ``in_channels = K``: A is the input, B the weight (`product`). A batched GEMM has its batch as
    `groups`; a depthwise convolution has one channel in and out of each of its `groups`.

    Attributes
    ----------
    groups
        Independent problems of the same shape: every operand has this index.
    batch
        Images that share the weights.
    out_channels, in_channels
        Channels of one group.
    out_rows, out_columns
        Positions of the output.
    kernel_rows, kernel_columns
        Taps of the kernel.
    row_stride, column_stride, row_dilation, column_dilation
        Steps of the input for one step of the output, and for one of the kernel.

    Raises
    ------
    InputError
        For every number that is not whole or is below 1; arrays are taken as they are.
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
        """Return a GEMM: ``C[rows, columns] += A[rows, depth] B[depth, columns]``."""
        return cls(out_rows=rows, out_channels=columns, in_channels=depth)

    @classmethod
    def with_steps(
        cls, stride: Sequence[int], dilation: Sequence[int], **extents: Value
    ) -> TileNest:
        """Return a nest with the strides and dilations of rows and columns."""
        return cls(
            row_stride=stride[0],
            column_stride=stride[1],
            row_dilation=dilation[0],
            column_dilation=dilation[1],
            **extents,
        )

    @property
    def taps(self) -> Value:
        """Positions of a kernel."""
        return self.kernel_rows * self.kernel_columns

    @property
    def positions(self) -> Value:
        """Positions of the output of all images."""
        return self.batch * self.out_rows * self.out_columns

    @property
    def inputs_per_output(self) -> Value:
        """Products that are summed for one element of the output."""
        return self.in_channels * self.taps

    @property
    def macs(self) -> Value:
        """Multiply-accumulates of all groups."""
        return self.groups * self.positions * self.out_channels * self.inputs_per_output

    @property
    def is_gemm(self) -> bool:
        """Whether rows are independent: a GEMM, or a convolution of one tap and no stride."""
        return self.taps == self.row_stride == self.column_stride == 1


@dataclass(frozen=True, slots=True)
class Widths:
    """Bytes of an element of each operand; fractions are fine (4 bit = 0.5).

    Attributes
    ----------
    input, weight, output
        Bytes across the boundary; 0 for an operand that does not cross it.
    partial
        Bytes of an output element while it is accumulated: what the buffer holds of it, and what
        crosses the boundary when a partial sum is written out and read back.
    """

    input: Value = 1.0
    weight: Value = 1.0
    output: Value = 1.0
    partial: Value = 4.0


@dataclass(frozen=True, slots=True)
class Conventions:
    """What a tile may do; every figure names the conventions that it holds under.

    Attributes
    ----------
    buffering
        ``double``: operands whose tile changes at the innermost loop are held twice, so that the
        next is fetched while one is used; ``single``: every tile is held once.
    halo
        ``refetched``: overlapping input of neighbouring tiles is fetched again; ``kept``: a window
        that slides along rows or columns keeps it.
    allocation
        ``uneven``: an operand may keep a full panel while others keep a slice (a level of tiling
        of its own); ``even``: all operands share one tile.
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
        """How often an operand is held whose tile changes at the innermost loop."""
        return 2.0 if self.buffering == "double" else 1.0

    @property
    def slides(self) -> bool:
        """Whether a window keeps what it shares with the tile before."""
        return self.halo == "kept"

    def __str__(self) -> str:
        return f"{self.buffering}-buffered, halo {self.halo}, {self.allocation} tiles"
