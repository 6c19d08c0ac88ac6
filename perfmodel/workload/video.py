"""Family ``video``: networks over clips: R3D, mixed convolutions, R(2+1)D and S3D.

Tran et al. 2018 (arXiv:1711.11248) and Xie et al. 2018 (arXiv:1712.04851) split a convolution over
time and space into one over space and one over time. Layers and names follow torchvision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure
from perfmodel.workload.symbols import Dim, symbol

_Count = Annotated[int, Field(gt=0, le=1000)]

#: S3D's blocks: channels of the 1x1 branch, of the two separable branches (in and out), and of the
#: pooled one (Szegedy et al. 2015, table 1: those of Inception-v1).
_S3D: tuple[tuple[tuple[int, int, int, int, int, int], ...], ...] = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)  # fmt: skip


class VideoStructure(ImageStructure):
    """Shape of a network over clips.

    Attributes
    ----------
    network
        ``r3d``: residual, 3x3x3 convolutions; ``mc3``: those in the first stage alone, then over
        space; ``r2plus1d``: residual, split; ``s3d``: Inception-v1 with separable convolutions.
    depths
        Blocks in each stage of a residual network.
    """

    network: Literal["r3d", "mc3", "r2plus1d", "s3d"]
    depths: Annotated[tuple[_Count, ...], Field(min_length=1, max_length=8)] = (2, 2, 2, 2)
    classes: int = Field(400, gt=0, le=10**7)

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield fields that a network does not have."""
        given = data.get("depths", (2, 2, 2, 2))
        same = isinstance(given, list | tuple) and tuple(cast("Sequence[Any]", given)) == (2,) * 4
        if data.get("network") == "s3d" and not same:
            yield Flaw(("depths",), "S3D's blocks are fixed", "network: r2plus1d")


