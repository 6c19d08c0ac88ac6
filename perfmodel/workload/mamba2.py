"""Family ``mamba2``: state space duality (Dao and Gu 2024, arXiv 2405.21060), by phase.

A layer projects once to gate, channels, B, C and step sizes; channels, B and C pass a short
convolution; a head has one decay. A prompt is scanned in chunks: products inside a chunk as in
attention, one state for each chunk (section 6); a decode step updates the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.mamba import causal_convolution
from perfmodel.workload.nest import LoopNest, Operand
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
from perfmodel.workload.symbols import Dim, minimum, product, simplify, symbol
from perfmodel.workload.transformer_structure import Count

#: Operations on a state element in a step besides the product with C: the decay, the product of B
#: with the scaled input, and the sum.
_UPDATE_OPS = 3


class Mamba2Structure(FrozenModel):
    """Shape of a Mamba-2 network.

    Attributes
    ----------
    phase
        ``decode`` (one token of each sequence), ``prefill``, or ``request`` (both). A decode step
        costs the same at any context: the state has a fixed size.
    layers, width
        Layers and the width of the residual stream.
    heads, head_dim
        Heads and their channels; together twice `width` as a rule.
    groups
        Groups of heads that share B and C.
    state
        State elements of a channel.
    kernel
        Taps of the short convolution.
    chunk
        Tokens that a prompt is scanned by.
    vocabulary, tied_embeddings
        Tokens; whether the classifier reads the embedding table.
    conv_bias, bias
        Biases of the convolution, and of the in- and out-projections.
    gate_norm
        Whether what the gate lets through is normalised.
    free
        Fields kept as symbols, among `FREE`.
    """

    FREE: ClassVar[tuple[str, ...]] = ("layers", "vocabulary")

    phase: RecurrentPhase = "decode"
    layers: Count
    width: Count
    heads: Count
    head_dim: Count = 64
    groups: Count = 1
    state: Count = 128
    kernel: Count = 4
    chunk: Count = 256
    vocabulary: Count
    tied_embeddings: bool = True
    conv_bias: bool = True
    bias: bool = False
    gate_norm: bool = True
    free: tuple[Literal["layers", "vocabulary"], ...] = ()

    @property
    def inner(self) -> int:
        """Channels of the scan."""
        return self.heads * self.head_dim

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong across fields."""
        heads, groups = data.get("heads"), data.get("groups", 1)
        if type(heads) is int and type(groups) is int and heads > 0 < groups and heads % groups:
            yield Flaw(("groups",), f"{heads} heads do not divide by {groups} groups",
                       f"a divisor of {heads}")  # fmt: skip


