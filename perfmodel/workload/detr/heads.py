"""What the detectors of DETR's line share: attention over maps, sampled attention, heads."""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.workload.deformable import BILINEAR_OPS
from perfmodel.workload.graph import Tensor
from perfmodel.workload.image import ImageBuilder
from perfmodel.workload.nest import gemm_nest
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, product


class DetrBuilder(ImageBuilder, SequenceBuilder):
    """A builder with the operators of images and of sequences, for networks of one width."""

    def __init__(self, name: str, width: int, heads: int, *, folded: bool = False) -> None:
        super().__init__(name, folded=folded)
        self.width, self.heads = width, heads

    def flat(self, x: Tensor, name: str) -> Tensor:
        """Turn a map ``(batch, channels, height, width)`` into tokens."""
        batch, channels, height, width = x.shape
        return self.copy([x], (batch, product(height, width), channels), name=name)

    def positions(self, x: Tensor, name: str) -> Tensor:
        """Add positions to tokens: sinusoids of a map, which are no parameters."""
        table = self.input(f"{name}.table", x.shape[1:])
        return self.elementwise("add", x, table, name=name)

    def project(self, x: Tensor, name: str, tag: str) -> Tensor:
        """Add a square projection with a bias."""
        return self.linear(x, self.width, name=name, tag=tag)

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, name: str, *, wider: int = 1
    ) -> Tensor:
        """Add attention of projected queries and keys, `wider` times the width, and the output."""
        batch, queries, _ = query.shape
        size = self.width // self.heads
        y = self.attention(
            query, batch=batch, queries=queries, keys=key.shape[1], heads=self.heads,
            head_dim=wider * size, value_dim=size, causal=False, key_value=(key, value),
            write_cache=False, name=name,
        )  # fmt: skip
        return self.project(y, f"{name}.out", "attn_output")

    def self_attention(self, x: Tensor, placed: Tensor, name: str = "self") -> Tensor:
        """Add attention of tokens among each other; positions do not enter the values."""
        q = self.project(placed, f"{name}.query", "attn_q")
        k = self.project(placed, f"{name}.key", "attn_k")
        return self.attend(q, k, self.project(x, f"{name}.value", "attn_v"), name)

    def joined(self, y: Tensor, x: Tensor, name: str) -> Tensor:
        """Add the sum with `x` and its normalisation."""
        return self.norm(self.elementwise("add", y, x, name=f"{name}.add"), name=f"{name}.norm")

    def transform(self, x: Tensor, hidden: int, function: str) -> Tensor:
        """Add the feed-forward network, the sum and the normalisation."""
        y = self.linear(x, hidden, name="ffn.up", tag="ffn_up")
        y = self.elementwise(function, y, name="ffn.act")
        return self.joined(self.project(y, "ffn.down", "ffn_down"), x, "ffn")

    def sampled_attention(
        self, query: Tensor, memory: Tensor, levels: int, points: int, name: str = "sampled"
    ) -> Tensor:
        """Add multi-scale deformable attention (Zhu et al. 2021, arXiv 2010.04159, eq. 3).

        Each head of a query reads `points` places of each of `levels` maps, between four tokens
        each; what is read is a sum by weights that the query makes.
        """
        batch, queries, _ = query.shape
        places = self.heads * levels * points
        value = self.project(memory, f"{name}.value", "attn_v")
        offsets = self.linear(query, 2 * places, name=f"{name}.offsets", tag="attn_q")
        weights = self.linear(query, places, name=f"{name}.weights", tag="attn_k")
        weights = self.softmax(weights, name=f"{name}.softmax")
        y = self.tensor(f"{name}.out", (batch, queries, self.width))
        samples = product(batch, queries, places, self.width // self.heads)
        self.operator(
            name, "gather", [(value, product(4, samples)), offsets, weights], [y],
            vector_ops=product(samples, BILINEAR_OPS + 2), pair=("activation", "activation"),
            attributes={"function": "deformable_attention"},
        )  # fmt: skip
        return self.project(y, f"{name}.output", "attn_output")

    def perceptron(
        self, x: Tensor, widths: Sequence[int], name: str, function: str = "relu"
    ) -> Tensor:
        """Add linear layers with a function between them."""
        for i, width in enumerate(widths):
            x = self.linear(x, width, name=f"{name}.{i}", tag="head")
            if i < len(widths) - 1:
                x = self.elementwise(function, x, name=f"{name}.{function}{i}")
        return x

    def shared_linear(self, x: Tensor, weight: Tensor, bias: Tensor, name: str) -> Tensor:
        """Add a linear layer whose weights and bias several layers of the network share."""
        rows, features = product(*x.shape[:-1]), weight.shape[0]
        y = self.tensor(f"{name}.out", (*x.shape[:-1], features))
        nest = gemm_nest(1, rows, features, x.shape[-1], x.name, weight.name, y.name,
                         b_batched=False)  # fmt: skip
        self.operator(name, "gemm", [x, weight, bias], [y], nests=[nest], vector_ops=y.elements,
                      pair=(weight.slot, x.slot))  # fmt: skip
        return y

    def learned(self, rows: int, width: int, batch: Dim, name: str) -> Tensor:
        """Add a learned table, the same for every image."""
        w = self.weight(f"{name}.weight", (rows, width), tag="embedding")
        return self.copy([w], (batch, rows, width), name=name)
