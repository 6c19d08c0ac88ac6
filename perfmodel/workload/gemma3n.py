"""Family ``gemma3n``: the text part of Gemma 3n, for phones (Google 2025).

Four residual streams are mixed before each layer and corrected after it (AltUp, Baykal et al.
2023), a low-rank branch stands beside attention (LAuReL, arXiv 2411.07501), every layer has an
embedding of its own for each token, and the last layers have no keys and values: they read those of
the last layer of their kind that has. Layers follow the class of transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.nest import gemm_nest
from perfmodel.workload.recurrent_phases import RecurrentPhase, last_token
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import minimum, product, simplify
from perfmodel.workload.transformer import build_phases, items, parameters
from perfmodel.workload.transformer_layers import TransformerPass, feed_forward
from perfmodel.workload.transformer_structure import Count, CountOrNone, TransformerStructure


class Gemma3nStructure(FrozenModel):
    """Shape of the text part.

    Attributes
    ----------
    phase
        ``decode`` (one token of each sequence), ``prefill``, or ``request`` (both).
    layers, full_layers
        Layers that have keys and values, and how many of them attend to everything.
    sharing_layers, sharing_full_layers
        Layers that read the keys and values of the last such layer, and how many of them attend to
        everything.
    width, heads, kv_heads, head_dim, ffn_width, window
        As in a transformer.
    streams, low_rank, side_width
        Residual streams; rank beside attention; width of a layer's own embedding of a token.
    vocabulary, side_vocabulary
        Rows of the embedding, which the classifier reads too, and of the layers' own ones.
    free
        None: fields that may be kept as symbols.
    """

    FREE: ClassVar[tuple[str, ...]] = ()

    phase: RecurrentPhase = "decode"
    layers: Count
    full_layers: Count
    sharing_layers: CountOrNone = 0
    sharing_full_layers: CountOrNone = 0
    width: Count
    heads: Count
    kv_heads: Count
    head_dim: Count = 256
    ffn_width: Count
    window: Count = 512
    streams: Count = 4
    low_rank: Count = 64
    side_width: Count = 256
    vocabulary: Count
    side_vocabulary: Count
    free: tuple[()] = ()

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        yield from TransformerStructure.structure_faults(
            {k: data[k] for k in ("width", "heads", "kv_heads", "head_dim", "ffn_width")
             if k in data} | {"ffn_width": data.get("ffn_width", 1)}
        )  # fmt: skip
        for some, of in (("full_layers", "layers"), ("sharing_full_layers", "sharing_layers")):
            part, whole = data.get(some, 0), data.get(of, 0)
            if type(part) is int and type(whole) is int and part > whole:
                yield Flaw((some,), f"{part} of {whole} layers", f"at most {whole}")


class _Source(NamedTuple):
    """Keys and values that later layers read: the new ones, and the cache."""

    key: Tensor
    value: Tensor
    cache: Tensor


class _Router(NamedTuple):
    """Weights that tell how a layer's streams are mixed and corrected."""

    norm: Tensor
    weight: Tensor


