"""Inception-v4 and Inception-ResNet-v2 (Szegedy et al. 2017, arXiv:1602.07261)."""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.workload.graph import Tensor
from perfmodel.workload.inception import COLUMN, ROW, InceptionBuilder, Layer, halve, keep, stem_v3


def inception_v4(g: InceptionBuilder, image: Tensor) -> Tensor:
    """Add Inception-v4."""
    x = g.chain(image, [(32, 3, 2, 0), (32, 3, 1, 0), keep(64, 3)], "stem")
    x = g.reduced(x, "mixed3a", [[halve(96)]])
    narrow: Layer = (96, 3, 1, 0)
    branches = [
        [keep(64), narrow],
        [keep(64), keep(64, ROW), keep(64, COLUMN), narrow],
    ]
    parts = [g.chain(x, layers, f"mixed4a.b{i + 1}") for i, layers in enumerate(branches)]
    x = g.reduced(g.concat(parts, "mixed4a"), "mixed5a", [[halve(192)]])
    for i in range(4):
        branches = [[keep(96)], [keep(64), keep(96, 3)], [keep(64), keep(96, 3), keep(96, 3)]]
        x = g.mixed(x, f"a{i + 1}", branches, 96)
    x = g.reduced(x, "reduction_a", [[halve(384)], [keep(192), keep(224, 3), halve(256)]])
    for i in range(7):
        once = [keep(192), keep(224, ROW), keep(256, COLUMN)]
        twice = [keep(192), keep(192, COLUMN), keep(224, ROW), keep(224, COLUMN), keep(256, ROW)]
        x = g.mixed(x, f"b{i + 1}", [[keep(384)], once, twice], 128)
    x = g.reduced(
        x, "reduction_b",
        [[keep(192), halve(192)], [keep(256), keep(256, ROW), keep(320, COLUMN), halve(320)]],
    )  # fmt: skip
    for i in range(3):
        x = _wide(g, x, f"c{i + 1}")
    return x


def _wide(g: InceptionBuilder, x: Tensor, name: str) -> Tensor:
    """Add a block whose branches end in a 1x3 and a 3x1 side by side."""
    parts = [g.chain(x, [keep(256)], f"{name}.b1")]
    for branch, layers in (
        ("b2", [keep(384)]),
        ("b3", [keep(384), keep(448, (3, 1)), keep(512, (1, 3))]),
    ):
        y = g.chain(x, layers, f"{name}.{branch}")
        parts += [
            g.chain(y, [keep(256, kernel)], f"{name}.{branch}.{side}")
            for side, kernel in (("row", (1, 3)), ("column", (3, 1)))
        ]
    y = g.pool(x, 3, stride=1, padding=1, name=f"{name}.pool")
    parts.append(g.chain(y, [keep(256)], f"{name}.pooled"))
    return g.concat(parts, name)


def inception_resnet_v2(g: InceptionBuilder, image: Tensor) -> Tensor:
    """Add Inception-ResNet-v2."""
    x = stem_v3(g, image)
    branches = [[keep(96)], [keep(48), keep(64, 5)], [keep(64), keep(96, 3), keep(96, 3)]]
    x = g.mixed(x, "mixed5b", branches, 64)
    with g.repeat(10, "block35"):
        x = _residual(
            g, x, [[keep(32)], [keep(32), keep(32, 3)], [keep(32), keep(48, 3), keep(64, 3)]]
        )
    x = g.reduced(x, "mixed6a", [[halve(384)], [keep(256), keep(256, 3), halve(384)]])
    with g.repeat(20, "block17"):
        x = _residual(g, x, [[keep(192)], [keep(128), keep(160, ROW), keep(192, COLUMN)]])
    x = g.reduced(
        x, "mixed7a",
        [[keep(256), halve(384)], [keep(256), halve(288)], [keep(256), keep(288, 3), halve(320)]],
    )  # fmt: skip
    with g.repeat(10, "block8"):
        x = _residual(g, x, [[keep(192)], [keep(192), keep(224, (1, 3)), keep(256, (3, 1))]])
    return g.chain(x, [keep(1536)], "last")


def _residual(g: InceptionBuilder, x: Tensor, branches: Sequence[Sequence[Layer]]) -> Tensor:
    """Add branches, projected, scaled and added to their input."""
    parts = [g.chain(x, layers, f"b{i + 1}") for i, layers in enumerate(branches)]
    y = g.conv(g.concat(parts, "concat"), x.shape[1], 1, name="project")
    y = g.elementwise("add", y, x, name="add", ops=2)
    return g.elementwise("relu", y, name="relu")
