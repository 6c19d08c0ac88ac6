"""Family ``inception``: Inception-v2 and v3 (Szegedy et al. 2016, arXiv:1512.00567), v4.

Layers and names follow torchvision, without the auxiliary classifier, which only training runs;
v2 follows TensorFlow-Slim; v4 and Inception-ResNet-v2 (arXiv:1602.07261) are in `inception_v4`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images

#: A convolution of a branch: channels, kernel, stride, padding (None keeps the size).
Layer = tuple[int, int | tuple[int, int], int, int | None]


class InceptionStructure(ImageStructure):
    """Shape of an Inception network.

    Attributes
    ----------
    version
        ``v2``, ``v3``, ``v4`` or ``resnet_v2``.
    """

    version: Literal["v2", "v3", "v4", "resnet_v2"] = "v3"


class InceptionBuilder(ImageBuilder):
    """The builder with branches side by side."""

    def chain(self, x: Tensor, layers: Sequence[Layer], name: str) -> Tensor:
        """Add convolutions, each with normalisation and ReLU, one after the other."""
        for i, (channels, kernel, stride, padding) in enumerate(layers):
            x = self.conv_norm(
                x, channels, kernel, stride=stride, padding=padding, activation="relu",
                name=f"{name}.{i + 1}" if len(layers) > 1 else name,
            )  # fmt: skip
        return x

    def mixed(
        self, x: Tensor, name: str, branches: Sequence[Sequence[Layer]], pooled: int
    ) -> Tensor:
        """Add branches and one of average pooling and a 1x1 convolution, concatenated."""
        parts = [self.chain(x, layers, f"{name}.b{i + 1}") for i, layers in enumerate(branches)]
        y = self.pool(x, 3, stride=1, padding=1, name=f"{name}.pool")
        parts.append(self.chain(y, [keep(pooled)], f"{name}.pooled"))
        return self.concat(parts, name)

    def reduced(
        self, x: Tensor, name: str, branches: Sequence[Sequence[Layer]], padding: int = 0
    ) -> Tensor:
        """Add branches that halve height and width, and one of maximum pooling, concatenated."""
        parts = [self.chain(x, layers, f"{name}.b{i + 1}") for i, layers in enumerate(branches)]
        parts.append(self.pool(x, 3, stride=2, padding=padding, name=f"{name}.pool"))
        return self.concat(parts, name)

    def expanded(self, x: Tensor, name: str) -> Tensor:
        """Add a block whose last convolutions split into a 1x3 and a 3x1."""
        parts = [self.chain(x, [keep(320)], f"{name}.b1")]
        for branch, layers in (("b2", [keep(384)]), ("b3", [keep(448), keep(384, 3)])):
            y = self.chain(x, layers, f"{name}.{branch}")
            halves = [
                self.chain(y, [keep(384, kernel)], f"{name}.{branch}.{side}")
                for side, kernel in (("row", (1, 3)), ("column", (3, 1)))
            ]
            parts.append(self.concat(halves, f"{name}.{branch}.concat"))
        y = self.pool(x, 3, stride=1, padding=1, name=f"{name}.pool")
        parts.append(self.chain(y, [keep(192)], f"{name}.pooled"))
        return self.concat(parts, name)


def keep(channels: int, kernel: int | tuple[int, int] = 1) -> Layer:
    """Return a convolution that keeps height and width."""
    return channels, kernel, 1, None


def halve(channels: int) -> Layer:
    """Return a 3x3 convolution that halves height and width."""
    return channels, 3, 2, 0


#: The two factors of a 7x7 convolution.
ROW, COLUMN = (1, 7), (7, 1)


def build(structure: InceptionStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    from perfmodel.workload.inception_v4 import inception_resnet_v2, inception_v4

    g = InceptionBuilder("inception", folded=s.batch_norm == "folded")
    bodies: dict[str, Callable[[InceptionBuilder, Tensor], Tensor]] = {
        "v2": _v2, "v3": _v3, "v4": inception_v4, "resnet_v2": inception_resnet_v2,
    }  # fmt: skip
    x = bodies[s.version](g, g.image(s.image_channels))
    x = g.global_pool(x, name="avgpool")
    g.output(g.linear(x, s.classes, name="fc", tag="head"))
    return g.build(parameters(s))


#: Inception-v2: name, channels of the 1x1, 3x3 and double 3x3 branches and after the pool.
_V2_MIXED = (
    ("3b", 64, (64, 64), (64, 96), 32), ("3c", 64, (64, 96), (64, 96), 64),
    ("4a", 0, (128, 160), (64, 96), 0), ("4b", 224, (64, 96), (96, 128), 128),
    ("4c", 192, (96, 128), (96, 128), 128), ("4d", 160, (128, 160), (128, 160), 96),
    ("4e", 96, (128, 192), (160, 192), 96), ("5a", 0, (128, 192), (192, 256), 0),
    ("5b", 352, (192, 320), (160, 224), 128), ("5c", 352, (192, 320), (192, 224), 128),
)  # fmt: skip


def _v2(g: InceptionBuilder, image: Tensor) -> Tensor:
    """Add Inception-v2; its first convolution is separable, eight depthwise filters a channel."""
    x = g.conv(image, 24, 7, stride=2, padding=3, groups=3, bias=False, name="stem1.depthwise")
    x = g.conv_norm(x, 64, 1, activation="relu", name="stem1.pointwise")
    x = g.pool(x, 3, stride=2, padding=1, name="pool1")
    x = g.chain(x, [keep(64), keep(192, 3)], "stem2")
    x = g.pool(x, 3, stride=2, padding=1, name="pool2")
    for name, alone, once, twice, pooled in _V2_MIXED:
        (a, b), (c, d) = once, twice
        if alone:
            branches = [[keep(alone)], [keep(a), keep(b, 3)], [keep(c), keep(d, 3), keep(d, 3)]]
            x = g.mixed(x, f"mixed{name}", branches, pooled)
            continue
        half: Layer = (b, 3, 2, 1)
        branches = [[keep(a), half], [keep(c), keep(d, 3), (d, 3, 2, 1)]]
        x = g.reduced(x, f"mixed{name}", branches, padding=1)
    return x


def stem_v3(g: InceptionBuilder, image: Tensor) -> Tensor:
    """Add the stem of Inception-v3, which Inception-ResNet-v2 has as well."""
    x = g.chain(image, [(32, 3, 2, 0), (32, 3, 1, 0), keep(64, 3)], "stem1")
    x = g.pool(x, 3, stride=2, name="pool1")
    x = g.chain(x, [keep(80), (192, 3, 1, 0)], "stem2")
    return g.pool(x, 3, stride=2, name="pool2")


def _v3(g: InceptionBuilder, image: Tensor) -> Tensor:
    """Add Inception-v3."""
    x = stem_v3(g, image)
    for name, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
        branches = [
            [keep(64)],
            [keep(48), keep(64, 5)],
            [keep(64), keep(96, 3), keep(96, 3)],
        ]
        x = g.mixed(x, f"mixed{name}", branches, pooled)
    x = g.reduced(x, "mixed6a", [[halve(384)], [keep(64), keep(96, 3), halve(96)]])
    for name, inner in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        once = [keep(inner), keep(inner, ROW), keep(192, COLUMN)]
        twice = [
            keep(inner), keep(inner, COLUMN), keep(inner, ROW), keep(inner, COLUMN),
            keep(192, ROW),
        ]  # fmt: skip
        x = g.mixed(x, f"mixed{name}", [[keep(192)], once, twice], 192)
    x = g.reduced(
        x, "mixed7a",
        [[keep(192), halve(320)],
         [keep(192), keep(192, ROW), keep(192, COLUMN), halve(192)]],
    )  # fmt: skip
    for name in ("7b", "7c"):
        x = g.expanded(x, f"mixed{name}")
    return x


parameters = images(299, 299)

FAMILY_INCEPTION = Family("inception", InceptionStructure, parameters, build, frames)
