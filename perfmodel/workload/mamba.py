"""Family ``mamba``: selective state spaces (Gu and Dao 2023, arXiv 2312.00752), by phase.

Layers follow the reference implementation: one block of in-projection, short convolution, selective
scan, gate and out-projection, with a residual sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.nest import LoopNest, Operand, indexed
from perfmodel.workload.recurrent_phases import (
    RecurrentPhase,
    build_phases,
    embedded,
    items,
    last_token,
    parameters,
    scores,
)
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, symbol
from perfmodel.workload.transformer_structure import Count, CountOrNone


class MambaStructure(FrozenModel):
    """Shape of a Mamba network.

    Attributes
    ----------
    phase
        ``decode`` (one token of each sequence), ``prefill``, or ``request`` (both). A decode step
        costs the same at any context: the state has a fixed size.
    layers, width
        Layers and the width of the residual stream.
    inner
        Channels of the scan (twice `width` where 0).
    state
        State elements of a channel.
    kernel
        Taps of the short convolution.
    rank
        Rank of the step size's projection (``ceil(width / 16)`` where 0).
    vocabulary, tied_embeddings
        Tokens; whether the classifier reads the embedding table.
    conv_bias, bias
        Biases of the convolution, and of the in- and out-projections.
    selected_norm
        The step size, B and C are normalised, without weights (Falcon Mamba).
    free
        Fields kept as symbols, among `FREE`.
    """

    FREE: ClassVar[tuple[str, ...]] = ("layers", "vocabulary")

    phase: RecurrentPhase = "decode"
    layers: Count
    width: Count
    inner: CountOrNone = 0
    state: Count = 16
    kernel: Count = 4
    rank: CountOrNone = 0
    vocabulary: Count
    tied_embeddings: bool = True
    conv_bias: bool = True
    bias: bool = False
    selected_norm: bool = False
    free: tuple[Literal["layers", "vocabulary"], ...] = ()

    @property
    def channels(self) -> int:
        """Channels of the scan."""
        return self.inner or 2 * self.width

    @property
    def step_rank(self) -> int:
        """Rank of the step size's projection."""
        return self.rank or -(-self.width // 16)

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        rank, width = data.get("rank"), data.get("width")
        if type(rank) is int and type(width) is int and 0 < 2 * width < rank:
            yield Flaw(("rank",), f"a rank of {rank} exceeds the {2 * width} channels",
                       f"about {-(-width // 16)}")  # fmt: skip


def build(s: MambaStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of a phase."""
    g = SequenceBuilder("mamba")

    def forward(steps: Dim, resumed: bool, every: bool) -> Tensor:
        return _forward(g, s, steps, resumed=resumed, every=every)

    return build_phases(g, s, semantics, forward)


def _forward(
    g: SequenceBuilder, s: MambaStructure, steps: Dim, *, resumed: bool, every: bool
) -> Tensor:
    batch = symbol("batch")
    layers: Dim = symbol("layers") if "layers" in s.free else s.layers
    x, table = embedded(g, s, batch, steps)
    with g.repeat(layers, "layer"):
        y = g.norm(x, "rms_norm", name="norm", affine=1)
        x = g.elementwise("add", _mixer(g, y, s, batch, steps, resumed=resumed), x, name="add")
    x = g.norm(last_token(g, x, every=every), "rms_norm", name="final_norm", affine=1)
    return scores(g, s, x, table)


def _mixer(
    g: SequenceBuilder, x: Tensor, s: MambaStructure, batch: Dim, steps: Dim, *, resumed: bool
) -> Tensor:
    inner, rank = s.channels, s.step_rank
    both = g.linear(x, 2 * inner, name="in_proj", bias=s.bias, tag="ssm_in")
    u = g.view(both, (batch, steps, inner), name="u")
    z = g.view(both, (batch, steps, inner), name="z")
    u = causal_convolution(g, u, s.kernel, bias=s.conv_bias, resumed=resumed)
    u = g.elementwise("silu", u, name="conv_silu")
    selected = g.linear(u, rank + 2 * s.state, name="x_proj", bias=False, tag="ssm_x")
    if s.selected_norm:
        # One norm each over the step size, B and C; their widths add up.
        selected = g.norm(selected, "rms_norm", name="selected_norm", affine=0)
    low = g.view(selected, (batch, steps, rank), name="dt_low")
    step = g.linear(low, inner, name="dt_proj", tag="ssm_dt")
    step = g.elementwise("softplus", step, name="dt_softplus")
    y = g.scan(u, batch=batch, steps=steps, channels=inner, state=s.state,
               selected=(step, selected))  # fmt: skip
    y = g.elementwise("silu_gate", y, z, name="gate", ops=8)
    return g.linear(y, s.width, name="out_proj", bias=s.bias, tag="ssm_out")


def causal_convolution(
    g: SequenceBuilder, x: Tensor, kernel: int, *, bias: bool, resumed: bool
) -> Tensor:
    """Add the causal depthwise convolution; the last inputs of a sequence are kept for later."""
    batch, steps, inner = x.shape
    w = g.weight("conv.weight", (inner, kernel), tag="ssm_conv")
    kept = g.tensor("conv.state", (batch, inner, kernel), role="state")
    y = g.tensor("conv.out", (batch, steps, inner))
    nest = LoopNest(
        (("b", batch), ("t", steps), ("c", inner), ("r", kernel)),
        (
            Operand(x.name, "input", ((("b", 1),), (("t", 1), ("r", 1)), (("c", 1),)),
                    (None, steps, None)),
            Operand(w.name, "weight", indexed("cr")),
            Operand(y.name, "output", indexed("btc")),
        ),
    )  # fmt: skip
    reads = [x, w]
    if bias:
        reads.append(g.weight("conv.bias", (inner,), tag="vector"))
    if resumed:
        reads.append(kept)
    g.operator("conv", "depthwise", reads, [y, kept], nests=[nest], pair=(w.slot, x.slot),
               vector_ops=y.elements if bias else 0)  # fmt: skip
    return y


FAMILY_MAMBA = Family("mamba", MambaStructure, parameters, build, items)
