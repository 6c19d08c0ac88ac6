"""Launches of views: nodes that a runtime dispatches although they compute and move nothing.

`with_view_dispatches` appends one operator of class ``dispatch``, executed once per view, so that
the dispatch overhead of reshapes and shape arithmetic is costed like that of any other kernel.
"""

from __future__ import annotations

from dataclasses import replace

from perfmodel.caches import GRAPH_BYTES, cached
from perfmodel.workload.graph import Access, Block, Graph, Operator

VIEWS = "views"
"""Name of the operator and of its block."""


def with_view_dispatches(graph: Graph) -> Graph:
    """Return the graph with a final operator for its views; the graph itself if it has none.

    The operator, of class ``dispatch``, is executed once per view. It moves no elements, so bytes,
    arithmetic and live ranges do not change.
    """
    return graph if graph.views == 0 else _with_dispatch_row(graph)


@cached(GRAPH_BYTES, identity_keys=1)
def _with_dispatch_row(graph: Graph) -> Graph:
    # A row requires an access; an output of the network is live until the end anyway.
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
