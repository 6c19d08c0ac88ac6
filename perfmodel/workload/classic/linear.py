"""Family ``logistic_regression``: linear models of one or several outputs.

A weight vector an output; two classes need one output and a sigmoid, more take a softmax.
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
from perfmodel.workload.graph import Graph


class LinearStructure(ClassicStructure):
    """Shape of a linear model.

    Attributes
    ----------
    classes
        Classes of a classifier; outputs of a regression (``output: value``).
    output
        ``probability`` (sigmoid or softmax), ``label`` (the class alone, which needs no
        exponential) or ``value`` (a linear regression).
    """

    classes: Annotated[int, Field(gt=0, le=10**6)] = 2
    output: Literal["probability", "label", "value"] = "probability"


def build(structure: LinearStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = GraphBuilder("logistic_regression")
    x = samples(g, scaled=s.scaled)
    one = s.output != "value" and s.classes <= 2
    y = g.linear(x, 1 if one else s.classes, name="scores")
    if s.output == "probability":
        y = g.elementwise("sigmoid", y) if one else g.softmax(y)
    elif s.output == "label":
        y = g.elementwise("compare", y, name="sign") if one else best(g, y)
    g.output(y)
    return g.build(parameters(s))


def parameters(structure: LinearStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    return {"batch": 1, "features": structure.features}


FAMILY_LOGISTIC_REGRESSION = Family(
    "logistic_regression", LinearStructure, parameters, build, each_sample
)
