"""Family ``moonshine``: speech recognition on raw audio of any length (arXiv 2410.15608).

Three convolutions make one feature of 384 samples at 16 kHz (41.7 a second); nothing is padded to
30 s. Layers follow the class of transformers: layer norms without shifts, heads rotated in part,
biases in the feed-forward networks alone, the classifier tied to the embeddings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Literal

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.builder import conv_size
from perfmodel.workload.encoder_decoder_phases import EncoderDecoderPhase, build_phases, items
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.recurrent_phases import last_token
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, simplify, symbol
from perfmodel.workload.transformer_layers import (
    TransformerPass,
    cross_attention,
    feed_forward,
    layer,
    norm,
    residual,
    self_attention,
)
from perfmodel.workload.transformer_structure import (
    Count,
    CountOrNone,
    TransformerStructure,
    head_faults,
)

#: Samples a second.
SAMPLE_RATE: Final = 16_000
#: Kernel and stride of the convolutions.
_STEM: Final = ((127, 64), (7, 3), (3, 2))


class MoonshineStructure(FrozenModel):
    """Shape of a Moonshine network.

    Attributes
    ----------
    phase
        ``encode``: audio to features; ``decode``: one text token of each sequence; ``request``: the
        encoder, the prompt, and ``generate`` decode steps costed at their mean context.
    encoder_layers, decoder_layers
        Layers of the two halves.
    width, heads, ffn_width
        Of both; the decoder's feed-forward network is gated.
    rotary_dim
        Elements of a head that are rotated; all of them where 0.
    vocabulary
        Text tokens.
    free
        Fields kept as symbols, among `FREE`.
    """

    FREE: ClassVar[tuple[str, ...]] = ("encoder_layers", "decoder_layers")

    phase: EncoderDecoderPhase = "request"
    encoder_layers: Count
    decoder_layers: Count
    width: Count
    heads: Count
    ffn_width: Count
    rotary_dim: CountOrNone = 0
    vocabulary: Count
    free: tuple[Literal["encoder_layers", "decoder_layers"], ...] = ()

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        yield from head_faults(data)


def half(s: MoonshineStructure, *, decoder: bool) -> TransformerStructure:
    """Return the layers of one half as a transformer's structure."""
    return TransformerStructure(
        phase="decode" if decoder else "encode", causal=decoder,
        layers=s.decoder_layers if decoder else s.encoder_layers, width=s.width, heads=s.heads,
        ffn_width=s.ffn_width, gated=decoder, activation="silu" if decoder else "gelu",
        norm="layer_norm", norm_vectors=1, ffn_bias=True, rotary_dim=s.rotary_dim,
        vocabulary=s.vocabulary,
    )  # fmt: skip


class _Moonshine(SequenceBuilder):
    """The builder with the network's two halves."""

    def __init__(self, s: MoonshineStructure) -> None:
        super().__init__("moonshine")
        self.s = s
        self.batch = symbol("batch")
        self.samples = simplify(symbol("seconds") * SAMPLE_RATE)
        length: Dim = self.samples
        for kernel, stride in _STEM:
            length = conv_size(length, kernel, stride, (0, 0), 1)
        self.audio = length

    def repeated(self, field: str) -> Dim:
        return symbol(field) if field in self.s.free else getattr(self.s, field)

    def encode(self) -> Tensor:
        """Add the convolutions and the encoder's layers."""
        s, inner = self.s, half(self.s, decoder=False)
        x = self.input("audio", (self.batch, 1, self.samples))
        (k1, s1), (k2, s2), (k3, s3) = _STEM
        x = self.elementwise("tanh", self.conv(x, s.width, k1, stride=s1, bias=False, name="conv1"))
        x = self.norm(x, "group_norm", name="stem_norm")
        x = self.elementwise("gelu", self.conv(x, 2 * s.width, k2, stride=s2, name="conv2"))
        x = self.elementwise("gelu", self.conv(x, s.width, k3, stride=s3, name="conv3"))
        x = self.copy([x], (self.batch, self.audio, s.width), name="transpose")
        with self.repeat(self.repeated("encoder_layers"), "encoder_layer"):
            x = layer(self, x, inner, TransformerPass(self.batch, self.audio, self.audio))
        return norm(self, x, inner, "encoder_norm")

    def decode(self, step: TransformerPass, features: Tensor | None, every: bool) -> Tensor:
        """Add one pass of the decoder; `features` where the audio is new."""
        s, inner = self.s, half(self.s, decoder=True)
        ids = self.input("ids", (self.batch, step.queries), format="int64")
        table = self.weight("embedding.weight", (s.vocabulary, s.width), tag="embedding")
        x = self.embedding(ids, s.vocabulary, s.width, weight=table)
        with self.repeat(self.repeated("decoder_layers"), "decoder_layer"):
            x = residual(self, x, inner, "attention",
                         lambda y: self_attention(self, y, inner, step))  # fmt: skip
            x = residual(
                self, x, inner, "cross",
                lambda y: cross_attention(self, y, inner, self.batch, self.audio, features),
            )  # fmt: skip
            x = residual(self, x, inner, "ffn",
                         lambda y: feed_forward(self, y, inner, s.ffn_width))  # fmt: skip
        x = last_token(self, x, every=every)
        x = norm(self, x, inner, "decoder_norm")
        return self.linear(x, s.vocabulary, name="head", bias=False, tag="head", weight=table)


def build(s: MoonshineStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of a phase."""
    g = _Moonshine(s)
    return build_phases(g, s, semantics, g.encode, g.decode, parameters(s))


_PARAMETERS: Mapping[str, Mapping[str, float]] = {
    "encode": {"batch": 1, "seconds": 10},
    "decode": {"batch": 1, "seconds": 10, "context": 32},
    "request": {"batch": 1, "seconds": 10, "prompt": 1, "generate": 32},
}


def parameters(s: MoonshineStructure) -> dict[str, float]:
    """Return the free dimensions of a phase; seconds of audio at 16 kHz."""
    return {**_PARAMETERS[s.phase], **{field: getattr(s, field) for field in s.free}}


FAMILY_MOONSHINE = Family("moonshine", MoonshineStructure, parameters, build, items)
