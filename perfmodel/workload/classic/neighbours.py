"""Family ``knn``: the nearest of stored points vote (Cover and Hart 1967), by brute force."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.classic.builder import (
    ClassicStructure,
    Distance,
    Extent,
    best,
    distances,
    each_sample,
    nearest,
    samples,
)
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph
from perfmodel.workload.symbols import symbol


class KnnStructure(ClassicStructure):
    """Shape of a nearest-neighbour classifier.

    Attributes
    ----------
    references
        Stored points; a free dimension, this is its default.
    neighbours
        Points that vote (k); a free dimension, this is its default.
    classes
        Classes; 1 for a regression, which takes the mean.
    distance
        ``squared`` or ``expanded`` (Euclid's), or ``manhattan``.
    """

    references: Extent
    neighbours: Annotated[int, Field(gt=0, le=10**6)] = 5
    classes: Annotated[int, Field(gt=0, le=10**6)] = 2
    distance: Distance = "squared"


def build(structure: KnnStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph: distances, selection by passes, a vote."""
    del semantics
    s = structure
    g = GraphBuilder("knn")
    batch, count, points = symbol("batch"), symbol("neighbours"), symbol("references")
    x = samples(g, scaled=s.scaled)
    stored = g.weight("references", (points, symbol("features")))
    chosen = nearest(g, distances(g, x, stored, s.distance), count)
    labels = g.weight("labels", (points,), format="" if s.classes == 1 else "int16")
    drawn = batch * count
    if s.classes == 1:
        y = g.tensor("mean.out", (batch,))
        g.operator(
            "mean", "pool", [chosen, (labels, drawn)], [y], vector_ops=drawn + 4 * batch,
            attributes={"function": "mean"},
        )  # fmt: skip
    else:
        votes = g.tensor("vote.out", (batch, s.classes), format="int32")
        g.operator(
            "vote", "pool", [chosen, (labels, drawn)], [votes], vector_ops=drawn,
            attributes={"function": "vote"},
        )  # fmt: skip
        y = best(g, votes)
    g.output(y)
    return g.build(parameters(s))


def parameters(structure: KnnStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    s = structure
    return {
        "batch": 1, "features": s.features, "references": s.references, "neighbours": s.neighbours
    }  # fmt: skip


FAMILY_KNN = Family("knn", KnnStructure, parameters, build, each_sample)
