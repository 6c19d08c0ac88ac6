"""Family ``rwkv``: linear recurrences with time mixing and channel mixing, versions 4 to 7.

RWKV-4 (Peng et al. 2023, arXiv 2305.13048), Eagle and Finch, versions 5 and 6 (arXiv 2404.05892),
Goose, version 7 (arXiv 2503.14456). Weights are those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.recurrent_phases import (
    RecurrentPhase,
    build_phases,
    embedded,
    items,
    last_token,
    parameters,
    scores,
)
from perfmodel.workload.rwkv_mixing import Mixer
from perfmodel.workload.symbols import Dim, simplify, symbol
from perfmodel.workload.transformer_structure import Count, CountOrNone


class RwkvStructure(FrozenModel):
    """Shape of an RWKV network.

    Attributes
    ----------
    phase
        ``decode`` (one token of each sequence), ``prefill``, or ``request`` (both). A decode step
        costs the same at any context: the state has a fixed size.
    version
        4: a state of three numbers a channel; 5: a matrix a head; 6: a decay that depends on the
        input; 7: a state that is changed by the delta rule.
    layers, width, ffn_width
        Layers, width of the residual stream, and hidden width of channel mixing.
    attention_width
        Channels of time mixing (`width` where 0).
    head_size
        Channels of a head (from version 5 on).
    mix_rank, decay_rank
        Ranks of what makes the mix (version 6) and the decay (6, 7) depend on the input.
    rate_rank, value_rank, gate_rank
        Ranks of the rate in context, of the residual of the values, and of the gate (version 7).
    vocabulary, tied_embeddings
        Tokens; whether the classifier reads the embedding table.
    entry_norm
        Whether embeddings are normalised.
    free
        Fields kept as symbols, among `FREE`.
    """

    FREE: ClassVar[tuple[str, ...]] = ("layers", "vocabulary")

    phase: RecurrentPhase = "decode"
    version: Literal[4, 5, 6, 7]
    layers: Count
    width: Count
    ffn_width: Count
    attention_width: CountOrNone = 0
    head_size: Count = 64
    mix_rank: Count = 32
    decay_rank: Count = 64
    rate_rank: Count = 64
    value_rank: Count = 32
    gate_rank: Count = 128
    vocabulary: Count
    tied_embeddings: bool = False
    entry_norm: bool = True
    free: tuple[Literal["layers", "vocabulary"], ...] = ()

    @property
    def channels(self) -> int:
        """Channels of time mixing."""
        return self.attention_width or self.width

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        width = data.get("attention_width") or data.get("width")
        size = data.get("head_size", 64)
        if data.get("version") == 4 or type(width) is not int or type(size) is not int:
            return
        if size > 0 and width > 0 and width % size:
            yield Flaw(("head_size",), f"{width} channels do not divide by heads of {size}",
                       f"a divisor of {width}")  # fmt: skip


def build(s: RwkvStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of a phase; the first layer of version 7 has no residual of values."""
    g = Mixer(s)

    def forward(steps: Dim, resumed: bool, every: bool) -> Tensor:
        batch = symbol("batch")
        layers: Dim = symbol("layers") if "layers" in s.free else s.layers
        x, table = embedded(g, s, batch, steps)
        if s.entry_norm:
            x = g.norm(x, name="entry_norm")
        first: Tensor | None = None
        if s.version == 7:
            with g.repeat(1, "first_layer"):
                x, first = g.layer(x, resumed=resumed)
        rest = simplify(layers - (s.version == 7))
        if rest != 0:
            with g.repeat(rest, "layer"):
                x, _ = g.layer(x, resumed=resumed, first=first)
        x = g.norm(last_token(g, x, every=every), name="final_norm")
        return scores(g, s, x, table)

    return build_phases(g, s, semantics, forward)


FAMILY_RWKV = Family("rwkv", RwkvStructure, parameters, build, items)
