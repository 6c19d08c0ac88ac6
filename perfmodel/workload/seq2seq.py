"""Family ``seq2seq``: the Transformer with encoder and decoder (Vaswani et al. 2017).

Post-normalised layers as in "Attention Is All You Need" (arXiv:1706.03762). Both sequences are
given, as in training and scoring: the decoder sees all target tokens under a causal mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, product, symbol
from perfmodel.workload.transformer_structure import Count, CountOrNone, head_faults


class Seq2SeqStructure(FrozenModel):
    """Shape of an encoder and a decoder.

    Attributes
    ----------
    encoder_layers, decoder_layers
        Layers of the two halves.
    width, heads, ffn_width
        Of both.
    vocabulary
        Tokens of one table that embeds both sequences and scores the output; 0 for a network over
        given vectors.
    final_norm
        A normalisation after each half (as PyTorch's ``nn.Transformer`` has it).
    bias
        Whether the projections of the attention have biases.
    attention
        ``fused``: one operator for all heads; ``heads``: each head's projections, scores, softmax
        and product are operators of their own, as a graph without a fused attention has them.
    """

    encoder_layers: Count
    decoder_layers: Count
    width: Count
    heads: Count
    ffn_width: Count
    vocabulary: CountOrNone = 0
    final_norm: bool = True
    bias: bool = True
    attention: Literal["fused", "heads"] = "fused"

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        yield from head_faults(data)


class _Seq2SeqBuilder(SequenceBuilder):
    """The builder with the network's own layers."""

    def __init__(self, s: Seq2SeqStructure) -> None:
        super().__init__("seq2seq")
        self.s = s
        self.batch = symbol("batch")

    def attend(self, x: Tensor, source: Tensor, name: str, *, causal: bool) -> Tensor:
        """Add attention of `x` over `source`, the sum with `x`, and the normalisation."""
        s = self.s
        y = (self._fused if s.attention == "fused" else self._heads)(x, source, name, causal)
        y = self.linear(y, s.width, name=f"{name}.out", bias=s.bias, tag="attn_output")
        return self.norm(self.elementwise("add", y, x, name=f"{name}.add"), name=f"{name}.norm")

    def _fused(self, x: Tensor, source: Tensor, name: str, causal: bool) -> Tensor:
        s = self.s
        q = self.linear(x, s.width, name=f"{name}.query", bias=s.bias, tag="attn_q")
        k = self.linear(source, s.width, name=f"{name}.key", bias=s.bias, tag="attn_k")
        v = self.linear(source, s.width, name=f"{name}.value", bias=s.bias, tag="attn_v")
        return self.attention(
            q, batch=self.batch, queries=x.shape[1], keys=source.shape[1], heads=s.heads,
            head_dim=s.width // s.heads, causal=causal, key_value=(k, v), write_cache=False,
            name=name,
        )  # fmt: skip

    def _heads(self, x: Tensor, source: Tensor, name: str, causal: bool) -> Tensor:
        """Add each head by itself; a mask changes the scores' values, not what is computed."""
        del causal
        s = self.s
        size, made = s.width // s.heads, list[Tensor]()
        for i in range(s.heads):
            head = f"{name}.head{i}"
            q = self.linear(x, size, name=f"{head}.query", bias=s.bias, tag="attn_q")
            k = self.linear(source, size, name=f"{head}.key", bias=s.bias, tag="attn_k")
            k = self.view(k, (self.batch, size, source.shape[1]), name=f"{head}.transposed")
            scores = self.softmax(
                self.matmul(q, k, name=f"{head}.scores"), name=f"{head}.softmax"
            )  # fmt: skip
            v = self.linear(source, size, name=f"{head}.value", bias=s.bias, tag="attn_v")
            made.append(self.matmul(scores, v, name=f"{head}.product"))
        return self.copy(made, x.shape, name=f"{name}.concat")

    def feed_forward(self, x: Tensor) -> Tensor:
        """Add two linear layers with a ReLU between, the sum and the normalisation."""
        y = self.linear(x, self.s.ffn_width, name="ffn.up", tag="ffn_up")
        y = self.elementwise("relu", y, name="ffn.relu")
        y = self.linear(y, self.s.width, name="ffn.down", tag="ffn_down")
        return self.norm(self.elementwise("add", y, x, name="ffn.add"), name="ffn.norm")

    def embed(self, name: str, tokens: Dim, table: Tensor | None) -> Tensor:
        """Declare a sequence: vectors, or indices that are embedded, with positions added."""
        shape = (self.batch, tokens, self.s.width)
        if table is None:
            return self.input(name, shape)
        ids = self.input(f"{name}_ids", shape[:2], format="int64")
        x = self.embedding(ids, self.s.vocabulary, self.s.width, weight=table, name=name)
        # Sinusoids: a constant, not a parameter.
        positions = self.input(f"{name}_positions", shape[1:])
        return self.elementwise("add", x, positions, name=f"{name}.positions", ops=2)


def build(s: Seq2SeqStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph; ``source`` and ``target`` are the lengths of the two sequences."""
    del semantics
    g = _Seq2SeqBuilder(s)
    table = None
    if s.vocabulary:
        table = g.weight("embedding.weight", (s.vocabulary, s.width), tag="embedding")
    x = g.embed("source", symbol("source"), table)
    with g.repeat(s.encoder_layers, "encoder"):
        x = g.attend(x, x, "self", causal=False)
        x = g.feed_forward(x)
    memory = g.norm(x, name="encoder_norm") if s.final_norm else x
    x = g.embed("target", symbol("target"), table)
    with g.repeat(s.decoder_layers, "decoder"):
        x = g.attend(x, x, "self", causal=True)
        x = g.attend(x, memory, "cross", causal=False)
        x = g.feed_forward(x)
    if s.final_norm:
        x = g.norm(x, name="decoder_norm")
    if s.vocabulary:
        x = g.linear(x, s.vocabulary, name="head", bias=False, tag="head", weight=table)
    g.output(x)
    return g.build(parameters(s))


def parameters(s: Seq2SeqStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    del s
    return {"batch": 1, "source": 128, "target": 128}


def items(s: Seq2SeqStructure) -> tuple[str, Dim]:
    """Return what a run yields: target tokens scored."""
    del s
    return "tokens", product(symbol("batch"), symbol("target"))


FAMILY_SEQ2SEQ = Family("seq2seq", Seq2SeqStructure, parameters, build, items)
