"""Family ``whisper``: speech recognition by encoder and decoder (Radford et al. 2022).

Layers follow the reference implementation: no bias on keys, sinusoids for the positions of the
encoder (a constant, not a parameter), the decoder's classifier tied to its embeddings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.builder import conv_size
from perfmodel.workload.encoder_decoder_phases import EncoderDecoderPhase, build_phases, items
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.recurrent_phases import last_token
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, product, symbol
from perfmodel.workload.transformer_layers import TransformerPass
from perfmodel.workload.transformer_structure import Count, head_faults


class WhisperStructure(FrozenModel):
    """Shape of a Whisper network.

    Attributes
    ----------
    phase
        ``encode``: audio to features; ``decode``: one text token of each sequence; ``request``: the
        encoder, the prompt, and ``generate`` decode steps costed at their mean context.
    encoder_layers, decoder_layers
        Layers of the two halves.
    width, heads, ffn_width
        Of both.
    mels
        Mel channels of the input.
    text_positions
        Rows of the decoder's learned table of positions.
    vocabulary
        Text tokens.
    free
        Fields kept as symbols, among `FREE`.
    """

    FREE: ClassVar[tuple[str, ...]] = ("encoder_layers", "decoder_layers", "ffn_width")

    phase: EncoderDecoderPhase = "request"
    encoder_layers: Count
    decoder_layers: Count
    width: Count
    heads: Count
    ffn_width: Count
    mels: Count = 80
    text_positions: Count = 448
    vocabulary: Count
    free: tuple[Literal["encoder_layers", "decoder_layers", "ffn_width"], ...] = ()

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        yield from head_faults(data)


class _Whisper(SequenceBuilder):
    """The builder with the network's own blocks."""

    def __init__(self, s: WhisperStructure) -> None:
        super().__init__("whisper")
        self.s = s
        self.batch = symbol("batch")
        self.audio = conv_size(symbol("frames"), 3, 2, (1, 1), 1)

    def extent(self, field: str) -> Dim:
        return symbol(field) if field in self.s.free else getattr(self.s, field)

    def project(self, x: Tensor, name: str, *, bias: bool = True) -> Tensor:
        tag = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output"}[name[-6]]
        return self.linear(x, self.s.width, name=name, bias=bias, tag=tag)

    def self_attention(
        self, x: Tensor, queries: Dim, keys: Dim, *, causal: bool, cached: bool = False,
        stored: Dim | None = None,
    ) -> Tensor:  # fmt: skip
        y = self.norm(x, "layer_norm", name="attention_norm")
        q, k = self.project(y, "q_proj"), self.project(y, "k_proj", bias=False)
        v = self.project(y, "v_proj")
        y = self.attention(
            q, batch=self.batch, queries=queries, keys=keys, heads=self.s.heads,
            head_dim=self.s.width // self.s.heads, causal=causal, cached=cached, key_value=(k, v),
            stored_keys=stored, write_cache=causal,
        )  # fmt: skip
        return self.elementwise("add", self.project(y, "o_proj"), x, name="attention_add")

    def cross_attention(self, x: Tensor, queries: Dim, features: Tensor | None) -> Tensor:
        """Attend to the audio; its keys and values are made once, when `features` are given."""
        width = self.s.width
        y = self.norm(x, "layer_norm", name="cross_norm")
        q = self.project(y, "cross_q_proj")
        cache = self.tensor("cross.kv", (self.batch, self.audio, 2 * width), role="kv")
        if features is not None:
            k = self.project(features, "cross_k_proj", bias=False)
            v = self.project(features, "cross_v_proj")
            self.operator("cross_cache", "copy", [k, v], [cache])
        y = self.attention(
            q, batch=self.batch, queries=queries, keys=self.audio, heads=self.s.heads,
            head_dim=width // self.s.heads, causal=False, cached=True, cache=cache,
            write_cache=False, name="cross",
        )  # fmt: skip
        return self.elementwise("add", self.project(y, "cross_o_proj"), x, name="cross_add")

    def feed_forward(self, x: Tensor) -> Tensor:
        y = self.norm(x, "layer_norm", name="ffn_norm")
        y = self.linear(y, self.extent("ffn_width"), name="ffn_up", tag="ffn_up")
        y = self.elementwise("gelu", y, name="ffn_act")
        y = self.linear(y, self.s.width, name="ffn_down", tag="ffn_down")
        return self.elementwise("add", y, x, name="ffn_add")

    def encode(self) -> Tensor:
        """Add two convolutions, the second of stride 2, and the encoder's layers."""
        width = self.s.width
        x = self.input("mels", (self.batch, self.s.mels, symbol("frames")))
        x = self.elementwise("gelu", self.conv(x, width, 3, padding=1, name="conv1"))
        x = self.elementwise("gelu", self.conv(x, width, 3, stride=2, padding=1, name="conv2"))
        x = self.copy([x], (self.batch, self.audio, width), name="transpose")
        sinusoids = self.input("sinusoids", (self.audio, width))
        x = self.elementwise("add", x, sinusoids, name="positions")
        with self.repeat(self.extent("encoder_layers"), "encoder_layer"):
            x = self.self_attention(x, self.audio, self.audio, causal=False)
            x = self.feed_forward(x)
        return self.norm(x, "layer_norm", name="encoder_norm")

    def decode(self, step: TransformerPass, features: Tensor | None, every: bool) -> Tensor:
        """Add one pass of the decoder; `features` where the audio is new."""
        s = self.s
        ids = self.input("ids", (self.batch, step.queries), format="int64")
        table = self.weight("embedding.weight", (s.vocabulary, s.width), tag="embedding")
        x = self.embedding(ids, s.vocabulary, s.width, weight=table)
        rows = self.weight("positions.weight", (s.text_positions, s.width), tag="embedding")
        y = self.tensor("text_positions.out", x.shape)
        read = product(step.queries, s.width)
        self.operator("text_positions", "elementwise", [x, (rows, read)], [y],
                      vector_ops=y.elements, inplace=x, attributes={"function": "add"})  # fmt: skip
        x = y
        with self.repeat(self.extent("decoder_layers"), "decoder_layer"):
            x = self.self_attention(x, step.queries, step.keys, causal=True, cached=step.cached,
                                    stored=step.stored)  # fmt: skip
            x = self.cross_attention(x, step.queries, features)
            x = self.feed_forward(x)
        x = last_token(self, x, every=every)
        x = self.norm(x, "layer_norm", name="decoder_norm")
        return self.linear(x, s.vocabulary, name="head", bias=False, tag="head", weight=table)


def build(s: WhisperStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of a phase."""
    g = _Whisper(s)
    return build_phases(g, s, semantics, g.encode, g.decode, parameters(s))


_PARAMETERS: Mapping[str, Mapping[str, float]] = {
    "encode": {"batch": 1, "frames": 3000},
    "decode": {"batch": 1, "frames": 3000, "context": 64},
    "request": {"batch": 1, "frames": 3000, "prompt": 4, "generate": 64},
}


def parameters(s: WhisperStructure) -> dict[str, float]:
    """Return the free dimensions of a phase; 3000 frames are 30 s of audio."""
    return {**_PARAMETERS[s.phase], **{field: getattr(s, field) for field in s.free}}


FAMILY_WHISPER = Family("whisper", WhisperStructure, parameters, build, items)