class _Gemma3n(SequenceBuilder):
    """The builder with the network's own blocks."""

    def __init__(self, s: Gemma3nStructure) -> None:
        super().__init__("gemma3n")
        self.s = s
        self.inner = TransformerStructure(
            layers=s.layers, width=s.width, heads=s.heads, kv_heads=s.kv_heads,
            head_dim=s.head_dim, ffn_width=s.ffn_width, activation="gelu_tanh",
            vocabulary=s.vocabulary,
        )  # fmt: skip

    def rms(self, x: Tensor, name: str) -> Tensor:
        return self.norm(x, "rms_norm", name=name, affine=1)

    def routed(self, x: Tensor, router: _Router, name: str) -> Tensor:
        """Add the small router whose weights both uses in a layer share."""
        y = self.tensor(f"{name}.norm.out", x.shape)
        self.operator(f"{name}.norm", "norm", [x, router.norm], [y],
                      vector_ops=VECTOR_OPS["rms_norm"] * y.elements, inplace=x,
                      attributes={"function": "rms_norm"})  # fmt: skip
        y = self.linear(y, self.s.streams, name=f"{name}.router", bias=False,
                        weight=router.weight)  # fmt: skip
        return self.elementwise("tanh", y, name=f"{name}.tanh")

    def predict(self, streams: Tensor, active: Tensor, router: _Router) -> Tensor:
        """Mix the streams: a product with a matrix of each token's own."""
        s = self.s
        many = s.streams
        modes = self.routed(active, router, "predict")
        mix = self.linear(modes, many * many, name="predict.coefficients", bias=False, tag="altup")
        y = self.tensor("predict.out", streams.shape)
        batch, tokens = active.shape[0], active.shape[1]
        nest = gemm_nest(product(batch, tokens), s.width, many, many, streams.name, mix.name,
                         y.name, b_batched=True)  # fmt: skip
        self.operator("predict", "gemm", [streams, mix], [y], nests=[nest],
                      vector_ops=y.elements, pair=("activation", "activation"))  # fmt: skip
        return y

    def attend(
        self, x: Tensor, step: TransformerPass, window: int, source: _Source | None
    ) -> tuple[Tensor, _Source | None]:
        """Add attention over the layer's own keys and values, or over those of `source`."""
        s = self.s
        size, per_token = s.head_dim, 2 * s.kv_heads * s.head_dim
        q = self.linear(x, s.heads * size, name="q_proj", bias=False, tag="attn_q")
        q = self.norm(q, "rms_norm", name="q_norm", affine=1, features=size)
        q = self.elementwise("rope", q, name="q_rope")
        made = source
        if made is None:
            k = self.linear(x, s.kv_heads * size, name="k_proj", bias=False, tag="attn_k")
            v = self.linear(x, s.kv_heads * size, name="v_proj", bias=False, tag="attn_v")
            k = self.norm(k, "rms_norm", name="k_norm", affine=1, features=size)
            v = self.norm(v, "rms_norm", name="v_norm", affine=0)
            k = self.elementwise("rope", k, name="k_rope")
            held = step.keys if step.stored is None else step.stored
            held = minimum(held, window) if window else held
            shape = (step.batch, simplify(held), per_token)
            made = _Source(k, v, self.tensor("attention.kv", shape, role="kv"))
        # A decode step reads earlier keys from the cache; new ones are its own or in the cache too.
        new = (made.key, made.value) if source is None or not step.cached else None
        y = self.attention(
            q, batch=step.batch, queries=step.queries, keys=step.keys, heads=s.heads,
            head_dim=size, kv_heads=s.kv_heads, window=window or None, cached=step.cached,
            key_value=new, cache=made.cache, write_cache=source is None,
        )  # fmt: skip
        return self.linear(y, s.width, name="o_proj", bias=False, tag="attn_output"), made

    def layer(
        self,
        streams: Tensor,
        side: Tensor,
        step: TransformerPass,
        window: int,
        source: _Source | None,
    ) -> tuple[Tensor, _Source | None]:
        """Add one layer; returns the streams, and the keys and values it attended to."""
        s = self.s
        shape = (step.batch, step.queries, s.width)
        active = self.view(streams, shape, name="entry")
        router = _Router(
            self.weight("router.norm.weight", (s.width,), tag="vector"),
            self.weight("router.weight", (s.streams, s.width), tag="altup"),
        )
        predicted = self.predict(streams, active, router)
        x = self.view(predicted, shape, name="active")
        y = self.rms(x, "attention_norm")
        low = self.linear(y, s.low_rank, name="laurel.down", bias=False, tag="lora")
        low = self.rms(self.linear(low, s.width, name="laurel.up", bias=False, tag="lora"),
                       "laurel.norm")  # fmt: skip
        attended, made = self.attend(y, step, window, source)
        attended = self.rms(attended, "attention_post_norm")
        x = self.elementwise("add", x, attended, low, y, name="attention_add", ops=4)
        z = feed_forward(self, self.rms(x, "ffn_norm"), self.inner, s.ffn_width)
        x = self.elementwise("add", self.rms(z, "ffn_post_norm"), x, name="ffn_add")
        modes = self.routed(x, router, "correct")
        modes = self.linear(modes, s.streams, name="correct.coefficients", bias=False, tag="altup")
        corrected = self.tensor("correct.out", streams.shape)
        self.operator("correct", "elementwise", [predicted, x, modes], [corrected],
                      vector_ops=3 * corrected.elements, inplace=predicted,
                      attributes={"function": "correct"})  # fmt: skip
        first = self.view(corrected, shape, name="first")
        scale = self.weight("correct.scale", (s.width,), tag="vector")
        first = self.elementwise("mul", first, scale, name="correct.scaled")
        gate = self.linear(first, s.side_width, name="side.gate", bias=False, tag="altup")
        ops = VECTOR_OPS["gelu_tanh"] + 1
        gate = self.elementwise("gelu_gate", gate, self.view(side, gate.shape, name="side.token"),
                                name="side.act", ops=ops)  # fmt: skip
        first = self.linear(gate, s.width, name="side.projection", bias=False, tag="altup")
        first = self.rms(first, "side.norm")
        out = self.tensor("streams.out", streams.shape)
        self.operator("streams", "elementwise", [corrected, first], [out], inplace=corrected,
                      vector_ops=(s.streams - 1) * first.elements,
                      attributes={"function": "add"})  # fmt: skip
        return out, made

    def sides(self, ids: Tensor, x: Tensor) -> Tensor:
        """Add the layers' own embeddings of the tokens, with a projection of the common one."""
        s = self.s
        layers = s.layers + s.sharing_layers
        width = layers * s.side_width
        own = self.embedding(ids, s.side_vocabulary, width, name="side_embedding")
        y = self.linear(x, width, name="side.model_projection", bias=False, tag="altup")
        y = self.norm(y, "rms_norm", name="side.model_norm", affine=1, features=s.side_width)
        return self.elementwise("add", own, y, name="side.inputs", ops=2)


