"""Phases of networks whose state has a fixed size: decode, prefill, request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypeAlias

from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, product, symbol

RecurrentPhase: TypeAlias = Literal["decode", "prefill", "request"]

_PARAMETERS: Mapping[str, Mapping[str, float]] = {
    "decode": {"batch": 1, "context": 2048},
    "prefill": {"batch": 1, "prompt": 2048},
    "request": {"batch": 1, "prompt": 2048, "generate": 256},
}


class Recurrent(Protocol):
    """A structure with a phase and fields that may be free."""

    @property
    def phase(self) -> RecurrentPhase:
        """Which phase a run is."""
        ...

    @property
    def free(self) -> tuple[str, ...]:
        """Fields kept as symbols."""
        ...


Forward: TypeAlias = Callable[[Dim, bool, bool], Tensor]
"""``(steps, resumed, every)``: new tokens of each sequence, whether the state holds earlier ones,
whether every token is scored; returns the scores."""


def build_phases(
    g: SequenceBuilder, s: Recurrent, semantics: ExecutionSemantics, forward: Forward
) -> Graph:
    """Build the graph of a phase from one pass over the layers."""
    every = semantics.head_on_every_token
    if s.phase == "decode":
        g.output(forward(1, True, True))
    elif s.phase == "prefill":
        g.output(forward(symbol("prompt"), False, every))
    else:
        with g.phase("prefill"):
            g.output(forward(symbol("prompt"), False, every))
        with g.phase("decode", symbol("generate")):
            g.output(forward(1, True, True))
    return g.build(parameters(s))


class RecurrentModel(Protocol):
    """A structure of a language model with a fixed state."""

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        ...

    @property
    def vocabulary(self) -> int:
        """Tokens that it knows."""
        ...

    @property
    def tied_embeddings(self) -> bool:
        """Whether the classifier's weights are those of the embedding."""
        ...

    @property
    def free(self) -> tuple[str, ...]:
        """Fields kept as symbols."""
        ...


def _vocabulary(s: RecurrentModel) -> Dim:
    return symbol("vocabulary") if "vocabulary" in s.free else s.vocabulary


def embedded(
    g: SequenceBuilder, s: RecurrentModel, batch: Dim, steps: Dim
) -> tuple[Tensor, Tensor]:
    """Add the embedding of new tokens; returns its output and its table."""
    ids = g.input("ids", (batch, steps), format="int64")
    table = g.weight("embedding.weight", (_vocabulary(s), s.width), tag="embedding")
    return g.embedding(ids, _vocabulary(s), s.width, weight=table), table


def scores(g: SequenceBuilder, s: RecurrentModel, x: Tensor, table: Tensor) -> Tensor:
    """Add the classifier."""
    weight = table if s.tied_embeddings else None
    return g.linear(x, _vocabulary(s), name="head", bias=False, tag="head", weight=weight)


def last_token(g: SequenceBuilder, x: Tensor, *, every: bool) -> Tensor:
    """Return the tokens that are scored."""
    batch, steps, width = x.shape
    if every or steps == 1:
        return x
    return g.copy([x], (batch, 1, width), name="last_token", read=[product(batch, width)])


def parameters(s: Recurrent) -> dict[str, float]:
    """Return the free dimensions of a phase; a decode step takes a context and does not need it."""
    return {**_PARAMETERS[s.phase], **{field: getattr(s, field) for field in s.free}}


def items(s: Recurrent) -> tuple[str, Dim]:
    """Return what a run yields: tokens generated, or of the prompt."""
    each: dict[str, Dim] = {"decode": 1, "prefill": symbol("prompt"), "request": symbol("generate")}
    return "tokens", product(symbol("batch"), each[s.phase])
