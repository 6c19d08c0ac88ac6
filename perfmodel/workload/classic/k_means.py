"""Family ``k_means``: assign points to centres, and Lloyd's iterations (Lloyd 1982)."""

from __future__ import annotations

from typing import Literal

from perfmodel.workload.builder import VECTOR_OPS, GraphBuilder
from perfmodel.workload.classic.builder import (
    ClassicStructure,
    Distance,
    Extent,
    best,
    distances,
    each_sample,
    samples,
)
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph
from perfmodel.workload.symbols import product, symbol


class KMeansStructure(ClassicStructure):
    """Shape of a clustering.

    Attributes
    ----------
    clusters
        Centres; a free dimension, this is its default.
    task
        ``assign`` (the nearest centre of each sample) or ``train`` (`iterations` of assignment and
        new centres over the samples of the batch).
    iterations
        Of training; a free dimension, this is its default.
    distance
        ``squared`` or ``expanded`` (Euclid's), or ``manhattan``.
    """

    clusters: Extent
    task: Literal["assign", "train"] = "assign"
    iterations: Extent = 1
    distance: Distance = "squared"


def build(structure: KMeansStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph."""
    del semantics
    s = structure
    g = GraphBuilder("k_means")
    batch, clusters, features = symbol("batch"), symbol("clusters"), symbol("features")
    x = samples(g, scaled=s.scaled)
    if s.task == "assign":
        centres = g.weight("centres", (clusters, features))
        g.output(best(g, distances(g, x, centres, s.distance), function="argmin"))
        return g.build(parameters(s))
    with g.phase("train", symbol("iterations")):
        centres = g.weight("centres", (clusters, features))
        nearest = best(g, distances(g, x, centres, s.distance), function="argmin")
        sums = g.tensor("sum.out", (clusters, features))
        counts = g.tensor("sum.counts", (clusters,), format="int32")
        # A sample is added to its centre's sum, and counted.
        g.operator(
            "sum", "pool", [x, nearest], [sums, counts], vector_ops=x.elements + batch,
            attributes={"function": "scatter_add"},
        )  # fmt: skip
        moved = g.tensor("mean.out", (clusters, features))
        ops = VECTOR_OPS["div"] * product(clusters, features)
        g.operator(
            "mean", "elementwise", [sums, counts], [moved], vector_ops=ops, inplace=sums,
            attributes={"function": "div"},
        )  # fmt: skip
        g.output(moved)
    return g.build(parameters(s))


def parameters(structure: KMeansStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    s = structure
    free: dict[str, float] = {"batch": 1, "features": s.features, "clusters": s.clusters}
    if s.task == "train":
        free["iterations"] = s.iterations
    return free


FAMILY_K_MEANS = Family("k_means", KMeansStructure, parameters, build, each_sample)
