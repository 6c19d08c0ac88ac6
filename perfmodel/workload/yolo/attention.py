"""Attention over pixels in YOLOv10 and YOLO11 (arXiv:2405.14458)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from perfmodel.workload.graph import Tensor
from perfmodel.workload.symbols import product
from perfmodel.workload.yolo.builder import Block, YoloBuilder
from perfmodel.workload.yolo.rows import YoloRow


def _psa(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    """Half of the channels through attention over pixels and a feed-forward."""
    inner = c // 2
    y = g.unit(xs[0], 2 * inner, 1, name=f"{name}.cv1")
    a, b = g.part(y, inner, f"{name}.kept"), g.part(y, inner, f"{name}.half")
    for i in range(n):
        z = _attention(g, b, inner, f"{name}.{i}.attn")
        b = g.elementwise("add", b, z, name=f"{name}.{i}.add1")
        z = g.unit(b, 2 * inner, 1, name=f"{name}.{i}.ffn1")
        z = g.unit(z, inner, 1, act=False, name=f"{name}.{i}.ffn2")
        b = g.elementwise("add", b, z, name=f"{name}.{i}.add2")
    return g.unit(g.concat([a, b], f"{name}.cat"), c, 1, name=f"{name}.cv2")


def _attention(g: YoloBuilder, x: Tensor, c: int, name: str) -> Tensor:
    """Attention with heads of 64 values and 32 keys, and a depthwise encoding of positions."""
    batch, _, height, width = x.shape
    heads = max(c // 64, 1)
    values, keys, pixels = c // heads, c // heads // 2, product(height, width)
    qkv = g.unit(x, c + 2 * heads * keys, 1, act=False, name=f"{name}.qkv")

    def head(size: int, shape: tuple[object, ...], what: str) -> Tensor:
        part = g.part(qkv, heads * size, f"{name}.{what}")
        return g.view(part, (product(batch, heads), *shape), name=f"{name}.{what}.view")  # type: ignore[arg-type]

    q, k = head(keys, (pixels, keys), "q"), head(keys, (keys, pixels), "k")
    scores = g.softmax(g.matmul(q, k, name=f"{name}.qk"), name=f"{name}.softmax")
    v = head(values, (pixels, values), "v")
    y = g.matmul(scores, v, name=f"{name}.av")
    y = g.view(y, (batch, c, height, width), name=f"{name}.merge")
    image = g.view(v, (batch, c, height, width), name=f"{name}.image")
    place = g.unit(image, c, 3, groups=c, act=False, name=f"{name}.pe")
    y = g.elementwise("add", y, place, name=f"{name}.add")
    return g.unit(y, c, 1, act=False, name=f"{name}.proj")


ATTENTION: Final[Mapping[str, Block]] = {"psa": _psa}