def build(s: Gemma3nStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of a phase."""
    g = _Gemma3n(s)

    def run(step: TransformerPass, every: bool) -> Tensor:
        ids = g.input("ids", (step.batch, step.queries), format="int64")
        table = g.weight("embedding.weight", (s.vocabulary, s.width), tag="embedding")
        x = g.embedding(ids, s.vocabulary, s.width, weight=table)
        side = g.sides(ids, x)
        shape = (s.streams, *x.shape)
        others = [
            g.linear(x, s.width, name=f"streams.projection{i}", bias=False, tag="altup")
            for i in range(1, s.streams)
        ]
        streams = g.copy([x, *others], shape, name="streams.entry")
        sources: dict[int, _Source | None] = {}
        for name, count, window in _groups(s, sharing=False):
            with g.repeat(count, name):
                streams, sources[window] = g.layer(streams, side, step, window, None)
        for name, count, window in _groups(s, sharing=True):
            with g.repeat(count, f"sharing_{name}"):
                streams, _ = g.layer(streams, side, step, window, sources[window])
        x = g.view(streams, x.shape, name="streams.first")
        parts = [x]
        for i in range(1, s.streams):
            other = g.view(streams, x.shape, name=f"streams.part{i}")
            parts.append(g.linear(other, s.width, name=f"streams.unembedding{i}", bias=False,
                                  tag="altup"))  # fmt: skip
        x = g.elementwise("mean", *parts, name="streams.mean", ops=s.streams)
        x = g.rms(last_token(g, x, every=every), "final_norm")
        return g.linear(x, s.vocabulary, name="head", bias=False, tag="head", weight=table)

    return build_phases(g, s.phase, parameters(s), semantics, run)


def _groups(s: Gemma3nStructure, *, sharing: bool) -> Iterator[tuple[str, int, int]]:
    """Yield name, layers and window; the last layer of a kind, which others read, by itself."""
    whole = s.sharing_layers if sharing else s.layers
    full = s.sharing_full_layers if sharing else s.full_layers
    kept = {s.window: s.sharing_layers - s.sharing_full_layers, 0: s.sharing_full_layers}
    for name, count, window in (("sliding_layer", whole - full, s.window), ("layer", full, 0)):
        read = 0 if sharing else min(count, kept[window] > 0)
        if count - read:
            yield name, count - read, window
        if read:
            yield f"last_{name}", 1, window


FAMILY_GEMMA3N = Family("gemma3n", Gemma3nStructure, parameters, build, items)