class _VideoBuilder(ImageBuilder):
    """The builder with convolutions split over space and time."""

    def split(
        self, x: Tensor, middle: Dim, channels: Dim, kernel: int, stride: tuple[int, int],
        name: str, *, last: str = "relu", deep: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Add a convolution over space, then one over time; `stride` is (time, space).

        `deep` is the kernel over time where it differs; `last` the activation at the end.
        """
        time, space = stride
        x = self.conv_norm(
            x, middle, (1, kernel, kernel), stride=(1, space, space), activation="relu",
            name=f"{name}.space",
        )  # fmt: skip
        return self.conv_norm(
            x, channels, (deep or kernel, 1, 1), stride=(time, 1, 1), activation=last,
            name=f"{name}.time",
        )  # fmt: skip

    def residual(self, x: Tensor, channels: int, stride: int, name: str) -> Tensor:
        """Add a block of two split convolutions and a shortcut."""
        inputs = x.shape[1]
        # As many parameters as the 3x3x3 convolution that the first pair replaces; the second pair
        # has the same middle in torchvision.
        if not isinstance(inputs, int):
            raise TypeError("channels of a video network are whole numbers")
        middle = inputs * channels * 27 // (inputs * 9 + 3 * channels)
        y = self.split(x, middle, channels, 3, (stride, stride), f"{name}.conv1")
        y = self.split(y, middle, channels, 3, (1, 1), f"{name}.conv2", last="")
        if stride != 1 or inputs != channels:
            x = self.conv_norm(x, channels, (1, 1, 1), stride=(stride,) * 3, name=f"{name}.down")
        y = self.elementwise("add", y, x, name=f"{name}.add")
        return self.elementwise("relu", y, name=f"{name}.relu")

    def mixed(self, x: Tensor, widths: tuple[int, int, int, int, int, int], name: str) -> Tensor:
        """Add four branches side by side, concatenated."""
        one, in2, out2, in3, out3, pooled = widths
        point = (1, 1, 1)
        parts = [self.conv_norm(x, one, point, activation="relu", name=f"{name}.b1")]
        for branch, inner, outer in (("b2", in2, out2), ("b3", in3, out3)):
            y = self.conv_norm(x, inner, point, activation="relu", name=f"{name}.{branch}.1")
            parts.append(self.split(y, outer, outer, 3, (1, 1), f"{name}.{branch}.2"))
        y = self.pool(x, 3, stride=1, padding=1, name=f"{name}.pool")
        parts.append(self.conv_norm(y, pooled, point, activation="relu", name=f"{name}.b4"))
        return self.concat(parts, name)


def build(structure: VideoStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = _VideoBuilder("video", folded=s.batch_norm == "folded")
    shape = (symbol("batch"), s.image_channels, *map(symbol, ("frames", "height", "width")))
    x = g.input("clip", shape)
    bodies = {"r3d": _full, "mc3": _full, "r2plus1d": _r2plus1d, "s3d": _s3d}
    g.output(bodies[s.network](g, x, s))
    return g.build(parameters(s))


def _full(g: _VideoBuilder, x: Tensor, s: VideoStructure) -> Tensor:
    """Add a residual network of unsplit convolutions."""
    x = g.conv_norm(x, 64, (3, 7, 7), stride=(1, 2, 2), activation="relu", name="stem")
    for i, depth in enumerate(s.depths):
        deep = s.network == "r3d" or i == 0
        kernel = (3 if deep else 1, 3, 3)
        for j in range(depth):
            name, channels, halve = f"layer{i + 1}.{j}", 64 * 2**i, 2 if i and not j else 1
            stride = (halve if deep else 1, halve, halve)
            y = g.conv_norm(x, channels, kernel, stride=stride, activation="relu",
                            name=f"{name}.conv1")  # fmt: skip
            y = g.conv_norm(y, channels, kernel, name=f"{name}.conv2")
            if halve != 1 or x.shape[1] != channels:
                x = g.conv_norm(x, channels, (1, 1, 1), stride=stride, name=f"{name}.down")
            y = g.elementwise("add", y, x, name=f"{name}.add")
            x = g.elementwise("relu", y, name=f"{name}.relu")
    x = g.global_pool(x, name="avgpool")
    return g.linear(x, s.classes, name="fc", tag="head")


def _r2plus1d(g: _VideoBuilder, x: Tensor, s: VideoStructure) -> Tensor:
    x = g.split(x, 45, 64, 7, (1, 2), "stem", deep=3)
    for i, depth in enumerate(s.depths):
        for j in range(depth):
            stride = 2 if i and not j else 1
            x = g.residual(x, 64 * 2**i, stride, f"layer{i + 1}.{j}")
    x = g.global_pool(x, name="avgpool")
    return g.linear(x, s.classes, name="fc", tag="head")


def _s3d(g: _VideoBuilder, x: Tensor, s: VideoStructure) -> Tensor:
    x = g.split(x, 64, 64, 7, (2, 2), "stem1")
    x = g.pool(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), name="pool1")
    x = g.conv_norm(x, 64, (1, 1, 1), activation="relu", name="stem2")
    x = g.split(x, 192, 192, 3, (1, 1), "stem3")
    x = g.pool(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), name="pool2")
    for i, blocks in enumerate(_S3D):
        if i == 1:
            x = g.pool(x, 3, stride=2, padding=1, name="pool3")
        elif i == 2:
            x = g.pool(x, 2, stride=2, name="pool4")
        for j, widths in enumerate(blocks):
            x = g.mixed(x, widths, f"mixed{i + 3}.{j}")
    x = g.pool(x, (2, 7, 7), stride=1, name="avgpool")
    x = g.conv(x, s.classes, (1, 1, 1), name="classifier")
    return g.global_pool(x, name="mean")


def parameters(structure: VideoStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    del structure
    return {"batch": 1, "frames": 16, "height": 112, "width": 112}


def items(structure: VideoStructure) -> tuple[str, Dim]:
    """Return what a run yields: one clip for each of the batch."""
    del structure
    return "clips", symbol("batch")


FAMILY_VIDEO = Family("video", VideoStructure, parameters, build, items)
