"""Structure of a transformer: widths, heads, experts, phase; and checks across its fields.

The validated data from which `perfmodel.workload.transformer` builds a graph. `share` returns the
part of one device under tensor, data and expert parallelism.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, cast

from pydantic import Field

from perfmodel.frozen_model import FrozenModel, LargeCount, LargeCountOrNone
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.symbols import nearest_divisor

Phase: TypeAlias = Literal["decode", "prefill", "extend", "request", "encode"]


class Latent(FrozenModel):
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).

    Attributes
    ----------
    query_rank
        Rank of the compressed query; 0 if the query is projected directly.
    rank
        Rank of the joint compression of keys and values, which the cache stores.
    plain_dim, rope_dim
        Parts of a query or key head without and with rotary positions; the cache stores one rotary
        key for all heads.
    value_dim
        Size of a value head.
    """

    query_rank: LargeCountOrNone = 0
    rank: LargeCount
    plain_dim: LargeCount
    rope_dim: LargeCount
    value_dim: LargeCount


class Experts(FrozenModel):
    """Mixture of experts.

    Attributes
    ----------
    count, per_token
        Number of experts in a layer, and number that a token visits.
    ffn_width
        Hidden width of an expert.
    shared_width
        Total hidden width of the experts that every token visits; 0 for none.
    shared_gate
        Whether the shared expert is scaled by a learned gate (Qwen2-MoE).
    dense_layers
        Number of initial layers with a plain feed-forward network instead.
    router_bias, bias
        Whether vectors are added to the router's scores, and to the experts' outputs.
    live
        Share of an expert's neurons with a positive gate, if a runtime reads and multiplies only
        those in the up- and down-projections (ReLU); 1 if it reads all.
    devices
        Devices over which a layer's experts are distributed, of which the structure is the busiest;
        `per_token` then counts visits on all of them, and `count` the experts of one.
    router_first
        Whether the router reads the layer's input, before normalisation and attention, so that
        experts can be fetched during attention (SmallThinker).
    """

    count: LargeCount
    per_token: LargeCount
    ffn_width: LargeCount
    shared_width: LargeCountOrNone = 0
    shared_gate: bool = False
    dense_layers: LargeCountOrNone = 0
    router_bias: bool = False
    bias: bool = False
    live: Annotated[float, Field(gt=0, le=1, strict=True)] = 1.0
    router_first: bool = False
    devices: LargeCount = 1


