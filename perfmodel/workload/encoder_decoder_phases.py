"""Phases of networks that encode a source and decode tokens from it: encode, decode, request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypeAlias

from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, simplify, symbol
from perfmodel.workload.transformer_layers import TransformerPass

EncoderDecoderPhase: TypeAlias = Literal["request", "encode", "decode"]


class EncoderDecoder(Protocol):
    """A structure with a phase."""

    @property
    def phase(self) -> EncoderDecoderPhase:
        """Which phase a run is."""
        ...


Decode: TypeAlias = Callable[[TransformerPass, Tensor | None, bool], Tensor]
"""``(step, features, every)``: new tokens and what they attend to, what the encoder made where the
source is new, whether every token is scored; returns the scores."""


def build_phases(
    g: SequenceBuilder,
    s: EncoderDecoder,
    semantics: ExecutionSemantics,
    encode: Callable[[], Tensor],
    decode: Decode,
    parameters: Mapping[str, float],
) -> Graph:
    """Build the graph of a phase from one pass over each half."""
    batch = symbol("batch")
    if s.phase == "encode":
        g.output(encode())
    elif s.phase == "decode":
        g.output(decode(TransformerPass(batch, 1, symbol("context"), cached=True), None, True))
    else:
        prompt, generate = symbol("prompt"), symbol("generate")
        stored = simplify(prompt + generate)
        with g.phase("encode"):
            features = encode()
        with g.phase("prefill"):
            step = TransformerPass(batch, prompt, prompt, stored=stored)
            g.output(decode(step, features, semantics.head_on_every_token))
        with g.phase("decode", generate):
            mean = simplify(prompt + (generate + 1) * 0.5)
            g.output(
                decode(TransformerPass(batch, 1, mean, cached=True, stored=stored), None, True)
            )
    return g.build(parameters)


def items(s: EncoderDecoder) -> tuple[str, Dim]:
    """Return what a run yields: sequences of the source, or tokens of a decode step."""
    return "tokens" if s.phase == "decode" else "sequences", symbol("batch")
