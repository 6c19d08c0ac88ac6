"""Family ``naive_bayes``: independent features, Gaussian or counted.

Gaussian: ``log P(c) - sum_f (x_f - m_cf)^2 / (2 v_cf)``, the logarithms of the variances being part
of the constant. Multinomial: ``log P(c) + sum_f x_f log t_cf``, a linear model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.classic.builder import (
    ClassicStructure,
    best,
    each_sample,
    samples,
)
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.nest import gemm_nest
from perfmodel.workload.symbols import product, symbol


class NaiveBayesStructure(ClassicStructure):
    """Shape of a naive Bayes classifier.

    Attributes
    ----------
    classes
        Classes.
    likelihood
        ``gaussian`` (a mean and a variance a class and feature) or ``multinomial`` (a logarithm).
    variances
        ``inverted``: ``1 / (2 v)`` is stored, a term is a subtraction, a product and a
        multiply-accumulate. ``divided``: the variance is, and a term divides by it.
    output
        ``label``, or ``probability`` (a softmax of the logarithms).
    """

    classes: Annotated[int, Field(gt=1, le=10**6)] = 2
    likelihood: Literal["gaussian", "multinomial"] = "gaussian"
    variances: Literal["inverted", "divided"] = "inverted"
    output: Literal["label", "probability"] = "label"


def build(structure: NaiveBayesStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = GraphBuilder("naive_bayes")
    x = samples(g, scaled=s.scaled)
    if s.likelihood == "multinomial":
        y = g.linear(x, s.classes, name="log_likelihood")
    else:
        y = _gaussian(g, x, s)
    g.output(g.softmax(y) if s.output == "probability" else best(g, y))
    return g.build(parameters(s))


def _gaussian(g: GraphBuilder, x: Tensor, s: NaiveBayesStructure) -> Tensor:
    batch, features = symbol("batch"), symbol("features")
    means = g.weight("means", (s.classes, features))
    spread = g.weight("variances", (s.classes, features))
    prior = g.weight("log_prior", (s.classes,), tag="vector")
    y = g.tensor("log_likelihood.out", (batch, s.classes))
    terms = product(batch, s.classes, features)
    reads = [x, means, spread, prior]
    if s.variances == "divided":
        # Subtract, square, divide (4), add.
        g.operator(
            "log_likelihood", "elementwise", reads, [y], vector_ops=7 * terms + y.elements,
            attributes={"function": "gaussian"},
        )  # fmt: skip
        return y
    # The weights of the sum are the inverse variances; what they weigh are squared differences.
    nest = gemm_nest(1, batch, s.classes, features, x.name, spread.name, y.name, b_batched=False)
    g.operator(
        "log_likelihood", "gemm", reads, [y], nests=[nest], vector_ops=2 * terms + y.elements,
        pair=(spread.slot, x.slot), attributes={"function": "gaussian"},
    )  # fmt: skip
    return y


def parameters(structure: NaiveBayesStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    return {"batch": 1, "features": structure.features}


FAMILY_NAIVE_BAYES = Family("naive_bayes", NaiveBayesStructure, parameters, build, each_sample)
