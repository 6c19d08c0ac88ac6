"""The builder of the YOLO detectors, and what a block is to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from perfmodel.workload.graph import Tensor
from perfmodel.workload.image import ImageBuilder
from perfmodel.workload.symbols import product
from perfmodel.workload.yolo.rows import YoloRow


class YoloBuilder(ImageBuilder):
    """A builder that knows the network's activation."""

    def __init__(self, name: str, *, folded: bool, activation: str) -> None:
        super().__init__(name, folded=folded)
        self.activation = activation

    def unit(
        self, x: Tensor, channels: int, kernel: int | tuple[int, int] = 1, *, stride: int = 1,
        groups: int = 1, act: bool = True, name: str, activation: str | None = None,
        padding: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Add convolution, normalisation and the network's activation."""
        function = (self.activation if activation is None else activation) if act else ""
        return self.conv_norm(
            x, channels, kernel, stride=stride, groups=groups, activation=function, name=name,
            padding=padding,
        )  # fmt: skip

    def part(self, x: Tensor, channels: int, name: str) -> Tensor:
        """Take some channels of a tensor: a view, as deployed."""
        batch, _, *size = x.shape
        return self.copy(
            [x], (batch, channels, *size), name=name, read=[product(batch, channels, *size)]
        )


#: Builder, inputs, channels, repetitions, row and name -> output.
Block: TypeAlias = Callable[[YoloBuilder, Sequence[Tensor], int, int, YoloRow, str], Tensor]


def width_of(x: Tensor) -> int:
    """Return the channels of a tensor of this family, which are numbers."""
    return int(x.shape[1])  # pyright: ignore[reportArgumentType]
