"""Blocks of the YOLO detectors, each a function of the builder, its inputs and its row.

Sources: YOLOv3 (arXiv:1804.02767), YOLOv4 (2004.10934), YOLOX (2107.08430), YOLOv6 (2209.02976),
YOLOv7 (2207.02696), YOLOv9 (2402.13616), YOLOv10 (2405.14458), and Ultralytics' modules of the same
names. Re-parametrised blocks are built as deployed: one convolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from perfmodel.workload.graph import Tensor
from perfmodel.workload.yolo.attention import ATTENTION
from perfmodel.workload.yolo.builder import Block, YoloBuilder, width_of
from perfmodel.workload.yolo.partial_stages import STAGES
from perfmodel.workload.yolo.pyramids import PYRAMIDS
from perfmodel.workload.yolo.rows import YoloRow


def _conv(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    o, x = row.options, xs[0]
    for i in range(n):
        x = g.unit(
            x, c, int(o.get("k", 1)), stride=int(o.get("s", 1)) if i == 0 else 1,
            groups=width_of(x) if o.get("dw") else 1, act=not o.get("plain"),
            name=f"{name}.{i}" if n > 1 else name,
            padding=int(o["p"]) if "p" in o else None,
            activation="leaky_relu" if o.get("leaky") else None,
        )  # fmt: skip
    return x


def _separable(
    g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str
) -> Tensor:
    x, k, s = xs[0], int(row.options.get("k", 3)), int(row.options.get("s", 1))
    for i in range(n):
        y = g.unit(x, width_of(x), k, stride=s, groups=width_of(x), name=f"{name}.{i}.depthwise")
        x = g.unit(y, c, 1, name=f"{name}.{i}.pointwise")
    return x


def _focus(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    """Four interleaved quarters of the image side by side, then a convolution."""
    x = xs[0]
    batch, channels, height, width = x.shape
    y = g.copy([x], (batch, channels * 4, height / 2, width / 2), name=f"{name}.slices")
    return g.unit(y, c, int(row.options.get("k", 3)), name=f"{name}.conv")


def _up(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    x = xs[0]
    return g.resize(x, tuple(2 * size for size in x.shape[2:]), name=name, ops=0)


def _deconv(
    g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str
) -> Tensor:
    return g.conv(xs[0], c, 2, stride=2, transposed=True, name=name)


def _cat(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    return g.concat(xs, name)


def _pool(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    k, s = int(row.options.get("k", 2)), int(row.options.get("s", 2))
    padding = "same" if s == 1 else (k - 1) // 2
    return g.pool(xs[0], k, stride=s, padding=padding, name=name)


def _side(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    """Take the second half of the channels."""
    return g.part(xs[0], width_of(xs[0]) // 2, name)


def _mp(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    """Halve the image twice, by a maximum and by a stride; further inputs are concatenated."""
    x = xs[0]
    a = g.unit(g.pool(x, 2, stride=2, name=f"{name}.pool"), c, 1, name=f"{name}.cv1")
    b = g.unit(g.unit(x, c, 1, name=f"{name}.cv2"), c, 3, stride=2, name=f"{name}.cv3")
    return g.concat([b, a, *xs[1:]], f"{name}.cat")


def _adown(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    x = g.pool(xs[0], 2, stride=1, padding=0, name=f"{name}.avg")
    half = width_of(x) // 2
    a = g.unit(g.part(x, half, f"{name}.half1"), c // 2, 3, stride=2, name=f"{name}.cv1")
    b = g.pool(g.part(x, half, f"{name}.half2"), 3, stride=2, padding=1, name=f"{name}.max")
    return g.concat([a, g.unit(b, c // 2, 1, name=f"{name}.cv2")], f"{name}.cat")


def _sc_down(
    g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str
) -> Tensor:
    y = g.unit(xs[0], c, 1, name=f"{name}.cv1")
    return g.unit(y, c, 3, stride=2, groups=c, act=False, name=f"{name}.cv2")


BLOCKS: Final[Mapping[str, Block]] = {
    "conv": _conv, "separable": _separable, "focus": _focus, "up": _up, "deconv": _deconv,
    "cat": _cat, "pool": _pool, "side": _side, "mp": _mp, "adown": _adown, "sc_down": _sc_down,
    **STAGES, **PYRAMIDS, **ATTENTION,
}  # fmt: skip
