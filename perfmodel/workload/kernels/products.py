"""Families of matrix products: one with stored weights, a batch of two activations, groups.

The extents are those of BLAS: ``y[m, n] = x[m, k] w[k, n]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel

from perfmodel.frozen import FrozenModel
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.nest import gemm_nest
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import Dim, symbol


class ProductStructure(FrozenModel):
    """What a product is beside its extents.

    Attributes
    ----------
    output
        Format of the result (``bf16`` of a product in fp8); empty for that of the activations.
    """

    output: str = ""


def one_run(structure: BaseModel) -> tuple[str, Dim]:
    """Return what a run of a kernel is: one call."""
    del structure
    return "runs", 1


def _gemm_extents(structure: ProductStructure) -> Mapping[str, float]:
    del structure
    return {"m": 4096, "n": 4096, "k": 4096}


def _gemm(structure: ProductStructure, semantics: ExecutionSemantics) -> Graph:
    del semantics
    g = SequenceBuilder("gemm")
    m, n, k = symbol("m"), symbol("n"), symbol("k")
    x = g.input("x", (m, k))
    w = g.weight("weight", (n, k))
    y = g.tensor("y", (m, n), format=structure.output)
    nest = gemm_nest(1, m, n, k, x.name, w.name, y.name, b_batched=False)
    g.operator("gemm", "gemm", [x, w], [y], nests=[nest], pair=(w.slot, x.slot))
    g.output(y)
    return g.build(_gemm_extents(structure))


def _batched_extents(structure: ProductStructure) -> Mapping[str, float]:
    del structure
    return {"batch": 32, "m": 512, "n": 512, "k": 128}


def _batched_gemm(structure: ProductStructure, semantics: ExecutionSemantics) -> Graph:
    del semantics
    g = SequenceBuilder("batched_gemm")
    batch, m, n, k = (symbol(name) for name in ("batch", "m", "n", "k"))
    a = g.input("a", (batch, m, k))
    b = g.input("b", (batch, k, n))
    y = g.tensor("y", (batch, m, n), format=structure.output)
    nest = gemm_nest(batch, m, n, k, a.name, b.name, y.name, b_batched=True)
    g.operator("batched_gemm", "gemm", [a, b], [y], nests=[nest], pair=(b.slot, a.slot))
    g.output(y)
    return g.build(_batched_extents(structure))


def grouped_product(
    g: SequenceBuilder, x: Tensor, n: Dim, *, name: str, groups: Dim, output: str = "",
    stored: Dim | None = None,
) -> Tensor:  # fmt: skip
    """Add a product of groups of rows, each with a matrix of its own.

    Parameters
    ----------
    x
        ``rows x k``; the rows are dealt out evenly.
    n
        Columns of each result.
    groups
        Matrices that are read.
    output
        Format of the result.
    stored
        Matrices that lie in memory, where they are more than those that are read.
    """
    rows, k = x.shape
    w = g.weight(f"{name}.weight", (groups if stored is None else stored, k, n))
    y = g.tensor(f"{name}.out", (rows, n), format=output)
    nest = gemm_nest(groups, rows / groups, n, k, x.name, w.name, y.name, b_batched=True)
    weights = w if stored is None else (w, groups * k * n)
    g.operator(name, "moe", [x, weights], [y], nests=[nest], pair=(w.slot, x.slot))
    return y


def _grouped_extents(structure: ProductStructure) -> Mapping[str, float]:
    del structure
    return {"rows": 4096, "groups": 8, "n": 4096, "k": 4096}


def _grouped_gemm(structure: ProductStructure, semantics: ExecutionSemantics) -> Graph:
    del semantics
    g = SequenceBuilder("grouped_gemm")
    x = g.input("x", (symbol("rows"), symbol("k")))
    y = grouped_product(
        g, x, symbol("n"), name="grouped_gemm", groups=symbol("groups"), output=structure.output
    )
    g.output(y)
    return g.build(_grouped_extents(structure))


FAMILY_GEMM: Final = Family("gemm", ProductStructure, _gemm_extents, _gemm, one_run)
FAMILY_BATCHED_GEMM: Final = Family(
    "batched_gemm", ProductStructure, _batched_extents, _batched_gemm, one_run
)
FAMILY_GROUPED_GEMM: Final = Family(
    "grouped_gemm", ProductStructure, _grouped_extents, _grouped_gemm, one_run
)