def build(s: Mamba2Structure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph of a phase."""
    g = SequenceBuilder("mamba2")

    def forward(steps: Dim, resumed: bool, every: bool) -> Tensor:
        batch = symbol("batch")
        layers: Dim = symbol("layers") if "layers" in s.free else s.layers
        x, table = embedded(g, s, batch, steps)
        with g.repeat(layers, "layer"):
            y = g.norm(x, "rms_norm", name="norm", affine=1)
            x = g.elementwise("add", mixer(g, y, s, resumed=resumed), x, name="add")
        x = g.norm(last_token(g, x, every=every), "rms_norm", name="final_norm", affine=1)
        return scores(g, s, x, table)

    return build_phases(g, s, semantics, forward)


def mixer(g: SequenceBuilder, x: Tensor, s: Mamba2Structure, *, resumed: bool) -> Tensor:
    """Add the projections, the convolution, the scan and the gated normalisation."""
    batch, steps, width = x.shape
    inner, shared = s.inner, 2 * s.groups * s.state
    made = g.linear(x, 2 * inner + shared + s.heads, name="in_proj", bias=s.bias, tag="ssm_in")
    z = g.view(made, (batch, steps, inner), name="z")
    u = g.view(made, (batch, steps, inner + shared), name="u")
    step = g.view(made, (batch, steps, s.heads), name="dt")
    step = g.elementwise("softplus", step, g.weight("dt.bias", (s.heads,), tag="vector"),
                         name="dt_softplus", ops=10)  # fmt: skip
    u = causal_convolution(g, u, s.kernel, bias=s.conv_bias, resumed=resumed)
    u = g.elementwise("silu", u, name="conv_silu")
    y = _scan(g, u, step, s, batch, steps, resumed=resumed)
    y = g.elementwise("silu_gate", y, z, name="gate", ops=8)
    if s.gate_norm:
        y = g.norm(y, "rms_norm", name="gate_norm", affine=1)
    return g.linear(y, width, name="out_proj", bias=s.bias, tag="ssm_out")


def _scan(
    g: SequenceBuilder, u: Tensor, step: Tensor, s: Mamba2Structure, batch: Dim, steps: Dim, *,
    resumed: bool,
) -> Tensor:  # fmt: skip
    """Add the scan; a new prompt needs no state, and leaves one."""
    y = g.tensor("scan.out", (batch, steps, s.inner))
    kept = g.tensor("scan.state", (batch, s.heads, s.head_dim, s.state), role="state")
    decay = g.weight("scan.A", (s.heads,), tag="vector")
    skip = g.weight("scan.D", (s.heads,), tag="vector")
    reads = [u, step, decay, skip, *([kept] if resumed else [])]
    heads: tuple[tuple[str, Dim], ...] = (
        ("b", batch), ("g", s.groups), ("h", s.heads // s.groups),
    )  # fmt: skip
    skipped = y.elements * 2
    if steps == 1:
        nests = (_nest((*heads, ("p", s.head_dim), ("n", s.state)), kept, u, y, "bghpn", "bgn",
                       "bghp"),)  # fmt: skip
        ops = kept.elements * _UPDATE_OPS + skipped
    else:
        # A prompt of T tokens: T x min(T, chunk) pairs, as rectangles of a chunk.
        inside = simplify(minimum(steps, s.chunk))
        pairs: tuple[tuple[str, Dim], ...] = (("t", steps), ("s", inside))
        state: tuple[tuple[str, Dim], ...] = (("n", s.state),)
        channel: tuple[tuple[str, Dim], ...] = (("p", s.head_dim),)
        times: tuple[tuple[str, Dim], ...] = (("t", steps),)
        nests = (
            _nest((*heads[:2], *pairs, *state), u, u, y, "bgtn", "bgsn", "bgts"),
            _nest((*heads, *pairs, *channel), y, u, y, "bghts", "bghsp", "bghtp"),
            _nest((*heads, *times, *state, *channel), u, u, kept, "bgtn", "bghtp", "bghnp"),
            _nest((*heads, *times, *state, *channel), u, kept, y, "bgtn", "bghnp", "bghtp"),
        )
        # Decays of pairs (exp, product), of inputs to a state, and of states from chunk to chunk.
        ops = product(batch, s.heads, steps, inside) * 5 + y.elements * 2 + skipped
        ops = ops + product(steps / s.chunk, kept.elements) * 2
    g.operator("scan", "scan", reads, [y, kept], nests=nests, vector_ops=ops,
               pair=("activation", "activation"))  # fmt: skip
    return y


def _nest(
    dims: tuple[tuple[str, Dim], ...], a: Tensor, b: Tensor, out: Tensor, a_axes: str, b_axes: str,
    out_axes: str,
) -> LoopNest:  # fmt: skip
    def axes(letters: str) -> tuple[tuple[tuple[str, int], ...], ...]:
        return tuple(((letter, 1),) for letter in letters)

    return LoopNest(dims, (
        Operand(a.name, "input", axes(a_axes)), Operand(b.name, "input", axes(b_axes)),
        Operand(out.name, "output", axes(out_axes)),
    ))  # fmt: skip


FAMILY_MAMBA2 = Family("mamba2", Mamba2Structure, parameters, build, items)
