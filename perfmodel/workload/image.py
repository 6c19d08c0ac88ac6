"""What image networks share: free dimensions, normalised convolutions, squeeze and excitation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from pydantic import Field

from perfmodel.frozen import FrozenModel
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.graph import Tensor
from perfmodel.workload.symbols import Dim, simplify, symbol


class ImageStructure(FrozenModel):
    """What every image classifier has.

    Attributes
    ----------
    classes
        Outputs of the classifier.
    image_channels
        Channels of the input image.
    batch_norm
        ``separate``: a scale and shift after each convolution, as trained and as parameters are
        published; ``folded``: merged into the convolution's weights and bias, as deployed.
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
        """Declare the input ``(batch, channels, height, width)``, all but the channels free."""
        shape = (symbol("batch"), channels, symbol("height"), symbol("width"))
        return self.input("image", shape)

    def conv_norm(
        self, x: Tensor, channels: Dim, kernel: int | Sequence[int], *,
        stride: int | Sequence[int] = 1, groups: Dim = 1, activation: str = "",
        name: str = "conv", padding: int | Sequence[int] | str | None = None, bias: bool = False,
        dilation: int = 1,
    ) -> Tensor:  # fmt: skip
        """Add convolution, batch normalisation and activation; `padding` keeps the size by default.

        A folded normalisation leaves the convolution a bias.
        """
        pads = _half(kernel, dilation) if padding is None else padding
        y = self.conv(
            x, channels, kernel, stride=stride, padding=pads, groups=groups, dilation=dilation,
            bias=bias or self.folded, name=name,
        )  # fmt: skip
        if not self.folded:
            y = self.norm(y, "batch_norm", name=f"{name}.norm")
        return self.elementwise(activation, y, name=f"{name}.{activation}") if activation else y

    def squeeze_excite(
        self, x: Tensor, squeezed: Dim, *, activation: str, gate: str, name: str = "se"
    ) -> Tensor:
        """Add squeeze and excitation: pooled channels scale their own maps (Hu et al. 2018)."""
        pooled = self.global_pool(x, name=f"{name}.pool", keep=True)
        hidden = self.conv(pooled, squeezed, 1, name=f"{name}.reduce")
        hidden = self.elementwise(activation, hidden, name=f"{name}.{activation}")
        scale = self.conv(hidden, x.shape[1], 1, name=f"{name}.expand")
        scale = self.elementwise(gate, scale, name=f"{name}.{gate}")
        return self.elementwise("mul", x, scale, name=f"{name}.scale")

    def concat(self, parts: Sequence[Tensor], name: str) -> Tensor:
        """Concatenate over channels; a single part is itself."""
        if len(parts) == 1:
            return parts[0]
        channels: Dim = 0
        for part in parts:
            channels = channels + part.shape[1]
        batch, _, *size = parts[0].shape
        return self.copy(parts, (batch, simplify(channels), *size), name=name)


def _half(kernel: int | Sequence[int], dilation: int) -> int | tuple[int, ...]:
    if isinstance(kernel, int):
        return dilation * (kernel - 1) // 2
    return tuple(dilation * (k - 1) // 2 for k in kernel)


def frames(structure: Any) -> tuple[str, Dim]:
    """Return what a run of an image network yields: one frame an image of the batch."""
    return "frames", symbol("batch")


def images(height: float, width: float, **more: float) -> Callable[[Any], dict[str, float]]:
    """Return what gives the free dimensions of an image network, whatever its structure.

    Parameters
    ----------
    height, width
        Defaults of an image's sides.
    **more
        Further free dimensions, and their defaults.
    """
    return partial(_defaults, {"batch": 1, "height": height, "width": width, **more})


def _defaults(free: dict[str, float], structure: Any) -> dict[str, float]:
    del structure
    return dict(free)
