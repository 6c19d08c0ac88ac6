"""Family ``moe_experts``: the experts of a mixture in one call, their routing known by its law."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from perfmodel.frozen import Count, FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph
from perfmodel.workload.kernels.products import grouped_product, one_run
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import (
    Dim,
    distinct_experts,
    minimum,
    power_law_experts,
    product,
    symbol,
)


class ExpertsStructure(FrozenModel):
    """Experts of a layer, and how tokens come to them.

    Attributes
    ----------
    experts, experts_per_token
        Experts that are stored, and those that each token goes to.
    gated
        Whether an expert has a gate beside its matrix up: three matrices, else two.
    routing
        ``balanced`` deals tokens out in turn, ``uniform`` draws experts with equal chances,
        ``power_law`` draws the load of each from a power law.
    skew
        Exponent of the power law.
    output
        Format of the result (``bf16`` of experts in fp8); empty for that of the activations.
    """

    experts: Count
    experts_per_token: Count
    gated: bool = True
    routing: Literal["balanced", "uniform", "power_law"] = "balanced"
    skew: Annotated[float, Field(gt=1.0, le=10.0)] = 1.2
    output: str = ""

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield a token that goes to more experts than there are."""
        experts, each = data.get("experts"), data.get("experts_per_token")
        if isinstance(experts, int) and isinstance(each, int) and each > experts > 0:
            yield Flaw(
                ("experts_per_token",), f"a token cannot go to {each} of {experts} experts",
                f"at most {experts}",
            )  # fmt: skip


def _extents(structure: ExpertsStructure) -> Mapping[str, float]:
    del structure
    return {"tokens": 256, "width": 4096, "ffn_width": 14336}


def _touched(structure: ExpertsStructure, tokens: Dim) -> Dim:
    """Return how many experts get a token."""
    count, each = structure.experts, structure.experts_per_token
    if structure.routing == "uniform":
        return distinct_experts(count, each, tokens)
    if structure.routing == "power_law":
        return power_law_experts(count, each, structure.skew, tokens)
    return minimum(product(tokens, each), count)


def _build(structure: ExpertsStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph: up (and gate) in one grouped product, activation, down."""
    del semantics
    g = SequenceBuilder("moe_experts")
    tokens, width, inner = symbol("tokens"), symbol("width"), symbol("ffn_width")
    touched = _touched(structure, tokens)
    rows = product(tokens, structure.experts_per_token)
    x = g.input("x", (rows, width))
    matrices = 3 if structure.gated else 2
    up = grouped_product(g, x, product(inner, matrices - 1), name="up", groups=touched,
                         stored=structure.experts)  # fmt: skip
    middle = g.tensor("activation.out", (rows, inner))
    ops = VECTOR_OPS["silu"] + (1 if structure.gated else 0)
    g.operator(
        "activation", "elementwise", [up], [middle], vector_ops=ops * middle.elements,
        attributes={"function": "silu"},
    )  # fmt: skip
    y = grouped_product(
        g, middle, width, name="down", groups=touched, output=structure.output,
        stored=structure.experts,
    )  # fmt: skip
    g.output(y)
    return g.build(_extents(structure))


FAMILY_MOE_EXPERTS: Final = Family("moe_experts", ExpertsStructure, _extents, _build, one_run)
