"""Family ``attention_kernel``: scaled dot-product attention by itself, of a prompt or of a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from perfmodel.frozen import Count, FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph
from perfmodel.workload.kernels.products import one_run
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import symbol


class AttentionKernelStructure(FrozenModel):
    """Heads of an attention, and which of its kernels runs.

    Attributes
    ----------
    phase
        ``prefill``: new tokens over themselves and those before them; ``decode``: one new token of
        each sequence over a cache.
    heads, kv_heads
        Heads of queries, and of keys and values; all of them where the latter is left out.
    head_dim
        Features of a head.
    causal
        Whether a token sees those before it alone.
    """

    phase: Literal["prefill", "decode"] = "prefill"
    heads: Count
    kv_heads: Count | None = None
    head_dim: Count
    causal: bool = True

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield heads that do not share their keys and values evenly."""
        heads, shared = data.get("heads"), data.get("kv_heads")
        if isinstance(heads, int) and isinstance(shared, int) and shared > 0 and heads % shared:
            yield Flaw(
                ("kv_heads",), f"{heads} heads of queries do not divide by {shared}",
                f"a divisor of {heads}",
            )  # fmt: skip


def _extents(structure: AttentionKernelStructure) -> Mapping[str, float]:
    if structure.phase == "decode":
        return {"batch": 1, "keys": 2048}
    return {"batch": 1, "queries": 2048, "keys": 2048}


def _build(structure: AttentionKernelStructure, semantics: ExecutionSemantics) -> Graph:
    del semantics
    cached = structure.phase == "decode"
    g = SequenceBuilder(f"{structure.phase}_attention")
    batch, queries = symbol("batch"), 1 if cached else symbol("queries")
    heads, size = structure.heads, structure.head_dim
    shared = structure.kv_heads or heads
    query = g.input("query", (batch, queries, heads * size))
    new = tuple(g.input(name, (batch, queries, shared * size)) for name in ("key", "value"))
    y = g.attention(
        query, batch=batch, queries=queries, keys=symbol("keys"), heads=heads, head_dim=size,
        kv_heads=shared, causal=structure.causal, cached=cached, key_value=new,
    )  # fmt: skip
    g.output(y)
    return g.build(_extents(structure))


FAMILY_ATTENTION_KERNEL: Final = Family(
    "attention_kernel", AttentionKernelStructure, _extents, _build, one_run
)
