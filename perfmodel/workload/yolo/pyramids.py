"""Blocks that set maxima over several windows side by side (spatial pyramid pooling)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from perfmodel.workload.graph import Tensor
from perfmodel.workload.yolo.builder import Block, YoloBuilder, width_of
from perfmodel.workload.yolo.rows import YoloRow


def _sppf(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    inner = int(row.options.get("inner", width_of(xs[0]) // 2))
    parts = [g.unit(xs[0], inner, 1, name=f"{name}.cv1")]
    for i in range(3):
        parts.append(g.pool(parts[-1], 5, stride=1, padding=2, name=f"{name}.pool{i}"))
    return g.unit(g.concat(parts, f"{name}.cat"), c, 1, name=f"{name}.cv2")


def pools(g: YoloBuilder, x: Tensor, name: str) -> Tensor:
    """Concatenate a tensor and its maxima over 5, 9 and 13 pixels."""
    parts = [g.pool(x, k, stride=1, padding=k // 2, name=f"{name}.pool{k}") for k in (5, 9, 13)]
    return g.concat([x, *parts], f"{name}.cat")


def _spp(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    y = g.unit(xs[0], width_of(xs[0]) // 2, 1, name=f"{name}.cv1")
    return g.unit(pools(g, y, name), c, 1, name=f"{name}.cv2")


def _pyramid(
    g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str
) -> Tensor:
    return pools(g, xs[0], name)


def _sppcspc(
    g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str
) -> Tensor:
    x = xs[0]
    y = g.unit(x, c, 1, name=f"{name}.cv1")
    y = g.unit(y, c, 3, name=f"{name}.cv3")
    y = g.unit(y, c, 1, name=f"{name}.cv4")
    y = g.unit(pools(g, y, name), c, 1, name=f"{name}.cv5")
    y = g.unit(y, c, 3, name=f"{name}.cv6")
    side = g.unit(x, c, 1, name=f"{name}.cv2")
    return g.unit(g.concat([y, side], f"{name}.join"), c, 1, name=f"{name}.cv7")


PYRAMIDS: Final[Mapping[str, Block]] = {
    "sppf": _sppf, "spp": _spp, "pyramid": _pyramid, "sppcspc": _sppcspc,
}  # fmt: skip
