"""What tiled traffic is computed for: a nest with numbers, its widths, the conventions."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from perfmodel.errors import Fault, InputError, nearest

Buffering: TypeAlias = Literal["single", "double"]
Halo: TypeAlias = Literal["refetched", "kept"]
Allocation: TypeAlias = Literal["even", "uneven"]
_WHOLE: tuple[type, ...] = (int, np.integer)


@dataclass(frozen=True, slots=True)
class TileNest:
    """A loop nest with numbers, in the form of a grouped convolution.

    A GEMM ``C[M, N] += A[M, K] B[K, N]`` has ``out_rows = M``, ``out_channels = N`` and
    ``in_channels = K``: A is the input, B the weight. A batched GEMM has its batch as `groups`; a
    depthwise convolution has one channel in and out of each of its `groups`.

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
        For every extent that is no whole number from 1 on.
    """

    out_rows: int = 1
    out_columns: int = 1
    out_channels: int = 1
    in_channels: int = 1
    kernel_rows: int = 1
    kernel_columns: int = 1
    row_stride: int = 1
    column_stride: int = 1
    groups: int = 1
    batch: int = 1
    row_dilation: int = 1
    column_dilation: int = 1

    def __post_init__(self) -> None:
        bad: list[tuple[str, Any]] = []
        for field in fields(self):
            value: Any = getattr(self, field.name)
            if not isinstance(value, _WHOLE) or value < 1:
                bad.append((field.name, value))
        if bad:
            whole = "a whole number from 1 on"
            raise InputError([Fault(f"{n} is {v}", path=n, expected=whole) for n, v in bad])

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all groups."""
        return (
            self.groups * self.batch * self.out_rows * self.out_columns * self.out_channels
            * self.in_channels * self.kernel_rows * self.kernel_columns
        )  # fmt: skip

    @property
    def is_gemm(self) -> bool:
        """Whether rows are independent: a GEMM, or a convolution of one tap and no stride."""
        taps = self.kernel_rows * self.kernel_columns
        return taps == 1 and self.row_stride == 1 and self.column_stride == 1


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

    input: float = 1.0
    weight: float = 1.0
    output: float = 1.0
    partial: float = 4.0


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
                    Fault(f"unknown value '{value}'", path=name,
                          expected=f"one of {', '.join(known)}",
                          suggestion=nearest(str(value), known))
                )  # fmt: skip
        if faults:
            raise InputError(faults)

    def __str__(self) -> str:
        return f"{self.buffering}-buffered, halo {self.halo}, {self.allocation} tiles"
