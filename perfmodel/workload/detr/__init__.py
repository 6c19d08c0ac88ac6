"""Family ``detr``: detection by queries over the map of a residual network, or over several.

DETR (Carion et al. 2020, arXiv 2005.12872), Conditional DETR (arXiv 2108.06152), Deformable DETR
(arXiv 2010.04159). Layers follow the classes of transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.convnet import ResidualKind, residual_stages
from perfmodel.workload.detr.decoders import conditional, deformable, plain
from perfmodel.workload.detr.heads import DetrBuilder
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph
from perfmodel.workload.image import ImageStructure, frames, images
from perfmodel.workload.transformer_structure import Count, head_faults

__all__ = ["FAMILY_DETR", "DetrStructure"]


class DetrStructure(ImageStructure):
    """Shape of a detector.

    Attributes
    ----------
    decoder
        ``plain``, ``conditional`` (positions and content apart), or ``deformable`` (queries and
        tokens of several maps read a few places each).
    block, depths
        The residual network, as in the family resnet.
    encoder_layers, decoder_layers, width, heads
        The transformer.
    encoder_ffn_width, ffn_width
        Hidden widths of its two halves.
    queries
        Objects looked for.
    classes
        Outputs of the classifier, one for no object included where there is one.
    levels, encoder_points, points
        Maps, and places read of each by a token of the encoder and by a query (``deformable``).
    """

    decoder: Literal["plain", "conditional", "deformable"] = "plain"
    block: ResidualKind = "bottleneck"
    depths: Annotated[tuple[Annotated[int, Field(gt=0, le=1000)], ...],
                      Field(min_length=4, max_length=4)] = (3, 4, 6, 3)  # fmt: skip
    encoder_layers: Count = 6
    decoder_layers: Annotated[int, Field(ge=2, le=1000, strict=True)] = 6
    width: Count = 256
    heads: Count = 8
    encoder_ffn_width: Count = 2048
    ffn_width: Count = 2048
    queries: Count = 100
    levels: Annotated[int, Field(ge=3, le=16, strict=True)] = 4
    encoder_points: Count = 4
    points: Count = 4

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        yield from head_faults({"width": 256, "heads": 8} | dict(data))


def build(s: DetrStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of an image of ``height x width`` pixels."""
    del semantics
    g = DetrBuilder("detr", s.width, s.heads, folded=s.batch_norm == "folded")
    maps = residual_stages(g, g.image(s.image_channels), s.block, s.depths)
    heads = {"plain": plain, "conditional": conditional, "deformable": deformable}[s.decoder]
    g.output(*heads(g, s, maps))
    return g.build(parameters(s))


parameters = images(800, 1066)

FAMILY_DETR = Family("detr", DetrStructure, parameters, build, frames)
