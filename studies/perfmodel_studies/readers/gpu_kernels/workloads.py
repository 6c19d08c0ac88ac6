"""Networks of one kernel: a product, or the two grouped products of a mixture of experts."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.nest import gemm_nest
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import product, symbol
from perfmodel.workload.workload import Workload

__all__ = ["experts", "grouped", "linear"]


@lru_cache(maxsize=8)
def linear(output: str = "bf16") -> Workload:
    """Return ``y = x W`` with free ``m``, ``n``, ``k``; `output` is the format of ``y``."""

    @lru_cache(maxsize=4)
    def build(semantics: ExecutionSemantics) -> Graph:
        g = SequenceBuilder("linear")
        m, n, k = symbol("m"), symbol("n"), symbol("k")
        x = g.input("x", (m, k))
        w = g.weight("weight", (n, k))
        y = g.tensor("y", (m, n), format=output)
        nest = gemm_nest(1, m, n, k, x.name, w.name, y.name, b_batched=False)
        g.operator("linear", "gemm", [x, w], [y], nests=[nest], pair=(w.slot, x.slot))
        g.output(y)
        return g.build({"m": 1, "n": 1, "k": 1})

    return Workload("linear", build, {"m": 1.0, "n": 1.0, "k": 1.0})


@lru_cache(maxsize=8)
def grouped(output: str = "bf16") -> Workload:
    """Return one grouped product: ``groups`` of ``rows / groups`` by ``n`` by ``k``."""

    @lru_cache(maxsize=4)
    def build(semantics: ExecutionSemantics) -> Graph:
        g = SequenceBuilder("grouped")
        x = g.input("x", (symbol("rows"), symbol("k")))
        g.output(_grouped(g, x, symbol("n"), "grouped", output))
        return g.build({"rows": 1, "groups": 1, "n": 1, "k": 1})

    return Workload("grouped", build, {"rows": 1.0, "groups": 1.0, "n": 1.0, "k": 1.0})


@lru_cache(maxsize=8)
def experts(matrices: int, output: str = "bf16") -> Workload:
    """Return a fused mixture of experts: up (and gate), activation, down.

    Free: ``rows`` (tokens times experts a token), ``groups`` (experts touched), ``hidden``,
    ``inter``; `matrices` is 3 for gated experts, 2 for others.
    """

    @lru_cache(maxsize=4)
    def build(semantics: ExecutionSemantics) -> Graph:
        g = SequenceBuilder("experts")
        rows, hidden, inter = symbol("rows"), symbol("hidden"), symbol("inter")
        x = g.input("x", (rows, hidden))
        y = _grouped(g, x, product(inter, matrices - 1), "up", "")
        middle = g.tensor("act.out", (rows, inter))
        ops = VECTOR_OPS["silu"] + (matrices == 3)
        g.operator("act", "elementwise", [y], [middle], vector_ops=ops * middle.elements,
                   attributes={"function": "silu"})  # fmt: skip
        g.output(_grouped(g, middle, hidden, "down", output))
        return g.build({"rows": 1, "groups": 1, "hidden": 1, "inter": 1})

    free = {"rows": 1.0, "groups": 1.0, "hidden": 1.0, "inter": 1.0}
    return Workload("experts", build, free)


def _grouped(g: SequenceBuilder, x: Any, n: Any, name: str, output: str) -> Any:
    rows, k = x.shape
    groups = symbol("groups")
    w = g.weight(f"{name}.weight", (groups, k, n))
    y = g.tensor(f"{name}.out", (rows, n), format=output)
    nest = gemm_nest(groups, rows / groups, n, k, x.name, w.name, y.name, b_batched=True)
    g.operator(name, "moe", [x, w], [y], nests=[nest], pair=(w.slot, x.slot))
    return y
