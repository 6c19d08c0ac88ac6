"""Stages that send part of the channels around a chain of blocks, and join both (CSP, ELAN).

Wang et al., CSPNet (arXiv:1911.11929) and ELAN (2211.04800), as YOLOv4 to YOLO11 have them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from perfmodel.workload.graph import Tensor
from perfmodel.workload.yolo.builder import Block, YoloBuilder, width_of
from perfmodel.workload.yolo.rows import YoloRow

#: Input, channels and name -> output of a block within a stage.
Inner: TypeAlias = Callable[[Tensor, int, str], Tensor]


def bottleneck(
    g: YoloBuilder, x: Tensor, c: int, *, inner: int, kernels: tuple[int, int], add: bool, name: str
) -> Tensor:  # fmt: skip
    """Add two convolutions and, where shapes agree and it is asked for, their input."""
    y = g.unit(x, inner, kernels[0], name=f"{name}.cv1")
    y = g.unit(y, c, kernels[1], name=f"{name}.cv2")
    return g.elementwise("add", y, x, name=f"{name}.add") if add and width_of(x) == c else y


def _bottlenecks(
    g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str
) -> Tensor:
    x, add = xs[0], not row.options.get("no_add")
    for i in range(n):
        x = bottleneck(g, x, c, inner=c // 2, kernels=(1, 3), add=add, name=f"{name}.{i}")
    return x


def c3(
    g: YoloBuilder, x: Tensor, c: int, n: int, *, add: bool, kernels: tuple[int, int], name: str,
    ratio: float = 0.5,
) -> Tensor:  # fmt: skip
    """Add a CSP block of three convolutions around `n` bottlenecks."""
    inner = int(c * ratio)
    y = g.unit(x, inner, 1, name=f"{name}.cv1")
    for i in range(n):
        y = bottleneck(g, y, inner, inner=inner, kernels=kernels, add=add, name=f"{name}.m.{i}")
    side = g.unit(x, inner, 1, name=f"{name}.cv2")
    return g.unit(g.concat([y, side], f"{name}.cat"), c, 1, name=f"{name}.cv3")


def _c3(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    return c3(g, xs[0], c, n, add=bool(row.options.get("add")), kernels=(1, 3), name=name)


def _c3_dw(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    """The CSP block with separable 3x3 convolutions (YOLOX-Nano)."""
    x, inner, add = xs[0], c // 2, bool(row.options.get("add"))
    y = g.unit(x, inner, 1, name=f"{name}.cv1")
    for i in range(n):
        z = g.unit(y, inner, 1, name=f"{name}.m.{i}.cv1")
        z = g.unit(z, inner, 3, groups=inner, name=f"{name}.m.{i}.depthwise")
        z = g.unit(z, inner, 1, name=f"{name}.m.{i}.pointwise")
        y = g.elementwise("add", z, y, name=f"{name}.m.{i}.add") if add else z
    side = g.unit(x, inner, 1, name=f"{name}.cv2")
    return g.unit(g.concat([y, side], f"{name}.cat"), c, 1, name=f"{name}.cv3")


def _csp53(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    """CSPDarknet-53's stage: halves of the channels; the first stage keeps them whole."""
    x, first = xs[0], bool(row.options.get("first"))
    inner = c if first else c // 2
    side = g.unit(x, inner, 1, name=f"{name}.side")
    y = g.unit(x, inner, 1, name=f"{name}.entry")
    for i in range(n):
        y = bottleneck(
            g, y, inner, inner=c // 2 if first else inner, kernels=(1, 3), add=True,
            name=f"{name}.m.{i}",
        )  # fmt: skip
    y = g.unit(y, inner, 1, name=f"{name}.exit")
    return g.unit(g.concat([y, side], f"{name}.cat"), c, 1, name=f"{name}.join")


