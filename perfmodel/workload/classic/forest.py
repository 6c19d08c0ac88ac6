"""Family ``random_forest``: trees of decisions, each a walk that the data decides.

A step of a walk fetches a node (a threshold, the number of a feature, where to go next) and that
feature, and compares them; the next node is not known before. A row of class ``tree`` states its
chain in the column ``extents``: ``walks`` that may run side by side, of ``steps`` one after the
other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.builder import VECTOR_OPS, GraphBuilder
from perfmodel.workload.classic.builder import (
    ClassicStructure,
    Extent,
    best,
    each_sample,
    samples,
)
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph, Tensor
from perfmodel.workload.symbols import Dim, minimum, power_of_two, product, simplify, symbol


class ForestStructure(ClassicStructure):
    """Shape of a forest.

    Attributes
    ----------
    trees
        Trees; a free dimension, this is its default.
    depth
        Comparisons from a root to a leaf: of a complete tree its depth, else the mean over samples;
        a free dimension, this is its default.
    nodes
        Nodes of a tree that compare (it has one leaf more), the mean over trees; a free dimension.
        Left out, trees are complete: ``2^depth - 1``.
    classes
        Classes; 1 for a regression (boosted trees have a tree a class and round, and this).
    leaves
        ``label`` (a tree votes for a class), ``value`` (a number, summed up over trees) or
        ``distribution`` (a number a class, summed up).
    children
        How a node knows the next: ``stored`` (the numbers of two nodes) or ``implied`` (node ``i``
        is followed by ``2 i + 1`` or ``2 i + 2``, which only a complete tree fills).
    index_format
        Format of the numbers of features and nodes.
    """

    trees: Extent
    depth: Annotated[float, Field(gt=0, le=60)]
    nodes: Annotated[float, Field(gt=0, le=1e9)] | None = None
    classes: Annotated[int, Field(gt=0, le=10**4)] = 2
    leaves: Literal["label", "value", "distribution"] = "label"
    children: Literal["stored", "implied"] = "stored"
    index_format: Literal["int8", "int16", "int32"] = "int16"

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield implied children of trees that are not complete, and leaves that do not fit."""
        if data.get("children") == "implied" and data.get("nodes") is not None:
            yield Flaw(("nodes",), "children are implied in complete trees only",
                       "no number of nodes, or children: stored")  # fmt: skip
        if data.get("classes") == 1 and data.get("leaves", "label") != "value":
            yield Flaw(("leaves",), "a regression has no classes to vote for", "value")
        if data.get("leaves") == "value" and data.get("classes", 2) != 1:
            yield Flaw(("leaves",), "leaves with one number give no class", "label or distribution")


def build(structure: ForestStructure, semantics: ExecutionSemantics) -> Graph:
    """Build the graph: walks down all trees, the sum of their leaves, the largest class."""
    del semantics
    s = structure
    g = GraphBuilder("random_forest")
    x = samples(g, scaled=s.scaled)
    inner = simplify(power_of_two(symbol("depth")) - 1) if s.nodes is None else symbol("nodes")
    y = walk(g, x, s, trees=symbol("trees"), depth=symbol("depth"), inner=inner)
    g.output(y if s.leaves == "value" else best(g, y))
    return g.build(parameters(s))


def walk(
    g: GraphBuilder, x: Tensor, s: ForestStructure, *, trees: Dim, depth: Dim, inner: Dim
) -> Tensor:
    """Add the walks and the sum of the leaves: a number a sample, or one a class."""
    batch = x.shape[0]
    found = _walks(g, x, s, trees, depth, inner)
    each = s.classes if s.leaves == "distribution" else 1
    leaves = g.weight(
        "leaves", (trees, inner + 1, each), format="int16" if s.leaves == "label" else ""
    )
    drawn = product(batch, trees, each)
    read = minimum(drawn, leaves.elements)
    if s.leaves == "value":
        y = g.tensor("sum.out", (batch,))
    else:
        y = g.tensor("sum.out", (batch, s.classes), format="int32" if each == 1 else "")
    g.operator(
        "sum", "pool", [found, (leaves, read)], [y], vector_ops=drawn,
        attributes={"function": "vote" if s.leaves == "label" else "sum"},
    )  # fmt: skip
    return y


def _walks(
    g: GraphBuilder, x: Tensor, s: ForestStructure, trees: Dim, depth: Dim, inner: Dim
) -> Tensor:
    """Add the walks: of each tree, at most the nodes on a path for each sample."""
    batch = x.shape[0]
    walks = product(batch, trees)
    steps = product(walks, depth)
    visited = trees * minimum(batch * depth, inner)
    thresholds = g.weight("thresholds", (trees, inner))
    split = g.weight("split_features", (trees, inner), format=s.index_format)
    y = g.tensor("trees.out", (batch, trees), format=s.index_format)
    reads: list[Tensor | tuple[Tensor, Dim]] = [
        (x, minimum(x.elements, steps)), (thresholds, visited), (split, visited),
    ]  # fmt: skip
    if s.children == "stored":
        children = g.weight("children", (trees, inner, 2), format=s.index_format)
        reads.append((children, visited))
    # Compare and choose; an implied child takes a shift and an addition.
    ops = VECTOR_OPS["compare"] + VECTOR_OPS["where"] + (2 if s.children == "implied" else 0)
    g.operator(
        "trees", "tree", reads, [y], vector_ops=ops * steps, pair=(thresholds.slot, x.slot),
        attributes={"function": "tree", "extents": (("steps", depth), ("walks", walks))},
    )  # fmt: skip
    return y


def parameters(structure: ForestStructure) -> dict[str, float]:
    """Return the free dimensions and their defaults."""
    s = structure
    free: dict[str, float] = {
        "batch": 1, "features": s.features, "trees": s.trees, "depth": s.depth
    }  # fmt: skip
    if s.nodes is not None:
        free["nodes"] = s.nodes
    return free


FAMILY_RANDOM_FOREST = Family("random_forest", ForestStructure, parameters, build, each_sample)
