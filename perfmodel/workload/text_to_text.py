"""Family ``text_to_text``: encoder and decoder of text with a cache, by phase.

T5 (Raffel et al. 2020, arXiv 1910.10683) and BART (Lewis et al. 2020, arXiv 1910.13461). Layers
follow the classes of transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.encoder_decoder_phases import EncoderDecoderPhase, build_phases, items
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.recurrent_phases import last_token
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, product, symbol
from perfmodel.workload.transformer_layers import (
    TransformerPass,
    cross_attention,
    feed_forward,
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


class TextToTextStructure(FrozenModel):
    """Shape of an encoder and a decoder.

    Attributes
    ----------
    phase
        ``encode``: the source; ``decode``: one token of each target; ``request``: the source, the
        prompt, and ``generate`` decode steps costed at their mean context.
    encoder_layers, decoder_layers
        Layers of the two halves.
    width, heads, head_dim, ffn_width, gated, activation
        Of both, as in a transformer.
    norm, norm_position, bias
        Normalisation, before the blocks (with one after the last layer) or after them; whether
        projections have biases.
    positions
        Rows of a learned table of positions of each half; 0 for none.
    relative_buckets
        Rows of a learned table of distances of each half; 0 for none (T5).
    embedding_norm
        Whether embeddings are normalised.
    vocabulary, tied_embeddings
        Tokens, whose table both halves read; whether the classifier reads it too.
    """

    FREE: ClassVar[tuple[str, ...]] = ()

    phase: EncoderDecoderPhase = "request"
    encoder_layers: Count
    decoder_layers: Count
    width: Count
    heads: Count
    head_dim: CountOrNone = 0
    ffn_width: Count
    gated: bool = False
    activation: Literal["silu", "gelu", "gelu_tanh", "relu"] = "relu"
    norm: Literal["rms_norm", "layer_norm"] = "rms_norm"
    norm_position: Literal["before", "after"] = "before"
    bias: bool = False
    positions: CountOrNone = 0
    relative_buckets: CountOrNone = 0
    embedding_norm: bool = False
    vocabulary: Count
    tied_embeddings: bool = True

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        if not data.get("head_dim"):
            yield from head_faults(data, ", or 'head_dim'")


def half(s: TextToTextStructure, *, decoder: bool) -> TransformerStructure:
    """Return the layers of one half as a transformer's structure."""
    return TransformerStructure(
        phase="decode" if decoder else "encode", causal=decoder,
        layers=s.decoder_layers if decoder else s.encoder_layers, width=s.width, heads=s.heads,
        head_dim=s.head_dim, ffn_width=s.ffn_width, gated=s.gated, activation=s.activation,
        norm=s.norm, norm_position=s.norm_position, qkv_bias=s.bias, output_bias=s.bias,
        ffn_bias=s.bias, rotary=False, vocabulary=s.vocabulary,
    )  # fmt: skip


class _TextToText(SequenceBuilder):
    """The builder with the network's two halves."""

    def __init__(self, s: TextToTextStructure) -> None:
        super().__init__("text_to_text")
        self.s = s
        self.batch = symbol("batch")
        self.source = symbol("source")

    def embed(self, tokens: Dim, name: str) -> tuple[Tensor, Tensor]:
        """Add embeddings and positions of a half; returns them and the table of tokens."""
        s = self.s
        ids = self.input(f"{name}_ids", (self.batch, tokens), format="int64")
        table = self.tensors.get("embedding.weight") or self.weight(
            "embedding.weight", (s.vocabulary, s.width), tag="embedding"
        )
        x = self.embedding(ids, s.vocabulary, s.width, weight=table, name=f"{name}_embedding")
        if s.positions:
            rows = self.weight(f"{name}_positions.weight", (s.positions, s.width), tag="embedding")
            y = self.tensor(f"{name}_positions.out", x.shape)
            self.operator(f"{name}_positions", "elementwise",
                          [x, (rows, product(tokens, s.width))], [y], vector_ops=y.elements,
                          inplace=x, attributes={"function": "add"})  # fmt: skip
            x = y
        if s.embedding_norm:
            x = norm(self, x, half(s, decoder=False), f"{name}_embedding_norm")
        return x, table

    def distances(self, queries: Dim, keys: Dim, name: str) -> Tensor | None:
        """Add what a table of distances adds to the scores of every layer of a half."""
        s = self.s
        if not s.relative_buckets:
            return None
        table = self.weight(f"{name}_distances.weight", (s.relative_buckets, s.heads), tag="vector")
        y = self.tensor(f"{name}_distances.out", (s.heads, queries, keys))
        self.operator(f"{name}_distances", "gather", [table], [y],
                      pair=("activation", "activation"))  # fmt: skip
        return y

    def encode(self) -> Tensor:
        """Add the encoder."""
        s, inner = self.s, half(self.s, decoder=False)
        x, _ = self.embed(self.source, "encoder")
        bias = self.distances(self.source, self.source, "encoder")
        step = TransformerPass(self.batch, self.source, self.source)
        with self.repeat(s.encoder_layers, "encoder_layer"):
            x = residual(self, x, inner, "attention",
                         lambda y: self_attention(self, y, inner, step, rotary=False, bias=bias)
                         )  # fmt: skip
            x = residual(self, x, inner, "ffn",
                         lambda y: feed_forward(self, y, inner, s.ffn_width))  # fmt: skip
        return norm(self, x, inner, "encoder_norm") if s.norm_position == "before" else x

    def decode(self, step: TransformerPass, features: Tensor | None, every: bool) -> Tensor:
        """Add one pass of the decoder; `features` where the source is new."""
        s, inner = self.s, half(self.s, decoder=True)
        x, table = self.embed(step.queries, "decoder")
        bias = self.distances(step.queries, step.keys, "decoder")
        with self.repeat(s.decoder_layers, "decoder_layer"):
            x = residual(self, x, inner, "attention",
                         lambda y: self_attention(self, y, inner, step, rotary=False, bias=bias)
                         )  # fmt: skip
            x = residual(
                self, x, inner, "cross",
                lambda y: cross_attention(self, y, inner, self.batch, self.source, features),
            )  # fmt: skip
            x = residual(self, x, inner, "ffn",
                         lambda y: feed_forward(self, y, inner, s.ffn_width))  # fmt: skip
        x = last_token(self, x, every=every)
        if s.norm_position == "before":
            x = norm(self, x, inner, "decoder_norm")
        weight = table if s.tied_embeddings else None
        return self.linear(x, s.vocabulary, name="head", bias=False, tag="head", weight=weight)


def build(s: TextToTextStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of a phase."""
    g = _TextToText(s)
    return build_phases(g, s, semantics, g.encode, g.decode, parameters(s))


_PARAMETERS: Mapping[str, Mapping[str, float]] = {
    "encode": {"batch": 1, "source": 128},
    "decode": {"batch": 1, "source": 128, "context": 64},
    "request": {"batch": 1, "source": 128, "prompt": 1, "generate": 64},
}


def parameters(s: TextToTextStructure) -> dict[str, float]:
    """Return the free dimensions of a phase and their defaults."""
    return dict(_PARAMETERS[s.phase])


FAMILY_TEXT_TO_TEXT = Family("text_to_text", TextToTextStructure, parameters, build, items)