class TransformerStructure(FrozenModel):
    """Structure of a transformer.

    Attributes
    ----------
    phase
        ``decode``: one step, in which each sequence of the batch gets one token; ``prefill``: the
        prompt; ``extend``: a prompt after ``past`` cached tokens; ``request``: a prefill and then
        ``generate`` decode steps, all costed at their mean context ``prompt + (generate + 1) / 2``
        (exact if time is linear in the context, as for reading a full KV cache; not at the edge
        of a sliding window); ``encode``: all tokens at once, without a cache.
    layers, width
        Number of layers, and width of the residual stream.
    heads, kv_heads, head_dim
        Attention heads, key and value heads (0 for `heads`) and their size (0 for
        ``width / heads``).
    latent
        Multi-head latent attention in place of plain heads.
    window, full_every, full_layers
        Sliding window in tokens (0 for none), centred on the token in an encoder; every n-th layer,
        or the number of layers, with full attention nevertheless (0 for none).
    ffn_width, gated, activation
        Feed-forward network: hidden width, and whether a gate multiplies it (SwiGLU, GeGLU).
    experts
        Mixture of experts in place of the feed-forward network.
    norm, norm_vectors, norm_position, qk_norm
        Normalisation; number of its weight vectors (scale, shift), by default 1 for an RMS norm
        and 2 for a layer norm; its position: before a block, after the residual sum (BERT), both
        before and after the block (Gemma), or after the block before the sum (``output``, OLMo 2);
        whether queries and keys are normalised per head, or over all heads at once (``whole``).
    parallel
        Whether attention and the feed-forward network read the same input, after one norm or one
        norm each, and their outputs are summed (Falcon, Phi, GPT-J, GPT-NeoX).
    sub_norms
        Whether the inputs of the last projections of attention and of the feed-forward network are
        normalised (BitNet).
    first_norm
        Whether the input of the first layer's attention is normalised even if embeddings are
        (not in ModernBERT); that layer has full attention.
    layer_scale
        Whether a learned vector scales the output of each block before the sum (DINOv2).
    sinks
        Whether a learned score per head takes part in the softmax (gpt-oss).
    final_norm, embedding_norm
        Whether the last layer's output, and the embeddings, are normalised.
    qkv_bias, output_bias, ffn_bias
        Whether the projections have biases.
    positions
        Rows of a learned table of positions; 0 for rotary positions or none.
    rotary, rotary_dim, unrotated_layers
        Whether queries and keys are rotated; rotated elements per head (0 for all); number of
        layers without rotation. With a window, these are the layers without one.
    token_types
        Rows of a table of segments (BERT).
    vocabulary, tied_embeddings, head, head_bias
        Number of tokens; whether the classifier reads the embedding table; ``tokens`` (a score per
        token of the vocabulary), ``pooler`` (BERT's dense layer on the first token), or ``none``.
    causal
        Whether a token attends to earlier ones only.
    tensor
        Devices over which heads, hidden features and the vocabulary are split; the graph is that of
        one device, without communication.
    free
        Fields that remain symbols of the graph, among `FREE`, to be swept or differentiated.
    """

    FREE: ClassVar[tuple[str, ...]] = ("layers", "width", "ffn_width", "vocabulary")

    phase: Phase = "decode"
    layers: LargeCount
    width: LargeCount
    heads: LargeCount
    kv_heads: LargeCountOrNone = 0
    head_dim: LargeCountOrNone = 0
    latent: Latent | None = None
    window: LargeCountOrNone = 0
    full_every: LargeCountOrNone = 0
    full_layers: LargeCountOrNone = 0
    ffn_width: LargeCountOrNone = 0
    gated: bool = True
    activation: Literal["silu", "gelu", "gelu_tanh", "relu", "relu2"] = "silu"
    experts: Experts | None = None
    norm: Literal["rms_norm", "layer_norm"] = "rms_norm"
    norm_vectors: Annotated[int, Field(ge=0, le=2, strict=True)] | None = None
    norm_position: Literal["before", "after", "both", "output"] = "before"
    qk_norm: bool | Literal["whole"] = False
    parallel: Literal["no", "one_norm", "two_norms"] = "no"
    sub_norms: bool = False
    first_norm: bool = True
    layer_scale: bool = False
    sinks: bool = False
    final_norm: bool = True
    embedding_norm: bool = False
    qkv_bias: bool = False
    output_bias: bool = False
    ffn_bias: bool = False
    positions: LargeCountOrNone = 0
    rotary: bool = True
    rotary_dim: LargeCountOrNone = 0
    unrotated_layers: LargeCountOrNone = 0
    token_types: LargeCountOrNone = 0
    vocabulary: LargeCount
    tied_embeddings: bool = False
    head: Literal["tokens", "pooler", "none"] = "tokens"
    head_bias: bool = False
    causal: bool = True
    tensor: LargeCount = 1
    free: tuple[Literal["layers", "width", "ffn_width", "vocabulary"], ...] = ()

    @property
    def groups(self) -> int:
        """Number of key and value heads."""
        return self.kv_heads or self.heads

    @property
    def head_size(self) -> int:
        """Size of a head."""
        return self.head_dim or self.width // self.heads

    @property
    def remarks(self) -> tuple[str, ...]:
        """Notes for the user about its numbers."""
        if self.tensor == 1:
            return ()
        return (
            f"one of {self.tensor} devices: what they exchange is not counted (`serve` counts it)",
        )

    def share(self, tensor: int, data: int = 1, expert: int = 1) -> TransformerStructure:
        """Return the share of one device in a group.

        Heads, hidden features and vocabulary are divided by `tensor`. The keys and values of a head
        are not split, so that with more devices than heads they are replicated, and a latent cache
        is replicated on all devices (Shoeybi et al. 2019, arXiv 1909.08053; DeepSeek-V2, arXiv
        2405.04434). Experts are distributed evenly.

        Parameters
        ----------
        tensor
            Devices over which heads, hidden features and the vocabulary are split.
        data
            Groups of such devices.
        expert
            Devices over which the experts of a layer are distributed.
        """
        if tensor == data == expert == 1:
            return self
        change: dict[str, Any] = {
            "tensor": 1,
            "heads": self.heads // tensor,
            "head_dim": self.head_size if self.latent is None else self.head_dim,
            "vocabulary": -(-self.vocabulary // tensor),
        }
        for name in ("kv_heads", "ffn_width"):
            if getattr(self, name):
                change[name] = max(getattr(self, name) // tensor, 1)
        if self.experts is not None:
            # The experts of a device are visited by the tokens of all groups.
            visited = self.experts.per_token * data
            count = max(self.experts.count // expert, 1)
            # Devices over which the features of one expert are split.
            features = max(tensor * data // expert, 1)
            experts = {
                "count": count,
                "per_token": visited if expert > 1 else min(visited, count),
                "devices": expert,
                "ffn_width": max(self.experts.ffn_width // features, 1),
                "shared_width": -(-self.experts.shared_width // tensor),
            }
            change["experts"] = self.experts.model_copy(update=experts)
        return self.model_copy(update=change)

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield flaws across fields, ignoring fields that are invalid by themselves."""
        yield from _heads(data)
        yield from _feed_forward(data)
        yield from _phase(data)
        yield from _windows(data)
        yield from _positions(data)
        for field in _free(data):
            if field == "width" and not _positive(data, "head_dim"):
                yield Flaw(("free",), "a free 'width' leaves the head size open", "'head_dim'")


def _windows(data: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield contradictions between window and layers with full attention."""
    for field in ("full_every", "full_layers"):
        if _positive(data, field) and not _positive(data, "window"):
            yield Flaw(
                (field,),
                "says which layers have no window, but 'window' is not set",
                "'window' in tokens",
            )
    full = _positive(data, "full_layers")
    yield from _excess(("full_layers",), full, _positive(data, "layers"))
    if full and _positive(data, "full_every"):
        yield Flaw(("full_layers",), "contradicts 'full_every'", "one of the two")
    if full and _positive(_experts(data), "dense_layers"):
        yield Flaw(
            ("full_layers",),
            "does not say which of the first dense layers are meant",
            "'full_every'",
        )


def _positions(data: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield contradictions between rotary positions, heads and windows."""
    size, rotated = _positive(data, "head_dim"), _positive(data, "rotary_dim")
    if size and rotated > size:
        yield Flaw(("rotary_dim",), f"{rotated} of a head's {size} elements", f"0 to {size}")
    unrotated, full = _positive(data, "unrotated_layers"), _positive(data, "full_layers")
    yield from _excess(("unrotated_layers",), unrotated, _positive(data, "layers"))
    if unrotated and _positive(data, "window") and unrotated != full:
        yield Flaw(
            ("unrotated_layers",),
            "with a window, these are the layers without one",
            f"'full_layers' of {unrotated}",
        )
    if data.get("first_norm") is False and _positive(data, "window") and not full:
        yield Flaw(("first_norm",), "the first layer attends to everything", "'full_layers'")
    if data.get("parallel", "no") != "no" and data.get("norm_position", "before") != "before":
        yield Flaw(("norm_position",), "parallel blocks are normalised before", "before")


def _free(data: Mapping[str, Any]) -> tuple[Any, ...]:
    symbols = data.get("free")
    return tuple(cast("Sequence[Any]", symbols)) if isinstance(symbols, list | tuple) else ()


def _positive(data: Mapping[str, Any], key: str) -> int:
    """Return a field if it is a valid count; 0 if it is absent or invalid."""
    value = data.get(key)
    return value if type(value) is int and value > 0 else 0


def _excess(path: tuple[str, ...], number: int, layers: int) -> Iterator[Flaw]:
    """Yield a flaw if a number exceeds that of the layers, if it is known."""
    if layers and number > layers:
        yield Flaw(path, f"{number} of {layers} layers", f"0 to {layers}")


def _experts(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of the experts; empty if they are absent or invalid."""
    experts = data.get("experts")
    if isinstance(experts, Experts):
        return experts.model_dump()
    return cast("Mapping[str, Any]", experts) if isinstance(experts, Mapping) else {}


def _heads(data: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield heads that do not divide by groups, devices or the width."""
    heads, groups = _positive(data, "heads"), _positive(data, "kv_heads")
    if heads and groups and heads % groups:
        yield Flaw(
            ("kv_heads",),
            f"{heads} heads do not divide by {groups} key and value heads",
            f"a divisor of {heads}",
            str(nearest_divisor(heads, groups)),
        )
    tensor = _positive(data, "tensor")
    if heads and tensor and heads % tensor:
        yield Flaw(
            ("tensor",),
            f"{heads} heads do not divide over {tensor} devices",
            f"a divisor of {heads}",
        )
    if tensor > 1 and {"ffn_width", "vocabulary"} & {*_free(data)}:
        yield Flaw(("tensor",), "does not split what is free", "numbers for the widths")
    width = _positive(data, "width")
    divided = not data.get("head_dim") and not data.get("latent")
    if divided and heads and width and width % heads:
        yield Flaw(
            ("heads",),
            f"a width of {width} does not divide by {heads} heads",
            f"a divisor of {width}, or 'head_dim'",
            str(nearest_divisor(width, heads)),
        )


def _feed_forward(data: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield missing widths, and experts that do not fit the layers."""
    experts = _experts(data)
    count, per_token = _positive(experts, "count"), _positive(experts, "per_token")
    if count and per_token > count:
        yield Flaw(
            ("experts", "per_token"),
            f"a token cannot visit {per_token} of {count} experts",
            f"1 to {count}",
        )
    dense_layers = _positive(experts, "dense_layers")
    yield from _excess(("experts", "dense_layers"), dense_layers, _positive(data, "layers"))
    dense = data.get("experts") is None or dense_layers > 0
    if dense and data.get("ffn_width", 1) == 0:
        yield Flaw(("ffn_width",), "0 is not a width", "a count of at least 1")
    if dense and "ffn_width" not in data:
        yield Flaw((), "missing key 'ffn_width'", on_key=True)


def _phase(data: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield phases that an encoder or a decoder does not have."""
    causal = data.get("causal", True)
    phase = data.get("phase", "decode")
    if causal is False and phase in ("decode", "prefill", "extend", "request"):
        yield Flaw(("phase",), f"an encoder has no phase '{phase}'", "encode", "encode")
    if causal is True and phase == "encode":
        yield Flaw(
            ("phase",),
            "a decoder has no phase 'encode'",
            "decode, prefill, extend or request",
            "prefill",
        )
