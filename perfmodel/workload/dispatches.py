"""Nodes that a runtime dispatches though they compute and move nothing, as a row of launches."""

from __future__ import annotations

from dataclasses import replace

from perfmodel.caches import GRAPH_BYTES, cached
from perfmodel.workload.graph import Access, Block, Graph, Operator

VIEWS = "views"
"""Name of the row."""


def with_views(graph: Graph) -> Graph:
    """Return the graph with its views as launches at the end; the graph itself without any.

    One operator of class ``dispatch`` runs as often as the graph has views. It moves no element,
    so that bytes, arithmetic and lifetimes stay as they are.
    """
    return graph if graph.views == 0 else _with_views(graph)


@cached(GRAPH_BYTES, same=1)
def _with_views(graph: Graph) -> Graph:
    # A row touches something: what leaves the network is there to the end anyway.
    writers = [operator for _, operator in graph.walk() if operator.writes]
    if not writers:
        return graph
    access = Access(writers[-1].writes[0], "read", 0)
    taken = {operator.name for _, operator in graph.walk()}
    name = VIEWS
    while name in taken:
        name += "_"
    row = Operator(name, "dispatch", (access,))
    return replace(graph, blocks=(*graph.blocks, Block(name, graph.views, (row,))))
