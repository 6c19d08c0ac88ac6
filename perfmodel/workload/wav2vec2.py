"""Family ``wav2vec2``: encoders of raw audio (Baevski et al. 2020, arXiv 2006.11477).

Seven convolutions make a feature of 320 samples at 16 kHz; a wide convolution in groups stands for
positions. Layers follow the class of transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph
from perfmodel.workload.moonshine import SAMPLE_RATE
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, simplify, symbol
from perfmodel.workload.transformer_layers import TransformerPass, layer, norm
from perfmodel.workload.transformer_structure import (
    Count,
    CountOrNone,
    TransformerStructure,
    head_faults,
)

_Sizes = Annotated[tuple[Count, ...], Field(min_length=1, max_length=16)]


class Wav2Vec2Structure(FrozenModel):
    """Shape of an encoder of audio.

    Attributes
    ----------
    channels, kernels, strides
        Of the convolutions.
    stem_norm, stem_bias
        ``group``: the first convolution is normalised; ``layer``: all are; and their biases.
    layers, width, heads, ffn_width
        As in a transformer encoder.
    norm_position
        Before the blocks (with one after the last layer), or after them.
    position_kernel, position_groups
        Of the convolution that stands for positions.
    classes
        Outputs of the classifier of each feature; 0 for none.
    """

    channels: _Sizes = (512,) * 7
    kernels: _Sizes = (10, 3, 3, 3, 3, 2, 2)
    strides: _Sizes = (5, 2, 2, 2, 2, 2, 2)
    stem_norm: Literal["group", "layer"] = "group"
    stem_bias: bool = False
    layers: Count
    width: Count
    heads: Count
    ffn_width: Count
    norm_position: Literal["before", "after"] = "after"
    position_kernel: Count = 128
    position_groups: Count = 16
    classes: CountOrNone = 32

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        yield from head_faults(data)
        found = [data.get(k, (0,) * 7) for k in ("channels", "kernels", "strides")]
        if all(isinstance(v, list | tuple) for v in found) and len(set(map(len, found))) > 1:
            yield Flaw(("strides",), "channels, kernels and strides differ in number",
                       f"{len(found[0])} strides")  # fmt: skip
        width, groups = data.get("width"), data.get("position_groups", 16)
        if type(width) is int and type(groups) is int and width > 0 < groups and width % groups:
            yield Flaw(("position_groups",), f"a width of {width} does not divide by {groups}",
                       f"a divisor of {width}")  # fmt: skip


def build(s: Wav2Vec2Structure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of `seconds` of audio."""
    del semantics
    g = SequenceBuilder("wav2vec2")
    batch = symbol("batch")
    x = g.input("audio", (batch, 1, simplify(symbol("seconds") * SAMPLE_RATE)))
    sizes = zip(s.channels, s.kernels, s.strides, strict=True)
    for i, (channels, kernel, stride) in enumerate(sizes):
        x = g.conv(x, channels, kernel, stride=stride, bias=s.stem_bias, name=f"conv{i}")
        if s.stem_norm == "layer" or i == 0:
            x = g.norm(x, "group_norm" if s.stem_norm == "group" else "layer_norm",
                       name=f"conv{i}.norm", features=channels)  # fmt: skip
        x = g.elementwise("gelu", x, name=f"conv{i}.gelu")
    inner = TransformerStructure(
        phase="encode", causal=False, layers=s.layers, width=s.width, heads=s.heads,
        ffn_width=s.ffn_width, gated=False, activation="gelu", norm="layer_norm",
        norm_position=s.norm_position, rotary=False, qkv_bias=True, output_bias=True,
        ffn_bias=True, vocabulary=1, head="none",
    )  # fmt: skip
    tokens: Dim = x.shape[2]
    x = g.copy([x], (batch, tokens, s.channels[-1]), name="transpose")
    x = g.linear(norm(g, x, inner, "feature_norm"), s.width, name="feature_projection")
    spread = g.copy([x], (batch, s.width, tokens), name="positions.entry")
    # One output more than inputs would have; it is cut off.
    before = s.position_kernel // 2
    after = s.position_kernel - 1 - before
    spread = g.conv(spread, s.width, s.position_kernel, padding=(before, after),
                    groups=s.position_groups, name="positions")  # fmt: skip
    spread = g.elementwise("gelu", spread, name="positions.gelu")
    spread = g.copy([spread], x.shape, name="positions.tokens")
    x = g.elementwise("add", x, spread, name="positions.add")
    if s.norm_position == "after":
        x = norm(g, x, inner, "entry_norm")
    with g.repeat(s.layers, "layer"):
        x = layer(g, x, inner, TransformerPass(batch, tokens, tokens))
    if s.norm_position == "before":
        x = norm(g, x, inner, "final_norm")
    if s.classes:
        x = g.linear(x, s.classes, name="head", tag="head")
    g.output(x)
    return g.build(parameters(s))


def parameters(s: Wav2Vec2Structure) -> dict[str, float]:
    """Return the free dimensions and their defaults; seconds of audio at 16 kHz."""
    del s
    return {"batch": 1, "seconds": 10}


def items(s: Wav2Vec2Structure) -> tuple[str, Dim]:
    """Return what a run yields: sequences of audio."""
    del s
    return "sequences", symbol("batch")


FAMILY_WAV2VEC2 = Family("wav2vec2", Wav2Vec2Structure, parameters, build, items)
