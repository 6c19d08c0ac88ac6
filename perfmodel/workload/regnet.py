"""Family ``regnet``: RegNetX and RegNetY (Radosavovic et al. 2020, arXiv:2003.13678).

Bottlenecks of ratio 1 with grouped 3x3 convolutions; layers follow torchvision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, cast

from pydantic import Field

from perfmodel.frozen import Count
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images

_Stages = Annotated[tuple[Count, ...], Field(min_length=1, max_length=8)]


class RegNetStructure(ImageStructure):
    """Shape of a RegNet.

    Attributes
    ----------
    depths, widths
        Blocks and channels of each stage; a stage halves the image.
    group_width
        Channels a group of the 3x3 convolutions.
    squeeze_excite
        Whether a block squeezes to a quarter of its input and excites (RegNetY).
    stem
        Channels of the first convolution.
    """

    depths: _Stages
    widths: _Stages
    group_width: Count
    squeeze_excite: bool = False
    stem: Count = 32

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield stages without a width and widths that are no whole number of groups."""
        depths, widths = data.get("depths"), data.get("widths")
        if not isinstance(widths, list | tuple):
            return
        widths = cast("Sequence[Any]", widths)
        if isinstance(depths, list | tuple) and len(widths) != len(cast("Sequence[Any]", depths)):
            yield Flaw(
                ("widths",), "a width and a depth are needed for each stage", "equal lengths"
            )
        group = data.get("group_width")
        if type(group) is int and group > 0:
            for i, width in enumerate(widths):
                if type(width) is int and width % group:
                    yield Flaw(("widths", i), f"{width} channels are no whole number of groups",
                               f"a multiple of {group}")  # fmt: skip


def build(structure: RegNetStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = ImageBuilder("regnet", folded=s.batch_norm == "folded")
    x = regnet_stages(g, g.image(s.image_channels), s)[-1]
    x = g.global_pool(x, name="avgpool")
    g.output(g.linear(x, s.classes, name="fc", tag="head"))
    return g.build(parameters(s))


def regnet_stages(g: ImageBuilder, x: Tensor, s: RegNetStructure) -> list[Tensor]:
    """Add stem and stages; returns the output of each stage."""
    x = g.conv_norm(x, s.stem, 3, stride=2, activation="relu", name="stem")
    stages: list[Tensor] = []
    for i, (depth, width) in enumerate(zip(s.depths, s.widths, strict=True)):
        name = f"stage{i + 1}"
        x = _block(g, x, width, s, 2, f"{name}.0.")
        if depth > 1:
            with g.repeat(depth - 1, f"{name}.1"):
                x = _block(g, x, width, s, 1, "")
        stages.append(x)
    return stages


def _block(
    g: ImageBuilder, x: Tensor, width: int, s: RegNetStructure, stride: int, name: str
) -> Tensor:
    y = g.conv_norm(x, width, 1, activation="relu", name=f"{name}conv1")
    y = g.conv_norm(
        y, width, 3, stride=stride, groups=width // s.group_width, activation="relu",
        name=f"{name}conv2",
    )  # fmt: skip
    if s.squeeze_excite:
        squeezed = round(0.25 * int(x.shape[1]))  # pyright: ignore[reportArgumentType]
        y = g.squeeze_excite(y, squeezed, activation="relu", gate="sigmoid", name=f"{name}se")
    y = g.conv_norm(y, width, 1, name=f"{name}conv3")
    if stride != 1 or x.shape[1] != width:
        x = g.conv_norm(x, width, 1, stride=stride, name=f"{name}downsample")
    y = g.elementwise("add", y, x, name=f"{name}add")
    return g.elementwise("relu", y, name=f"{name}relu")


parameters = images(224, 224)

FAMILY_REGNET = Family("regnet", RegNetStructure, parameters, build, frames)