def _csp_tiny(
    g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str
) -> Tensor:
    """The stage of YOLOv4-tiny: half of the channels through two 3x3, all of them kept."""
    half = g.part(xs[0], c // 2, f"{name}.half")
    a = g.unit(half, c // 2, 3, name=f"{name}.cv1")
    b = g.unit(a, c // 2, 3, name=f"{name}.cv2")
    y = g.unit(g.concat([b, a], f"{name}.cat1"), c, 1, name=f"{name}.cv3")
    return g.concat([xs[0], y], f"{name}.cat2")


def _csp(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    """The first CSP block: two of its four convolutions are plain, one normalisation joins them."""
    x, inner, add = xs[0], c // 2, bool(row.options.get("add"))
    y = g.unit(x, inner, 1, name=f"{name}.cv1")
    for i in range(n):
        y = bottleneck(g, y, inner, inner=inner, kernels=(1, 3), add=add, name=f"{name}.m.{i}")
    y = g.conv(y, inner, 1, bias=False, name=f"{name}.cv3")
    side = g.conv(x, inner, 1, bias=False, name=f"{name}.cv2")
    z = g.norm(g.concat([y, side], f"{name}.cat"), "batch_norm", name=f"{name}.norm")
    z = g.elementwise("leaky_relu", z, name=f"{name}.act")
    return g.unit(z, c, 1, name=f"{name}.cv4")


def c2f(g: YoloBuilder, x: Tensor, c: int, n: int, inner: int, block: Inner, name: str) -> Tensor:
    """Add the block that keeps the output of every inner block."""
    y = g.unit(x, 2 * inner, 1, name=f"{name}.cv1")
    parts = [y]
    last = g.part(y, inner, f"{name}.half")
    for i in range(n):
        last = block(last, inner, f"{name}.m.{i}")
        parts.append(last)
    return g.unit(g.concat(parts, f"{name}.cat"), c, 1, name=f"{name}.cv2")


def _c2f(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    add = bool(row.options.get("add"))

    def block(x: Tensor, inner: int, name: str) -> Tensor:
        return bottleneck(g, x, inner, inner=inner, kernels=(3, 3), add=add, name=name)

    return c2f(g, xs[0], c, n, c // 2, block, name)


def _c3k2(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    def block(x: Tensor, inner: int, name: str) -> Tensor:
        if row.options.get("c3k"):
            return c3(g, x, inner, 2, add=True, kernels=(3, 3), name=name)
        return bottleneck(g, x, inner, inner=inner // 2, kernels=(3, 3), add=True, name=name)

    return c2f(g, xs[0], c, n, int(c * row.options.get("e", 0.5)), block, name)


def _c2f_cib(
    g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str
) -> Tensor:
    """YOLOv10's compact inverted blocks; ``lk`` widens the middle depthwise kernel to 7."""
    kernel = 7 if row.options.get("lk") else 3

    def block(x: Tensor, inner: int, name: str) -> Tensor:
        y = g.unit(x, inner, 3, groups=inner, name=f"{name}.1")
        y = g.unit(y, 2 * inner, 1, name=f"{name}.2")
        y = g.unit(y, 2 * inner, kernel, groups=2 * inner, name=f"{name}.3")
        y = g.unit(y, inner, 1, name=f"{name}.4")
        y = g.unit(y, inner, 3, groups=inner, name=f"{name}.5")
        return g.elementwise("add", y, x, name=f"{name}.add")

    return c2f(g, xs[0], c, n, c // 2, block, name)


def _elan(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str) -> Tensor:
    """YOLOv7's aggregation: two entries, a chain of 3x3, some of them concatenated.

    Options: ``inner`` and ``entry`` channels, ``chain`` length, ``every``-th of the chain is kept.
    """
    o, x = row.options, xs[0]
    inner, every = int(o["inner"]), int(o.get("every", 2))
    entry = int(o.get("entry", inner))
    y = g.unit(x, entry, 1, name=f"{name}.entry2")
    parts = [g.unit(x, entry, 1, name=f"{name}.entry1"), y]
    for i in range(int(o.get("chain", 4))):
        y = g.unit(y, inner, 3, name=f"{name}.{i}")
        if (i + 1) % every == 0:
            parts.append(y)
    return g.unit(g.concat(parts, f"{name}.cat"), c, 1, name=f"{name}.out")


def _rep_elan(
    g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: YoloRow, name: str
) -> Tensor:
    """YOLOv9's RepNCSPELAN4: two CSP blocks in a row, each followed by a 3x3."""
    outer, inner = int(row.options["outer"]), int(row.options["inner"])
    y = g.unit(xs[0], outer, 1, name=f"{name}.cv1")
    parts = [y]
    last = g.part(y, outer // 2, f"{name}.half")
    for i in (2, 3):
        last = c3(g, last, inner, n, add=True, kernels=(3, 3), name=f"{name}.cv{i}.csp")
        last = g.unit(last, inner, 3, name=f"{name}.cv{i}.conv")
        parts.append(last)
    return g.unit(g.concat(parts, f"{name}.cat"), c, 1, name=f"{name}.cv4")


STAGES: Final[Mapping[str, Block]] = {
    "bottleneck": _bottlenecks, "c3": _c3, "c3_dw": _c3_dw, "csp53": _csp53,
    "csp_tiny": _csp_tiny, "csp": _csp, "c2f": _c2f, "c3k2": _c3k2, "c2f_cib": _c2f_cib,
    "elan": _elan, "rep_elan": _rep_elan,
}  # fmt: skip
