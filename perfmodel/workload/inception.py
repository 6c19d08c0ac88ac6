"""Family ``inception``: Inception-v3 (Szegedy et al. 2016, arXiv:1512.00567).

Layers and names follow torchvision, without the auxiliary classifier, which only training runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.workload.families import Family, Semantics
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames

#: A convolution of a branch: channels, kernel, stride, padding (None keeps the size).
Layer = tuple[int, int | tuple[int, int], int, int | None]


class InceptionStructure(ImageStructure):
    """Shape of an Inception-v3: nothing but classes, channels of the image and normalisation."""


class _Builder(ImageBuilder):
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
        parts.append(self.chain(y, [_keep(pooled)], f"{name}.pooled"))
        return self.concat(parts, name)

    def reduced(self, x: Tensor, name: str, branches: Sequence[Sequence[Layer]]) -> Tensor:
        """Add branches that halve height and width, and one of maximum pooling, concatenated."""
        parts = [self.chain(x, layers, f"{name}.b{i + 1}") for i, layers in enumerate(branches)]
        parts.append(self.pool(x, 3, stride=2, name=f"{name}.pool"))
        return self.concat(parts, name)

    def expanded(self, x: Tensor, name: str) -> Tensor:
        """Add a block whose last convolutions split into a 1x3 and a 3x1."""
        parts = [self.chain(x, [_keep(320)], f"{name}.b1")]
        for branch, layers in (("b2", [_keep(384)]), ("b3", [_keep(448), _keep(384, 3)])):
            y = self.chain(x, layers, f"{name}.{branch}")
            halves = [
                self.chain(y, [_keep(384, kernel)], f"{name}.{branch}.{side}")
                for side, kernel in (("row", (1, 3)), ("column", (3, 1)))
            ]
            parts.append(self.concat(halves, f"{name}.{branch}.concat"))
        y = self.pool(x, 3, stride=1, padding=1, name=f"{name}.pool")
        parts.append(self.chain(y, [_keep(192)], f"{name}.pooled"))
        return self.concat(parts, name)


def _keep(channels: int, kernel: int | tuple[int, int] = 1) -> Layer:
    return channels, kernel, 1, None


def _halve(channels: int) -> Layer:
    return channels, 3, 2, 0


_ROW, _COLUMN = (1, 7), (7, 1)


def build(structure: InceptionStructure, semantics: Semantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = _Builder("inception", folded=s.batch_norm == "folded")
    x = g.chain(g.image(s.image_channels), [(32, 3, 2, 0), (32, 3, 1, 0), _keep(64, 3)], "stem1")
    x = g.pool(x, 3, stride=2, name="pool1")
    x = g.chain(x, [_keep(80), (192, 3, 1, 0)], "stem2")
    x = g.pool(x, 3, stride=2, name="pool2")
    for name, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
        branches = [
            [_keep(64)],
            [_keep(48), _keep(64, 5)],
            [_keep(64), _keep(96, 3), _keep(96, 3)],
        ]
        x = g.mixed(x, f"mixed{name}", branches, pooled)
    x = g.reduced(x, "mixed6a", [[_halve(384)], [_keep(64), _keep(96, 3), _halve(96)]])
    for name, inner in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        once = [_keep(inner), _keep(inner, _ROW), _keep(192, _COLUMN)]
        twice = [
            _keep(inner), _keep(inner, _COLUMN), _keep(inner, _ROW), _keep(inner, _COLUMN),
            _keep(192, _ROW),
        ]  # fmt: skip
        x = g.mixed(x, f"mixed{name}", [[_keep(192)], once, twice], 192)
    x = g.reduced(
        x, "mixed7a",
        [[_keep(192), _halve(320)],
         [_keep(192), _keep(192, _ROW), _keep(192, _COLUMN), _halve(192)]],
    )  # fmt: skip
    for name in ("7b", "7c"):
        x = g.expanded(x, f"mixed{name}")
    x = g.global_pool(x, name="avgpool")
    g.output(g.linear(x, s.classes, name="fc", tag="head"))
    return g.build(parameters(s))


def parameters(structure: InceptionStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    del structure
    return {"batch": 1, "height": 299, "width": 299}


FAMILY_INCEPTION = Family("inception", InceptionStructure, parameters, build, frames)
