"""Family ``svm``: support vector machines, linear, polynomial, Gaussian (RBF) and sigmoid.

``f(x) = sum_i a_i K(s_i, x) + b`` over support vectors ``s_i`` (Cortes and Vapnik 1995). A linear
kernel needs one weight vector a machine, ``w = sum_i a_i s_i``. Several classes are told apart by a
machine a pair, as libsvm does (Chang and Lin 2011: each vector has a coefficient for every other
class), or a machine a class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.classic.builder import (
    ClassicStructure,
    Distance,
    Extent,
    best,
    distances,
    each_sample,
    multiplications,
    samples,
)
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.nest import gemm_nest
from perfmodel.workload.symbols import Dim, product, symbol


class SvmStructure(ClassicStructure):
    """Shape of a support vector machine.

    Attributes
    ----------
    kernel
        ``linear``, ``poly`` (``(g s x + c)^degree``), ``rbf`` (``exp(-g |s - x|^2)``) or
        ``sigmoid`` (``tanh(g s x + c)``).
    support_vectors
        Vectors of all classes together; a free dimension, this is its default. Not needed where a
        linear kernel is collapsed.
    classes
        Classes; 1 for a regression, or for a machine that tells one class from all else.
    machines
        ``one_vs_one`` (a machine a pair of classes) or ``one_vs_rest`` (a machine a class).
    degree
        Of the polynomial kernel.
    collapsed
        A linear kernel has its vectors summed into one weight vector a machine.
    distance
        How the Gaussian kernel computes ``|s - x|^2``: ``squared`` or ``expanded``.
    """

    kernel: Literal["linear", "poly", "rbf", "sigmoid"] = "rbf"
    support_vectors: Extent | None = None
    classes: Annotated[int, Field(gt=0, le=10**4)] = 2
    machines: Literal["one_vs_one", "one_vs_rest"] = "one_vs_one"
    degree: Annotated[int, Field(gt=0, le=100)] = 3
    collapsed: bool = True
    distance: Distance = "squared"

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield a lack of support vectors, and a distance that is not Euclid's."""
        collapsed = data.get("collapsed", True) and data.get("kernel") == "linear"
        if data.get("support_vectors") is None and not collapsed:
            yield Flaw(("support_vectors",), "this kernel is evaluated at every support vector",
                       "how many there are, of all classes")  # fmt: skip
        if data.get("distance") == "manhattan":
            yield Flaw(("distance",), "the Gaussian kernel is of Euclid's distance",
                       "squared or expanded")  # fmt: skip

    @property
    def decisions(self) -> int:
        """Machines."""
        if self.classes <= 2:
            return 1
        pairs = self.classes * (self.classes - 1) // 2
        return pairs if self.machines == "one_vs_one" else self.classes

    @property
    def coefficients(self) -> int:
        """Coefficients of a support vector: machines that it takes part in."""
        if self.machines == "one_vs_one" and self.classes > 2:
            return self.classes - 1
        return self.decisions

    @property
    def one_product(self) -> bool:
        """Whether the support vectors are summed up before."""
        return self.kernel == "linear" and self.collapsed


def build(structure: SvmStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = GraphBuilder("svm")
    x = samples(g, scaled=s.scaled)
    scores = decide(g, x, s, symbol("support_vectors"))
    g.output(vote(g, scores, s) if s.classes > 1 else scores)
    return g.build(parameters(s))


def decide(g: GraphBuilder, x: Tensor, s: SvmStructure, vectors: Dim) -> Tensor:
    """Add the kernel at every support vector and the machines' sums, ``(batch, machines)``."""
    if s.one_product:
        return g.linear(x, s.decisions, name="decision")
    batch, features = x.shape
    points = g.weight("support_vectors", (vectors, features))
    if s.kernel == "rbf":
        k = distances(g, x, points, s.distance, name="kernel", ranks=False)
        k = g.elementwise("exp", k, name="kernel.exp", ops=1 + 4)  # times -gamma, exp
    else:
        k = g.linear(x, vectors, name="kernel", bias=False, weight=points)
        if s.kernel == "poly":
            ops = 2 + multiplications(s.degree)  # times gamma, plus the offset, power
            k = g.elementwise("polynomial", k, name="kernel.power", ops=ops)
        elif s.kernel == "sigmoid":
            k = g.elementwise("tanh", k, name="kernel.tanh", ops=2 + 8)
    weights = g.weight("coefficients", (vectors, s.coefficients))
    bias = g.weight("bias", (s.decisions,), tag="vector")
    y = g.tensor("decision.out", (batch, s.decisions))
    nest = gemm_nest(
        1, batch, s.coefficients, vectors, k.name, weights.name, y.name, b_batched=False
    )
    g.operator(
        "decision", "gemm", [k, weights, bias], [y], nests=[nest], vector_ops=y.elements,
        pair=(weights.slot, k.slot),
    )  # fmt: skip
    return y


def vote(g: GraphBuilder, scores: Tensor, s: SvmStructure) -> Tensor:
    """Add the sign of one machine, the vote of pairs, or the class of the largest score."""
    batch = scores.shape[0]
    if s.classes == 2:
        return g.elementwise("compare", scores, name="sign")
    if s.machines == "one_vs_one":
        # Each machine is compared with 0 and adds a vote.
        votes = g.tensor("vote.out", (batch, s.classes), format="int32")
        g.operator(
            "vote", "pool", [scores], [votes], vector_ops=product(2, batch, s.decisions),
            attributes={"function": "vote"},
        )  # fmt: skip
        scores = votes
    return best(g, scores)


def parameters(structure: SvmStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    free: dict[str, float] = {"batch": 1, "features": structure.features}
    if not structure.one_product:
        free["support_vectors"] = structure.support_vectors or 1
    return free


FAMILY_SVM = Family("svm", SvmStructure, parameters, build, each_sample)
