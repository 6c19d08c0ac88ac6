"""Family ``lraspp``: lite reduced atrous pyramid pooling on MobileNetV3 (Howard et al. 2019).

Segmentation head of arXiv:1905.02244, section 6.4; layers and names follow torchvision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, cast

from pydantic import Field

from perfmodel.frozen import SmallCount
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph
from perfmodel.workload.image import ImageBuilder, ImageStructure, frames, images
from perfmodel.workload.mobilenet import InvertedResidualStage, inverted_residual, scaled
from perfmodel.workload.symbols import simplify


class LRASPPStructure(ImageStructure):
    """Shape of an LR-ASPP network.

    Attributes
    ----------
    stem
        Channels of the first convolution.
    stages
        Blocks of the backbone, as in the family ``mobilenet`` (variant ``v3``).
    last_expansion
        Channels of the backbone's last convolution for each of its input.
    low_stages
        Number of stages whose output also goes to the head, at an eighth of the image.
    undilated_stages
        Number of stages before the dilated ones, which keep their size at a dilation of 2.
    head_channels
        Channels of the head.
    """

    stem: SmallCount = 16
    stages: Annotated[tuple[InvertedResidualStage, ...], Field(min_length=1, max_length=200)]
    last_expansion: SmallCount = 6
    low_stages: SmallCount
    undilated_stages: SmallCount
    head_channels: SmallCount = 128

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield numbers of stages that there are not."""
        stages = data.get("stages")
        if not isinstance(stages, list | tuple):
            return
        count = len(cast("Sequence[Any]", stages))
        for key in ("low_stages", "undilated_stages"):
            number = data.get(key)
            if type(number) is int and number > count:
                yield Flaw((key,), f"there are {count} stages", f"at most {count}")


def build(structure: LRASPPStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph: scores of every class at every pixel of the image."""
    del semantics
    s = structure
    g = ImageBuilder("lraspp", folded=s.batch_norm == "folded")
    image = g.image(s.image_channels)
    x = g.conv_norm(image, scaled(s.stem), 3, stride=2, activation="hard_swish", name="stem")
    low, nominal, index = x, s.stem, 0
    for i, stage in enumerate(s.stages):
        dilation = 1 if i < s.undilated_stages else 2
        for j in range(stage.repeats):
            kept = j == 0 and dilation == 1
            # A block that gave up its stride still adds no input.
            inputs = 0 if j == 0 and dilation != 1 and stage.stride != 1 else nominal
            x = inverted_residual(
                g, x, inputs, stage, "v3", stage.stride if kept else 1, f"block{index}.",
                dilation=dilation,
            )  # fmt: skip
            nominal, index = stage.channels, index + 1
        if i + 1 == s.low_stages:
            low = x
    width = simplify(x.shape[1] * s.last_expansion)
    high = g.conv_norm(x, width, 1, activation=s.stages[-1].activation, name="last")
    x = g.conv_norm(high, s.head_channels, 1, activation="relu", name="head.cbr")
    scale = g.global_pool(high, name="head.pool", keep=True)
    scale = g.conv(scale, s.head_channels, 1, bias=False, name="head.scale")
    x = g.elementwise("mul", x, g.elementwise("sigmoid", scale, name="head.gate"), name="head.mul")
    x = g.resize(x, low.shape[2:], name="head.upsample")
    low = g.conv(low, s.classes, 1, name="head.low")
    x = g.conv(x, s.classes, 1, name="head.high")
    x = g.elementwise("add", low, x, name="head.add")
    g.output(g.resize(x, image.shape[2:], name="upsample"))
    return g.build(parameters(s))


parameters = images(224, 224, width_multiplier=1)

FAMILY_LRASPP = Family("lraspp", LRASPPStructure, parameters, build, frames)
