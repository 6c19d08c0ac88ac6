"""Family ``swin``: Swin transformers (Liu et al. 2021, arXiv:2103.14030); layers follow timm.

Attention inside windows of the image, shifted in every other block; the image halves and the
channels double between stages.
"""

from __future__ import annotations

from perfmodel.frozen import Count, FrozenModel
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import frames, images
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, floor_div, product, simplify, symbol


class SwinStructure(FrozenModel):
    """Shape of a Swin transformer.

    Attributes
    ----------
    depths, heads
        Blocks, an even number, and attention heads of each stage.
    channels
        Channels of the first stage.
    patch, window
        Sides of a patch in pixels and of a window in patches.
    classes
        Outputs of the classifier.
    image_channels
        Channels of the input image.
    """

    depths: tuple[Count, Count, Count, Count] = (2, 2, 6, 2)
    heads: tuple[Count, Count, Count, Count] = (3, 6, 12, 24)
    channels: Count = 96
    patch: Count = 4
    window: Count = 7
    classes: Count = 1000
    image_channels: Count = 3


def build(s: SwinStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph for images that are a whole number of windows in every stage."""
    del semantics
    g = SequenceBuilder("swin")
    batch, height, width = symbol("batch"), symbol("height"), symbol("width")
    image = g.input("image", (batch, s.image_channels, height, width))
    x = g.conv(image, s.channels, s.patch, stride=s.patch, name="patch_embedding")
    pixels: Dim = product(floor_div(height, s.patch), floor_div(width, s.patch))
    x = g.copy([x], (batch, pixels, s.channels), name="tokens")
    x = g.norm(x, "layer_norm", name="patch_norm")
    channels = s.channels
    for i, (depth, heads) in enumerate(zip(s.depths, s.heads, strict=True)):
        if i:
            pixels = simplify(pixels / 4)
            x = g.copy([x], (batch, pixels, 4 * channels), name=f"merge{i}.gather")
            x = g.norm(x, "layer_norm", name=f"merge{i}.norm")
            x = g.linear(x, 2 * channels, name=f"merge{i}.reduce", bias=False)
            channels *= 2
        with g.repeat(depth // 2, f"stage{i + 1}"):
            for shifted in (False, True):
                x = _block(g, x, s, channels, heads, batch, pixels, shifted)
    x = g.norm(x, "layer_norm", name="norm")
    x = g.reduce(x, (batch, channels), name="avgpool")
    g.output(g.linear(x, s.classes, name="head", tag="head"))
    return g.build(parameters(s))


def _block(
    g: SequenceBuilder, x: Tensor, s: SwinStructure, channels: int, heads: int, batch: Dim,
    pixels: Dim, shifted: bool,
) -> Tensor:  # fmt: skip
    """Add attention inside windows and a feed-forward network, each with a residual sum."""
    name, size = "shifted" if shifted else "plain", s.window**2
    windows = simplify(product(batch, pixels) / size)
    y = g.norm(x, "layer_norm", name=f"{name}.norm1")
    # One copy moves pixels into windows, and shifts them where it must.
    y = g.copy([y], (windows, size, channels), name=f"{name}.windows")
    q, k, v = (
        g.linear(y, channels, name=f"{name}.{part}_proj", tag=f"attn_{part}") for part in "qkv"
    )
    table = g.weight(f"{name}.bias_table", ((2 * s.window - 1) ** 2, heads), tag="embedding")
    y = g.attention(
        q, batch=windows, queries=size, keys=size, heads=heads, head_dim=channels // heads,
        causal=False, key_value=(k, v), write_cache=False, bias=table, name=f"{name}.attention",
    )  # fmt: skip
    y = g.linear(y, channels, name=f"{name}.o_proj", tag="attn_output")
    y = g.copy([y], (batch, pixels, channels), name=f"{name}.image")
    x = g.elementwise("add", y, x, name=f"{name}.add1")
    y = g.norm(x, "layer_norm", name=f"{name}.norm2")
    y = g.linear(y, 4 * channels, name=f"{name}.up", tag="ffn_up")
    y = g.elementwise("gelu", y, name=f"{name}.gelu")
    y = g.linear(y, channels, name=f"{name}.down", tag="ffn_down")
    return g.elementwise("add", y, x, name=f"{name}.add2")


parameters = images(224, 224)

FAMILY_SWIN = Family("swin", SwinStructure, parameters, build, frames)
