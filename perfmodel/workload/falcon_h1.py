"""Family ``falcon_h1``: attention and Mamba-2 beside each other in every layer (arXiv 2507.22448).

Both read the same normalised input and their outputs are added; a feed-forward network follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.mamba2 import Mamba2Structure, mixer
from perfmodel.workload.recurrent_phases import RecurrentPhase, embedded, last_token, scores
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, symbol
from perfmodel.workload.transformer import build_phases, items, parameters
from perfmodel.workload.transformer_layers import (
    TransformerPass,
    feed_forward,
    residual,
    self_attention,
)
from perfmodel.workload.transformer_structure import Count, CountOrNone, TransformerStructure


class FalconH1Structure(FrozenModel):
    """Shape of a hybrid of attention and state spaces.

    Attributes
    ----------
    phase
        ``decode`` (one token of each sequence), ``prefill``, or ``request`` (both).
    layers, width, heads, kv_heads, head_dim, ffn_width
        As in a transformer.
    ssm_heads, ssm_head_dim, ssm_groups, ssm_state, kernel, chunk
        As in Mamba-2.
    gate_norm
        Whether what the gate of the state space lets through is normalised.
    vocabulary, tied_embeddings
        Tokens; whether the classifier reads the embedding table.
    free
        Fields kept as symbols, among `FREE`.
    """

    FREE: ClassVar[tuple[str, ...]] = ("layers", "vocabulary")

    phase: RecurrentPhase = "decode"
    layers: Count
    width: Count
    heads: Count
    kv_heads: CountOrNone = 0
    head_dim: CountOrNone = 0
    ffn_width: Count
    ssm_heads: Count
    ssm_head_dim: Count = 64
    ssm_groups: Count = 1
    ssm_state: Count = 128
    kernel: Count = 4
    chunk: Count = 256
    gate_norm: bool = False
    vocabulary: Count
    tied_embeddings: bool = False
    free: tuple[Literal["layers", "vocabulary"], ...] = ()

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        yield from TransformerStructure.structure_faults(
            {k: v for k, v in data.items() if k not in {"phase", "free"}}
        )
        mamba = {"heads": data.get("ssm_heads"), "groups": data.get("ssm_groups", 1)}
        for flaw in Mamba2Structure.structure_faults(mamba):
            yield Flaw(("ssm_groups",), flaw.message, flaw.expected)


def build(s: FalconH1Structure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of a phase."""
    g = SequenceBuilder("falcon_h1")
    attention = TransformerStructure(
        phase=s.phase, layers=s.layers, width=s.width, heads=s.heads, kv_heads=s.kv_heads,
        head_dim=s.head_dim, ffn_width=s.ffn_width, vocabulary=s.vocabulary,
    )  # fmt: skip
    ssm = Mamba2Structure(
        layers=s.layers, width=s.width, heads=s.ssm_heads, head_dim=s.ssm_head_dim,
        groups=s.ssm_groups, state=s.ssm_state, kernel=s.kernel, chunk=s.chunk,
        gate_norm=s.gate_norm, vocabulary=s.vocabulary,
    )  # fmt: skip
    layers: Dim = symbol("layers") if "layers" in s.free else s.layers

    def run(step: TransformerPass, every: bool) -> Tensor:
        x, table = embedded(g, s, step.batch, step.queries)
        with g.repeat(layers, "layer"):
            y = g.norm(x, "rms_norm", name="norm", affine=1)
            made = mixer(g, y, ssm, resumed=step.cached)
            attended = self_attention(g, y, attention, step)
            x = g.elementwise("add", made, attended, x, name="mixed", ops=2)
            x = residual(g, x, attention, "ffn",
                         lambda z: feed_forward(g, z, attention, s.ffn_width))  # fmt: skip
        x = g.norm(last_token(g, x, every=every), "rms_norm", name="final_norm", affine=1)
        return scores(g, s, x, table)

    return build_phases(g, s.phase, parameters(s), semantics, run)


FAMILY_FALCON_H1 = Family("falcon_h1", FalconH1Structure, parameters, build, items)
