"""Time mixing and channel mixing of RWKV, by version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfmodel.workload.graph import Tensor
from perfmodel.workload.nest import gemm_nest
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, product

if TYPE_CHECKING:
    from perfmodel.workload.rwkv import RwkvStructure

#: Operations of the recurrence: a channel and step (version 4: two maxima, four exponentials, sums
#: and products of numerator and denominator, one division), else an element of a head's matrix and
#: step: the new outer product, decay and sum, the bonus, and the product with the receptance;
#: version 7 has the two products of the delta rule instead of the bonus.
_STATE_OPS: Final = {4: 36, 5: 7, 6: 7, 7: 9}


class Mixer(SequenceBuilder):
    """A `SequenceBuilder` with the layers of RWKV."""

    def __init__(self, s: RwkvStructure) -> None:
        super().__init__("rwkv")
        self.s = s

    def layer(
        self, x: Tensor, *, resumed: bool, first: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Add time mixing and channel mixing, each with a residual sum.

        Parameters
        ----------
        resumed
            The states hold earlier tokens.
        first
            Values of the first layer (version 7); none in the first layer itself.

        Returns
        -------
        tuple of Tensor
            The output, and the layer's values.
        """
        y = self.norm(x, name="time_norm")
        mix = {4: self._time_4, 5: self._time_5_6, 6: self._time_5_6}.get(self.s.version)
        values = x
        y, values = self._time_7(y, resumed, first) if mix is None else (mix(y, resumed), x)
        x = self.elementwise("add", y, x, name="time_add")
        y = self._channel(self.norm(x, name="channel_norm"), resumed)
        return self.elementwise("add", y, x, name="channel_add"), values

    def _shift(
        self, x: Tensor, names: str, part: str, *, resumed: bool, dynamic: Tensor | None = None
    ) -> list[Tensor]:
        """Mix each token with the one before it, once a name; the last token is kept for later."""
        batch, _, width = x.shape
        mix = self.weight(f"{part}.mix", (len(names), width), tag="vector")
        kept = self.tensor(f"{part}.last", (batch, width), role="state")
        made = [self.tensor(f"{part}.{name}", x.shape) for name in names]
        reads = [x, mix, *([kept] if resumed else []), *([] if dynamic is None else [dynamic])]
        each = 2 + (dynamic is not None)
        self.operator(f"{part}.shift", "elementwise", reads, [*made, kept],
                      vector_ops=product(x.elements, 1 + each * len(names)),
                      attributes={"function": "token_shift"})  # fmt: skip
        return made

    def _project(self, x: Tensor, name: str, tag: str) -> Tensor:
        return self.linear(x, self.s.channels, name=name, bias=False, tag=tag)

    def _low_rank(self, x: Tensor, rank: int, name: str, function: str, *, bias: bool) -> Tensor:
        low = self.linear(x, rank, name=f"{name}_down", bias=False, tag="lora")
        if function:
            low = self.elementwise(function, low, name=f"{name}_act")
        return self.linear(low, self.s.channels, name=f"{name}_up", bias=bias, tag="lora")

    def _recurrence(
        self, reads: list[Tensor], vectors: tuple[str, ...], *, resumed: bool
    ) -> Tensor:
        """Add the recurrence over the tokens; its state is kept for later."""
        s, x = self.s, reads[0]
        batch, steps, width = x.shape
        size = s.head_size
        matrix: tuple[Dim, ...] = (batch, s.channels // size, size, size)
        kept = self.tensor("wkv.state", (batch, width, 3) if s.version == 4 else matrix,
                           role="state")  # fmt: skip
        y = self.tensor("wkv.out", x.shape)
        weights = [self.weight(f"wkv.{name}", (width,), tag="vector") for name in vectors]
        each = kept.elements if s.version != 4 else product(batch, width)
        self.operator(
            "wkv", "scan", [*reads, *weights, *([kept] if resumed else [])], [y, kept],
            vector_ops=product(each, steps) * _STATE_OPS[s.version],
            pair=("activation", "activation"),
        )  # fmt: skip
        return y

    def _time_4(self, x: Tensor, resumed: bool) -> Tensor:
        k, v, r = self._shift(x, "kvr", "time", resumed=resumed)
        k, v = self._project(k, "key", "attn_k"), self._project(v, "value", "attn_v")
        r = self.elementwise("sigmoid", self._project(r, "receptance", "attn_q"))
        y = self._recurrence([k, v], ("decay", "first"), resumed=resumed)
        y = self.elementwise("mul", r, y, name="receive")
        return self.linear(y, self.s.width, name="output", bias=False, tag="attn_output")

    def _time_5_6(self, x: Tensor, resumed: bool) -> Tensor:
        s = self.s
        if s.version == 5:
            k, v, r, g = self._shift(x, "kvrg", "time", resumed=resumed)
            decay: list[Tensor] = []
        else:
            (mixed,) = self._shift(x, "x", "entry", resumed=resumed)
            low = self.linear(mixed, 5 * s.mix_rank, name="mix_down", bias=False, tag="lora")
            low = self.elementwise("tanh", low, name="mix_act")
            dynamic = self._mix_up(low)
            w, k, v, r, g = self._shift(x, "wkvrg", "time", resumed=resumed, dynamic=dynamic)
            w = self._low_rank(w, s.decay_rank, "decay", "tanh", bias=True)
            decay = [self.elementwise("exp", w, name="decay", ops=8)]
        k, v = self._project(k, "key", "attn_k"), self._project(v, "value", "attn_v")
        r, g = self._project(r, "receptance", "attn_q"), self._project(g, "gate", "attn_gate")
        y = self._recurrence(
            [r, k, v, *decay], ("bonus",) if s.version == 6 else ("decay", "bonus"),
            resumed=resumed,
        )  # fmt: skip
        y = self.norm(y, "group_norm", name="head_norm", features=s.channels)
        y = self.elementwise("silu_gate", g, y, name="gate_act", ops=8)
        return self.linear(y, s.width, name="output", bias=False, tag="attn_output")

    def _mix_up(self, low: Tensor) -> Tensor:
        """Add the five products that make the mixes, each of its own part of the low rank."""
        s = self.s
        batch, steps, _ = low.shape
        rows = product(batch, steps)
        parts = self.view(low, (5, rows, s.mix_rank), name="mix_parts")
        w = self.weight("mix_up.weight", (5, s.mix_rank, s.width), tag="lora")
        y = self.tensor("mix_up.out", (5, batch, steps, s.width))
        nest = gemm_nest(5, rows, s.width, s.mix_rank, parts.name, w.name, y.name, b_batched=True)
        self.operator("mix_up", "gemm", [parts, w], [y], nests=[nest], pair=(w.slot, low.slot))
        return y

    def _time_7(self, x: Tensor, resumed: bool, first: Tensor | None) -> tuple[Tensor, Tensor]:
        s = self.s
        r, w, k, v, a, g = self._shift(x, "rwkvag", "time", resumed=resumed)
        r, k = self._project(r, "receptance", "attn_q"), self._project(k, "key", "attn_k")
        values = self._project(v, "value", "attn_v")
        w = self._low_rank(w, s.decay_rank, "decay", "tanh", bias=True)
        w = self.elementwise("exp", w, name="decay", ops=12)
        rate = self._low_rank(a, s.rate_rank, "rate", "", bias=True)
        rate = self.elementwise("sigmoid", rate, name="rate")
        mixed = values
        if first is not None:
            share = self._low_rank(v, s.value_rank, "value_mix", "", bias=True)
            mixed = self.elementwise("sigmoid_lerp", values, share, first, name="value_mix", ops=9)
        g = self._low_rank(g, s.gate_rank, "gate", "sigmoid", bias=False)
        # The removal key is normalised by head; the replacement key follows the rate in context.
        removal = self.weight("removal_key", (s.channels,), tag="vector")
        key = self.weight("rate_key", (s.channels,), tag="vector")
        kk = self.elementwise("normalise", k, removal, name="removal", ops=5)
        k = self.elementwise("replace", k, rate, key, name="replacement", ops=4)
        y = self._recurrence([r, w, k, mixed, kk, rate], (), resumed=resumed)
        y = self.norm(y, "group_norm", name="head_norm", features=s.channels)
        bonus = self.weight("bonus", (s.channels,), tag="vector")
        y = self.elementwise("bonus", y, r, k, mixed, bonus, name="bonus", ops=6)
        y = self.elementwise("mul", y, g, name="gate_mul")
        return self.linear(y, s.width, name="output", bias=False, tag="attn_output"), values

    def _channel(self, x: Tensor, resumed: bool) -> Tensor:
        """Add the feed-forward network with squared ReLU, gated by a receptance up to version 6."""
        s = self.s
        if s.version == 7:
            (k,) = self._shift(x, "k", "channel", resumed=resumed)
            gate = None
        else:
            k, r = self._shift(x, "kr", "channel", resumed=resumed)
            gate = self.linear(r, s.width, name="ffn_receptance", bias=False, tag="ffn_gate")
        k = self.linear(k, s.ffn_width, name="ffn_key", bias=False, tag="ffn_up")
        k = self.elementwise("relu2", k, name="ffn_act")
        y = self.linear(k, s.width, name="ffn_value", bias=False, tag="ffn_down")
        if gate is None:
            return y
        return self.elementwise("sigmoid_gate", gate, y, name="ffn_gate", ops=7)
