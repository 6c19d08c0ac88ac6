"""Blocks of the YOLO detectors, each a function of the builder, its inputs and its row.

Sources: YOLOv3 (arXiv:1804.02767), YOLOv4 (2004.10934), YOLOX (2107.08430), YOLOv6 (2209.02976),
YOLOv7 (2207.02696), YOLOv9 (2402.13616), YOLOv10 (2405.14458), and Ultralytics' modules of the same
names. Re-parametrised blocks are built as deployed: one convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from perfmodel.workload.graph import Tensor
from perfmodel.workload.image import ImageBuilder
from perfmodel.workload.symbols import product
from perfmodel.workload.yolo.rows import Row

__all__ = ["BLOCKS", "YoloBuilder"]


class YoloBuilder(ImageBuilder):
    """A builder that knows the network's activation."""

    def __init__(self, name: str, *, folded: bool, activation: str) -> None:
        super().__init__(name, folded=folded)
        self.activation = activation

    def unit(
        self, x: Tensor, channels: int, kernel: int | tuple[int, int] = 1, *, stride: int = 1,
        groups: int = 1, act: bool = True, name: str, activation: str | None = None,
        padding: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Add convolution, normalisation and the network's activation."""
        function = (self.activation if activation is None else activation) if act else ""
        return self.conv_norm(
            x, channels, kernel, stride=stride, groups=groups, activation=function, name=name,
            padding=padding,
        )  # fmt: skip

    def part(self, x: Tensor, channels: int, name: str) -> Tensor:
        """Take some channels of a tensor: a view, as deployed."""
        batch, _, *size = x.shape
        return self.copy(
            [x], (batch, channels, *size), name=name, read=[product(batch, channels, *size)]
        )


Block = Callable[[YoloBuilder, Sequence[Tensor], int, int, Row, str], Tensor]


def width_of(x: Tensor) -> int:
    """Return the channels of a tensor of this family, which are numbers."""
    return int(x.shape[1])  # pyright: ignore[reportArgumentType]


def _conv(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
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


def _separable(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    x, k, s = xs[0], int(row.options.get("k", 3)), int(row.options.get("s", 1))
    for i in range(n):
        y = g.unit(x, width_of(x), k, stride=s, groups=width_of(x), name=f"{name}.{i}.depthwise")
        x = g.unit(y, c, 1, name=f"{name}.{i}.pointwise")
    return x


def _focus(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    """Four interleaved quarters of the image side by side, then a convolution."""
    x = xs[0]
    batch, channels, height, width = x.shape
    y = g.copy([x], (batch, channels * 4, height / 2, width / 2), name=f"{name}.slices")
    return g.unit(y, c, int(row.options.get("k", 3)), name=f"{name}.conv")


def _up(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    x = xs[0]
    return g.resize(x, tuple(2 * size for size in x.shape[2:]), name=name, ops=0)


def _deconv(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    return g.conv(xs[0], c, 2, stride=2, transposed=True, name=name)


def _cat(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    return g.concat(xs, name)


def _pool(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    k, s = int(row.options.get("k", 2)), int(row.options.get("s", 2))
    padding = "same" if s == 1 else (k - 1) // 2
    return g.pool(xs[0], k, stride=s, padding=padding, name=name)


def bottleneck(
    g: YoloBuilder, x: Tensor, c: int, *, inner: int, kernels: tuple[int, int], add: bool, name: str
) -> Tensor:  # fmt: skip
    """Add two convolutions and, where shapes agree and it is asked for, their input."""
    y = g.unit(x, inner, kernels[0], name=f"{name}.cv1")
    y = g.unit(y, c, kernels[1], name=f"{name}.cv2")
    return g.elementwise("add", y, x, name=f"{name}.add") if add and width_of(x) == c else y


def _bottlenecks(
    g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str
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


def _c3_dw(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
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


def _csp53(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
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


def _csp_tiny(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    """The stage of YOLOv4-tiny: half of the channels through two 3x3, all of them kept."""
    half = g.part(xs[0], c // 2, f"{name}.half")
    a = g.unit(half, c // 2, 3, name=f"{name}.cv1")
    b = g.unit(a, c // 2, 3, name=f"{name}.cv2")
    y = g.unit(g.concat([b, a], f"{name}.cat1"), c, 1, name=f"{name}.cv3")
    return g.concat([xs[0], y], f"{name}.cat2")


def _side(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    """Take the second half of the channels."""
    return g.part(xs[0], width_of(xs[0]) // 2, name)


def _c3(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    return c3(g, xs[0], c, n, add=bool(row.options.get("add")), kernels=(1, 3), name=name)


def _csp(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
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


Inner = Callable[[Tensor, int, str], Tensor]


def c2f(g: YoloBuilder, x: Tensor, c: int, n: int, inner: int, block: Inner, name: str) -> Tensor:
    """Add the block that keeps the output of every inner block."""
    y = g.unit(x, 2 * inner, 1, name=f"{name}.cv1")
    parts = [y]
    last = g.part(y, inner, f"{name}.half")
    for i in range(n):
        last = block(last, inner, f"{name}.m.{i}")
        parts.append(last)
    return g.unit(g.concat(parts, f"{name}.cat"), c, 1, name=f"{name}.cv2")


def _c2f(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    add = bool(row.options.get("add"))

    def block(x: Tensor, inner: int, name: str) -> Tensor:
        return bottleneck(g, x, inner, inner=inner, kernels=(3, 3), add=add, name=name)

    return c2f(g, xs[0], c, n, c // 2, block, name)


def _c3k2(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    def block(x: Tensor, inner: int, name: str) -> Tensor:
        if row.options.get("c3k"):
            return c3(g, x, inner, 2, add=True, kernels=(3, 3), name=name)
        return bottleneck(g, x, inner, inner=inner // 2, kernels=(3, 3), add=True, name=name)

    return c2f(g, xs[0], c, n, int(c * row.options.get("e", 0.5)), block, name)


def _c2f_cib(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
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


def _sppf(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    inner = int(row.options.get("inner", width_of(xs[0]) // 2))
    parts = [g.unit(xs[0], inner, 1, name=f"{name}.cv1")]
    for i in range(3):
        parts.append(g.pool(parts[-1], 5, stride=1, padding=2, name=f"{name}.pool{i}"))
    return g.unit(g.concat(parts, f"{name}.cat"), c, 1, name=f"{name}.cv2")


def pools(g: YoloBuilder, x: Tensor, name: str) -> Tensor:
    """Concatenate a tensor and its maxima over 5, 9 and 13 pixels."""
    parts = [g.pool(x, k, stride=1, padding=k // 2, name=f"{name}.pool{k}") for k in (5, 9, 13)]
    return g.concat([x, *parts], f"{name}.cat")


def _spp(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    y = g.unit(xs[0], width_of(xs[0]) // 2, 1, name=f"{name}.cv1")
    return g.unit(pools(g, y, name), c, 1, name=f"{name}.cv2")


def _pyramid(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    return pools(g, xs[0], name)


def _sppcspc(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    x = xs[0]
    y = g.unit(x, c, 1, name=f"{name}.cv1")
    y = g.unit(y, c, 3, name=f"{name}.cv3")
    y = g.unit(y, c, 1, name=f"{name}.cv4")
    y = g.unit(pools(g, y, name), c, 1, name=f"{name}.cv5")
    y = g.unit(y, c, 3, name=f"{name}.cv6")
    side = g.unit(x, c, 1, name=f"{name}.cv2")
    return g.unit(g.concat([y, side], f"{name}.join"), c, 1, name=f"{name}.cv7")


def _elan(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
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


def _mp(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    """Halve the image twice, by a maximum and by a stride; further inputs are concatenated."""
    x = xs[0]
    a = g.unit(g.pool(x, 2, stride=2, name=f"{name}.pool"), c, 1, name=f"{name}.cv1")
    b = g.unit(g.unit(x, c, 1, name=f"{name}.cv2"), c, 3, stride=2, name=f"{name}.cv3")
    return g.concat([b, a, *xs[1:]], f"{name}.cat")


def _rep_elan(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
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


def _adown(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    x = g.pool(xs[0], 2, stride=1, padding=0, name=f"{name}.avg")
    half = width_of(x) // 2
    a = g.unit(g.part(x, half, f"{name}.half1"), c // 2, 3, stride=2, name=f"{name}.cv1")
    b = g.pool(g.part(x, half, f"{name}.half2"), 3, stride=2, padding=1, name=f"{name}.max")
    return g.concat([a, g.unit(b, c // 2, 1, name=f"{name}.cv2")], f"{name}.cat")


def _sc_down(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
    y = g.unit(xs[0], c, 1, name=f"{name}.cv1")
    return g.unit(y, c, 3, stride=2, groups=c, act=False, name=f"{name}.cv2")


def _psa(g: YoloBuilder, xs: Sequence[Tensor], c: int, n: int, row: Row, name: str) -> Tensor:
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


BLOCKS: Final[Mapping[str, Block]] = {
    "conv": _conv, "separable": _separable, "focus": _focus, "up": _up, "deconv": _deconv,
    "cat": _cat, "pool": _pool, "bottleneck": _bottlenecks, "c3": _c3, "c3_dw": _c3_dw,
    "csp53": _csp53, "csp_tiny": _csp_tiny, "side": _side, "csp": _csp, "c2f": _c2f,
    "c3k2": _c3k2, "c2f_cib": _c2f_cib, "sppf": _sppf, "spp": _spp, "pyramid": _pyramid,
    "sppcspc": _sppcspc, "elan": _elan, "mp": _mp, "rep_elan": _rep_elan, "adown": _adown,
    "sc_down": _sc_down, "psa": _psa,
}  # fmt: skip
