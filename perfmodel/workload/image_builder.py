"""Builder of image networks: normalised convolutions and squeeze-excitation as single calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from perfmodel.frozen_model import FrozenModel
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.graph import Tensor
from perfmodel.workload.symbols import Dim, symbol


class ImageStructure(FrozenModel):
    """Structure common to all image classifiers.

    Attributes
    ----------
    classes
        Number of outputs of the classifier.
    image_channels
        Channels of the input image.
    batch_norm
        ``separate``: a scale and a shift after each convolution, as trained and as in published
        parameter counts; ``folded``: merged into the convolution's weights and bias, as deployed.
    """

    classes: int = Field(1000, gt=0, le=10**7)
    image_channels: int = Field(3, gt=0, le=10**4)
    batch_norm: Literal["separate", "folded"] = "separate"


class ImageBuilder(GraphBuilder):
    """A `GraphBuilder` with the compound layers of image networks."""

    def __init__(self, name: str, *, folded: bool = False) -> None:
        super().__init__(name)
        self.folded = folded

    def image(self, channels: int) -> Tensor:
        """Declare the input ``(batch, channels, height, width)``; only the channels are fixed."""
        shape = (symbol("batch"), channels, symbol("height"), symbol("width"))
        return self.input("image", shape)

    def conv_norm(
        self,
        x: Tensor,
        channels: Dim,
        kernel: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        groups: Dim = 1,
        activation: str = "",
        name: str = "conv",
        padding: int | Sequence[int] | str | None = None,
        bias: bool = False,
        dilation: int = 1,
    ) -> Tensor:
        """Add convolution, batch normalisation and activation; default padding preserves the size.

        Folding the normalisation adds a bias to the convolution.
        """
        pads = _half(kernel, dilation) if padding is None else padding
        y = self.conv(
            x,
            channels,
            kernel,
            stride=stride,
            padding=pads,
            groups=groups,
            dilation=dilation,
            bias=bias or self.folded,
            name=name,
        )
        if not self.folded:
            y = self.norm(y, "batch_norm", name=f"{name}.norm")
        return self.elementwise(activation, y, name=f"{name}.{activation}") if activation else y

    def squeeze_excite(
        self, x: Tensor, channels: Dim, *, activation: str, gate: str, name: str = "se"
    ) -> Tensor:
        """Add squeeze-and-excitation: globally pooled channels scale the maps (Hu et al. 2018)."""
        pooled = self.global_pool(x, name=f"{name}.pool", keep=True)
        hidden = self.conv(pooled, channels, 1, name=f"{name}.reduce")
        hidden = self.elementwise(activation, hidden, name=f"{name}.{activation}")
        scale = self.conv(hidden, x.shape[1], 1, name=f"{name}.expand")
        scale = self.elementwise(gate, scale, name=f"{name}.{gate}")
        return self.elementwise("mul", x, scale, name=f"{name}.scale")


def _half(kernel: int | Sequence[int], dilation: int) -> int | tuple[int, ...]:
    if isinstance(kernel, int):
        return dilation * (kernel - 1) // 2
    return tuple(dilation * (k - 1) // 2 for k in kernel)
